#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <grpc/support/log.h>
#include <grpc/support/time.h>

#include "base/log.h"
#include "rpc/link.h"

enum {
    TICK_MS = 100,          /* the core has no timers for us: connect limits are late by this, */
    SERVER_TICK_MS = 250,   /* and a server's guards by this: it may have ten thousand calls */
    FILES_MS = 1000         /* how soon a new certificate is seen that nobody has asked for */
};

uint64_t link_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- the core's log ---- */

/* grpc_server_add_http2_port says why it failed only in the log, on the caller's thread. */
static _Thread_local char first_error[512];

static void on_log(gpr_log_func_args *args)
{
    if (args->severity == GPR_LOG_SEVERITY_ERROR && !first_error[0])
        snprintf(first_error, sizeof(first_error), "%s", args->message);
    log_line(LOG_DEBUG, "grpc: %s", args->message);
}

void rpc_grpc_init(void)
{
    gpr_set_log_function(on_log);
    gpr_set_log_verbosity(log_enabled(LOG_DEBUG) ? GPR_LOG_SEVERITY_INFO : GPR_LOG_SEVERITY_ERROR);
    grpc_init();
}

void rpc_grpc_shutdown(void)
{
    grpc_shutdown();
}

void rpc_grpc_forget_errors(void)
{
    first_error[0] = '\0';
}

const char *rpc_grpc_first_error(void)
{
    return first_error;
}

/* ---- the thread ---- */

/* Calls are removed on this thread only, so the next one stays valid while one is looked at. */
static void check_times(struct link_loop *loop)
{
    uint64_t now_us = link_now_us();
    pthread_mutex_lock(&loop->lock);
    for (struct link_call *call = loop->calls; call; call = call->next)
        link_call_check_time(call, now_us);
    pthread_mutex_unlock(&loop->lock);
    if (loop->server)
        link_server_check_time(loop->server, now_us);
}

static void dispatch(struct link_loop *loop, const grpc_event *event)
{
    /* The tag came through the core. Its call was added to the list before anything was started on
     * it, so the list's lock is what makes the call's memory ours to read, by our own rules. */
    pthread_mutex_lock(&loop->lock);
    const struct link_tag tag = *(const struct link_tag *)event->tag;
    pthread_mutex_unlock(&loop->lock);
    if (tag.call)
        link_call_event(tag.call, tag.op, event->success);
    else
        link_server_event(loop->server, event->tag, event->success);
}

static void *run(void *argument)
{
    struct link_loop *loop = argument;
    uint64_t tick_us = 0, files_us = 0;
    for (;;) {
        gpr_timespec soon = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                         gpr_time_from_millis(TICK_MS, GPR_TIMESPAN));
        grpc_event event = grpc_completion_queue_next(loop->queue, soon, NULL);
        if (event.type == GRPC_QUEUE_SHUTDOWN)
            return NULL;
        if (event.type == GRPC_OP_COMPLETE)
            dispatch(loop, &event);
        if (link_now_us() >= tick_us) {
            tick_us = link_now_us() + (loop->server ? SERVER_TICK_MS : TICK_MS) * 1000;
            check_times(loop);
        }
        if (loop->files && link_now_us() >= files_us) {
            files_us = link_now_us() + FILES_MS * 1000;
            (void)rpc_tls_files_refresh(loop->files, false, NULL);  /* a failure is in the log */
        }
    }
}

enum status link_loop_init(struct link_loop *loop, struct link_server *server, struct error *err)
{
    loop->server = server;
    loop->queue = grpc_completion_queue_create_for_next(NULL);
    if (!loop->queue)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a completion queue");
    pthread_mutex_init(&loop->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&loop->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return STATUS_OK;
}

enum status link_loop_start(struct link_loop *loop, struct error *err)
{
    int rc = pthread_create(&loop->thread, NULL, run, loop);
    return rc == 0 ? STATUS_OK
                   : error_set(err, STATUS_EXHAUSTED, "cannot start a thread: %s", strerror(rc));
}

bool link_loop_is_here(const struct link_loop *loop)
{
    return pthread_equal(loop->thread, pthread_self());
}

bool link_loop_wait(struct link_loop *loop, uint64_t deadline_us)
{
    struct timespec at = {(time_t)(deadline_us / 1000000), (long)(deadline_us % 1000000) * 1000};
    int rc = 0;
    pthread_mutex_lock(&loop->lock);
    bool over = false;
    while (rc == 0 && !over) {
        over = loop->n_calls == 0 && (!loop->server || loop->shut_down);
        if (over)
            break;
        if (deadline_us)
            rc = pthread_cond_timedwait(&loop->changed, &loop->lock, &at);
        else
            rc = pthread_cond_wait(&loop->changed, &loop->lock);
    }
    pthread_mutex_unlock(&loop->lock);
    return over;
}

/* Runs the queue dry here when no thread ever did. */
void link_loop_release(struct link_loop *loop, bool started)
{
    if (!loop->queue)
        return;
    SA_ASSERT(loop->n_calls == 0);
    grpc_completion_queue_shutdown(loop->queue);
    if (started)
        pthread_join(loop->thread, NULL);
    else
        run(loop);
    grpc_completion_queue_destroy(loop->queue);
    pthread_cond_destroy(&loop->changed);
    pthread_mutex_destroy(&loop->lock);
    loop->queue = NULL;
}

void link_loop_add(struct link_loop *loop, struct link_call *call)
{
    pthread_mutex_lock(&loop->lock);
    call->next = loop->calls;
    call->link = &loop->calls;
    if (call->next)
        call->next->link = &call->next;
    loop->calls = call;
    loop->n_calls++;
    pthread_mutex_unlock(&loop->lock);
}

void link_loop_remove(struct link_loop *loop, struct link_call *call)
{
    pthread_mutex_lock(&loop->lock);
    *call->link = call->next;
    if (call->next)
        call->next->link = call->link;
    loop->n_calls--;
    pthread_cond_broadcast(&loop->changed);
    pthread_mutex_unlock(&loop->lock);
}
