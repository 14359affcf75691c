/* propose.c: the tree that is most worth its rows, grown best first.
 *
 * A guess is "behind node `parent` comes `token`, with this probability in all, and then the draft
 * goes on at `next`". Guesses wait in a small pool; the likeliest is taken out, becomes a node (or
 * adds its probability to the node that is there already), and its own continuations enter the
 * pool:
 *
 *     next draft token                                    it agrees
 *     draft tokens further on                             some are left out
 *     the draft's second choice, another form, a mark     the branch rejoins the trunk behind it
 *
 * So the rows are spent by one rule, and what a fixed scheme does (k candidates, the likeliest at
 * full length, others short) comes out by itself where the probabilities say so. Several drafts
 * share a pool in the same way: where they agree their probabilities add up.
 */
#include <math.h>

#include "base/status.h"
#include "spec/realign.h"
#include "spec/realign_int.h"

enum { POOL_MAX = 320, FORMS_MAX = 4 };

enum guess_kind {
    AFTER_MATCH,                        /* the text agreed with the draft up to here */
    AFTER_ERROR,                        /* it just differed */
    AFTER_FORMAT                        /* it differed in a mark: letter case may follow suit */
};

struct guess {
    int32_t token;
    float probability;
    uint32_t next;                      /* draft place behind the token */
    enum guess_kind kind;
    int32_t parent;
    const struct spec_source *source;
};

struct pool {
    const struct spec_realign *how;
    uint32_t n;
    struct guess guess[POOL_MAX];
};

/* What an error looks like: shares of its probability, each of what those before it left over.
 * Measured with bench/spec_simulate, in round figures; of little influence one by one. */
static const float second_share = 0.8f;         /* the second choice, if all doubt is for it */
static const float second_added = 0.1f;         /* it stands before the token, not in its place */
static const float time_share = 0.5f;           /* another time nearby */
static const float time_decay = 0.7f;           /* of each 20 ms, against those before */
static const int32_t times_each_side = 5;
static const float skip_mark_share = 0.5f;      /* the mark is not there */
static const float form_share = 0.15f;          /* the same word in another form */
static const float mark_share = 0.15f;          /* a mark more, all marks together */

/* And what is likely in certain places. */
static const float form_behind_mark = 0.3f;     /* another letter case where a mark changed */
static const float same_time = 0.9f;            /* a segment begins when the last one ended */
static const float least = 1e-4f;               /* guesses below this are forgotten */

static void guess_next(struct pool *pool, const struct guess *here);

/* In what follows `here` is where a path stands: its last token is node `parent` and reads `token`,
 * and the draft goes on at `next` with this probability. The functions put what may come behind;
 * `guess` has the fields that differ. When the pool is full the least likely one leaves it. */
static void pool_put(struct pool *pool, const struct guess *here, struct guess guess)
{
    if (guess.token < 0 || guess.probability < least)
        return;
    guess.parent = here->parent;
    guess.source = here->source;
    uint32_t at = pool->n;
    if (pool->n < POOL_MAX) {
        pool->n++;
    } else {
        at = 0;
        for (uint32_t i = 1; i < POOL_MAX; i++) {
            if (pool->guess[i].probability < pool->guess[at].probability)
                at = i;
        }
        if (pool->guess[at].probability >= guess.probability)
            return;
    }
    pool->guess[at] = guess;
}

static struct guess pool_take(struct pool *pool)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < pool->n; i++) {
        if (pool->guess[i].probability > pool->guess[best].probability)
            best = i;
    }
    struct guess guess = pool->guess[best];
    pool->guess[best] = pool->guess[--pool->n];
    return guess;
}

static bool is_mark(const struct spec_realign *how, int32_t token)
{
    for (uint32_t i = 0; how->forms && i < how->forms->n_marks; i++) {
        if (how->forms->mark[i] == token)
            return true;
    }
    return false;
}

/* Takes a share of what is left of a probability. */
static float take(float *left, float share)
{
    float taken = *left * share;
    *left -= taken;
    return taken;
}

/* The other forms of the draft's next token share `probability`. */
static void guess_forms(struct pool *pool, const struct guess *here, float probability)
{
    const struct spec_forms *forms = pool->how->forms;
    int32_t token = here->source->token[here->next];
    int32_t form[FORMS_MAX];
    uint32_t n = 0;
    while (n < FORMS_MAX && (form[n] = forms->variant(forms->context, token, n)) >= 0)
        n++;
    enum guess_kind kind = is_mark(pool->how, token) ? AFTER_FORMAT : AFTER_MATCH;
    for (uint32_t i = 0; i < n; i++)
        pool_put(pool, here,
                 (struct guess){form[i], probability / (float)n, here->next + 1, kind, 0, NULL});
}

/* A mark that the draft does not have; the draft goes on behind it. */
static void guess_marks(struct pool *pool, const struct guess *here, float probability)
{
    const struct spec_forms *forms = pool->how->forms;
    float each = probability / (float)MAX(forms->n_marks, 1u);
    for (uint32_t i = 0; i < forms->n_marks; i++)
        pool_put(pool, here,
                 (struct guess){forms->mark[i], each, here->next, AFTER_FORMAT, 0, NULL});
}

/* Times a few steps away from the draft's next token, which is a time, nearest first. */
static void guess_times(struct pool *pool, const struct guess *here, float probability)
{
    int32_t time = here->source->token[here->next];
    for (int32_t steps = 1; steps <= times_each_side; steps++) {
        float each = 0.5f * take(&probability, 1.0f - time_decay);
        for (int32_t sign = -1; sign <= 1; sign += 2) {
            int32_t other = time + sign * steps;
            if (realign_is_time(pool->how, other))
                pool_put(pool, here,
                         (struct guess){other, each, here->next + 1, AFTER_MATCH, 0, NULL});
        }
    }
}

/* The draft's second choice: in place of its first, or before it. */
static void guess_second(struct pool *pool, const struct guess *here, float probability)
{
    int32_t token = here->source->second[here->next];
    float added = take(&probability, second_added);
    pool_put(pool, here,
             (struct guess){token, probability, here->next + 1, AFTER_ERROR, 0, NULL});
    pool_put(pool, here, (struct guess){token, added, here->next, AFTER_ERROR, 0, NULL});
}

/* The draft's next token is wrong, with this probability: what stands there instead? */
static void guess_error(struct pool *pool, const struct guess *here, float error)
{
    const struct spec_source *source = here->source;
    uint32_t j = here->next;
    bool mark = is_mark(pool->how, source->token[j]);
    float doubt = fmaxf(1.0f - source->confidence[j], 0.01f);
    float second = fminf(source->second_confidence[j] / doubt, 1.0f) * second_share;
    guess_second(pool, here, take(&error, second));
    if (realign_is_time(pool->how, source->token[j]))
        guess_times(pool, here, take(&error, time_share));
    struct guess skipped = *here;
    skipped.next = j + 1;
    skipped.kind = mark ? AFTER_FORMAT : AFTER_ERROR;
    skipped.probability = take(&error, mark ? skip_mark_share : realign_numbers.skip);
    guess_next(pool, &skipped);
    if (!pool->how->forms)
        return;
    guess_forms(pool, here, take(&error, form_share));
    if (!mark)
        guess_marks(pool, here, take(&error, mark_share));
}

/* The text differed, and agrees again at `next` or behind a few tokens more. */
static void guess_rejoin(struct pool *pool, const struct guess *here)
{
    float left = here->probability;
    for (uint32_t j = here->next; j < here->source->n && left >= least; j++) {
        float again = take(&left, 1.0f - realign_numbers.skip_more) * realign_numbers.leave;
        pool_put(pool, here,
                 (struct guess){here->source->token[j], again, j + 1, AFTER_MATCH, 0, NULL});
    }
}

/* A segment begins where the last one ended: a corrected time is repeated in its pair. */
static bool guess_pair(struct pool *pool, const struct guess *here)
{
    const struct spec_source *source = here->source;
    uint32_t j = here->next;
    if (j == 0 || source->token[j] != source->token[j - 1] || here->token == source->token[j] ||
        !realign_is_time(pool->how, source->token[j]) || !realign_is_time(pool->how, here->token))
        return false;
    pool_put(pool, here, (struct guess){here->token, here->probability * same_time, j + 1,
                                        AFTER_MATCH, 0, NULL});
    return true;
}

static void guess_next(struct pool *pool, const struct guess *here)
{
    const struct spec_source *source = here->source;
    if (here->next >= source->n || here->probability < least || guess_pair(pool, here))
        return;
    if (here->kind == AFTER_ERROR) {
        guess_rejoin(pool, here);
        return;
    }
    float left = here->probability;
    if (here->kind == AFTER_FORMAT && pool->how->forms)
        guess_forms(pool, here, take(&left, form_behind_mark));
    float agreed = take(&left, realign_rate(source, pool->how, here->next));
    pool_put(pool, here, (struct guess){source->token[here->next], agreed, here->next + 1,
                                        AFTER_MATCH, 0, NULL});
    if (pool->how->side_branches)
        guess_error(pool, here, left);
}

/* The places where the decided text may stand in a draft that is believed this much. */
static void guess_from_prefix(struct pool *pool, const struct spec_source *source, float belief)
{
    float apart[SPEC_NODES_MAX + 1];
    realign_apart(source, pool->how, !pool->how->side_branches, apart);
    for (uint32_t j = 0; j < source->n; j++) {
        struct guess here = {.token = source->last, .parent = -1, .next = j, .source = source};
        here.kind = AFTER_MATCH;
        here.probability = belief * source->agree[j];
        guess_next(pool, &here);
        bool mark = is_mark(pool->how, source->last) ||
                    (j > 0 && is_mark(pool->how, source->token[j - 1]));
        here.kind = mark ? AFTER_FORMAT : AFTER_ERROR;
        here.probability = belief * apart[j] * (mark ? realign_numbers.leave : 1.0f);
        guess_next(pool, &here);
    }
}

/* Takes guesses out of the pool until the caps are reached; mass[i] is node i's probability. */
static void grow(struct pool *pool, struct spec_caps caps, struct spec_tree *tree, float *mass)
{
    uint32_t depth[SPEC_ROWS_MAX];
    while (pool->n > 0) {
        struct guess guess = pool_take(pool);
        uint32_t deep = guess.parent < 0 ? 1 : depth[guess.parent] + 1;
        if (deep > caps.n_depth)
            continue;
        uint32_t n_before = tree->n;
        struct spec_node node = {guess.token, (int16_t)guess.parent, 0.0f};
        int32_t i = spec_tree_add(tree, caps.n_nodes, node);
        if (i < 0)
            break;
        mass[i] = guess.probability + (tree->n > n_before ? 0.0f : mass[i]);
        depth[i] = deep;
        guess.parent = i;
        if (guess.token != pool->how->end)
            guess_next(pool, &guess);
    }
}

/* Confidences from masses; then best first for good: merged guesses may have raised a late node. */
static void order(struct spec_tree *tree, float *mass)
{
    for (uint32_t i = 0; i < tree->n; i++) {
        int32_t parent = tree->node[i].parent;
        float above = parent < 0 ? 1.0f : mass[parent];
        mass[i] = fminf(mass[i], above);
        tree->node[i].confidence = mass[i] / above;
    }
    spec_tree_sort(tree, mass);
}

void spec_propose_from(const struct spec_source *const *sources, uint32_t n_sources,
                       const struct spec_realign *how, struct spec_caps caps,
                       struct spec_tree *tree)
{
    SA_ASSERT(caps.n_nodes < SPEC_ROWS_MAX);
    struct pool pool = {.how = how, .n = 0};
    float mass[SPEC_ROWS_MAX];
    spec_tree_clear(tree);
    float left = 1.0f;
    for (uint32_t i = 0; i < n_sources; i++) {
        bool last = i + 1 == n_sources;
        guess_from_prefix(&pool, sources[i], take(&left, last ? 1.0f : 0.75f));
    }
    grow(&pool, caps, tree, mass);
    order(tree, mass);
}

void spec_propose(const struct spec_source *source, const struct spec_realign *how,
                  struct spec_caps caps, struct spec_tree *tree)
{
    spec_propose_from(&source, 1, how, caps, tree);
}
