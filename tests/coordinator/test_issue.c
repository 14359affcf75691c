/* Whom a coordinator places, and tickets that a target's keys confirm. */
#include "../support/support.h"

#include <stdio.h>
#include <string.h>

#include "../../coordinator/issue.c"

static const char api_key[] = "sak_0123456789";
/* printf %s sak_0123456789 | b2sum -l 256 */
#define API_HASH "32ae5d3ebdb2cdb98a48b115a9355cb753d8866b08d350d1603e6aa9ecda7ba1"

struct fixture {
    char *folder, signer[256], public[256], api[256];
    struct issuer *issuer;
};

static void start(struct fixture *f, bool with_keys)
{
    struct error err;
    f->folder = support_temp_new();
    snprintf(f->signer, sizeof(f->signer), "%s/ticket-signer.keys", f->folder);
    snprintf(f->public, sizeof(f->public), "%s/ticket-public.keys", f->folder);
    snprintf(f->api, sizeof(f->api), "%s/api.keys", f->folder);
    assert_ok(issue_make_keys(f->folder, &err), &err);
    support_write(f->api, "team " API_HASH " - -\n");
    struct issuer_options options = {.ticket_key = f->signer,
                                     .api_keys = with_keys ? f->api : NULL};
    assert_ok(issuer_new(&options, &f->issuer, &err), &err);
}

static void stop(struct fixture *f)
{
    issuer_free(&f->issuer);
    support_temp_free(f->folder);
}

static void a_key_names_the_client(void **state)
{
    (void)state;
    struct fixture f;
    struct error err;
    char client[ISSUE_NAME_MAX + 1];
    start(&f, true);
    assert_ok(issuer_admit(f.issuer, api_key, client, &err), &err);
    assert_string_equal(client, "team");
    assert_int_equal(issuer_admit(f.issuer, "sak_012345678", client, &err), STATUS_DENIED);
    assert_int_equal(issuer_admit(f.issuer, NULL, client, &err), STATUS_DENIED);
    assert_non_null(strstr(err.text, "--api-key-file"));
    stop(&f);
    start(&f, false);
    assert_ok(issuer_admit(f.issuer, NULL, client, &err), &err);
    assert_string_equal(client, "");
    stop(&f);
}

static void a_ticket_is_for_the_targets_of_the_answer(void **state)
{
    (void)state;
    struct fixture f;
    struct error err;
    struct ticket_keys keys;
    struct ticket ticket;
    const uint8_t session[16] = {1, 2, 3};
    struct wire_placed answer = {.n_targets = 2};
    bool issued;
    start(&f, true);
    snprintf(answer.targets[0].address, sizeof(answer.targets[0].address), "one:7600");
    snprintf(answer.targets[1].address, sizeof(answer.targets[1].address), "[::1]:7600");
    assert_ok(issuer_sign(f.issuer, "team", session, &answer, &issued, &err), &err);
    assert_true(issued);
    assert_ok(ticket_keys_load(f.public, NULL, &keys, &err), &err);
    struct ticket_check check = {.target = "::1:7600", .now_s = wall_clock_s() + 3500};
    assert_ok(ticket_verify(&keys, answer.ticket, answer.n_ticket, &check, &ticket, &err), &err);
    assert_string_equal(ticket.client, "team");
    assert_memory_equal(ticket.session, session, sizeof(session));
    check.now_s += 200;
    assert_int_equal(ticket_verify(&keys, answer.ticket, answer.n_ticket, &check, &ticket, &err),
                     STATUS_EXHAUSTED);
    stop(&f);
}

static void a_target_that_no_ticket_can_name_leaves_the_answer(void **state)
{
    (void)state;
    struct fixture f;
    struct error err;
    struct ticket_keys keys;
    struct ticket ticket;
    const uint8_t session[16] = {0};
    struct wire_placed answer = {.n_targets = 3, .targets[1].address = "a/b:7600",
                                 .targets[2].address = "[::1]:7600"};
    struct ticket_check check = {.target = "::1:7600", .now_s = wall_clock_s()};
    bool issued;
    start(&f, false);
    memset(answer.targets[0].address, 'a', 80);
    assert_ok(issuer_sign(f.issuer, "", session, &answer, &issued, &err), &err);
    assert_true(issued);
    assert_int_equal(answer.n_targets, 1);
    assert_string_equal(answer.targets[0].address, "[::1]:7600");
    assert_ok(ticket_keys_load(f.public, NULL, &keys, &err), &err);
    assert_ok(ticket_verify(&keys, answer.ticket, answer.n_ticket, &check, &ticket, &err), &err);
    assert_int_equal(ticket.n_targets, 1);
    stop(&f);
}

static void no_target_no_ticket_and_a_long_name_is_said(void **state)
{
    (void)state;
    struct fixture f;
    struct error err;
    const uint8_t session[16] = {0};
    struct wire_placed answer = {.retry_ms = 100};
    bool issued;
    start(&f, false);
    assert_ok(issuer_sign(f.issuer, "", session, &answer, &issued, &err), &err);
    assert_false(issued);
    answer = (struct wire_placed){.n_targets = 1};
    memset(answer.targets[0].address, 'a', 80);
    assert_int_equal(issuer_sign(f.issuer, "", session, &answer, &issued, &err), STATUS_INVALID);
    assert_false(issued);
    assert_int_equal(answer.n_ticket, 0);
    stop(&f);
}

static void a_public_key_is_no_signer(void **state)
{
    (void)state;
    struct fixture f;
    struct error err;
    struct issuer *issuer;
    start(&f, false);
    struct issuer_options options = {.ticket_key = f.public};
    assert_int_equal(chmod(f.public, 0600), 0);
    assert_int_equal(issuer_new(&options, &issuer, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "--ticket-key"));
    assert_non_null(strstr(err.text, "no line \"secret HEX\""));
    assert_null(issuer);
    assert_int_equal(chmod(f.public, 0644), 0);     /* as make-keys leaves it */
    assert_int_equal(issuer_new(&options, &issuer, &err), STATUS_DENIED);

    /* Nor when it comes later, in place of the secret one: the signer from before goes on. */
    struct wire_placed answer = {.n_targets = 1, .targets[0].address = "one:7600"};
    const uint8_t session[16] = {0};
    bool issued;
    assert_int_equal(chmod(f.public, 0600), 0);
    assert_int_equal(rename(f.public, f.signer), 0);
    assert_int_equal(issuer_reload(f.issuer, &err), STATUS_CORRUPT);
    assert_ok(issuer_sign(f.issuer, "", session, &answer, &issued, &err), &err);
    assert_true(issued);
    stop(&f);
}

/* Two doors: a client's key registers nobody, a target's places nobody. */
static void join_keys_are_another_door(void **state)
{
    (void)state;
    struct fixture f;
    struct error err;
    char name[ISSUE_NAME_MAX + 1], join[256];
    static const char target_key[] = "sak_9876543210", target_hash[] =
        "0320ea83e1d6f0f4cbb7eb1e947e79782ccc7bc00796b2af884a4dd67ec029a1";
    start(&f, true);
    snprintf(join, sizeof(join), "%s/join.keys", f.folder);
    support_write(join, support_format("rack-a %s - -\n", target_hash));
    struct issuer_options options = {.api_keys = f.api, .join_keys = join};
    struct issuer *issuer;
    assert_ok(issuer_new(&options, &issuer, &err), &err);
    assert_ok(issuer_admit_member(issuer, target_key, name, &err), &err);
    assert_string_equal(name, "rack-a");
    assert_int_equal(issuer_admit_member(issuer, api_key, name, &err), STATUS_DENIED);
    assert_int_equal(issuer_admit_member(issuer, NULL, name, &err), STATUS_DENIED);
    assert_non_null(strstr(err.text, "--join-key-file"));
    assert_int_equal(issuer_admit(issuer, target_key, name, &err), STATUS_DENIED);

    /* Exchanged while it runs; a file with a fault changes nothing. */
    support_write(join, "rack-a nonsense - -\n");
    assert_int_equal(issuer_reload(issuer, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "--join-keys"));
    assert_ok(issuer_admit_member(issuer, target_key, name, &err), &err);
    support_write(join, "rack-b " API_HASH " - -\n");
    assert_ok(issuer_reload(issuer, &err), &err);
    assert_int_equal(issuer_admit_member(issuer, target_key, name, &err), STATUS_DENIED);
    issuer_free(&issuer);
    assert_ok(issuer_admit_member(f.issuer, NULL, name, &err), &err);     /* none are asked for */
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_names_the_client),
        cmocka_unit_test(join_keys_are_another_door),
        cmocka_unit_test(a_ticket_is_for_the_targets_of_the_answer),
        cmocka_unit_test(a_target_that_no_ticket_can_name_leaves_the_answer),
        cmocka_unit_test(no_target_no_ticket_and_a_long_name_is_said),
        cmocka_unit_test(a_public_key_is_no_signer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
