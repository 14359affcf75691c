/* fuzz_wav.c: any bytes as an audio file (WAV and whatever else libsndfile recognises). */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "audio/audio_file.h"

enum { BLOCK = 4096, SAMPLES_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libsndfile 1.2.0 leaks libvorbis' tables when an Ogg file breaks within its headers. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libvorbis\n";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err;
    struct audio_file *file = NULL;
    int16_t samples[BLOCK];
    size_t n = 0, total = 0;
    enum status status = audio_file_open_memory(data, size, "input", &file, &err);
    SA_ASSERT((status == STATUS_OK) == (file != NULL));
    if (status != STATUS_OK) {
        SA_ASSERT(err.code == status && strstr(err.text, "input"));
        return 0;
    }
    const struct audio_file_info *info = audio_file_info(file);
    SA_ASSERT(info->rate >= AUDIO_FILE_RATE_MIN && info->rate <= AUDIO_FILE_RATE_MAX);
    SA_ASSERT(info->channels >= 1 && info->channels <= AUDIO_FILE_CHANNELS_MAX);
    do {
        status = audio_file_read(file, samples, BLOCK, &n, &err);
        SA_ASSERT(n <= BLOCK && (status == STATUS_OK || n == 0));
        total += n;
    } while (n > 0 && total < SAMPLES_MAX);
    SA_ASSERT(total > 0);
    audio_file_free(file);
    return 0;
}
