/* get.h: fetches one small page of another program's side door: what http.h serves. */
#ifndef HTTP_GET_H
#define HTTP_GET_H

#include <stdint.h>

#include "base/status.h"

enum { HTTP_BODY_MAX = 4 << 20 };

/* GET of `path` at "host:port" (":port": this machine); all of it within timeout_ms. *body is
 * malloc'ed, ends in a zero byte, and is the caller's. STATUS_INVALID (no address), _UNAVAILABLE
 * (nobody there, another status than 200), _TIMEOUT, _CORRUPT (no HTTP, a zero byte), _EXHAUSTED
 * (above HTTP_BODY_MAX), _NO_MEMORY. */
MUST_CHECK enum status http_get(const char *address, const char *path, uint32_t timeout_ms,
                                char **body, struct error *err);

#endif
