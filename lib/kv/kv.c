#include "kv/kv.h"

#include <string.h>

#include "base/status.h"

void kv_init(struct kv *kv, uint32_t n_positions)
{
    SA_ASSERT(n_positions + KV_ROWS_MAX <= UINT16_MAX);
    memset(kv, 0, sizeof(*kv));
    kv->n_positions = n_positions;
}

void kv_begin(struct kv *kv)
{
    for (uint32_t i = 0; i < KV_ROWS_MAX; i++)
        kv->rows[i].present = false;
    kv->n_rows = 0;
}

bool kv_add(struct kv *kv, uint32_t row, int32_t parent)
{
    SA_ASSERT(row < KV_ROWS_MAX && !kv->rows[row].present);
    SA_ASSERT(parent >= -1 && parent < KV_ROWS_MAX);
    SA_ASSERT(parent < 0 || kv->rows[parent].present);
    uint32_t position = parent < 0 ? kv->n_kept : kv->rows[parent].position + 1u;
    if (position >= kv->n_positions)
        return false;
    kv->rows[row] = (struct kv_row){
        .position = (uint16_t)position,
        .slot = (uint16_t)(kv->n_kept + kv->n_rows),
        .parent = (int8_t)parent,
        .present = true,
    };
    kv->n_rows++;
    return true;
}

uint32_t kv_path(const struct kv *kv, uint32_t row, uint32_t slots[KV_ROWS_MAX])
{
    SA_ASSERT(row < KV_ROWS_MAX && kv->rows[row].present);
    uint32_t n = kv->rows[row].position - kv->n_kept + 1;
    int32_t at = (int32_t)row;
    for (uint32_t i = n; i-- > 0;) {
        slots[i] = kv->rows[at].slot;
        at = kv->rows[at].parent;
    }
    SA_ASSERT(at == -1);
    return n;
}

uint32_t kv_keep(struct kv *kv, uint32_t n_base, const uint8_t *rows, uint32_t n_rows,
                 struct kv_move *moves)
{
    SA_ASSERT(n_base <= kv->n_kept);
    SA_ASSERT(n_rows == 0 || n_base == kv->n_kept);
    SA_ASSERT(n_rows <= kv->n_rows);
    uint32_t n_moves = 0;
    int32_t parent = -1;
    for (uint32_t i = 0; i < n_rows; i++) {
        SA_ASSERT(rows[i] < KV_ROWS_MAX && kv->rows[rows[i]].present);
        const struct kv_row *row = &kv->rows[rows[i]];
        SA_ASSERT(row->parent == parent && row->position == n_base + i);
        /* A parent is added before its child, so slots rise along a path: a copy never overwrites a
         * row that is still to be copied. */
        if (row->slot != row->position)
            moves[n_moves++] = (struct kv_move){.from = row->slot, .to = row->position};
        parent = rows[i];
    }
    kv->n_kept = n_base + n_rows;
    kv_begin(kv);
    return n_moves;
}
