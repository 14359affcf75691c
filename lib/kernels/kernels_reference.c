/* kernels_reference.c: what each number is. Plain loops, nothing clever; the SIMD sets are held
 * to it. */
#include <math.h>
#include <string.h>

#include "kernels/approx.h"
#include "kernels/sets.h"

/* ---- exp, erf and what is made of them ---- */

static float horner(const float *poly, int n_terms, float x)
{
    float sum = poly[n_terms - 1];
    for (int i = n_terms - 2; i >= 0; i--)
        sum = fmaf(sum, x, poly[i]);
    return sum;
}

static float exp_one(float x)
{
    if (x < EXP_LOWEST)
        return 0.0f;
    if (x > EXP_HIGHEST)
        return INFINITY;
    float shifted = fmaf(x, LOG2_E, EXP_MAGIC);
    float n = shifted - EXP_MAGIC;
    float r = fmaf(n, -LN2_HIGH, x);
    r = fmaf(n, -LN2_LOW, r);
    float e = fmaf(horner(exp_poly, EXP_TERMS, r), r * r, r) + 1.0f;
    return ldexpf(e, (int)n);
}

static float erf_one(float x)
{
    float a = fabsf(x);
    if (a < ERF_SPLIT)
        return x * horner(erf_small_poly, ERF_TERMS, a * a);
    float tail = a < ERF_ONE ? exp_one(-horner(erf_large_poly, ERF_TERMS, a)) : 0.0f;
    return copysignf(1.0f - tail, x);
}

static void ref_exp(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = exp_one(x[i]);
}

static void ref_erf(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = erf_one(x[i]);
}

static void ref_gelu(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = 0.5f * x[i] * (1.0f + erf_one(x[i] * SQRT_HALF));
}

static void ref_silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = gate[i] / (1.0f + exp_one(-gate[i])) * up[i];
}

/* ---- sums over a row: 16 partial sums, one tree ---- */

static float tree(float partial[PANEL])
{
    for (int half = PANEL / 2; half >= 1; half /= 2)
        for (int i = 0; i < half; i++)
            partial[i] += partial[i + half];
    return partial[0];
}

static float ref_max(const float *x, size_t n)
{
    float best = -INFINITY;
    for (size_t i = 0; i < n; i++)
        best = x[i] > best ? x[i] : best;
    return best + 0.0f; /* -0 and +0 are equal: settle on +0 */
}

static size_t ref_argmax(const float *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

static float ref_sum_exp(const float *x, size_t n, float shift)
{
    float partial[PANEL] = {0};
    for (size_t i = 0; i < n; i++)
        partial[i % PANEL] += exp_one(x[i] - shift);
    return tree(partial);
}

static void ref_softmax(float *x, size_t n)
{
    float shift = ref_max(x, n);
    float factor = 1.0f / ref_sum_exp(x, n, shift);
    for (size_t i = 0; i < n; i++)
        x[i] = exp_one(x[i] - shift) * factor;
}

static void ref_layer_norm(float *y, const float *x, const float *gain, const float *bias, size_t n,
                           float eps)
{
    float sum[PANEL] = {0};
    float squares[PANEL] = {0};
    for (size_t i = 0; i < n; i++)
        sum[i % PANEL] += x[i];
    float mean = tree(sum) / (float)n;
    for (size_t i = 0; i < n; i++) {
        float d = x[i] - mean;
        squares[i % PANEL] = fmaf(d, d, squares[i % PANEL]);
    }
    float r = 1.0f / sqrtf(tree(squares) / (float)n + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = fmaf((x[i] - mean) * r, gain[i], bias[i]);
}

static void ref_rms_norm(float *y, const float *x, const float *gain, size_t n, float eps)
{
    float squares[PANEL] = {0};
    for (size_t i = 0; i < n; i++)
        squares[i % PANEL] = fmaf(x[i], x[i], squares[i % PANEL]);
    float r = 1.0f / sqrtf(tree(squares) / (float)n + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * r * gain[i];
}

/* ---- element-wise ---- */

static void ref_add(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void ref_scale(float *y, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] *= factor;
}

static void ref_f16_from_f32(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = f16_from_f32(x[i]);
}

static void ref_f32_from_f16(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = f32_from_f16(x[i]);
}

static void ref_rope(float *x, const float *cos, const float *sin, size_t head_size)
{
    size_t half = head_size / 2;
    for (size_t i = 0; i < half; i++) {
        float a = x[i];
        float b = x[i + half];
        x[i] = fmaf(a, cos[i], -(b * sin[i]));
        x[i + half] = fmaf(b, cos[i], a * sin[i]);
    }
}

/* ---- linear layers ---- */

static void ref_quantise(struct q8_rows to, const float *x, size_t n)
{
    for (size_t block = 0; block < n / Q8_BLOCK; block++, x += Q8_BLOCK) {
        float largest = 0;
        for (size_t i = 0; i < Q8_BLOCK; i++)
            largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
        bool empty = largest < Q8_TINY;
        float factor = empty ? 0.0f : 127.0f / largest;
        int32_t sum = 0;
        for (size_t i = 0; i < Q8_BLOCK; i++) {
            int8_t q = (int8_t)rintf(x[i] * factor);
            to.q[block * Q8_BLOCK + i] = q;
            sum += q;
        }
        to.scale[block] = empty ? 0.0f : largest / 127.0f;
        to.offset[block] = -128 * sum;
    }
}

static const void *panel_at(const struct matrix *w, uint32_t panel)
{
    return (const char *)w->data + panel * matrix_panel_bytes(w->type, w->n_in);
}

static float dot_f32(const float *panel, const float *x, uint32_t n)
{
    float sum = 0;
    for (size_t k = 0; k < n; k++)
        sum = fmaf(x[k], panel[k * PANEL], sum);
    return sum;
}

static float dot_f16(const uint16_t *panel, const float *x, uint32_t n)
{
    float sum = 0;
    for (size_t k = 0; k < n; k++)
        sum = fmaf(x[k], f32_from_f16(panel[k * PANEL]), sum);
    return sum;
}

/* Row `row` of the quantised activations with output `lane` of a panel. */
static float dot_q8(const struct linear *job, const int8_t *panel, uint32_t lane, uint32_t row)
{
    uint32_t n = job->w->n_in;
    const uint16_t *scales = (const uint16_t *)(const void *)(panel + (size_t)n * PANEL);
    const int8_t *q = job->xq.q + (size_t)row * n;
    float acc = 0;
    for (size_t block = 0; block < n / Q8_BLOCK; block++) {
        int32_t sum = 0;
        for (size_t k = block * Q8_BLOCK; k < (block + 1) * Q8_BLOCK; k++)
            sum += q[k] * panel[(k / 4 * PANEL + lane) * 4 + k % 4];
        float scale_x = job->xq.scale[(size_t)row * (n / Q8_BLOCK) + block];
        acc = fmaf(f32_from_f16(scales[block * PANEL + lane]) * scale_x, (float)sum, acc);
    }
    return acc;
}

static float dot_q4(const struct linear *job, const uint8_t *panel, uint32_t lane, uint32_t row)
{
    uint32_t n = job->w->n_in;
    const uint16_t *scales = (const uint16_t *)(const void *)(panel + (size_t)n / 2 * PANEL);
    const int8_t *q = job->xq.q + (size_t)row * n;
    float acc = 0;
    for (size_t block = 0; block < n / Q8_BLOCK; block++) {
        int32_t sum = 0;
        for (size_t k = block * Q8_BLOCK; k < (block + 1) * Q8_BLOCK; k++) {
            uint8_t both = panel[(k / 8 * PANEL + lane) * 4 + k % 4];
            sum += q[k] * ((k % 8 < 4 ? both & 15 : both >> 4) - 8);
        }
        float scale_x = job->xq.scale[(size_t)row * (n / Q8_BLOCK) + block];
        acc = fmaf(f32_from_f16(scales[block * PANEL + lane]) * scale_x, (float)sum, acc);
    }
    return acc;
}

static void ref_linear(const struct linear *job, uint32_t panel_from, uint32_t panel_to)
{
    const struct matrix *w = job->w;
    uint32_t end = MIN(panel_to * PANEL, w->n_out);
    for (uint32_t o = panel_from * PANEL; o < end; o++) {
        const void *panel = panel_at(w, o / PANEL);
        uint32_t lane = o % PANEL;
        for (uint32_t r = 0; r < job->n_rows; r++) {
            const float *x = job->x + r * job->x_stride;
            float sum;
            if (w->type == WEIGHT_F32)
                sum = dot_f32((const float *)panel + lane, x, w->n_in);
            else if (w->type == WEIGHT_F16)
                sum = dot_f16((const uint16_t *)panel + lane, x, w->n_in);
            else if (w->type == WEIGHT_Q8_0)
                sum = dot_q8(job, panel, lane, r);
            else
                sum = dot_q4(job, panel, lane, r);
            job->y[r * job->y_stride + o] = job->bias ? sum + job->bias[o] : sum;
        }
    }
}

static void ref_linear_groups(const struct linear_groups *job, uint32_t group_from,
                              uint32_t group_to)
{
    for (uint32_t g = group_from; g < group_to; g++) {
        uint32_t from = g * PANEL_GROUP, to = MIN(from + PANEL_GROUP, job->n_panels);
        ref_linear(&job->linear, from, to);
        for (size_t r = 0; r < job->linear.n_rows; r++)
            job->largest[r * job->largest_stride + g] =
                ref_max(job->linear.y + r * job->linear.y_stride + (size_t)from * PANEL,
                        (size_t)(to - from) * PANEL);
    }
}

/* ---- attention ---- */

static void ref_store_keys(uint16_t *panels, uint32_t head_size, uint32_t slot, uint32_t n,
                           const float *x, size_t x_stride)
{
    for (uint32_t i = 0; i < n; i++, slot++, x += x_stride)
        for (size_t d = 0; d < head_size; d++)
            panels[(slot / PANEL * head_size + d) * PANEL + slot % PANEL] = f16_from_f32(x[d]);
}

static uint32_t slot_of(const struct attention *job, size_t row, uint32_t i)
{
    return i < job->n_prefix ? i : job->tails[row].slots[i - job->n_prefix];
}

static void attend_row(const struct attention *job, size_t row)
{
    uint32_t n_keys = job->n_prefix + (job->tails ? job->tails[row].n : 0);
    const float *q = job->q + row * job->q_stride;
    float *out = job->out + row * job->out_stride, *e = job->scratch;
    for (uint32_t i = 0; i < n_keys; i++) {
        size_t slot = slot_of(job, row, i);
        const uint16_t *panel = job->keys + slot / PANEL * PANEL * job->head_size;
        e[i] = dot_f16(panel + slot % PANEL, q, job->head_size);
    }
    float shift = ref_max(e, n_keys), factor = 1.0f / ref_sum_exp(e, n_keys, shift);
    for (uint32_t i = 0; i < n_keys; i++)
        e[i] = exp_one(e[i] - shift);
    for (size_t d = 0; d < job->head_size; d++) {
        float sum = 0;
        for (uint32_t i = 0; i < n_keys; i++) {
            uint16_t value = job->values[(size_t)slot_of(job, row, i) * job->head_size + d];
            sum = fmaf(e[i], f32_from_f16(value), sum);
        }
        out[d] = sum * factor;
    }
}

static void ref_attention(const struct attention *job)
{
    for (size_t r = 0; r < job->n_rows; r++)
        attend_row(job, r);
}

/* ---- screening ---- */

static void ref_linear_some(const struct matrix *w, const float *x, const uint16_t *panels,
                            uint32_t n_panels, float *y)
{
    size_t n_in = w->n_in;
    for (uint32_t i = 0; i < n_panels; i++) {
        const uint16_t *panel = (const uint16_t *)w->data + panels[i] * n_in * PANEL;
        for (size_t lane = 0; lane < PANEL; lane++) {
            float sum = 0.0f;
            for (size_t k = 0; k < n_in; k++)
                sum = fmaf(x[k], f32_from_f16(panel[k * PANEL + lane]), sum);
            y[panels[i] * (size_t)PANEL + lane] = sum;
        }
    }
}

/* A block of one lane rounded with `scale` to q, whole numbers; the sum of squares of errors. */
static float round_block(const float x[Q8_BLOCK], float scale, enum weight_type type,
                         float q[Q8_BLOCK])
{
    float inverse = scale < 0.0f || scale > 0.0f ? 1.0f / scale : 0.0f, error = 0.0f;
    for (size_t i = 0; i < Q8_BLOCK; i++) {
        q[i] = rintf(x[i] * inverse);
        if (type == WEIGHT_Q4_0) {
            q[i] = q[i] > -8.0f ? q[i] : -8.0f;
            q[i] = q[i] < 7.0f ? q[i] : 7.0f;
        }
        float lost = x[i] - q[i] * scale;
        error = fmaf(lost, lost, error);
    }
    return error;
}

/* The bits of the scale of a block. */
static uint16_t scale_8(const float x[Q8_BLOCK])
{
    float largest = 0.0f;
    for (size_t i = 0; i < Q8_BLOCK; i++)
        largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    return f16_from_f32(fmaf(largest, SCREEN_SCALE, SCREEN_SCALE_LEAST));
}

static uint16_t scale_4(const float x[Q8_BLOCK])
{
    static const float tries[SCREEN_N_TRIES] = SCREEN_TRIES;
    float largest = 0.0f, least = INFINITY, q[Q8_BLOCK];
    uint16_t best = 0;
    for (size_t i = 0; i < Q8_BLOCK; i++)
        largest = fabsf(largest) < fabsf(x[i]) ? x[i] : largest;
    for (size_t i = 0; i < SCREEN_N_TRIES; i++) {
        uint16_t half = f16_from_f32(largest * tries[i]);
        float error = round_block(x, f32_from_f16(half), WEIGHT_Q4_0, q);
        best = error < least ? half : best;
        least = error < least ? error : least;
    }
    return best;
}

/* One lane of a block. */
static void pack_lane(enum weight_type type, uint8_t *to, const float q[Q8_BLOCK], size_t lane)
{
    if (type == WEIGHT_Q8_0) {
        for (size_t k = 0; k < Q8_BLOCK; k++)
            to[(k / 4 * PANEL + lane) * 4 + k % 4] = (uint8_t)(int8_t)q[k];
        return;
    }
    for (size_t k = 0; k < Q8_BLOCK; k += 8)
        for (size_t j = k; j < k + 4; j++)
            to[(k / 8 * PANEL + lane) * 4 + j % 4] =
                (uint8_t)((int)(q[j] + 8.0f) | (int)(q[j + 4] + 8.0f) << 4);
}

static void ref_screen_pack(const struct matrix *copy, const struct matrix *full, uint32_t panel,
                            const float *factor, float norms[2][PANEL])
{
    size_t n_in = full->n_in, block_bytes = matrix_block_bytes(copy->type);
    const uint16_t *from = (const uint16_t *)full->data + panel * n_in * PANEL;
    uint8_t *to =
        (uint8_t *)copy->data + panel * matrix_panel_bytes(copy->type, copy->n_in);
    uint16_t *scales = (uint16_t *)(void *)(to + n_in / Q8_BLOCK * block_bytes);
    memset(norms, 0, 2 * PANEL * sizeof(float));
    for (size_t block = 0; block < n_in / Q8_BLOCK; block++)
        for (size_t lane = 0; lane < PANEL; lane++) {
            float x[Q8_BLOCK], q[Q8_BLOCK];
            for (size_t i = 0; i < Q8_BLOCK; i++) {
                size_t k = block * Q8_BLOCK + i;
                x[i] = f32_from_f16(from[k * PANEL + lane]) * factor[k];
            }
            uint16_t half = copy->type == WEIGHT_Q8_0 ? scale_8(x) : scale_4(x);
            float scale = f32_from_f16(half);
            scales[block * PANEL + lane] = half;
            (void)round_block(x, scale, copy->type, q);
            pack_lane(copy->type, to + block * block_bytes, q, lane);
            for (size_t i = 0; i < Q8_BLOCK; i++) {
                float became = q[i] * scale, lost = x[i] - became;
                norms[0][lane] = fmaf(lost, lost, norms[0][lane]);
                norms[1][lane] = fmaf(became, became, norms[1][lane]);
            }
        }
}

static float ref_screen_panel(const struct screened *job, uint32_t panel, float *high)
{
    float low = -INFINITY;
    *high = -INFINITY;
    for (size_t i = (size_t)panel * PANEL; i < ((size_t)panel + 1) * PANEL; i++) {
        float bound = job->by_loss * job->loss[i] + job->by_size * job->size[i];
        float below = job->row[i] - bound, above = job->row[i] + bound;
        low = below > low ? below : low;
        *high = above > *high ? above : *high;
    }
    *high += 0.0f;
    return low + 0.0f;
}

const struct kernels kernels_reference = {
    .name = "reference",
    .linear = ref_linear,
    .linear_groups = ref_linear_groups,
    .linear_some = ref_linear_some,
    .screen_pack = ref_screen_pack,
    .screen_panel = ref_screen_panel,
    .quantise = ref_quantise,
    .attention = ref_attention,
    .store_keys = ref_store_keys,
    .layer_norm = ref_layer_norm,
    .rms_norm = ref_rms_norm,
    .softmax = ref_softmax,
    .max = ref_max,
    .argmax = ref_argmax,
    .sum_exp = ref_sum_exp,
    .exp = ref_exp,
    .erf = ref_erf,
    .gelu = ref_gelu,
    .silu_mul = ref_silu_mul,
    .add = ref_add,
    .scale = ref_scale,
    .f16_from_f32 = ref_f16_from_f32,
    .f32_from_f16 = ref_f32_from_f16,
    .rope = ref_rope,
};
