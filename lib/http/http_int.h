/* http_int.h: the listening socket of http.h. */
#ifndef HTTP_HTTP_INT_H
#define HTTP_HTTP_INT_H

#include <stdbool.h>

#include "http/http.h"

/* A listening socket for http_options.listen and its port. The caller closes *fd. */
MUST_CHECK enum status http_listen(const char *address, int *fd, uint16_t *port,
                                   struct error *err);

#endif
