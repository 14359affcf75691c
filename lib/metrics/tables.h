/* tables.h: the metrics of the programs; docs/METRICS.md says what they mean, and a test holds the
 * two together. metrics_new(metrics_target, TARGET_METRICS_N, ...), then the enum names the series.
 * Values are whole numbers unless the line says what they are parts of: a "millionths" gauge of
 * seconds is set in microseconds. What has labels that are only known later (keys, model,
 * certificates, bus) is written by collectors of the program.
 */
#ifndef METRICS_TABLES_H
#define METRICS_TABLES_H

#include "metrics/metrics.h"

enum target_metric {
    TARGET_METRIC_READY,
    TARGET_METRIC_DRAINING,
    TARGET_METRIC_SESSIONS,
    TARGET_METRIC_SESSIONS_MAX,
    TARGET_METRIC_SLOTS,
    TARGET_METRIC_SLOTS_MAX,
    TARGET_METRIC_MEMORY_BUDGET,        /* bytes */
    TARGET_METRIC_OPENED,
    TARGET_METRIC_RESUMED,
    TARGET_METRIC_REFUSED_FULL,
    TARGET_METRIC_REFUSED_QUOTA,
    TARGET_METRIC_REFUSED_TICKET,
    TARGET_METRIC_REFUSED_KEY,
    TARGET_METRIC_REFUSED_MISMATCH,
    TARGET_METRIC_UTTERANCES_LISTEN,
    TARGET_METRIC_UTTERANCES_ENCODE,
    TARGET_METRIC_UTTERANCES_DECODE,
    TARGET_METRIC_QUEUE,                /* microseconds */
    TARGET_METRIC_AUDIO,                /* microseconds */
    TARGET_METRIC_BUSY_ENCODE,          /* microseconds */
    TARGET_METRIC_BUSY_FORWARD,         /* microseconds */
    TARGET_METRIC_BUSY_DRAFT,           /* microseconds */
    TARGET_METRIC_PASSES,
    TARGET_METRIC_PASS,                 /* microseconds */
    TARGET_METRIC_ROWS,
    TARGET_METRIC_COMMITTED,
    TARGET_METRIC_ACCEPTED,
    TARGET_METRIC_WINDOWS_COMMIT,
    TARGET_METRIC_WINDOWS_SKIP,
    TARGET_METRIC_WINDOWS_RETRY,
    TARGET_METRIC_LAG_SPLIT,            /* microseconds */
    TARGET_METRIC_LAG_COLOCATED,        /* microseconds */
    TARGET_METRIC_LAG_ALONE,            /* microseconds */
    TARGET_METRIC_ROW_PRICE,            /* thousandths */
    TARGET_METRIC_DEPTH,                /* thousandths */
    TARGET_METRIC_AUDITS,
    TARGET_METRIC_AUDIT_MISMATCHES,
    TARGET_METRIC_RESUME_MISMATCHES,
    TARGET_METRIC_DROPPED_STALE,
    TARGET_METRIC_DROPPED_UNKNOWN_BASE,
    TARGET_METRIC_DROPPED_MALFORMED,
    TARGET_METRIC_COORDINATOR_UP,
    TARGET_METRIC_POLICY_AGE,           /* microseconds */
    TARGET_METRIC_SHADOW_PRICE,         /* millionths */
    TARGET_METRIC_LATENCY_GOAL,         /* microseconds */
    TARGET_METRIC_DRAFTS_ALLOWED,
    TARGET_METRICS_N
};

enum coordinator_metric {
    COORDINATOR_METRIC_TARGETS_SERVING,
    COORDINATOR_METRIC_TARGETS_WARMING,
    COORDINATOR_METRIC_TARGETS_DRAINING,
    COORDINATOR_METRIC_PLACES,
    COORDINATOR_METRIC_PLACED_PLACED,
    COORDINATOR_METRIC_PLACED_RETRY,
    COORDINATOR_METRIC_PLACED_REFUSED,
    COORDINATOR_METRIC_PLACE,           /* microseconds */
    COORDINATOR_METRIC_HEARTBEATS_KNOWN,
    COORDINATOR_METRIC_HEARTBEATS_UNKNOWN,
    COORDINATOR_METRIC_HEARTBEATS_OLD,
    COORDINATOR_METRIC_DENIED,
    COORDINATOR_METRIC_LOST_SILENT,
    COORDINATOR_METRIC_LOST_REPLACED,
    COORDINATOR_METRIC_TICKETS,
    COORDINATOR_METRIC_LEADER,
    COORDINATOR_METRIC_TERM,
    COORDINATOR_METRIC_STORE_UP,
    COORDINATOR_METRIC_MEMBERS,
    COORDINATOR_METRIC_SHADOW_PRICE,    /* millionths */
    COORDINATOR_METRICS_N
};

enum client_metric {
    CLIENT_METRIC_SESSIONS,
    CLIENT_METRIC_RECONNECTS_CUT,
    CLIENT_METRIC_RECONNECTS_SILENT,
    CLIENT_METRIC_RECONNECTS_REFUSED,
    CLIENT_METRIC_RECONNECTS_DRAIN,
    CLIENT_METRIC_ROUND_TRIP,           /* microseconds */
    CLIENT_METRIC_LAG,                  /* microseconds */
    CLIENT_METRIC_DRAFTED,
    CLIENT_METRIC_UNSENT,               /* microseconds */
    CLIENT_METRICS_N
};

extern const struct metric_def metrics_target[TARGET_METRICS_N];
extern const struct metric_def metrics_coordinator[COORDINATOR_METRICS_N];
extern const struct metric_def metrics_client[CLIENT_METRICS_N];

#endif
