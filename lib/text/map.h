/* map.h: a draft's tokens in the target's vocabulary, and the way back.
 *
 *     decided (target ids)    | 0.00  He  hop ed                     open span: " He hoped"
 *     draft   (draft ids)     |                   there  would  4.20  END
 *     mapped  (target ids)    |                   there  would  4.20  END
 *
 * Text is cut at timestamps and other special tokens into spans; each span is encoded by itself,
 * its leading space kept. Timestamps go over by value, languages by code, other special tokens by
 * role; a draft ends before a special token that the target does not have.
 *
 * First span: when encode(open decided text + draft text) begins with the decided ids, the rest of
 * it is the continuation; else encode(draft text) alone. Confidence of a mapped token: the least
 * among the draft pieces that share a byte with it.
 *
 * Vocabularies with equal hashes: ids and confidences pass untouched.
 */
#ifndef TEXT_MAP_H
#define TEXT_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "text/tokenizer.h"

struct map_piece {
    int32_t token;
    float confidence;                   /* 0..1 */
};

/* Appended to, as struct token_list. */
struct map_pieces {
    struct map_piece *pieces;
    uint32_t n;
    uint32_t max;
};

/* What the draft says. Until it is complete its last word is held back, because more text may merge
 * into it: what a growing draft has given once stays a prefix of what it gives later. */
struct map_draft {
    const int32_t *decided;             /* target ids of this window that the draft grew from */
    uint32_t n_decided;
    const struct map_piece *pieces;     /* draft ids that follow */
    uint32_t n_pieces;
    bool complete;                      /* no more pieces follow, see below */
};

struct text_map;

/* Borrows both tokenizers until it is freed. tokens_max: most ids of one call (decided + draft);
 * scratch is sized by it. One thread at a time. */
MUST_CHECK enum status text_map_new(const struct tokenizer *draft, const struct tokenizer *target,
                                    uint32_t tokens_max, struct text_map **out, struct error *err);
void text_map_free(struct text_map **map);

/* Equal vocabularies? */
bool text_map_is_identity(const struct text_map *map);

/* Appends the target ids that the draft proposes after the decided ones. STATUS_INVALID for ids out
 * of range or more than tokens_max, STATUS_EXHAUSTED when `out` is too small; on failure nothing is
 * appended. */
MUST_CHECK enum status text_map_to_target(struct text_map *map, const struct map_draft *draft,
                                          struct map_pieces *out, struct error *err);

/* Appends the draft ids of decided target ids (the draft's own prefix). Errors as above. Bytes of
 * an incomplete last character are kept: they become byte tokens; the draft goes on from there. */
MUST_CHECK enum status text_map_to_draft(struct text_map *map, const int32_t *decided,
                                         uint32_t n_decided, struct token_list *out,
                                         struct error *err);

#endif
