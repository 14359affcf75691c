/* vad.c: voice activity by energy above an adaptive floor and by the shape of the spectrum.
 *
 *     320 samples -> power in 24 bands of 160 Hz (120 .. 3960 Hz)
 *       -> energy in dB of full scale          against the floor: is it loud?
 *       -> bands over the noise's own bands    how flat: is it more than louder noise?
 *
 * Floor: the least smoothed energy of the last seconds (minimum statistics), at once downwards,
 * slowly upwards. Flatness: mean of the logarithm minus logarithm of the mean; 0 is flat, noise of
 * the known colour stays above -0.2, voiced speech is far below.
 *
 *                    attack frames speech-like
 *       idle --------------------------------------> open     START at the first of them - pre-roll
 *            <--------------------------------------          END: hangover without a loud frame
 *            open, about to pass the maximum -> open          END and START at the quietest frame
 */
#include "audio/vad.h"

#include <stdlib.h>
#include <string.h>

#include "audio/audio_file.h"
#include "audio/mel_int.h"

enum {
    FRAME = 320,                        /* 20 ms */
    OVERLAP = MEL_FFT - FRAME,          /* of the analysis window with the frame before */
    SAMPLES_PER_MS = AUDIO_RATE / 1000,
    BANDS = 24,
    FIRST_BIN = 3,
    BINS_PER_BAND = 4,
    RING = 512,                         /* frames remembered for the cut: 10 s */
    BLOCKS = 8, BLOCK_FRAMES = 20,      /* the floor is the minimum over 8 blocks of 0.4 s */
    SMOOTH = 3
};

static const double floor_min_db = -68.0;       /* quieter is never called noise to rise above */
static const double floor_start_db = -50.0;     /* at most, before anything is known */
static const double rise_idle_db = 0.12;        /* of the floor, per frame: 6 dB/s */
static const double rise_open_db = 0.06;
static const double flatness_max = -0.25;       /* of a speech-like frame */
static const double band_power_min = 1e-10;

struct noise_model {
    double floor_db;
    double block_min[BLOCKS];           /* dB */
    uint32_t n_blocks, block_at, n_in_block;
    double bands[BANDS];
    bool started;
};

struct vad {
    struct vad_options options;
    struct mel_fft fft;
    double hann[MEL_FFT];
    struct mel_complex spectrum[MEL_FFT], other[MEL_FFT];
    mel_lanes even[MEL_BINS], odd[MEL_BINS];

    int16_t window[MEL_FFT];            /* the overlap, then the frame that fills up */
    uint32_t n_filled;
    uint64_t n_fed, n_frames;
    double energy_db[RING];             /* of frame i at i % RING */
    struct noise_model noise;

    bool open;
    uint64_t start, loud_end;           /* samples; loud_end: end of the last loud frame */
    uint64_t last_end;                  /* end of the utterance before */
    uint32_t run;                       /* speech-like frames in hand while idle */
    uint64_t run_start;
    struct vad_event due;
};

struct vad_options vad_options_default(void)
{
    return (struct vad_options){ .pre_roll_ms = 300,
                                 .post_roll_ms = 300,
                                 .hangover_ms = 600,
                                 .attack_ms = 60,
                                 .utterance_max_ms = 30000,
                                 .cut_search_ms = 6000,
                                 .on_db = 9.0f,
                                 .off_db = 6.0f };
}

static bool options_fit(const struct vad_options *o)
{
    return o->pre_roll_ms <= 2000 && o->post_roll_ms <= o->hangover_ms && o->hangover_ms >= 100 &&
           o->hangover_ms <= 10000 && o->attack_ms >= 20 && o->attack_ms <= 1000 &&
           o->utterance_max_ms <= 30000 && o->cut_search_ms >= 200 && o->cut_search_ms <= 10000 &&
           o->pre_roll_ms + o->attack_ms + o->cut_search_ms <= o->utterance_max_ms / 2 &&
           o->off_db >= 1.0f && o->on_db >= o->off_db && o->on_db <= 60.0f;
}

enum status vad_new(const struct vad_options *options, struct vad **out, struct error *err)
{
    *out = NULL;
    if (!options_fit(options))
        return error_set(err, STATUS_INVALID,
                         "voice activity options contradict each other (an utterance is at most "
                         "30000 ms and twice what is searched and rolled before it)");
    struct vad *vad = aligned_alloc(64, (sizeof(*vad) + 63) / 64 * 64);
    if (!vad)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the voice activity detector");
    memset(vad, 0, sizeof(*vad));
    vad->options = *options;
    vad->noise.floor_db = floor_start_db;
    mel_fft_init(&vad->fft);
    for (uint32_t i = 0; i < MEL_FFT; i++)
        vad->hann[i] = 0.5 - 0.5 * vad->fft.cosines[i];
    *out = vad;
    return STATUS_OK;
}

void vad_free(struct vad *vad)
{
    free(vad);
}

/* ---- what a frame sounds like ---- */

struct frame_features {
    double bands[BANDS];                /* mean square, full scale 1 */
    double energy_db;
    double flatness;
};

/* Our own logarithm: events must not depend on libm's last bit. */
static double log10_of(double x)
{
    return mel_log10((mel_lanes){ x, 1.0 })[0];
}

static void band_powers(struct vad *vad, double bands[BANDS])
{
    for (uint32_t i = 0; i < MEL_FFT; i++) {
        double x = (double)vad->window[i] * (1.0 / 32768.0) * vad->hann[i];
        vad->spectrum[i] = (struct mel_complex){ .re = { x, 0.0 }, .im = { 0.0, 0.0 } };
    }
    mel_power(&vad->fft, vad->spectrum, vad->other, vad->even, vad->odd);
    /* Parseval; 150 is the sum of the squared window; twice for the negative frequencies. */
    const double scale = 2.0 / (MEL_FFT * 150.0);
    for (uint32_t b = 0; b < BANDS; b++) {
        double sum = 0.0;
        for (uint32_t k = 0; k < BINS_PER_BAND; k++)
            sum += vad->even[FIRST_BIN + b * BINS_PER_BAND + k][0];
        bands[b] = sum * scale + band_power_min;
    }
}

static double flatness(const double bands[BANDS], const double noise[BANDS])
{
    double sum = 0.0, log_sum = 0.0;
    for (uint32_t b = 0; b < BANDS; b++) {
        double ratio = bands[b] / noise[b];
        sum += ratio;
        log_sum += log10_of(ratio);
    }
    return log_sum / BANDS - log10_of(sum / BANDS);
}

static void examine(struct vad *vad, struct frame_features *f)
{
    double total = 0.0;
    band_powers(vad, f->bands);
    for (uint32_t b = 0; b < BANDS; b++)
        total += f->bands[b];
    f->energy_db = 10.0 * log10_of(total);
    if (!vad->noise.started)
        memcpy(vad->noise.bands, f->bands, sizeof(f->bands));
    f->flatness = flatness(f->bands, vad->noise.bands);
    vad->energy_db[vad->n_frames % RING] = f->energy_db;
}

/* Mean of the frames i, i - 1, i - 2 in dB. */
static double smoothed_db(const struct vad *vad, uint64_t i)
{
    double sum = 0.0;
    uint64_t n = MIN(i + 1, (uint64_t)SMOOTH);
    for (uint64_t k = 0; k < n; k++)
        sum += vad->energy_db[(i - k) % RING];
    return sum / (double)n;
}

static void learn_floor(struct noise_model *noise, double energy_db, double rise_db)
{
    double *block = &noise->block_min[noise->block_at];
    *block = noise->n_in_block == 0 ? energy_db : MIN(*block, energy_db);
    noise->n_blocks = MAX(noise->n_blocks, noise->block_at + 1);
    double least = energy_db;
    for (uint32_t i = 0; i < noise->n_blocks; i++)
        least = MIN(least, noise->block_min[i]);
    double target = MAX(least, floor_min_db);
    noise->floor_db = MIN(target, noise->floor_db + rise_db);
    if (++noise->n_in_block == BLOCK_FRAMES) {
        noise->n_in_block = 0;
        noise->block_at = (noise->block_at + 1) % BLOCKS;
    }
}

/* The noise's colour follows quiet frames; under loud ones it creeps: noise may come to stay. */
static void learn_bands(struct noise_model *noise, const double bands[BANDS], bool loud)
{
    for (uint32_t b = 0; b < BANDS; b++) {
        double rate = bands[b] < noise->bands[b] ? 0.1 : loud ? 0.002 : 0.05;
        noise->bands[b] += rate * (bands[b] - noise->bands[b]);
    }
}

/* ---- utterances ---- */

static uint64_t samples_of(uint32_t ms)
{
    return (uint64_t)ms * SAMPLES_PER_MS;
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static void step_idle(struct vad *vad, uint64_t frame_start, bool speech_like,
                      struct vad_event *event)
{
    if (!speech_like) {
        vad->run -= vad->run > 0;
        return;
    }
    if (vad->run++ == 0)
        vad->run_start = frame_start;
    if (vad->run * FRAME < samples_of(vad->options.attack_ms))
        return;
    vad->open = true;
    vad->run = 0;
    vad->start = MAX(less(vad->run_start, samples_of(vad->options.pre_roll_ms)), vad->last_end);
    vad->loud_end = frame_start + FRAME;
    *event = (struct vad_event){ .kind = VAD_START, .sample = vad->start };
}

static void close_at(struct vad *vad, uint64_t end, struct vad_event *event)
{
    vad->open = false;
    vad->run = 0;
    vad->last_end = end;
    *event = (struct vad_event){ .kind = VAD_END, .sample = end };
}

/* Middle of the quietest frame (smoothed over its neighbours) among the last ones. */
static uint64_t quietest(const struct vad *vad)
{
    uint64_t last = vad->n_frames - 1;
    uint64_t n = samples_of(vad->options.cut_search_ms) / FRAME;
    uint64_t best = last;
    for (uint64_t i = last; i > last - n + SMOOTH; i--)
        if (smoothed_db(vad, i) < smoothed_db(vad, best))
            best = i;
    return (best - SMOOTH / 2) * FRAME + FRAME / 2;
}

static void step_open(struct vad *vad, bool loud, struct vad_event *event)
{
    uint64_t now = vad->n_frames * FRAME;
    if (loud)
        vad->loud_end = now;
    if (now - vad->loud_end >= samples_of(vad->options.hangover_ms)) {
        close_at(vad, vad->loud_end + samples_of(vad->options.post_roll_ms), event);
        return;
    }
    if (now + FRAME <= vad->start + samples_of(vad->options.utterance_max_ms))
        return;
    uint64_t cut = quietest(vad);
    uint64_t loud_end = vad->loud_end;
    close_at(vad, cut, event);
    if (loud_end <= cut)
        return;                         /* only silence came behind the cut */
    event->forced = true;
    vad->open = true;
    vad->start = cut;
    vad->due = (struct vad_event){ .kind = VAD_START, .sample = cut };
}

static void take_frame(struct vad *vad, struct vad_event *event)
{
    struct frame_features f;
    examine(vad, &f);
    vad->noise.started = true;
    double above = f.energy_db - vad->noise.floor_db;
    bool loud = above >= (double)(vad->open ? vad->options.off_db : vad->options.on_db);
    uint64_t frame_start = vad->n_frames * FRAME;
    learn_floor(&vad->noise, smoothed_db(vad, vad->n_frames),
                vad->open ? rise_open_db : rise_idle_db);
    learn_bands(&vad->noise, f.bands, loud);
    vad->n_frames++;
    if (vad->open)
        step_open(vad, loud, event);
    else
        step_idle(vad, frame_start, loud && f.flatness <= flatness_max, event);
    memmove(vad->window, vad->window + FRAME, OVERLAP * sizeof(*vad->window));
    vad->n_filled = 0;
}

size_t vad_feed(struct vad *vad, const int16_t *samples, size_t n_samples, struct vad_event *event)
{
    *event = vad->due;
    vad->due = (struct vad_event){ .kind = VAD_NONE };
    size_t taken = 0;
    while (event->kind == VAD_NONE && taken < n_samples) {
        size_t n = MIN(n_samples - taken, (size_t)(FRAME - vad->n_filled));
        memcpy(vad->window + OVERLAP + vad->n_filled, samples + taken, n * sizeof(*samples));
        vad->n_filled += (uint32_t)n;
        vad->n_fed += n;
        taken += n;
        if (vad->n_filled == FRAME)
            take_frame(vad, event);
    }
    return taken;
}

void vad_finish(struct vad *vad, struct vad_event *event)
{
    *event = vad->due;
    vad->due = (struct vad_event){ .kind = VAD_NONE };
    uint64_t end = vad->loud_end + samples_of(vad->options.post_roll_ms);
    if (event->kind == VAD_NONE && vad->open)
        close_at(vad, MIN(end, vad->n_fed), event);
}

uint64_t vad_settled(const struct vad *vad)
{
    uint64_t now = vad->n_frames * FRAME;
    if (vad->due.kind == VAD_START)     /* for the caller the next utterance has not begun */
        return vad->due.sample;
    if (!vad->open) {
        uint64_t earliest = less(vad->run > 0 ? vad->run_start : now,
                                 samples_of(vad->options.pre_roll_ms));
        return MAX(earliest, vad->last_end);
    }
    uint64_t cut = vad->start + samples_of(vad->options.utterance_max_ms) - FRAME -
                   samples_of(vad->options.cut_search_ms);
    uint64_t end = vad->loud_end + samples_of(vad->options.post_roll_ms);
    return MAX(MIN(MIN(cut, end), now), vad->start);
}

bool vad_in_utterance(const struct vad *vad)
{
    return vad->open && vad->due.kind == VAD_NONE;
}
