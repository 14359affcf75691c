/* target_int.h: the parts of a target, shared by its files target*.c. */
#ifndef ENGINE_TARGET_INT_H
#define ENGINE_TARGET_INT_H

#include "base/list.h"
#include "cluster/depth_estimate.h"
#include "engine/attempt.h"
#include "engine/audio_buffer.h"
#include "engine/target.h"
#include "engine/target_audit.h"
#include "engine/target_colocated.h"
#include "engine/target_encode.h"
#include "engine/target_pick.h"
#include "spec/calibration.h"
#include "spec/draft.h"
#include "spec/pick.h"
#include "spec/price.h"
#include "spec/realign.h"
#include "spec/wait.h"

/* Audio credit: what may be held, counted from the window's start. */
enum { TARGET_AHEAD_SAMPLES = 2 * WINDOW_SAMPLES };

/* A window's way through the target. One function moves it: utterance_enter.
 *
 *     LISTEN --audio--> ENCODE --> [DETECT -->] DECODE --verdict--> LISTEN (next window) | DONE
 *                                                 ^------retry-----'
 */
enum utterance_phase { PHASE_LISTEN, PHASE_ENCODE, PHASE_DETECT, PHASE_DECODE, PHASE_DONE };

struct window_times {                       /* when things happened in this window, engine clock */
    uint64_t ready_us;                      /* its audio was complete */
    uint64_t encoded_us;
    uint64_t rows_us;                       /* it last had rows in a pass */
    uint64_t order;                         /* of target->n_ordered, when it did, or began */
    uint64_t surprised_us;                  /* a token left the draft: a redraft is due; 0: no */
};

struct utterance {
    uint32_t id;
    struct audio_buffer audio;
    struct audit_record *audit;             /* NULL: it is not decoded again */
    bool ended;                             /* EndOfUtterance came */
    enum utterance_phase phase;
    uint32_t window;
    uint64_t start;                         /* first sample of the window */
    int32_t language;                       /* token, or -1: not known yet (or not multilingual) */
    struct window_prompt previous;
    struct attempt attempt;
    uint32_t n_attempts;                    /* attempts made before this one */
    uint32_t n_sent;                        /* decided tokens that the client knows */
    uint64_t sent_us;
    /* proposals */
    struct spec_draft draft;                /* mailbox place; number 0: empty */
    struct spec_source newest, former;      /* of proposals: the draft, and what it replaced */
    uint32_t newest_prefix;
    uint32_t n_claimed;                     /* what a resuming client saw decided in attempt 0 */
    int32_t claimed[WIRE_TOKENS_MAX];
    bool draft_tried;                       /* the draft in the mailbox has been in a pass */
    bool waiting;                           /* a wait episode is under way */
    uint64_t waiting_since_us, waiting_until_us;
    struct spec_balance balance;
    struct spec_tree tree;                  /* proposal of the pass under way */
    float survival[SPEC_NODES_MAX];         /* of its nodes */
    struct window_times times;
    struct wire_window_stats stats;
};

/* How long the client's drafts take, and what they bring, smoothed; 0: not known. */
struct draft_habits {
    float first_us;                         /* from a window's complete audio to its first draft */
    float again_us;                         /* from a surprise to the next draft */
    float tokens;                           /* decided per pass with a fresh draft */
    float late_tokens, late_us;             /* passes and waits of late */
    float shortest_us;                      /* waits for a draft that was asked for */
};

/* Depth control of a session (target_depth.c). */
struct depth_control {
    float rtt_us, rtt_sd_us;                /* as the client says; 0: not known */
    struct depth_mean draft;                /* its step */
    struct depth_mean gap;                  /* between two passes of a window */
    struct depth_mean rows_others, tokens_others;   /* in a pass; from pass to pass */
    struct depth_survival survival;
    float cycles, at_hand;                  /* beginnings, and those with a proposal at hand */
    bool begins;                            /* behind a surprise, or a window's first token */
    uint32_t n_agreed;                      /* tokens of the draft accepted since then */
    uint32_t n_guess;                       /* what the draft says comes next */
    int32_t guess[DEPTH_MAX];
    uint32_t n_rows, n_new;                 /* own ones in the last pass */
    uint64_t pass_end_us;                   /* of it; 0: none in this window */
    uint64_t n_decided_seen;                /* by all, up to then */
    struct depth_advice advice;
    uint64_t chosen_us;                     /* 0: never, and nothing is limited */
};

struct target_session {
    struct target *target;
    struct target_owner *owner;             /* `alone`, or one of several */
    struct target_owner alone;
    uint32_t turn;                          /* of its owner's, in the pass under way */
    struct target_session *next, *previous;
    struct list working;                    /* in target->working, or alone */
    struct target_session *next_same;       /* in one place of target->by_id */
    struct target_sink sink;
    bool open;                              /* Open came */
    uint8_t id[16];                         /* the client's, the same over its reconnects */
    uint32_t epoch;
    bool dead, colocated_fails;             /* the latter: no drafts can be made here for it */
    struct wire_rules ask;                  /* what the client wants */
    enum spec_mode mode;
    struct window_limits limits;
    int32_t language;                       /* token asked for; -1: detect */
    struct sequence *sequence;
    struct utterance *utterances[WIRE_UTTERANCES_MAX];  /* oldest first */
    uint32_t n_utterances;
    uint32_t utterance_last;                /* highest id seen + 1; lower ids are finished */
    struct spec_calibration calibration;
    struct draft_habits habits;
    struct depth_control depth;
    uint64_t alive_us;                      /* last frame sent while work was owed */
    uint64_t busy_us;                       /* when it last had an utterance */
    bool holds_memory;                      /* keys and values have been taken */
    struct colocated *colocated;            /* NULL: no drafts are made here for it */
};

struct target {
    struct engine *engine;
    struct target_options options;
    struct target_policy policy;
    struct target_session *sessions;
    uint32_t n_sessions;
    struct list working;                    /* those with an utterance or memory: what ticks see */
    struct target_session **by_id;          /* [n_by_id], a power of two: those whose Open came */
    uint32_t n_by_id;
    struct target_owner **owners;           /* [n_by_id]: those with sessions */
    struct encoder_place places[BACKEND_WINDOWS];
    uint64_t urgent_us;                     /* had by them while another one has waited for long */
    struct spec_cost cost;
    struct {
        float encode_us, passes;
    } mean;                                 /* of a window, smoothed; 0: not known */
    struct pass pass;
    struct {
        struct sequence *sequence;          /* NULL: not under way */
        uint32_t step;
    } probe;
    uint64_t n_decided;                     /* tokens, of all sessions */
    uint64_t n_ordered;                     /* rows and windows, in the order of service */
    uint64_t worked_us;                     /* when there was real work the last time */
    uint32_t n_slots;                       /* sessions that hold memory */
    struct target_session **ready;          /* [sessions_max]: those with a window to decode */
    struct audit audit;
    struct colocated_all colocated;
    bool draining, encoder_wanted, lacks_slots; /* slots: for new windows */
    struct target_counts counts;            /* stages: only in what target_counts returns */
};

/* ---- target_utterance.c ---- */

MUST_CHECK enum status utterance_new(struct target_session *session, uint32_t id,
                                     const struct wire_resume *resume, struct utterance **out,
                                     struct error *err);
void utterance_free(struct utterance **utterance);

/* Looks whether the window's audio is complete now, and ends the utterance when nothing is left. */
void utterance_listen(struct target_session *session, struct utterance *u);

/* A draft frame for this utterance. */
void utterance_draft(struct target_session *session, struct utterance *u,
                     const struct wire_draft *draft);

/* Encoder: the window's features ([n_mels][3000]); after the last slice. */
void utterance_features(struct target_session *session, struct utterance *u, float *features);
void utterance_encoded(struct target_session *session, struct utterance *u);

/* What it could use of the next pass (true; borrowed until then), or until when it waits (false;
 * UINT64_MAX: for a frame). */
bool utterance_offer(struct target_session *session, struct utterance *u, struct spec_offer *offer,
                     uint64_t *until_us);

/* Adds n_rows of those to the pass; then the forward, then absorb. */
void utterance_take(struct target_session *session, struct utterance *u, uint32_t n_rows);
/* Returns how many tokens were decided. */
uint32_t utterance_absorb(struct target_session *session, struct utterance *u, float pass_us);

/* ---- target.c ---- */
/* Moves a smoothed mean; 0: not known yet. */
void target_learn(float *mean, float value);

/* Evaluates target->pass and hands the choices back. */
void target_run_pass(struct target *target, struct gathered *all);

/* ---- target_depth.c ---- */

/* Is this session's depth ours to choose? */
bool depth_controlled(const struct target_session *session);

/* Nodes that it may have in a pass: the depth in force; UINT32_MAX: no limit. */
uint32_t depth_nodes_max(const struct target_session *session);
void depth_price(const struct target_session *session, struct wire_price *price);

/* What is seen, in the order of a pass: a window's attempt begins; a proposal before it is cut; the
 * tokens that the pass decided for the session; the end of the pass, for all. */
void depth_stats(struct target_session *session, const struct wire_stats *stats);
void depth_begin(struct target_session *session);
void depth_offer(struct target_session *session, const struct spec_tree *tree);
void depth_absorb(struct target_session *session, const int32_t *decided, uint32_t n_new,
                  uint32_t n_rows);
void depth_pass(struct target_session *session, uint64_t began_us, uint32_t n_sessions);

/* ---- target_probe.c ---- */

bool probe_wanted(const struct target *target);

/* A bounded piece of measuring. */
void probe_step(struct target *target);

/* ---- target_session.c ---- */

/* The session behind this one in target->working (NULL: the first); NULL: there is none. */
struct target_session *target_next_working(const struct target *target,
                                           const struct target_session *session);

/* Leaves target->working when it has neither utterances nor memory. */
void session_rest(struct target_session *session);
/* In no list and counted nowhere: only its owner gives it time. */
MUST_CHECK enum status session_open_alone(struct target *target, struct target_sink sink,
                                          struct target_session **out, struct error *err);
void session_close_alone(struct target_session **session);
void session_die(struct target_session *session);

/* It takes a slot with a window; a new sequence in place of its own gives memory and slot back. */
void session_take_slot(struct target_session *session);
void session_reopen_sequence(struct target_session *session);

/* Sends; marks the session dead when the sink refuses. */
void session_send(struct target_session *session, const struct wire_frame *frame);
void session_send_price(struct target_session *session, uint64_t echo_us);

/* An Error frame that ends one utterance; the session goes on. */
void session_fail_utterance(struct target_session *session, uint32_t utterance, enum status code,
                            const char *text);

/* The utterance at work (the oldest that is not done), or NULL. */
struct utterance *session_current(struct target_session *session);
void session_remove_utterance(struct target_session *session, uint32_t id);
void session_remove_done(struct target_session *session);

#endif
