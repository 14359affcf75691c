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
    uint32_t n_panels = matrix_panels(full->n_out);
    size_t n_floats = 2 * (size_t)n_panels * PANEL + 2 * (size_t)full->n_in +
                      2 * (size_t)panel_groups(n_panels);
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
    float *most = at + 2 * n_lanes + 2 * (size_t)full->n_in;
    struct screen screen = {
        .full = full,
        .copy = {.type = type, .n_out = full->n_out, .n_in = full->n_in, .data = memory},
        .trust = trust, .loss = at, .size = at + n_lanes,
        .factor = at + 2 * n_lanes, .inverse = at + 2 * n_lanes + full->n_in,
        .loss_most = most, .size_most = most + panel_groups(matrix_panels(full->n_out)),
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

void screen_fill(struct screen *screen, const struct kernels *kernels, uint32_t group_from,
                 uint32_t group_to)
{
    uint32_t n_in = screen->full->n_in, n_panels = matrix_panels(screen->full->n_out);
    uint32_t panel_to = MIN(group_to * PANEL_GROUP, n_panels);
    for (uint32_t panel = group_from * PANEL_GROUP; panel < panel_to; panel++) {
        float norms[2][PANEL], *loss = &screen->loss_most[panel / PANEL_GROUP];
        float *size = &screen->size_most[panel / PANEL_GROUP];
        kernels->screen_pack(&screen->copy, screen->full, panel, screen->factor, norms);
        if (panel % PANEL_GROUP == 0)
            *loss = *size = 0.0f;
        for (size_t lane = 0, at = (size_t)panel * PANEL; lane < PANEL; lane++) {
            screen->loss[at + lane] = norm_above(norms[0][lane], n_in);
            screen->size[at + lane] = norm_above(norms[1][lane], n_in);
            *loss = MAX(*loss, screen->loss[at + lane]);
            *size = MAX(*size, screen->size[at + lane]);
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
        .reach = (float)((1.0 + blocks) * (size + loss) * more),
    };
}

/* Of a group's lanes none has a larger bound: rounding keeps the order. */
static float group_bound(const struct screen *screen, const struct screened *job, uint32_t group)
{
    return job->by_loss * screen->loss_most[group] + job->by_size * screen->size_most[group];
}

/* Are all products and bounds far from the largest float? 1e30 leaves room for scales of blocks,
 * which are below 65,504. */
static bool is_finite(const struct screen *screen, const struct screened *job)
{
    bool finite = job->reach < 1e30f;
    for (uint32_t group = 0; group < panel_groups(job->n_panels); group++)
        finite &= job->reach * screen->size_most[group] < 1e37f &&
                  group_bound(screen, job, group) < 1e37f;
    return finite;
}

struct pair {
    float best, second;
};

static void pair_add(struct pair *pair, float x)
{
    pair->second = MAX(pair->second, MIN(pair->best, x));
    pair->best = MAX(pair->best, x);
}

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
        pair_add(pair, lanes[i]);
    }
}

static uint32_t group_end(const struct screened *job, uint32_t group)
{
    return MIN((group + 1) * PANEL_GROUP, job->n_panels);
}

/* The two groups with the largest approximations: what is surely large is nearly always there. */
static void best_groups(const struct screened *job, uint32_t best[2])
{
    uint32_t n = panel_groups(job->n_panels);
    best[0] = 0;
    best[1] = n > 1;
    for (uint32_t group = 1; group < n; group++) {
        if (job->largest[group] > job->largest[best[0]]) {
            best[1] = best[0];
            best[0] = group;
        } else if (job->largest[group] > job->largest[best[1]]) {
            best[1] = group;
        }
    }
}

/* Computes up to two panels, where two products are surely not below `low`; returns what two
 * products are surely not below then. */
static float compute_first(const struct screen *screen, const struct kernels *kernels,
                           const struct screened *job, const float *x, struct screen_todo *todo,
                           uint16_t *panels)
{
    struct pair lows = {-FLT_MAX, -FLT_MAX}, products = {-INFINITY, -INFINITY};
    float low[2 * PANEL_GROUP], high;
    uint16_t panel[2 * PANEL_GROUP];
    uint32_t groups[2], n = 0;
    best_groups(job, groups);
    for (int i = 0; i < 1 + (groups[0] != groups[1]); i++)
        for (uint32_t p = groups[i] * PANEL_GROUP; p < group_end(job, groups[i]); p++, n++) {
            panel[n] = (uint16_t)p;
            low[n] = kernels->screen_panel(job, p, &high);
            pair_add(&lows, low[n]);
        }
    for (uint32_t i = 0; i < n && todo->n < 2; i++) {
        if (low[i] < lows.second)
            continue;
        panels[todo->n++] = panel[i];
        compute_panel(screen, kernels, job, x, panel[i], &products);
    }
    todo->n_done = todo->n;
    return MAX(lows.second, products.second);
}

struct screen_todo screen_panels(const struct screen *screen, const struct kernels *kernels,
                                 const struct screened *job, const float *x, uint16_t *panels)
{
    struct screen_todo todo = {0, 0};
    if (!is_finite(screen, job)) {
        for (; todo.n < job->n_panels; todo.n++)
            panels[todo.n] = (uint16_t)todo.n;
        return todo;
    }
    float least = compute_first(screen, kernels, job, x, &todo, panels);
    for (uint32_t group = 0; group < panel_groups(job->n_panels); group++) {
        if (job->largest[group] + group_bound(screen, job, group) < least)
            continue;
        for (uint32_t panel = group * PANEL_GROUP; panel < group_end(job, group); panel++) {
            float high;
            (void)kernels->screen_panel(job, panel, &high);
            bool done = (todo.n_done > 0 && panel == panels[0]) ||
                        (todo.n_done > 1 && panel == panels[1]);
            if (high >= least && !done)
                panels[todo.n++] = (uint16_t)panel;
        }
    }
    return todo;
}

void screen_changed(const struct kernels *kernels, const struct screened *job,
                    const uint16_t *panels, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t group = panels[i] / PANEL_GROUP, from = group * PANEL_GROUP;
        uint32_t size = (group_end(job, group) - from) * PANEL;
        if (i == 0 || panels[i - 1] / PANEL_GROUP != group)
            job->largest[group] = kernels->max(job->row + (size_t)from * PANEL, size);
    }
}
