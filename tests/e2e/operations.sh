#!/bin/bash
# operations.sh BIN: what operators see and do: metrics, probes, session dumps, tickets and keys.
. "${0%/*}/lib.sh"
cd "$work" || exit 2
export XDG_CACHE_HOME=$work/cache # what clients remember of the cluster; the models are linked
mkdir -p "$XDG_CACHE_HOME/specasr"
ln -s "$cache"/*.gguf "$XDG_CACHE_HOME/specasr/"

port_in() { sed -n 's/.*metrics on port \([0-9]*\).*/\1/p' "$1" | head -n 1; }
# Sets code and answer.
get() { # PORT PATH
    code=$(curl -s -o answer -w '%{http_code}' "http://127.0.0.1:$1$2"); answer=$(cat answer)
}
# A series' value: NAME or NAME{labels}
series() { awk -v name="$1" '$1 == name {print $2}' answer; }
expect() { # CASE ACTUAL EXPECTED
    verdict "$1" "$([ "$2" = "$3" ] || echo "'$2' instead of '$3'")"
}
is_above() { # CASE ACTUAL LIMIT
    verdict "$1" "$(awk -v a="$2" -v b="$3" 'BEGIN {exit !(a != "" && a + 0 > b)}' || echo "'$2' is not above $3")"
}
shows_up() { get "$target_metrics" /metrics && [ "$(series specasr_target_coordinator_up)" = 1 ]; }

# ---- a coordinator and a target that show themselves ----

"$bin/coordinator" --no-config --heartbeat 200ms --latency-goal 1ms --listen 127.0.0.1:0 --metrics 127.0.0.1:0 2>coordinator.log & coordinator_pid=$!
wait_for 20 listens_or_ended coordinator.log "$coordinator_pid" || exit 2
coordinator=$(address_in coordinator.log)
coordinator_metrics=$(port_in coordinator.log)
start_target target --model tiny.en --metrics :0 --coordinator "$coordinator" || exit 2
target_metrics=$(port_in target.log)

get "$target_metrics" /healthz; expect "target: healthy" "$code $answer" "200 ok"
get "$target_metrics" /readyz; expect "target: ready" "$code $answer" "200 ready"
get "$target_metrics" /nothing; expect "another path" "$code" 404
get "$coordinator_metrics" /readyz; expect "coordinator: ready" "$code $answer" "200 ready"
wait_for 20 shows_up; expect "the target hears its coordinator" "$(series specasr_target_coordinator_up)" 1

client --coordinator "$coordinator" --no-draft "$good_file"
expect "a client" "$rc" 0
get "$target_metrics" /metrics
cp answer target.metrics
expect "sessions opened" "$(series specasr_target_sessions_opened_total)" 1
expect "windows committed" "$(series 'specasr_target_windows_total{outcome="commit"}')" 1
expect "utterances with a final lag" "$(series 'specasr_target_final_lag_seconds_count{mode="alone"}')" 1
expect "places" "$(series specasr_target_sessions_max)" 64
is_above "passes" "$(series specasr_target_passes_total)" 3
is_above "rows" "$(series specasr_target_rows_total)" 3
is_above "tokens committed" "$(series specasr_target_tokens_committed_total)" 3
is_above "audio received" "$(series specasr_target_audio_seconds_total)" 1
is_above "time in the encoder" "$(series 'specasr_target_busy_seconds_total{work="encode"}')" 0
is_above "memory" "$(series process_resident_memory_bytes)" 1000000
verdict "model and version" "$(grep -q '^specasr_target_info{model="whisper-tiny.en",fingerprint="[0-9a-f]\{16\}"} 1' answer &&
    grep -q '^specasr_build_info{program="target_node",version=' answer || grep _info answer)"
if command -v promtool >/dev/null; then
    promtool check metrics <target.metrics >lint 2>&1; rc=$? # 3: a matter of style
    verdict "promtool reads the target's metrics" "$([ "$rc" = 0 ] || [ "$rc" = 3 ] || head -n 3 lint)"
fi
get "$coordinator_metrics" /metrics
expect "coordinator: targets serving" "$(series 'specasr_coordinator_targets{state="serving"}')" 1
expect "coordinator: placed" "$(series 'specasr_coordinator_placed_total{outcome="placed"}')" 1
is_above "coordinator: heartbeats" "$(series 'specasr_coordinator_heartbeats_total{result="known"}')" 0

# ---- the policy: a window takes longer than the goal, so rows become dearer, while the coordinator says so ----

is_dear() { get "$target_metrics" /metrics && awk -v p="$(series specasr_target_shadow_price)" 'BEGIN {exit !(p > 1.2)}'; }
is_own() { get "$target_metrics" /metrics && [ "$(series specasr_target_shadow_price)" = 1 ]; }
wait_for 30 is_dear && ok "the target takes the coordinator's price" || fail "the target takes the coordinator's price" "$(grep shadow answer)"
expect "and its latency goal" "$(series specasr_target_latency_goal_seconds)" 0.001
kill -STOP "$coordinator_pid"
wait_for 30 is_own && ok "a frozen coordinator: the own price" || fail "a frozen coordinator: the own price" "$(grep shadow answer)"
kill -CONT "$coordinator_pid"
wait_for 30 is_dear && ok "thawed: its price again" || fail "thawed: its price again" "$(grep shadow answer)"

# ---- the view of a target ----

"$bin/target_node" --no-config top "127.0.0.1:$target_metrics" --json >out 2>err; expect "top --json" "$? $(json 'r[0]["sessions_opened"]')" "0 1"
verdict "top" "$(timeout 20 "$bin/target_node" --no-config top ":$target_metrics" --interval 100ms 2>err | head -n 13 | tail -n 1 |
    grep -q '^target_node .*: ready, whisper-tiny.en [0-9a-f]\{16\}$' || cat err)"
"$bin/target_node" --no-config top "127.0.0.1:$coordinator_metrics" >out 2>err; rc=$?
verdict "top of a coordinator" "$(why_not_refused 1 "is no target_node's --metrics")"
"$bin/target_node" --no-config top 127.0.0.1:1 >out 2>err; rc=$?
verdict "top of nobody" "$(why_not_refused 3 'cannot reach 127.0.0.1:1')"
"$bin/target_node" --no-config top >out 2>err; rc=$?
verdict "top of what?" "$(why_not_refused 2 'top takes the HOST:PORT')"

# ---- a live client that shows itself; the sessions of a target on demand ----

mkfifo live
"$bin/draft_node" --no-config --target "$address" --model tiny.en --metrics :0 - <live >out 2>err & client_pid=$!
exec 7>live
shows_metrics() { client_metrics=$(port_in err); [ -n "$client_metrics" ]; }
wait_for 20 shows_metrics || fail "a client's metrics" "$(cat err)"
is_ready() { get "$client_metrics" /readyz; [ "$code" = 200 ]; }
wait_for 20 is_ready; expect "client: ready with a session" "$code $answer" "200 ready"
{ tail -c +45 "$good_file"; head -c 64000 /dev/zero; } >&7
has_text() { get "$client_metrics" /metrics; [ "$(series specasr_client_final_lag_seconds_count)" = 1 ]; }
wait_for "$limit" has_text
expect "client: one final text" "$(series specasr_client_final_lag_seconds_count)" 1
is_above "client: tokens drafted" "$(series specasr_client_draft_tokens_total)" 3
expect "client: sessions" "$(series specasr_client_sessions)" 1
verdict "client: its version" "$(grep -q '^specasr_build_info{program="draft_node",version=' answer || cat answer)"
has_session() { get "$target_metrics" /metrics; [ "$(series specasr_target_sessions)" = 1 ]; }
wait_for 20 has_session
kill -USR1 "$target_pid"
verdict "a dump of the sessions" "$(wait_for 20 grep -qE 'session [0-9a-f]{32}: .*, (no Open yet|idle|working), [0-9.]+ s, epoch [0-9]+, [0-9]+ windows' target.log ||
    grep session target.log)"
exec 7>&-
wait "$client_pid"; expect "the live text" "$(cat out)" "$(client --target "$address" --model tiny.en "$good_file"; cat out)"
"$bin/draft_node" --no-config --target 127.0.0.1:1 --no-draft --metrics :0 "$good_file" >out 2>err & client_pid=$!
wait_for 20 shows_metrics; get "$client_metrics" /readyz
expect "client: not ready without a target" "$code $answer" "503 no session with a target"
lost_one() { get "$client_metrics" /metrics; [ "$(series 'specasr_client_reconnects_total{reason="cut"}')" -ge 1 ]; }
wait_for 20 lost_one && ok "client: a call that failed" || fail "client: a call that failed" "$(grep reconnects answer)"
kill "$client_pid"; wait "$client_pid"

# ---- the health service of gRPC ----

expect "health of a target" "$("$helpers/health" "$address" "")" SERVING
expect "health of its service" "$("$helpers/health" "$address" specasr.v1.Verify)" SERVING
expect "health of the coordinator" "$("$helpers/health" "$coordinator" specasr.v1.Coordinator)" SERVING
verdict "health of what is not there" "$("$helpers/health" "$address" other | grep -q 'only the health of' || echo "not refused")"

"$helpers/health" "$address" specasr.v1.Verify --watch >watched & watch_pid=$!
"$helpers/health" "$address" other --watch >watched_other &
verdict "watching a target" "$(wait_for 20 grep -qx SERVING watched || cat watched)"
verdict "watching what is not there" "$(wait_for 20 grep -qx SERVICE_UNKNOWN watched_other || cat watched_other)"

# ---- the end ----

get "$target_metrics" /readyz; expect "still ready after a dump" "$code" 200
"$bin/target_node" --no-config --model tiny.en --listen 127.0.0.1:0 --metrics "127.0.0.1:$target_metrics" >out 2>err; rc=$?
verdict "the port of the metrics in use" "$(why_not_refused 1 '^target_node: error: --metrics: .*in use')"
kill "$target_pid"; wait "$target_pid"; expect "the target ends" $? 0
wait "$watch_pid"; expect "who watched was told before" "$(head -n 2 watched | tr '\n' ' ')" "SERVING NOT_SERVING "
kill "$coordinator_pid"; wait "$coordinator_pid"; expect "the coordinator ends" $? 0

# ---- structured logs: sessions and traces, never what was said ----

trace=0af7651916cd43dd8448eb211c80319c
logs=(--log-format json --log-level debug)
"$bin/coordinator" --no-config "${logs[@]}" --heartbeat 200ms --listen 127.0.0.1:0 2>json_coordinator.log & coordinator_pid=$!
wait_for 20 listens_or_ended json_coordinator.log "$coordinator_pid"
coordinator=$(address_in json_coordinator.log)
start_target json_target "${logs[@]}" --model base --coordinator "$coordinator" || exit 2
client --coordinator "$coordinator" --model tiny.en "${logs[@]}" --traceparent "00-$trace-b7ad6b7169203331-01" "$good_file"
cp err json_client.log; cp out said
expect "with structured logs" "$(cat said)" "$good_text"
TRACEPARENT=nonsense client --target "$address" --no-draft "$good_file"
verdict "a bad \$TRACEPARENT is left out" "$([ "$rc" = 0 ] && grep -q 'no traceparent' err || echo "exit code $rc: $(cat err)")"
kill "$target_pid" "$coordinator_pid"; wait "$target_pid" "$coordinator_pid"
verdict "each line is an object, sessions agree, nothing was said" "$(/usr/bin/python3 - "$trace" "$good_text" 2>&1 <<'PYTHON'
import json, sys
trace, said = sys.argv[1:]
logs = {n: [json.loads(line) for line in open(f"json_{n}.log")] for n in ("coordinator", "target", "client")}
for name, lines in logs.items():
    assert len(lines) > (0 if name == "client" else 3), (name, lines)
    for line in lines:
        assert {"time", "level", "program", "message"} <= set(line), line
    text = " ".join(line["message"].lower() for line in lines)
    assert not any(word in text for word in ("spades", "hearts", said.lower())), name
def of(name, what):
    return [line for line in logs[name] if what in line["message"] and line.get("trace") == trace]
placed, ended = of("coordinator", "placed at"), of("target", "ended (")
assert len(placed) == 1 and len(ended) == 1, (placed, ended)
assert placed[0]["session"] == ended[0]["session"] and len(ended[0]["session"]) == 32
assert {line.get("session") for line in logs["client"]} <= {None, ended[0]["session"]}
PYTHON
)"
verdict "no words in any log" "$(grep -liE 'spades|of hearts' ./*.log err)"

# ---- options that are read again ----

printf 'latency-goal = 100ms\nlog-level = info\n' >live.conf
"$bin/coordinator" --config live.conf --listen 127.0.0.1:0 2>live.log & coordinator_pid=$!
wait_for 20 listens_or_ended live.log "$coordinator_pid"
coordinator=$(address_in live.log)
goal() { "$bin/coordinator" --no-config status --coordinator "$coordinator" --json >out 2>err; json 'r[0]["policy"]["latency_goal_ms"]'; }
expect "the goal of the file" "$(goal)" 100
printf 'latency-goal = 250ms\nheartbeat = 1s\n' >live.conf
kill -HUP "$coordinator_pid"; wait_for 20 grep -q 'taken: --latency-goal' live.log
expect "the goal after SIGHUP" "$(goal)" 250
verdict "what needs a restart is named" "$(grep -q 'needs a restart: --heartbeat$' live.log || cat live.log)"
echo 'latency-goal = soon' >live.conf
kill -HUP "$coordinator_pid"; wait_for 20 grep -q 'live.conf:1: .*going on with the options' live.log
expect "the goal after a bad file" "$(goal)" 250
kill "$coordinator_pid"; wait "$coordinator_pid"

# ---- drafts made at the target, for clients that have none ----

# A slow model of words, so that drafts pay whatever this machine does beside; the coordinator may forbid them.
printf 'encode 20\nrows ms\n1 20\n64 24\n' >slow.pace
printf 'modes = all\n' >modes.conf
"$bin/coordinator" --config modes.conf --heartbeat 200ms --listen 127.0.0.1:0 2>modes.log & coordinator_pid=$!
wait_for 20 listens_or_ended modes.log "$coordinator_pid"
start_target colocated --model toy:1 --pace slow.pace --draft-model toy:2:0.1 --metrics :0 --coordinator "$(address_in modes.log)" || exit 2
target_metrics=$(port_in colocated.log)
lags() { get "$target_metrics" /metrics; series "specasr_target_final_lag_seconds_count{mode=\"$1\"}"; }
passes_for() { client --target "$address" --no-draft --format json "$good_file"; json 'r[0]["stats"]["passes"]'; }
near=$(passes_for); near_text=$(json 'r[0]["text"]')
expect "a text with co-located drafts" "$(lags colocated) $(lags alone)" "1 0"
is_above "the draft model's time" "$(series 'specasr_target_busy_seconds_total{work="draft"}')" 0
printf 'modes = split\n' >modes.conf
kill -HUP "$coordinator_pid"; wait_for 20 grep -q 'taken: --modes' modes.log
forbidden() { passes_for >/dev/null; [ "$(lags alone)" -gt 0 ]; }
wait_for 20 forbidden && ok "co-located drafts forbidden" || fail "co-located drafts forbidden" "$(cat answer)"
alone=$(json 'r[0]["stats"]["passes"]')
expect "the same text without them" "$(json 'r[0]["text"]')" "$near_text"
verdict "fewer passes with them" "$([ "$near" -lt "$alone" ] || echo "$near, $alone without")"
kill "$target_pid" "$coordinator_pid"; wait "$target_pid"; expect "such a target ends" $? 0; wait "$coordinator_pid"

# ---- nobody unnamed beyond this machine ----

"$bin/target_node" --no-config --model tiny.en --listen 0.0.0.0:0 >out 2>err; rc=$?
verdict "a target for everyone" "$(why_not_refused 2 '^target_node: --listen is not loopback.*--allow-anonymous')"
"$bin/coordinator" --no-config --listen 0.0.0.0:0 --ticket-key x >out 2>err; rc=$?
verdict "a coordinator for everyone" "$(why_not_refused 2 '^coordinator: --listen is not loopback.*--allow-anonymous')"
"$bin/coordinator" --no-config --listen 0.0.0.0:0 --api-keys x >out 2>err; rc=$?
verdict "API keys alone" "$(why_not_refused 2 '^coordinator: .*API keys guard placement alone.*--tls-client-ca')"
"$bin/coordinator" --no-config --listen 0.0.0.0:0 --join-keys x --tls-certificate x --tls-key x >out 2>err; rc=$?
verdict "join keys alone" "$(why_not_refused 2 '^coordinator: .*would be placed.*--api-keys')"
"$bin/coordinator" --no-config --listen 0.0.0.0:0 --join-keys x --api-keys x >out 2>err; rc=$?
verdict "keys without TLS" "$(why_not_refused 2 '^coordinator: .*plain text')"
"$bin/target_node" --no-config --model tiny.en --coordinator far.example:7700 --join-key-file x >out 2>err; rc=$?
verdict "a join key without TLS" "$(why_not_refused 2 '^target_node: .*plain text')"
start_target anyone --model tiny.en --listen 0.0.0.0:0 --allow-anonymous && ok "allowed" || fail "allowed" "no start"
kill "$target_pid"; wait "$target_pid"

# ---- tickets and API keys ----

"$bin/coordinator" make-keys keys >out 2>err; expect "make-keys" $? 0
expect "who may read the secret key" "$(stat -c %a keys/ticket-signer.keys)" 600
"$bin/coordinator" make-keys keys >out 2>err; rc=$?
verdict "keys are not overwritten" "$(why_not_refused 1 'ticket-signer.keys exists')"
umask 077
key=sak_$(openssl rand -hex 32); printf '%s\n' "$key" >team.key; echo sak_wrong >wrong.key
entry="team $(printf %s "$key" | b2sum -l 256 | cut -d' ' -f1)"
echo "$entry 1 -" >api.keys
join_key=sak_$(openssl rand -hex 32); printf '%s\n' "$join_key" >join.key
echo "rack $(printf %s "$join_key" | b2sum -l 256 | cut -d' ' -f1) - -" >join.keys
"$bin/coordinator" --no-config --heartbeat 200ms --listen 127.0.0.1:0 --metrics :0 --ticket-key keys/ticket-signer.keys \
    --api-keys api.keys --join-keys join.keys 2>signing.log & coordinator_pid=$!
wait_for 20 listens_or_ended signing.log "$coordinator_pid"
coordinator=$(address_in signing.log); coordinator_metrics=$(port_in signing.log)
start_target guarded --model tiny.en --metrics :0 --coordinator "$coordinator" --ticket-key keys/ticket-public.keys \
    --api-keys api.keys --join-key-file join.key || exit 2
target_metrics=$(port_in guarded.log)
wait_for 20 shows_up
client_refused "no ticket" 1 'asks for a ticket: get one with --coordinator' --target "$address" --no-draft "$good_file"
client_refused "no API key" 1 'this coordinator asks for a key: give --api-key-file' --coordinator "$coordinator" --no-draft "$good_file"
client_refused "a wrong API key" 1 'API key is not known here' --coordinator "$coordinator" --api-key-file wrong.key --no-draft "$good_file"
client --coordinator "$coordinator" --api-key-file team.key --no-draft "$good_file"
expect "a key and its ticket" "$rc" 0
get "$target_metrics" /metrics
expect "refused for want of a ticket" "$(series 'specasr_target_sessions_refused_total{reason="ticket"}')" 1
is_above "audio of the key" "$(series 'specasr_key_audio_seconds_total{key="team"}')" 1
get "$coordinator_metrics" /metrics
expect "tickets signed" "$(series specasr_coordinator_tickets_total)" 1
expect "places refused" "$(series 'specasr_coordinator_placed_total{outcome="refused"}')" 2
"$bin/coordinator" --no-config status --coordinator "$coordinator" >out 2>err; rc=$?
verdict "status without a join key" "$(why_not_refused 1 'asks for a key: give --join-key-file')"
"$bin/coordinator" --no-config drain "$address" --coordinator "$coordinator" --join-key-file team.key >out 2>err; rc=$?
verdict "a client's key drains nobody" "$(why_not_refused 1 'API key is not known here')"
"$bin/coordinator" --no-config status --coordinator "$coordinator" --join-key-file join.key >out 2>err
verdict "status with it" "$([ $? = 0 ] && grep -q "^$address .*serving" out || cat out err)"

read_again() { [ "$(grep -c 'keys were read again' "$1")" = "$2" ]; }
echo "$entry - 1" >api.keys # a second of audio a day: used up
kill -HUP "$target_pid"
wait_for 20 read_again guarded.log 1 && ok "the target reads keys again" || fail "the target reads keys again" "$(tail -n 3 guarded.log)"
client --coordinator "$coordinator" --api-key-file team.key --no-draft --deadline 1500ms "$good_file"
verdict "the day's audio is used up" "$([ "$rc" = 3 ] && grep -q 'audio' err || echo "exit code $rc: $(cat err)")"
echo "other ${entry#team } - -" >api.keys; echo "# nobody" >>api.keys
kill -HUP "$coordinator_pid" "$target_pid"
wait_for 20 read_again signing.log 1 && wait_for 20 read_again guarded.log 2
client --coordinator "$coordinator" --api-key-file team.key --no-draft "$good_file"
expect "the key under another name" "$rc" 0
echo "broken" >api.keys
kill -HUP "$coordinator_pid"
wait_for 20 grep -q 'going on with the keys from before' signing.log && ok "a broken file" || fail "a broken file" "$(tail -n 3 signing.log)"
client --coordinator "$coordinator" --api-key-file team.key --no-draft "$good_file"
expect "the keys from before" "$rc" 0
mkdir second; "$bin/coordinator" make-keys second/keys; cp second/keys/ticket-public.keys keys/ticket-public.keys
kill -HUP "$target_pid"; wait_for 20 grep -q 'api.keys.*going on with' guarded.log
client --coordinator "$coordinator" --api-key-file team.key --no-draft "$good_file"
verdict "a key that was taken away" "$([ "$rc" = 1 ] && grep -q ticket err || echo "exit code $rc: $(cat err)")"
verdict "keys are in no log" "$(grep -l -e "$key" -e "$join_key" ./*.log err out)"
e2e_finish
