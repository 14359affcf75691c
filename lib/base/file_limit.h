/* file_limit.h: how many files, and with them sockets, the process may have open. */
#ifndef BASE_FILE_LIMIT_H
#define BASE_FILE_LIMIT_H

#include <stdint.h>

/* Raises the limit as far as the system lets this process; returns what is in force. */
uint64_t file_limit_raise(void);

#endif
