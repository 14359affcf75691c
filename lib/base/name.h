/* name.h: names that go into frames, files and logs, where they need no quotes. */
#ifndef BASE_NAME_H
#define BASE_NAME_H

#include <stdbool.h>
#include <stddef.h>

/* 1 to max letters, digits and - _ . : of ASCII? name[n] need not be terminated. */
bool name_valid(const char *name, size_t n, size_t max);

#endif
