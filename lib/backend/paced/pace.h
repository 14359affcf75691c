/* pace.h: what a step of some other machine and model takes, read from a table.
 *
 *     # comment: where the figures are from
 *     encode  85
 *     rows    ms
 *     1       16.2
 *     64      17.0
 *
 * Times in milliseconds; row counts rise; between two of them the time is interpolated, outside it
 * is that of the nearest. Times must not be below what this machine needs for the same work: who
 * reads the results sees that from `late` (paced.h).
 */
#ifndef BACKEND_PACED_PACE_H
#define BACKEND_PACED_PACE_H

#include <stdint.h>

#include "base/status.h"

enum { PACE_POINTS_MAX = 16 };

struct pace {
    float encode_ms;
    uint32_t n;
    uint32_t rows[PACE_POINTS_MAX];
    float ms[PACE_POINTS_MAX];
};

/* STATUS_NOT_FOUND, STATUS_IO; STATUS_CORRUPT with the line that does not fit. */
MUST_CHECK enum status pace_read(const char *path, struct pace *pace, struct error *err);

float pace_ms(const struct pace *pace, uint32_t rows);

#endif
