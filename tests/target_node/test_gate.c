/* Who may open a session: tickets, quotas, files that are read again; seats, and who takes over his
 * own. */
#include "../support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../target_node/count.c"
#include "../../target_node/gate.c"
#include "../../target_node/seats.c"

enum { PATH_BYTES = 128 };

struct fixture {
    char *folder, tickets[PATH_BYTES], api[PATH_BYTES];
    struct ticket_signer signer;
    struct metrics *metrics;
    struct gate *gate;
};

/* A new pair: its public line to the file, its secret to the signer. */
static void new_key(struct fixture *f)
{
    char secret[TICKET_KEY_TEXT_MAX], public[TICKET_KEY_TEXT_MAX];
    struct ticket_keys keys;
    struct error err;
    assert_ok(ticket_key_generate(secret, public, &err), &err);
    assert_ok(ticket_keys_parse(secret, strlen(secret), &f->signer, &keys, &err), &err);
    support_write(f->tickets, public);
}

static void open_gate(struct fixture *f, const char *api)
{
    struct error err;
    *f = (struct fixture){.folder = support_temp_new()};
    snprintf(f->tickets, sizeof(f->tickets), "%s/tickets", f->folder);
    snprintf(f->api, sizeof(f->api), "%s/api", f->folder);
    new_key(f);
    if (api)
        support_write(f->api, api);
    assert_ok(metrics_new(metrics_target, TARGET_METRICS_N, &f->metrics, &err), &err);
    struct gate_options options = {.ticket_keys = f->tickets, .api_keys = api ? f->api : NULL,
                                   .metrics = f->metrics};
    assert_ok(gate_new(&options, &f->gate, &err), &err);
    gate_name(f->gate, "here:1");
}

static void close_gate(struct fixture *f)
{
    gate_free(&f->gate);
    metrics_free(&f->metrics);
    support_temp_free(f->folder);
}

/* Signs it for `target`, valid for an hour from now + begin_s. */
static void sign(struct fixture *f, struct ticket ticket, const char *target, int64_t begin_s,
                 char hex[TICKET_HEX_MAX])
{
    struct ticket_bytes bytes;
    struct error err;
    ticket.modes = TICKET_MODES_ALL;
    ticket.n_targets = 1;
    ticket.not_before_s = wall_clock_s() + begin_s;
    ticket.expires_s = ticket.not_before_s + 3600;
    snprintf(ticket.targets[0], sizeof(ticket.targets[0]), "%s", target);
    assert_ok(ticket_issue(&f->signer, &ticket, &bytes, &err), &err);
    for (size_t i = 0; i < bytes.size; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes.data[i]);
}

static enum status enter(struct fixture *f, const char *target, int64_t begin_s,
                         struct gate_pass *pass)
{
    char hex[TICKET_HEX_MAX];
    struct error err;
    sign(f, (struct ticket){.client = "team"}, target, begin_s, hex);
    enum status rc = gate_check(f->gate, hex, pass, &err);
    return rc == STATUS_OK ? gate_enter(f->gate, pass, &err) : rc;
}

static void a_ticket_for_this_target_and_this_hour(void **state)
{
    (void)state;
    struct fixture f;
    struct gate_pass pass;
    struct error err;
    open_gate(&f, NULL);
    assert_int_equal(enter(&f, "here:1", 0, &pass), STATUS_OK);
    gate_leave(f.gate, &pass);
    assert_int_equal(enter(&f, "there:1", 0, &pass), STATUS_DENIED);
    assert_int_equal(enter(&f, "here:1", -7200, &pass), STATUS_EXHAUSTED);
    assert_int_equal(enter(&f, "here:1", 7200, &pass), STATUS_EXHAUSTED);
    assert_int_equal(gate_check(f.gate, NULL, &pass, &err), STATUS_DENIED);
    assert_non_null(strstr(err.text, "--coordinator"));
    assert_int_equal(gate_check(f.gate, "xyz", &pass, &err), STATUS_CORRUPT);
    assert_int_equal(metrics_value(f.metrics, TARGET_METRIC_REFUSED_TICKET), 5);
    close_gate(&f);
}

static void without_a_name_nobody_enters(void **state)
{
    (void)state;
    struct fixture f;
    struct gate_pass pass;
    open_gate(&f, NULL);
    gate_name(f.gate, "");
    assert_int_equal(enter(&f, "here:1", 0, &pass), STATUS_DENIED);
    gate_name(f.gate, "[::1]:7");
    assert_int_equal(enter(&f, "::1:7", 0, &pass), STATUS_OK);
    close_gate(&f);
}

#define HASH_END "a1f6a1f6a1f6a1f6a1f6a1f6a1f6a1f6a1f6a1f6a1f6a1f6a1f6a1f6a1f6a1f"
#define HASH "6" HASH_END

static void quotas_of_the_key_in_the_ticket(void **state)
{
    (void)state;
    struct fixture f;
    struct gate_pass pass, second;
    struct error err;
    open_gate(&f, "team " HASH " 1 10\n");
    assert_int_equal(enter(&f, "here:1", 0, &pass), STATUS_OK);
    assert_int_equal(enter(&f, "here:1", 0, &second), STATUS_EXHAUSTED);
    assert_int_equal(gate_retry_ms(f.gate, &second), 0);    /* when one of them ends: who knows */
    assert_int_equal(metrics_value(f.metrics, TARGET_METRIC_REFUSED_QUOTA), 1);
    struct api_amount amount = {.audio_ms = 6000, .tokens = 9};
    assert_ok(gate_count(f.gate, &pass, &amount, &err), &err);
    assert_int_equal(gate_count(f.gate, &pass, &amount, &err), STATUS_EXHAUSTED);
    gate_leave(f.gate, &pass);
    assert_int_equal(enter(&f, "here:1", 0, &pass), STATUS_EXHAUSTED);  /* the day's audio */
    assert_in_range(gate_retry_ms(f.gate, &pass), 1, 24 * 3600 * 1000);
    support_write(f.api, "other " HASH " - -\n");
    assert_ok(gate_reload(f.gate, &err), &err);
    assert_int_equal(enter(&f, "here:1", 0, &pass), STATUS_DENIED);
    assert_int_equal(metrics_value(f.metrics, TARGET_METRIC_REFUSED_KEY), 1);
    close_gate(&f);
}

static void files_are_read_again_or_stay_as_they_were(void **state)
{
    (void)state;
    struct fixture f;
    struct gate_pass pass;
    struct error err;
    open_gate(&f, NULL);
    support_write(f.tickets, "public nonsense\n");
    assert_int_equal(gate_reload(f.gate, &err), STATUS_CORRUPT);
    assert_int_equal(enter(&f, "here:1", 0, &pass), STATUS_OK);
    struct ticket_signer old = f.signer;
    new_key(&f);
    assert_ok(gate_reload(f.gate, &err), &err);
    assert_int_equal(enter(&f, "here:1", 0, &pass), STATUS_OK);
    f.signer = old;
    assert_int_equal(enter(&f, "here:1", 0, &pass), STATUS_DENIED);
    close_gate(&f);
}

/* ---- seats ---- */

static struct seat *replaced;               /* told last */
static uint32_t n_replaced;

static void on_replaced(struct seat *former)
{
    replaced = former;
    n_replaced++;
}

static struct seats *open_seats(struct fixture *f, uint32_t sessions_max)
{
    const struct seats_options options = {
        .gate = f->gate, .metrics = f->metrics, .replaced = on_replaced,
        .admit = {.sessions_max = sessions_max, .clock = clock_monotonic()}};
    struct seats *seats;
    struct error err;
    n_replaced = 0;
    assert_ok(seats_new(&options, &seats, &err), &err);
    return seats;
}

/* The session whose id begins so, in the name of that key. */
struct stream {
    uint8_t id;
    uint32_t epoch;
    const char *key;
    struct seat seat;
    uint32_t retry_ms;
};

static enum status sit(struct fixture *f, struct seats *seats, struct stream *stream)
{
    const uint8_t session[SEATS_SESSION_BYTES] = {stream->id};
    struct ticket ticket = {.n_targets = 1};
    char hex[TICKET_HEX_MAX];
    struct error err;
    snprintf(ticket.client, sizeof(ticket.client), "%s", stream->key);
    sign(f, ticket, "here:1", 0, hex);
    const struct seats_ask ask = {.ticket = hex, .peer = "ipv4:192.0.2.1:77", .session = session,
                                  .epoch = stream->epoch};
    return seats_enter(seats, &ask, &stream->seat, &stream->retry_ms, &err);
}

static void who_comes_back_takes_the_own_seat(void **state)
{
    (void)state;
    struct fixture f;
    struct stream first = {.id = 1, .key = "team"}, again = {.id = 1, .epoch = 1, .key = "team"};
    struct stream same = again, other = {.id = 2, .epoch = 5, .key = "team"};
    struct stream thief = {.id = 1, .epoch = 9, .key = "lab"};
    open_gate(&f, "team " HASH " 1 -\nlab 1" HASH_END " - -\n");
    struct seats *seats = open_seats(&f, 1);
    assert_int_equal(sit(&f, seats, &first), STATUS_OK);
    assert_int_equal(sit(&f, seats, &other), STATUS_EXHAUSTED);     /* another session */
    assert_int_equal(sit(&f, seats, &thief), STATUS_EXHAUSTED);     /* of another key */
    assert_true(other.retry_ms >= 1000 && thief.retry_ms >= 1000);
    assert_int_equal(n_replaced, 0);
    assert_int_equal(sit(&f, seats, &again), STATUS_OK);    /* full, and one for this key */
    assert_int_equal(n_replaced, 1);
    assert_ptr_equal(replaced, &first.seat);
    assert_int_equal(sit(&f, seats, &same), STATUS_EXHAUSTED);      /* no newer than the other */
    seats_leave(seats, &first.seat);        /* gives nothing back: it has nothing any more */
    assert_int_equal(sit(&f, seats, &other), STATUS_EXHAUSTED);
    seats_leave(seats, &again.seat);
    assert_int_equal(sit(&f, seats, &other), STATUS_OK);
    seats_leave(seats, &other.seat);
    seats_free(&seats);
    close_gate(&f);
}

static void a_refusal_says_when_the_day_begins(void **state)
{
    (void)state;
    struct fixture f;
    struct stream first = {.id = 1, .key = "team"}, second = {.id = 2, .key = "team"};
    struct error err;
    open_gate(&f, "team " HASH " 1 10\n");
    struct seats *seats = open_seats(&f, 8);
    assert_int_equal(sit(&f, seats, &first), STATUS_OK);
    assert_int_equal(sit(&f, seats, &second), STATUS_EXHAUSTED);
    assert_in_range(second.retry_ms, 1000, 60000);          /* sessions at once: soon */
    const struct api_amount amount = {.audio_ms = 10000};
    assert_int_equal(gate_count(f.gate, &first.seat.pass, &amount, &err), STATUS_EXHAUSTED);
    seats_leave(seats, &first.seat);
    int64_t left_s = 24 * 3600 - wall_clock_s() % (24 * 3600);
    assert_int_equal(sit(&f, seats, &second), STATUS_EXHAUSTED);
    if (left_s > 5)                         /* else a day begins in this test */
        assert_in_range(second.retry_ms, (left_s - 5) * 1000, left_s * 1000);
    seats_free(&seats);
    close_gate(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_comes_back_takes_the_own_seat),
        cmocka_unit_test(a_refusal_says_when_the_day_begins),
        cmocka_unit_test(a_ticket_for_this_target_and_this_hour),
        cmocka_unit_test(without_a_name_nobody_enters),
        cmocka_unit_test(quotas_of_the_key_in_the_ticket),
        cmocka_unit_test(files_are_read_again_or_stay_as_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
