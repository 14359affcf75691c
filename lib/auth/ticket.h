/* ticket.h: what a coordinator lets a client do, signed so that any target can check it alone.
 *
 *   coordinator                         client                       target
 *   ticket_issue (secret key)  ----->   carries the bytes  ----->    ticket_verify (public keys)
 *
 * A ticket says who (session id, name of the API key), where (audience: names of targets), when
 * (not before, expires: seconds since 1970) and how (modes). It is signed with Ed25519 (RFC 8032)
 * over a label and every byte before the signature; nothing of it is looked at before the
 * signature holds. It is not secret against the targets, but whoever holds it may use it: send it
 * over TLS only.
 *
 * Rotation: add the new public key to every target's file and reload; then give the coordinator the
 * new secret; when the last old ticket has expired, remove the old public key.
 *
 * All structs are plain data; no function keeps what it is given. Any thread, on data of its own.
 */
#ifndef AUTH_TICKET_H
#define AUTH_TICKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum {
    TICKET_BYTES_MAX = 512,
    TICKET_NAME_MAX = 64,               /* of a target or client: letters, digits, - _ . : */
    TICKET_TARGETS_MAX = 4,
    TICKET_KEYS_MAX = 4,
    TICKET_SESSION_BYTES = 16,
    TICKET_PUBLIC_BYTES = 32,
    TICKET_SECRET_BYTES = 64,           /* as libsodium keeps it: seed and public key */
    TICKET_LIFETIME_MAX_S = 24 * 3600,
    TICKET_KEY_TEXT_MAX = 80
};

/* Bits of ticket.modes: how the client may be served. */
enum ticket_mode { TICKET_SPLIT = 1, TICKET_COLOCATED = 2, TICKET_TARGET_ALONE = 4 };
enum { TICKET_MODES_ALL = 7 };

struct ticket {
    uint8_t session[TICKET_SESSION_BYTES];
    char client[TICKET_NAME_MAX + 1];   /* "": without an API key */
    uint8_t modes;                      /* at least one */
    int64_t not_before_s, expires_s;    /* at most TICKET_LIFETIME_MAX_S apart */
    uint64_t key_id;                    /* ticket_issue and ticket_verify fill it */
    uint8_t n_targets;                  /* 1..TICKET_TARGETS_MAX */
    char targets[TICKET_TARGETS_MAX][TICKET_NAME_MAX + 1];
};

struct ticket_bytes {
    size_t size;
    uint8_t data[TICKET_BYTES_MAX];
};

/* ---- keys ---- */

struct ticket_signer {
    uint64_t key_id;                    /* from the public key; 0: no secret here */
    uint8_t secret[TICKET_SECRET_BYTES];
};

struct ticket_keys {
    size_t n;
    struct {
        uint64_t id;
        uint8_t key[TICKET_PUBLIC_BYTES];
    } keys[TICKET_KEYS_MAX];
};

/* A key file has a line "secret HEX" (at most one) and lines "public HEX"; a secret counts as
 * public too. `signer` NULL: a secret is refused, for a target has no business with one. On failure
 * both are empty. STATUS_CORRUPT (the line, not its text), _EXHAUSTED (above TICKET_KEYS_MAX),
 * _INTERNAL. */
MUST_CHECK enum status ticket_keys_parse(const char *text, size_t size,
                                         struct ticket_signer *signer, struct ticket_keys *keys,
                                         struct error *err);

/* The same from a file; one with a secret that everyone may read is refused (STATUS_DENIED), also
 * _NOT_FOUND, _IO. To reload: load into another struct, swap under the caller's lock. */
MUST_CHECK enum status ticket_keys_load(const char *path, struct ticket_signer *signer,
                                        struct ticket_keys *keys, struct error *err);

/* A new key pair as the two lines of a key file. */
MUST_CHECK enum status ticket_key_generate(char secret_line[TICKET_KEY_TEXT_MAX],
                                           char public_line[TICKET_KEY_TEXT_MAX],
                                           struct error *err);

/* Overwrites the secret. */
void ticket_signer_clear(struct ticket_signer *signer);

/* ---- tickets ---- */

/* STATUS_INVALID: a name, a time or the modes break the rules above; _DENIED: no secret key. */
MUST_CHECK enum status ticket_issue(const struct ticket_signer *signer, const struct ticket *ticket,
                                    struct ticket_bytes *out, struct error *err);

/* A ticket as text, as it travels in call metadata. STATUS_CORRUPT: it is none. */
enum { TICKET_HEX_MAX = 2 * TICKET_BYTES_MAX + 1 };
MUST_CHECK enum status ticket_from_hex(const char *text, struct ticket_bytes *out,
                                       struct error *err);

/* How the target at "host:port" or "[::1]:port" is named in tickets: without brackets. False: too
 * long. */
bool ticket_target_name(char name[TICKET_NAME_MAX + 1], const char *address);

struct ticket_check {
    const char *target;                 /* who is asked: must be in the audience */
    int64_t now_s;                      /* wall_clock_s() */
    int64_t skew_s;                     /* how far clocks may differ, usually 60 */
};

/* STATUS_CORRUPT: no ticket; _UNSUPPORTED: another version; _DENIED: signature, key or audience;
 * _EXHAUSTED: its time is over or has not come, which a later try with a new ticket may mend. The
 * text says which, in seconds where it is time, and repeats nothing that the bytes claim. *out is
 * zeroed on failure. */
MUST_CHECK enum status ticket_verify(const struct ticket_keys *keys, const uint8_t *data,
                                     size_t size, const struct ticket_check *check,
                                     struct ticket *out, struct error *err);

#endif
