#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "rpc/rpc_int.h"

/* https://grpc.io/docs/guides/status-codes: the numbers are part of the protocol. */
static const int numbers[STATUS_N] = {
    [STATUS_OK] = 0,        [STATUS_INVALID] = 3,      [STATUS_NOT_FOUND] = 5,
    [STATUS_IO] = 13,       [STATUS_CORRUPT] = 15,     [STATUS_UNSUPPORTED] = 12,
    [STATUS_NO_MEMORY] = 8, [STATUS_EXHAUSTED] = 8,    [STATUS_CLOSED] = 10,
    [STATUS_TIMEOUT] = 4,   [STATUS_UNAVAILABLE] = 14, [STATUS_MISMATCH] = 9,
    [STATUS_CANCELLED] = 1, [STATUS_DENIED] = 7,       [STATUS_INTERNAL] = 13,
};

static const enum status codes[17] = {
    STATUS_OK,        STATUS_CANCELLED, STATUS_INTERNAL,  STATUS_INVALID,     STATUS_TIMEOUT,
    STATUS_NOT_FOUND, STATUS_INVALID,   STATUS_DENIED,    STATUS_EXHAUSTED,   STATUS_MISMATCH,
    STATUS_CLOSED,    STATUS_INVALID,   STATUS_UNSUPPORTED, STATUS_INTERNAL,  STATUS_UNAVAILABLE,
    STATUS_CORRUPT,   STATUS_DENIED,
};

int rpc_status_number(enum status code)
{
    return (unsigned)code < STATUS_N ? numbers[code] : 13;
}

enum status rpc_status_of(int number)
{
    return number >= 0 && number < (int)ARRAY_LEN(codes) ? codes[number] : STATUS_INTERNAL;
}

enum status rpc_status_seen(enum status code)
{
    return rpc_status_of(rpc_status_number(code));
}

void rpc_copy_text(char out[RPC_TEXT_MAX], const char *text)
{
    struct error cut;
    error_set(&cut, STATUS_INTERNAL, "%s", text);       /* cuts at a whole character */
    _Static_assert(sizeof(cut.text) == RPC_TEXT_MAX, "one size of texts");
    memcpy(out, cut.text, RPC_TEXT_MAX);
    utf8_repair(out, strlen(out));
}

static const char closed_text[] = "the server closed the connection";

/* What the core says about a link, and what a user understands. The first match counts. */
static const struct {
    const char *pattern, *text;
} link_texts[] = {
    {"Connection refused", "nothing listens there: is the server running?"},
    {"No such file or directory", "the socket is not there: is the server running?"},
    {"CERTIFICATE_VERIFY_FAILED",
     "its certificate is not signed by the given authority or has expired"},
    {"certificate verify failed",
     "its certificate is not signed by the given authority or has expired"},
    {"Hostname Verification Check failed", "its certificate is for another name"},
    {"is not in peer certificate", "its certificate is for another name"},
    {"WRONG_VERSION_NUMBER", "it does not speak TLS"},
    {"wrong version number", "it does not speak TLS"},
    {"CERTIFICATE_REQUIRED", "it wants a client certificate"},
    {"certificate required", "it wants a client certificate"},
    {"Ssl handshake failed", "the TLS handshake failed"},
    {"SSL_ERROR", "the TLS handshake failed"},
    {"DNS resolution failed", "the name cannot be resolved"},
    {"Domain name not found", "the name cannot be resolved"},
    {"keepalive", "the server stopped answering"},
    {"ping timeout", "the server stopped answering"},
    {"No route to host", "no route to that host"},
    {"Network is unreachable", "the network is unreachable"},
    {"Timeout occurred", "no answer in time"},
    {"FD Shutdown", "no answer in time"},
    {"Connection reset by peer", closed_text},
    {"Broken pipe", closed_text},
    {"Socket closed", closed_text},
    {"GOAWAY", "the server is going away"},
    {"Cancelling all calls", "the server was stopped"},
    {"Received http2 header", "it does not speak gRPC"},
    {"settings frame", "it does not speak gRPC"},
};

static const char *link_text(const char *details)
{
    for (size_t i = 0; i < ARRAY_LEN(link_texts); i++)
        if (strcasestr(details, link_texts[i].pattern))
            return link_texts[i].text;
    return NULL;
}

void rpc_explain(char out[RPC_TEXT_MAX], const char *target, int number, const char *details,
                 enum rpc_source source)
{
    struct error text = {.text = ""};
    enum status code = rpc_status_of(number);
    const char *known = code == STATUS_UNAVAILABLE ? link_text(details) : NULL;
    if (source == RPC_FROM_SERVER || code == STATUS_OK)
        error_set(&text, code, "%s", details);
    else if (known == closed_text && source == RPC_FROM_NEW_LINK)
        error_set(&text, code, "cannot reach %s: %s (does it want TLS, or another certificate?)",
                  target, known);
    else if (known)
        error_set(&text, code, "cannot reach %s: %s", target, known);
    else if (code == STATUS_TIMEOUT)
        error_set(&text, code, "%s did not answer within the deadline", target);
    else if (code == STATUS_CANCELLED)
        error_set(&text, code, "the call was cancelled");
    else
        error_set(&text, code, "%s: %s", target, details);
    rpc_copy_text(out, text.text);
}

enum status rpc_check_address(const char *address, struct error *err)
{
    if (strncmp(address, "unix:", 5) == 0 && address[5])
        return STATUS_OK;
    const char *colon = strrchr(address, ':');
    size_t n = colon ? strlen(colon + 1) : 0;
    bool good = colon > address && n >= 1 && n <= 5 && strspn(colon + 1, "0123456789") == n
                && strtol(colon + 1, NULL, 10) <= 65535;
    if (good && memchr(address, ':', (size_t)(colon - address)))
        good = address[0] == '[' && colon[-1] == ']';
    return good ? STATUS_OK
                : error_set(err, STATUS_INVALID,
                            "'%s' is no address: give host:port with a port up to 65535, for "
                            "example 127.0.0.1:7600", address);
}
