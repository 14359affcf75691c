#include "model/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum status blob_append(struct blob *blob, const char *path, struct error *err)
{
    if (blob->n_parts == BLOB_PARTS_MAX || blob->memory)
        return error_set(err, STATUS_UNSUPPORTED, "more than %d parts", BLOB_PARTS_MAX);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err,
                         errno == ENOENT || errno == ENOTDIR ? STATUS_NOT_FOUND
                         : errno == EACCES                   ? STATUS_DENIED
                                                             : STATUS_IO,
                         "cannot open %s: %s", path, strerror(errno));
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(fd);
        return error_set(err, STATUS_INVALID, "%s is not a file", path);
    }
    blob->fds[blob->n_parts] = fd;
    blob->sizes[blob->n_parts++] = (uint64_t)info.st_size;
    blob->n += (uint64_t)info.st_size;
    return STATUS_OK;
}

void blob_close(struct blob *blob)
{
    for (uint32_t i = 0; i < blob->n_parts; i++)
        close(blob->fds[i]);
    *blob = (struct blob){0};
}

static enum status read_file(int fd, uint64_t offset, uint8_t *dst, size_t n, struct error *err)
{
    while (n > 0) {
        ssize_t got = pread(fd, dst, n, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(err, STATUS_IO, "read failed: %s", strerror(errno));
        if (got == 0)
            return error_set(err, STATUS_CORRUPT, "the file became shorter while it was read");
        dst += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return STATUS_OK;
}

enum status blob_read(const struct blob *blob, uint64_t offset, void *dst, size_t n,
                      struct error *err)
{
    if (offset > blob->n || n > blob->n - offset)
        return error_set(err, STATUS_CORRUPT,
                         "the file ends too early: %zu bytes at %" PRIu64
                         " are wanted, it has %" PRIu64,
                         n, offset, blob->n);
    if (blob->memory) {
        memcpy(dst, blob->memory + offset, n);
        return STATUS_OK;
    }
    uint8_t *out = dst;
    for (uint32_t i = 0; i < blob->n_parts && n > 0; i++) {
        if (offset >= blob->sizes[i]) {
            offset -= blob->sizes[i];
            continue;
        }
        size_t here = (size_t)MIN((uint64_t)n, blob->sizes[i] - offset);
        enum status st = read_file(blob->fds[i], offset, out, here, err);
        if (st != STATUS_OK)
            return st;
        out += here;
        n -= here;
        offset = 0;
    }
    return STATUS_OK;
}

enum status blob_read_text(const struct blob *blob, uint64_t max, char **out, struct error *err)
{
    if (blob->n > max)
        return error_set(err, STATUS_CORRUPT,
                         "%" PRIu64 " bytes are too many here (at most %" PRIu64 ")", blob->n, max);
    char *text = malloc((size_t)blob->n + 1);
    if (!text)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for %" PRIu64 " bytes", blob->n);
    enum status st = blob_read(blob, 0, text, (size_t)blob->n, err);
    if (st != STATUS_OK) {
        free(text);
        return st;
    }
    text[blob->n] = '\0';
    *out = text;
    return STATUS_OK;
}

static bool folder_file(const struct folder *folder, const char *name, char *path, size_t size)
{
    int n = snprintf(path, size, "%s/%s", folder->path, name);
    return n > 0 && (size_t)n < size;
}

static const struct blob *find_memory(const struct folder *folder, const char *name)
{
    for (uint32_t i = 0; i < folder->n_blobs; i++)
        if (strcmp(folder->names[i], name) == 0)
            return &folder->blobs[i];
    return NULL;
}

bool folder_has(const struct folder *folder, const char *name)
{
    char path[4096];
    struct stat info;
    if (!folder->path)
        return find_memory(folder, name) != NULL;
    return folder_file(folder, name, path, sizeof(path)) && stat(path, &info) == 0 &&
           S_ISREG(info.st_mode);
}

enum status folder_open(const struct folder *folder, const char *name, struct blob *blob,
                        struct error *err)
{
    char path[4096];
    if (folder->path) {
        if (!folder_file(folder, name, path, sizeof(path)))
            return error_set(err, STATUS_INVALID, "path too long");
        return blob_append(blob, path, err);
    }
    const struct blob *memory = find_memory(folder, name);
    if (!memory)
        return error_set(err, STATUS_NOT_FOUND, "there is no %s", name);
    *blob = *memory;
    return STATUS_OK;
}

enum status folder_read_text(const struct folder *folder, const char *name, uint64_t max,
                             char **out, struct error *err)
{
    struct blob blob = {0};
    enum status st = folder_open(folder, name, &blob, err);
    if (st != STATUS_OK)
        return st;
    st = blob_read_text(&blob, max, out, err);
    if (st != STATUS_OK && err)
        error_prefix(err, "%s", name);
    blob_close(&blob);
    return st;
}
