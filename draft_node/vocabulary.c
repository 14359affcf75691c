#include "vocabulary.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/resolve.h"

static bool cache_path(uint64_t hash, char *path, size_t n)
{
    char folder[MODEL_PATH_MAX];
    if (model_cache_folder(folder, sizeof(folder), NULL) != STATUS_OK)
        return false;
    (void)mkdir(folder, 0777);
    return (size_t)snprintf(path, n, "%s/vocabulary-%016" PRIx64 ".bin", folder, hash) < n;
}

static enum status build(const uint8_t *data, size_t size, uint64_t hash, struct tokenizer **out,
                         struct error *err)
{
    struct wire_vocabulary message;
    enum status rc = wire_vocabulary_unpack(data, size, &message, err);
    if (rc != STATUS_OK)
        return rc;
    const int32_t *s = message.special;
    struct tokenizer_source source = {
        .n_tokens = message.n_tokens,
        .offsets = message.offsets,
        .bytes = message.bytes,
        .special = {.end = s[0], .start = s[1], .translate = s[2], .transcribe = s[3],
                    .previous = s[4], .no_speech = s[5], .no_timestamps = s[6],
                    .timestamp_begin = s[7], .language_begin = s[8]},
        .n_languages = message.n_languages,
        .languages = (const char(*)[4])message.languages,
        .hash = message.hash,
    };
    rc = message.hash == hash ? tokenizer_new(&source, out, err)
                              : error_set(err, STATUS_MISMATCH, "a vocabulary with another hash");
    wire_vocabulary_release(&message);
    return rc;
}

static uint8_t *read_file(const char *path, size_t *size)
{
    uint8_t *data = NULL;
    FILE *file = fopen(path, "rb");
    struct stat st;
    if (file && fstat(fileno(file), &st) == 0 && st.st_size > 0 &&
        st.st_size <= WIRE_VOCABULARY_MAX)
        data = malloc((size_t)st.st_size);
    if (data && fread(data, 1, (size_t)st.st_size, file) != (size_t)st.st_size) {
        free(data);
        data = NULL;
    }
    *size = data ? (size_t)st.st_size : 0;
    if (file)
        fclose(file);
    return data;
}

void vocabulary_from_cache(uint64_t hash, struct tokenizer **out)
{
    char path[MODEL_PATH_MAX + 64];
    size_t size;
    *out = NULL;
    uint8_t *data = cache_path(hash, path, sizeof(path)) ? read_file(path, &size) : NULL;
    if (data && build(data, size, hash, out, NULL) != STATUS_OK) {
        *out = NULL;
        (void)unlink(path);
    }
    free(data);
}

/* Under its own name only when it is whole. */
static void keep(const struct wire_bytes *message, uint64_t hash)
{
    char path[MODEL_PATH_MAX + 64], partial[MODEL_PATH_MAX + 96];
    if (!cache_path(hash, path, sizeof(path)))
        return;
    snprintf(partial, sizeof(partial), "%s.%ld", path, (long)getpid());
    FILE *file = fopen(partial, "wb");
    if (!file)
        return;
    bool whole = fwrite(message->data, 1, message->size, file) == message->size;
    whole = fclose(file) == 0 && whole;
    if (!whole || rename(partial, path) != 0)
        (void)unlink(partial);
}

enum status vocabulary_from_message(const struct wire_bytes *message, uint64_t hash,
                                    struct tokenizer **out, struct error *err)
{
    *out = NULL;
    enum status rc = build(message->data, message->size, hash, out, err);
    if (rc == STATUS_OK)
        keep(message, hash);
    return rc;
}
