/* make_audio.c: writes the odd audio files of the end-to-end tests.
 *
 *     make_audio IN OUT RATE CHANNELS [FRAMES]
 *
 * IN is an audio file, or `silence` (one second); the form of OUT follows its ending: wav, flac,
 * mp3, ogg, raw (s16le). Every channel carries the same signal. FRAMES cuts the result.
 */
#include <samplerate.h>
#include <sndfile.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int form_of(const char *path)
{
    static const struct {
        const char *ending;
        int form;
    } forms[] = {
        {".wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16},
        {".flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16},
        {".mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III},
        {".ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS},
        {".raw", SF_FORMAT_RAW | SF_FORMAT_PCM_16 | SF_ENDIAN_LITTLE},
    };
    const char *ending = strrchr(path, '.');
    for (size_t i = 0; ending && i < sizeof(forms) / sizeof(forms[0]); i++)
        if (strcmp(ending, forms[i].ending) == 0)
            return forms[i].form;
    return 0;
}

/* Mono samples of IN at its own rate; NULL: a message was printed. Caller frees. */
static float *load(const char *path, sf_count_t *n, int *rate)
{
    SF_INFO info = {0};
    if (strcmp(path, "silence") == 0) {
        *n = *rate = 16000;
        return calloc((size_t)*n, sizeof(float));
    }
    SNDFILE *file = sf_open(path, SFM_READ, &info);
    float *samples = file ? calloc((size_t)(info.frames * info.channels), sizeof(float)) : NULL;
    if (!samples) {
        fprintf(stderr, "make_audio: %s: %s\n", path, sf_strerror(file));
        sf_close(file);
        return NULL;
    }
    *n = sf_readf_float(file, samples, info.frames);
    *rate = info.samplerate;
    for (sf_count_t i = 0; i < *n; i++)
        samples[i] = samples[i * info.channels];
    sf_close(file);
    return samples;
}

/* Takes the samples. */
static float *resample(float *samples, sf_count_t *n, double ratio)
{
    if (ratio == 1.0)
        return samples;
    long n_max = (long)((double)*n * ratio) + 1;
    float *out = calloc((size_t)n_max, sizeof(float));
    SRC_DATA job = {.data_in = samples, .data_out = out, .input_frames = (long)*n,
                    .output_frames = n_max, .src_ratio = ratio};
    if (!out || src_simple(&job, SRC_SINC_MEDIUM_QUALITY, 1) != 0)
        abort();
    free(samples);
    *n = job.output_frames_gen;
    return out;
}

static int save(const char *path, const float *samples, sf_count_t n, SF_INFO info)
{
    info.format = form_of(path);
    SNDFILE *file = info.format ? sf_open(path, SFM_WRITE, &info) : NULL;
    float *frames = calloc((size_t)(n * info.channels) + 1, sizeof(float));
    for (sf_count_t i = 0; frames && i < n * info.channels; i++)
        frames[i] = samples[i / info.channels];
    bool good = file && frames && sf_writef_float(file, frames, n) == n;
    if (!good)
        fprintf(stderr, "make_audio: %s: %s\n", path, sf_strerror(file));
    free(frames);
    return file && sf_close(file) == 0 && good ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc < 5 || argc > 6) {
        fprintf(stderr, "usage: make_audio IN OUT RATE CHANNELS [FRAMES]\n");
        return 2;
    }
    SF_INFO info = {.samplerate = (int)strtol(argv[3], NULL, 10),
                    .channels = (int)strtol(argv[4], NULL, 10)};
    sf_count_t n = 0;
    int rate = 0;
    float *samples = load(argv[1], &n, &rate);
    if (!samples || info.samplerate < 1 || info.channels < 1 || info.channels > 64)
        return 1;
    samples = resample(samples, &n, (double)info.samplerate / rate);
    if (argc == 6 && strtol(argv[5], NULL, 10) < n)
        n = strtol(argv[5], NULL, 10);
    int rc = save(argv[2], samples, n, info);
    free(samples);
    return rc;
}
