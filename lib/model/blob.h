/* blob.h: a read-only run of bytes: one file, several files end to end (model.bin.part1, .part2),
 * or memory (tests, fuzzing). And a folder: blobs by name. Private to lib/model. */
#ifndef MODEL_BLOB_H
#define MODEL_BLOB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { BLOB_PARTS_MAX = 8 };

struct blob {
    int fds[BLOB_PARTS_MAX];
    uint64_t sizes[BLOB_PARTS_MAX];
    uint32_t n_parts;
    const uint8_t *memory; /* instead of files; borrowed */
    uint64_t n;            /* bytes in all */
};

/* A folder on disk, or named pieces of memory. Plain data; borrows what it points to. */
struct folder {
    const char *path; /* NULL: memory */
    const char *const *names;
    const struct blob *blobs;
    uint32_t n_blobs;
};

/* Adds a file at the end of the blob (which starts as {0}). STATUS_NOT_FOUND, _DENIED, _IO,
 * _INVALID (a folder). */
MUST_CHECK enum status blob_append(struct blob *blob, const char *path, struct error *err);
void blob_close(struct blob *blob);

/* Reads n bytes at offset; STATUS_CORRUPT when they are not all there. Safe from any thread. */
MUST_CHECK enum status blob_read(const struct blob *blob, uint64_t offset, void *dst, size_t n,
                                 struct error *err);

/* The whole blob with a NUL behind it; caller frees. STATUS_CORRUPT above max bytes. */
MUST_CHECK enum status blob_read_text(const struct blob *blob, uint64_t max, char **out,
                                      struct error *err);

bool folder_has(const struct folder *folder, const char *name);

/* Opens (appends) a named file of the folder. */
MUST_CHECK enum status folder_open(const struct folder *folder, const char *name, struct blob *blob,
                                   struct error *err);

/* A whole text file of the folder, as blob_read_text. */
MUST_CHECK enum status folder_read_text(const struct folder *folder, const char *name, uint64_t max,
                                        char **out, struct error *err);

#endif
