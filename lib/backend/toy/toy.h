/* toy.h: a backend without a model, for tests: same verbs, same row semantics, microseconds a pass.
 *
 * "Speech" is a script: a short list of text tokens drawn from a hash of the first mel frames (the
 * last two are left out, a cut window may differ there), so that backends of one vocabulary hear
 * the same words in the same features. What a backend says at each place of the script is its own:
 * with `mistakes` it mishears some places (another token, one left out, one put in), keyed by its
 * seed. Logits are noise keyed by (seed, audio, whole path) plus a peak at the next token, so a row
 * that attends to a wrong key gets other logits, as in a real model.
 *
 * With `recorded` length, mistakes and confidences are those of a recording, chosen by the audio.
 *
 * The path says what to do: without <|notimestamps|> in it segments are bracketed by timestamps;
 * after the script comes the end token.
 */
#ifndef BACKEND_TOY_TOY_H
#define BACKEND_TOY_TOY_H

#include "backend/backend.h"
#include "backend/paced/pace.h"

/* What a real draft model made of a real target's text: a letter for each step from the one to the
 * other. '=': the same token, 's': another, 'd': the draft left one out, 'i': it put one in. */
struct toy_recorded {
    float seconds;              /* of speech */
    const char *edits;
    const char *confidence;     /* of the draft's tokens and its end: 'a' + 5 + 2 ln(odds) */
};

struct toy_options {
    uint64_t seed;
    float mistakes;             /* share of places misheard, 0..1 */
    uint32_t script_max;        /* longest script in text tokens; 0: 40 */
    uint32_t script_min;        /* shortest; 0: 1 */
    uint32_t encode_slices;     /* encode takes this many slices under a budget of 0; 0: 4 */
    bool prompted;              /* the first word depends on the previous text in the prompt */
    const struct toy_recorded *recorded;    /* borrowed; script_min, script_max, mistakes: unused */
    uint32_t n_recorded;        /* 0: none */
    bool drafts;                /* it makes the mistakes of the recording's draft model */
    const struct kernels *kernels;  /* NULL: kernels_find(NULL) */
    const struct toy_time *time;    /* copied; NULL: work takes no time but its own */
};

/* Virtual time: passes and encoder slices (of the budget's length) are told what they take. */
struct toy_time {
    const struct pace *pace;    /* borrowed for the backend's life */
    void (*spend)(void *context, uint64_t us);
    void *context;
};

/* A small multilingual vocabulary with all special tokens and 1,501 timestamps: text tokens
 * 0..455. */
void toy_description(struct model_description *out);

/* Sequences that are open: who opens them must close them. */
uint32_t toy_open_sequences(const struct backend *toy);

/* Borrows the description for the backend's life. `options` may be NULL. */
MUST_CHECK enum status toy_backend_new(const struct model_description *description,
                                       const struct toy_options *options, struct backend **out,
                                       struct error *err);

/* The recording that these features hold. */
uint32_t toy_recording(const struct toy_options *options, const struct backend_features *features);

/* The script that these features hold; returns its length (at most `max`). */
uint32_t toy_script(const struct model_description *description, const struct toy_options *options,
                    const struct backend_features *features, int32_t *tokens, uint32_t max);

#endif
