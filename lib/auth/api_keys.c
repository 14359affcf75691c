#include "auth/api_keys.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/auth_int.h"
#include "base/name.h"

enum { HASH_BYTES = 32, DAY_S = 86400 };

/* What a line of the file says. */
struct rule {
    char name[API_NAME_MAX + 1];
    uint8_t hash[HASH_BYTES];
    bool sessions_limited, audio_limited;
    uint32_t sessions_max;
    uint64_t audio_ms_day_max;
};

/* A place is free when its name is empty. One whose key was revoked keeps its counters until its
 * sessions are closed and the place is needed. */
struct entry {
    struct rule rule;
    bool revoked;
    uint32_t generation;
    uint32_t sessions;
    int64_t day;
    uint64_t audio_ms_today, audio_ms_total, tokens_total, opened_total, refused_total;
};

struct api_keys {
    pthread_mutex_t lock;
    size_t n;                           /* places that were ever used */
    struct entry entries[API_KEYS_MAX];
};

enum status api_keys_new(struct api_keys **out, struct error *err)
{
    *out = NULL;
    enum status status = auth_ready(err);
    if (status != STATUS_OK)
        return status;
    struct api_keys *keys = calloc(1, sizeof(*keys));
    if (!keys)
        return error_set(err, STATUS_NO_MEMORY, "no memory for API keys");
    pthread_mutex_init(&keys->lock, NULL);
    *out = keys;
    return STATUS_OK;
}

void api_keys_free(struct api_keys **keys)
{
    struct api_keys *old = *keys;
    *keys = NULL;
    if (!old)
        return;
    pthread_mutex_destroy(&old->lock);
    sodium_memzero(old->entries, sizeof(old->entries));
    free(old);
}

/* ---- the file ---- */

static bool read_limit(const char *text, uint64_t max, bool *limited, uint64_t *out)
{
    uint64_t value = 0;
    *limited = strcmp(text, "-") != 0;
    *out = 0;
    if (!*limited)
        return true;
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9' || c - text > 9)
            return false;
        value = value * 10 + (uint64_t)(*c - '0');
    }
    *out = value;
    return *text && value <= max;
}

/* What is wrong with the line; NULL when *rule is filled. */
static const char *read_rule(const struct auth_lines *line, struct rule *rule)
{
    uint64_t sessions, seconds;
    memset(rule, 0, sizeof(*rule));
    if (line->n_fields != 4)
        return "expected NAME HASH SESSIONS AUDIO_SECONDS_A_DAY";
    size_t n = strlen(line->fields[0]);
    if (!name_valid(line->fields[0], n, API_NAME_MAX))
        return "a name has 1 to 64 letters, digits, - _ . :";
    memcpy(rule->name, line->fields[0], n);
    if (!auth_hex(line->fields[1], rule->hash, HASH_BYTES))
        return "the hash must have 64 hex digits";
    if (!read_limit(line->fields[2], 1000000, &rule->sessions_limited, &sessions))
        return "sessions at once must be 0 to 1000000, or - for no limit";
    if (!read_limit(line->fields[3], 999999999, &rule->audio_limited, &seconds))
        return "audio seconds a day must be 0 to 999999999, or - for no limit";
    rule->sessions_max = (uint32_t)sessions;
    rule->audio_ms_day_max = seconds * 1000;
    return NULL;
}

static const char *repeats(const struct rule *rules, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(rules[i].name, rules[n].name) == 0)
            return "the name stands twice";
        if (memcmp(rules[i].hash, rules[n].hash, HASH_BYTES) == 0)
            return "the key stands twice";
    }
    return NULL;
}

static enum status read_rules(const char *text, size_t size, struct rule *rules, size_t *n,
                              struct error *err)
{
    struct auth_lines lines = {.at = text, .end = text + size};
    bool more = true;
    *n = 0;
    while (true) {
        enum status status = auth_lines_next(&lines, &more, err);
        if (status != STATUS_OK || !more)
            return status;
        if (*n == API_KEYS_MAX)
            return error_set(err, STATUS_EXHAUSTED, "line %u: more than %d keys", lines.number,
                             API_KEYS_MAX);
        const char *fault = read_rule(&lines, &rules[*n]);
        if (!fault)
            fault = repeats(rules, *n);
        if (fault)
            return error_set(err, STATUS_CORRUPT, "line %u: %s", lines.number, fault);
        ++*n;
    }
}

/* ---- loading: `lock` is held ---- */

static struct entry *entry_named(struct api_keys *keys, const char *name)
{
    for (size_t i = 0; i < keys->n; i++)
        if (strcmp(keys->entries[i].rule.name, name) == 0)
            return &keys->entries[i];
    return NULL;
}

/* A place for a new name: a fresh one, else one that was revoked and is not in use. */
static struct entry *entry_free(struct api_keys *keys)
{
    if (keys->n < API_KEYS_MAX)
        return &keys->entries[keys->n++];
    for (size_t i = 0; i < keys->n; i++) {
        struct entry *entry = &keys->entries[i];
        if (!entry->revoked || entry->sessions)
            continue;
        uint32_t generation = entry->generation + 1;
        memset(entry, 0, sizeof(*entry));
        entry->generation = generation;
        return entry;
    }
    return NULL;
}

/* Are there places for all? Counted before anything changes. */
static bool rules_fit(struct api_keys *keys, const struct rule *rules, size_t n)
{
    size_t held = 0;                    /* revoked afterwards, with sessions */
    for (size_t i = 0; i < keys->n; i++) {
        bool stays = false;
        for (size_t k = 0; k < n && !stays; k++)
            stays = strcmp(rules[k].name, keys->entries[i].rule.name) == 0;
        held += !stays && keys->entries[i].sessions;
    }
    return held + n <= API_KEYS_MAX;
}

static void rules_apply(struct api_keys *keys, const struct rule *rules, size_t n)
{
    for (size_t i = 0; i < keys->n; i++)
        keys->entries[i].revoked = true;
    for (size_t k = 0; k < n; k++) {    /* known names first, so that none loses its place */
        struct entry *entry = entry_named(keys, rules[k].name);
        if (entry) {
            entry->rule = rules[k];
            entry->revoked = false;
        }
    }
    for (size_t k = 0; k < n; k++) {
        if (entry_named(keys, rules[k].name))
            continue;
        struct entry *entry = entry_free(keys);
        SA_ASSERT(entry);               /* rules_fit */
        entry->rule = rules[k];
    }
}

enum status api_keys_parse(struct api_keys *keys, const char *text, size_t size, struct error *err)
{
    size_t n;
    struct rule *rules = calloc(API_KEYS_MAX, sizeof(*rules));
    if (!rules)
        return error_set(err, STATUS_NO_MEMORY, "no memory for API keys");
    enum status status = read_rules(text, size, rules, &n, err);
    if (status == STATUS_OK) {
        pthread_mutex_lock(&keys->lock);
        if (rules_fit(keys, rules, n))
            rules_apply(keys, rules, n);
        else
            status = error_set(err, STATUS_EXHAUSTED, "more than %d keys, with those that were "
                               "revoked and still have sessions", API_KEYS_MAX);
        pthread_mutex_unlock(&keys->lock);
    }
    free(rules);
    return status;
}

enum status api_keys_load(struct api_keys *keys, const char *path, struct error *err)
{
    char *text;
    size_t size;
    enum status status = auth_file_read(path, true, &text, &size, err);
    if (status != STATUS_OK)
        return status;
    status = api_keys_parse(keys, text, size, err);
    auth_file_free(&text, size);
    return status == STATUS_OK ? status : error_prefix(err, "%s", path);
}

/* ---- keys ---- */

static void hash_of(const char *key, size_t size, uint8_t hash[HASH_BYTES])
{
    crypto_generichash(hash, HASH_BYTES, (const uint8_t *)key, size, NULL, 0);
}

enum status api_key_generate(char key[API_KEY_TEXT_MAX], char hash[API_HASH_TEXT_MAX],
                             struct error *err)
{
    uint8_t bytes[32], hashed[HASH_BYTES];
    char text[sodium_base64_ENCODED_LEN(sizeof(bytes), sodium_base64_VARIANT_URLSAFE_NO_PADDING)];
    enum status status = auth_ready(err);
    if (status != STATUS_OK)
        return status;
    randombytes_buf(bytes, sizeof(bytes));
    sodium_bin2base64(text, sizeof(text), bytes, sizeof(bytes),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    snprintf(key, API_KEY_TEXT_MAX, "sak_%s", text);
    hash_of(key, strlen(key), hashed);
    sodium_bin2hex(hash, API_HASH_TEXT_MAX, hashed, sizeof(hashed));
    sodium_memzero(bytes, sizeof(bytes));
    sodium_memzero(text, sizeof(text));
    return STATUS_OK;
}

enum status api_key_read(const char *path, char key[API_KEY_TEXT_MAX], struct error *err)
{
    char *text;
    size_t size;
    enum status rc = auth_file_read(path, true, &text, &size, err);
    if (rc != STATUS_OK)
        return rc;
    size_t n = size;
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        n--;
    bool good = n > 0 && n < API_KEY_TEXT_MAX;
    for (size_t i = 0; good && i < n; i++)
        good = text[i] > ' ' && text[i] <= '~';
    if (good) {
        memcpy(key, text, n);
        key[n] = '\0';
    }
    auth_file_free(&text, size);
    return good ? STATUS_OK
                : error_set(err, STATUS_CORRUPT, "%s holds no API key: one word of printable ASCII",
                            path);
}

void api_keys_name(struct api_keys *keys, struct api_client client, char name[API_NAME_MAX + 1])
{
    name[0] = '\0';
    pthread_mutex_lock(&keys->lock);
    if (client.index < keys->n && keys->entries[client.index].generation == client.generation)
        memcpy(name, keys->entries[client.index].rule.name, API_NAME_MAX + 1);
    pthread_mutex_unlock(&keys->lock);
}

enum status api_keys_find(struct api_keys *keys, const char *key, size_t size,
                          struct api_client *out, struct error *err)
{
    uint8_t hash[HASH_BYTES];
    bool found = false;
    memset(out, 0, sizeof(*out));
    if (size > 0 && size < API_KEY_TEXT_MAX) {
        hash_of(key, size, hash);
        pthread_mutex_lock(&keys->lock);
        for (size_t i = 0; i < keys->n; i++) {
            const struct entry *entry = &keys->entries[i];
            if (sodium_memcmp(entry->rule.hash, hash, HASH_BYTES) == 0 && !entry->revoked) {
                *out = (struct api_client){(uint32_t)i, entry->generation};
                found = true;
            }
        }
        pthread_mutex_unlock(&keys->lock);
    }
    if (!found)
        return error_set(err, STATUS_DENIED, "this API key is not known here");
    return STATUS_OK;
}

enum status api_keys_find_name(struct api_keys *keys, const char *name, struct api_client *out,
                               struct error *err)
{
    memset(out, 0, sizeof(*out));
    pthread_mutex_lock(&keys->lock);
    const struct entry *entry = *name ? entry_named(keys, name) : NULL;
    bool found = entry && !entry->revoked;
    if (found)
        *out = (struct api_client){(uint32_t)(entry - keys->entries), entry->generation};
    pthread_mutex_unlock(&keys->lock);
    if (!found)
        return error_set(err, STATUS_DENIED, "this client has no API key here");
    return STATUS_OK;
}

/* ---- use: `lock` is held ---- */

static struct entry *entry_at(struct api_keys *keys, struct api_client client)
{
    if (client.index >= keys->n || keys->entries[client.index].generation != client.generation)
        return NULL;
    return &keys->entries[client.index];
}

static void begin_day(struct entry *entry, int64_t now_s)
{
    int64_t day = now_s / DAY_S;
    if (day <= entry->day)
        return;
    entry->day = day;
    entry->audio_ms_today = 0;
}

static int64_t day_left_s(const struct entry *entry, int64_t now_s)
{
    return (entry->day + 1) * DAY_S - now_s;
}

static bool is_used_up(const struct entry *entry)
{
    return entry->rule.audio_limited && entry->audio_ms_today >= entry->rule.audio_ms_day_max;
}

static enum status check_audio(const struct entry *entry, int64_t now_s, struct error *err)
{
    if (entry->revoked)
        return error_set(err, STATUS_DENIED, "this API key was revoked");
    if (is_used_up(entry))
        return error_set(err, STATUS_EXHAUSTED, "the day's %llu s of audio are used up: more in "
                         "%lld s", (unsigned long long)entry->rule.audio_ms_day_max / 1000,
                         (long long)day_left_s(entry, now_s));
    return STATUS_OK;
}

static enum status open_session(struct entry *entry, int64_t now_s, struct error *err)
{
    begin_day(entry, now_s);
    enum status status = check_audio(entry, now_s, err);
    if (status == STATUS_OK && entry->rule.sessions_limited &&
        entry->sessions >= entry->rule.sessions_max)
        status = error_set(err, STATUS_EXHAUSTED, "%u sessions are open with this API key, which "
                           "is its limit: close one first", entry->sessions);
    if (status != STATUS_OK) {
        entry->refused_total++;
        return status;
    }
    entry->sessions++;
    entry->opened_total++;
    return STATUS_OK;
}

enum status api_keys_open(struct api_keys *keys, struct api_client client, int64_t now_s,
                          struct error *err)
{
    pthread_mutex_lock(&keys->lock);
    struct entry *entry = entry_at(keys, client);
    enum status status = entry ? open_session(entry, now_s, err)
                               : error_set(err, STATUS_DENIED, "this API key was revoked");
    pthread_mutex_unlock(&keys->lock);
    return status;
}

void api_keys_close(struct api_keys *keys, struct api_client client)
{
    pthread_mutex_lock(&keys->lock);
    struct entry *entry = entry_at(keys, client);
    SA_ASSERT(entry && entry->sessions > 0);    /* a place with sessions is never given away */
    entry->sessions--;
    pthread_mutex_unlock(&keys->lock);
}

enum status api_keys_count(struct api_keys *keys, struct api_client client,
                           const struct api_amount *amount, int64_t now_s, struct error *err)
{
    pthread_mutex_lock(&keys->lock);
    struct entry *entry = entry_at(keys, client);
    SA_ASSERT(entry && entry->sessions > 0);
    begin_day(entry, now_s);
    entry->audio_ms_today += amount->audio_ms;
    entry->audio_ms_total += amount->audio_ms;
    entry->tokens_total += amount->tokens;
    enum status status = check_audio(entry, now_s, err);
    pthread_mutex_unlock(&keys->lock);
    return status;
}

uint32_t api_keys_retry_s(struct api_keys *keys, struct api_client client, int64_t now_s)
{
    uint32_t left_s = 0;
    pthread_mutex_lock(&keys->lock);
    struct entry *entry = entry_at(keys, client);
    if (entry)
        begin_day(entry, now_s);
    if (entry && !entry->revoked && is_used_up(entry))
        left_s = (uint32_t)MIN(day_left_s(entry, now_s), (int64_t)UINT32_MAX);
    pthread_mutex_unlock(&keys->lock);
    return left_s;
}

size_t api_keys_usage(struct api_keys *keys, int64_t now_s, struct api_usage *out, size_t max)
{
    pthread_mutex_lock(&keys->lock);
    size_t n = MIN(keys->n, max);
    for (size_t i = 0; i < n; i++) {
        struct entry *entry = &keys->entries[i];
        begin_day(entry, now_s);
        out[i] = (struct api_usage){
            .revoked = entry->revoked,
            .sessions_limited = entry->rule.sessions_limited,
            .audio_limited = entry->rule.audio_limited,
            .sessions = entry->sessions,
            .sessions_max = entry->rule.sessions_max,
            .audio_ms_today = entry->audio_ms_today,
            .audio_ms_day_max = entry->rule.audio_ms_day_max,
            .audio_ms_total = entry->audio_ms_total,
            .tokens_total = entry->tokens_total,
            .opened_total = entry->opened_total,
            .refused_total = entry->refused_total,
        };
        memcpy(out[i].name, entry->rule.name, sizeof(out[i].name));
    }
    pthread_mutex_unlock(&keys->lock);
    return n;
}
