/* issue.h: whom the coordinator answers, and the tickets that it signs.
 *
 * Who calls shows a key (call metadata, cluster/call.h): for Place one of --api-keys, for all else
 * (targets that register and report, operators that list and drain) one of --join-keys. Neither
 * opens the other's door. Files of hashes, compared in constant time (auth/api_keys.h). With a
 * ticket key the answer to Place carries a ticket for the targets in it, valid for an hour, in the
 * name of the API key. Any thread.
 */
#ifndef COORDINATOR_ISSUE_H
#define COORDINATOR_ISSUE_H

#include "base/status.h"
#include "wire/coordinator_frames.h"

enum { ISSUE_LIFETIME_S = 3600 };

struct issuer;

/* Files; NULL: no tickets, no keys asked for. Borrowed. */
struct issuer_options {
    const char *ticket_key, *api_keys, *join_keys;
};

MUST_CHECK enum status issuer_new(const struct issuer_options *options, struct issuer **out,
                                  struct error *err);
void issuer_free(struct issuer **issuer);   /* accepts NULL */

/* Reads the files again; one with a fault leaves what it said before. */
MUST_CHECK enum status issuer_reload(struct issuer *issuer, struct error *err);

/* May this client have a place? `key`: as it was sent, NULL: none; *client gets its name ("": no
 * keys are asked for). STATUS_DENIED. */
enum { ISSUE_NAME_MAX = 64 };
MUST_CHECK enum status issuer_admit(struct issuer *issuer, const char *key,
                                    char client[ISSUE_NAME_MAX + 1], struct error *err);

/* May this target or operator say something, or ask who is there? As above. */
MUST_CHECK enum status issuer_admit_member(struct issuer *issuer, const char *key,
                                           char member[ISSUE_NAME_MAX + 1], struct error *err);

/* Signs a ticket for the targets of the answer and puts it in; true: there is one now. Targets that
 * no ticket can name are taken out; STATUS_INVALID when there are only those. */
MUST_CHECK enum status issuer_sign(struct issuer *issuer, const char *client,
                                   const uint8_t session[16], struct wire_placed *answer,
                                   bool *issued, struct error *err);

/* A folder with ticket-signer.keys (for coordinators) and ticket-public.keys (for targets). What
 * exists is never overwritten: STATUS_INVALID. */
MUST_CHECK enum status issue_make_keys(const char *folder, struct error *err);

#endif
