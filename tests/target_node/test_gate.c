/* Who may open a session: tickets, quotas, files that are read again. */
#include "../support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../../target_node/gate.c"

enum { PATH_BYTES = 128 };

struct fixture {
    char *folder, tickets[PATH_BYTES], api[PATH_BYTES];
    struct ticket_signer signer;
    struct metrics *metrics;
    struct gate *gate;
};

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

/* A new pair: its public line to the file, its secret to the signer. */
static void new_key(struct fixture *f)
{
    char secret[TICKET_KEY_TEXT_MAX], public[TICKET_KEY_TEXT_MAX];
    struct ticket_keys keys;
    struct error err;
    assert_ok(ticket_key_generate(secret, public, &err), &err);
    assert_ok(ticket_keys_parse(secret, strlen(secret), &f->signer, &keys, &err), &err);
    write_file(f->tickets, public);
}

static void open_gate(struct fixture *f, const char *api)
{
    struct error err;
    *f = (struct fixture){.folder = support_temp_new()};
    snprintf(f->tickets, sizeof(f->tickets), "%s/tickets", f->folder);
    snprintf(f->api, sizeof(f->api), "%s/api", f->folder);
    new_key(f);
    if (api)
        write_file(f->api, api);
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

/* A ticket for `target`, valid for an hour from now + begin_s. */
static enum status enter(struct fixture *f, const char *target, int64_t begin_s,
                         struct gate_pass *pass)
{
    struct ticket ticket = {.modes = TICKET_MODES_ALL, .n_targets = 1, .client = "team"};
    struct ticket_bytes bytes;
    char hex[TICKET_HEX_MAX];
    struct error err;
    ticket.not_before_s = wall_clock_s() + begin_s;
    ticket.expires_s = ticket.not_before_s + 3600;
    snprintf(ticket.targets[0], sizeof(ticket.targets[0]), "%s", target);
    assert_ok(ticket_issue(&f->signer, &ticket, &bytes, &err), &err);
    for (size_t i = 0; i < bytes.size; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes.data[i]);
    return gate_enter(f->gate, hex, pass, &err);
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
    assert_int_equal(enter(&f, "here:1", -7200, &pass), STATUS_DENIED);
    assert_int_equal(enter(&f, "here:1", 7200, &pass), STATUS_DENIED);
    assert_int_equal(gate_enter(f.gate, NULL, &pass, &err), STATUS_DENIED);
    assert_non_null(strstr(err.text, "--coordinator"));
    assert_int_equal(gate_enter(f.gate, "xyz", &pass, &err), STATUS_CORRUPT);
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

#define HASH "6a1f6a1f6a1f6a1f6a1f6a1f6a1f6a1f6a1f6a1f6a1f6a1f6a1f6a1f6a1f6a1f"

static void quotas_of_the_key_in_the_ticket(void **state)
{
    (void)state;
    struct fixture f;
    struct gate_pass pass, second;
    struct error err;
    open_gate(&f, "team " HASH " 1 10\n");
    assert_int_equal(enter(&f, "here:1", 0, &pass), STATUS_OK);
    assert_int_equal(enter(&f, "here:1", 0, &second), STATUS_EXHAUSTED);
    assert_int_equal(metrics_value(f.metrics, TARGET_METRIC_REFUSED_QUOTA), 1);
    struct api_amount amount = {.audio_ms = 6000, .tokens = 9};
    assert_ok(gate_count(f.gate, &pass, &amount, &err), &err);
    assert_int_equal(gate_count(f.gate, &pass, &amount, &err), STATUS_EXHAUSTED);
    gate_leave(f.gate, &pass);
    assert_int_equal(enter(&f, "here:1", 0, &pass), STATUS_EXHAUSTED);  /* the day's audio */
    write_file(f.api, "other " HASH " - -\n");
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
    write_file(f.tickets, "public nonsense\n");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ticket_for_this_target_and_this_hour),
        cmocka_unit_test(without_a_name_nobody_enters),
        cmocka_unit_test(quotas_of_the_key_in_the_ticket),
        cmocka_unit_test(files_are_read_again_or_stay_as_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
