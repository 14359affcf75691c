/* target_pick.c: the rows of the next pass: those who may decode are asked what they could use, and
 * spec/pick.h says who gets what. */
#include "engine/target_pick.h"

#include <stdlib.h>

#include "engine/target_int.h"

static bool wants_rows(struct target_session *session)
{
    const struct utterance *u = session->dead ? NULL : session_current(session);
    return u && (u->phase == PHASE_DETECT || u->phase == PHASE_DECODE);
}

static int compare(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int by_order(const void *a, const void *b)
{
    return compare(session_current(*(struct target_session *const *)a)->times.order,
                   session_current(*(struct target_session *const *)b)->times.order);
}

/* First the turn, then how long the owner has waited. */
static int by_turn(const void *a, const void *b)
{
    struct target_session *first = *(struct target_session *const *)a;
    struct target_session *second = *(struct target_session *const *)b;
    if (first->turn != second->turn)
        return first->turn < second->turn ? -1 : 1;
    return compare(MAX(session_current(first)->times.order, first->owner->order),
                   MAX(session_current(second)->times.order, second->owner->order));
}

/* Those that have a window to decode, in turns: those of one owner by the order of service. */
static uint32_t list_ready(struct target *target)
{
    uint32_t n = 0;
    struct target_session *s = NULL;
    while ((s = target_next_working(target, s)))
        if (wants_rows(s))
            target->ready[n++] = s;
    for (uint32_t i = 0; i < n; i++)
        target->ready[i]->owner->n_ready = 0;
    qsort(target->ready, n, sizeof(struct target_session *), by_order);
    for (uint32_t i = 0; i < n; i++)
        target->ready[i]->turn = target->ready[i]->owner->n_ready++;
    qsort(target->ready, n, sizeof(struct target_session *), by_turn);
    return n;
}

void target_gather(struct target *target, const struct work_seen *seen, struct gathered *all)
{
    struct spec_offer offers[SPEC_PICK_MAX];
    struct target_session *asked[SPEC_PICK_MAX];
    uint32_t n_rows[SPEC_PICK_MAX], n = 0;
    bool held = seen->urgent_encode > 0 && seen->urgent_decode == 0 && !seen->their_turn;
    uint32_t n_ready = held ? 0 : list_ready(target);
    *all = (struct gathered){.until_us = UINT64_MAX};
    target->pass.n = 0;
    for (uint32_t i = 0; i < n_ready && n < SPEC_PICK_MAX; i++) {
        struct target_session *session = target->ready[i];
        uint64_t until = UINT64_MAX;
        if (utterance_offer(session, session_current(session), &offers[n], &until))
            asked[n++] = session;
        else
            all->until_us = MIN(all->until_us, until);
    }
    if (n > 0)
        spec_pick(offers, n, &target->cost, BACKEND_ROWS_MAX, n_rows);
    for (uint32_t i = 0; i < n; i++) {
        if (n_rows[i] == 0 || asked[i]->dead)   /* the sink may have refused a Decided */
            continue;
        all->first_row[all->n] = target->pass.n;
        all->session[all->n++] = asked[i];
        all->n_urgent += utterance_is_urgent(session_current(asked[i]));
        utterance_take(asked[i], session_current(asked[i]), n_rows[i]);
    }
    all->first_row[all->n] = target->pass.n;
}
