#include "audio/audio_check.h"

#include <stdbool.h>
#include <stdint.h>

#include "audio/audio_file.h"

enum { BLOCK_SAMPLES = 4096 };

static bool is_audible(const int16_t *samples, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (samples[i] >= AUDIO_SILENT_PEAK || samples[i] <= -AUDIO_SILENT_PEAK)
            return true;
    return false;
}

static enum status refuse(const char *path, uint64_t n_samples, const char *warning,
                          struct error *err)
{
    bool is_short = n_samples < AUDIO_SPEECH_MIN;
    if (warning)
        return error_set(err, STATUS_CORRUPT, "%s; but there is nothing to transcribe in it",
                         warning);
    if (is_short)
        return error_set(err, STATUS_INVALID,
                         "%s is too short to hold speech (%.3f s): give at least %.1f s", path,
                         (double)n_samples / AUDIO_RATE, (double)AUDIO_SPEECH_MIN / AUDIO_RATE);
    return error_set(err, STATUS_INVALID,
                     "%s is silent: nothing to transcribe; check the recording", path);
}

enum status audio_check(const char *path, struct error *err)
{
    struct audio_file *file;
    int16_t samples[BLOCK_SAMPLES];
    uint64_t n_samples = 0;
    size_t n;
    bool audible = false;
    enum status status = audio_file_open(path, &file, err);
    if (status != STATUS_OK)
        return status;
    do {
        status = audio_file_read(file, samples, BLOCK_SAMPLES, &n, err);
        if (status != STATUS_OK)
            break;
        n_samples += n;
        audible = audible || is_audible(samples, n);
    } while (n > 0 && !(audible && n_samples >= AUDIO_SPEECH_MIN));
    if (status == STATUS_OK && !(audible && n_samples >= AUDIO_SPEECH_MIN))
        status = refuse(path, n_samples, audio_file_warning(file), err);
    audio_file_free(file);
    return status;
}
