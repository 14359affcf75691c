/* kv.h: which slot of a key/value store holds which token. Pure bookkeeping, no numbers.
 *
 *     slots   0 1 2 3 4 | 5  6  7  8         kept rows lie at 0..n_kept-1 in logical order,
 *             kept      | r0 r1 r2 r3        the rows of the current call behind them
 *
 * A row's position is n_kept + its depth; its slot is n_kept + its number within the call, so
 * siblings share a position but never a slot. Keeping a path moves its rows down to the slots that
 * equal their positions; for a chain they are there already and nothing moves. Rewinding is a
 * counter.
 *
 * Rows are named by the caller's own numbers (a call may mix rows of many sequences): any number
 * below KV_ROWS_MAX, each once per call.
 */
#ifndef KV_KV_H
#define KV_KV_H

#include <stdbool.h>
#include <stdint.h>

enum { KV_ROWS_MAX = 64 };

struct kv_row {
    uint16_t position;
    uint16_t slot;
    int8_t parent;              /* caller's number, -1: the last kept row */
    bool present;
};

/* Plain data; copy it to take a mark. */
struct kv {
    uint32_t n_positions;       /* longest logical sequence */
    uint32_t n_kept;
    uint32_t n_rows;            /* provisional rows, in slots n_kept .. n_kept + n_rows - 1 */
    struct kv_row rows[KV_ROWS_MAX];    /* by the caller's number */
};

struct kv_move {
    uint32_t from;
    uint32_t to;                /* below from */
};

/* Slots that a store for n_positions must have: any tree of KV_ROWS_MAX rows fits at the very end.
 * */
static inline uint32_t kv_slots(uint32_t n_positions)
{
    return n_positions + KV_ROWS_MAX;
}

/* Nothing kept, no rows. n_positions is at most 65,535 - KV_ROWS_MAX. */
void kv_init(struct kv *kv, uint32_t n_positions);

/* Drops the provisional rows: the start of a new call. */
void kv_begin(struct kv *kv);

/* Adds provisional row `row` below `parent` (a row added before, or -1). False, and nothing
 * changed, when its position would be n_positions or more. */
bool kv_add(struct kv *kv, uint32_t row, int32_t parent);

/* Slots of the row's ancestors among the provisional rows, top first, the row itself last: what it
 * attends to behind the kept slots 0..n_kept-1, in logical order. Returns their number (position of
 * the row - n_kept + 1), at most KV_ROWS_MAX. */
uint32_t kv_path(const struct kv *kv, uint32_t row, uint32_t slots[KV_ROWS_MAX]);

/* Rewinds to n_base kept rows, then keeps `rows` (n_rows of the caller's numbers: each the child of
 * the one before, the first a child of the last kept row; n_base == n_kept unless n_rows is 0).
 * Drops the other provisional rows. Fills `moves` (room for KV_ROWS_MAX) with the copies between
 * slots that the store must now make, in this order; returns their number. */
uint32_t kv_keep(struct kv *kv, uint32_t n_base, const uint8_t *rows, uint32_t n_rows,
                 struct kv_move *moves);

#endif
