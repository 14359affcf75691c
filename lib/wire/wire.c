#include "wire/wire.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "wire/wire_int.h"

/* bytes --> raw look --> protobuf-c (memory capped) --> counts --> struct --> rules --> engine
 *           bytes.c                                *_frames.c            check.c
 *
 * The same rules (check.c) run over a frame before it is packed, as an assertion. So whatever one
 * side can pack the other accepts, and a frame that came through wire_unpack can be packed
 * again. */

enum { UNPACK_MEMORY_MAX = 16 << 20 };  /* the largest honest frame needs a fifth of it */

static const struct wire_kind_ops *ops_of(enum wire_kind kind)
{
    SA_ASSERT((unsigned)kind < WIRE_KIND_N);
    int i = (int)kind;
    return i < WIRE_CLIENT_KIND_N ? &wire_client_kinds[i]
                                  : &wire_target_kinds[i - WIRE_CLIENT_KIND_N];
}

const char *wire_kind_name(enum wire_kind kind)
{
    return (unsigned)kind < WIRE_KIND_N ? ops_of(kind)->name : "unknown";
}

uint32_t wire_version(uint32_t low, uint32_t high)
{
    uint32_t version = MIN(high, (uint32_t)WIRE_VERSION_MAX);
    return version >= MAX(low, (uint32_t)WIRE_VERSION_MIN) ? version : 0;
}

uint64_t wire_hash(const int32_t *tokens, uint32_t n_tokens)
{
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "ids are hashed as little endian");
    return XXH3_64bits(tokens, n_tokens * sizeof(*tokens));
}

enum status wire_pack(const struct wire_frame *frame, struct wire_bytes *out, struct error *err)
{
    const struct wire_kind_ops *ops = ops_of(frame->kind);
    const char *problem = ops->problem(frame);
    *out = (struct wire_bytes){0};
    if (problem)
        assert_failed(problem, ops->name, 0);
    enum status rc = ops->pack(frame, out, err);
    SA_ASSERT(rc != STATUS_OK || out->size <= WIRE_FRAME_MAX);
    return rc;
}

static bool find_kind(const ProtobufCMessage *message, bool from_client, enum wire_kind *kind)
{
    const struct wire_kind_ops *table = from_client ? wire_client_kinds : wire_target_kinds;
    unsigned n = from_client ? WIRE_CLIENT_KIND_N : WIRE_TARGET_KIND_N;
    unsigned oneof = from_client ? (unsigned)((const Specasr__V1__ClientFrame *)message)->kind_case
                                 : (unsigned)((const Specasr__V1__TargetFrame *)message)->kind_case;
    for (unsigned i = 0; i < n; i++) {
        if (table[i].oneof == oneof) {
            *kind = (enum wire_kind)(i + (from_client ? 0 : WIRE_CLIENT_KIND_N));
            return true;
        }
    }
    return false;
}

static enum status read_frame(const ProtobufCMessage *message, bool from_client,
                              struct wire_frame *out, struct error *err)
{
    if (!find_kind(message, from_client, &out->kind))
        return error_set(err, STATUS_UNSUPPORTED,
                         "a frame of a kind that is not known here (protocol versions %d to %d)",
                         WIRE_VERSION_MIN, WIRE_VERSION_MAX);
    const struct wire_kind_ops *ops = ops_of(out->kind);
    enum status rc = ops->unpack(message, out, err);
    const char *problem = rc == STATUS_OK ? ops->problem(out) : NULL;
    if (problem)
        rc = error_set(err, STATUS_CORRUPT, "%s", problem);
    if (rc != STATUS_OK) {
        error_prefix(err, "frame %s refused", ops->name);
        wire_frame_release(out);
    }
    return rc;
}

enum status wire_unpack(const uint8_t *data, size_t size, bool from_client, struct wire_frame *out,
                        struct error *err)
{
    memset(out, 0, sizeof(*out));
    if (size > WIRE_FRAME_MAX)
        return error_set(err, STATUS_CORRUPT, "a frame of %zu bytes, the limit is %d", size,
                         WIRE_FRAME_MAX);
    ProtobufCMessage *message = NULL;
    enum status rc = wire_parse(from_client ? &specasr__v1__client_frame__descriptor
                                            : &specasr__v1__target_frame__descriptor,
                                data, size, UNPACK_MEMORY_MAX, &message, err);
    if (rc != STATUS_OK)
        return rc;
    rc = read_frame(message, from_client, out, err);
    wire_free_message(message);
    return rc;
}

void wire_frame_release(struct wire_frame *frame)
{
    switch (frame->kind) {
    case WIRE_OPEN:
        free(frame->u.open.resume);
        break;
    case WIRE_AUDIO:
        free(frame->u.audio.bytes);
        break;
    case WIRE_DRAFT:
        free(frame->u.draft.nodes);
        break;
    case WIRE_WINDOW_FINAL:
        free(frame->u.window_final.text);
        break;
    default:
        break;
    }
    memset(frame, 0, sizeof(*frame));
}
