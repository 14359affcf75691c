/* options_value.c: the text of one option becomes its value, or one line that says what is
 * allowed. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/options_int.h"

struct unit {
    const char *name;
    double factor;
};

static const struct unit size_units[] = {
    {"", 1}, {"K", 1024}, {"M", 1048576}, {"G", 1073741824}, {NULL, 0}};
static const struct unit duration_units[] = {
    {"", 1}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}, {NULL, 0}};

static bool has_range(const struct option *option)
{
    return option->min != 0 || option->max != 0;
}

static bool in_range(const struct option *option, double value)
{
    return !has_range(option) || (value >= option->min && value <= option->max);
}

/* "expected a whole number from 1 to 64, not "x"". */
static enum status refuse(const struct option *option, const char *what, const char *text,
                          struct error *err)
{
    if (!has_range(option))
        return error_set(err, STATUS_INVALID, "expected %s, not \"%.60s\"", what, text);
    return error_set(err, STATUS_INVALID, "expected %s from %.15g to %.15g, not \"%.60s\"", what,
                     option->min, option->max, text);
}

static enum status parse_bool(const char *text, bool *out, struct error *err)
{
    static const char *const yes[] = {"yes", "true", "on", "1"};
    static const char *const no[] = {"no", "false", "off", "0"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *out = strcasecmp(text, yes[i]) == 0;
            return STATUS_OK;
        }
    return error_set(err, STATUS_INVALID, "expected yes or no, not \"%.60s\"", text);
}

static enum status parse_int(const struct option *option, const char *text, int64_t *out,
                             struct error *err)
{
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno || isspace((unsigned char)text[0]) ||
        !in_range(option, (double)value))
        return refuse(option, "a whole number", text, err);
    *out = value;
    return STATUS_OK;
}

/* Plain decimal numbers only: strtod would also take "nan", "inf" and hexadecimal. */
static bool parse_decimal(const char *text, double *out, const char **rest)
{
    const char *digits = text + (*text == '-' || *text == '+');
    if (!isdigit((unsigned char)digits[0]) &&
        !(digits[0] == '.' && isdigit((unsigned char)digits[1])))
        return false;
    if (digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X'))
        return false;
    char *end = NULL;
    *out = strtod(text, &end);
    *rest = end;
    return isfinite(*out);
}

static enum status parse_float(const struct option *option, const char *text, double *out,
                               struct error *err)
{
    const char *rest = NULL;
    double value = 0;
    if (!parse_decimal(text, &value, &rest) || *rest || !in_range(option, value))
        return refuse(option, "a number", text, err);
    *out = value;
    return STATUS_OK;
}

static bool parse_units(const char *text, const struct unit *units, double *out)
{
    const char *rest = NULL;
    double value = 0;
    if (!parse_decimal(text, &value, &rest))
        return false;
    for (const struct unit *unit = units; unit->name; unit++)
        if (strcasecmp(rest, unit->name) == 0) {
            *out = value * unit->factor;
            return true;
        }
    return false;
}

static enum status parse_size(const struct option *option, const char *text, uint64_t *out,
                              struct error *err)
{
    double value = 0;
    bool good = parse_units(text, size_units, &value) && value >= 0 && value < 9e18;
    if (!good || !in_range(option, value))
        return refuse(option, "bytes such as 4096, 64K, 10M or 2G", text, err);
    *out = (uint64_t)value;
    return STATUS_OK;
}

static enum status parse_duration(const struct option *option, const char *text, double *out,
                                  struct error *err)
{
    double value = 0;
    bool good = parse_units(text, duration_units, &value) && value >= 0;
    if (good && in_range(option, value)) {
        *out = value;
        return STATUS_OK;
    }
    if (!has_range(option))
        return refuse(option, "a time such as 250ms, 5s or 2m", text, err);
    return error_set(err, STATUS_INVALID,
                     "expected a time such as 250ms, 5s or 2m, from %.12g s to %.12g s, "
                     "not \"%.60s\"",
                     option->min, option->max, text);
}

static enum status parse_choice(const struct option *option, const char *text, int *out,
                                struct error *err)
{
    char list[ERROR_TEXT_MAX / 2] = "";
    size_t n = 0, used = 0;
    for (; option->choices[n]; n++) {
        if (strcmp(text, option->choices[n]) == 0) {
            *out = (int)n;
            return STATUS_OK;
        }
        int more = snprintf(list + used, sizeof(list) - used, "%s%s", n ? ", " : "",
                            option->choices[n]);
        used = MIN(used + (size_t)more, sizeof(list) - 1);
    }
    const char *nearest = nearest_name(text, option->choices, n);
    if (nearest)
        return error_set(err, STATUS_INVALID,
                         "expected one of %s, not \"%.60s\" (did you mean \"%s\"?)", list, text,
                         nearest);
    return error_set(err, STATUS_INVALID, "expected one of %s, not \"%.60s\"", list, text);
}

static enum status parse_address(const struct option *option, const char *text,
                                 struct option_address *out, struct error *err)
{
    struct option_address address = {0};
    enum status status = option_address_parse(text, &address, err);
    if (status != STATUS_OK)
        return status;
    if (address.port < option->min)
        return error_set(err, STATUS_INVALID, "expected a port from %.0f to 65535 in \"%.60s\"",
                         option->min, text);
    *out = address;
    return STATUS_OK;
}

static enum status parse_addresses(const struct option *option, const char *text,
                                   struct option_addresses *out, struct error *err)
{
    struct option_addresses all = {0};
    for (const char *at = text;; at++) {
        char one[OPTION_HOST_MAX + 16];
        size_t n = strcspn(at, ",");
        if (n >= sizeof(one))
            return error_set(err, STATUS_INVALID, "address too long: \"%.60s\"", at);
        if (all.n == OPTION_ADDRESSES_MAX)
            return error_set(err, STATUS_INVALID, "expected at most %d addresses",
                             OPTION_ADDRESSES_MAX);
        memcpy(one, at, n);
        one[n] = '\0';
        enum status status = parse_address(option, one, &all.item[all.n++], err);
        if (status != STATUS_OK)
            return status;
        at += n;
        if (!*at)
            break;
    }
    *out = all;
    return STATUS_OK;
}

enum status option_value_parse(const struct option *option, const char *text, void *value,
                               struct error *err)
{
    switch (option->type) {
    case OPTION_BOOL:
        return parse_bool(text, value, err);
    case OPTION_INT:
        return parse_int(option, text, value, err);
    case OPTION_FLOAT:
        return parse_float(option, text, value, err);
    case OPTION_STRING:
    case OPTION_PATH:
        if (option->type == OPTION_PATH && !*text)
            return error_set(err, STATUS_INVALID, "expected a file name, not \"\"");
        if (strchr(text, '\n'))
            return error_set(err, STATUS_INVALID, "expected a single line");
        memcpy(value, &text, sizeof(text));
        return STATUS_OK;
    case OPTION_CHOICE:
        return parse_choice(option, text, value, err);
    case OPTION_ADDRESS:
        return parse_address(option, text, value, err);
    case OPTION_ADDRESSES:
        return parse_addresses(option, text, value, err);
    case OPTION_SIZE:
        return parse_size(option, text, value, err);
    case OPTION_DURATION:
        return parse_duration(option, text, value, err);
    }
    SA_ASSERT(!"option type");
    return STATUS_INTERNAL;
}

static enum status address_refuse(const char *text, const char *why, struct error *err)
{
    return error_set(err, STATUS_INVALID,
                     "expected HOST:PORT such as 127.0.0.1:7600 or [::1]:7600, not \"%.60s\" (%s)",
                     text, why);
}

enum status option_address_parse(const char *text, struct option_address *out, struct error *err)
{
    bool bracket = text[0] == '[';
    const char *host = text + bracket;
    const char *end = bracket ? strchr(host, ']') : strrchr(text, ':');
    const char *colon = bracket && end ? end + 1 : end;
    if (!colon || *colon != ':')
        return address_refuse(text, "the port is missing", err);
    size_t n = (size_t)(end - host);
    if (n == 0)
        return address_refuse(text, "the host is missing", err);
    if (n >= OPTION_HOST_MAX)
        return address_refuse(text, "the host is too long", err);
    if (!bracket && memchr(host, ':', n))
        return address_refuse(text, "IPv6 needs brackets", err);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)host[i] <= ' ' || host[i] == 127 || strchr("/@[]", host[i]))
            return address_refuse(text, "the host has a character that no host has", err);
    char *rest = NULL;
    errno = 0;
    unsigned long port = strtoul(colon + 1, &rest, 10);
    if (!isdigit((unsigned char)colon[1]) || *rest || errno || port > 65535)
        return address_refuse(text, "the port is no number up to 65535", err);
    memcpy(out->host, host, n);
    out->host[n] = '\0';
    out->port = (uint16_t)port;
    return STATUS_OK;
}

/* A name may begin with 127 and be anywhere. */
bool option_host_is_loopback(const char *host)
{
    struct in_addr address;
    bool v4 = inet_pton(AF_INET, host, &address) == 1;
    return (v4 && ntohl(address.s_addr) >> 24 == 127) || strcmp(host, "::1") == 0 ||
           strcmp(host, "localhost") == 0;
}

void option_address_format(const struct option_address *address, char *text, size_t n)
{
    bool v6 = strchr(address->host, ':') != NULL;
    snprintf(text, n, v6 ? "[%s]:%u" : "%s:%u", address->host, (unsigned)address->port);
}
