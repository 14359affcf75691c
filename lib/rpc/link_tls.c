#include <stdio.h>

#include "rpc/link.h"

/* Runs at the start and before each handshake, one at a time: the core keeps what it has unless
 * something new is given. */
static grpc_ssl_certificate_config_reload_status fetch(void *context,
                                                       grpc_ssl_server_certificate_config **out)
{
    struct link_server_tls *tls = context;
    uint32_t generation;
    (void)rpc_tls_files_refresh(tls->files, false, NULL);   /* a failure is in the log */
    const struct rpc_pem *pem = rpc_tls_files_lock(tls->files, &generation);
    bool news = generation != tls->given;
    if (news) {
        grpc_ssl_pem_key_cert_pair pair = {pem->key, pem->certificate};
        /* The core insists on authorities, also where it asks clients for nothing. */
        *out = grpc_ssl_server_certificate_config_create(pem->ca ? pem->ca : pem->certificate,
                                                         &pair, 1);
        tls->given = generation;
    }
    rpc_tls_files_unlock(tls->files);
    return news ? GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW
                : GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
}

enum status link_tls_server(const struct rpc_tls *tls, struct link_server_tls *out,
                            grpc_server_credentials **credentials, struct error *err)
{
    if (tls->ca && !tls->certificate)
        return error_set(err, STATUS_INVALID, "a TLS server needs a certificate and a key");
    if (!tls->certificate && !tls->key) {
        *credentials = grpc_insecure_server_credentials_create();
        return STATUS_OK;
    }
    enum status rc = rpc_tls_files_new(tls, &out->files, err);
    if (rc != STATUS_OK)
        return rc;
    *credentials = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            tls->ca ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                    : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
            fetch, out));
    return STATUS_OK;
}

enum status link_tls_files(const struct rpc_tls *tls, struct rpc_tls_files **out,
                           struct error *err)
{
    bool on = tls->ca || tls->system;
    *out = NULL;
    if (!on && !tls->certificate && !tls->key && !tls->server_name)
        return STATUS_OK;
    if (!on)
        return error_set(err, STATUS_INVALID, "a TLS client needs the authority that signed the "
                                              "server's certificate");
    return rpc_tls_files_new(tls, out, err);
}

grpc_channel_credentials *link_tls_client(struct rpc_tls_files *files, uint32_t *generation)
{
    if (!files)
        return grpc_insecure_credentials_create();
    const struct rpc_pem *pem = rpc_tls_files_lock(files, generation);
    grpc_ssl_pem_key_cert_pair pair = {pem->key, pem->certificate};
    grpc_channel_credentials *credentials = grpc_ssl_credentials_create_ex(
        pem->ca, pem->certificate ? &pair : NULL, NULL, NULL);
    rpc_tls_files_unlock(files);
    return credentials;
}
