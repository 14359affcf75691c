#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/link.h"

enum { PEM_MAX = 1 << 20 };

/* The whole file as text; NULL path gives NULL. Caller frees. */
static enum status read_pem(const char *path, char **out, struct error *err)
{
    *out = NULL;
    if (!path)
        return STATUS_OK;
    FILE *file = fopen(path, "rb");
    if (!file)
        return error_set(err, errno == EACCES ? STATUS_DENIED : STATUS_NOT_FOUND,
                         "cannot read %s: %s", path, strerror(errno));
    char *text = malloc(PEM_MAX + 1);
    size_t n = text ? fread(text, 1, PEM_MAX + 1, file) : 0;
    fclose(file);
    if (!text)
        return error_set(err, STATUS_NO_MEMORY, "no memory for %s", path);
    if (n <= PEM_MAX)
        text[n] = '\0';
    if (n > PEM_MAX || strlen(text) != n || !strstr(text, "-----BEGIN ")) {
        free(text);
        return error_set(err, STATUS_CORRUPT, "%s is no PEM file", path);
    }
    *out = text;
    return STATUS_OK;
}

struct pem {
    char *ca, *certificate, *key;
};

static enum status read_all(const struct rpc_tls *tls, struct pem *pem, struct error *err)
{
    *pem = (struct pem){0};
    if (!tls->certificate != !tls->key)
        return error_set(err, STATUS_INVALID, "a certificate needs its key, and a key its "
                                              "certificate: give both");
    enum status rc = read_pem(tls->ca, &pem->ca, err);
    if (rc == STATUS_OK)
        rc = read_pem(tls->certificate, &pem->certificate, err);
    if (rc == STATUS_OK)
        rc = read_pem(tls->key, &pem->key, err);
    return rc;
}

static void release(struct pem *pem)
{
    free(pem->ca);
    free(pem->certificate);
    if (pem->key)
        explicit_bzero(pem->key, strlen(pem->key));
    free(pem->key);
}

enum status rpc_tls_server(const struct rpc_tls *tls, grpc_server_credentials **out,
                           struct error *err)
{
    struct pem pem;
    enum status rc = read_all(tls, &pem, err);
    if (rc == STATUS_OK && tls->ca && !tls->certificate)
        rc = error_set(err, STATUS_INVALID, "a TLS server needs a certificate and a key");
    if (rc == STATUS_OK && !tls->certificate) {
        *out = grpc_insecure_server_credentials_create();
    } else if (rc == STATUS_OK) {
        grpc_ssl_pem_key_cert_pair pair = {pem.key, pem.certificate};
        *out = grpc_ssl_server_credentials_create_ex(
            pem.ca, &pair, 1,
            pem.ca ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                   : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
            NULL);
    }
    release(&pem);
    return rc;
}

enum status rpc_tls_client(const struct rpc_tls *tls, grpc_channel_credentials **out,
                           struct error *err)
{
    struct pem pem;
    enum status rc = read_all(tls, &pem, err);
    bool on = tls->ca || tls->system;
    if (rc == STATUS_OK && !on && (tls->certificate || tls->server_name))
        rc = error_set(err, STATUS_INVALID, "a TLS client needs the authority that signed the "
                                            "server's certificate");
    if (rc == STATUS_OK && !on) {
        *out = grpc_insecure_credentials_create();
    } else if (rc == STATUS_OK) {
        grpc_ssl_pem_key_cert_pair pair = {pem.key, pem.certificate};
        *out = grpc_ssl_credentials_create_ex(pem.ca, tls->certificate ? &pair : NULL, NULL, NULL);
    }
    release(&pem);
    return rc;
}
