#!/bin/bash
# cluster.sh BIN: a coordinator, two targets and clients; each of them killed, drained, lost and back.
. "${0%/*}/lib.sh"
cd "$work" || exit 2
export XDG_CACHE_HOME=$work/cache # what clients remember of the cluster; the models are linked
mkdir -p "$XDG_CACHE_HOME/specasr"
ln -s "$cache"/*.gguf "$XDG_CACHE_HOME/specasr/"

join_speech long.wav "$books"/*0870.wav "$books"/*0880.wav "$books"/*0890.wav "$books"/*0920.wav
long=$work/long.wav

# Sets coordinator_pid and coordinator.
start_coordinator() { # NAME ARGUMENTS...
    local name=$1; shift
    "$bin/coordinator" --no-config --heartbeat 200ms "$@" 2>"$work/$name.log" & coordinator_pid=$!
    wait_for 20 listens_or_ended "$work/$name.log" "$coordinator_pid"
    coordinator=$(address_in "$work/$name.log")
    [ -n "$coordinator" ] || { echo "$0: no coordinator:" >&2; cat "$work/$name.log" >&2; exit 2; }
}
# An expression over the list `t` of targets and the whole picture `s`.
cluster() {
    "$bin/coordinator" status --no-config --json --coordinator "$coordinator" 2>/dev/null | /usr/bin/python3 -c '
import json, sys
s = json.load(sys.stdin)
t = s["targets"]
print(eval("(" + sys.argv[1] + ")"))' "$1" 2>/dev/null
}
cluster_is() { [ "$(cluster "$1")" = True ]; } # EXPRESSION
shows() { wait_for "$limit" cluster_is "$2" && ok "$1" || fail "$1" "$("$bin/coordinator" status --coordinator "$coordinator" 2>&1)"; }

# ---- nobody there yet ----

"$bin/coordinator" status --no-config --coordinator 127.0.0.1:1 >out 2>err; rc=$?
verdict "status without a coordinator" "$(why_not_refused 3 '^coordinator: error: cannot reach 127.0.0.1:1')"
"$bin/coordinator" frobnicate >out 2>err; rc=$?
verdict "a word that is no command" "$(why_not_refused 2 '"frobnicate" is no command')"
client_refused "no coordinator and nothing known" 3 'no coordinator answers \(.*127.0.0.1:1: .*name a target with --target' \
    --coordinator 127.0.0.1:1 --no-draft "$good_file"

start_coordinator first
port=${coordinator##*:}
shows "an empty cluster" "len(t) == 0 and s['policy']['shadow_price'] == 1"
client --coordinator "$coordinator" --no-draft --deadline 1s "$good_file"
why=; [ "$rc" = 3 ] || why="exit code $rc"
head -n 1 err | grep -q 'warning: coordinator: no target has registered.*: asking again for 1 s' || why="$why $(cat err)"
tail -n 1 err | grep -q 'error: no place within 1 s: no target has registered' || why="$why $(cat err)"
[ "$took_ms" -ge 1000 ] || why="$why after $took_ms ms"
verdict "no target within the deadline" "$why"

# ---- two targets ----

start_target a --model tiny.en -t 1 --coordinator "$coordinator" --sessions 8 --log-level debug || exit 2
a=$address; a_pid=$target_pid
start_target b --model tiny.en -t 1 --coordinator "$coordinator" --sessions 8 --log-level debug || exit 2
b=$address; b_pid=$target_pid
shows "both registered and serving" "sorted(x['address'] for x in t) == sorted(['$a', '$b']) and
    all(x['state'] == 'serving' and x['model'] == 'whisper-tiny.en' and x['sessions_max'] == 8 for x in t)"
client --target "$a" --no-draft --format json "$long"
json "r[0]['tokens']" >undisturbed
undisturbed_ms=$took_ms
[ "$rc" = 0 ] || fail "undisturbed" "$(cat err)"
client --coordinator "$coordinator" --format json "$long"
why=; [ "$rc" = 0 ] || why="exit code $rc: $(cat err)"
[ "$(json "r[0]['tokens']")" = "$(cat undisturbed)" ] || why="another text"
[ "$(json "r[0]['stats']['targets'][0] in ['$a', '$b']")" = True ] || why="targets: $(json "r[0]['stats']")"
verdict "a client is placed, the text is the same" "$why"
shows "the placement is counted, the window's time reported" \
    "s['placed'] >= 1 and any(x['window_us'] > 1000 for x in t)"
"$bin/coordinator" status --coordinator "$coordinator" >out 2>err; rc=$?
[ "$rc" = 0 ] && grep -Eq "^$a +whisper-tiny.en +[0-9a-f]{16} +serving" out && ok "status: a table" || fail "status: a table" "$(cat out err)"

# Eight clients at once: all end well, nobody holds more than six of them.
pids=()
for i in 1 2 3 4 5 6 7 8; do
    "$bin/draft_node" --no-config --no-draft --coordinator "$coordinator" "$cards/005.wav" >"many.$i" 2>&1 & pids+=($!)
done
why=
for pid in "${pids[@]}"; do wait "$pid" || why="a client ended with $?"; done
[ "$(sort -u many.* | wc -l)" = 1 ] || why="$why texts differ: $(cat many.*)"
verdict "eight clients at once" "$why"
shows "and both targets had some" "all(x['placed'] >= 1 for x in t)"

# ---- a drain ----

"$bin/coordinator" drain "$a" --coordinator "$coordinator" >out 2>err; rc=$?
[ "$rc" = 0 ] || fail "drain" "exit code $rc: $(cat err)"
shows "drained" "[x['state'] for x in t if x['address'] == '$a'] == ['drained']"
for i in 1 2 3; do
    client --coordinator "$coordinator" --no-draft --format json "$good_file"
    [ "$(json "r[0]['stats']['targets'] == ['$b']")" = True ] || fail "drained: gets nothing" "$(json "r[0]['stats']")"
done
ok "drained: gets nothing"
wait_for 10 grep -q 'gives this target no more sessions' a.log && ok "drained: the target says so" || fail "drained: the target says so" "$(cat a.log)"
"$bin/coordinator" undrain "$a" --coordinator "$coordinator"
shows "back again" "all(x['state'] == 'serving' for x in t)"
"$bin/coordinator" drain 127.0.0.1:9 --coordinator "$coordinator" >out 2>err; rc=$?
verdict "drain of a stranger" "$(why_not_refused 1 'does not know a target 127.0.0.1:9')"

# ---- the coordinator dies in the middle, and comes back ----

# Begins the long audio in the background and waits until a target works on it: sets client_pid, used and used_pid.
sessions_opened() { cat a.log b.log | grep -c 'session opened'; }
has_opened() { [ "$(sessions_opened)" -gt "$1" ]; }
begin_long() { # ARGUMENTS...
    local before a_before b_before; before=$(sessions_opened)
    a_before=$(grep -c 'session opened' a.log); b_before=$(grep -c 'session opened' b.log)
    "$bin/draft_node" --no-config --no-draft --format json "$@" "$long" >out 2>err & client_pid=$!
    wait_for "$limit" has_opened "$before" || fail "begin_long" "no session: $(cat err)"
    used=$a; used_pid=$a_pid
    [ "$(grep -c 'session opened' b.log)" -gt "$b_before" ] && { used=$b; used_pid=$b_pid; }
    local from; from=$(ticks_of "$used_pid")
    wait_for "$limit" has_used "$used_pid" $((from + undisturbed_ms / 40))
    gone "$client_pid" && fail "begin_long" "the client has ended: $(cat err)"
}
end_long() { # NAME CONDITION (on the JSON)
    wait_for 300 gone "$client_pid" || kill -KILL "$client_pid"
    wait "$client_pid" 2>/dev/null; rc=$?
    local why=
    if [ "$rc" != 0 ]; then why="exit code $rc: $(cat err)"
    elif [ "$(json "r[0]['tokens']")" != "$(cat undisturbed)" ]; then why="another text: $(json "r[0]['text']")"
    elif [ "$(json "$2")" != True ]; then why="not $2: $(json "r[0]['stats']") $(cat err)"; fi
    verdict "$1" "$why"
}
begin_long --coordinator "$coordinator"
kill -KILL "$coordinator_pid"; wait "$coordinator_pid" 2>/dev/null
end_long "coordinator killed: a running session does not notice" "r[0]['stats']['resumes'] == 0"
client --coordinator "$coordinator" --no-draft --format json "$good_file"
why=; [ "$rc" = 0 ] || why="exit code $rc: $(cat err)"
grep -q 'using the targets of the last run' err || why="$why $(cat err)"
verdict "coordinator gone: a new client uses what it knows" "$why"
wait_for 20 grep -q 'serving without it' a.log && ok "coordinator gone: the target says so" || fail "coordinator gone: the target says so" "$(cat a.log)"
start_coordinator again --listen "127.0.0.1:$port"
shows "coordinator back: both register again" "sorted(x['address'] for x in t) == sorted(['$a', '$b'])"

# ---- the coordinator freezes: its kernel still answers ----

kill -STOP "$coordinator_pid"
client --coordinator "$coordinator" --no-draft --format json "$good_file"
why=; [ "$rc" = 0 ] || why="exit code $rc: $(cat err)"
grep -q 'using the targets of the last run' err || why="$why $(cat err)"
[ "$took_ms" -lt 15000 ] || why="$why after $took_ms ms"
verdict "coordinator frozen: a new client uses what it knows" "$why"
kill -CONT "$coordinator_pid"
shows "coordinator thawed: both are there" "all(x['state'] == 'serving' for x in t) and len(t) == 2"

# ---- warming up: known before its port is open, and nobody is sent there ----

late_port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkfifo slow.gguf # a model that is never there
"$bin/target_node" --no-config --model ./slow.gguf --listen "127.0.0.1:$late_port" --coordinator "$coordinator" 2>late.log &
late_pid=$!
shows "a target that loads its model is warming" \
    "[x['state'] for x in t if x['address'] == '127.0.0.1:$late_port'] == ['warming']"
client --coordinator "$coordinator" --no-draft --format json "$good_file"
[ "$(json "'127.0.0.1:$late_port' not in r[0]['stats']['targets']")" = True ] && ok "nobody is sent to it" || fail "nobody is sent to it" "$(cat out err)"
kill -KILL "$late_pid"; wait "$late_pid" 2>/dev/null
shows "and it is gone when it dies" "len(t) == 2"

# ---- a target dies in the middle ----

begin_long --coordinator "$coordinator"
other=$a; [ "$used" = "$a" ] && other=$b
kill -KILL "$used_pid"; wait "$used_pid" 2>/dev/null
end_long "target killed: its client goes on at the other" \
    "r[0]['stats']['resumes'] >= 1 and r[0]['stats']['targets'][-1] == '$other'"
shows "target killed: gone after three heartbeats" "[x['address'] for x in t] == ['$other']"
client --coordinator "$coordinator" --no-draft --format json "$good_file"
[ "$(json "r[0]['stats']['targets'] == ['$other']")" = True ] && ok "new clients go to the other" || fail "new clients go to the other" "$(cat out err)"

# It comes back at its address with a higher incarnation, and is told from its predecessor.
name=a; [ "$used" = "$b" ] && name=b
start_target "$name" --model tiny.en -t 1 --listen "$used" --coordinator "$coordinator" --sessions 8 --log-level debug || exit 2
used_pid=$target_pid
shows "target back" "sorted(x['address'] for x in t) == sorted(['$a', '$b'])"

# ---- a target goes ----

kill -TERM "$used_pid"
shows "SIGTERM: no sessions there from that moment" "all(x['state'] != 'serving' for x in t if x['address'] == '$used')"
client --coordinator "$coordinator" --no-draft --format json "$good_file"
[ "$(json "r[0]['stats']['targets'] == ['$other']")" = True ] && ok "nobody is sent there" || fail "nobody is sent there" "$(cat out err)"
wait "$used_pid" 2>/dev/null

# ---- two versions side by side: a canary gets its share, and is rolled back ----

"$bin/random_model" --like tiny.en --layers 1 --type q8_0 next.gguf >/dev/null 2>&1 || fail "a second version" "no model"
start_target next --model ./next.gguf -t 1 --coordinator "$coordinator" || exit 2
next=$address; short=$cards/003.wav
shows "two versions side by side" "len({x['fingerprint'] for x in t if x['state'] == 'serving'}) == 2"
version=$(cluster "[x['fingerprint'] for x in t if x['address'] == '$next'][0]")
coordinator_with() { # NAME ARGUMENTS...
    kill -TERM "$coordinator_pid"; wait "$coordinator_pid" 2>/dev/null
    start_coordinator "$1" --listen "127.0.0.1:$port" --canary "$version" "${@:2}"
    shows "$1: both versions serve" "len({x['fingerprint'] for x in t if x['state'] == 'serving'}) == 2"
}
goes_to() { # NAME TARGET
    client --coordinator "$coordinator" --no-draft --format json "$short"
    [ "$rc" = 0 ] && [ "$(json "r[0]['stats']['targets'] == ['$2']")" = True ] && ok "$1" || fail "$1" "exit code $rc: $(cat out err)"
}
client --target "$next" --no-draft --format json "$short"; json "r[0]['text']" >next.text
coordinator_with canary --canary-share 1
goes_to "a canary with all of the share gets the new sessions" "$next"
verdict "and they have its text" "$(json "r[0]['text']" | cmp - next.text 2>&1)"
coordinator_with rolled_back --canary-share 0
goes_to "rolled back: new sessions go to the old version" "$other"
goes_to "rolled back: each of them" "$other"

e2e_finish
