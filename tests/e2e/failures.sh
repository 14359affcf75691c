#!/bin/bash
# failures.sh BIN: programs that are absent, killed, frozen, full, told to end; on either side of the split.
. "${0%/*}/lib.sh"
cd "$work" || exit 2

# Speech of two windows, which are committed one by one.
long_files=("$books"/*0870.wav "$books"/*0880.wav "$books"/*0890.wav "$books"/*0920.wav "$books"/*0930.wav)
join_speech long.wav "${long_files[@]}" "${long_files[@]:0:3}"
long=$work/long.wav

# ---- a target that cannot start, or is not there ----

start_target first --model base --log-level debug || exit 2
first_pid=$target_pid; first=$address
port=${first##*:}
"$bin/target_node" --no-config --model tiny.en --listen "127.0.0.1:$port" >out 2>err; rc=$?
verdict "port in use" "$(why_not_refused 1 "^target_node: error: .*127.0.0.1:$port is in use.*choose another port")"
"$bin/target_node" --no-config --model tiny.en --listen 192.0.2.1:7600 --allow-anonymous >out 2>err; rc=$?
verdict "an address of another machine" "$(why_not_refused 1 '192.0.2.1:7600 is no address of this machine')"
still_serves "after a second target on its port"

# A port that was free a moment ago.
free_port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
client_refused "target absent" 3 "^draft_node: error: no target answered.*127.0.0.1:$free_port.*Start target_node there" \
    --target "127.0.0.1:$free_port" --no-draft --deadline 1500ms "$good_file"
why=
[ "$(grep -c "warning: cannot reach 127.0.0.1:$free_port (.*): trying again for [12] s" err)" = 1 ] || why=$(cat err)
verdict "target absent: says so once" "$why"
# At once, not at the deadline.
"$bin/draft_node" --no-config --no-draft --target "127.0.0.1:$free_port" "$good_file" >out 2>err & client_pid=$!
begin=$(now_ms)
wait_for 20 grep -q "cannot reach 127.0.0.1:$free_port (.*): trying again for 30 s" err && [ $(($(now_ms) - begin)) -lt 5000 ] &&
    ! gone "$client_pid" && ok "target absent: says so at once" || fail "target absent: says so at once" "$(cat err)"
kill -KILL "$client_pid"; wait "$client_pid" 2>/dev/null
[ "$took_ms" -ge 1400 ] && [ "$took_ms" -lt 30000 ] && ok "target absent: within its deadline" ||
    fail "target absent: within its deadline" "$took_ms ms for a deadline of 1.5 s"
client_refused "no such host" 3 'no target answered.*nowhere.invalid' \
    --target nowhere.invalid:7600 --no-draft --deadline 1s "$good_file"
client --target "127.0.0.1:$free_port,$first" --no-draft "$good_file"
verdict "first of two targets absent" "$(why_not_text "$good_text")"

# ---- undisturbed, for comparison ----

before=$(ticks_of "$first_pid")
client --target "$first" --format json "$long"
json "r[0]['tokens']" >undisturbed
work_ticks=$(($(ticks_of "$first_pid") - before))
why=; [ "$rc" = 0 ] || why="exit code $rc: $(cat err)"
[ "$(json "len(r[0]['tokens']) > 100 and r[0]['stats']['resumes'] == 0")" = True ] || why=$(json "r[0]['stats']")
verdict "long audio, undisturbed" "$why"

# Runs the client (interruptible, which bash denies to a background job) on the long audio in the background; waits
# until the target, which logs at the level debug, has done a share of the work. An idle target measures its costs: only
# what it uses behind the opening is work on the utterance.
has_opened() { [ "$(grep -c 'session opened' "$1")" -gt "$2" ]; } # LOG BEFORE
begin_long() { # SHARE_PERCENT PID TARGETS [MORE_FILES...]
    local share=$1 pid=$2 targets=$3; shift 3
    local from before; before=$(grep -c 'session opened' "${log_of[$pid]}")
    env --default-signal=INT "$bin/draft_node" --no-config --target "$targets" --format json "$long" "$@" >out 2>err &
    client_pid=$!
    wait_for "$limit" has_opened "${log_of[$pid]}" "$before" || fail "begin_long" "no session: $(cat err)"
    from=$(ticks_of "$pid")
    wait_for "$limit" has_used "$pid" $((from + work_ticks * share / 100)) || fail "begin_long" "the target does not work"
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

# ---- killed in the middle, at the same port again ----

target_pid=$first_pid
for share in 10 35 60; do
    begin_long $share "$target_pid" "127.0.0.1:$port"
    gone "$client_pid" && fail "killed at $share %" "the client ended before the target was killed: $(cat err)"
    kill -KILL "$target_pid"; wait "$target_pid" 2>/dev/null
    start_target "again_$share" --model base --log-level debug --listen "127.0.0.1:$port" || exit 2
    end_long "target killed at $share % and restarted: same text" "r[0]['stats']['resumes'] >= 1"
done
first_pid=$target_pid; first=$address

# Killed for good: the client says so within its deadline.
timeout -k 5 300 "$bin/draft_node" --no-config --target "$first" --no-draft --deadline 2 "$long" >out 2>err & client_pid=$!
from=$(ticks_of "$first_pid")
wait_for "$limit" has_used "$first_pid" $((from + work_ticks / 5))
kill -KILL "$first_pid"; wait "$first_pid" 2>/dev/null
wait "$client_pid"; rc=$?
why=; [ "$rc" = 3 ] || why="exit code $rc"
tail -n 1 err | grep -q "no target answered.*$first" || why="$why $(cat err)"
[ ! -s out ] || why="stdout: $(cat out)"
verdict "target killed for good" "$why"

# ---- frozen, and another one takes over ----

start_target frozen --model base --log-level debug || exit 2
frozen_pid=$target_pid; frozen=$address
start_target second --model base || exit 2
second_pid=$target_pid; second=$address
begin_long 40 "$frozen_pid" "$frozen,$second"
kill -STOP "$frozen_pid"
end_long "target frozen, the second takes over: same text" \
    "r[0]['stats']['resumes'] >= 1 and '$second' in r[0]['stats']['targets']"
kill -CONT "$frozen_pid"
address=$frozen; still_serves "thawed target"

# ---- told to end ----

# What is under way is finished there within the grace time, or by the second target; what is new begins there.
begin_long 40 "$frozen_pid" "$frozen,$second" "$good_file"
begin=$(now_ms)
kill -TERM "$frozen_pid"
wait "$frozen_pid"; rc=$?; took_ms=$(($(now_ms) - begin))
why=; [ "$rc" = 0 ] || why="exit code $rc: $(tail -n 3 frozen.log)"
[ "$took_ms" -le 5500 ] || why="$why ended after $took_ms ms"
verdict "SIGTERM while serving: ends within 5 s" "$why"
end_long "SIGTERM while serving: same text, and the next file by the second target" \
    "r[1]['stats']['targets'] == ['$second'] and r[1]['text'] == '$good_text'"

# Begins a short utterance on a target of its own. An idle target measures its costs: only what it uses behind the
# opening is work on the utterance.
begin_short() { # NAME
    start_target "$1" --model base --log-level debug || exit 2
    "$bin/draft_node" --no-config --no-draft --deadline 3s --target "$address" "$good_file" >out 2>err & client_pid=$!
    wait_for "$limit" grep -q 'session opened' "$1.log"
    local from; from=$(ticks_of "$target_pid")
    wait_for "$limit" has_used "$target_pid" $((from + 20)) || fail "begin_short" "the target does not work"
}
begin_short drained
begin=$(now_ms)
kill -TERM "$target_pid"
wait "$client_pid"; rc=$?
why=$(why_not_text "$good_text"); wait "$target_pid"; rc=$?; took_ms=$(($(now_ms) - begin))
[ "$rc" = 0 ] || why="$why target: exit code $rc"
[ "$took_ms" -le 5500 ] || why="$why ended after $took_ms ms"
verdict "SIGTERM: an utterance under way is finished" "$why"

# A second signal ends it at once (exit code 0: it had finished before).
begin_short impatient
kill -TERM "$target_pid"
finishing() { grep -q finishing impatient.log || gone "$target_pid"; }
wait_for "$limit" finishing
kill -TERM "$target_pid" 2>/dev/null
begin=$(now_ms)
wait "$target_pid" 2>/dev/null; rc=$?; took_ms=$(($(now_ms) - begin))
why=; [[ $rc =~ ^(143|0)$ ]] || why="exit code $rc"
[ "$took_ms" -le 2000 ] || why="$why ended after $took_ms ms"
verdict "SIGTERM twice: ends at once" "$why"
wait "$client_pid" 2>/dev/null

# ---- sessions ----

start_target single --model base --sessions 1 --log-level debug || exit 2
# A session that lives as long as we like: live audio from a pipe.
hold() {
    mkfifo "$1"
    "$bin/draft_node" --no-config --no-draft --target "$address" - <"$1" >/dev/null 2>"$1.err" & holder=$!
}
opened() { [ "$(grep -c 'session opened' single.log)" -ge "$1" ]; }
hold pipe1; exec 5>pipe1
wait_for "$limit" opened 1 || fail "hold" "no session: $(cat pipe1.err single.log)"
client_refused "sessions full" 3 'all 1 sessions of this target are taken' \
    --target "$address" --no-draft --deadline 1s "$good_file"
kill -KILL "$holder"; wait "$holder" 2>/dev/null; exec 5>&-
client --target "$address" --no-draft "$good_file"
verdict "client killed: its session is freed" "$(why_not_text "$good_text")"

hold pipe2; exec 5>pipe2
wait_for "$limit" opened 3 || fail "hold" "no second session: $(cat pipe2.err)"
kill -STOP "$holder"
client --target "$address" --no-draft "$good_file"
verdict "client frozen: its session is freed" "$(why_not_text "$good_text")"
kill -KILL "$holder"; wait "$holder" 2>/dev/null; exec 5>&-

# Killed in the middle of an utterance.
begin_long 20 "$target_pid" "$address"
kill -KILL "$client_pid"; wait "$client_pid" 2>/dev/null
client --target "$address" --no-draft "$good_file"
verdict "client killed in an utterance: its session is freed" "$(why_not_text "$good_text")"

# Interrupted: ends at once, with the code of the signal.
begin_long 20 "$target_pid" "$address"
begin=$(now_ms)
kill -INT "$client_pid"
wait_for 60 gone "$client_pid" || kill -KILL "$client_pid"
wait "$client_pid" 2>/dev/null; rc=$?; took_ms=$(($(now_ms) - begin))
why=; [ "$rc" = 130 ] || why="exit code $rc"
[ "$took_ms" -le 3000 ] || why="$why after $took_ms ms"
[ ! -s out ] || why="$why stdout: $(cat out)"
verdict "SIGINT ends the client at once" "$why"

# ---- several at once ----

address=$second
for card in 001 002 004 005; do
    timeout -k 5 "$limit" "$bin/draft_node" --no-config --target "$second" "$cards/$card.wav" >"out.$card" 2>"err.$card" &
    eval "at_once_$card=$!"
done
for card in 001 002 004 005; do
    pid=at_once_$card; wait "${!pid}"; rc=$?
    why=; [ "$rc" = 0 ] || why="exit code $rc: $(cat "err.$card")"
    [ "$(cat "out.$card")" = "$(text_of "$card")" ] || why="$why '$(cat "out.$card")'"
    verdict "four clients at once: $card" "$why"
done
e2e_finish
