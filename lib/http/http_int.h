/* http_int.h: addresses, and the listening socket of http.h. */
#ifndef HTTP_HTTP_INT_H
#define HTTP_HTTP_INT_H

#include <stdbool.h>

#include "http/http.h"

enum { HTTP_HOST_MAX = 256, HTTP_PORT_MAX = 8 };

/* "host:port" in two; brackets around an IPv6 address are taken off. false: it is no address. */
bool http_split_address(const char *address, char host[HTTP_HOST_MAX], char port[HTTP_PORT_MAX]);

/* A listening socket for http_options.listen and its port. The caller closes *fd. */
MUST_CHECK enum status http_listen(const char *address, int *fd, uint16_t *port,
                                   struct error *err);

#endif
