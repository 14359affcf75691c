/* spec_simulate: one whole draft and realign on the target, over recorded token sequences.
 *
 *     spec_simulate [option=value ...] RECORDING
 *
 * No model runs: the target's greedy tokens are known, so its choice behind any path that agrees
 * with them is known, and choices elsewhere do not matter. Columns: tokens per pass, passes per
 * utterance, rows per pass, tokens per pass that the confidences foretold, and the time against
 * plain decoding by the cost curve. Options:
 *
 *     rows=64          rows of a pass, the root and (in the first pass) the prompt among them
 *     prompt=4         prompt tokens that ride along in the first pass
 *     branches=1       side branches inside the rest of the draft
 *     forms=FILE       lines "token other [other ...]": forms of the same word; "mark token ..."
 *     seconds=0        use the draft's second choices
 *     confidence=1     0: the draft's confidences are not known, all are 0.93
 *     calibrate=1      learn confidence -> acceptance on the way
 *     timestamps=-1    first timestamp token of the target
 *     end=50257        end token
 *     price=0          1: take rows only where a cost curve says that they pay, with the balance
 *     step=3000 row=300   that curve: microseconds of one row, and of each further row
 *     verbose=0        1: a line per pass
 *
 * RECORDING has six lines per utterance (tools/simulate_spec.py writes it): "id set n_target
 * n_draft", target tokens, draft tokens, confidences, second choices (-1: none), their confidences.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "spec/accept.h"
#include "spec/realign.h"
#include "spec/wait.h"

enum { TOKENS_MAX = 448, VOCAB_MAX = 60000, SETS_MAX = 32, VARIANTS_MAX = 4 };

struct options {
    uint32_t rows, prompt;
    float price, step_us, row_us;
    bool branches, seconds, confidence, calibrate, verbose;
    const char *forms;
    int32_t timestamps, end;
};

struct utterance {
    char id[128], set[64];
    uint32_t n_target, n_draft;
    int32_t target[TOKENS_MAX], draft[SPEC_NODES_MAX], second[SPEC_NODES_MAX];
    float confidence[SPEC_NODES_MAX], second_confidence[SPEC_NODES_MAX];
};

struct totals {
    char set[64];
    uint32_t utterances, tokens, passes, rows;
    double foretold, us, plain_us;
};

static int32_t variants[VOCAB_MAX][VARIANTS_MAX];

static int32_t variant(const void *context, int32_t token, uint32_t k)
{
    (void)context;
    return token >= 0 && token < VOCAB_MAX && k < VARIANTS_MAX ? variants[token][k] - 1 : -1;
}

static bool read_forms(const char *path, int32_t *marks, uint32_t *n_marks)
{
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    char line[256];
    while (fgets(line, sizeof(line), f)) {
        bool mark = strncmp(line, "mark ", 5) == 0;
        char *at = mark ? line + 5 : line;
        long token = mark ? 0 : strtol(at, &at, 10);
        for (uint32_t k = 0; k < VARIANTS_MAX; k++) {
            char *end;
            long other = strtol(at, &end, 10);
            if (end == at)
                break;
            at = end;
            if (mark)
                marks[(*n_marks)++] = (int32_t)other;
            else if (token >= 0 && token < VOCAB_MAX)
                variants[token][k] = (int32_t)other + 1;
        }
    }
    fclose(f);
    return true;
}

static bool read_ints(FILE *f, int32_t *out, uint32_t n, uint32_t n_max)
{
    for (uint32_t i = 0; i < n; i++) {
        int32_t value;
        if (fscanf(f, "%" SCNd32, &value) != 1)
            return false;
        if (i < n_max)
            out[i] = value;
    }
    return true;
}

static bool read_floats(FILE *f, float *out, uint32_t n, uint32_t n_max)
{
    for (uint32_t i = 0; i < n; i++) {
        float value;
        if (fscanf(f, "%f", &value) != 1)
            return false;
        if (i < n_max)
            out[i] = value;
    }
    return true;
}

static bool read_utterance(FILE *f, struct utterance *u)
{
    if (fscanf(f, "%127s %63s %" SCNu32 " %" SCNu32, u->id, u->set, &u->n_target, &u->n_draft) != 4)
        return false;
    if (u->n_target > TOKENS_MAX)
        return false;
    bool ok = read_ints(f, u->target, u->n_target, TOKENS_MAX) &&
              read_ints(f, u->draft, u->n_draft, SPEC_NODES_MAX) &&
              read_floats(f, u->confidence, u->n_draft, SPEC_NODES_MAX) &&
              read_ints(f, u->second, u->n_draft, SPEC_NODES_MAX) &&
              read_floats(f, u->second_confidence, u->n_draft, SPEC_NODES_MAX);
    u->n_draft = MIN(u->n_draft, (uint32_t)SPEC_NODES_MAX);
    return ok;
}

/* The draft as it would arrive: trunk, and second choices as leaves while there is room. */
static void build_draft(const struct utterance *u, const struct options *o,
                        struct spec_draft *draft)
{
    spec_draft_clear(draft);
    draft->number = 1;
    draft->complete = true;
    int32_t parent = -1;
    for (uint32_t i = 0; i < u->n_draft && draft->tree.n < SPEC_NODES_MAX - 1; i++) {
        float confidence = o->confidence ? u->confidence[i] : 0.93f;
        struct spec_node node = {u->draft[i], (int16_t)parent, confidence};
        struct spec_node second = {u->second[i], (int16_t)parent, u->second_confidence[i]};
        parent = spec_tree_add(&draft->tree, SPEC_NODES_MAX, node);
        if (o->seconds && u->second[i] >= 0 && u->second[i] != u->draft[i] &&
            u->second_confidence[i] > 0.02f)
            spec_tree_add(&draft->tree, SPEC_NODES_MAX, second);
    }
}

/* What the target chooses behind each node: its next token where the path agrees with it. */
static void choose(const struct utterance *u, uint32_t n_decided, const struct spec_tree *tree,
                   int32_t *choices)
{
    int32_t at[SPEC_ROWS_MAX];
    choices[0] = u->target[n_decided];
    for (uint32_t i = 0; i < tree->n; i++) {
        int32_t parent = tree->node[i].parent;
        int32_t before = parent < 0 ? (int32_t)n_decided : at[parent];
        bool right = before >= 0 && (uint32_t)before < u->n_target &&
                     u->target[before] == tree->node[i].token;
        at[i] = right ? before + 1 : -1;
        bool more = right && (uint32_t)before + 1 < u->n_target;
        choices[i + 1] = more ? u->target[before + 1] : -2;
    }
}

/* One utterance on its way. */
struct run {
    const struct utterance *u;
    const struct options *o;
    const struct spec_realign *how;
    struct spec_source source;
    struct spec_cost cost;
    struct spec_balance balance;
    uint32_t n_decided;
};

/* Proposes, prices, verifies and follows; adds to the totals. */
static void pass(struct run *run, struct totals *sum)
{
    const struct utterance *u = run->u;
    const struct options *o = run->o;
    struct spec_tree tree;
    struct spec_accepted accepted;
    int32_t choices[SPEC_ROWS_MAX];
    uint32_t n_fixed = run->n_decided == 0 ? o->prompt : 1;
    uint32_t n_left = u->n_target - run->n_decided;
    struct spec_caps caps = {o->rows - n_fixed, n_left};
    spec_propose(&run->source, run->how, caps, &tree);
    struct spec_turn_ask ask = {.mode = SPEC_MODE_FREE,
                                .tree = &tree,
                                .cost = &run->cost,
                                .balance = &run->balance,
                                .n_fixed = n_fixed,
                                .n_nodes_max = caps.n_nodes,
                                .row_price = o->price,
                                .end = o->end};
    struct spec_turn turn = spec_turn(&ask);
    tree.n = turn.n_nodes;
    choose(u, run->n_decided, &tree, choices);
    spec_accept(&tree, choices, (struct spec_limits){o->end, n_left}, &accepted);
    for (uint32_t i = 0; i < accepted.n_tokens; i++)
        SA_ASSERT(accepted.token[i] == u->target[run->n_decided + i]);
    if (o->verbose)
        printf("  %s at %u: %u nodes, %u tokens, %.1f foretold\n", u->id, run->n_decided, tree.n,
               accepted.n_tokens, (double)turn.expected);
    float us = spec_cost_us(&run->cost, n_fixed + tree.n);
    if (turn.action == SPEC_VERIFY)
        spec_balance_pass(&run->balance, &run->cost, n_fixed, accepted.n_tokens, us);
    spec_source_follow(&run->source, run->how, accepted.token, accepted.n_tokens);
    run->n_decided += accepted.n_tokens;
    sum->passes++;
    sum->rows += n_fixed + tree.n;
    sum->foretold += (double)turn.expected;
    sum->us += (double)us;
    sum->plain_us += (double)(spec_cost_us(&run->cost, n_fixed) +
                              (float)(accepted.n_tokens - 1) * o->step_us);
}

static void simulate(const struct utterance *u, const struct options *o,
                     const struct spec_realign *how, struct totals *sum)
{
    static struct run run;
    struct spec_draft draft;
    run.u = u;
    run.o = o;
    run.how = how;
    run.n_decided = 0;
    spec_cost_init(&run.cost, o->step_us, o->row_us);
    spec_balance_start(&run.balance, &run.cost);
    build_draft(u, o, &draft);
    bool loaded = spec_source_load(&run.source, how, &draft, u->target, 0);
    SA_ASSERT(loaded);
    struct totals before = *sum;
    while (run.n_decided < u->n_target)
        pass(&run, sum);
    SA_ASSERT(o->price == 0.0f ||
              sum->us - before.us <= sum->plain_us - before.plain_us + (double)o->step_us + 1.0);
    sum->utterances++;
    sum->tokens += run.n_decided;
}

static bool read_option(const char *text, struct options *o)
{
    const char *eq = strchr(text, '=');
    if (!eq)
        return false;
    size_t n = (size_t)(eq - text);
    long value = strtol(eq + 1, NULL, 10);
    float real = strtof(eq + 1, NULL);
#define IS(name) (n == sizeof(name) - 1 && strncmp(text, name, n) == 0)
    if (IS("rows"))
        o->rows = (uint32_t)value;
    else if (IS("prompt"))
        o->prompt = (uint32_t)value;
    else if (IS("branches"))
        o->branches = value;
    else if (IS("forms"))
        o->forms = eq + 1;
    else if (IS("seconds"))
        o->seconds = value;
    else if (IS("confidence"))
        o->confidence = value;
    else if (IS("calibrate"))
        o->calibrate = value;
    else if (IS("timestamps"))
        o->timestamps = (int32_t)value;
    else if (IS("end"))
        o->end = (int32_t)value;
    else if (IS("price"))
        o->price = real;
    else if (IS("step"))
        o->step_us = real;
    else if (IS("row"))
        o->row_us = real;
    else if (IS("verbose"))
        o->verbose = value;
    else
        return false;
#undef IS
    return o->rows > o->prompt && o->rows <= SPEC_ROWS_MAX && o->prompt >= 1;
}

static struct totals *totals_of(struct totals *totals, uint32_t *n, const char *set)
{
    for (uint32_t i = 0; i < *n; i++) {
        if (strcmp(totals[i].set, set) == 0)
            return &totals[i];
    }
    SA_ASSERT(*n < SETS_MAX);
    struct totals *t = &totals[(*n)++];
    *t = (struct totals){0};
    snprintf(t->set, sizeof(t->set), "%s", set);
    return t;
}

static void print_totals(const struct totals *t)
{
    double passes = t->passes ? t->passes : 1;
    printf("%-26s %4u %6u %6u %7.2f %7.2f %7.1f %7.2f %7.2f\n", t->set, t->utterances, t->tokens,
           t->passes, t->tokens / passes, passes / (t->utterances ? t->utterances : 1),
           t->rows / passes, t->foretold / passes, t->us / t->plain_us);
}

static int run(FILE *f, const struct options *o, const struct spec_realign *how)
{
    static struct utterance u;
    static struct totals totals[SETS_MAX];
    struct totals all = {.set = "all"};
    uint32_t n = 0;
    while (read_utterance(f, &u)) {
        simulate(&u, o, how, totals_of(totals, &n, u.set));
        simulate(&u, o, how, &all);
    }
    printf("%-26s %4s %6s %6s %7s %7s %7s %7s %7s\n", "set", "utt", "tokens", "passes", "tok/p",
           "p/utt", "rows/p", "told/p", "time");
    for (uint32_t i = 0; i < n; i++)
        print_totals(&totals[i]);
    print_totals(&all);
    return n == 0;
}

int main(int argc, char **argv)
{
    struct options o = {.rows = 64, .prompt = 4, .branches = true, .confidence = true,
                        .calibrate = true, .timestamps = -1, .end = 50257,
                        .step_us = 3000.0f, .row_us = 300.0f};
    int i = 1;
    while (i < argc - 1 && read_option(argv[i], &o))
        i++;
    if (i != argc - 1) {
        fprintf(stderr, "usage: spec_simulate [option=value ...] RECORDING\n");
        return 2;
    }
    int32_t marks[VARIANTS_MAX * 8];
    struct spec_forms forms = {.variant = variant, .mark = marks, .n_marks = 0};
    struct spec_calibration calibration;
    spec_calibration_init(&calibration);
    struct spec_realign how = spec_realign_default(o.end, o.timestamps);
    how.side_branches = o.branches;
    how.calibration = o.calibrate ? &calibration : NULL;
    if (o.forms && read_forms(o.forms, marks, &forms.n_marks))
        how.forms = &forms;
    FILE *f = fopen(argv[i], "r");
    if (!f) {
        fprintf(stderr, "spec_simulate: cannot open %s\n", argv[i]);
        return 2;
    }
    int rc = run(f, &o, &how);
    fclose(f);
    return rc;
}
