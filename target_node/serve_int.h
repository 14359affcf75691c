/* serve_int.h: the parts of the server: serve.c (model thread, watchdog, life), serve_streams.c
 * (rpc thread: who comes, what is said), serve_sessions.c (sessions as people want to see them). */
#ifndef TARGET_NODE_SERVE_INT_H
#define TARGET_NODE_SERVE_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/log.h"
#include "base/queue.h"
#include "cluster/health.h"
#include "count.h"
#include "seats.h"
#include "serve.h"
#include "vocabulary.h"

enum { HOLD_FROM = 64, HOLD_TO = 32 };      /* events of one client: read no more, read again */

/* One client's stream. The rpc thread sets `gone`; once it is seated, the model thread owns all
 * else. The watchdog reads `owed`, and the list under its lock. Whatever happens to a connection
 * has it watched; one that is idle is not looked at again until its time is over. */
struct connection {
    struct list link;                       /* in serve->connections */
    struct list watched;                    /* in serve->watched or serve->idle, or alone */
    bool is_watched;
    struct list going;                      /* in serve->gone, or alone */
    struct list replaced;                   /* in serve->replaced, or alone */
    struct serve *serve;
    struct rpc_call *call;                  /* own reference */
    struct target_session *session;
    atomic_bool gone;                       /* on_done came: no callback will come any more */
    bool over;                              /* the model thread has heard that */
    atomic_uint queued;                     /* its events in the queue */
    atomic_bool held;                       /* too many of them: the stream is not read */
    atomic_size_t waiting_bytes;            /* of their frames */
    atomic_bool owed;                       /* the client waits for a result */
    uint64_t opened_us, idle_us;            /* when it came, when it had no more work */
    struct counted counted;
    struct log_about about;                 /* the session once its Open came, and the trace */
    enum status ended;                      /* of the stream; set before `gone` */
    bool seated;                            /* its Open came, and there is a seat: from here on the
                                             * model thread frees it, before that the rpc thread */
    struct seat seat;
    struct gate_pass meter;                 /* what the seat began with */
    uint64_t owner;                         /* and whose it is */
    bool timed_out;                         /* its time is over: ends when nothing is open */
    struct error spent;                     /* a quota is used up: the end after open utterances */
    uint64_t spent_us;                      /* and since when */
};

enum event_kind { EVENT_OPEN, EVENT_FRAME, EVENT_REFUSED, EVENT_WAKE };

struct event {
    enum event_kind kind;
    struct connection *connection;
    size_t n_bytes;                         /* of the frame as it waits */
    struct wire_frame frame;
    struct error refusal;                   /* EVENT_REFUSED: the frame did not validate */
};

struct serve {
    struct engine *engine;
    struct target *target;
    struct rpc_server *server;
    struct health *health;
    struct queue *events;
    struct event wake;
    struct vocabulary vocabulary;
    struct list watched;                    /* to be looked at after this turn */
    struct list idle;                       /* sessions without work, the longest first */
    pthread_mutex_t lock;                   /* of what is below, for the other threads */
    struct list connections;                /* all, in the order in which they came */
    struct list gone;                       /* since the last turn */
    struct list replaced;                   /* their clients came back in other streams */
    struct serve_listing *listing;          /* somebody waits for the sessions; NULL: nobody */
    pthread_cond_t listed;                  /* CLOCK_MONOTONIC */
    pthread_t thread, watchdog;             /* (not of the lock) */
    bool thread_runs, watchdog_runs;
    _Atomic uint64_t step_began_us;         /* 0: the model thread waits for events */
    struct queue *watchdog_end;             /* nothing comes: its end ends the watchdog */
    struct load load;                       /* for the coordinator */
    struct metrics *metrics;
    struct registration *registration;      /* NULL: no coordinator */
    struct gate *gate;
    struct seats *seats;
    uint64_t idle_max_us, session_max_us;   /* UINT64_MAX: never */
    struct target_counts counts;            /* of the turn before */
    uint64_t depth_sum;                     /* advised, of all sessions */
    atomic_bool dump;                       /* serve_dump was called */
    atomic_bool stopping;
    uint32_t grace_ms;                      /* valid once stopping is set */
};

/* ---- serve_streams.c ---- */

extern const struct rpc_handler session_handler;    /* rpc_user at its begin: the server */

/* From any thread. */
void serve_wake(struct serve *serve);

/* Ends a stream, and says in a frame when to ask again (0: it does not say); only a frame can. */
void serve_refuse(struct rpc_call *call, const struct error *why, uint32_t retry_ms);

/* seats_options.replaced. */
void serve_replaced(struct seat *former);

/* ---- serve_sessions.c ---- */

/* On the model thread: writes to the log; answers serve_sessions, if somebody waits. */
void serve_write_dump(const struct serve *serve);
void serve_answer_listing(struct serve *serve);

#endif
