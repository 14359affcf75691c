/* signals.h: signals as calls of sigwait instead of handlers. */
#ifndef BASE_SIGNALS_H
#define BASE_SIGNALS_H

#include <signal.h>
#include <stddef.h>

/* Blocks these signals in this thread and all that it starts, for sigwait; call it before the first
 * thread. SIGPIPE is ignored: a peer that is gone shows as an error of the write. Returns the
 * set. */
sigset_t signals_block(const int *numbers, size_t n);

/* SIGINT and SIGTERM end the process at once again, whatever it waits for: threads of libraries
 * never blocked them, so without this it would be left to chance. */
void signals_unblock_ends(void);

#endif
