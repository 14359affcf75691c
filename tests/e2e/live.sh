#!/bin/bash
# live.sh BIN: live PCM that is interrupted, or whose target goes: nothing that was said is lost without a word.
. "${0%/*}/lib.sh"
cd "$work" || exit 2
"$helpers/make_audio" "$cards/001.wav" a.raw 16000 1 && "$helpers/make_audio" "$good_file" b.raw 16000 1 || exit 2
head -c 64000 /dev/zero >silence.raw # two seconds
head -c 8000 /dev/zero >breath.raw
# One utterance that ends, and one that is still open when the input stops.
cat silence.raw a.raw silence.raw b.raw breath.raw >live.raw
mkdir here

# Starts a client in the folder `here` whose stdin stays open; sets client_pid. The first text has come when it returns.
begin_live() { # NAME OPTIONS...
    local name=$1; shift
    rm -f here/*; mkfifo "$name.pipe"
    (cd "${folder:-here}" && exec env --default-signal=INT "$bin/draft_node" --no-config --target "$address" "$@" -) \
        <"$name.pipe" >out 2>err & client_pid=$!
    exec 5>"$name.pipe"
    cat live.raw >&5
    wait_for "$limit" grep -qi clubs out || fail "$name" "no text of the first utterance: $(cat out err)"
}
end_live() { # SECONDS: sets rc, took_ms
    local begin; begin=$(now_ms)
    wait_for "$1" gone "$client_pid" || kill -KILL "$client_pid"
    wait "$client_pid" 2>/dev/null; rc=$?; took_ms=$(($(now_ms) - begin))
    exec 5>&-
}
why_not_kept() { # FOLDER [CODE]: one WAV file there, which is named and holds the second utterance only
    local files=("$1"/specasr-unsent-*.wav) why=
    [ "$rc" = "${2:-3}" ] || why="exit code $rc"
    [ "$(wc -l <out)" = 1 ] || why="$why stdout: $(cat out)"
    [ ${#files[@]} = 1 ] && [ -f "${files[0]}" ] || { echo "$why no file: $(cat err)"; return; }
    tail -n 1 err | grep -Eq "^draft_node: error: .* s of audio without text are kept: transcribe them later with \`draft_node .*${files[0]##*/}\`" ||
        why="$why $(cat err)"
    client --target "$second" "${files[0]}"
    [ "$rc" = 0 ] && grep -qi 'spades.*hearts' out && ! grep -qi clubs out || why="$why exit code $rc: $(cat out err)"
    echo "$why"
}

start_target second --model base || exit 2
second=$address

# ---- signals ----

for signal in INT:130 TERM:143; do
    begin_live "once_$signal"
    kill -"${signal%:*}" "$client_pid"
    end_live 60
    why=; [ "$rc" = "${signal#*:}" ] || why="exit code $rc: $(cat err)"
    [ "$(wc -l <out)" = 2 ] && tail -n 1 out | grep -qi 'spades.*hearts' || why="$why stdout: $(cat out)"
    [ -z "$(ls here)" ] || why="$why files: $(ls here)"
    verdict "SIG${signal%:*}: the open utterance gets its text" "$why"
done

start_target frozen --model base || exit 2
begin_live twice
kill -STOP "$target_pid"
kill -INT "$client_pid"
wait_for "$limit" grep -q 'a second signal ends at once' err || fail "twice" "not heard: $(cat err)"
kill -TERM "$client_pid"
end_live 60
why=; [ "$rc" = 143 ] || why="exit code $rc: $(cat err)"
[ "$took_ms" -le 2000 ] || why="$why after $took_ms ms"
verdict "a second signal ends at once" "$why"
kill -CONT "$target_pid"

begin_live late
kill -STOP "$target_pid"
kill -INT "$client_pid"
end_live 60
why=$(why_not_kept here 130)
[ "$took_ms" -ge 9000 ] && [ "$took_ms" -le 20000 ] || why="$why after $took_ms ms"
verdict "interrupted, and the target is silent: the audio is kept" "$why"
kill -KILL "$target_pid"; wait "$target_pid" 2>/dev/null

# ---- a target that goes for good ----

start_target gone --model base || exit 2
begin_live gone --deadline 3s
kill -KILL "$target_pid"; wait "$target_pid" 2>/dev/null
end_live 120
verdict "target gone: the audio is kept" "$(why_not_kept here)"

start_target gone_too --model base || exit 2
mkdir elsewhere
export TMPDIR=$work/elsewhere; folder=/proc # where nobody can write
begin_live gone_too --deadline 3s
kill -KILL "$target_pid"; wait "$target_pid" 2>/dev/null
end_live 120
verdict "target gone, no place in the folder: kept in TMPDIR" "$(why_not_kept elsewhere)"

# ---- a pipe that is far ahead ----

# More than an hour of speech comes at once, and no target: the pipe has to wait, the run does not fail for it.
cat b.raw silence.raw >speech.raw
folder=here; unset TMPDIR; rm -f here/*
while cat speech.raw; do :; done 2>/dev/null | (cd here && timeout 60 "$bin/draft_node" --no-config --no-draft --target "$address" \
    --deadline 4s - >../out 2>../err; echo $? >../code)
why=; [ "$(cat code)" = 3 ] || why="exit code $(cat code)"
tail -n 1 err | grep -Eq 'no target answered.*; [0-9.]+ s of audio without text are kept' || why="$why $(cat err)"
verdict "a pipe that is far ahead waits" "$why"
e2e_finish
