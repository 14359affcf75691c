/* nearest.c: the name that a typing slip probably meant.
 *
 * Distance: insertions, deletions, substitutions and swaps of neighbours, each 1 (the "optimal
 * string alignment" distance). A name that begins with what was typed counts as a distance of 1.
 */
#include <string.h>

#include "config/options_int.h"

enum { NAME_MAX_BYTES = 48 };

static size_t distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    if (n > NAME_MAX_BYTES || m > NAME_MAX_BYTES)
        return NAME_MAX_BYTES;
    unsigned char cost[NAME_MAX_BYTES + 1][NAME_MAX_BYTES + 1];
    for (size_t i = 0; i <= n; i++)
        cost[i][0] = (unsigned char)i;
    for (size_t j = 0; j <= m; j++)
        cost[0][j] = (unsigned char)j;
    for (size_t i = 1; i <= n; i++)
        for (size_t j = 1; j <= m; j++) {
            int change = cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            int best = MIN(change, MIN(cost[i - 1][j], cost[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = MIN(best, cost[i - 2][j - 2] + 1);
            cost[i][j] = (unsigned char)best;
        }
    return cost[n][m];
}

/* Better than the best so far, and near enough to be meant: a third of the letters may differ. */
static void consider(const char *typed, const char *name, const char **best, size_t *best_distance)
{
    size_t n = strlen(typed);
    size_t d = distance(typed, name);
    if (n >= 2 && strncmp(typed, name, n) == 0)
        d = MIN(d, 1);
    if (d <= MAX(n / 3, 1) && d < n && d < *best_distance) {
        *best = name;
        *best_distance = d;
    }
}

const char *nearest_name(const char *name, const char *const *names, size_t n)
{
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;
    for (size_t i = 0; i < n; i++)
        consider(name, names[i], &best, &best_distance);
    return best;
}

const char *options_nearest(const struct option_program *program, const char *name)
{
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;
    for (size_t i = 0; i < program->n_options; i++)
        consider(name, program->options[i].name, &best, &best_distance);
    for (size_t i = 0; i < OPTION_BUILTIN_N; i++)
        consider(name, option_builtins[i].name, &best, &best_distance);
    return best;
}
