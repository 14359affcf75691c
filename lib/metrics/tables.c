#include "metrics/tables.h"

static const uint64_t lag_us[] = {100000, 200000, 300000, 500000, 750000, 1000000,
                                  1500000, 2000000, 3000000, 5000000, 10000000};
static const uint64_t pass_us[] = {1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, 500000};
static const uint64_t place_us[] = {100, 200, 500, 1000, 2000, 5000, 10000, 50000};

const struct metric_def metrics_target[TARGET_METRICS_N] = {
    [TARGET_METRIC_READY] = {
        .name = "specasr_target_ready", .help = "1 when it takes new sessions.",
        .kind = METRIC_GAUGE},
    [TARGET_METRIC_DRAINING] = {
        .name = "specasr_target_draining", .help = "1 from the drain order to the end.",
        .kind = METRIC_GAUGE},
    [TARGET_METRIC_SESSIONS] = {
        .name = "specasr_target_sessions", .help = "Open sessions.", .kind = METRIC_GAUGE},
    [TARGET_METRIC_SESSIONS_MAX] = {
        .name = "specasr_target_sessions_max", .help = "Places for sessions.",
        .kind = METRIC_GAUGE},
    [TARGET_METRIC_SLOTS] = {
        .name = "specasr_target_slots", .help = "Sessions that hold keys and values.",
        .kind = METRIC_GAUGE},
    [TARGET_METRIC_SLOTS_MAX] = {
        .name = "specasr_target_slots_max", .help = "Sessions that may at once.",
        .kind = METRIC_GAUGE},
    [TARGET_METRIC_MEMORY_BUDGET] = {
        .name = "specasr_target_memory_budget_bytes",
        .help = "Memory that sessions are fitted into.", .kind = METRIC_GAUGE},
    [TARGET_METRIC_OPENED] = {
        .name = "specasr_target_sessions_opened_total",
        .help = "Sessions accepted, resumed ones too.", .kind = METRIC_COUNTER},
    [TARGET_METRIC_RESUMED] = {
        .name = "specasr_target_sessions_resumed_total",
        .help = "Sessions accepted of clients that came back.", .kind = METRIC_COUNTER},
    [TARGET_METRIC_REFUSED_FULL] = {
        .name = "specasr_target_sessions_refused_total", .help = "Sessions refused.",
        .kind = METRIC_COUNTER, .labels = {{"reason", "full"}}},
    [TARGET_METRIC_REFUSED_QUOTA] = {
        .name = "specasr_target_sessions_refused_total", .help = "Sessions refused.",
        .kind = METRIC_COUNTER, .labels = {{"reason", "quota"}}},
    [TARGET_METRIC_REFUSED_TICKET] = {
        .name = "specasr_target_sessions_refused_total", .help = "Sessions refused.",
        .kind = METRIC_COUNTER, .labels = {{"reason", "ticket"}}},
    [TARGET_METRIC_REFUSED_KEY] = {
        .name = "specasr_target_sessions_refused_total", .help = "Sessions refused.",
        .kind = METRIC_COUNTER, .labels = {{"reason", "key"}}},
    [TARGET_METRIC_REFUSED_MISMATCH] = {
        .name = "specasr_target_sessions_refused_total", .help = "Sessions refused.",
        .kind = METRIC_COUNTER, .labels = {{"reason", "mismatch"}}},
    [TARGET_METRIC_UTTERANCES_LISTEN] = {
        .name = "specasr_target_utterances", .help = "Open utterances by stage.",
        .kind = METRIC_GAUGE, .labels = {{"stage", "listen"}}},
    [TARGET_METRIC_UTTERANCES_ENCODE] = {
        .name = "specasr_target_utterances", .help = "Open utterances by stage.",
        .kind = METRIC_GAUGE, .labels = {{"stage", "encode"}}},
    [TARGET_METRIC_UTTERANCES_DECODE] = {
        .name = "specasr_target_utterances", .help = "Open utterances by stage.",
        .kind = METRIC_GAUGE, .labels = {{"stage", "decode"}}},
    [TARGET_METRIC_QUEUE] = {
        .name = "specasr_target_queue_seconds",
        .help = "Work owed now by the measured cost curve.", .kind = METRIC_GAUGE, .decimals = 6},
    [TARGET_METRIC_AUDIO] = {
        .name = "specasr_target_audio_seconds_total", .help = "Audio received.",
        .kind = METRIC_COUNTER, .decimals = 6},
    [TARGET_METRIC_BUSY_ENCODE] = {
        .name = "specasr_target_busy_seconds_total", .help = "Time of the model thread.",
        .kind = METRIC_COUNTER, .decimals = 6, .labels = {{"work", "encode"}}},
    [TARGET_METRIC_BUSY_FORWARD] = {
        .name = "specasr_target_busy_seconds_total", .help = "Time of the model thread.",
        .kind = METRIC_COUNTER, .decimals = 6, .labels = {{"work", "forward"}}},
    [TARGET_METRIC_BUSY_DRAFT] = {
        .name = "specasr_target_busy_seconds_total", .help = "Time of the model thread.",
        .kind = METRIC_COUNTER, .decimals = 6, .labels = {{"work", "draft"}}},
    [TARGET_METRIC_PASSES] = {
        .name = "specasr_target_passes_total", .help = "Forward passes.", .kind = METRIC_COUNTER},
    [TARGET_METRIC_PASS] = {
        .name = "specasr_target_pass_seconds", .help = "Time of one pass.",
        .kind = METRIC_HISTOGRAM, .decimals = 6, .buckets = pass_us,
        .n_buckets = ARRAY_LEN(pass_us)},
    [TARGET_METRIC_ROWS] = {
        .name = "specasr_target_rows_total", .help = "Rows evaluated.", .kind = METRIC_COUNTER},
    [TARGET_METRIC_COMMITTED] = {
        .name = "specasr_target_tokens_committed_total", .help = "Tokens in WindowFinals.",
        .kind = METRIC_COUNTER},
    [TARGET_METRIC_ACCEPTED] = {
        .name = "specasr_target_tokens_accepted_total",
        .help = "Decided tokens beyond one a pass.", .kind = METRIC_COUNTER},
    [TARGET_METRIC_WINDOWS_COMMIT] = {
        .name = "specasr_target_windows_total", .help = "Verdicts on windows.",
        .kind = METRIC_COUNTER, .labels = {{"outcome", "commit"}}},
    [TARGET_METRIC_WINDOWS_SKIP] = {
        .name = "specasr_target_windows_total", .help = "Verdicts on windows.",
        .kind = METRIC_COUNTER, .labels = {{"outcome", "skip"}}},
    [TARGET_METRIC_WINDOWS_RETRY] = {
        .name = "specasr_target_windows_total", .help = "Verdicts on windows.",
        .kind = METRIC_COUNTER, .labels = {{"outcome", "retry"}}},
    [TARGET_METRIC_LAG_SPLIT] = {
        .name = "specasr_target_final_lag_seconds",
        .help = "End of speech to final text, at the target.", .kind = METRIC_HISTOGRAM,
        .decimals = 6, .buckets = lag_us, .n_buckets = ARRAY_LEN(lag_us),
        .labels = {{"mode", "split"}}},
    [TARGET_METRIC_LAG_COLOCATED] = {
        .name = "specasr_target_final_lag_seconds",
        .help = "End of speech to final text, at the target.", .kind = METRIC_HISTOGRAM,
        .decimals = 6, .buckets = lag_us, .n_buckets = ARRAY_LEN(lag_us),
        .labels = {{"mode", "colocated"}}},
    [TARGET_METRIC_LAG_ALONE] = {
        .name = "specasr_target_final_lag_seconds",
        .help = "End of speech to final text, at the target.", .kind = METRIC_HISTOGRAM,
        .decimals = 6, .buckets = lag_us, .n_buckets = ARRAY_LEN(lag_us),
        .labels = {{"mode", "alone"}}},
    [TARGET_METRIC_ROW_PRICE] = {
        .name = "specasr_target_row_price", .help = "Price of a row, in milliseconds.",
        .kind = METRIC_GAUGE, .decimals = 3},
    [TARGET_METRIC_DEPTH] = {
        .name = "specasr_target_draft_depth", .help = "Mean advised depth over sessions.",
        .kind = METRIC_GAUGE, .decimals = 3},
    [TARGET_METRIC_AUDITS] = {
        .name = "specasr_target_audits_total",
        .help = "Utterances decoded again without drafts.", .kind = METRIC_COUNTER},
    [TARGET_METRIC_AUDIT_MISMATCHES] = {
        .name = "specasr_target_audit_mismatches_total",
        .help = "Audited utterances with another text.", .kind = METRIC_COUNTER},
    [TARGET_METRIC_RESUME_MISMATCHES] = {
        .name = "specasr_target_resume_mismatches_total",
        .help = "Claims of resumed clients that were not confirmed.", .kind = METRIC_COUNTER},
    [TARGET_METRIC_DROPPED_STALE] = {
        .name = "specasr_target_frames_dropped_total", .help = "Frames without effect.",
        .kind = METRIC_COUNTER, .labels = {{"reason", "stale"}}},
    [TARGET_METRIC_DROPPED_UNKNOWN_BASE] = {
        .name = "specasr_target_frames_dropped_total", .help = "Frames without effect.",
        .kind = METRIC_COUNTER, .labels = {{"reason", "unknown_base"}}},
    [TARGET_METRIC_DROPPED_MALFORMED] = {
        .name = "specasr_target_frames_dropped_total", .help = "Frames without effect.",
        .kind = METRIC_COUNTER, .labels = {{"reason", "malformed"}}},
    [TARGET_METRIC_COORDINATOR_UP] = {
        .name = "specasr_target_coordinator_up",
        .help = "1 when a heartbeat was answered within three periods.", .kind = METRIC_GAUGE},
    [TARGET_METRIC_POLICY_AGE] = {
        .name = "specasr_target_policy_age_seconds", .help = "Age of the policy in use.",
        .kind = METRIC_GAUGE, .decimals = 6},
    [TARGET_METRIC_SHADOW_PRICE] = {
        .name = "specasr_target_shadow_price",
        .help = "Factor on the price of rows that is in use; 1: the target's own price.",
        .kind = METRIC_GAUGE, .decimals = 6},
    [TARGET_METRIC_LATENCY_GOAL] = {
        .name = "specasr_target_latency_goal_seconds",
        .help = "No draft may make a pass longer; 0: no goal.", .kind = METRIC_GAUGE,
        .decimals = 6},
    [TARGET_METRIC_DRAFTS_ALLOWED] = {
        .name = "specasr_target_drafts_allowed", .help = "1 unless the policy forbids drafts.",
        .kind = METRIC_GAUGE},
};

const struct metric_def metrics_coordinator[COORDINATOR_METRICS_N] = {
    [COORDINATOR_METRIC_TARGETS_SERVING] = {
        .name = "specasr_coordinator_targets", .help = "Registered targets.",
        .kind = METRIC_GAUGE, .labels = {{"state", "serving"}}},
    [COORDINATOR_METRIC_TARGETS_WARMING] = {
        .name = "specasr_coordinator_targets", .help = "Registered targets.",
        .kind = METRIC_GAUGE, .labels = {{"state", "warming"}}},
    [COORDINATOR_METRIC_TARGETS_DRAINING] = {
        .name = "specasr_coordinator_targets", .help = "Registered targets.",
        .kind = METRIC_GAUGE, .labels = {{"state", "draining"}}},
    [COORDINATOR_METRIC_PLACES] = {
        .name = "specasr_coordinator_places", .help = "Free places over all serving targets.",
        .kind = METRIC_GAUGE},
    [COORDINATOR_METRIC_PLACED_PLACED] = {
        .name = "specasr_coordinator_placed_total", .help = "Answers to Place.",
        .kind = METRIC_COUNTER, .labels = {{"outcome", "placed"}}},
    [COORDINATOR_METRIC_PLACED_RETRY] = {
        .name = "specasr_coordinator_placed_total", .help = "Answers to Place.",
        .kind = METRIC_COUNTER, .labels = {{"outcome", "retry"}}},
    [COORDINATOR_METRIC_PLACED_REFUSED] = {
        .name = "specasr_coordinator_placed_total", .help = "Answers to Place.",
        .kind = METRIC_COUNTER, .labels = {{"outcome", "refused"}}},
    [COORDINATOR_METRIC_PLACE] = {
        .name = "specasr_coordinator_place_seconds", .help = "Time of one Place.",
        .kind = METRIC_HISTOGRAM, .decimals = 6, .buckets = place_us,
        .n_buckets = ARRAY_LEN(place_us)},
    [COORDINATOR_METRIC_HEARTBEATS_KNOWN] = {
        .name = "specasr_coordinator_heartbeats_total", .help = "Heartbeats by answer.",
        .kind = METRIC_COUNTER, .labels = {{"result", "known"}}},
    [COORDINATOR_METRIC_HEARTBEATS_UNKNOWN] = {
        .name = "specasr_coordinator_heartbeats_total", .help = "Heartbeats by answer.",
        .kind = METRIC_COUNTER, .labels = {{"result", "unknown"}}},
    [COORDINATOR_METRIC_HEARTBEATS_OLD] = {
        .name = "specasr_coordinator_heartbeats_total", .help = "Heartbeats by answer.",
        .kind = METRIC_COUNTER, .labels = {{"result", "old"}}},
    [COORDINATOR_METRIC_DENIED] = {
        .name = "specasr_coordinator_denied_total",
        .help = "Calls of targets and operators without a join key.", .kind = METRIC_COUNTER},
    [COORDINATOR_METRIC_LOST_SILENT] = {
        .name = "specasr_coordinator_lost_total", .help = "Targets lost while in use.",
        .kind = METRIC_COUNTER, .labels = {{"reason", "silent"}}},
    [COORDINATOR_METRIC_LOST_REPLACED] = {
        .name = "specasr_coordinator_lost_total", .help = "Targets lost while in use.",
        .kind = METRIC_COUNTER, .labels = {{"reason", "replaced"}}},
    [COORDINATOR_METRIC_TICKETS] = {
        .name = "specasr_coordinator_tickets_total", .help = "Tickets signed.",
        .kind = METRIC_COUNTER},
    [COORDINATOR_METRIC_LEADER] = {
        .name = "specasr_coordinator_leader", .help = "1 at the one that publishes policy.",
        .kind = METRIC_GAUGE},
    [COORDINATOR_METRIC_TERM] = {
        .name = "specasr_coordinator_term", .help = "Term of the policy.", .kind = METRIC_GAUGE},
    [COORDINATOR_METRIC_STORE_UP] = {
        .name = "specasr_coordinator_store_up",
        .help = "1 when it reaches the store, or needs none.", .kind = METRIC_GAUGE},
    [COORDINATOR_METRIC_MEMBERS] = {
        .name = "specasr_coordinator_members", .help = "Coordinators that the store lists.",
        .kind = METRIC_GAUGE},
    [COORDINATOR_METRIC_SHADOW_PRICE] = {
        .name = "specasr_coordinator_shadow_price",
        .help = "Factor on the row prices of the targets.", .kind = METRIC_GAUGE, .decimals = 6},
};

const struct metric_def metrics_client[CLIENT_METRICS_N] = {
    [CLIENT_METRIC_SESSIONS] = {
        .name = "specasr_client_sessions", .help = "Sessions of this process.",
        .kind = METRIC_GAUGE},
    [CLIENT_METRIC_RECONNECTS_CUT] = {
        .name = "specasr_client_reconnects_total", .help = "Links given up.",
        .kind = METRIC_COUNTER, .labels = {{"reason", "cut"}}},
    [CLIENT_METRIC_RECONNECTS_SILENT] = {
        .name = "specasr_client_reconnects_total", .help = "Links given up.",
        .kind = METRIC_COUNTER, .labels = {{"reason", "silent"}}},
    [CLIENT_METRIC_RECONNECTS_REFUSED] = {
        .name = "specasr_client_reconnects_total", .help = "Links given up.",
        .kind = METRIC_COUNTER, .labels = {{"reason", "refused"}}},
    [CLIENT_METRIC_RECONNECTS_DRAIN] = {
        .name = "specasr_client_reconnects_total", .help = "Links given up.",
        .kind = METRIC_COUNTER, .labels = {{"reason", "drain"}}},
    [CLIENT_METRIC_ROUND_TRIP] = {
        .name = "specasr_client_round_trip_seconds", .help = "Smoothed round-trip time.",
        .kind = METRIC_GAUGE, .decimals = 6},
    [CLIENT_METRIC_LAG] = {
        .name = "specasr_client_final_lag_seconds",
        .help = "End of speech to final text, as the user sees it.", .kind = METRIC_HISTOGRAM,
        .decimals = 6, .buckets = lag_us, .n_buckets = ARRAY_LEN(lag_us)},
    [CLIENT_METRIC_DRAFTED] = {
        .name = "specasr_client_draft_tokens_total", .help = "Tokens drafted.",
        .kind = METRIC_COUNTER},
    [CLIENT_METRIC_UNSENT] = {
        .name = "specasr_client_audio_unsent_seconds",
        .help = "Audio kept because no target has committed it.", .kind = METRIC_GAUGE,
        .decimals = 6},
};
