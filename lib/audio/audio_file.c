/* audio_file.c: the stream of audio_file.h.
 *
 *     libsndfile --frames--> mean of channels --mono--> resampler --out--> s16 --> caller
 *
 * Everything is done a block at a time; the blocks are allocated when the file is opened, so a
 * file of any length takes the same memory. Opening reads the first block: a file that cannot be
 * decoded at all, or holds nothing, is refused there.
 */
#include "audio/audio_file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <mpg123.h>
#include <samplerate.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audio/audio_probe.h"
#include "audio/memory_io.h"

enum {
    BLOCK_FRAMES = 4096,
    BLOCK_VALUES = 64 * 1024,           /* frames times channels are kept below this */
    OUT_SAMPLES = 4096
};

/* Beyond this a decoded value is damage, and infinite ones would spoil the whole filter. */
static const float value_max = 16.0f;

struct audio_file {
    SNDFILE *sound;
    SRC_STATE *resampler;               /* NULL: the file has 16 kHz */
    double ratio;
    struct memory_io memory;
    struct audio_file_info info;
    char name[256];
    struct error warning;
    bool has_magic;                     /* begins as an audio file does */

    float *frames, *mono;               /* [block * channels], [block] */
    size_t block;
    size_t mono_at, n_mono;             /* mono not yet taken by the resampler */
    float resampled[OUT_SAMPLES];
    int16_t out[OUT_SAMPLES];
    size_t out_at, n_out;

    uint64_t n_frames_claimed;          /* by the header; 0: unknown or only an estimate */
    uint64_t n_frames;                  /* decoded so far */
    uint64_t n_resampled;
    bool source_ended, ended;
};

/* round(n * 16000 / rate), and never nothing out of something. */
static uint64_t samples_of_frames(uint64_t n, uint32_t rate)
{
    uint64_t whole = n / rate * AUDIO_RATE;
    uint64_t rest = (n % rate * AUDIO_RATE + rate / 2) / rate;
    return n > 0 ? MAX(whole + rest, 1) : 0;
}

/* ---- libmpg123 ---- */

/* libsndfile decodes MP3 with a handle of libmpg123, which writes notes and errors of its own to
 * stderr, and libsndfile has no way to turn that off. The program's definition of a function stands
 * before the library's: this is libmpg123's own mpg123_new (mpg123_parnew without parameters), made
 * quiet. What is wrong with a file comes back as an error code all the same. */
mpg123_handle *mpg123_new(const char *decoder, int *error)
{
    mpg123_pars *parameters = mpg123_new_pars(error);
    mpg123_handle *handle = NULL;
    if (parameters && mpg123_par(parameters, MPG123_ADD_FLAGS, MPG123_QUIET, 0.0) == MPG123_OK)
        handle = mpg123_parnew(parameters, decoder, error);
    mpg123_delete_pars(parameters);
    return handle;
}

/* ---- decoding ---- */

/* Counts a decoded block (0 frames: the end) and keeps the first reason for a warning. libsndfile
 * forgets its error with the next call. */
static void note_block(struct audio_file *file, size_t n)
{
    double before_s = (double)file->n_frames / file->info.rate;
    file->n_frames += n;
    file->source_ended = n == 0;
    if (file->warning.text[0])
        return;
    if (sf_error(file->sound) != SF_ERR_NO_ERROR)
        error_set(&file->warning, STATUS_CORRUPT,
                  "%s is damaged after %.2f s (%s): what can be decoded is used; get the file "
                  "again",
                  file->name, before_s, sf_strerror(file->sound));
    else if (file->source_ended && file->n_frames < file->n_frames_claimed)
        error_set(&file->warning, STATUS_CORRUPT,
                  "%s is truncated or damaged: %.2f s of %.2f s could be decoded and are used; get "
                  "the file again",
                  file->name, before_s, (double)file->n_frames_claimed / file->info.rate);
}

static void mix_down(const float *frames, size_t n, size_t channels, float *mono)
{
    for (size_t i = 0; i < n; i++) {
        float sum = 0.0f;
        for (size_t c = 0; c < channels; c++)
            sum += frames[i * channels + c];
        float mean = sum / (float)channels;
        mono[i] = isnan(mean) ? 0.0f : fminf(fmaxf(mean, -value_max), value_max);
    }
}

/* Decodes the next block to mono. */
static void decode_block(struct audio_file *file)
{
    sf_count_t got = sf_readf_float(file->sound, file->frames, (sf_count_t)file->block);
    file->mono_at = 0;
    file->n_mono = got > 0 ? (size_t)got : 0;
    note_block(file, file->n_mono);
    mix_down(file->frames, file->n_mono, file->info.channels, file->mono);
}

static void to_s16(const float *in, size_t n, int16_t *out)
{
    for (size_t i = 0; i < n; i++) {
        float scaled = fminf(fmaxf(in[i] * 32768.0f, -32768.0f), 32767.0f);
        out[i] = (int16_t)lrintf(scaled);
    }
}

/* ---- one block of output, by kind of file ---- */

static void fill_exact(struct audio_file *file)
{
    sf_count_t got = sf_readf_short(file->sound, file->out, OUT_SAMPLES);
    file->n_out = got > 0 ? (size_t)got : 0;
    note_block(file, file->n_out);
    file->ended = file->source_ended;
}

static void fill_converted(struct audio_file *file)
{
    decode_block(file);
    to_s16(file->mono, file->n_mono, file->out);
    file->n_out = file->n_mono;
    file->ended = file->source_ended;
}

/* The resampler may be a sample off at the end: the length is defined by the frames that went in.
 * */
static size_t fit_length(struct audio_file *file, size_t n_given)
{
    uint64_t want = samples_of_frames(file->n_frames, file->info.rate) - file->n_resampled;
    if (n_given == 0) {
        n_given = (size_t)MIN(want, (uint64_t)1);
        memset(file->resampled, 0, n_given * sizeof(*file->resampled));
        file->ended = true;
    }
    return (size_t)MIN(want, (uint64_t)n_given);
}

static enum status fill_resampled(struct audio_file *file, struct error *err)
{
    while (file->n_out == 0 && !file->ended) {
        if (file->mono_at == file->n_mono && !file->source_ended)
            decode_block(file);
        SRC_DATA step = { .data_in = file->mono + file->mono_at,
                          .input_frames = (long)(file->n_mono - file->mono_at),
                          .data_out = file->resampled,
                          .output_frames = OUT_SAMPLES,
                          .end_of_input = file->source_ended,
                          .src_ratio = file->ratio };
        int failed = src_process(file->resampler, &step);
        if (failed)
            return error_set(err, STATUS_INTERNAL, "%s cannot be resampled: %s", file->name,
                             src_strerror(failed));
        file->mono_at += (size_t)step.input_frames_used;
        file->n_out = (size_t)step.output_frames_gen;
        if (file->source_ended)
            file->n_out = fit_length(file, file->n_out);
        file->n_resampled += file->n_out;
    }
    to_s16(file->resampled, file->n_out, file->out);
    return STATUS_OK;
}

static enum status fill(struct audio_file *file, struct error *err)
{
    file->out_at = file->n_out = 0;
    enum status status = STATUS_OK;
    if (file->info.exact)
        fill_exact(file);
    else if (!file->resampler)
        fill_converted(file);
    else
        status = fill_resampled(file, err);
    if (status != STATUS_OK || file->n_out > 0 || file->n_frames > 0)
        return status;
    if (sf_error(file->sound) != SF_ERR_NO_ERROR)
        return error_set(err, STATUS_CORRUPT,
                         "%s is damaged, it cannot be decoded (%s): get it again", file->name,
                         sf_strerror(file->sound));
    return error_set(err, STATUS_INVALID, "%s holds no audio (0 samples): record it again",
                     file->name);
}

enum status audio_file_read(struct audio_file *file, int16_t *samples, size_t n_max,
                            size_t *n_read, struct error *err)
{
    SA_ASSERT(n_max >= 1);
    *n_read = 0;
    while (*n_read < n_max) {
        if (file->out_at == file->n_out) {
            if (file->ended)
                break;
            enum status status = fill(file, err);
            if (status != STATUS_OK)
                return status;
            continue;
        }
        size_t n = MIN(n_max - *n_read, file->n_out - file->out_at);
        memcpy(samples + *n_read, file->out + file->out_at, n * sizeof(*samples));
        file->out_at += n;
        *n_read += n;
    }
    return STATUS_OK;
}

/* ---- opening ---- */

static enum status check_caps(const struct audio_file *file, const SF_INFO *info, struct error *err)
{
    if (info->samplerate < AUDIO_FILE_RATE_MIN || info->samplerate > AUDIO_FILE_RATE_MAX)
        return error_set(err, STATUS_UNSUPPORTED,
                         "%s has a sample rate of %d Hz: %d to %d are taken; convert it, for "
                         "example with `ffmpeg -i FILE -ar 16000 out.flac`",
                         file->name, info->samplerate, AUDIO_FILE_RATE_MIN, AUDIO_FILE_RATE_MAX);
    if (info->channels < 1 || info->channels > AUDIO_FILE_CHANNELS_MAX)
        return error_set(err, STATUS_UNSUPPORTED,
                         "%s has %d channels: 1 to %d are taken; convert it, for example with "
                         "`ffmpeg -i FILE -ac 1 out.flac`",
                         file->name, info->channels, AUDIO_FILE_CHANNELS_MAX);
    return STATUS_OK;
}

/* Subtypes whose samples are s16 or a part of it: read as short they lose nothing. */
static bool fits_s16(int format)
{
    switch (format & SF_FORMAT_SUBMASK) {
    case SF_FORMAT_PCM_16:
    case SF_FORMAT_PCM_S8:
    case SF_FORMAT_PCM_U8:
    case SF_FORMAT_ULAW:
    case SF_FORMAT_ALAW:
        return true;
    default:
        return false;
    }
}

/* What the header says of the length: only an estimate in MP3, absent in streams. */
static uint64_t claimed_frames(const SF_INFO *info)
{
    bool known = (info->format & SF_FORMAT_TYPEMASK) != SF_FORMAT_MPEG && info->frames > 0 &&
                 info->frames < SF_COUNT_MAX;
    return known ? (uint64_t)info->frames : 0;
}

static void describe(struct audio_file *file, const SF_INFO *info)
{
    SF_FORMAT_INFO major = { .format = info->format & SF_FORMAT_TYPEMASK };
    SF_FORMAT_INFO minor = { .format = info->format & SF_FORMAT_SUBMASK };
    sf_command(NULL, SFC_GET_FORMAT_INFO, &major, sizeof(major));
    sf_command(NULL, SFC_GET_FORMAT_INFO, &minor, sizeof(minor));
    snprintf(file->info.format, sizeof(file->info.format), "%s, %s",
             major.name ? major.name : "unknown", minor.name ? minor.name : "unknown");
    file->info.rate = (uint32_t)info->samplerate;
    file->info.channels = (uint32_t)info->channels;
    file->info.exact = info->samplerate == AUDIO_RATE && info->channels == 1 &&
                       fits_s16(info->format);
    file->n_frames_claimed = claimed_frames(info);
    bool finite = info->frames > 0 && info->frames < INT64_MAX / AUDIO_RATE;
    file->info.n_samples = finite ? samples_of_frames((uint64_t)info->frames, file->info.rate) : 0;
}

/* Measured. From 44.1 kHz the medium quality is flat to 6.9 kHz, with noise at -110 dB, at 150
 * times real time; the best one is flat to 7.5 kHz at 34 times real time, half as long as
 * recognition takes. From 8 kHz the medium one loses what lies above 3.5 kHz, the best one is at
 * 130 times. */
static int converter(uint32_t rate)
{
    return rate < AUDIO_RATE ? SRC_SINC_BEST_QUALITY : SRC_SINC_MEDIUM_QUALITY;
}

static enum status allocate(struct audio_file *file, struct error *err)
{
    file->block = MIN((size_t)BLOCK_FRAMES, (size_t)BLOCK_VALUES / file->info.channels);
    file->frames = malloc(file->block * file->info.channels * sizeof(*file->frames));
    file->mono = malloc(file->block * sizeof(*file->mono));
    int failed = 0;
    if (file->info.rate != AUDIO_RATE) {
        file->ratio = (double)AUDIO_RATE / (double)file->info.rate;
        file->resampler = src_new(converter(file->info.rate), 1, &failed);
    }
    bool whole = file->frames && file->mono && (file->resampler || file->info.rate == AUDIO_RATE);
    return whole ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "%s: no memory to decode it",
                                         file->name);
}

static enum status refuse(const struct audio_file *file, struct error *err)
{
    int code = sf_error(NULL);
    if (!file->has_magic || code == SF_ERR_UNRECOGNISED_FORMAT ||
        code == SF_ERR_UNSUPPORTED_ENCODING)
        return error_set(err, STATUS_UNSUPPORTED,
                         "%s is not audio that can be read (WAV, FLAC, Ogg Vorbis, Ogg Opus, MP3): "
                         "convert it, for example with `ffmpeg -i FILE out.flac`",
                         file->name);
    return error_set(err, STATUS_CORRUPT,
                     "%s is damaged, it cannot be read as audio (%s): get it again", file->name,
                     sf_strerror(NULL));
}

/* Everything behind sf_open: file->sound is NULL when that failed. */
static enum status start(struct audio_file *file, const SF_INFO *info, struct error *err)
{
    if (!file->sound)
        return refuse(file, err);
    enum status status = check_caps(file, info, err);
    if (status != STATUS_OK)
        return status;
    describe(file, info);
    status = allocate(file, err);
    return status == STATUS_OK ? fill(file, err) : status;
}

static struct audio_file *file_new(const char *name, struct error *err)
{
    struct audio_file *file = calloc(1, sizeof(*file));
    if (!file)
        error_set(err, STATUS_NO_MEMORY, "%s: no memory to decode it", name);
    else
        snprintf(file->name, sizeof(file->name), "%s", name);
    return file;
}

static void probe(struct audio_file *file, struct audio_probe bytes)
{
    file->has_magic = audio_probe_magic(&bytes);
    if (audio_probe_truncated(&bytes))
        error_set(&file->warning, STATUS_CORRUPT,
                  "%s is truncated (its end is missing): what is there is used; get the file again",
                  file->name);
}

enum status audio_file_open_memory(const uint8_t *data, size_t size, const char *name,
                                   struct audio_file **out, struct error *err)
{
    *out = NULL;
    if (size == 0)
        return error_set(err, STATUS_INVALID, "%s is empty: copy or record it again", name);
    struct audio_file *file = file_new(name, err);
    if (!file)
        return STATUS_NO_MEMORY;
    SF_VIRTUAL_IO callbacks = memory_io_callbacks();
    SF_INFO info = { 0 };
    file->memory = (struct memory_io){ .data = data, .size = size };
    probe(file, (struct audio_probe){ .data = data, .size = size });
    file->sound = sf_open_virtual(&callbacks, SFM_READ, &info, &file->memory);
    enum status status = start(file, &info, err);
    if (status == STATUS_OK)
        *out = file;
    else
        audio_file_free(file);
    return status;
}

static enum status open_path(const char *path, int *fd, uint64_t *size, struct error *err)
{
    struct stat st;
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return error_set(err, STATUS_NOT_FOUND, "%s: no such file: check the path", path);
    if (*fd < 0)
        return error_set(err, errno == EACCES ? STATUS_DENIED : STATUS_IO,
                         "%s cannot be opened (%s): check who may read it", path, strerror(errno));
    enum status status = STATUS_OK;
    if (fstat(*fd, &st) != 0)
        status = error_set(err, STATUS_IO, "%s cannot be examined: %s", path, strerror(errno));
    else if (S_ISDIR(st.st_mode))
        status = error_set(err, STATUS_INVALID, "%s is a folder: give an audio file", path);
    else if (!S_ISREG(st.st_mode))
        status = error_set(err, STATUS_INVALID,
                           "%s is not a regular file: give a file, or raw PCM on standard input",
                           path);
    else if (st.st_size == 0)
        status = error_set(err, STATUS_INVALID, "%s is empty: copy or record it again", path);
    if (status != STATUS_OK)
        close(*fd);
    else
        *size = (uint64_t)st.st_size;
    return status;
}

enum status audio_file_open(const char *path, struct audio_file **out, struct error *err)
{
    int fd = -1;
    uint64_t size = 0;
    *out = NULL;
    enum status status = open_path(path, &fd, &size, err);
    if (status != STATUS_OK)
        return status;
    struct audio_file *file = file_new(path, err);
    if (!file) {
        close(fd);
        return STATUS_NO_MEMORY;
    }
    /* By descriptor, so that libsndfile does not guess a headerless format from the file's name. */
    SF_INFO info = { 0 };
    probe(file, (struct audio_probe){ .fd = fd, .size = size });
    file->sound = sf_open_fd(fd, SFM_READ, &info, SF_TRUE);
    status = start(file, &info, err);
    if (status == STATUS_OK)
        *out = file;
    else
        audio_file_free(file);
    return status;
}

void audio_file_free(struct audio_file *file)
{
    if (!file)
        return;
    if (file->sound)
        sf_close(file->sound);
    if (file->resampler)
        src_delete(file->resampler);
    free(file->frames);
    free(file->mono);
    free(file);
}

const struct audio_file_info *audio_file_info(const struct audio_file *file)
{
    return &file->info;
}

const char *audio_file_warning(const struct audio_file *file)
{
    return file->warning.text[0] ? file->warning.text : NULL;
}

/* ---- the whole file at once ---- */

/* Reads to the end into a growing block; on failure *samples is what has to be freed. */
static enum status load_all(struct audio_file *file, size_t n_max, int16_t **samples,
                            size_t *n_samples, struct error *err)
{
    size_t room = 0, n = 0;
    for (;;) {
        if (n == room) {
            room = room == 0 ? 1 << 16 : 2 * room;
            int16_t *grown = realloc(*samples, room * sizeof(*grown));
            if (!grown)
                return error_set(err, STATUS_NO_MEMORY, "%s: no memory for its samples",
                                 file->name);
            *samples = grown;
        }
        size_t got = 0;
        enum status status = audio_file_read(file, *samples + n, room - n, &got, err);
        if (status != STATUS_OK)
            return status;
        n += got;
        if (n > n_max)
            return error_set(err, STATUS_EXHAUSTED, "%s is longer than %zu samples", file->name,
                             n_max);
        if (got == 0)
            break;
    }
    *n_samples = n;
    return STATUS_OK;
}

enum status audio_file_load(const char *path, size_t n_max, int16_t **samples, size_t *n_samples,
                            struct error *warning, struct error *err)
{
    *samples = NULL;
    *n_samples = 0;
    error_clear(warning);
    struct audio_file *file = NULL;
    enum status status = audio_file_open(path, &file, err);
    if (status != STATUS_OK)
        return status;
    status = load_all(file, n_max, samples, n_samples, err);
    if (status != STATUS_OK) {
        free(*samples);
        *samples = NULL;
    }
    if (warning)
        *warning = file->warning;
    audio_file_free(file);
    return status;
}
