#include "audio/wav_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audio/audio_file.h"

enum { HEADER_BYTES = 44, BLOCK_SAMPLES = 4096, FORMAT_PCM = 1 };

static void put16(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *to, uint32_t value)
{
    put16(to, value);
    put16(to + 2, value >> 16);
}

/* RIFF, "fmt " and "data" as in Microsoft's and IBM's Multimedia Programming Interface (1991). */
static void fill_header(uint8_t *header, uint32_t data_bytes)
{
    memcpy(header, "RIFF....WAVEfmt ", 16);
    put32(header + 4, HEADER_BYTES - 8 + data_bytes);
    put32(header + 16, 16);                 /* bytes of the format chunk */
    put16(header + 20, FORMAT_PCM);
    put16(header + 22, 1);                  /* channels */
    put32(header + 24, AUDIO_RATE);
    put32(header + 28, AUDIO_RATE * sizeof(int16_t));
    put16(header + 32, sizeof(int16_t));    /* bytes per frame */
    put16(header + 34, 16);                 /* bits per sample */
    memcpy(header + 36, "data", 4);
    put32(header + 40, data_bytes);
}

static bool write_samples(FILE *file, const int16_t *samples, size_t n)
{
    uint8_t bytes[BLOCK_SAMPLES * sizeof(int16_t)];
    bool good = true;
    while (n > 0 && good) {
        size_t block = MIN(n, (size_t)BLOCK_SAMPLES);
        for (size_t i = 0; i < block; i++)
            put16(bytes + 2 * i, (uint16_t)samples[i]);
        good = fwrite(bytes, sizeof(int16_t), block, file) == block;
        samples += block;
        n -= block;
    }
    return good;
}

enum status wav_write(const char *path, const int16_t *samples, size_t n, struct error *err)
{
    uint8_t header[HEADER_BYTES];
    if (n > (UINT32_MAX - HEADER_BYTES) / sizeof(int16_t))
        return error_set(err, STATUS_INVALID, "%s: %zu samples are too many for a WAV file", path,
                         n);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    FILE *file = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (!file) {
        if (fd >= 0)
            close(fd);
        return error_set(err, STATUS_IO, "%s cannot be written: %s", path, strerror(errno));
    }
    fill_header(header, (uint32_t)(n * sizeof(int16_t)));
    bool good = fwrite(header, 1, sizeof(header), file) == sizeof(header) &&
                write_samples(file, samples, n);
    if (fclose(file) == 0 && good)
        return STATUS_OK;
    error_set(err, STATUS_IO, "%s cannot be written: %s", path, strerror(errno));
    (void)unlink(path);
    return STATUS_IO;
}
