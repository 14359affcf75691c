#!/bin/bash
# sessions.sh BIN: a real model with 1, 2 and 8 sessions at once, each with another policy, language or temperature:
# every text is that of the target alone, and audits of all of them find nothing. A full target; a memory too small.
. "${0%/*}/lib.sh"
cd "$work" || exit 2
join_speech speech.wav "$books"/*0880.wav "$cards"/005.wav

# Options that decide the text, then those that only decide time.
text_options=(
    ""
    "--temperature 0.7 --seed 3"
    "--language de"
    "--timestamps"
    "--timestamps --language auto"
    "--no-fallback --temperature 0.4"
    "--language fr --timestamps"
    "--seed 7 --temperature 1 --timestamps"
)
time_options=(
    "--policy full"
    "--policy asp"
    "--no-draft"
    "--policy sparse"
    "--no-draft --codec pcm"
    "--policy spec:8 --lockstep"
    "--no-draft"
    "--policy asp+recycle --rows 7 --row-price 0"
)
transcribe() { # NUMBER OUT OPTIONS...
    local number=$1 out=$2; shift 2
    # shellcheck disable=SC2086 # options are words
    "$bin/draft_node" --no-config --target "$address" --threads 1 --format json ${text_options[$number]} "$@" \
        speech.wav >"$out" 2>"$out.err"
}
# Tokens and segments, without what only says how long it took.
texts() { /usr/bin/python3 -c '
import json, sys
row = json.loads(open(sys.argv[1], encoding="utf-8").read())
print(json.dumps([row["tokens"], row["segments"], row["language"]]))' "$1" 2>/dev/null || cat "$1.err"; }

start_target target --model base --audit 100% --metrics 127.0.0.1:0 --memory 2G || exit 2
for i in "${!text_options[@]}"; do
    transcribe "$i" "alone.$i" --no-draft
    texts "alone.$i" >"alone.$i.texts"
done
for n in 1 2 8; do
    pids=()
    for ((i = 0; i < n; i++)); do
        # shellcheck disable=SC2086
        transcribe "$i" "beside.$i" ${time_options[$i]} & pids+=($!)
    done
    for ((i = 0; i < n; i++)); do
        wait "${pids[$i]}"; rc=$?
        texts "beside.$i" >"beside.$i.texts"
        why=; [ "$rc" = 0 ] || why="exit code $rc: $(cat "beside.$i.err")"
        cmp -s "alone.$i.texts" "beside.$i.texts" || why="$why $(diff "alone.$i.texts" "beside.$i.texts")"
        [ "$n" -lt 8 ] || verdict "one of $n sessions: ${text_options[$i]} ${time_options[$i]}" "$why"
        [ "$n" = 8 ] || verdict "one of $n sessions, number $i" "$why"
    done
done

# Nobody wants the model now: what waits (four at most) is audited.
port=$(sed -n 's/.*metrics on port \([0-9]*\).*/\1/p' target.log | head -n 1)
metric() { curl -s "http://127.0.0.1:$port/metrics" | awk -v name="$1" '$1 == name { n = $2 } END { print n == "" ? 0 : n }'; }
audited() { [ "$(metric specasr_target_audits_total)" -ge 4 ]; }
why=
wait_for 60 audited || why="only $(metric specasr_target_audits_total) audits"
[ "$(metric specasr_target_audit_mismatches_total)" = 0 ] || why="$why $(grep audit target.log)"
! grep -qi "spades" target.log || why="$why text in the log"
verdict "audits find nothing" "$why"
why=; [ "$(metric specasr_target_slots_max)" -ge 8 ] || why="$(metric specasr_target_slots_max) slots"
[ "$(metric specasr_target_memory_budget_bytes)" = 2147483648 ] || why="$why another budget"
verdict "slots and memory are told" "$why"

"$bin/target_node" --no-config --model base --listen 127.0.0.1:0 --memory 100M >out 2>err; rc=$?
verdict "memory too small for one session" "$(why_not_refused 1 '^target_node: error: .*more than the 105 MB that there are.*--memory')"
e2e_finish
