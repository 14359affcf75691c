/* row.c: a row of logits with an index: where something is looked for, most groups are only
 * looked at through their largest entry.
 *
 *     range      |------ edge -----|== group ==|== group ==|-- edge --|---- not indexed ----|
 *     looked at   its entries        1 number    1 number    entries    entries
 */
#include <math.h>

#include "rules/rules_int.h"

/* A part of a range: entries [from, to), or groups [from, to). */
struct part {
    uint32_t from, to;
    bool groups;
};

enum { PARTS_MAX = 4 };

static uint32_t group_end(const struct rules_row *row, uint32_t group)
{
    return MIN((group + 1) * RULES_GROUP, row->n_indexed);
}

static uint32_t split(const struct rules_row *row, struct rules_range range,
                      struct part parts[PARTS_MAX])
{
    uint32_t n = 0, indexed_to = MIN(range.to, row->n_indexed), at = range.from;
    uint32_t first = (range.from + RULES_GROUP - 1) / RULES_GROUP, last = first;
    while (last * RULES_GROUP < indexed_to && group_end(row, last) <= indexed_to)
        last++;
    if (first < last) {
        uint32_t start = first * RULES_GROUP;
        if (at < start)
            parts[n++] = (struct part){at, start, false};
        parts[n++] = (struct part){first, last, true};
        at = group_end(row, last - 1);
    }
    if (at < range.to)
        parts[n++] = (struct part){at, range.to, false};
    return n;
}

static const float *numbers(const struct rules_row *row, const struct part *part)
{
    return (part->groups ? row->largest : row->logits) + part->from;
}

float row_max(const struct rules_row *row, const struct kernels *kernels, struct rules_range range)
{
    struct part parts[PARTS_MAX];
    float most = -INFINITY;
    for (uint32_t i = 0, n = split(row, range, parts); i < n; i++)
        most = MAX(most, kernels->max(numbers(row, &parts[i]), parts[i].to - parts[i].from));
    return most;
}

uint32_t row_argmax(const struct rules_row *row, const struct kernels *kernels,
                    struct rules_range range)
{
    struct part parts[PARTS_MAX];
    uint32_t n = split(row, range, parts), best = 0;
    float most = -INFINITY;
    SA_ASSERT(n > 0);
    for (uint32_t i = 0; i < n; i++) {
        const float *x = numbers(row, &parts[i]);
        uint32_t at = parts[i].from + (uint32_t)kernels->argmax(x, parts[i].to - parts[i].from);
        float value = x[at - parts[i].from];
        if (i > 0 && !(value > most))
            continue;
        most = value;
        if (parts[i].groups) {
            uint32_t start = at * RULES_GROUP;
            at = start + (uint32_t)kernels->argmax(row->logits + start, group_end(row, at) - start);
        }
        best = at;
    }
    return best;
}

void row_set(const struct rules_row *row, const struct kernels *kernels, uint32_t token,
             float value)
{
    float was = row->logits[token];
    row->logits[token] = value;
    if (token >= row->n_indexed)
        return;
    uint32_t group = token / RULES_GROUP, start = group * RULES_GROUP;
    float *largest = &row->largest[group];
    if (value >= *largest)
        *largest = value;
    else if (was >= *largest)
        *largest = kernels->max(row->logits + start, group_end(row, group) - start);
}
