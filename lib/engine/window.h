/* window.h: what becomes of one decoded window of 30 s: pure functions over plain data.
 *
 * Long audio is decoded window by window (openai/whisper transcribe.py). After each attempt:
 *
 *     judge    accept the text, try again at a higher temperature, or skip the window as silence
 *     cut      slice accepted tokens into segments at timestamp pairs, and find where the next
 *              window begins: at the last timestamp, or at the end of this window
 *     prompt   which tokens condition the next window
 */
#ifndef ENGINE_WINDOW_H
#define ENGINE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "model/model.h"

enum {
    WINDOW_RATE = 16000,                    /* samples per second */
    WINDOW_SAMPLES = 30 * WINDOW_RATE,
    WINDOW_HOP = 160,                       /* samples per mel frame */
    WINDOW_FRAMES = WINDOW_SAMPLES / WINDOW_HOP,
    WINDOW_TIMESTAMP_SAMPLES = 320,         /* one timestamp step, 20 ms */
    WINDOW_FIRST_TIMESTAMP_MAX = 50,        /* steps: text begins within 1.0 s (decoding.py) */
    WINDOW_TOKENS_MAX = 448,
    WINDOW_SEGMENTS_MAX = 128,
    WINDOW_PROMPT_MAX = 223                 /* n_positions / 2 - 1 */
};

/* transcribe.py's defaults are in window_limits_default. */
struct window_limits {
    bool fallback;                          /* try higher temperatures */
    float compression_max;                  /* 2.4: above it the text repeats itself */
    float mean_logprob_min;                 /* -1.0: below it the text is a guess */
    float no_speech_max;                    /* 0.6: above it, with a low log-probability: silence */
    float temperature_step;                 /* 0.2 */
    float temperature_max;                  /* 1.0 */
    bool condition_on_previous;
};

struct window_limits window_limits_default(void);

/* What one attempt gave. */
struct window_attempt {
    float temperature;
    float mean_logprob;                     /* sum of log-probabilities / (tokens + 1) */
    float no_speech;                        /* probability of the no-speech token, at the start */
    float compression_ratio;                /* UTF-8 bytes of the text / bytes after zlib */
};

enum window_verdict { WINDOW_ACCEPT, WINDOW_RETRY, WINDOW_SKIP };

enum window_verdict window_judge(const struct window_limits *limits,
                                 const struct window_attempt *attempt);

/* Bytes of text over bytes of its zlib stream (level 6); 0 for no text. */
float window_compression_ratio(const char *text, size_t n_bytes);

struct window_segment {
    uint64_t start, end;                    /* samples in the utterance */
    uint32_t first_token, n_tokens;         /* slice of window_cut's tokens */
};

/* A cut window: the committed tokens (those of finished segments), where the next one begins. */
struct window_cut {
    uint64_t next_start;
    uint32_t n_tokens;
    int32_t tokens[WINDOW_TOKENS_MAX];
    uint32_t n_segments;
    struct window_segment segments[WINDOW_SEGMENTS_MAX];
};

/* What was decoded, to be cut. A token is blank when it has no bytes but white space (NULL: no
 * token is). */
struct window_decoded {
    const int32_t *tokens;                  /* sampled, without the end token */
    uint32_t n_tokens;                      /* at most WINDOW_TOKENS_MAX */
    uint64_t start;                         /* first sample of the window */
    uint64_t n_samples;                     /* of audio in it, at most WINDOW_SAMPLES */
    bool (*blank)(const void *context, int32_t token);
    const void *context;
};

/* next_start is always above start. */
void window_cut(const struct model_description *model, const struct window_decoded *decoded,
                struct window_cut *out);

/* Samples of the window at `start` in an utterance of `n_total` samples; 0: nothing is left to
 * decode (less than one mel frame). */
uint64_t window_samples(uint64_t start, uint64_t n_total);

/* The previous-text prompt: a sliding list of committed tokens. */
struct window_prompt {
    uint32_t n;
    int32_t tokens[WINDOW_PROMPT_MAX];
};

/* Appends a window's committed tokens, or forgets everything when the rules say so (not conditioned
 * on previous text, or the window was decoded at a temperature over 0.5). */
void window_prompt_update(struct window_prompt *prompt, const struct window_limits *limits,
                          float temperature, const int32_t *tokens, uint32_t n_tokens);

#endif
