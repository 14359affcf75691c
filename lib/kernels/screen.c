#include "kernels/screen.h"

#include <float.h>
#include <math.h>

/* Factors reach from 2^-10 to 2^6, in 4 bits from 2^-14 to 2^2: with larger ones the scale of a
 * block may pass 65,504. */
enum { FACTOR_HIGHEST_Q8 = 6, FACTOR_HIGHEST_Q4 = 2, FACTOR_RANGE = 16 };

bool screen_fits(const struct matrix *full)
{
    return full->type == WEIGHT_F16 && full->n_in % Q8_BLOCK == 0 && full->n_in <= 1 << 16 &&
           matrix_panels(full->n_out) <= UINT16_MAX;
}

float screen_trust(uint32_t n_in)
{
    return MIN(SCREEN_SIGMAS / sqrtf((float)n_in), 1.0f);
}

static size_t copy_bytes(const struct matrix *full, enum weight_type type)
{
    return (matrix_bytes(type, full->n_out, full->n_in) + 63) / 64 * 64;
}

size_t screen_bytes(const struct matrix *full, enum weight_type type)
{
    size_t n_floats = 2 * (size_t)matrix_panels(full->n_out) * PANEL + 2 * (size_t)full->n_in;
    return copy_bytes(full, type) + n_floats * sizeof(float);
}

/* The power of two that is nearest to gain^(3/4), before it is put in its place. */
static int exponent_of(float gain)
{
    float root = sqrtf(fabsf(gain));
    int exponent = 0;
    float m = frexpf(root * sqrtf(root), &exponent);
    return m < 0.70710678f ? exponent - 1 : exponent;
}

static void set_factors(float *factor, float *inverse, const float *gain, uint32_t n, int most)
{
    int highest = exponent_of(gain[0]);
    for (uint32_t k = 1; k < n; k++)
        highest = MAX(highest, exponent_of(gain[k]));
    for (uint32_t k = 0; k < n; k++) {
        int exponent = most + MAX(exponent_of(gain[k]) - highest, -FACTOR_RANGE);
        factor[k] = ldexpf(1.0f, exponent);
        inverse[k] = ldexpf(1.0f, -exponent);
    }
}

struct screen screen_at(void *memory, const struct matrix *full, enum weight_type type, float trust,
                        const float *gain)
{
    SA_ASSERT(screen_fits(full) && weight_is_integer(type));
    size_t n_lanes = (size_t)matrix_panels(full->n_out) * PANEL;
    float *at = (float *)(void *)((char *)memory + copy_bytes(full, type));
    struct screen screen = {
        .full = full,
        .copy = {.type = type, .n_out = full->n_out, .n_in = full->n_in, .data = memory},
        .trust = trust, .loss = at, .size = at + n_lanes,
        .factor = at + 2 * n_lanes, .inverse = at + 2 * n_lanes + full->n_in,
    };
    set_factors(at + 2 * n_lanes, at + 2 * n_lanes + full->n_in, gain, full->n_in,
                type == WEIGHT_Q4_0 ? FACTOR_HIGHEST_Q4 : FACTOR_HIGHEST_Q8);
    return screen;
}

/* A norm out of a sum of n squares, rounded up: each addition was off by a part of u = 2^-24 at
 * most, each difference before it by another. */
static float norm_above(float sum, uint32_t n)
{
    double slack = 1.0 + (n + 8.0) * 0x1p-24;
    return (float)(sqrt((double)sum) * slack * (1.0 + 0x1p-22)) + 1e-15f;
}

void screen_fill(struct screen *screen, const struct kernels *kernels, uint32_t panel_from,
                 uint32_t panel_to)
{
    uint32_t n_in = screen->full->n_in;
    for (uint32_t panel = panel_from; panel < panel_to; panel++) {
        float norms[2][PANEL];
        kernels->screen_pack(&screen->copy, screen->full, panel, screen->factor, norms);
        for (size_t lane = 0, at = (size_t)panel * PANEL; lane < PANEL; lane++) {
            screen->loss[at + lane] = norm_above(norms[0][lane], n_in);
            screen->size[at + lane] = norm_above(norms[1][lane], n_in);
        }
    }
}

/* |x| and |x - q|, the sums in four parts. */
static void norms(const float *x, struct q8_rows q, uint32_t n, double *size, double *loss)
{
    double sizes[4] = {0}, losses[4] = {0};
    for (uint32_t k = 0; k < n; k++) {
        double d = (double)x[k] - (double)q.scale[k / Q8_BLOCK] * q.q[k];
        sizes[k % 4] += (double)x[k] * (double)x[k];
        losses[k % 4] += d * d;
    }
    *size = sqrt(sizes[0] + sizes[1] + (sizes[2] + sizes[3]));
    *loss = sqrt(losses[0] + losses[1] + (losses[2] + losses[3]));
}

struct screened screen_row(const struct screen *screen, const struct kernels *kernels,
                           const float *x, float *scaled, struct q8_rows to)
{
    uint32_t n = screen->full->n_in;
    for (uint32_t k = 0; k < n; k++)
        scaled[k] = x[k] * screen->inverse[k];
    kernels->quantise(to, scaled, n);
    double u = 0x1p-24, more = 1.0 + 0x1p-18, size, loss;
    double full = n * u / (1.0 - n * u);
    double blocks = (n / Q8_BLOCK + 1.0) * u / (1.0 - (n / Q8_BLOCK + 1.0) * u);
    norms(scaled, to, n, &size, &loss);
    double by_size = (1.0 + blocks) * loss + (full + blocks) * size + 4.0 * u * (size + loss);
    return (struct screened){
        .loss = screen->loss,
        .size = screen->size,
        .by_loss = ((float)((1.0 + full) * size * more) + 1e-15f) * screen->trust,
        .by_size = ((float)(by_size * more) + 1e-15f) * screen->trust,
    };
}

static float bound_of(const struct screened *job, size_t i)
{
    return job->by_loss * job->loss[i] + job->by_size * job->size[i];
}

/* May some product of the panel be `least` or more? */
static bool may_reach(const struct screened *job, uint32_t panel, float least)
{
    for (size_t i = (size_t)panel * PANEL; i < ((size_t)panel + 1) * PANEL; i++)
        if (!(job->row[i] + bound_of(job, i) < least))
            return true;
    return false;
}

/* Is some product of the panel `least` or more? */
static bool reaches(const struct screened *job, uint32_t panel, float least)
{
    for (size_t i = (size_t)panel * PANEL; i < ((size_t)panel + 1) * PANEL; i++)
        if (job->row[i] - bound_of(job, i) >= least)
            return true;
    return false;
}

struct pair {
    float best, second;
};

/* Computes a panel into the row; what is not wanted stays so. Enters the others into the pair. */
static void compute_panel(const struct screen *screen, const struct kernels *kernels,
                          const struct screened *job, const float *x, uint16_t panel,
                          struct pair *pair)
{
    float *lanes = job->row + (size_t)panel * PANEL, before[PANEL];
    for (uint32_t i = 0; i < PANEL; i++)
        before[i] = lanes[i];
    kernels->linear_some(screen->full, x, &panel, 1, job->row);
    for (uint32_t i = 0; i < PANEL; i++) {
        lanes[i] = before[i] == -INFINITY ? -INFINITY : lanes[i];
        if (lanes[i] > pair->best) {
            pair->second = pair->best;
            pair->best = lanes[i];
        } else if (lanes[i] > pair->second) {
            pair->second = lanes[i];
        }
    }
}

/* Computes up to two panels where a product is surely `low` or more; returns how many. */
static uint32_t compute_first(const struct screen *screen, const struct kernels *kernels,
                              const struct screened *job, const float *x, uint16_t *panels,
                              struct pair *pair, float low)
{
    uint32_t n = 0;
    for (uint32_t group = 0; group < screen_groups(job->n_panels); group++) {
        uint32_t from = group * SCREEN_GROUP;
        uint32_t to = job->low[group] < low ? from : MIN(from + SCREEN_GROUP, job->n_panels);
        for (uint32_t panel = from; panel < to && n < 2; panel++) {
            if (!reaches(job, panel, low))
                continue;
            panels[n++] = (uint16_t)panel;
            compute_panel(screen, kernels, job, x, (uint16_t)panel, pair);
        }
    }
    return n;
}

struct screen_todo screen_panels(const struct screen *screen, const struct kernels *kernels,
                                 const struct screened *job, const float *x, uint16_t *panels)
{
    /* finite: what is not wanted (-INFINITY) stays out */
    float low = MAX(kernels->screen_second(job), -FLT_MAX);
    struct pair pair = {-INFINITY, -INFINITY};
    struct screen_todo todo;
    todo.n_done = compute_first(screen, kernels, job, x, panels, &pair, low);
    todo.n = todo.n_done;
    float least = MAX(low, pair.second);
    for (uint32_t group = 0; group < screen_groups(job->n_panels); group++) {
        uint32_t from = group * SCREEN_GROUP;
        uint32_t to = job->high[group] < least ? from : MIN(from + SCREEN_GROUP, job->n_panels);
        for (uint32_t panel = from; panel < to; panel++) {
            bool done = (todo.n_done > 0 && panel == panels[0]) ||
                        (todo.n_done > 1 && panel == panels[1]);
            if (!done && may_reach(job, panel, least))
                panels[todo.n++] = (uint16_t)panel;
        }
    }
    return todo;
}
