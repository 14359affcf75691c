/* wire.h: the frames of Verify.Session as plain, validated C structs.
 *
 * Bytes become a struct wire_frame in one place and are checked there once: sizes, ranges, UTF-8,
 * parents before children, counts against the caps below. Behind this header nobody sees protobuf.
 * Our own frames assert; a peer's frame is refused with a status and a text that can be sent back.
 *
 * Finality (docs/WIRE.md): tokens are *decided* within (window, attempt) and may be taken back by a
 * new attempt; they are *committed* by WindowFinal, once, and never change.
 */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "wire/vocabulary.h"

enum { WIRE_VERSION_MIN = 1, WIRE_VERSION_MAX = 1 };

enum {
    WIRE_FRAME_MAX = 1 << 20,           /* bytes of one frame */
    WIRE_AUDIO_MAX = 64 * 1024,         /* bytes of audio in one frame */
    WIRE_DRAFT_NODES_MAX = 256,
    WIRE_TOKENS_MAX = 448,
    WIRE_PROMPT_MAX = 224,
    WIRE_TEXT_MAX = 16 * 1024,
    WIRE_UTTERANCES_MAX = 4,            /* open at once in one session */
    WIRE_MESSAGE_MAX = 320,
    WIRE_TOKEN_MAX = 1 << 19            /* token ids are below this */
};

enum wire_kind {
    /* client to target */
    WIRE_OPEN, WIRE_AUDIO, WIRE_END_OF_UTTERANCE, WIRE_DRAFT, WIRE_CANCEL, WIRE_STATS,
    /* target to client */
    WIRE_OPENED, WIRE_DECIDED, WIRE_WINDOW_FINAL, WIRE_UTTERANCE_FINAL, WIRE_PRICE, WIRE_NEED_FULL,
    WIRE_CANCELLED, WIRE_ALIVE, WIRE_DRAIN, WIRE_ERROR,
    WIRE_KIND_N
};

/* 16 kHz mono; FLAC: one self-contained stream per frame. */
enum wire_codec { WIRE_PCM_S16, WIRE_FLAC, WIRE_CODEC_N };

/* The rules a client asks for. */
struct wire_rules {
    char language[8];                   /* "en", "auto" */
    bool translate;
    bool timestamps;
    bool fallback;                      /* temperatures 0.2 .. 1.0 when greedy text looks broken */
    bool condition_on_previous;         /* previous window's text as prompt */
    bool use_drafts;                    /* false: the target alone */
    bool lockstep;                      /* only the client's tree, nothing overlapped */
    bool wait_draft;                    /* begin each window with the whole draft */
    bool verbatim;                      /* the target adds nothing to the client's trees */
    uint32_t rows_max;                  /* of a pass, 1..64; 0: as many as the target takes */
    float row_price;                    /* negative: the measured one; 0: rows are free; a factor */
    float temperature;                  /* first temperature; 0 greedy */
    uint64_t seed;
};

/* Where an unfinished utterance stands, says a client that reconnects: a claim, not a fact. */
struct wire_resume {
    uint32_t utterance;
    uint32_t window;
    uint32_t attempt;
    uint64_t window_start;              /* first sample of the window */
    uint32_t n_prompt;                  /* previous-text prompt of that window */
    int32_t prompt[WIRE_PROMPT_MAX];
    uint32_t n_decided;                 /* decided tokens of the attempt, offered like a draft */
    int32_t decided[WIRE_TOKENS_MAX];
    char language[8];                   /* detected language or "" */
};

struct wire_open {
    uint32_t version_min, version_max;
    uint8_t session[16];
    uint32_t epoch;                     /* one more per reconnect */
    uint64_t vocabulary_hash;           /* of the ids that the client's drafts use; 0: asks only */
    char draft_model[64];
    struct wire_rules rules;
    uint32_t n_resume;
    struct wire_resume *resume;         /* [n_resume], at most WIRE_UTTERANCES_MAX; owned */
};

struct wire_audio {
    uint32_t utterance;
    uint64_t first_sample;              /* in the utterance, at 16 kHz */
    enum wire_codec codec;
    uint32_t n_bytes;                   /* at least 1, even for PCM */
    uint8_t *bytes;                     /* owned by the frame */
};

struct wire_end_of_utterance {
    uint32_t utterance;
    uint64_t n_samples;                 /* whole length */
};

struct wire_node {
    int32_t token;                      /* target id */
    int32_t parent;                     /* index in the whole draft, below own; -1: the prefix */
    float confidence;                   /* 0..1; crosses in 8 bits: see wire_confidence */
};

struct wire_draft {
    uint32_t utterance, window, attempt;
    uint32_t number;                    /* per utterance, from 1, rising */
    uint32_t base;                      /* 0: whole; else a delta against an earlier draft */
    uint32_t n_base;                    /* first nodes of `base` that are kept; 0 when base is 0 */
    uint32_t n_prefix;                  /* decided tokens that the draft grew from */
    uint64_t prefix_hash;               /* wire_hash of those ids */
    bool complete;                      /* the draft reached its end token or its cap */
    uint32_t n_nodes;                   /* n_base + n_nodes is at most WIRE_DRAFT_NODES_MAX */
    struct wire_node *nodes;            /* [n_nodes]; node i has index n_base + i; owned */
};

struct wire_cancel { uint32_t utterance; };

struct wire_stats {                     /* what the client did, now and then and at the end */
    uint32_t utterance, draft_steps, draft_rows;
    uint64_t draft_encode_us, draft_decode_us;
    uint32_t rtt_us, rtt_sd_us, draft_step_us;  /* of late, a step per new token; 0: not known */
    uint64_t stamp_us;                  /* client's clock, comes back as Price.echo_us; 0: none */
};

struct wire_opened {
    uint32_t version;
    char model[64];
    uint64_t fingerprint;               /* model + rules + kernel family */
    uint64_t vocabulary_hash;
    uint32_t utterances_max;
    uint32_t audio_credit;              /* bytes of audio that may be under way at once */
    uint32_t n_next;                    /* per resumed utterance: the next sample that it lacks */
    struct { uint32_t utterance; uint64_t next_sample; } next[WIRE_UTTERANCES_MAX];
};

struct wire_decided {
    uint32_t utterance, window, attempt;
    uint32_t n_before;                  /* decided tokens before these */
    uint32_t n_tokens;
    int32_t tokens[WIRE_TOKENS_MAX];
    uint32_t draft_number;              /* newest draft in use (an acknowledgement); 0: none */
    uint64_t window_start;              /* first sample of the window */
    char language[8];                   /* in force for this attempt */
    uint64_t audio_received;            /* contiguous samples held: frees the client's credit */
};

struct wire_segment {
    uint64_t start, end;                /* samples in the utterance */
    uint32_t first_token, n_tokens;     /* slice of the window's tokens */
    uint32_t first_byte, n_bytes;       /* slice of the window's text */
};

struct wire_window_stats {
    uint32_t tokens;                    /* sampled, the end token among them, over all attempts */
    uint32_t passes, rounds, rows;
    uint64_t encode_us, decode_us;
    uint32_t drafts_used, drafts_dropped, claims_differing; /* claims: of resuming clients */
};

enum { WIRE_SEGMENTS_MAX = 128 };

struct wire_window_final {
    uint32_t utterance, window, attempt;
    uint64_t window_start, next_start;  /* samples; next_start: where the next window begins */
    uint32_t n_tokens;                  /* committed; without the end token */
    int32_t tokens[WIRE_TOKENS_MAX];
    uint32_t n_segments;
    struct wire_segment segments[WIRE_SEGMENTS_MAX];
    char *text;                         /* valid UTF-8, never NULL; owned by the frame */
    uint64_t digest;                    /* wire_hash over the window's tokens */
    uint32_t n_prompt;                  /* previous-text prompt for the next window */
    int32_t prompt[WIRE_PROMPT_MAX];
    char language[8];
    float temperature, mean_logprob, no_speech, compression_ratio;
    bool skipped;                       /* silence: no text */
    struct wire_window_stats stats;
};

struct wire_utterance_final {           /* after the last WindowFinal of an utterance */
    uint32_t utterance;
    uint32_t n_windows;
};

struct wire_price {
    uint32_t step_us, row_us, queue_us;
    uint32_t depth, width;              /* advised; depth 0: do not draft */
    uint64_t echo_us;                   /* Stats.stamp_us that this answers; 0: none */
};

struct wire_need_full { uint32_t utterance, window, attempt; };
struct wire_cancelled { uint32_t utterance; };
struct wire_alive { uint32_t utterance; uint32_t queue_us; };
struct wire_drain { uint32_t grace_ms; };

struct wire_error {
    enum status code;
    bool fatal;                         /* the session ends; else only the utterance */
    uint32_t utterance;
    uint32_t retry_ms;                  /* 0: do not retry */
    char message[WIRE_MESSAGE_MAX];
};

struct wire_frame {
    enum wire_kind kind;
    union {
        struct wire_open open;
        struct wire_audio audio;
        struct wire_end_of_utterance end_of_utterance;
        struct wire_draft draft;
        struct wire_cancel cancel;
        struct wire_stats stats;
        struct wire_opened opened;
        struct wire_decided decided;
        struct wire_window_final window_final;
        struct wire_utterance_final utterance_final;
        struct wire_price price;
        struct wire_need_full need_full;
        struct wire_cancelled cancelled;
        struct wire_alive alive;
        struct wire_drain drain;
        struct wire_error error;
    } u;
};

/* Packs a frame. Asserts on what a peer would refuse; STATUS_NO_MEMORY is the only failure. */
MUST_CHECK enum status wire_pack(const struct wire_frame *frame, struct wire_bytes *out,
                                 struct error *err);

/* Unpacks and validates. On STATUS_OK the caller releases the frame with wire_frame_release; on
 * failure there is nothing to release: STATUS_CORRUPT (breaks the rules; the text says which),
 * _UNSUPPORTED (a kind or codec of a later version), _NO_MEMORY. `from_client` says which half of
 * the kinds is acceptable. Unknown fields are ignored. */
MUST_CHECK enum status wire_unpack(const uint8_t *data, size_t size, bool from_client,
                                   struct wire_frame *out, struct error *err);
void wire_frame_release(struct wire_frame *frame);

/* 64-bit hash (XXH3) of token ids as little-endian int32. */
uint64_t wire_hash(const int32_t *tokens, uint32_t n_tokens);

/* What a confidence in 0..1 becomes on the other side: the nearest multiple of 1/255. */
float wire_confidence(float confidence);

/* The version to speak with a peer that offers low..high; 0: none in common. */
uint32_t wire_version(uint32_t low, uint32_t high);

/* Lower-case name of a kind, for logs and errors: "window_final". */
const char *wire_kind_name(enum wire_kind kind);

#endif
