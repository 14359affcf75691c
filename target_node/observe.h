/* observe.h: what a target shows of itself: metrics, health, readiness (--metrics), and /sessions:
 *
 *     {"n":2,"sessions":[{"id":"0123abcd","client":"ipv4:192.0.2.1:4711","state":"working",
 *      "epoch":0,"age_s":3.2,"windows":1,"rows":88,"lag_s":0.21}, ...]}
 *                                  those at work first, at most 1000; lag_s null: none yet
 */
#ifndef TARGET_NODE_OBSERVE_H
#define TARGET_NODE_OBSERVE_H

#include <stdint.h>

#include "base/status.h"
#include "gate.h"
#include "metrics/tables.h"
#include "register.h"
#include "serve.h"

struct observe;

/* Counts from now on; serves when `listen` is not NULL: not ready, the model is being loaded.
 * `registration` may be NULL; borrowed until observe_draining. */
MUST_CHECK enum status observe_start(const char *listen, struct registration *registration,
                                     struct observe **out, struct error *err);

/* NULL: NULL. */
struct metrics *observe_metrics(struct observe *observe);

/* Shows the use of its keys too. Borrowed until observe_stop. */
void observe_gate(struct observe *observe, struct gate *gate);

/* Ready, with this model; not ready any more. `serve` is borrowed until observe_draining, which
 * accepts NULL. */
void observe_serving(struct observe *observe, struct serve *serve,
                     const struct wire_target_info *info);
void observe_draining(struct observe *observe);

/* Accepts NULL. */
void observe_stop(struct observe **observe);

#endif
