/* paced.h: the choices of one model in the time of another; for studies, never for service.
 *
 *     paced    a table says what encoding and passes take: the real work is done, then waited
 *              until that time has passed (GPUs and models that are not at hand)
 *     shape    a second model of any shape, with any weights, does all its work on the same rows,
 *              and the time of the model that chooses is taken off the clock
 *
 * So choices, and with them every counter of every policy, are those of the real run. Results of
 * such a backend must be called paced or shape wherever they are shown.
 */
#ifndef BACKEND_PACED_PACED_H
#define BACKEND_PACED_PACED_H

#include "backend/backend.h"
#include "backend/paced/pace.h"
#include "base/clock.h"

struct paced_options {
    const struct pace *pace;            /* copied; NULL: as fast as it goes */
    struct backend *load;               /* does its work too; taken over; NULL: none */
};

/* Takes `inner` over (also on failure, with `load`): freed with the backend that stands in its
 * place. */
MUST_CHECK enum status paced_backend_new(struct backend *inner, const struct paced_options *options,
                                         struct backend **out, struct error *err);

/* The machine's clock without the time that the choosing model took beside a `load`; without one
 * the machine's clock. Borrows the backend. */
struct clock paced_clock(struct backend *paced);

/* Passes that took longer than the table says. */
uint32_t paced_late(const struct backend *paced);

#endif
