/* memory_limit.h: how much memory this process may have, and has. */
#ifndef BASE_MEMORY_LIMIT_H
#define BASE_MEMORY_LIMIT_H

#include <stdint.h>

/* Bytes that the machine has, or the least that a control group of this process allows (version 2:
 * memory.max, version 1: memory.limit_in_bytes; those of its parents too). 0: not known. */
uint64_t memory_limit(void);

/* The same of the control groups alone, with the files found below `root` ("": the system's);
 * UINT64_MAX: no limit. For tests. */
uint64_t memory_limit_of_groups(const char *root);

/* Anonymous memory in use, in bytes; 0: not known. */
uint64_t memory_used(void);

#endif
