#include "vocabulary.h"

enum status vocabulary_pack(const struct tokenizer *tokenizer, struct vocabulary *out,
                            struct error *err)
{
    struct tokenizer_source source;
    tokenizer_describe(tokenizer, &source);
    const struct special_tokens *s = &source.special;
    struct wire_vocabulary message = {
        .hash = source.hash,
        .n_tokens = source.n_tokens,
        .offsets = (uint32_t *)(uintptr_t)source.offsets,
        .bytes = (uint8_t *)(uintptr_t)source.bytes,
        .special = {s->end, s->start, s->translate, s->transcribe, s->previous, s->no_speech,
                    s->no_timestamps, s->timestamp_begin, s->language_begin},
        .n_languages = source.n_languages,
        .languages = (char(*)[4])(uintptr_t)source.languages,
    };
    out->hash = source.hash;
    return wire_vocabulary_pack(&message, &out->packed, err);
}

void vocabulary_release(struct vocabulary *vocabulary)
{
    wire_bytes_release(&vocabulary->packed);
}

static void vocabulary_on_message(struct rpc_call *call, const uint8_t *data, size_t size)
{
    const struct vocabulary *vocabulary = rpc_user(call);
    uint64_t hash;
    struct error err;
    enum status rc = wire_vocabulary_request_unpack(data, size, &hash, &err);
    if (rc == STATUS_OK && hash != 0 && hash != vocabulary->hash)
        rc = error_set(&err, STATUS_NOT_FOUND, "this target has another vocabulary");
    if (rc != STATUS_OK) {
        rpc_finish(call, rc, err.text);
        return;
    }
    (void)rpc_send(call, vocabulary->packed.data, vocabulary->packed.size);
    rpc_finish(call, STATUS_OK, "");
}

const struct rpc_handler vocabulary_handler = {.on_message = vocabulary_on_message};
