/* Tickets: what holds, what is refused and why; keys that rotate; what a file may say. */
#include "../support/support.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "auth/ticket.h"
#include "auth/ticket_int.h"
#include "auth/wall_clock.h"

enum { START = 1700000000, END = START + 3600, SKEW = 60 };

/* RFC 8032, 7.1, test 1. */
#define RFC_SECRET "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
#define RFC_PUBLIC "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"

/* sample() with that key, written and signed by a script with Python's struct and hashlib and
 * `openssl pkeyutl -sign -rawin`; not by our code. */
static const char golden[] =
    "01e10b684930ac49780500f153650000000010ff536500000000000102030405"
    "060708090a0b0c0d0e0f067465616d2d6102087461726765742d311074617267"
    "65742d322e6578616d706c65c59bbcdc6de12b37d40b73652b39e79900c83957"
    "2062aa03a6ed2e5acb3b7e1dd15975dd997d7ab7765a124b974f231ac5cd97e5"
    "b770a0adbd349d48ac7d0905";

static struct ticket sample(void)
{
    struct ticket ticket = {.client = "team-a", .modes = TICKET_SPLIT | TICKET_TARGET_ALONE,
                            .not_before_s = START, .expires_s = END, .n_targets = 2,
                            .targets = {"target-1", "target-2.example"}};
    for (int i = 0; i < TICKET_SESSION_BYTES; i++)
        ticket.session[i] = (uint8_t)i;
    return ticket;
}

static void keys_from(const char *text, struct ticket_signer *signer, struct ticket_keys *keys)
{
    struct error err;
    assert_ok(ticket_keys_parse(text, strlen(text), signer, keys, &err), &err);
}

static struct ticket_bytes issue(const struct ticket_signer *signer, const struct ticket *ticket)
{
    struct ticket_bytes bytes;
    struct error err;
    assert_ok(ticket_issue(signer, ticket, &bytes, &err), &err);
    return bytes;
}

static enum status verify(const struct ticket_keys *keys, const struct ticket_bytes *bytes,
                          int64_t now_s, struct error *err)
{
    struct ticket_check check = {.target = "target-1", .now_s = now_s, .skew_s = SKEW};
    struct ticket out;
    return ticket_verify(keys, bytes->data, bytes->size, &check, &out, err);
}

static void bytes_are_those_of_an_independent_writer(void **state)
{
    (void)state;
    struct ticket_signer signer;
    struct ticket_keys keys, public_keys;
    keys_from("secret " RFC_SECRET "\n", &signer, &keys);
    keys_from("public " RFC_PUBLIC "\n", NULL, &public_keys);
    assert_memory_equal(&keys, &public_keys, sizeof(keys));
    struct ticket ticket = sample();
    struct ticket_bytes bytes = issue(&signer, &ticket);
    char hex[2 * TICKET_BYTES_MAX + 1] = "";
    for (size_t i = 0; i < bytes.size; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes.data[i]);
    assert_string_equal(hex, golden);
}

static void what_was_issued_is_read_back(void **state)
{
    (void)state;
    struct ticket_signer signer;
    struct ticket_keys keys;
    struct error err;
    struct ticket out, ticket = sample();
    keys_from("secret " RFC_SECRET, &signer, &keys);
    struct ticket_bytes bytes = issue(&signer, &ticket);
    struct ticket_check check = {"target-2.example", START + 5, SKEW};
    assert_ok(ticket_verify(&keys, bytes.data, bytes.size, &check, &out, &err), &err);
    ticket.key_id = signer.key_id;
    assert_memory_equal(&out, &ticket, sizeof(out));
}

static void times_hold_within_the_skew(void **state)
{
    (void)state;
    struct ticket_signer signer;
    struct ticket_keys keys;
    struct error err;
    struct ticket ticket = sample();
    keys_from("secret " RFC_SECRET, &signer, &keys);
    struct ticket_bytes bytes = issue(&signer, &ticket);
    assert_ok(verify(&keys, &bytes, START - SKEW, &err), &err);
    assert_int_equal(verify(&keys, &bytes, START - SKEW - 1, &err), STATUS_EXHAUSTED);
    assert_non_null(strstr(err.text, "not valid for another 61 s"));
    assert_ok(verify(&keys, &bytes, END + SKEW - 1, &err), &err);
    assert_int_equal(verify(&keys, &bytes, END + SKEW, &err), STATUS_EXHAUSTED);
    assert_non_null(strstr(err.text, "expired 60 s ago"));
}

static void every_changed_bit_is_refused(void **state)
{
    (void)state;
    struct ticket_signer signer;
    struct ticket_keys keys;
    struct error err;
    struct ticket ticket = sample(), out, none = {0};
    struct ticket_check check = {"target-1", START, SKEW};
    keys_from("secret " RFC_SECRET, &signer, &keys);
    struct ticket_bytes bytes = issue(&signer, &ticket);
    for (size_t bit = 0; bit < 8 * bytes.size; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        memset(&out, 1, sizeof(out));
        if (ticket_verify(&keys, bytes.data, bytes.size, &check, &out, &err) == STATUS_OK)
            fail_msg("bit %zu may be changed", bit);
        assert_memory_equal(&out, &none, sizeof(out));
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_not_equal(ticket_verify(&keys, bytes.data, size, &check, &out, &err), STATUS_OK);
}

static void others_are_told_why_but_nothing_of_the_ticket(void **state)
{
    (void)state;
    struct ticket_signer signer;
    struct ticket_keys keys, others;
    struct error err;
    struct ticket ticket = sample(), out;
    keys_from("secret " RFC_SECRET, &signer, &keys);
    struct ticket_bytes bytes = issue(&signer, &ticket);
    struct ticket_check check = {"target-3", START, SKEW};
    assert_int_equal(ticket_verify(&keys, bytes.data, bytes.size, &check, &out, &err),
                     STATUS_DENIED);
    assert_string_equal(err.text, "ticket: it is for other targets");
    char secret[TICKET_KEY_TEXT_MAX], public_line[TICKET_KEY_TEXT_MAX];
    assert_ok(ticket_key_generate(secret, public_line, &err), &err);
    keys_from(public_line, NULL, &others);
    assert_int_equal(verify(&others, &bytes, START, &err), STATUS_DENIED);
    assert_non_null(strstr(err.text, "a key that is not known here"));
    bytes.data[0] = 9;
    assert_int_equal(verify(&keys, &bytes, START, &err), STATUS_UNSUPPORTED);
    bytes.data[0] = TICKET_VERSION;
    bytes.data[bytes.size - 1] ^= 1;
    assert_int_equal(verify(&keys, &bytes, START, &err), STATUS_DENIED);
    assert_string_equal(err.text, "ticket: the signature does not hold");
    bytes.size = 10;
    assert_int_equal(verify(&keys, &bytes, START, &err), STATUS_CORRUPT);
}

static void keys_rotate_without_a_gap(void **state)
{
    (void)state;
    char old_secret[TICKET_KEY_TEXT_MAX], old_public[TICKET_KEY_TEXT_MAX];
    char new_secret[TICKET_KEY_TEXT_MAX], new_public[TICKET_KEY_TEXT_MAX];
    struct ticket_signer old_signer, new_signer;
    struct ticket_keys before, both, after;
    struct error err;
    struct ticket ticket = sample();
    assert_ok(ticket_key_generate(old_secret, old_public, &err), &err);
    assert_ok(ticket_key_generate(new_secret, new_public, &err), &err);
    keys_from(old_secret, &old_signer, &before);
    keys_from(new_secret, &new_signer, &after);
    keys_from(support_format("# both\n\n%s\r\n\t%s  \n", old_public, new_public), NULL, &both);
    assert_int_equal(both.n, 2);
    struct ticket_bytes old_ticket = issue(&old_signer, &ticket);
    struct ticket_bytes new_ticket = issue(&new_signer, &ticket);
    assert_ok(verify(&both, &old_ticket, START, &err), &err);
    assert_ok(verify(&both, &new_ticket, START, &err), &err);
    assert_int_equal(verify(&after, &old_ticket, START, &err), STATUS_DENIED);
    assert_int_equal(verify(&before, &new_ticket, START, &err), STATUS_DENIED);
}

static void only_sound_tickets_are_issued(void **state)
{
    (void)state;
    struct ticket_signer signer, none = {0};
    struct ticket_keys keys;
    struct ticket_bytes bytes;
    struct error err;
    keys_from("secret " RFC_SECRET, &signer, &keys);
    struct ticket bad[8];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        bad[i] = sample();
    bad[0].modes = 0;
    bad[1].modes = 8;
    bad[2].n_targets = 0;
    bad[3].n_targets = TICKET_TARGETS_MAX + 1;
    bad[4].expires_s = START;
    bad[5].expires_s = START + TICKET_LIFETIME_MAX_S + 1;
    bad[6].targets[1][0] = '\0';
    memset(bad[7].client, 'x', sizeof(bad[7].client));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(ticket_issue(&signer, &bad[i], &bytes, &err), STATUS_INVALID);
    struct ticket good = sample();
    assert_int_equal(ticket_issue(&none, &good, &bytes, &err), STATUS_DENIED);
    /* The largest one fits. */
    good.n_targets = TICKET_TARGETS_MAX;
    for (int i = 0; i < TICKET_TARGETS_MAX; i++)
        memset(good.targets[i], 'a' + i, TICKET_NAME_MAX);
    memset(good.client, 'x', TICKET_NAME_MAX);
    assert_ok(ticket_issue(&signer, &good, &bytes, &err), &err);
}

/* Behind the signature too: whoever has the key may still write nonsense. */
static void fields_are_read_strictly(void **state)
{
    (void)state;
    struct ticket ticket = sample(), out;
    uint8_t bytes[TICKET_BYTES_MAX + 1] = {0};
    struct error err;
    size_t size = ticket_encode(&ticket, bytes);
    assert_ok(ticket_decode(bytes, size, &out, &err), &err);
    assert_memory_equal(&out, &ticket, sizeof(out));
    assert_int_equal(ticket_decode(bytes, size + 1, &out, &err), STATUS_CORRUPT);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(ticket_decode(bytes, cut, &out, &err), STATUS_CORRUPT);
    bytes[9] = 0;                       /* no mode */
    assert_int_equal(ticket_decode(bytes, size, &out, &err), STATUS_CORRUPT);
}

static void bad_key_files_name_the_line_and_no_secret(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "# nothing\n", "secret\n", "secret " RFC_SECRET " x\n", "secret " RFC_SECRET "0\n",
        "secret 9d61\n", "private " RFC_SECRET "\n", "secret " RFC_SECRET "\nsecret " RFC_PUBLIC,
        "public " RFC_PUBLIC "\n\x01\n"};
    struct ticket_signer signer;
    struct ticket_keys keys;
    struct error err;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (ticket_keys_parse(bad[i], strlen(bad[i]), &signer, &keys, &err) != STATUS_CORRUPT)
            fail_msg("taken: %s", bad[i]);
        assert_null(strstr(err.text, "9d61"));
        assert_int_equal(keys.n, 0);
        assert_int_equal(signer.key_id, 0);
    }
    assert_int_equal(ticket_keys_parse("secret " RFC_SECRET, 71, NULL, &keys, &err),
                     STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "line 1: a secret key does not belong here"));
}

static void files_that_everyone_may_read_are_refused(void **state)
{
    (void)state;
    char *folder = support_temp_new();
    const char *path = support_format("%s/keys", folder);
    struct ticket_signer signer;
    struct ticket_keys keys;
    struct error err;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("secret " RFC_SECRET "\n", file);
    fclose(file);
    chmod(path, 0644);
    assert_int_equal(ticket_keys_load(path, &signer, &keys, &err), STATUS_DENIED);
    chmod(path, 0640);
    assert_ok(ticket_keys_load(path, &signer, &keys, &err), &err);
    assert_int_equal(keys.n, 1);
    ticket_signer_clear(&signer);
    assert_int_equal(signer.key_id, 0);
    path = support_format("%s/none", folder);
    assert_int_equal(ticket_keys_load(path, NULL, &keys, &err), STATUS_NOT_FOUND);
    support_temp_free(folder);
}

static void the_wall_clock_is_of_this_century(void **state)
{
    (void)state;
    assert_true(wall_clock_s() > START && wall_clock_s() < INT64_C(4102444800));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_those_of_an_independent_writer),
        cmocka_unit_test(what_was_issued_is_read_back),
        cmocka_unit_test(times_hold_within_the_skew),
        cmocka_unit_test(every_changed_bit_is_refused),
        cmocka_unit_test(others_are_told_why_but_nothing_of_the_ticket),
        cmocka_unit_test(keys_rotate_without_a_gap),
        cmocka_unit_test(only_sound_tickets_are_issued),
        cmocka_unit_test(fields_are_read_strictly),
        cmocka_unit_test(bad_key_files_name_the_line_and_no_secret),
        cmocka_unit_test(files_that_everyone_may_read_are_refused),
        cmocka_unit_test(the_wall_clock_is_of_this_century),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
