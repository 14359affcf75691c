/* wire_int.h: what the files of lib/wire share. Only they see protobuf. */
#ifndef WIRE_WIRE_INT_H
#define WIRE_WIRE_INT_H

#include "verify.pb-c.h"
#include "wire/wire.h"

/* What is to be known about a kind. `pack` trusts the frame; `unpack` checks no more than what its
 * own copying needs (counts against array sizes) and leaves the meaning to `problem`. */
struct wire_kind_ops {
    const char *name;
    unsigned oneof;                     /* the case in ClientFrame or TargetFrame */
    enum status (*pack)(const struct wire_frame *frame, struct wire_bytes *out, struct error *err);
    enum status (*unpack)(const void *message, struct wire_frame *out, struct error *err);
    const char *(*problem)(const struct wire_frame *frame);
};

enum { WIRE_CLIENT_KIND_N = WIRE_STATS + 1, WIRE_TARGET_KIND_N = WIRE_KIND_N - WIRE_CLIENT_KIND_N };

extern const struct wire_kind_ops wire_client_kinds[WIRE_CLIENT_KIND_N];
extern const struct wire_kind_ops wire_target_kinds[WIRE_TARGET_KIND_N];

/* ---- check.c: what makes a frame wrong, in words; NULL: nothing ---- */

const char *wire_problem_open(const struct wire_frame *frame);
const char *wire_problem_audio(const struct wire_frame *frame);
const char *wire_problem_end_of_utterance(const struct wire_frame *frame);
const char *wire_problem_draft(const struct wire_frame *frame);
const char *wire_problem_opened(const struct wire_frame *frame);
const char *wire_problem_decided(const struct wire_frame *frame);
const char *wire_problem_window_final(const struct wire_frame *frame);
const char *wire_problem_error(const struct wire_frame *frame);
const char *wire_problem_none(const struct wire_frame *frame);

/* ---- bytes.c: protobuf in and out ---- */

enum status wire_emit(const ProtobufCMessage *message, struct wire_bytes *out, struct error *err);

/* Unpacks with at most `memory_max` bytes of memory, after a look at the raw bytes for what
 * protobuf-c would hide: a NUL inside a string. The caller frees with wire_free_message. */
enum status wire_parse(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t size,
                       size_t memory_max, ProtobufCMessage **out, struct error *err);
void wire_free_message(ProtobufCMessage *message);

/* Copies text into a fixed array; STATUS_CORRUPT naming `field` when it does not fit. */
enum status wire_copy_text(char *dst, size_t capacity, const char *src, const char *field,
                           struct error *err);

/* The same for ids. An id above INT32_MAX becomes negative, which the checks refuse. */
enum status wire_copy_tokens(int32_t *dst, uint32_t *n, size_t capacity, const uint32_t *src,
                             size_t n_src, struct error *err);

#endif
