/* API keys: who is let in, quotas, metering, and files that change while sessions run. */
#include "../support/support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "auth/api_keys.h"

enum { NOON = 20000 * 86400 + 43200, DAY = 86400 };

struct made {
    char key[API_KEY_TEXT_MAX], hash[API_HASH_TEXT_MAX];
};

static struct made make_key(void)
{
    struct made made;
    struct error err;
    assert_ok(api_key_generate(made.key, made.hash, &err), &err);
    assert_int_equal(strlen(made.key), 4 + 43);
    assert_int_equal(strlen(made.hash), 64);
    return made;
}

static struct api_keys *new_keys(const char *text)
{
    struct api_keys *keys;
    struct error err;
    assert_ok(api_keys_new(&keys, &err), &err);
    assert_ok(api_keys_parse(keys, text, strlen(text), &err), &err);
    return keys;
}

static void load(struct api_keys *keys, const char *text)
{
    struct error err;
    assert_ok(api_keys_parse(keys, text, strlen(text), &err), &err);
}

static struct api_client find(struct api_keys *keys, const char *key)
{
    struct api_client client;
    struct error err;
    assert_ok(api_keys_find(keys, key, strlen(key), &client, &err), &err);
    return client;
}

static enum status count(struct api_keys *keys, struct api_client client, uint64_t audio_ms,
                         int64_t now_s, struct error *err)
{
    struct api_amount amount = {.audio_ms = audio_ms, .tokens = 7};
    return api_keys_count(keys, client, &amount, now_s, err);
}

static void only_listed_keys_are_known(void **state)
{
    (void)state;
    struct made a = make_key(), b = make_key(), stranger = make_key();
    struct api_keys *keys = new_keys(
        support_format("# who\nteam-a %s 2 10\r\nlab:1  %s - -\n", a.hash, b.hash));
    struct api_client client, same;
    struct error err;
    assert_int_not_equal(find(keys, a.key).index, find(keys, b.key).index);
    assert_int_equal(api_keys_find(keys, stranger.key, strlen(stranger.key), &client, &err),
                     STATUS_DENIED);
    assert_null(strstr(err.text, stranger.key + 4));
    assert_int_equal(api_keys_find(keys, a.key, strlen(a.key) - 1, &client, &err), STATUS_DENIED);
    assert_int_equal(api_keys_find(keys, "", 0, &client, &err), STATUS_DENIED);
    assert_int_equal(api_keys_find(keys, a.hash, strlen(a.hash), &client, &err), STATUS_DENIED);
    assert_ok(api_keys_find_name(keys, "team-a", &same, &err), &err);
    assert_int_equal(same.index, find(keys, a.key).index);
    assert_int_equal(api_keys_find_name(keys, "team-b", &same, &err), STATUS_DENIED);
    assert_int_equal(api_keys_find_name(keys, "", &same, &err), STATUS_DENIED);
    api_keys_free(&keys);
    assert_null(keys);
}

/* As the runbook makes them in a shell: printf %s sak_test | b2sum -l 256 */
static void hashes_are_those_of_b2sum(void **state)
{
    (void)state;
    struct api_keys *keys = new_keys(
        "a fcac9ef38a89e4ce1ac829671c16bffa6cf7e0f97af2b279c020cf8d5e024aaf - -\n");
    find(keys, "sak_test");
    api_keys_free(&keys);
}

static void sessions_at_once_are_capped(void **state)
{
    (void)state;
    struct made a = make_key(), b = make_key();
    struct api_keys *keys = new_keys(support_format("a %s 2 -\nb %s 0 -\n", a.hash, b.hash));
    struct api_client client = find(keys, a.key);
    struct api_usage usage[4];
    struct error err;
    assert_ok(api_keys_open(keys, client, NOON, &err), &err);
    assert_ok(api_keys_open(keys, client, NOON, &err), &err);
    assert_int_equal(api_keys_open(keys, client, NOON, &err), STATUS_EXHAUSTED);
    assert_non_null(strstr(err.text, "2 sessions are open"));
    assert_int_equal(api_keys_open(keys, find(keys, b.key), NOON, &err), STATUS_EXHAUSTED);
    api_keys_close(keys, client);
    assert_ok(api_keys_open(keys, client, NOON, &err), &err);
    assert_int_equal(api_keys_usage(keys, NOON, usage, 4), 2);
    assert_string_equal(usage[0].name, "a");
    assert_int_equal(usage[0].sessions, 2);
    assert_int_equal(usage[0].opened_total, 3);
    assert_int_equal(usage[0].refused_total, 1);
    assert_int_equal(api_keys_usage(keys, NOON, usage, 1), 1);
    api_keys_free(&keys);
}

static void audio_is_metered_by_the_day(void **state)
{
    (void)state;
    struct made a = make_key();
    struct api_keys *keys = new_keys(support_format("a %s - 10\n", a.hash));
    struct api_client client = find(keys, a.key);
    struct api_usage usage;
    struct error err;
    assert_ok(api_keys_open(keys, client, NOON, &err), &err);
    assert_ok(count(keys, client, 9999, NOON, &err), &err);
    assert_int_equal(count(keys, client, 500, NOON + 10, &err), STATUS_EXHAUSTED);
    assert_non_null(strstr(err.text, "10 s of audio are used up: more in 43190 s"));
    assert_int_equal(api_keys_open(keys, client, NOON + 20, &err), STATUS_EXHAUSTED);
    /* The next day begins; a date that is set back does not begin another one. */
    assert_ok(count(keys, client, 6000, NOON + DAY, &err), &err);
    assert_int_equal(count(keys, client, 5000, NOON, &err), STATUS_EXHAUSTED);
    assert_int_equal(count(keys, client, 0, NOON + DAY, &err), STATUS_EXHAUSTED);
    assert_int_equal(api_keys_usage(keys, NOON + DAY, &usage, 1), 1);
    assert_int_equal(usage.audio_ms_today, 11000);
    assert_int_equal(usage.audio_ms_total, 21499);
    assert_int_equal(usage.tokens_total, 35);
    assert_int_equal(api_keys_usage(keys, NOON + 2 * DAY, &usage, 1), 1);
    assert_int_equal(usage.audio_ms_today, 0);
    api_keys_free(&keys);
}

static void reload_changes_rules_and_keeps_counters(void **state)
{
    (void)state;
    struct made a = make_key(), b = make_key(), a2 = make_key();
    struct api_keys *keys = new_keys(support_format("a %s 5 -\nb %s 5 -\n", a.hash, b.hash));
    struct api_client client_a = find(keys, a.key), client_b = find(keys, b.key), client;
    struct api_usage usage[4];
    struct error err;
    assert_ok(api_keys_open(keys, client_a, NOON, &err), &err);
    assert_ok(api_keys_open(keys, client_b, NOON, &err), &err);
    assert_ok(count(keys, client_a, 1000, NOON, &err), &err);
    load(keys, support_format("a %s 1 -\n", a2.hash));
    assert_int_equal(api_keys_find(keys, a.key, strlen(a.key), &client, &err), STATUS_DENIED);
    assert_int_equal(find(keys, a2.key).index, client_a.index);
    assert_int_equal(api_keys_open(keys, client_a, NOON, &err), STATUS_EXHAUSTED);
    assert_int_equal(api_keys_find(keys, b.key, strlen(b.key), &client, &err), STATUS_DENIED);
    assert_int_equal(api_keys_find_name(keys, "b", &client, &err), STATUS_DENIED);
    assert_int_equal(api_keys_open(keys, client_b, NOON, &err), STATUS_DENIED);
    assert_int_equal(count(keys, client_b, 1000, NOON, &err), STATUS_DENIED);
    api_keys_close(keys, client_b);
    assert_int_equal(api_keys_usage(keys, NOON, usage, 4), 2);
    assert_int_equal(usage[0].audio_ms_total, 1000);
    assert_int_equal(usage[1].audio_ms_total, 1000);
    assert_true(usage[1].revoked && !usage[0].revoked);
    load(keys, support_format("b %s - -\n", b.hash));    /* it comes back, with its history */
    assert_ok(api_keys_open(keys, find(keys, b.key), NOON, &err), &err);
    api_keys_close(keys, client_b);
    api_keys_close(keys, client_a);
    api_keys_free(&keys);
}

/* A file with n keys named PREFIX0.. whose hashes are made up. Caller frees. */
static char *many(const char *prefix, unsigned n)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    for (unsigned i = 0; i < n; i++)
        fprintf(out, "%s%u %060x%04x 1 1\n", prefix, i, (unsigned)*prefix, i);
    fclose(out);
    return text;
}

static void places_are_used_again_but_not_under_a_session(void **state)
{
    (void)state;
    char *first = many("a", API_KEYS_MAX), *second = many("b", API_KEYS_MAX);
    char *less = many("b", API_KEYS_MAX - 1), *more = many("c", API_KEYS_MAX + 1);
    struct api_keys *keys = new_keys(first);
    struct api_client held, gone, found;
    struct error err;
    assert_ok(api_keys_find_name(keys, "a7", &held, &err), &err);
    assert_ok(api_keys_find_name(keys, "a8", &gone, &err), &err);
    assert_ok(api_keys_open(keys, held, NOON, &err), &err);
    assert_int_equal(api_keys_parse(keys, more, strlen(more), &err), STATUS_EXHAUSTED);
    assert_int_equal(api_keys_parse(keys, second, strlen(second), &err), STATUS_EXHAUSTED);
    assert_ok(api_keys_find_name(keys, "a9", &found, &err), &err);      /* nothing has changed */
    load(keys, less);
    assert_int_equal(count(keys, held, 1, NOON, &err), STATUS_DENIED);
    assert_int_equal(api_keys_open(keys, gone, NOON, &err), STATUS_DENIED);
    assert_ok(api_keys_find_name(keys, "b1022", &found, &err), &err);
    api_keys_close(keys, held);
    load(keys, second);
    assert_ok(api_keys_find_name(keys, "b1023", &found, &err), &err);
    assert_int_equal(found.index, held.index);
    api_keys_free(&keys);
    free(first);
    free(second);
    free(less);
    free(more);
}

static void bad_files_change_nothing(void **state)
{
    (void)state;
    struct made a = make_key();
    struct api_keys *keys = new_keys(support_format("a %s 1 1\n", a.hash));
    const char *h = a.hash;
    const char *bad[] = {
        "b\n", support_format("b %s 1\n", h), support_format("b %s 1 1 1\n", h),
        support_format("b %s -1 1\n", h), support_format("b %s 1 1s\n", h),
        support_format("b %s 1 9999999999\n", h), support_format("b? %s 1 1\n", h),
        support_format("b %.63s 1 1\n", h)};
    struct error err;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (api_keys_parse(keys, bad[i], strlen(bad[i]), &err) != STATUS_CORRUPT)
            fail_msg("taken: %s", bad[i]);
        assert_non_null(strstr(err.text, "line 1"));
        assert_null(strstr(err.text, support_format("%.16s", h)));
    }
    const char *twice = support_format("b %s 1 1\n\nc %s 1 1\n", h, h);
    assert_int_equal(api_keys_parse(keys, twice, strlen(twice), &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "line 3: the key stands twice"));
    find(keys, a.key);
    api_keys_free(&keys);
}

static void a_file_is_loaded_if_not_everyone_may_read_it(void **state)
{
    (void)state;
    struct made a = make_key();
    char *folder = support_temp_new();
    const char *path = support_format("%s/keys", folder);
    struct api_keys *keys = new_keys("");
    struct error err;
    assert_int_equal(api_keys_load(keys, path, &err), STATUS_NOT_FOUND);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "a %s 1 1\n", a.hash);
    fclose(file);
    chmod(path, 0644);
    assert_int_equal(api_keys_load(keys, path, &err), STATUS_DENIED);
    chmod(path, 0600);
    assert_ok(api_keys_load(keys, path, &err), &err);
    find(keys, a.key);
    api_keys_free(&keys);
    support_temp_free(folder);
}

enum { N_THREADS = 4, N_ROUNDS = 500 };

struct shared {
    struct api_keys *keys;
    const char *key;
};

static void *work(void *context)
{
    struct shared *shared = context;
    struct api_client client;
    for (int i = 0; i < N_ROUNDS; i++) {
        if (api_keys_find(shared->keys, shared->key, strlen(shared->key), &client, NULL) !=
            STATUS_OK || api_keys_open(shared->keys, client, NOON, NULL) != STATUS_OK)
            return "refused";
        if (count(shared->keys, client, 1, NOON, NULL) != STATUS_OK)
            return "not counted";
        api_keys_close(shared->keys, client);
    }
    return NULL;
}

static void threads_and_reloads_lose_nothing(void **state)
{
    (void)state;
    struct made a = make_key();
    const char *text = support_format("a %s - -\n", a.hash);
    struct shared shared = {new_keys(text), a.key};
    struct api_usage usage;
    pthread_t threads[N_THREADS];
    for (int i = 0; i < N_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &shared), 0);
    for (int i = 0; i < 50; i++)
        load(shared.keys, text);
    for (int i = 0; i < N_THREADS; i++) {
        void *fault;
        pthread_join(threads[i], &fault);
        assert_null(fault);
    }
    assert_int_equal(api_keys_usage(shared.keys, NOON, &usage, 1), 1);
    assert_int_equal(usage.audio_ms_total, N_THREADS * N_ROUNDS);
    assert_int_equal(usage.opened_total, N_THREADS * N_ROUNDS);
    assert_int_equal(usage.sessions, 0);
    api_keys_free(&shared.keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_listed_keys_are_known),
        cmocka_unit_test(hashes_are_those_of_b2sum),
        cmocka_unit_test(sessions_at_once_are_capped),
        cmocka_unit_test(audio_is_metered_by_the_day),
        cmocka_unit_test(reload_changes_rules_and_keeps_counters),
        cmocka_unit_test(places_are_used_again_but_not_under_a_session),
        cmocka_unit_test(bad_files_change_nothing),
        cmocka_unit_test(a_file_is_loaded_if_not_everyone_may_read_it),
        cmocka_unit_test(threads_and_reloads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
