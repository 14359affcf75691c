#include "rpc/tls_files.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/clock.h"
#include "base/log.h"
#include "rpc/rpc.h"

enum { PEM_MAX = 1 << 20, DAY_S = 86400, WARN_DAYS = 14, WARN_AGAIN_S = 3600 };

enum { FILE_CA, FILE_CERTIFICATE, FILE_KEY, FILE_N };

/* What tells one state of a file from another: all zero when there is none. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec written, changed;
};

struct content {
    struct rpc_pem pem;
    int64_t begins, expires;            /* seconds since 1970; 0: no certificate */
};

struct rpc_tls_files {
    char *paths[FILE_N];
    pthread_mutex_t lock;               /* of all below */
    struct stamp seen[FILE_N];          /* at the last attempt to read */
    struct content content;
    uint32_t generation;
    uint64_t warned_us;                 /* monotonic; 0: never */
};

/* ---- one file ---- */

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

static struct stamp look_at(const char *path)
{
    struct stat info;
    struct stamp stamp = {0};
    if (path && stat(path, &info) == 0)
        stamp = (struct stamp){info.st_dev, info.st_ino, info.st_size, info.st_mtim, info.st_ctim};
    return stamp;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           same_time(a->written, b->written) && same_time(a->changed, b->changed);
}

/* ---- what the files say ---- */

static void release(struct content *content)
{
    free(content->pem.ca);
    free(content->pem.certificate);
    if (content->pem.key)
        explicit_bzero(content->pem.key, strlen(content->pem.key));
    free(content->pem.key);
    *content = (struct content){0};
}

/* Nobody is asked for a passphrase: a program that serves has no terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *context)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)context;
    return 0;
}

static int64_t seconds_of(const ASN1_TIME *time)
{
    struct tm parts;
    return ASN1_TIME_to_tm(time, &parts) == 1 ? (int64_t)timegm(&parts) : 0;
}

/* The first certificate is the own one, the rest of the chain may expire before it. NULL: none. */
static X509 *read_chain(const char *text, struct content *content)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    X509 *own = bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
    if (own) {
        content->begins = seconds_of(X509_get0_notBefore(own));
        content->expires = seconds_of(X509_get0_notAfter(own));
        for (X509 *next; (next = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL;) {
            content->expires = MIN(content->expires, seconds_of(X509_get0_notAfter(next)));
            X509_free(next);
        }
    }
    BIO_free(bio);
    return own;
}

static EVP_PKEY *read_key(const char *text)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    return key;
}

static enum status check_pair(char *const paths[FILE_N], struct content *content,
                              struct error *err)
{
    enum status rc = STATUS_OK;
    X509 *own = read_chain(content->pem.certificate, content);
    EVP_PKEY *key = read_key(content->pem.key);
    if (!own)
        rc = error_set(err, STATUS_CORRUPT, "%s has no certificate", paths[FILE_CERTIFICATE]);
    else if (!key)
        rc = error_set(err, STATUS_CORRUPT, "%s has no private key (one without a passphrase)",
                       paths[FILE_KEY]);
    else if (X509_check_private_key(own, key) != 1)
        rc = error_set(err, STATUS_CORRUPT, "certificate %s and key %s do not belong together",
                       paths[FILE_CERTIFICATE], paths[FILE_KEY]);
    X509_free(own);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return rc;
}

static enum status check_ca(const char *path, const char *text, struct error *err)
{
    struct content ignored = {0};
    X509 *ca = read_chain(text, &ignored);
    enum status rc = ca ? STATUS_OK
                        : error_set(err, STATUS_CORRUPT, "%s has no certificate of an authority",
                                    path);
    X509_free(ca);
    ERR_clear_error();
    return rc;
}

static enum status read_all(char *const paths[FILE_N], struct content *content, struct error *err)
{
    char **texts[FILE_N] = {&content->pem.ca, &content->pem.certificate, &content->pem.key};
    enum status rc = STATUS_OK;
    *content = (struct content){0};
    for (int i = 0; i < FILE_N && rc == STATUS_OK; i++)
        rc = read_pem(paths[i], texts[i], err);
    if (rc == STATUS_OK && content->pem.ca)
        rc = check_ca(paths[FILE_CA], content->pem.ca, err);
    if (rc == STATUS_OK && content->pem.certificate)
        rc = check_pair(paths, content, err);
    if (rc != STATUS_OK)
        release(content);
    return rc;
}

/* ---- life ---- */

enum status rpc_tls_files_new(const struct rpc_tls *tls, struct rpc_tls_files **out,
                              struct error *err)
{
    const char *paths[FILE_N] = {tls->ca, tls->certificate, tls->key};
    *out = NULL;
    if (!tls->certificate != !tls->key)
        return error_set(err, STATUS_INVALID, "a certificate needs its key, and a key its "
                                              "certificate: give both");
    struct rpc_tls_files *files = calloc(1, sizeof(*files));
    if (!files)
        return error_set(err, STATUS_NO_MEMORY, "no memory for certificates");
    pthread_mutex_init(&files->lock, NULL);
    enum status rc = STATUS_OK;
    for (int i = 0; i < FILE_N && rc == STATUS_OK; i++) {
        files->paths[i] = paths[i] ? strdup(paths[i]) : NULL;
        files->seen[i] = look_at(paths[i]);
        if (paths[i] && !files->paths[i])
            rc = error_set(err, STATUS_NO_MEMORY, "no memory for certificates");
    }
    if (rc == STATUS_OK)
        rc = read_all(files->paths, &files->content, err);
    files->generation = 1;
    if (rc != STATUS_OK)
        rpc_tls_files_free(&files);
    *out = files;
    return rc;
}

void rpc_tls_files_free(struct rpc_tls_files **files_ptr)
{
    struct rpc_tls_files *files = *files_ptr;
    if (!files)
        return;
    release(&files->content);
    for (int i = 0; i < FILE_N; i++)
        free(files->paths[i]);
    pthread_mutex_destroy(&files->lock);
    free(files);
    *files_ptr = NULL;
}

/* ---- again ---- */

/* Takes over what the files look like now; true: not as at the last attempt. */
static bool changed(struct rpc_tls_files *files)
{
    bool any = false;
    for (int i = 0; i < FILE_N; i++) {
        struct stamp now = look_at(files->paths[i]);
        any = any || !same_stamp(&now, &files->seen[i]);
        files->seen[i] = now;
    }
    return any;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_content(const struct rpc_pem *a, const struct rpc_pem *b)
{
    return same_text(a->ca, b->ca) && same_text(a->certificate, b->certificate) &&
           same_text(a->key, b->key);
}

static void say_expiry(const struct rpc_tls_files *files)
{
    char text[32] = "?";
    struct tm parts;
    time_t at = (time_t)files->content.expires;
    if (files->content.expires && gmtime_r(&at, &parts))
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &parts);
    if (files->content.expires)
        log_line(LOG_INFO, "certificate %s was read again: valid until %s",
                 files->paths[FILE_CERTIFICATE], text);
    else
        log_line(LOG_INFO, "%s was read again", files->paths[FILE_CA]);
}

static void warn_of_expiry(struct rpc_tls_files *files)
{
    const struct content *content = &files->content;
    struct clock clock = clock_monotonic();
    uint64_t now_us = clock_us(&clock);
    int64_t left = content->expires - (int64_t)time(NULL);
    int64_t enough = MIN((content->expires - content->begins) / 5, (int64_t)WARN_DAYS * DAY_S);
    bool lately = files->warned_us && now_us - files->warned_us < WARN_AGAIN_S * 1000000ull;
    if (content->expires == 0 || left >= enough || lately)
        return;
    files->warned_us = now_us;
    if (left < 0)
        log_line(LOG_WARN, "certificate %s has expired: write a new one and its key over them",
                 files->paths[FILE_CERTIFICATE]);
    else
        log_line(LOG_WARN, "certificate %s expires in %" PRId64 " h: write a new one and its key "
                 "over them", files->paths[FILE_CERTIFICATE], left / 3600);
}

enum status rpc_tls_files_refresh(struct rpc_tls_files *files, bool always, struct error *err)
{
    struct content fresh;
    struct error why;
    enum status rc = STATUS_OK;
    pthread_mutex_lock(&files->lock);
    bool differs = changed(files);
    if (differs || always)
        rc = read_all(files->paths, &fresh, &why);
    if ((differs || always) && rc == STATUS_OK) {
        bool news = !same_content(&files->content.pem, &fresh.pem);
        release(&files->content);
        files->content = fresh;
        files->generation += news;          /* else only a date or an owner changed */
        files->warned_us = news ? 0 : files->warned_us;
        if (news || always)
            say_expiry(files);
    } else if (rc != STATUS_OK) {
        log_line(LOG_WARN, "%s; going on with what was read before", why.text);
        error_set(err, rc, "%s", why.text);
    }
    warn_of_expiry(files);
    pthread_mutex_unlock(&files->lock);
    return rc;
}

const struct rpc_pem *rpc_tls_files_lock(struct rpc_tls_files *files, uint32_t *generation)
{
    pthread_mutex_lock(&files->lock);
    *generation = files->generation;
    return &files->content.pem;
}

void rpc_tls_files_unlock(struct rpc_tls_files *files)
{
    pthread_mutex_unlock(&files->lock);
}

int64_t rpc_tls_files_expiry(struct rpc_tls_files *files)
{
    pthread_mutex_lock(&files->lock);
    int64_t expires = files->content.expires;
    pthread_mutex_unlock(&files->lock);
    return expires;
}
