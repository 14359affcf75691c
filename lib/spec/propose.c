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
 * full length, others short) comes out by itself where the probabilities say so. / */
#include <math.h>

#include "base/status.h"
#include "spec/realign.h"
#include "spec/realign_int.h"

enum { POOL_MAX = 320 };

enum guess_kind {
    AFTER_MATCH,                        /* the text agreed with the draft up to here */
    AFTER_ERROR,                        /* it just differed */
    AFTER_FORMAT                        /* it differed in a mark: letter case may follow suit */
};

struct guess {
    int32_t token;
    int32_t parent;
    float probability;
    uint32_t next;                      /* draft place behind the token */
    enum guess_kind kind;
};

struct pool {
    const struct spec_source *source;
    const struct spec_realign *how;
    uint32_t n;
    struct guess guess[POOL_MAX];
    float mass[SPEC_NODES_MAX];         /* of the tree's nodes */
};

/* What errors are like when tokens can be guessed: shares of an error's probability. */
enum { times_each_side = 4 };
static const float second_share = 0.8f;       /* the second choice, if all doubt is for it */
static const float second_added = 0.1f;          /* it stands before the token, not in its place */
static const float form_share = 0.15f;          /* the same word in another form */
static const float form_share_behind_mark = 0.30f;
static const float mark_share = 0.15f;          /* a mark more, all marks together */
static const float time_share = 0.50f;          /* a time nearby, both neighbours and so on */
static const float skip_mark_share = 0.50f;     /* the mark is not there */
static const float same_time = 0.90f;           /* a segment begins when the last one ended */
static const float least = 1e-4f;               /* guesses below this are forgotten */

static void guess_next(struct pool *pool, const struct guess *here);

static void pool_put(struct pool *pool, struct guess guess)
{
    if (guess.token < 0 || guess.probability < least)
        return;
    uint32_t at = pool->n;
    if (at == POOL_MAX) {
        at = 0;
        for (uint32_t i = 1; i < POOL_MAX; i++) {
            if (pool->guess[i].probability < pool->guess[at].probability)
                at = i;
        }
        if (pool->guess[at].probability >= guess.probability)
            return;
    } else {
        pool->n++;
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

/* In what follows `here` is where a path stands: its last token is node `parent` and reads `token`,
 * and the draft goes on at `next` with this probability. The functions put what may come behind. */

/* The other forms of the draft's next token share `probability`. */
static void guess_forms(struct pool *pool, const struct guess *here, float probability)
{
    const struct spec_forms *forms = pool->how->forms;
    int32_t token = pool->source->token[here->next];
    int32_t form[4];
    uint32_t n = 0;
    while (n < ARRAY_LEN(form) && (form[n] = forms->variant(forms->context, token, n)) >= 0)
        n++;
    enum guess_kind kind = is_mark(pool->how, token) ? AFTER_FORMAT : AFTER_MATCH;
    for (uint32_t i = 0; i < n; i++)
        pool_put(pool, (struct guess){form[i], here->parent, probability / (float)n,
                                      here->next + 1, kind});
}

/* A mark that the draft does not have; the draft goes on behind it. */
static void guess_marks(struct pool *pool, const struct guess *here, float probability)
{
    const struct spec_forms *forms = pool->how->forms;
    for (uint32_t i = 0; i < forms->n_marks; i++)
        pool_put(pool, (struct guess){forms->mark[i], here->parent,
                                      probability / (float)forms->n_marks, here->next,
                                      AFTER_FORMAT});
}

/* Times a few steps away from the draft's next token, which is a time, nearest first. */
static void guess_times(struct pool *pool, const struct guess *here, float probability)
{
    int32_t time = pool->source->token[here->next];
    for (int32_t steps = 1; steps <= times_each_side; steps++) {
        probability *= 0.5f; /* half for this distance, half for all that is farther */
        for (int32_t sign = -1; sign <= 1; sign += 2) {
            int32_t other = time + sign * steps;
            if (realign_is_time(pool->how, other))
                pool_put(pool, (struct guess){other, here->parent, 0.5f * probability,
                                              here->next + 1, AFTER_MATCH});
        }
    }
}

/* The text differed, and agrees again at `next` or behind a few tokens more. */
static void guess_rejoin(struct pool *pool, const struct guess *here)
{
    float probability = here->probability;
    for (uint32_t j = here->next; j < pool->source->n && probability >= least; j++) {
        float again = probability * (1.0f - realign_numbers.skip_more) * realign_numbers.leave;
        pool_put(pool, (struct guess){pool->source->token[j], here->parent, again, j + 1,
                                      AFTER_MATCH});
        probability *= realign_numbers.skip_more;
    }
}

/* Takes a share of what is left of a probability. */
static float take(float *left, float share)
{
    float taken = *left * share;
    *left -= taken;
    return taken;
}

/* The draft's next token is wrong, with this probability: what stands there instead? */
static void guess_error(struct pool *pool, const struct guess *here, float error)
{
    const struct spec_source *source = pool->source;
    uint32_t j = here->next;
    bool mark = is_mark(pool->how, source->token[j]);
    float doubt = fmaxf(1.0f - source->confidence[j], 0.01f);
    float second = fminf(source->second_confidence[j] / doubt, 1.0f) * second_share;
    float chosen = take(&error, second);
    pool_put(pool, (struct guess){source->second[j], here->parent,
                                  chosen * (1.0f - second_added), j + 1, AFTER_ERROR});
    pool_put(pool, (struct guess){source->second[j], here->parent, chosen * second_added, j,
                                  AFTER_ERROR});
    if (realign_is_time(pool->how, source->token[j]))
        guess_times(pool, here, take(&error, time_share));
    struct guess behind = *here;
    behind.next = j + 1;
    behind.kind = mark ? AFTER_FORMAT : AFTER_ERROR;
    behind.probability = take(&error, mark ? skip_mark_share : realign_numbers.skip);
    guess_next(pool, &behind);
    if (!pool->how->forms)
        return;
    guess_forms(pool, here, take(&error, form_share));
    if (!mark)
        guess_marks(pool, here, take(&error, mark_share));
}

/* A segment begins where the last one ended: a corrected time is repeated in its pair. */
static bool guess_pair(struct pool *pool, const struct guess *here)
{
    const struct spec_source *source = pool->source;
    uint32_t j = here->next;
    if (j == 0 || source->token[j] != source->token[j - 1] || here->token == source->token[j] ||
        !realign_is_time(pool->how, source->token[j]) || !realign_is_time(pool->how, here->token))
        return false;
    pool_put(pool, (struct guess){here->token, here->parent, here->probability * same_time, j + 1,
                                  AFTER_MATCH});
    return true;
}

static void guess_next(struct pool *pool, const struct guess *here)
{
    if (here->next >= pool->source->n || here->probability < least)
        return;
    if (guess_pair(pool, here))
        return;
    if (here->kind == AFTER_ERROR) {
        guess_rejoin(pool, here);
        return;
    }
    float probability = here->probability;
    if (here->kind == AFTER_FORMAT && pool->how->forms) {
        guess_forms(pool, here, probability * form_share_behind_mark);
        probability *= 1.0f - form_share_behind_mark;
    }
    float rate = realign_rate(pool->source, pool->how, here->next);
    pool_put(pool, (struct guess){pool->source->token[here->next], here->parent,
                                  probability * rate, here->next + 1, AFTER_MATCH});
    if (pool->how->side_branches)
        guess_error(pool, here, probability * (1.0f - rate));
}

/* The places where the decided text may stand in the draft. */
static void guess_from_prefix(struct pool *pool)
{
    const struct spec_source *source = pool->source;
    float agree[SPEC_NODES_MAX + 1];
    float apart[SPEC_NODES_MAX + 1];
    realign_masses(source, pool->how, agree, apart);
    for (uint32_t j = 0; j < source->n; j++) {
        struct guess here = {source->last, -1, agree[j], j, AFTER_MATCH};
        guess_next(pool, &here);
        here.probability = apart[j];
        bool mark = is_mark(pool->how, source->last) ||
                    (j > 0 && is_mark(pool->how, source->token[j - 1]));
        if (mark) {
            here.kind = AFTER_FORMAT;
            here.probability *= realign_numbers.leave;
        } else {
            here.kind = AFTER_ERROR;
        }
        guess_next(pool, &here);
    }
}

/* Best first for good (merged guesses may have raised a late node) and confidences from masses. */
static void order(const struct pool *pool, struct spec_tree *tree)
{
    float mass[SPEC_NODES_MAX];
    int16_t place[SPEC_NODES_MAX];
    struct spec_tree sorted = {0};
    for (uint32_t i = 0; i < tree->n; i++) {
        int32_t parent = tree->node[i].parent;
        mass[i] = fminf(pool->mass[i], parent < 0 ? 1.0f : mass[parent]);
        tree->node[i].confidence = parent < 0 ? mass[i] : mass[i] / mass[parent];
    }
    bool used[SPEC_NODES_MAX] = {false};
    for (; sorted.n < tree->n; sorted.n++) {
        int32_t best = -1;
        for (uint32_t i = 0; i < tree->n; i++) {
            if (!used[i] && (best < 0 || mass[i] > mass[best]))
                best = (int32_t)i;
        }
        used[best] = true;
        place[best] = (int16_t)sorted.n;
        struct spec_node node = tree->node[best];
        node.parent = node.parent < 0 ? (int16_t)-1 : place[node.parent];
        sorted.node[sorted.n] = node;
    }
    *tree = sorted;
}

void spec_propose(const struct spec_source *source, const struct spec_realign *how,
                  struct spec_caps caps, struct spec_tree *tree)
{
    SA_ASSERT(caps.n_nodes < SPEC_ROWS_MAX);
    struct pool pool = {.source = source, .how = how, .n = 0};
    uint32_t depth[SPEC_NODES_MAX];
    spec_tree_clear(tree);
    guess_from_prefix(&pool);
    while (pool.n > 0) {
        struct guess guess = pool_take(&pool);
        uint32_t deep = guess.parent < 0 ? 1 : depth[guess.parent] + 1;
        if (deep > caps.n_depth)
            continue;
        uint32_t n_before = tree->n;
        int32_t node = spec_tree_add(tree, caps.n_nodes,
                                     (struct spec_node){guess.token, (int16_t)guess.parent, 0.0f});
        if (node < 0)
            break;
        bool is_new = tree->n > n_before;
        depth[node] = deep;
        pool.mass[node] = (is_new ? 0.0f : pool.mass[node]) + guess.probability;
        guess.parent = node;
        if (guess.token != how->end)
            guess_next(&pool, &guess);
    }
    order(&pool, tree);
}
