/* mel.c: the pipeline of mel.h, four frames at a time.
 *
 *     samples of four frames -> doubles, edges reflected, zeros behind the audio
 *       -> windowed, frames 0 1 2 3 as (re, im) of two lanes -> power -> bands -> log10 -> out
 *     then the maximum of the window, the clamp and the scaling over all of out
 *
 * Frames that lie wholly in the zero padding are known beforehand: log10(1e-10) = -10.
 */
#include "audio/mel.h"

#include <stdlib.h>
#include <string.h>

#include "audio/mel_int.h"

enum { MEL_GROUP_SAMPLES = (MEL_GROUP - 1) * MEL_HOP + MEL_FFT };

struct band {
    uint32_t first_bin, n_bins;
    uint32_t first_weight;
};

struct mel {
    uint32_t n_mels;
    struct mel_fft fft;
    double hann[MEL_FFT];
    struct band bands[MEL_BANDS_MAX];
    double weights[2 * MEL_BINS];       /* a bin belongs to two bands at most */
    double samples[MEL_GROUP_SAMPLES];
    struct mel_complex windowed[MEL_FFT], other[MEL_FFT];
    mel_lanes even[MEL_BINS], odd[MEL_BINS];
};

/* Slaney's scale: linear to 1000 Hz (15 mel), then 27 steps for each factor of 6.4. */
static double mel_to_hz(double mel)
{
    const double step = 1.8562979903656263 / 27.0; /* ln 6.4 */
    return mel < 15.0 ? mel * (200.0 / 3.0) : 1000.0 * mel_exp(step * (mel - 15.0));
}

/* Centre of band edge i of n_mels + 2, equally spaced in mel from 0 to 8000 Hz. */
static double edge_hz(uint32_t i, uint32_t n_mels)
{
    const double last = 15.0 + 27.0 * 2.0794415416798357 / 1.8562979903656263; /* ln 8 / ln 6.4 */
    return mel_to_hz(last * (double)i / (double)(n_mels + 1));
}

/* A triangle of unit area, rounded to float twice as the published filters are. */
static double triangle(const double edges[3], uint32_t bin)
{
    double hz = (double)bin * 40.0;
    double up = (hz - edges[0]) / (edges[1] - edges[0]);
    double down = (edges[2] - hz) / (edges[2] - edges[1]);
    double least = MIN(up, down);
    float height = least > 0.0 ? (float)least : 0.0f;
    return (double)(float)((double)height * (2.0 / (edges[2] - edges[0])));
}

static void init_bands(struct mel *mel)
{
    uint32_t n_weights = 0;
    for (uint32_t b = 0; b < mel->n_mels; b++) {
        struct band *band = &mel->bands[b];
        const double edges[3] = { edge_hz(b, mel->n_mels), edge_hz(b + 1, mel->n_mels),
                                  edge_hz(b + 2, mel->n_mels) };
        band->first_weight = n_weights;
        for (uint32_t bin = 0; bin < MEL_BINS; bin++) {
            double weight = triangle(edges, bin);
            if (weight <= 0.0)
                continue;
            if (band->n_bins == 0)
                band->first_bin = bin;
            SA_ASSERT(n_weights < ARRAY_LEN(mel->weights));
            mel->weights[n_weights++] = weight;
            band->n_bins++;
        }
    }
}

enum status mel_new(uint32_t n_mels, struct mel **out, struct error *err)
{
    *out = NULL;
    if (n_mels != 80 && n_mels != 128)
        return error_set(err, STATUS_UNSUPPORTED, "%u mel bands: Whisper models have 80 or 128",
                         n_mels);
    struct mel *mel = aligned_alloc(64, (sizeof(*mel) + 63) / 64 * 64);
    if (!mel)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the log-mel tables");
    memset(mel, 0, sizeof(*mel));
    mel->n_mels = n_mels;
    mel_fft_init(&mel->fft);
    for (uint32_t i = 0; i < MEL_FFT; i++)
        mel->hann[i] = 0.5 - 0.5 * mel->fft.cosines[i];
    init_bands(mel);
    *out = mel;
    return STATUS_OK;
}

void mel_free(struct mel *mel)
{
    free(mel);
}

void mel_filter(const struct mel *mel, uint32_t b, float *weights)
{
    SA_ASSERT(b < mel->n_mels);
    const struct band *band = &mel->bands[b];
    memset(weights, 0, MEL_BINS * sizeof(*weights));
    for (uint32_t i = 0; i < band->n_bins; i++)
        weights[band->first_bin + i] = (float)mel->weights[band->first_weight + i];
}

/* The cut and padded window, and what of it is audio. */
struct window {
    const int16_t *samples;
    int64_t n_samples;                  /* the rest up to n_total is zero */
    int64_t n_total;
};

/* Sample i of the window, reflected at both edges without repeating the edge sample. */
static double sample_at(const struct window *window, int64_t i)
{
    if (i < 0)
        i = -i;
    if (i >= window->n_total)
        i = 2 * window->n_total - 2 - i;
    bool audio = i >= 0 && i < window->n_samples;
    return audio ? (double)window->samples[i] * (1.0 / 32768.0) : 0.0;
}

static void load_group(struct mel *mel, const struct window *window, int64_t first_frame)
{
    int64_t start = first_frame * MEL_HOP - MEL_FFT / 2;
    bool inside = start >= 0 && start + MEL_GROUP_SAMPLES <= window->n_samples;
    const int16_t *samples = inside ? window->samples + start : NULL;
    for (int64_t i = 0; i < MEL_GROUP_SAMPLES; i++)
        mel->samples[i] = inside ? (double)samples[i] * (1.0 / 32768.0)
                                 : sample_at(window, start + i);
    const double *s = mel->samples;
    for (uint32_t i = 0; i < MEL_FFT; i++, s++) {
        double w = mel->hann[i];
        mel->windowed[i].re = (mel_lanes){ s[0], s[2 * MEL_HOP] } * w;
        mel->windowed[i].im = (mel_lanes){ s[MEL_HOP], s[3 * MEL_HOP] } * w;
    }
}

/* log10 with the floor of 1e-10. */
static mel_lanes log_floor(mel_lanes x)
{
    const double least = 1e-10;
    mel_lanes kept = { MAX(x[0], least), MAX(x[1], least) };
    return mel_log10(kept);
}

static void reduce_group(struct mel *mel, uint32_t n_valid, size_t stride, float *out)
{
    for (uint32_t b = 0; b < mel->n_mels; b++) {
        const struct band *band = &mel->bands[b];
        const double *weights = mel->weights + band->first_weight;
        mel_lanes even = { 0.0, 0.0 }, odd = { 0.0, 0.0 };
        for (uint32_t i = 0; i < band->n_bins; i++) {
            even += mel->even[band->first_bin + i] * weights[i];
            odd += mel->odd[band->first_bin + i] * weights[i];
        }
        even = log_floor(even);
        odd = log_floor(odd);
        float values[MEL_GROUP] = { (float)even[0], (float)odd[0], (float)even[1], (float)odd[1] };
        memcpy(out + b * stride, values, n_valid * sizeof(*values));
    }
}

static void scale(float *out, size_t n)
{
    float top = -10.0f;
    for (size_t i = 0; i < n; i++)
        top = out[i] > top ? out[i] : top;
    float least = top - 8.0f;
    for (size_t i = 0; i < n; i++) {
        float x = out[i] > least ? out[i] : least;
        out[i] = (x + 4.0f) / 4.0f;
    }
}

void mel_compute(struct mel *mel, const int16_t *samples, size_t n_samples, uint32_t n_frames,
                 float *out)
{
    SA_ASSERT(n_frames >= MEL_FRAMES_MIN && n_frames <= MEL_FRAMES_MAX);
    SA_ASSERT(samples || n_samples == 0);
    struct window window = { .samples = samples, .n_total = (int64_t)n_frames * MEL_HOP };
    window.n_samples = n_samples < (size_t)window.n_total ? (int64_t)n_samples : window.n_total;
    /* The first frame that sees only padding: f * 160 - 200 >= n_samples. */
    int64_t silent = (window.n_samples + MEL_FFT / 2 + MEL_HOP - 1) / MEL_HOP;
    uint32_t n_heard = window.n_samples == 0 ? 0 : (uint32_t)MIN(silent, (int64_t)n_frames);
    for (uint32_t f = 0; f < n_heard; f += MEL_GROUP) {
        load_group(mel, &window, f);
        mel_power(&mel->fft, mel->windowed, mel->other, mel->even, mel->odd);
        reduce_group(mel, MIN(MEL_GROUP, n_heard - f), n_frames, out + f);
    }
    for (uint32_t b = 0; b < mel->n_mels; b++)
        for (uint32_t f = n_heard; f < n_frames; f++)
            out[(size_t)b * n_frames + f] = -10.0f;
    scale(out, (size_t)mel->n_mels * n_frames);
}
