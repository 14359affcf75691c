#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/name.h"
#include "bus/bus_int.h"

struct bus_allowed {
    pthread_mutex_t lock;
    size_t n;
    struct {
        char key[BUS_KEY_TEXT];
        char name[BUS_NAME_MAX + 1];
    } entries[BUS_ALLOWED_MAX];
};

enum status bus_allowed_new(struct bus_allowed **out, struct error *err)
{
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the keys of the bus");
    pthread_mutex_init(&(*out)->lock, NULL);
    return STATUS_OK;
}

void bus_allowed_free(struct bus_allowed **allowed)
{
    if (*allowed)
        pthread_mutex_destroy(&(*allowed)->lock);
    free(*allowed);
    *allowed = NULL;
}

/* Public keys are no secret: plain comparison. `lock` is held; n when it is not there. */
static size_t find(const struct bus_allowed *allowed, const char *key)
{
    size_t i = 0;
    while (i < allowed->n && strcmp(allowed->entries[i].key, key) != 0)
        i++;
    return i;
}

enum status bus_allowed_add(struct bus_allowed *allowed, const char *key, const char *name,
                            struct error *err)
{
    size_t n = strlen(name);
    enum status status = STATUS_OK;
    if (strlen(key) != BUS_KEY_TEXT - 1 || !name_valid(name, n, BUS_NAME_MAX))
        return error_set(err, STATUS_INVALID, "bus: a public key has 40 characters, a name 1 to %d "
                         "letters, digits, - _ . :", BUS_NAME_MAX);
    pthread_mutex_lock(&allowed->lock);
    size_t at = find(allowed, key);
    if (at == BUS_ALLOWED_MAX) {
        status = error_set(err, STATUS_EXHAUSTED, "bus: more than %d keys", BUS_ALLOWED_MAX);
    } else {
        memcpy(allowed->entries[at].key, key, BUS_KEY_TEXT);
        memcpy(allowed->entries[at].name, name, n + 1);
        allowed->n = MAX(allowed->n, at + 1);
    }
    pthread_mutex_unlock(&allowed->lock);
    return status;
}

void bus_allowed_remove(struct bus_allowed *allowed, const char *key)
{
    pthread_mutex_lock(&allowed->lock);
    size_t at = find(allowed, key);
    if (at < allowed->n)
        allowed->entries[at] = allowed->entries[--allowed->n];
    pthread_mutex_unlock(&allowed->lock);
}

bool bus_allowed_name(struct bus_allowed *allowed, const char *key, char name[BUS_NAME_MAX + 1])
{
    pthread_mutex_lock(&allowed->lock);
    size_t at = find(allowed, key);
    bool listed = at < allowed->n;
    if (listed)
        memcpy(name, allowed->entries[at].name, BUS_NAME_MAX + 1);
    pthread_mutex_unlock(&allowed->lock);
    return listed;
}
