#include "engine/attempt.h"

#include <string.h>

static void clear(struct attempt *attempt, struct sequence *sequence, const struct rules *rules)
{
    memset(attempt, 0, sizeof(*attempt));
    attempt->sequence = sequence;
    attempt->rules = *rules;
    attempt->n_tokens_max = rules->model->decoder.n_positions / 2;
    attempt->state = rules_begin();
    backend_keep(sequence, 0, NULL, 0);
}

static void push_prompt(struct attempt *attempt, int32_t token)
{
    SA_ASSERT(attempt->n_prompt < WINDOW_TOKENS_MAX);
    attempt->prompt[attempt->n_prompt++] = token;
}

void attempt_begin(struct attempt *attempt, struct sequence *sequence, const struct rules *rules,
                   const struct attempt_prompt *prompt)
{
    const struct special_tokens *special = &rules->model->special;
    clear(attempt, sequence, rules);
    attempt->is_draft = prompt->is_draft;
    if (prompt->previous && prompt->previous->n > 0 && special->previous >= 0) {
        push_prompt(attempt, special->previous);
        for (uint32_t i = 0; i < prompt->previous->n; i++)
            push_prompt(attempt, prompt->previous->tokens[i]);
    }
    push_prompt(attempt, special->start);
    if (rules->model->multilingual) {
        SA_ASSERT(prompt->language >= 0);
        push_prompt(attempt, prompt->language);
        push_prompt(attempt, prompt->translate ? special->translate : special->transcribe);
    }
    if (!rules->timestamps && special->no_timestamps >= 0)
        push_prompt(attempt, special->no_timestamps);
    /* The last position chooses one more token, which needs no position of its own. One limit for
     * plain and verified tokens alike. */
    uint32_t left = rules->model->decoder.n_positions + 1 - attempt->n_prompt;
    attempt->n_tokens_max = MIN(attempt->n_tokens_max, left);
}

void attempt_begin_detection(struct attempt *attempt, struct sequence *sequence,
                             const struct rules *rules)
{
    clear(attempt, sequence, rules);
    attempt->rules.detect_language = true;
    attempt->n_tokens_max = 1;
    push_prompt(attempt, rules->model->special.start);
}

uint32_t attempt_n_total(const struct attempt *attempt)
{
    return attempt->n_prompt + attempt->n_decided;
}

int32_t attempt_token(const struct attempt *attempt, uint32_t i)
{
    return i < attempt->n_prompt ? attempt->prompt[i] : attempt->decided[i - attempt->n_prompt];
}

uint32_t attempt_pending(const struct attempt *attempt)
{
    return attempt_n_total(attempt) - sequence_kept(attempt->sequence);
}

uint32_t attempt_nodes_max(const struct attempt *attempt, uint32_t room)
{
    uint32_t pending = attempt_pending(attempt);
    if (pending >= room)
        return 0;
    /* A node at depth d decides token n_decided + d + 1; its position is below that limit too. */
    uint32_t tokens_left = attempt->n_tokens_max - attempt->n_decided - 1;
    return MIN(room - pending, tokens_left);
}

/* The part of the tree that gets rows: in order, without end tokens (their row would choose
 * nothing), at most n_max nodes and depths. */
static void take_tree(struct attempt *attempt, const struct spec_tree *tree, uint32_t n_max)
{
    int16_t place[SPEC_NODES_MAX];
    uint16_t depth[SPEC_NODES_MAX];
    struct spec_tree *own = &attempt->tree;
    uint32_t depth_max = attempt_nodes_max(attempt, BACKEND_ROWS_MAX);
    spec_tree_clear(own);
    for (uint32_t i = 0; tree && i < tree->n && own->n < n_max; i++) {
        const struct spec_node *node = &tree->node[i];
        place[i] = -1;
        bool orphan = node->parent >= 0 && place[node->parent] < 0;
        depth[i] = orphan || node->parent < 0 ? 1 : (uint16_t)(depth[node->parent] + 1);
        if (orphan || node->token == attempt->rules.model->special.end || depth[i] > depth_max)
            continue;
        place[i] = (int16_t)own->n;
        own->node[own->n++] = (struct spec_node){
            .token = node->token,
            .parent = node->parent < 0 ? (int16_t)-1 : place[node->parent],
            .confidence = node->confidence,
        };
    }
}

static struct backend_row *add_row(struct attempt *attempt, struct pass *pass, int32_t token,
                                   int32_t parent)
{
    struct backend_row *row = &pass->row[pass->n];
    *row = (struct backend_row){.sequence = attempt->sequence, .token = token, .parent = parent};
    pass->n++;
    return row;
}

static void ask_choice(const struct attempt *attempt, struct pass *pass, struct backend_row *row,
                       struct rules_state state)
{
    row->rules = &attempt->rules;
    row->state = state;
    row->choice = &pass->choice[row - pass->row];
}

static void offer_tree(struct attempt *attempt, struct pass *pass, uint32_t root)
{
    struct rules_state states[BACKEND_ROWS_MAX];
    for (uint32_t i = 0; i < attempt->tree.n; i++) {
        const struct spec_node *node = &attempt->tree.node[i];
        const struct rules_state *before =
            node->parent < 0 ? &attempt->state : &states[node->parent];
        states[i] = rules_advance(&attempt->rules, *before, node->token);
        uint32_t parent = node->parent < 0 ? root : root + 1 + (uint32_t)node->parent;
        struct backend_row *row = add_row(attempt, pass, node->token, (int32_t)parent);
        ask_choice(attempt, pass, row, states[i]);
    }
}

uint32_t attempt_offer(struct attempt *attempt, const struct spec_tree *tree, struct pass *pass)
{
    return attempt_offer_rows(attempt, tree, BACKEND_ROWS_MAX, pass);
}

uint32_t attempt_offer_rows(struct attempt *attempt, const struct spec_tree *tree, uint32_t n_rows,
                            struct pass *pass)
{
    SA_ASSERT(!attempt->ended);
    uint32_t room = MIN(BACKEND_ROWS_MAX - pass->n, n_rows);
    uint32_t pending = attempt_pending(attempt);
    uint32_t kept = sequence_kept(attempt->sequence);
    SA_ASSERT(pending > 0);
    if (room == 0)
        return 0;
    attempt->first_row = pass->n;
    attempt->choosing = pending <= room;
    attempt->n_pending = MIN(pending, room);
    for (uint32_t i = 0; i < attempt->n_pending; i++) {
        int32_t token = attempt_token(attempt, kept + i);
        int32_t parent = i == 0 ? -1 : (int32_t)pass->n - 1;
        struct backend_row *row = add_row(attempt, pass, token, parent);
        bool starts = token == attempt->rules.model->special.start && kept + i < attempt->n_prompt;
        if (starts && !attempt->is_draft)
            row->no_speech = &attempt->no_speech;
    }
    spec_tree_clear(&attempt->tree);
    if (!attempt->choosing)
        return attempt->n_pending;
    uint32_t root = pass->n - 1;
    ask_choice(attempt, pass, &pass->row[root], attempt->state);
    take_tree(attempt, tree, attempt_nodes_max(attempt, room));
    offer_tree(attempt, pass, root);
    return attempt->n_pending + attempt->tree.n;
}

static void decide(struct attempt *attempt, int32_t token, const struct rules_choice *choice)
{
    attempt->decided[attempt->n_decided] = token;
    attempt->logprob[attempt->n_decided] = choice->logprob;
    attempt->second[attempt->n_decided] = choice->second;
    attempt->second_logprob[attempt->n_decided] = choice->second_logprob;
    attempt->n_decided++;
    attempt->state = rules_advance(&attempt->rules, attempt->state, token);
    attempt->ended = token == attempt->rules.model->special.end ||
                     attempt->n_decided == attempt->n_tokens_max;
}

uint32_t attempt_absorb(struct attempt *attempt, const struct pass *pass)
{
    uint8_t keep[BACKEND_ROWS_MAX];
    uint32_t kept = sequence_kept(attempt->sequence);
    uint32_t n_keep = 0;
    for (uint32_t i = 0; i < attempt->n_pending; i++)
        keep[n_keep++] = (uint8_t)(attempt->first_row + i);
    if (!attempt->choosing) {
        backend_keep(attempt->sequence, kept, keep, n_keep);
        return 0;
    }
    uint32_t root = attempt->first_row + attempt->n_pending - 1;
    int32_t choices[BACKEND_ROWS_MAX];
    for (uint32_t i = 0; i <= attempt->tree.n; i++)
        choices[i] = pass->choice[root + i].token;
    struct spec_limits limits = {.end = attempt->rules.model->special.end,
                                 .n_tokens_max = attempt->n_tokens_max - attempt->n_decided};
    struct spec_accepted *accepted = &attempt->accepted;
    spec_accept(&attempt->tree, choices, limits, accepted);
    for (uint32_t i = 0; i < accepted->n_nodes; i++)
        keep[n_keep++] = (uint8_t)(root + 1 + accepted->node[i]);
    backend_keep(attempt->sequence, kept, keep, n_keep);
    for (uint32_t i = 0; i < accepted->n_tokens; i++)
        decide(attempt, accepted->token[i], &pass->choice[root + spec_accepted_row(accepted, i)]);
    return accepted->n_tokens;
}

void attempt_splice(struct attempt *attempt, const struct attempt_tokens *tokens)
{
    for (uint32_t i = 0; i < tokens->n && !attempt->ended; i++) {
        const struct rules_choice choice = {.token = tokens->token[i],
                                            .logprob = tokens->logprob[i],
                                            .second = tokens->second[i],
                                            .second_logprob = tokens->second_logprob[i]};
        decide(attempt, choice.token, &choice);
    }
}

void attempt_follow(struct attempt *attempt, const int32_t *decided, uint32_t n_decided)
{
    SA_ASSERT(n_decided <= WINDOW_TOKENS_MAX);
    uint32_t common = 0;
    while (common < n_decided && common < attempt->n_decided &&
           attempt->decided[common] == decided[common])
        common++;
    memcpy(attempt->decided, decided, n_decided * sizeof(*decided));
    for (uint32_t i = common; i < n_decided; i++) {
        attempt->logprob[i] = 0.0f;
        attempt->second[i] = -1;
    }
    attempt->n_decided = n_decided;
    attempt->state = rules_begin();
    for (uint32_t i = 0; i < n_decided; i++)
        attempt->state = rules_advance(&attempt->rules, attempt->state, decided[i]);
    bool end = n_decided > 0 && decided[n_decided - 1] == attempt->rules.model->special.end;
    attempt->ended = end || n_decided >= attempt->n_tokens_max;
    /* The last token stays pending: its row makes the next choice. */
    uint32_t valid = MIN(attempt->n_prompt + common, attempt_n_total(attempt) - 1);
    backend_keep(attempt->sequence, MIN(valid, sequence_kept(attempt->sequence)), NULL, 0);
}

uint32_t attempt_n_text(const struct attempt *attempt)
{
    bool end = attempt->n_decided > 0 &&
               attempt->decided[attempt->n_decided - 1] == attempt->rules.model->special.end;
    return attempt->n_decided - end;
}

float attempt_mean_logprob(const struct attempt *attempt)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < attempt->n_decided; i++)
        sum += (double)attempt->logprob[i];
    return (float)(sum / (double)(attempt_n_text(attempt) + 1));
}
