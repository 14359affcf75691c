/* Tickets and their key files. The first byte says what: 0 fields without a signature (what is
 * accepted must be written in the same bytes), 1 a signed ticket, 2 a key file. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "auth/ticket.h"
#include "auth/ticket_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void fields(const uint8_t *data, size_t size)
{
    struct ticket ticket;
    uint8_t again[TICKET_BYTES_MAX];
    if (ticket_decode(data, size, &ticket, NULL) != STATUS_OK)
        return;
    require(ticket_encode(&ticket, again) == size && memcmp(again, data, size) == 0);
}

/* The key of RFC 8032's first test: a corpus file is signed with it. */
static void signed_ticket(const uint8_t *data, size_t size)
{
    static const char text[] =
        "public d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    struct ticket_keys keys;
    struct ticket out, none = {0};
    struct ticket_check check = {.target = "target-1", .now_s = 1700000000, .skew_s = 60};
    require(ticket_keys_parse(text, sizeof(text) - 1, NULL, &keys, NULL) == STATUS_OK);
    if (ticket_verify(&keys, data, size, &check, &out, NULL) == STATUS_OK)
        require(ticket_valid(&out, NULL) == STATUS_OK && out.expires_s > 1700000000 - 60);
    else
        require(memcmp(&out, &none, sizeof(out)) == 0);
}

static void key_file(const char *text, size_t size)
{
    struct ticket_signer signer;
    struct ticket_keys keys;
    bool taken = ticket_keys_parse(text, size, &signer, &keys, NULL) == STATUS_OK;
    require(taken == (keys.n > 0) && keys.n <= TICKET_KEYS_MAX);
    require(taken || signer.key_id == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] == 0)
        fields(data + 1, size - 1);
    else if (data[0] == 1)
        signed_ticket(data + 1, size - 1);
    else
        key_file((const char *)data + 1, size - 1);
    return 0;
}
