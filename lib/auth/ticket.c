#include "auth/ticket.h"

#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "auth/auth_int.h"
#include "auth/ticket_int.h"

_Static_assert(TICKET_SECRET_BYTES == crypto_sign_SECRETKEYBYTES, "libsodium's secret key");
_Static_assert(TICKET_PUBLIC_BYTES == crypto_sign_PUBLICKEYBYTES, "libsodium's public key");
_Static_assert(TICKET_SIGNATURE_BYTES == crypto_sign_BYTES, "libsodium's signature");

/* Stands before the signed bytes, so that no signature made for another purpose fits. */
static const char label[] = "specasr ticket v1";

/* ---- keys ---- */

/* The first 8 bytes of the key's BLAKE2b; never 0. */
static uint64_t key_id_of(const uint8_t public_key[TICKET_PUBLIC_BYTES])
{
    uint8_t hash[crypto_generichash_BYTES];
    uint64_t id = 0;
    crypto_generichash(hash, sizeof(hash), public_key, TICKET_PUBLIC_BYTES, NULL, 0);
    for (int i = 0; i < 8; i++)
        id = id << 8 | hash[i];
    return id ? id : 1;
}

static enum status add_public(struct ticket_keys *keys, const uint8_t *key, struct error *err)
{
    uint64_t id = key_id_of(key);
    for (size_t i = 0; i < keys->n; i++)
        if (keys->keys[i].id == id)
            return STATUS_OK;
    if (keys->n == TICKET_KEYS_MAX)
        return error_set(err, STATUS_EXHAUSTED, "ticket keys: more than %d: remove old ones",
                         TICKET_KEYS_MAX);
    keys->keys[keys->n].id = id;
    memcpy(keys->keys[keys->n].key, key, TICKET_PUBLIC_BYTES);
    keys->n++;
    return STATUS_OK;
}

static enum status add_secret(struct ticket_signer *signer, struct ticket_keys *keys,
                              const uint8_t *seed, struct error *err)
{
    uint8_t public_key[TICKET_PUBLIC_BYTES];
    if (signer->key_id)
        return error_set(err, STATUS_CORRUPT, "ticket keys: two secrets: only one can sign");
    crypto_sign_seed_keypair(public_key, signer->secret, seed);
    signer->key_id = key_id_of(public_key);
    return add_public(keys, public_key, err);
}

static enum status add_line(const struct auth_lines *line, struct ticket_signer *signer,
                            struct ticket_keys *keys, struct error *err)
{
    uint8_t bytes[TICKET_PUBLIC_BYTES];
    enum status status;
    bool secret = strcmp(line->fields[0], "secret") == 0;
    if (line->n_fields != 2 || (!secret && strcmp(line->fields[0], "public") != 0) ||
        !auth_hex(line->fields[1], bytes, sizeof(bytes)))
        return error_set(err, STATUS_CORRUPT,
                         "line %u: expected \"secret\" or \"public\" and 64 hex digits",
                         line->number);
    if (secret && !signer)
        status = error_set(err, STATUS_CORRUPT, "line %u: a secret key does not belong here: keep "
                           "it at the coordinator, and list only public keys", line->number);
    else if (secret)
        status = add_secret(signer, keys, bytes, err);
    else
        status = add_public(keys, bytes, err);
    sodium_memzero(bytes, sizeof(bytes));
    return status;
}

static enum status parse_lines(const char *text, size_t size, struct ticket_signer *signer,
                               struct ticket_keys *keys, struct error *err)
{
    struct auth_lines lines = {.at = text, .end = text + size};
    bool more = true;
    enum status status = auth_ready(err);
    while (status == STATUS_OK && more) {
        status = auth_lines_next(&lines, &more, err);
        if (status == STATUS_OK && more)
            status = add_line(&lines, signer, keys, err);
    }
    sodium_memzero(&lines, sizeof(lines));
    if (status == STATUS_OK && keys->n == 0)
        status = error_set(err, STATUS_CORRUPT, "ticket keys: there is none");
    return status;
}

enum status ticket_keys_parse(const char *text, size_t size, struct ticket_signer *signer,
                              struct ticket_keys *keys, struct error *err)
{
    memset(keys, 0, sizeof(*keys));
    if (signer)
        memset(signer, 0, sizeof(*signer));
    enum status status = parse_lines(text, size, signer, keys, err);
    if (status != STATUS_OK) {
        memset(keys, 0, sizeof(*keys));
        if (signer)
            ticket_signer_clear(signer);
    }
    return status;
}

enum status ticket_keys_load(const char *path, struct ticket_signer *signer,
                             struct ticket_keys *keys, struct error *err)
{
    char *text;
    size_t size;
    memset(keys, 0, sizeof(*keys));
    if (signer)
        memset(signer, 0, sizeof(*signer));
    enum status status = auth_file_read(path, signer != NULL, &text, &size, err);
    if (status != STATUS_OK)
        return status;
    status = ticket_keys_parse(text, size, signer, keys, err);
    auth_file_free(&text, size);
    return status == STATUS_OK ? status : error_prefix(err, "%s", path);
}

enum status ticket_key_generate(char secret_line[TICKET_KEY_TEXT_MAX],
                                char public_line[TICKET_KEY_TEXT_MAX], struct error *err)
{
    uint8_t seed[crypto_sign_SEEDBYTES], public_key[TICKET_PUBLIC_BYTES];
    uint8_t secret[TICKET_SECRET_BYTES];
    char hex[2 * TICKET_PUBLIC_BYTES + 1];
    enum status status = auth_ready(err);
    if (status != STATUS_OK)
        return status;
    randombytes_buf(seed, sizeof(seed));
    crypto_sign_seed_keypair(public_key, secret, seed);
    sodium_bin2hex(hex, sizeof(hex), seed, sizeof(seed));
    snprintf(secret_line, TICKET_KEY_TEXT_MAX, "secret %s", hex);
    sodium_bin2hex(hex, sizeof(hex), public_key, sizeof(public_key));
    snprintf(public_line, TICKET_KEY_TEXT_MAX, "public %s", hex);
    sodium_memzero(seed, sizeof(seed));
    sodium_memzero(secret, sizeof(secret));
    return STATUS_OK;
}

void ticket_signer_clear(struct ticket_signer *signer)
{
    sodium_memzero(signer, sizeof(*signer));
}

/* ---- tickets ---- */

enum status ticket_from_hex(const char *text, struct ticket_bytes *out, struct error *err)
{
    size_t n = strlen(text);
    *out = (struct ticket_bytes){.size = n / 2};
    if (n % 2 != 0 || n / 2 > TICKET_BYTES_MAX || !auth_hex(text, out->data, n / 2))
        return error_set(err, STATUS_CORRUPT, "the ticket is no hexadecimal text of at most %d "
                         "bytes", TICKET_BYTES_MAX);
    return STATUS_OK;
}

bool ticket_target_name(char name[TICKET_NAME_MAX + 1], const char *address)
{
    size_t n = 0;
    for (const char *c = address; *c && n < TICKET_NAME_MAX + 1; c++)
        if (*c != '[' && *c != ']')
            name[n++] = *c;
    bool fits = n <= TICKET_NAME_MAX;
    name[fits ? n : 0] = '\0';
    return fits;
}

struct signed_text {
    size_t size;
    uint8_t data[sizeof(label) + TICKET_BYTES_MAX];
};

static void signed_text_make(struct signed_text *text, const uint8_t *body, size_t size)
{
    memcpy(text->data, label, sizeof(label));
    memcpy(text->data + sizeof(label), body, size);
    text->size = sizeof(label) + size;
}

enum status ticket_issue(const struct ticket_signer *signer, const struct ticket *ticket,
                         struct ticket_bytes *out, struct error *err)
{
    struct signed_text text;
    struct ticket whole = *ticket;
    out->size = 0;
    if (!signer->key_id)
        return error_set(err, STATUS_DENIED, "ticket: there is no secret key to sign with");
    whole.key_id = signer->key_id;
    enum status status = auth_ready(err);
    if (status == STATUS_OK)
        status = ticket_valid(&whole, err);
    if (status != STATUS_OK)
        return status;
    size_t size = ticket_encode(&whole, out->data);
    signed_text_make(&text, out->data, size);
    crypto_sign_detached(out->data + size, NULL, text.data, text.size, signer->secret);
    out->size = size + TICKET_SIGNATURE_BYTES;
    return STATUS_OK;
}

static enum status verify_signature(const struct ticket_keys *keys, const uint8_t *data,
                                    size_t size, struct error *err)
{
    struct signed_text text;
    if (size < TICKET_HEAD_BYTES + TICKET_SIGNATURE_BYTES || size > TICKET_BYTES_MAX)
        return error_set(err, STATUS_CORRUPT, "this is no ticket: wrong size");
    if (data[0] != TICKET_VERSION)
        return error_set(err, STATUS_UNSUPPORTED, "a ticket of another version");
    uint64_t id = 0;
    for (int i = 8; i >= 1; i--)
        id = id << 8 | data[i];
    const uint8_t *key = NULL;
    for (size_t i = 0; i < keys->n; i++)
        if (keys->keys[i].id == id)
            key = keys->keys[i].key;
    if (!key)
        return error_set(err, STATUS_DENIED, "ticket: signed with a key that is not known here: "
                         "reload the ticket keys, or ask the coordinator for a new ticket");
    size_t body = size - TICKET_SIGNATURE_BYTES;
    signed_text_make(&text, data, body);
    if (crypto_sign_verify_detached(data + body, text.data, text.size, key) != 0)
        return error_set(err, STATUS_DENIED, "ticket: the signature does not hold");
    return STATUS_OK;
}

static enum status check_claims(const struct ticket *ticket, const struct ticket_check *check,
                                struct error *err)
{
    bool named = false;
    for (size_t i = 0; i < ticket->n_targets; i++)
        named = named || strcmp(ticket->targets[i], check->target) == 0;
    if (!named)
        return error_set(err, STATUS_DENIED, "ticket: it is for other targets");
    if (check->now_s < ticket->not_before_s - check->skew_s)
        return error_set(err, STATUS_EXHAUSTED, "ticket: not valid for another %lld s: do the "
                         "clocks agree?", (long long)(ticket->not_before_s - check->now_s));
    if (check->now_s >= ticket->expires_s + check->skew_s)
        return error_set(err, STATUS_EXHAUSTED, "ticket: expired %lld s ago: ask the coordinator "
                         "for a new one", (long long)(check->now_s - ticket->expires_s));
    return STATUS_OK;
}

enum status ticket_verify(const struct ticket_keys *keys, const uint8_t *data, size_t size,
                          const struct ticket_check *check, struct ticket *out, struct error *err)
{
    memset(out, 0, sizeof(*out));
    enum status status = auth_ready(err);
    if (status == STATUS_OK)
        status = verify_signature(keys, data, size, err);
    if (status == STATUS_OK)
        status = ticket_decode(data, size - TICKET_SIGNATURE_BYTES, out, err);
    if (status == STATUS_OK)
        status = check_claims(out, check, err);
    if (status != STATUS_OK)
        memset(out, 0, sizeof(*out));
    return status;
}
