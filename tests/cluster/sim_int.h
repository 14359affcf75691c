/* sim_int.h: machines, lines and events of a simulation, shared by its files. */
#ifndef TESTS_CLUSTER_SIM_INT_H
#define TESTS_CLUSTER_SIM_INT_H

#include "auth/ticket.h"
#include "engine/admit.h"
#include "engine/reconnect.h"
#include "sim.h"
#include "wire/wire.h"

/* ---- events ---- */

typedef void (*sim_action)(struct sim *sim, void *object, uint64_t argument);

struct sim_event {
    uint64_t at_us, order;
    sim_action action;
    void *object;
    uint64_t argument;
};

/* ---- machines ---- */

struct node {
    struct sim *sim;
    void (*turn)(struct node *node);
    uint64_t now_us;                        /* own progress in the sim's time */
    uint64_t origin_us;                     /* its clock shows origin + rate * now */
    double rate;
    int64_t date_off_s;                     /* its date is wrong by that */
    bool down;
    uint64_t frozen_until_us;
    uint64_t wake_us;                       /* of the turn that is due; UINT64_MAX: none */
    uint64_t generation;                    /* of that event: older ones are void */
    void (*spending)(struct node *node, uint64_t us);   /* before work moves the clock, or NULL */
    struct item *inbox;
    uint32_t n_inbox, inbox_max;
};

enum side { CLIENT_SIDE, TARGET_SIDE };

/* What travels on a line. DONE is the last thing that its receiver hears. */
enum item_kind { ITEM_OPEN, ITEM_ACCEPTED, ITEM_FRAME, ITEM_DONE };

struct item {
    enum item_kind kind;
    struct line *line;
    struct wire_bytes bytes;                /* ITEM_FRAME */
    struct error why;                       /* ITEM_DONE */
    uint64_t sent_us, left_us, due_us;      /* left: the last byte is on the wire */
};

/* One call between a client and a target, seen from outside. */
struct line {
    struct sim *sim;
    struct sim_client *client;
    struct sim_target *target;
    uint32_t number;
    uint64_t opened_us;
    bool accepted;                          /* the client knows */
    bool reached;                           /* Open has reached the target's machine */
    bool severed;                           /* nothing sent arrives, and nobody is told */
    bool closed[2];                         /* that side hears nothing any more */
    struct admit_seat seat;                 /* at the target */
    struct ticket_bytes ticket;             /* that the call carries */
    struct direction {                      /* by receiving side */
        struct item *items;                 /* first .. n */
        uint32_t first, n, max;
        uint64_t free_us, last_due_us;
    } to[2];
};

/* ---- targets ---- */

struct connection {
    struct line *line;                      /* NULL: free place */
    struct target_session *session;
    struct sim_colocated *colocated;        /* NULL: the client drafts, or nobody */
    uint64_t opened_us;                     /* engine clock */
    bool owed;
    uint32_t final_next[WIRE_UTTERANCES_MAX];
};

struct sim_target {
    struct node node;
    uint32_t number;
    struct engine engine;
    struct target *target;                  /* NULL: down */
    struct admission *admission;
    struct connection *connections;
    uint32_t n_connections, connections_max;
    uint64_t began_us;                      /* of the turn under way */
    uint64_t spoken_us;                     /* watchdog */
    bool drain_wanted;
    uint64_t drain_end_us;                  /* 0: it does not end */
    uint64_t drain_down_us;
    struct sim_work work;
};

/* ---- clients ---- */

struct sim_client {
    struct node node;
    uint32_t number;
    struct sim_plan plan;
    struct engine engine;
    struct client *client;
    struct spec_calibration calibration;
    struct reconnect reconnect;
    struct line *line;                      /* NULL: none */
    bool called, open_sent, done, killed;
    uint64_t reads_from_us;                 /* slow reader */
    struct ticket_bytes ticket;             /* the newest that has come */
    uint64_t lost_us;                       /* heard last of a lost session; 0: there is one */
    struct history history;
    uint64_t draft_steps;                   /* of utterances that ended */
    /* speech */
    uint32_t next;                          /* utterance to begin */
    bool feeding;
    uint64_t fed, began_us;
};

/* ---- all ---- */

struct sim {
    struct world *world;
    struct sim_options options;
    uint64_t random;
    uint64_t now_us;                        /* time of the event at work */
    uint64_t done_us;
    bool trace;
    struct ticket_signer signer;            /* of the coordinator */
    struct ticket_keys keys;                /* that targets know */
    int64_t coordinator_off_s;              /* its date is wrong by that */
    struct sim_event *events;               /* heap */
    uint32_t n_events, events_max;
    uint64_t n_ordered;
    struct sim_target targets[SIM_TARGETS_MAX];
    struct sim_client *clients[SIM_CLIENTS_MAX];
    uint32_t n_clients;
    struct line **lines;
    uint32_t n_lines, lines_max;
    struct sim_fault faults[SIM_FAULTS_MAX];
    bool fired[SIM_FAULTS_MAX];
    uint32_t n_faults, n_fired;
    struct {                                /* by client and target */
        uint64_t since_us, until_us;
    } cut[SIM_CLIENTS_MAX][SIM_TARGETS_MAX];
    uint32_t n_resumes;
    uint64_t outage_max_us;
    uint32_t n_refusals;
    uint64_t refusal_max_us;
    char violation[640];
    char report[1024];
};

uint64_t sim_draw(struct sim *sim, uint64_t limit); /* 0 .. limit - 1; 0 for 0 */
void sim_at(struct sim *sim, uint64_t at_us, sim_action action, void *object, uint64_t argument);
void sim_violated(struct sim *sim, const char *format, ...) PRINTF_LIKE(2, 3);
void sim_trace(struct sim *sim, uint64_t at_us, const char *format, ...) PRINTF_LIKE(3, 4);
void *sim_grow(void *array, uint32_t *max, size_t size);

/* ---- sim_node.c ---- */

void node_init(struct sim *sim, struct node *node, void (*turn)(struct node *node));
void node_release(struct node *node);
void node_wake(struct node *node, uint64_t at_us);
void node_freeze(struct node *node, uint64_t from_us, uint64_t until_us);
struct clock node_clock(struct node *node);
uint64_t node_from_clock(const struct node *node, uint64_t clock_us);
/* Takes the inbox's items out one by one; false: empty. */
bool node_take(struct node *node, struct item *item);
void node_clear_inbox(struct node *node);
struct toy_time node_time(struct node *node, const struct pace *pace);

/* ---- sim_ticket.c ---- */

void sim_tickets_init(struct sim *sim);

/* Has the coordinator sign another ticket for the client; it comes a round trip later. */
void sim_ticket_ask(struct sim_client *client);
void sim_ticket_now(struct sim_client *client);

/* As target_node/gate.c lets a call in. */
enum status sim_ticket_check(const struct line *line, struct error *err);

/* A date jumps. */
void sim_date_step(struct sim *sim, int64_t *off_s, int64_t step_s, uint64_t duration_us);

/* ---- sim_line.c ---- */

struct line *line_open(struct sim_client *client, struct sim_target *target);
void line_free(struct line *line);

/* Sends to that side; false: it does not read, and the queue is full. */
bool line_send(struct line *line, enum side to, const struct wire_frame *frame, uint64_t at_us);

/* Bytes that wait at the client. */
size_t line_queued(const struct line *line, uint64_t at_us);

/* That side ends the call: it hears nothing more, the other one the end. */
void line_close(struct line *line, enum side by, uint64_t at_us, enum status code,
                const char *text);

/* The connection is gone: both sides hear so; what was under way is lost. */
void line_cut(struct line *line, uint64_t at_us);

/* Only the client hears so; the target has to find out. */
void line_sever(struct line *line, uint64_t at_us);

/* What that side had sent after at_us is lost. */
void line_forget(struct line *line, enum side from, uint64_t at_us);
/* ... is sent later. */
void line_shift(struct line *line, enum side from, uint64_t at_us, uint64_t by_us);

/* The other side has not answered pings since since_us, if it still does not. */
void line_watch(struct line *line, enum side by, uint64_t since_us);

/* ---- sim_target.c, sim_client.c ---- */

void sim_target_start(struct sim_target *target);
void sim_target_stop(struct sim_target *target);

/* A call has come: is there a seat for it? If not, it is told so now, whatever the model does. */
bool sim_target_admits(struct line *line);
void sim_target_drain(struct sim_target *target, uint64_t down_us);
void sim_client_free(struct sim_client **client);

/* ---- sim_colocated.c: a draft model on the target's machine ---- */

struct sim_colocated *colocated_new(struct sim_target *target, const struct sim_client *client);
void colocated_free(struct sim_colocated **colocated);

/* Drafts for all windows that decode; moves the target's clock. */
void colocated_turn(struct sim_target *target);

/* ---- sim_fault.c ---- */

/* The client's work on a target came to a phase; a fault may begin between from_us and to_us. */
void sim_reached(struct sim *sim, struct sim_client *client, struct sim_target *target,
                 enum sim_phase phase, uint64_t from_us, uint64_t to_us);
void sim_fault_at(struct sim *sim, void *object, uint64_t index);

#endif
