/* ticket_int.h: a ticket as bytes, without its signature.
 *
 *   0   version (1)          1  key id (8, little endian)      9  modes
 *   10  not before (8)      18  expires (8)                   26  session (16)
 *   42  length, client      ..  n targets, each length, name  ..  signature (64)
 */
#ifndef AUTH_TICKET_INT_H
#define AUTH_TICKET_INT_H

#include "auth/ticket.h"

enum { TICKET_VERSION = 1, TICKET_SIGNATURE_BYTES = 64, TICKET_HEAD_BYTES = 42 };

/* Everything before the signature; returns its size. The ticket must be valid (asserted). */
size_t ticket_encode(const struct ticket *ticket, uint8_t data[TICKET_BYTES_MAX]);

/* The reverse; refuses (STATUS_CORRUPT) all that ticket_encode would not have written. */
MUST_CHECK enum status ticket_decode(const uint8_t *data, size_t size, struct ticket *out,
                                     struct error *err);

/* STATUS_INVALID with the rule that is broken. */
MUST_CHECK enum status ticket_valid(const struct ticket *ticket, struct error *err);

#endif
