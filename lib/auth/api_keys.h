/* api_keys.h: who may use the service with a long-lived key, how much, and how much was used.
 *
 * A file has one line per key:
 *
 *     # name     BLAKE2b-256 of the key (hex)     sessions at once   audio seconds a day
 *     team-a     6a1f...                          8                  36000
 *     lab        09bc...                          -                  -          (no limit)
 *
 * Keys are made here (api_key_generate) with 256 random bits, so a fast hash is enough: there is
 * nothing to guess. Only the hash is kept, in the file and in memory. A day begins at 0:00 UTC and
 * never twice, even if the date is set back.
 *
 * Loading again replaces names, hashes and quotas and keeps the counters of names that stay; a key
 * that is gone is revoked: its sessions are told so with the next api_keys_count. If the file
 * cannot be read or has an error, everything stays as it was.
 *
 * Any thread; one lock inside, held for microseconds (milliseconds while loading). Dates are passed
 * in (auth/wall_clock.h).
 */
#ifndef AUTH_API_KEYS_H
#define AUTH_API_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum {
    API_KEYS_MAX = 1024,
    API_NAME_MAX = 64,                  /* letters, digits, - _ . : */
    API_KEY_TEXT_MAX = 256,             /* a key as a client presents it */
    API_HASH_TEXT_MAX = 65
};

struct api_keys;

/* Names an entry. Plain data; one that was revoked and removed is refused, never mistaken. */
struct api_client {
    uint32_t index, generation;
};

/* Without keys: everyone is refused. STATUS_NO_MEMORY, _INTERNAL. */
MUST_CHECK enum status api_keys_new(struct api_keys **out, struct error *err);

/* Nobody may be inside a call. Accepts NULL; nulls the pointer. */
void api_keys_free(struct api_keys **keys);

/* The first time and again. STATUS_NOT_FOUND, _IO, _DENIED (everyone may read or write the file),
 * _CORRUPT (which line, not its text), _EXHAUSTED (above API_KEYS_MAX), _NO_MEMORY. */
MUST_CHECK enum status api_keys_load(struct api_keys *keys, const char *path, struct error *err);
MUST_CHECK enum status api_keys_parse(struct api_keys *keys, const char *text, size_t size,
                                      struct error *err);

/* A new key for a client (to be shown once) and its hash for the file. */
MUST_CHECK enum status api_key_generate(char key[API_KEY_TEXT_MAX], char hash[API_HASH_TEXT_MAX],
                                        struct error *err);

/* The client's side: the key that stands in a file by itself. STATUS_NOT_FOUND, _IO, _DENIED
 * (everyone may read it), _CORRUPT (no key: it must be one word of printable ASCII). */
MUST_CHECK enum status api_key_read(const char *path, char key[API_KEY_TEXT_MAX],
                                    struct error *err);

/* Who presents this key? Time does not depend on which key it is. STATUS_DENIED. */
MUST_CHECK enum status api_keys_find(struct api_keys *keys, const char *key, size_t size,
                                     struct api_client *out, struct error *err);

/* The entry of that name, as a ticket carries it. STATUS_DENIED when it is not (any more) there. */
MUST_CHECK enum status api_keys_find_name(struct api_keys *keys, const char *name,
                                          struct api_client *out, struct error *err);

/* Its name; "" when it is revoked and removed. */
void api_keys_name(struct api_keys *keys, struct api_client client, char name[API_NAME_MAX + 1]);

/* A session begins; each success is followed by one api_keys_close. STATUS_EXHAUSTED: sessions at
 * once, or the day's audio (the text says which, and when it is worth trying again); _DENIED:
 * revoked. */
MUST_CHECK enum status api_keys_open(struct api_keys *keys, struct api_client client, int64_t now_s,
                                     struct error *err);
void api_keys_close(struct api_keys *keys, struct api_client client);

struct api_amount {
    uint64_t audio_ms, tokens;
};

/* Meters what a session has used since the last call; counted in any case. STATUS_EXHAUSTED: the
 * day's audio is used up; _DENIED: revoked. Either way end the session after its open utterance. */
MUST_CHECK enum status api_keys_count(struct api_keys *keys, struct api_client client,
                                      const struct api_amount *amount, int64_t now_s,
                                      struct error *err);

/* Until the day's audio is given anew, in seconds; 0: it is not used up, or there is no limit. */
uint32_t api_keys_retry_s(struct api_keys *keys, struct api_client client, int64_t now_s);

struct api_usage {
    char name[API_NAME_MAX + 1];
    bool revoked;
    bool sessions_limited, audio_limited;
    uint32_t sessions, sessions_max;
    uint64_t audio_ms_today, audio_ms_day_max;
    uint64_t audio_ms_total, tokens_total;
    uint64_t opened_total, refused_total;
};

/* Every entry, in the order of the first load that named it; at most `max`. Returns how many. */
size_t api_keys_usage(struct api_keys *keys, int64_t now_s, struct api_usage *out, size_t max);

#endif
