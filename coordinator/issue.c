#include "issue.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/api_keys.h"
#include "auth/ticket.h"
#include "auth/wall_clock.h"
#include "base/name.h"

struct issuer {
    struct issuer_options options;
    struct api_keys *api, *join;            /* NULL: no keys are asked for */
    pthread_mutex_t lock;
    struct ticket_signer signer;            /* under the lock */
};

static enum status load_signer(struct issuer *issuer, struct error *err)
{
    struct ticket_signer signer;
    struct ticket_keys keys;
    enum status rc = ticket_keys_load(issuer->options.ticket_key, &signer, &keys, err);
    if (rc == STATUS_OK && signer.key_id == 0)
        rc = error_set(err, STATUS_CORRUPT, "there is no line \"secret HEX\": `coordinator "
                       "make-keys FOLDER` writes one");
    if (rc != STATUS_OK) {
        ticket_signer_clear(&signer);
        return error_prefix(err, "--ticket-key %s", issuer->options.ticket_key);
    }
    pthread_mutex_lock(&issuer->lock);
    issuer->signer = signer;
    pthread_mutex_unlock(&issuer->lock);
    ticket_signer_clear(&signer);
    return STATUS_OK;
}

/* keys NULL: nothing to load. */
static enum status load_keys(struct api_keys *keys, const char *option, const char *path,
                             struct error *err)
{
    enum status rc = keys ? api_keys_load(keys, path, err) : STATUS_OK;
    return rc == STATUS_OK ? rc : error_prefix(err, "%s %s", option, path);
}

enum status issuer_reload(struct issuer *issuer, struct error *err)
{
    const struct issuer_options *options = &issuer->options;
    enum status rc = options->ticket_key ? load_signer(issuer, err) : STATUS_OK;
    if (rc == STATUS_OK)
        rc = load_keys(issuer->api, "--api-keys", options->api_keys, err);
    if (rc == STATUS_OK)
        rc = load_keys(issuer->join, "--join-keys", options->join_keys, err);
    return rc;
}

enum status issuer_new(const struct issuer_options *options, struct issuer **out,
                       struct error *err)
{
    struct issuer *issuer = calloc(1, sizeof(*issuer));
    *out = NULL;
    if (!issuer)
        return error_set(err, STATUS_NO_MEMORY, "no memory for keys");
    issuer->options = *options;
    pthread_mutex_init(&issuer->lock, NULL);
    enum status rc = options->api_keys ? api_keys_new(&issuer->api, err) : STATUS_OK;
    if (rc == STATUS_OK && options->join_keys)
        rc = api_keys_new(&issuer->join, err);
    if (rc == STATUS_OK)
        rc = issuer_reload(issuer, err);
    if (rc != STATUS_OK)
        issuer_free(&issuer);
    *out = issuer;
    return rc;
}

void issuer_free(struct issuer **issuer)
{
    if (!*issuer)
        return;
    api_keys_free(&(*issuer)->api);
    api_keys_free(&(*issuer)->join);
    ticket_signer_clear(&(*issuer)->signer);
    pthread_mutex_destroy(&(*issuer)->lock);
    free(*issuer);
    *issuer = NULL;
}

/* `option`: what gives the caller a key. */
static enum status admit(struct api_keys *keys, const char *key, const char *option,
                         char name[ISSUE_NAME_MAX + 1], struct error *err)
{
    struct api_client found;
    name[0] = '\0';
    if (!keys)
        return STATUS_OK;
    if (!key)
        return error_set(err, STATUS_DENIED, "this coordinator asks for a key: give %s", option);
    enum status rc = api_keys_find(keys, key, strlen(key), &found, err);
    if (rc != STATUS_OK)
        return error_prefix(err, "%s", option);
    api_keys_name(keys, found, name);
    return STATUS_OK;
}

enum status issuer_admit(struct issuer *issuer, const char *key, char client[ISSUE_NAME_MAX + 1],
                         struct error *err)
{
    return admit(issuer->api, key, "--api-key-file", client, err);
}

enum status issuer_admit_member(struct issuer *issuer, const char *key,
                                char member[ISSUE_NAME_MAX + 1], struct error *err)
{
    return admit(issuer->join, key, "--join-key-file", member, err);
}

/* ---- tickets ---- */

/* As targets call themselves: by their addresses. One that no ticket can name could not be used:
 * it leaves the answer. */
static enum status add_targets(struct ticket *ticket, struct wire_placed *answer,
                               struct error *err)
{
    const uint32_t n = answer->n_targets;
    answer->n_targets = 0;
    for (uint32_t i = 0; i < n; i++) {
        char *name = ticket->targets[ticket->n_targets];
        if (!ticket_target_name(name, answer->targets[i].address) ||
            !name_valid(name, strlen(name), TICKET_NAME_MAX))
            continue;
        ticket->n_targets++;
        answer->targets[answer->n_targets++] = answer->targets[i];
    }
    if (answer->n_targets == 0)
        return error_set(err, STATUS_INVALID, "a ticket cannot hold the address of any target "
                         "here, as %s: up to %d letters, digits and -_.:",
                         answer->targets[0].address, TICKET_NAME_MAX);
    return STATUS_OK;
}

enum status issuer_sign(struct issuer *issuer, const char *client, const uint8_t session[16],
                        struct wire_placed *answer, bool *issued, struct error *err)
{
    struct ticket ticket = {.modes = TICKET_MODES_ALL, .not_before_s = wall_clock_s()};
    struct ticket_bytes bytes;
    *issued = false;
    if (!issuer->options.ticket_key || answer->n_targets == 0)
        return STATUS_OK;
    ticket.expires_s = ticket.not_before_s + ISSUE_LIFETIME_S;
    memcpy(ticket.session, session, sizeof(ticket.session));
    snprintf(ticket.client, sizeof(ticket.client), "%s", client);
    enum status rc = add_targets(&ticket, answer, err);
    pthread_mutex_lock(&issuer->lock);
    if (rc == STATUS_OK)
        rc = ticket_issue(&issuer->signer, &ticket, &bytes, err);
    pthread_mutex_unlock(&issuer->lock);
    if (rc != STATUS_OK)
        return rc;
    answer->n_ticket = (uint32_t)bytes.size;
    memcpy(answer->ticket, bytes.data, bytes.size);
    *issued = true;
    return STATUS_OK;
}

/* ---- keys ---- */

static enum status write_new(const char *folder, const char *name, const char *line, mode_t mode,
                             struct error *err)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0 && errno == EEXIST)
        return error_set(err, STATUS_INVALID, "%s exists: to rotate keys, make new ones in another "
                         "folder (docs/RUNBOOK.md)", path);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!file)
        return error_set(err, STATUS_IO, "cannot write %s: %s", path, strerror(errno));
    bool whole = fprintf(file, "%s\n", line) > 0;
    whole = fclose(file) == 0 && whole;
    return whole ? STATUS_OK
                 : error_set(err, STATUS_IO, "cannot write %s: is the disk full?", path);
}

enum status issue_make_keys(const char *folder, struct error *err)
{
    char secret[TICKET_KEY_TEXT_MAX], public[TICKET_KEY_TEXT_MAX];
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return error_set(err, STATUS_IO, "cannot make the folder %s: %s", folder, strerror(errno));
    enum status rc = ticket_key_generate(secret, public, err);
    if (rc == STATUS_OK)
        rc = write_new(folder, "ticket-signer.keys", secret, 0600, err);
    if (rc == STATUS_OK)
        rc = write_new(folder, "ticket-public.keys", public, 0644, err);
    explicit_bzero(secret, sizeof(secret));
    return rc;
}
