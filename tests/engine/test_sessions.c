/* Many sessions on one target: who is looked at, who ends whom. */
#include "../support/support.h"
#include "../support/toy_engine.h"

#include <stdlib.h>
#include <string.h>

#include "engine/target_int.h"

enum { MANY = 10000 };

static struct toy_engine engine;

static int open_engine(void **state)
{
    (void)state;
    toy_engine_open(&engine, 1, 0.0f);
    return 0;
}

static int close_engine(void **state)
{
    (void)state;
    toy_engine_close(&engine);
    return 0;
}

struct client {
    struct target_session *session;
    uint32_t n_sent[WIRE_KIND_N], n_died;
};

static bool count_frame(void *context, const struct wire_frame *frame)
{
    ((struct client *)context)->n_sent[frame->kind]++;
    return true;
}

static void count_death(void *context)
{
    ((struct client *)context)->n_died++;
}

static struct target *open_target(uint32_t sessions_max)
{
    struct error err;
    struct target *target;
    struct target_options options = target_options_default();
    options.sessions_max = sessions_max;
    assert_ok(target_new(&engine.engine, &options, &target, &err), &err);
    return target;
}

/* What clients name in their Open; NULL: nothing. One that has begun to speak before it is
 * connected names its utterance as one that comes back does. */
static struct wire_resume *named;

static enum status try_open(struct target *target, struct client *client, uint32_t id,
                            uint32_t epoch, struct error *err)
{
    struct wire_frame frame = {.kind = WIRE_OPEN};
    struct target_sink sink = {.send = count_frame, .died = count_death, .context = client};
    frame.u.open = (struct wire_open){.version_min = 1, .version_max = 1, .epoch = epoch,
                                      .n_resume = named != NULL, .resume = named,
                                      .rules = {.language = "en", .row_price = -1.0f}};
    memcpy(frame.u.open.session, &id, sizeof(id));
    *client = (struct client){0};
    assert_ok(target_session_open(target, sink, &client->session, err), err);
    return target_session_receive(client->session, &frame, err);
}

static void say_something(struct client *client)
{
    static int16_t samples[8000] = {1, 2, 3};
    struct error err;
    struct wire_frame audio = {.kind = WIRE_AUDIO}, end = {.kind = WIRE_END_OF_UTTERANCE};
    audio.u.audio = (struct wire_audio){.codec = WIRE_PCM_S16, .n_bytes = sizeof(samples),
                                        .bytes = (uint8_t *)samples};
    end.u.end_of_utterance.n_samples = ARRAY_LEN(samples);
    assert_ok(target_session_receive(client->session, &audio, &err), &err);
    assert_ok(target_session_receive(client->session, &end, &err), &err);
}

/* Only the one that speaks is at work, and only until its memory is given back. */
static void idle_sessions_are_not_looked_at(void **state)
{
    struct error err;
    struct target *target = open_target(MANY);
    struct client *clients = calloc(MANY, sizeof(*clients));
    (void)state;
    assert_non_null(clients);
    for (uint32_t i = 0; i < MANY; i++)
        assert_ok(try_open(target, &clients[i], i, 0, &err), &err);
    assert_null(target_next_working(target, NULL));
    say_something(&clients[MANY / 2]);
    struct target_counts counts = target_counts(target);
    assert_int_equal(counts.sessions, MANY);
    assert_int_equal(counts.busy, 1);
    assert_ptr_equal(target_next_working(target, NULL), clients[MANY / 2].session);
    assert_null(target_next_working(target, clients[MANY / 2].session));
    while (clients[MANY / 2].n_sent[WIRE_UTTERANCE_FINAL] == 0)
        (void)target_tick(target);
    (void)target_tick(target);
    counts = target_counts(target);
    assert_int_equal(counts.busy, 0);
    assert_true(clients[MANY / 2].session->holds_memory);
    clients[MANY / 2].session->busy_us -= 3000000;  /* as if it had rested for so long */
    (void)target_tick(target);
    assert_false(clients[MANY / 2].session->holds_memory);
    assert_null(target_next_working(target, NULL));
    for (uint32_t i = 0; i < MANY; i++)
        target_session_close(&clients[i].session);
    target_free(&target);
    free(clients);
}

static void a_later_epoch_ends_the_stream_before_and_tells_its_owner(void **state)
{
    enum { SOME = 300 };                    /* more than places: several in each */
    struct error err;
    struct target *target = open_target(SOME + 2);
    static struct client clients[SOME], second, third;
    (void)state;
    for (uint32_t i = 0; i < SOME; i++)
        assert_ok(try_open(target, &clients[i], i, 3, &err), &err);
    assert_ok(try_open(target, &second, 77, 4, &err), &err);
    for (uint32_t i = 0; i < SOME; i++) {
        assert_int_equal(clients[i].n_died, i == 77);
        assert_int_equal(target_session_dead(clients[i].session), i == 77);
    }
    target_session_close(&clients[77].session);
    assert_int_equal(try_open(target, &third, 77, 4, &err), STATUS_CANCELLED);
    assert_int_equal(second.n_died, 0);
    target_session_close(&third.session);
    target_session_close(&second.session);
    assert_ok(try_open(target, &third, 77, 0, &err), &err); /* nothing of it is left */
    for (uint32_t i = 0; i < SOME; i++)
        target_session_close(&clients[i].session);
    target_session_close(&third.session);
    target_free(&target);
}

/* Eight speak at once and there are keys and values for two: they wait for each other, and what
 * one that only listens holds is given to the next. */
static void windows_wait_for_a_slot(void **state)
{
    enum { SPEAKERS = 8, SLOTS = 2 };
    struct error err;
    static struct client clients[SPEAKERS];
    uint32_t n_done = 0, most = 0;
    (void)state;
    struct target *target = open_target(SPEAKERS);
    target->options.slots_max = SLOTS;
    for (uint32_t i = 0; i < SPEAKERS; i++) {
        assert_ok(try_open(target, &clients[i], i, 0, &err), &err);
        say_something(&clients[i]);
    }
    for (uint32_t tick = 0; tick < 10000 && n_done < SPEAKERS; tick++) {
        (void)target_tick(target);
        most = MAX(most, target_counts(target).slots);
        n_done = 0;
        for (uint32_t i = 0; i < SPEAKERS; i++)
            n_done += clients[i].n_sent[WIRE_UTTERANCE_FINAL];
    }
    assert_int_equal(n_done, SPEAKERS);
    assert_int_equal(most, SLOTS);
    for (uint32_t i = 0; i < SPEAKERS; i++)
        target_session_close(&clients[i].session);
    assert_int_equal(target_counts(target).slots, 0);
    target_free(&target);
}

/* Speaks, and ticks until the text is there. */
static void transcribe(struct target *target, struct client *client)
{
    say_something(client);
    for (uint32_t i = 0; i < 1000 && client->n_sent[WIRE_UTTERANCE_FINAL] == 0; i++)
        (void)target_tick(target);
    assert_int_equal(client->n_sent[WIRE_UTTERANCE_FINAL], 1);
}

static void tick_often(struct target *target)
{
    for (uint32_t i = 0; i < 1000; i++)
        (void)target_tick(target);
}

/* What was committed and what an audit finds are compared: one digest, one place, one window that
 * are not the same are each seen. */
static void an_audit_sees_what_differs(void **state)
{
    struct error err;
    struct client client;
    struct target *target = open_target(2);
    (void)state;
    target->options.audit_share = 1.0f;
    for (uint32_t i = 0; i < 5; i++) {
        static struct wire_resume begun;
        named = i == 4 ? &begun : NULL;
        assert_ok(try_open(target, &client, i, 0, &err), &err);
        named = NULL;
        transcribe(target, &client);
        struct audit_record *record = &target->audit.records[0];
        assert_int_equal(record->state, AUDIT_WAITS);
        assert_int_equal(record->n_windows, 1);
        record->windows[0].digest ^= i == 1;
        record->windows[0].next_start += i == 2;
        record->n_windows += i == 3;
        tick_often(target);
        assert_int_equal(record->state, AUDIT_FREE);
        assert_null(record->samples);
        assert_int_equal(target_counts(target).audits, i + 1);
        assert_int_equal(target_counts(target).audit_mismatches, i < 3 ? i : 3);
        target_session_close(&client.session);
    }
    target_free(&target);
}

/* A client that speaks meanwhile gets the encoder, and the audit is done afterwards; what is never
 * finished is forgotten. */
static void an_audit_yields(void **state)
{
    struct error err;
    struct client first, second;
    struct target *target = open_target(3);
    (void)state;
    target->options.audit_share = 1.0f;
    target->options.slots_max = 1;
    assert_ok(try_open(target, &first, 1, 0, &err), &err);
    assert_ok(try_open(target, &second, 2, 0, &err), &err);
    transcribe(target, &first);
    target_session_close(&first.session);
    while (!target->audit.session || !target_place(target, target->audit.session))
        (void)target_tick(target);
    transcribe(target, &second);
    assert_int_equal(target_counts(target).audits, 0);
    tick_often(target);
    assert_int_equal(target_counts(target).audits, 2);
    target_session_close(&second.session);
    assert_ok(try_open(target, &first, 3, 0, &err), &err);
    say_something(&first);
    (void)target_tick(target);
    assert_int_equal(target->audit.records[0].state, AUDIT_HEARD);
    target_session_close(&first.session);
    assert_int_equal(target->audit.records[0].state, AUDIT_FREE);
    tick_often(target);
    assert_int_equal(target_counts(target).audits, 2);
    assert_int_equal(target_counts(target).audit_mismatches, 0);
    target_free(&target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_sessions_are_not_looked_at),
        cmocka_unit_test(an_audit_sees_what_differs),
        cmocka_unit_test(an_audit_yields),
        cmocka_unit_test(windows_wait_for_a_slot),
        cmocka_unit_test(a_later_epoch_ends_the_stream_before_and_tells_its_owner),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
