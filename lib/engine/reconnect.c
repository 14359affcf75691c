#include "engine/reconnect.h"

enum {
    SILENCE_US = 1500000,                   /* of a target that owes work: it is gone */
    SILENCE_DOUBLED_MAX = 5,                /* times */
    SPREAD_US = 50000,                      /* from a loss to the next call */
    RETRY_MIN_US = 100000,
    RETRY_MAX_US = 1000000,
    SPREAD_MAX_US = 60000000                /* beyond a time to come back that is hours away */
};

/* 0 .. limit - 1 (splitmix64). */
static uint64_t draw(struct reconnect *r, uint64_t limit)
{
    uint64_t z = (r->random += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (z ^ (z >> 31)) % limit;
}

void reconnect_init(struct reconnect *r, const struct reconnect_options *options, uint64_t now_us)
{
    SA_ASSERT(options->n_targets > 0 && options->n_targets <= RECONNECT_TARGETS_MAX && now_us > 0);
    *r = (struct reconnect){.n_targets = options->n_targets,
                            .patience_us = options->patience_us,
                            .random = options->seed,
                            .target = options->n_targets - 1,   /* the first is the next */
                            .retry_us = now_us,
                            .called_us = now_us,
                            .heard_us = now_us,
                            .down_since_us = now_us};
}

void reconnect_accepted(struct reconnect *r, uint64_t now_us)
{
    if (r->state == RECONNECT_CALLING)
        r->state = RECONNECT_ACCEPTED;
    r->heard_us = now_us;
}

void reconnect_heard(struct reconnect *r, uint64_t now_us)
{
    r->heard_us = MAX(r->heard_us, now_us);
}

uint64_t reconnect_down_us(const struct reconnect *r, uint64_t now_us)
{
    return r->down_us + (r->down_since_us ? now_us - r->down_since_us : 0);
}

uint64_t reconnect_left_us(const struct reconnect *r, uint64_t now_us)
{
    uint64_t down = reconnect_down_us(r, now_us);
    return r->patience_us > down ? r->patience_us - down : 0;
}

void reconnect_opened(struct reconnect *r, uint64_t now_us, bool idle)
{
    r->state = RECONNECT_OPEN;
    r->down_us = reconnect_down_us(r, now_us);
    r->down_since_us = 0;
    if (idle)
        reconnect_committed(r);
}

void reconnect_committed(struct reconnect *r)
{
    r->n_failures = 0;
    r->down_us = 0;
}

void reconnect_draining(struct reconnect *r)
{
    r->draining = true;
}

bool reconnect_is_refusal(enum status code)
{
    return code == STATUS_INVALID || code == STATUS_MISMATCH || code == STATUS_UNSUPPORTED ||
           code == STATUS_DENIED;
}

static bool is_refused(const struct reconnect *r, uint32_t target)
{
    return r->refused >> target & 1;
}

static bool any_left(const struct reconnect *r)
{
    return r->refused != (uint32_t)((UINT64_C(1) << r->n_targets) - 1);
}

/* When the first of those that are left may be called. */
static uint64_t first_allowed_us(const struct reconnect *r)
{
    uint64_t first = UINT64_MAX;
    for (uint32_t i = 0; i < r->n_targets; i++)
        if (!is_refused(r, i))
            first = MIN(first, r->not_before_us[i]);
    return first;
}

bool reconnect_failed(struct reconnect *r, uint64_t now_us, enum status code, uint32_t retry_ms)
{
    bool was_open = r->state == RECONNECT_OPEN;
    bool refused = reconnect_is_refusal(code);
    r->state = RECONNECT_DOWN;
    r->draining = false;
    if (refused)
        r->refused |= UINT32_C(1) << r->target;
    if (!any_left(r))
        return false;
    if (r->down_since_us == 0)
        r->down_since_us = now_us;
    uint64_t pause = MIN((uint64_t)RETRY_MIN_US << MIN(r->n_failures, 5u), (uint64_t)RETRY_MAX_US);
    bool at_once = refused || (was_open && r->n_failures == 0);
    uint64_t wait = at_once ? draw(r, SPREAD_US) : pause / 2 + draw(r, pause / 2);
    r->retry_us = now_us + 1 + wait;
    if (retry_ms > 0)                       /* up to half as long again: all were told the same */
        r->not_before_us[r->target] =
            now_us + 1000u * (uint64_t)retry_ms +
            draw(r, MIN(500u * (uint64_t)retry_ms, (uint64_t)SPREAD_MAX_US) + 1);
    r->retry_us = MAX(r->retry_us, first_allowed_us(r));
    r->n_failures++;
    return true;
}

/* Another one that could be called in place of the present one. */
static bool another_waits(const struct reconnect *r, uint64_t now_us)
{
    for (uint32_t i = 0; i < r->n_targets; i++)
        if (i != r->target && !is_refused(r, i) && r->not_before_us[i] <= now_us)
            return true;
    return false;
}

static void next_target(struct reconnect *r, uint64_t now_us)
{
    do
        r->target = (r->target + 1) % r->n_targets;
    while (is_refused(r, r->target) || r->not_before_us[r->target] > now_us);
}

enum reconnect_action reconnect_look(struct reconnect *r, const struct reconnect_seen *seen,
                                     struct error *why)
{
    uint64_t now = seen->now_us;
    if (!seen->expects)
        reconnect_heard(r, now);
    if (r->down_since_us && now > r->down_since_us && reconnect_left_us(r, now) == 0)
        return RECONNECT_GIVE_UP;
    if (r->state == RECONNECT_DOWN && now >= r->retry_us) {
        next_target(r, now);
        r->state = RECONNECT_CALLING;
        r->called_us = now;
        return RECONNECT_CALL;
    }
    if (r->draining && seen->idle) {
        error_set(why, STATUS_UNAVAILABLE, "it shuts down");
        return RECONNECT_HANG_UP;
    }
    uint64_t silence = (uint64_t)SILENCE_US << MIN(r->n_failures, (uint32_t)SILENCE_DOUBLED_MAX);
    /* The same for all of one round: the next one is no worse for the silence of this one. */
    uint64_t answer = (uint64_t)SILENCE_US << MIN(r->n_failures / r->n_targets,
                                                  (uint32_t)SILENCE_DOUBLED_MAX);
    if (r->state == RECONNECT_CALLING && now > r->called_us + answer && another_waits(r, now)) {
        error_set(why, STATUS_UNAVAILABLE, "no answer for %.1f s", (double)answer / 1e6);
        return RECONNECT_HANG_UP;
    }
    if (r->state >= RECONNECT_ACCEPTED && now > r->heard_us + silence) {
        error_set(why, STATUS_TIMEOUT, "nothing heard for %.1f s", (double)silence / 1e6);
        return RECONNECT_HANG_UP;
    }
    return RECONNECT_NOTHING;
}
