/* tls_files.h: the PEM files of one end of a link, read again when they change on disk.
 *
 * A renewed certificate is used from the next connection on; connections that are open keep theirs.
 * Files that do not fit together (a new certificate whose key is still the old one) change nothing
 * until they do; the log says so once for each state of the files. */
#ifndef RPC_TLS_FILES_H
#define RPC_TLS_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct rpc_tls;
struct rpc_tls_files;

/* Texts of the files; NULL: no such file was given. */
struct rpc_pem {
    char *ca, *certificate, *key;
};

/* Copies the paths and reads. STATUS_INVALID (a certificate without its key), _NOT_FOUND, _DENIED,
 * _CORRUPT (no PEM, no certificate, a key of another certificate), _NO_MEMORY. */
MUST_CHECK enum status rpc_tls_files_new(const struct rpc_tls *tls, struct rpc_tls_files **out,
                                         struct error *err);

/* Accepts NULL; nulls the pointer. */
void rpc_tls_files_free(struct rpc_tls_files **files);

/* Looks at the files and reads them when they changed, or in any case with `always`. Warns in the
 * log, at most once an hour, when the certificate has less than a fifth of its life and less than
 * two weeks left. A failure is logged and returned, and what was read before stays. Any thread. */
enum status rpc_tls_files_refresh(struct rpc_tls_files *files, bool always, struct error *err);

/* What is in use, and how often that changed; the texts are borrowed until rpc_tls_files_unlock. */
const struct rpc_pem *rpc_tls_files_lock(struct rpc_tls_files *files, uint32_t *generation);
void rpc_tls_files_unlock(struct rpc_tls_files *files);

/* When the first certificate of the chain expires, in seconds since 1970; 0: no certificate. */
int64_t rpc_tls_files_expiry(struct rpc_tls_files *files);

#endif
