/* gate.h: who may open a session at this target.
 *
 * Open to all until a ticket key file is loaded; from then on every session shows a ticket of the
 * coordinator (call metadata GATE_TICKET, hexadecimal). With API keys too, the ticket names one of
 * them, and its quotas hold here: sessions at once and audio a day, each target for itself.
 *
 * Any thread; the lock is held for one signature.
 */
#ifndef TARGET_NODE_GATE_H
#define TARGET_NODE_GATE_H

#include <stdbool.h>
#include <stdio.h>

#include "auth/api_keys.h"
#include "base/status.h"
#include "metrics/tables.h"

#define GATE_TICKET "specasr-ticket"

struct gate;

struct gate_options {
    const char *ticket_keys;                /* file; NULL: no tickets are asked for. Borrowed */
    const char *api_keys;                   /* file; NULL: no quotas. Needs ticket_keys */
    struct metrics *metrics;                /* metrics_target; borrowed */
};

MUST_CHECK enum status gate_new(const struct gate_options *options, struct gate **out,
                                struct error *err);
void gate_free(struct gate **gate);         /* accepts NULL */

/* How this target is named in tickets; until then those are refused. */
void gate_name(struct gate *gate, const char *address);

/* Reads the files again; one with a fault leaves what it said before. */
MUST_CHECK enum status gate_reload(struct gate *gate, struct error *err);

/* What a session holds while it is open. */
struct gate_pass {
    bool metered;                           /* it is one of the sessions of `client` */
    struct api_client client;
    char key[API_NAME_MAX + 1];             /* the name of the API key in the ticket; "": none */
};

/* Who is it? `ticket`: as the client sent it, NULL: none. STATUS_DENIED, _CORRUPT, _UNSUPPORTED,
 * _EXHAUSTED (its time); the text is for the client. */
MUST_CHECK enum status gate_check(struct gate *gate, const char *ticket, struct gate_pass *pass,
                                  struct error *err);

/* And may it have one more session? STATUS_EXHAUSTED (a quota; gate_retry_ms), _DENIED. Each
 * success is followed by one gate_leave, of this pass or of a copy that took its place. */
MUST_CHECK enum status gate_enter(struct gate *gate, struct gate_pass *pass, struct error *err);
void gate_leave(struct gate *gate, struct gate_pass *pass);

/* After STATUS_EXHAUSTED: until the key's day is over; 0: its audio is not used up. */
uint32_t gate_retry_ms(struct gate *gate, const struct gate_pass *pass);

/* What a window brought. A failure: the session ends after its open utterance. */
MUST_CHECK enum status gate_count(struct gate *gate, const struct gate_pass *pass,
                                  const struct api_amount *amount, struct error *err);

/* A collector: the specasr_key_* series. */
void gate_collect(void *gate, FILE *out);

#endif
