#include "kernel_checks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/sets.h"

float check_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u); /* splitmix64 */
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (float)(int32_t)(z >> 32) * 0x1p-31f;
}

void check_fill(uint64_t *state, float *x, size_t n, float size)
{
    for (size_t i = 0; i < n; i++)
        x[i] = check_random(state) * size;
}

void *check_alloc(size_t n_bytes)
{
    void *memory = calloc(n_bytes ? n_bytes : 1, 1);
    SA_ASSERT(memory);
    return memory;
}

static int differs(const char *what, const void *got, const void *wanted, size_t n_bytes)
{
    if (memcmp(got, wanted, n_bytes) == 0)
        return 0;
    size_t at = 0;
    while (((const char *)got)[at] == ((const char *)wanted)[at])
        at++;
    fprintf(stderr, "%s: differs from byte %zu of %zu\n", what, at, n_bytes);
    return 1;
}

/* ---- linear layers ---- */

struct matrix check_matrix(uint64_t *state, enum weight_type type, uint32_t n_out, uint32_t n_in)
{
    struct matrix m = {.type = type, .n_out = n_out, .n_in = n_in};
    m.data = check_alloc(matrix_bytes(type, n_out, n_in));
    size_t row_bytes = weight_row_bytes(type, n_in);
    uint8_t *row = check_alloc(MAX(row_bytes, n_in * sizeof(float)));
    for (uint32_t o = 0; o < n_out; o++) {
        if (type == WEIGHT_Q8_0) {
            struct q8_0_block *blocks = (struct q8_0_block *)(void *)row;
            for (uint32_t b = 0; b < n_in / Q8_BLOCK; b++)
                blocks[b].scale = f16_from_f32(check_random(state));
            for (uint32_t k = 0; k < n_in; k++) /* -128 .. 127: files may hold all of them */
                blocks[k / Q8_BLOCK].q[k % Q8_BLOCK] =
                    (int8_t)floorf(check_random(state) * 128.0f);
        } else if (type == WEIGHT_Q4_0) {
            struct q4_0_block *blocks = (struct q4_0_block *)(void *)row;
            for (uint32_t b = 0; b < n_in / Q8_BLOCK; b++) {
                blocks[b].scale = f16_from_f32(check_random(state));
                for (int i = 0; i < Q8_BLOCK / 2; i++)
                    blocks[b].q[i] = (uint8_t)(check_random(state) * 128.0f + 128.0f);
            }
        } else {
            check_fill(state, (float *)(void *)row, n_in, 1.0f);
        }
        matrix_pack(&m, o, 1, weight_is_integer(type) ? type : WEIGHT_F32, row);
    }
    free(row);
    return m;
}

struct check_rows check_rows_new(uint64_t *state, uint32_t n_rows, uint32_t n)
{
    struct check_rows rows = {.n_rows = n_rows, .n = n};
    rows.x = check_alloc((size_t)n_rows * n * sizeof(float));
    check_fill(state, rows.x, (size_t)n_rows * n, 2.0f);
    if (n % Q8_BLOCK == 0) {
        rows.memory = check_alloc(q8_rows_bytes(n_rows, n));
        rows.q = q8_rows_at(rows.memory, n_rows, n);
        kernels_reference.quantise(rows.q, rows.x, (size_t)n_rows * n);
    }
    return rows;
}

void check_rows_free(struct check_rows *rows)
{
    free(rows->x);
    free(rows->memory);
}

void check_linear(const struct kernels *set, const struct matrix *w, const struct check_rows *rows,
                  uint32_t first, uint32_t n_rows, const float *bias, float *y, size_t y_stride)
{
    struct linear job = {
        .w = w, .bias = bias, .n_rows = n_rows, .y = y, .y_stride = y_stride, .x_stride = rows->n};
    if (weight_is_integer(w->type)) {
        size_t block = (size_t)first * (rows->n / Q8_BLOCK);
        job.xq.q = rows->q.q + (size_t)first * rows->n;
        job.xq.scale = rows->q.scale + block;
        job.xq.offset = rows->q.offset + block;
    } else {
        job.x = rows->x + (size_t)first * rows->n;
    }
    for (uint32_t thread = 0; thread < 3; thread++) {
        uint32_t from, to;
        share_of(matrix_panels(w->n_out), thread, 3, &from, &to);
        set->linear(&job, from, to);
    }
}

enum { ROWS = 64, PAD = 3 };

/* One matrix, every number of rows: the reference once for all 64, since rows are independent
 * there. */
static int linear_shape(const struct kernels *set, uint64_t *state, enum weight_type type,
                        uint32_t n_out, uint32_t n_in, uint32_t row_step)
{
    static const char *const types[] = {"f32", "f16", "q8_0", "q4_0"};
    int failures = 0;
    char what[96];
    size_t stride = (size_t)n_out + PAD;
    size_t n_bytes = ROWS * stride * sizeof(float);
    struct matrix w = check_matrix(state, type, n_out, n_in);
    struct check_rows rows = check_rows_new(state, ROWS, n_in);
    float *bias = check_alloc(n_out * sizeof(float));
    float *wanted = check_alloc(n_bytes);
    float *got = check_alloc(n_bytes);
    check_fill(state, bias, n_out, 1.0f);
    for (int with_bias = 0; with_bias < 2; with_bias++) {
        const float *b = with_bias ? bias : NULL;
        check_linear(&kernels_reference, &w, &rows, 0, ROWS, b, wanted, stride);
        for (uint32_t n = 1; n <= ROWS; n += row_step) {
            memset(got, 0, n_bytes); /* what lies beyond a row's end must stay zero */
            check_linear(set, &w, &rows, ROWS - n, n, b, got, stride);
            snprintf(what, sizeof(what), "linear %s %ux%u, %u rows", types[type], n_out, n_in, n);
            failures += differs(what, got, wanted + (ROWS - n) * stride, n * stride *
            sizeof(float));
        }
    }
    free(got);
    free(wanted);
    free(bias);
    free(w.data);
    check_rows_free(&rows);
    return failures;
}

static int linear_shapes(const struct kernels *set)
{
    static const uint32_t outs[] = {1, 15, 16, 17, 33, 48, 121};
    static const uint32_t ins[] = {32, 64, 384, 1, 7, 45};
    uint64_t state = 1;
    int failures = 0;
    for (int type = WEIGHT_F32; type <= WEIGHT_Q4_0; type++) {
        for (size_t o = 0; o < ARRAY_LEN(outs); o++)
            for (size_t i = 0; i < (weight_is_integer(type) ? 3 : ARRAY_LEN(ins)); i++)
                failures += linear_shape(set, &state, type, outs[o], ins[i], o % 2 ? 1 : 5);
        failures += linear_shape(set, &state, type, 16 * 8 + 9, 512, 9);
    }
    return failures;
}

/* Groups of panels, the last one partly: the products of linear layers, and their largest. */
static int linear_groups(const struct kernels *set)
{
    enum { N_OUT = 16 * 21 + 5, PANELS = 19, N_GROUPS = 3, N_IN = 96 };
    int failures = 0;
    uint64_t state = 9;
    for (int type = WEIGHT_Q8_0; type <= WEIGHT_Q4_0; type++) {
        struct matrix w = check_matrix(&state, type, N_OUT, N_IN);
        struct check_rows rows = check_rows_new(&state, ROWS, N_IN);
        float *y = check_alloc((size_t)2 * ROWS * N_OUT * sizeof(float));
        float largest[2][ROWS][N_GROUPS + PAD];
        memset(rows.q.q, 0, N_IN); /* a row of zeros */
        memset(rows.q.offset, 0, N_IN / Q8_BLOCK * sizeof(*rows.q.offset));
        for (uint32_t n = 1; n <= ROWS; n += n < 13 ? 1 : 7)
            for (int i = 0; i < 2; i++) {
                const struct kernels *k = i ? set : &kernels_reference;
                struct linear_groups job = {
                    .linear = {.w = &w, .n_rows = n, .xq = rows.q,
                               .y = y + (size_t)i * ROWS * N_OUT, .y_stride = N_OUT},
                    .n_panels = PANELS, .largest = largest[i][0],
                    .largest_stride = N_GROUPS + PAD};
                memset(largest[i], 0, sizeof(largest[i]));
                memset(job.linear.y, 0, (size_t)ROWS * N_OUT * sizeof(float));
                k->linear_groups(&job, 0, 1);
                k->linear_groups(&job, 1, N_GROUPS);
                failures += i && differs("linear_groups", y, y + (size_t)ROWS * N_OUT,
                                         (size_t)ROWS * N_OUT * sizeof(float));
                failures += i && differs("linear_groups: largest", largest[1], largest[0],
                                         sizeof(largest[0]));
            }
        free(y);
        free(w.data);
        check_rows_free(&rows);
    }
    return failures;
}

/* Sums at their largest: nothing may overflow or saturate on the way. */
static int largest_integers(const struct kernels *set)
{
    enum { N_OUT = 16, N_IN = 64, FEW = 5 };
    static const uint8_t fills[] = {0x00, 0xFF, 0x0F, 0x80, 0x7F};
    int failures = 0;
    uint64_t state = 3;
    for (int type = WEIGHT_Q8_0; type <= WEIGHT_Q4_0; type++)
        for (size_t f = 0; f < ARRAY_LEN(fills); f++) {
            struct matrix w = check_matrix(&state, type, N_OUT, N_IN);
            struct check_rows rows = check_rows_new(&state, FEW, N_IN);
            float wanted[FEW][N_OUT], got[FEW][N_OUT];
            size_t panel = matrix_panel_bytes(type, N_IN), scales = N_IN / Q8_BLOCK * PANEL * 2;
            memset(w.data, fills[f], panel - scales);
            for (size_t i = 0; i < (size_t)FEW * N_IN; i++)
                rows.x[i] = i % 3 == 0 && f % 2 ? 127.0f : -127.0f;
            kernels_reference.quantise(rows.q, rows.x, (size_t)FEW * N_IN);
            check_linear(&kernels_reference, &w, &rows, 0, FEW, NULL, wanted[0], N_OUT);
            check_linear(set, &w, &rows, 0, FEW, NULL, got[0], N_OUT);
            failures += differs("largest integers", got, wanted, sizeof(got));
            check_rows_free(&rows);
            free(w.data);
        }
    return failures;
}

static int quantised_rows(const struct kernels *set)
{
    enum { N = 32 * 12 };
    uint64_t state = 2;
    int failures = 0;
    float x[N];
    int8_t q[2][N];
    float scale[2][N / Q8_BLOCK];
    int32_t offset[2][N / Q8_BLOCK];
    for (int round = 0; round < 50; round++) {
        check_fill(&state, x, N, powf(2.0f, (float)(round - 25)));
        memset(x, 0, Q8_BLOCK * sizeof(float));
        for (int i = 0; i < Q8_BLOCK; i++) {
            x[32 + i] = (float)(i - 16) + 0.5f; /* ties, once the largest is 127 */
            x[64 + i] = check_random(&state) * 1e-30f;
            x[96 + i] = -0.0f;
            x[128 + i] = -5.0f;
        }
        x[32] = -127.0f;
        kernels_reference.quantise((struct q8_rows){q[0], scale[0], offset[0]}, x, N);
        set->quantise((struct q8_rows){q[1], scale[1], offset[1]}, x, N);
        failures += differs("quantise: q", q[1], q[0], sizeof(q[0]));
        failures += differs("quantise: scale", scale[1], scale[0], sizeof(scale[0]));
        failures += differs("quantise: offset", offset[1], offset[0], sizeof(offset[0]));
    }
    return failures;
}

/* ---- attention ---- */

struct head {
    uint32_t size;
    uint32_t n_slots;
    uint16_t *keys;
    uint16_t *values;
    float *q;
    float *scratch;
};

static struct head head_new(uint64_t *state, const struct kernels *set, uint32_t size,
                            uint32_t n_slots)
{
    struct head h = {.size = size, .n_slots = n_slots};
    size_t n = (size_t)n_slots * size;
    float *x = check_alloc(n * sizeof(float));
    h.keys = check_alloc((size_t)matrix_panels(n_slots) * PANEL * size * sizeof(uint16_t));
    h.values = check_alloc(n * sizeof(uint16_t));
    h.q = check_alloc((size_t)ROWS * size * sizeof(float));
    h.scratch = check_alloc(attention_scratch(n_slots) * sizeof(float));
    check_fill(state, x, n, 1.0f);
    set->store_keys(h.keys, size, 0, n_slots / 2, x, size);
    set->store_keys(h.keys, size, n_slots / 2, n_slots - n_slots / 2, x + n_slots / 2 * size, size);
    check_fill(state, x, n, 1.0f);
    set->f16_from_f32(h.values, x, n);
    check_fill(state, h.q, (size_t)ROWS * size, 1.0f);
    free(x);
    return h;
}

static void head_free(struct head *h)
{
    free(h->keys);
    free(h->values);
    free(h->q);
    free(h->scratch);
}

static int attention_shape(const struct kernels *set, uint64_t *state, uint32_t size,
                           uint32_t n_prefix, uint32_t n_tail)
{
    int failures = 0;
    uint32_t tail[40];
    struct attention_tail tails[ROWS];
    char what[96];
    for (uint32_t i = 0; i < n_tail; i++)
        tail[i] = n_prefix + 2 * i + (i > 2);
    for (uint32_t r = 0; r < ROWS; r++) { /* the first is the longest; one ends before all others */
        tails[r].n = n_tail ? n_tail - r % MIN(n_tail, 3) : 0;
        tails[r].slots = tail;
        if (r == 3 && n_tail && n_prefix)
            tails[r].n = 0;
    }
    uint32_t n_slots = n_tail ? tail[n_tail - 1] + 1 : n_prefix;
    uint64_t again = *state;
    struct head h = head_new(state, set, size, n_slots);
    struct head reference = head_new(&again, &kernels_reference, size, n_slots);
    failures += differs("store_keys", h.keys, reference.keys,
                        (size_t)matrix_panels(n_slots) * PANEL * size * sizeof(uint16_t));
    size_t stride = size + PAD;
    float *wanted = check_alloc(ROWS * stride * sizeof(float));
    float *got = check_alloc(ROWS * stride * sizeof(float));
    struct attention job = {.keys = h.keys, .values = h.values, .head_size = size,
                            .n_prefix = n_prefix, .tails = n_tail ? tails : NULL,
                            .n_rows = ROWS, .q = h.q, .q_stride = size, .out = wanted,
                            .out_stride = stride, .scratch = h.scratch};
    kernels_reference.attention(&job);
    job.out = got;
    for (uint32_t n = 1; n <= ROWS; n += n < 20 ? 1 : 11) {
        job.n_rows = n;
        memset(got, 0, ROWS * stride * sizeof(float));
        set->attention(&job);
        snprintf(what, sizeof(what), "attention %u: %u + %u keys, %u rows", size, n_prefix,
        n_tail, n); failures += differs(what, got, wanted, n * stride * sizeof(float));
    }
    free(got);
    free(wanted);
    head_free(&h);
    head_free(&reference);
    return failures;
}

static int attention_shapes(const struct kernels *set)
{
    static const struct {
        uint32_t size, n_prefix, n_tail;
    } shapes[] = {{16, 1, 0},  {64, 15, 0}, {64, 16, 0},  {64, 17, 1},  {64, 0, 1},  {64, 0, 5},
                  {80, 33, 7}, {48, 65, 0}, {128, 30, 3}, {64, 100, 40}, {256, 20, 2}, {64, 300,
                  0}};
    uint64_t state = 3;
    int failures = 0;
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        failures += attention_shape(set, &state, shapes[i].size, shapes[i].n_prefix,
        shapes[i].n_tail);
    return failures;
}

/* The same keys and values once as a prefix and once scattered over slots as a tail: the same
 * bits. */
static int attention_slots(const struct kernels *set)
{
    enum { SIZE = 64, N = 37, SLOTS = 90 };
    uint64_t state = 4;
    struct head plain = head_new(&state, set, SIZE, SLOTS);
    struct head moved = head_new(&state, set, SIZE, SLOTS);
    float out[2][SIZE];
    uint32_t tail[N];
    for (uint32_t i = 0; i < N; i++) {
        tail[i] = i < 5 ? i : 2 * i + 3;
        float key[SIZE];
        for (uint32_t d = 0; d < SIZE; d++)
            key[d] = f32_from_f16(plain.keys[(i / PANEL * SIZE + d) * PANEL + i % PANEL]);
        set->store_keys(moved.keys, SIZE, tail[i], 1, key, SIZE);
        memcpy(moved.values + tail[i] * SIZE, plain.values + i * SIZE, SIZE * sizeof(uint16_t));
    }
    struct attention job = {.keys = plain.keys, .values = plain.values, .head_size = SIZE,
                            .n_prefix = N, .n_rows = 1, .q = plain.q, .q_stride = SIZE,
                            .out = out[0], .out_stride = SIZE, .scratch = plain.scratch};
    set->attention(&job);
    job.keys = moved.keys;
    job.values = moved.values;
    job.n_prefix = 5;
    job.tails = &(struct attention_tail){.n = N - 5, .slots = tail + 5};
    job.out = out[1];
    set->attention(&job);
    head_free(&plain);
    head_free(&moved);
    return differs("attention: slots moved", out[1], out[0], sizeof(out[0]));
}

/* ---- rows and elements ---- */

enum { LONG = 5189 };

/* Everything that takes a row of n. x has a few masked entries, and zeros of both signs. */
static int row_of(const struct kernels *set, const float *x, const float *gain, const float *bias,
                  size_t n)
{
    const struct kernels *ref = &kernels_reference;
    int failures = 0;
    float *masked = check_alloc(n * sizeof(float));
    float *got = check_alloc(n * sizeof(float));
    float *wanted = check_alloc(n * sizeof(float));
    memcpy(masked, x, n * sizeof(float));
    for (size_t i = 1; i < n; i += 3)
        masked[i] = -INFINITY;
    float sums[2][2] = {{set->sum_exp(masked, n, 1.0f), set->max(masked, n)},
                        {ref->sum_exp(masked, n, 1.0f), ref->max(masked, n)}};
    failures += differs("sum_exp, max", sums[0], sums[1], sizeof(sums[0]));
    size_t at[2] = {set->argmax(masked, n), ref->argmax(masked, n)};
    failures += differs("argmax", &at[0], &at[1], sizeof(at[0]));
    memcpy(got, masked, n * sizeof(float));
    memcpy(wanted, masked, n * sizeof(float));
    set->softmax(got, n);
    ref->softmax(wanted, n);
    failures += differs("softmax", got, wanted, n * sizeof(float));
    set->layer_norm(got, x, gain, bias, n, 1e-5f);
    ref->layer_norm(wanted, x, gain, bias, n, 1e-5f);
    failures += differs("layer_norm", got, wanted, n * sizeof(float));
    set->rms_norm(got, x, gain, n, 1e-6f);
    ref->rms_norm(wanted, x, gain, n, 1e-6f);
    failures += differs("rms_norm", got, wanted, n * sizeof(float));
    set->silu_mul(got, x, gain, n);
    ref->silu_mul(wanted, x, gain, n);
    failures += differs("silu_mul", got, wanted, n * sizeof(float));
    set->add(got, x, n);
    ref->add(wanted, x, n);
    set->scale(got, 0.3f, n);
    ref->scale(wanted, 0.3f, n);
    failures += differs("add, scale", got, wanted, n * sizeof(float));
    free(masked);
    free(got);
    free(wanted);
    return failures;
}

static int rows_of_any_length(const struct kernels *set)
{
    uint64_t state = 5;
    int failures = 0;
    for (size_t n = 1; n <= LONG; n += n < 70 ? 1 : n < 5000 ? 4000 : 97) {
        float *x = check_alloc(3 * n * sizeof(float));
        check_fill(&state, x, 3 * n, n % 2 ? 9.0f : 100.0f);
        x[n / 2] = n % 4 ? x[0] : -0.0f;
        failures += row_of(set, x, x + n, x + 2 * n, n);
        memset(x, 0, n * sizeof(float));
        x[n - 1] = -0.0f;
        failures += row_of(set, x, x + n, x + 2 * n, n);
        free(x);
    }
    return failures;
}

/* exp, erf and gelu over bit patterns of every size and sign, not numbers excepted. */
static int functions(const struct kernels *set)
{
    enum { N = 4099 };
    const struct kernels *ref = &kernels_reference;
    int failures = 0;
    float *x = check_alloc(N * sizeof(float));
    float *got = check_alloc(N * sizeof(float));
    float *wanted = check_alloc(N * sizeof(float));
    for (uint32_t start = 0; start < 64; start++) {
        for (uint32_t i = 0; i < N; i++) {
            uint32_t bits = start << 26 | i * 16381;
            float value;
            memcpy(&value, &bits, sizeof(value));
            x[i] = isnan(value) ? 0.0f : value;
        }
        set->exp(got, x, N);
        ref->exp(wanted, x, N);
        failures += differs("exp", got, wanted, N * sizeof(float));
        set->erf(got, x, N);
        ref->erf(wanted, x, N);
        failures += differs("erf", got, wanted, N * sizeof(float));
        for (uint32_t i = 0; i < N; i++)
            x[i] = isinf(x[i]) ? 1.0f : x[i];
        set->gelu(got, x, N);
        ref->gelu(wanted, x, N);
        failures += differs("gelu", got, wanted, N * sizeof(float));
    }
    free(x);
    free(got);
    free(wanted);
    return failures;
}

static int half_precision(const struct kernels *set)
{
    enum { N = 65536 + 5 };
    int failures = 0;
    uint16_t *half = check_alloc(2 * N * sizeof(uint16_t));
    float *wide = check_alloc(2 * N * sizeof(float));
    for (uint32_t i = 0; i < N; i++)
        half[i] = (uint16_t)i;
    set->f32_from_f16(wide, half, N);
    kernels_reference.f32_from_f16(wide + N, half, N);
    failures += differs("f32_from_f16", wide, wide + N, N * sizeof(float));
    for (uint32_t start = 0; start < 16; start++) {
        for (uint32_t i = 0; i < N; i++) {
            uint32_t bits = start << 28 | i << 12 | (i % 3 ? i & 0xFFF : i % 2 ? 0 : 0x800);
            memcpy(&wide[i], &bits, sizeof(bits));
        }
        set->f16_from_f32(half, wide, N);
        kernels_reference.f16_from_f32(half + N, wide, N);
        failures += differs("f16_from_f32", half, half + N, N * sizeof(uint16_t));
    }
    free(half);
    free(wide);
    return failures;
}

static int rotary(const struct kernels *set)
{
    enum { N = 9 };
    static const uint32_t sizes[] = {2, 6, 64, 80, 128};
    uint64_t state = 6;
    int failures = 0;
    float cosine[N * 64], sine[N * 64], x[2][128];
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        rope_table(cosine, sine, N, sizes[i], 10000.0f);
        for (uint32_t position = 0; position < N; position++) {
            size_t row = position * sizes[i] / 2;
            check_fill(&state, x[0], sizes[i], 3.0f);
            memcpy(x[1], x[0], sizeof(x[0]));
            set->rope(x[0], cosine + row, sine + row, sizes[i]);
            kernels_reference.rope(x[1], cosine + row, sine + row, sizes[i]);
            failures += differs("rope", x[0], x[1], sizes[i] * sizeof(float));
        }
    }
    return failures;
}

/* ---- row invariance: the same row alone and beside any others, in any place ---- */

static int rows_in_company(const struct kernels *set)
{
    enum { N_OUT = 41, N_IN = 96 };
    uint64_t state = 7;
    int failures = 0;
    for (int type = WEIGHT_F32; type <= WEIGHT_Q4_0; type++) {
        struct matrix w = check_matrix(&state, type, N_OUT, N_IN);
        struct check_rows rows = check_rows_new(&state, ROWS, N_IN);
        struct check_rows mixed = check_rows_new(&state, ROWS, N_IN);
        float alone[ROWS][N_OUT], together[ROWS][N_OUT];
        for (uint32_t r = 0; r < ROWS; r++)
            check_linear(set, &w, &rows, r, 1, NULL, alone[r], N_OUT);
        for (uint32_t n = 1; n <= ROWS; n++) {
            uint32_t from[ROWS];
            for (uint32_t i = 0; i < n; i++) {
                from[i] = (uint32_t)((check_random(&state) + 1.0f) * 0.5f * ROWS) % ROWS;
                memcpy(mixed.x + i * N_IN, rows.x + from[i] * N_IN, N_IN * sizeof(float));
            }
            set->quantise(mixed.q, mixed.x, (size_t)n * N_IN);
            check_linear(set, &w, &mixed, 0, n, NULL, together[0], N_OUT);
            for (uint32_t i = 0; i < n; i++)
                failures += differs("row in company", together[i], alone[from[i]],
                sizeof(alone[0]));
        }
        check_rows_free(&rows);
        check_rows_free(&mixed);
        free(w.data);
    }
    return failures;
}

/* ---- screening: the copy, the two best, the panels picked out ---- */

/* The copies of all panels of w, and their norms. */
static int screen_copies(const struct kernels *set, const struct matrix *w, const float *factor,
                         enum weight_type type)
{
    int failures = 0;
    float norms[2][2][PANEL];
    struct matrix mine = *w, theirs = *w;
    size_t n_bytes = matrix_bytes(type, w->n_out, w->n_in);
    mine.type = theirs.type = type;
    mine.data = check_alloc(n_bytes);
    theirs.data = check_alloc(n_bytes);
    for (uint32_t p = 0; p < matrix_panels(w->n_out); p++) {
        set->screen_pack(&mine, w, p, factor, norms[0]);
        kernels_reference.screen_pack(&theirs, w, p, factor, norms[1]);
        failures += differs("screen_pack: norms", norms[0], norms[1], sizeof(norms[0]));
    }
    failures += differs("screen_pack", mine.data, theirs.data, n_bytes);
    free(mine.data);
    free(theirs.data);
    return failures;
}

static int screening_of(const struct kernels *set, uint64_t *state, uint32_t n_in, float size)
{
    enum { PANELS = 21 };
    const struct kernels *ref = &kernels_reference;
    size_t n = (size_t)n_in * PANEL;
    static const uint16_t picked[] = {3, 0, 20, 7, 8, 19, 11};
    int failures = 0;
    struct matrix w = check_matrix(state, WEIGHT_F16, PANELS * PANEL, n_in);
    float *x = check_alloc(3 * n_in * sizeof(float)), *factor = x + n_in;
    float y[2][PANELS * PANEL] = {{0}}, bounds[2][PANELS * PANEL];
    check_fill(state, x, n_in, size);
    for (uint32_t k = 0; k < n_in; k++)
        factor[k] = ldexpf(1.0f, (int)(k % 17) - 10);
    for (uint32_t p = 0; p < PANELS; p++) {
        uint16_t *panel = (uint16_t *)w.data + p * n;
        if (p == 1)
            memset(panel, 0, n * sizeof(*panel));
        for (size_t i = 0; p == 2 && i < n; i++)
            panel[i] = (uint16_t)(i % 5 | (i % 3) << 15); /* least halves: scales round to 0 */
    }
    failures += screen_copies(set, &w, factor, WEIGHT_Q8_0);
    failures += screen_copies(set, &w, factor, WEIGHT_Q4_0);
    set->linear_some(&w, x, picked, ARRAY_LEN(picked), y[0]);
    ref->linear_some(&w, x, picked, ARRAY_LEN(picked), y[1]);
    failures += differs("linear_some", y[0], y[1], sizeof(y[0]));
    float *whole = check_alloc(PANELS * PANEL * sizeof(float));
    struct linear job = {.w = &w, .n_rows = 1, .x = x, .x_stride = n_in, .y = whole,
                         .y_stride = PANELS * PANEL};
    set->linear(&job, 0, PANELS);
    for (size_t i = 0; i < ARRAY_LEN(picked); i++)
        failures += differs("linear_some and linear", y[0] + picked[i] * PANEL,
                            whole + picked[i] * PANEL, PANEL * sizeof(float));
    check_fill(state, bounds[0], PANELS * PANEL, 1.0f);
    check_fill(state, bounds[1], PANELS * PANEL, 1.0f);
    struct screened s = {.row = whole, .loss = bounds[0], .size = bounds[1], .by_loss = 0.3f,
                         .by_size = 0.2f, .n_panels = PANELS};
    whole[100] = -INFINITY;
    for (uint32_t panel = 0; panel < PANELS; panel++) {
        float low[2][2];
        low[0][0] = set->screen_panel(&s, panel, &low[0][1]);
        low[1][0] = ref->screen_panel(&s, panel, &low[1][1]);
        failures += differs("screen_panel", low[0], low[1], sizeof(low[0]));
    }
    free(whole);
    free(x);
    free(w.data);
    return failures;
}

static int screening(const struct kernels *set)
{
    static const uint32_t ins[] = {32, 96, 512};
    uint64_t state = 8;
    int failures = 0;
    for (size_t i = 0; i < ARRAY_LEN(ins); i++)
        failures += screening_of(set, &state, ins[i], i ? 9.0f : 1e-3f);
    return failures;
}

const struct kernel_check kernel_checks[] = {
    {"screening", screening},
    {"linear", linear_shapes},
    {"linear groups", linear_groups},
    {"rows in company", rows_in_company},
    {"largest integers", largest_integers},
    {"quantise", quantised_rows},
    {"attention", attention_shapes},
    {"attention slots", attention_slots},
    {"rows", rows_of_any_length},
    {"functions", functions},
    {"half precision", half_precision},
    {"rope", rotary},
};
const size_t n_kernel_checks = ARRAY_LEN(kernel_checks);
