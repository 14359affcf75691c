#include "auth/ticket_int.h"

#include <stdbool.h>
#include <string.h>

#include "auth/auth_int.h"
#include "base/little_endian.h"
#include "base/name.h"

/* Far beyond any date, and sums cannot overflow. */
#define TIME_MAX_S (INT64_C(1) << 40)

static bool bounded_name(const char name[TICKET_NAME_MAX + 1], bool may_be_empty)
{
    size_t n = strnlen(name, TICKET_NAME_MAX + 1);
    return (n == 0 && may_be_empty) || name_valid(name, n, TICKET_NAME_MAX);
}

enum status ticket_valid(const struct ticket *ticket, struct error *err)
{
    if (ticket->modes == 0 || (ticket->modes & ~TICKET_MODES_ALL))
        return error_set(err, STATUS_INVALID, "ticket: no mode, or one that does not exist");
    if (ticket->not_before_s < 0 || ticket->expires_s > TIME_MAX_S ||
        ticket->expires_s <= ticket->not_before_s ||
        ticket->expires_s - ticket->not_before_s > TICKET_LIFETIME_MAX_S)
        return error_set(err, STATUS_INVALID, "ticket: it must be valid for 1 to %d seconds",
                         TICKET_LIFETIME_MAX_S);
    if (!bounded_name(ticket->client, true))
        return error_set(err, STATUS_INVALID, "ticket: the client's name is not allowed");
    if (ticket->n_targets < 1 || ticket->n_targets > TICKET_TARGETS_MAX)
        return error_set(err, STATUS_INVALID, "ticket: it must be for 1 to %d targets",
                         TICKET_TARGETS_MAX);
    for (size_t i = 0; i < ticket->n_targets; i++)
        if (!bounded_name(ticket->targets[i], false))
            return error_set(err, STATUS_INVALID, "ticket: a target's name is not allowed");
    return STATUS_OK;
}

static uint8_t *put_name(uint8_t *at, const char *name)
{
    size_t n = strlen(name);
    *at++ = (uint8_t)n;
    memcpy(at, name, n);
    return at + n;
}

size_t ticket_encode(const struct ticket *ticket, uint8_t data[TICKET_BYTES_MAX])
{
    SA_ASSERT(ticket_valid(ticket, NULL) == STATUS_OK);
    uint8_t *at = data;
    *at++ = TICKET_VERSION;
    at = put_u64(at, ticket->key_id);
    *at++ = ticket->modes;
    at = put_u64(at, (uint64_t)ticket->not_before_s);
    at = put_u64(at, (uint64_t)ticket->expires_s);
    memcpy(at, ticket->session, TICKET_SESSION_BYTES);
    at = put_name(at + TICKET_SESSION_BYTES, ticket->client);
    *at++ = ticket->n_targets;
    for (size_t i = 0; i < ticket->n_targets; i++)
        at = put_name(at, ticket->targets[i]);
    size_t size = (size_t)(at - data);
    SA_ASSERT(size + TICKET_SIGNATURE_BYTES <= TICKET_BYTES_MAX);
    return size;
}

/* Moves *at behind a name; false: it does not fit. */
static bool get_name(const uint8_t **at, const uint8_t *end, char name[TICKET_NAME_MAX + 1])
{
    if (*at == end)
        return false;
    size_t n = *(*at)++;
    if (n > TICKET_NAME_MAX || n > (size_t)(end - *at) || memchr(*at, '\0', n))
        return false;
    memcpy(name, *at, n);
    name[n] = '\0';
    *at += n;
    return true;
}

enum status ticket_decode(const uint8_t *data, size_t size, struct ticket *out, struct error *err)
{
    struct ticket ticket = {0};
    const uint8_t *at = data + TICKET_HEAD_BYTES, *end = data + size;
    memset(out, 0, sizeof(*out));
    if (size < TICKET_HEAD_BYTES || data[0] != TICKET_VERSION)
        return error_set(err, STATUS_CORRUPT, "ticket: too short, or another version");
    ticket.key_id = get_u64(data + 1);
    ticket.modes = data[9];
    ticket.not_before_s = (int64_t)get_u64(data + 10);
    ticket.expires_s = (int64_t)get_u64(data + 18);
    memcpy(ticket.session, data + 26, TICKET_SESSION_BYTES);
    bool fits = get_name(&at, end, ticket.client) && at < end && *at <= TICKET_TARGETS_MAX;
    if (fits)
        ticket.n_targets = *at++;
    for (size_t i = 0; fits && i < ticket.n_targets; i++)
        fits = get_name(&at, end, ticket.targets[i]);
    if (!fits || at != end || ticket_valid(&ticket, NULL) != STATUS_OK)
        return error_set(err, STATUS_CORRUPT, "ticket: its fields break the format");
    *out = ticket;
    return STATUS_OK;
}
