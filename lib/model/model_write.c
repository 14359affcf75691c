/* How a model file comes to be: header with empty hashes, data piece by piece with a hash for each,
 * header again with the hashes, fsync, rename. The header's size does not depend on the hashes. */
#include "model/model_write.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "model/metadata.h"
#include "model/number_types.h"
#include "model/whisper.h"

struct job {
    const struct model_source *source;
    enum tensor_type type;
    const char *path;
    char *temporary;
    bool named; /* the temporary file has its name already */
    int fd;
    struct tensor_spec *specs;
    struct tensor_info *infos;
    uint64_t *offsets; /* from the start of the data */
    uint32_t n_specs;
    struct gguf_builder builder;
    size_t header_hash_at; /* places in the header */
    size_t tensor_hashes_at;
    uint64_t n_pieces;
    uint64_t total; /* tensor bytes */
    uint64_t done;
    float *values; /* elements of one piece at most */
    uint8_t *bytes; /* two pieces: what was not written yet, and what is added to it */
};

static enum status write_at(struct job *job, const void *bytes, size_t n, uint64_t offset,
                            struct error *err)
{
    const uint8_t *p = bytes;
    while (n > 0) {
        ssize_t wrote = pwrite(job->fd, p, n, (off_t)offset);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return error_set(err, STATUS_IO, "cannot write %s: %s", job->path,
                             wrote < 0 ? strerror(errno) : "nothing was written");
        p += wrote;
        n -= (size_t)wrote;
        offset += (uint64_t)wrote;
    }
    return STATUS_OK;
}

/* A matrix whose rows are not whole blocks (the convolutions, width 3) stays f16. Only what the
 * decoder reads in every pass gains from 4 bits. */
static enum tensor_type stored_type(const struct tensor_spec *spec, enum tensor_type type)
{
    if (!spec->matrix)
        return TENSOR_F32;
    if (tensor_type_blocks(type) && spec->shape[spec->n_dims - 1] % QBLOCK)
        return TENSOR_F16;
    return type == TENSOR_Q4_0 && !spec->four_bits ? TENSOR_Q8_0 : type;
}

static enum status plan_tensors(struct job *job, struct error *err)
{
    job->specs = model_tensor_specs(&job->source->description, &job->n_specs);
    job->infos = job->specs ? calloc(job->n_specs, sizeof(*job->infos)) : NULL;
    job->offsets = job->specs ? calloc(job->n_specs, sizeof(*job->offsets)) : NULL;
    job->values = malloc(HASH_PIECE_ELEMENTS_MAX * sizeof(float));
    job->bytes = malloc(2 * HASH_PIECE);
    if (!job->infos || !job->offsets || !job->values || !job->bytes)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for the tensor list");
    for (uint32_t i = 0; i < job->n_specs; i++) {
        const struct tensor_spec *spec = &job->specs[i];
        struct tensor_info *info = &job->infos[i];
        uint64_t n = 1;
        info->type = stored_type(spec, job->type);
        info->n_dims = spec->n_dims;
        for (uint32_t k = 0; k < spec->n_dims; k++)
            n *= info->shape[k] = spec->shape[k];
        info->n_bytes = tensor_type_bytes(info->type, n);
        job->total += info->n_bytes;
        job->n_pieces += hash_pieces(info->n_bytes);
    }
    return STATUS_OK;
}

static enum status build_header(struct job *job, struct error *err)
{
    struct gguf_builder *b = &job->builder;
    gguf_builder_init(b);
    gguf_put_u64(b, KEY_HASH_HEADER, 0);
    job->header_hash_at = b->n - sizeof(uint64_t);
    metadata_put(b, job->source, job->type);
    gguf_put_u32(b, KEY_HASH_PIECE, HASH_PIECE);
    job->tensor_hashes_at = gguf_put_u64_array_space(b, KEY_HASH_TENSORS, job->n_pieces);
    for (uint32_t i = 0; i < job->n_specs; i++)
        job->offsets[i] = gguf_put_tensor(b, job->specs[i].name, &job->infos[i]);
    return gguf_builder_finish(b, err);
}

/* Writes one piece of a tensor, which is at the front of the buffer, and puts its hash in the
 * header. */
static enum status write_piece(struct job *job, size_t n_bytes, uint64_t at, uint64_t piece,
                               struct error *err)
{
    const struct model_source *source = job->source;
    uint64_t hash = XXH3_64bits(job->bytes, n_bytes);
    memcpy(job->builder.bytes + job->tensor_hashes_at + piece * sizeof(hash), &hash, sizeof(hash));
    enum status st = write_at(job, job->bytes, n_bytes, at, err);
    job->done += n_bytes;
    if (source->progress)
        source->progress(source->progress_context, job->done, job->total);
    return st;
}

static uint64_t n_elements(const struct tensor_info *info)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < info->n_dims; i++)
        n *= info->shape[i];
    return n;
}

/* Elements whose bytes fill a piece, or less. */
static uint64_t step_elements(enum tensor_type type)
{
    return tensor_type_blocks(type) ? HASH_PIECE_ELEMENTS_MAX
                                    : HASH_PIECE / tensor_type_bytes(type, 1);
}

/* Elements go through the buffer, pieces leave it: a piece is a number of bytes, not of blocks. */
static enum status write_tensor(struct job *job, uint32_t index, uint64_t *piece, struct error *err)
{
    const struct model_source *source = job->source;
    const struct tensor_info *info = &job->infos[index];
    uint64_t n = n_elements(info), at = job->builder.n + job->offsets[index];
    enum status st = STATUS_OK;
    size_t held = 0;
    for (uint64_t first = 0, here; first < n && st == STATUS_OK; first += here) {
        here = MIN(step_elements(info->type), n - first);
        st = source->fill(source->context, index, &job->specs[index], first, job->values,
                          (size_t)here, err);
        if (st != STATUS_OK)
            return st;
        tensor_encode(info->type, job->values, job->bytes + held, (size_t)here);
        held += (size_t)tensor_type_bytes(info->type, here);
        while (st == STATUS_OK && (held >= HASH_PIECE || (held > 0 && first + here == n))) {
            size_t n_bytes = MIN(held, (size_t)HASH_PIECE);
            st = write_piece(job, n_bytes, at, (*piece)++, err);
            at += n_bytes;
            held -= n_bytes;
            memmove(job->bytes, job->bytes + n_bytes, held);
        }
    }
    return st;
}

static enum status write_tensors(struct job *job, struct error *err)
{
    enum status st = STATUS_OK;
    uint64_t piece = 0;
    for (uint32_t i = 0; i < job->n_specs && st == STATUS_OK; i++)
        st = write_tensor(job, i, &piece, err);
    SA_ASSERT(st != STATUS_OK || piece == job->n_pieces);
    return st;
}

/* A file that has no name yet disappears by itself when we are killed; where the file system cannot
 * do that, a named temporary file beside the target. */
static enum status open_temporary(struct job *job, struct error *err)
{
    size_t n = strlen(job->path);
    char *folder = strdup(job->path);
    job->temporary = malloc(n + 32);
    if (!folder || !job->temporary) {
        free(folder);
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    }
    snprintf(job->temporary, n + 32, "%s.tmp-%ld", job->path, (long)getpid());
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = '\0';
    job->fd = open(slash ? folder : ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
    free(folder);
    if (job->fd >= 0)
        return STATUS_OK;
    job->named = true;
    job->fd = open(job->temporary, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0666);
    if (job->fd < 0)
        return error_set(err, errno == EACCES ? STATUS_DENIED : STATUS_IO, "cannot create %s: %s",
                         job->path, strerror(errno));
    return STATUS_OK;
}

/* linkat cannot replace, so the nameless file gets the temporary name first. */
static enum status publish(struct job *job, struct error *err)
{
    char self[64];
    bool ok = fsync(job->fd) == 0;
    if (ok && !job->named) {
        unlink(job->temporary);
        snprintf(self, sizeof(self), "/proc/self/fd/%d", job->fd);
        ok = linkat(AT_FDCWD, self, AT_FDCWD, job->temporary, AT_SYMLINK_FOLLOW) == 0;
    }
    if (!ok || rename(job->temporary, job->path) != 0)
        return error_set(err, STATUS_IO, "cannot finish %s: %s", job->path, strerror(errno));
    return STATUS_OK;
}

static enum status write_file(struct job *job, struct error *err)
{
    struct gguf_builder *b = &job->builder;
    enum status st = open_temporary(job, err);
    if (st != STATUS_OK)
        return st;
    if (ftruncate(job->fd, (off_t)(b->n + b->data_bytes)) != 0)
        return error_set(err, STATUS_IO, "cannot size %s: %s", job->path, strerror(errno));
    st = write_tensors(job, err);
    if (st != STATUS_OK)
        return st;
    uint64_t hash = XXH3_64bits(b->bytes, b->n);
    memcpy(b->bytes + job->header_hash_at, &hash, sizeof(hash));
    st = write_at(job, b->bytes, b->n, 0, err);
    return st == STATUS_OK ? publish(job, err) : st;
}

static void job_release(struct job *job, bool failed)
{
    if (job->fd >= 0)
        close(job->fd);
    if (failed && job->temporary)
        unlink(job->temporary);
    gguf_builder_release(&job->builder);
    free(job->temporary);
    free(job->specs);
    free(job->infos);
    free(job->offsets);
    free(job->values);
    free(job->bytes);
}

enum status model_write(const char *path, const struct model_source *source, enum tensor_type type,
                        struct error *err)
{
    struct job job = {.source = source, .type = type, .path = path, .fd = -1};
    enum status st = whisper_check(&source->description, err);
    if (st != STATUS_OK)
        return err ? (err->code = STATUS_INVALID) : STATUS_INVALID;
    st = plan_tensors(&job, err);
    if (st == STATUS_OK)
        st = build_header(&job, err);
    if (st == STATUS_OK)
        st = write_file(&job, err);
    job_release(&job, st != STATUS_OK);
    return st;
}
