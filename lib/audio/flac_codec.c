#include "audio/flac_codec.h"

#include <string.h>

#include "audio/audio_file.h"
#include "audio/memory_io.h"

/* libFLAC's level 5 of 8. */
static const double compression = 0.625;

enum status flac_encode(const int16_t *samples, size_t n_samples, uint8_t *out, size_t *n_bytes,
                        struct error *err)
{
    SA_ASSERT(n_samples >= 1 && n_samples <= FLAC_SAMPLES_MAX);
    *n_bytes = 0;
    struct memory_io io = { .data = out, .room = out, .capacity = FLAC_BYTES_MAX };
    SF_VIRTUAL_IO callbacks = memory_io_callbacks();
    SF_INFO info = { .samplerate = AUDIO_RATE,
                     .channels = 1,
                     .format = SF_FORMAT_FLAC | SF_FORMAT_PCM_16 };
    SNDFILE *file = sf_open_virtual(&callbacks, SFM_WRITE, &info, &io);
    if (!file)
        return error_set(err, STATUS_NO_MEMORY, "cannot start a FLAC encoder: %s",
                         sf_strerror(NULL));
    double level = compression;
    sf_command(file, SFC_SET_COMPRESSION_LEVEL, &level, sizeof(level));
    sf_count_t written = sf_write_short(file, samples, (sf_count_t)n_samples);
    int closed = sf_close(file);
    if (written != (sf_count_t)n_samples || closed != 0)
        return error_set(err, STATUS_INTERNAL, "the FLAC encoder took %lld of %zu samples",
                         (long long)written, n_samples);
    *n_bytes = io.size;
    return STATUS_OK;
}

static enum status check_format(const SF_INFO *info, size_t n_max, struct error *err)
{
    if (info->format != (SF_FORMAT_FLAC | SF_FORMAT_PCM_16) || info->samplerate != AUDIO_RATE ||
        info->channels != 1)
        return error_set(err, STATUS_UNSUPPORTED,
                         "FLAC chunk with %d Hz, %d channels, format 0x%x: only 16000 Hz mono "
                         "16 bit is taken",
                         info->samplerate, info->channels, (unsigned)info->format);
    if (info->frames > (sf_count_t)n_max)
        return error_set(err, STATUS_EXHAUSTED, "FLAC chunk of %lld samples: at most %zu are taken",
                         (long long)info->frames, n_max);
    if (info->frames < 1)
        return error_set(err, STATUS_CORRUPT, "FLAC chunk without a sample count");
    return STATUS_OK;
}

enum status flac_decode(const uint8_t *data, size_t n_bytes, int16_t *samples, size_t n_max,
                        size_t *n_samples, struct error *err)
{
    *n_samples = 0;
    /* libsndfile would open any format that it knows. */
    if (n_bytes < 4 || memcmp(data, "fLaC", 4) != 0)
        return error_set(err, STATUS_CORRUPT, "audio chunk of %zu bytes is not a FLAC stream",
                         n_bytes);
    struct memory_io io = { .data = data, .size = n_bytes };
    SF_VIRTUAL_IO callbacks = memory_io_callbacks();
    SF_INFO info = { 0 };
    SNDFILE *file = sf_open_virtual(&callbacks, SFM_READ, &info, &io);
    if (!file)
        return error_set(err, STATUS_CORRUPT, "FLAC chunk cannot be opened: %s", sf_strerror(NULL));
    enum status status = check_format(&info, n_max, err);
    if (status == STATUS_OK) {
        sf_count_t got = sf_read_short(file, samples, info.frames);
        if (got == info.frames && sf_error(file) == SF_ERR_NO_ERROR)
            *n_samples = (size_t)got;
        else
            status = error_set(err, STATUS_CORRUPT,
                               "FLAC chunk is damaged after sample %lld of %lld", (long long)got,
                               (long long)info.frames);
    }
    sf_close(file);
    return status;
}
