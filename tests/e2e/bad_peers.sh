#!/bin/bash
# bad_peers.sh BIN: clients and targets that break the protocol, and bytes that are no protocol at all.
. "${0%/*}/lib.sh"
cd "$work" || exit 2
start_target target --model base || exit 2

# What a wrong client is told (tests/e2e/rogue_client.c), as a pattern over all lines.
declare -A says=(
    [no-open]='done invalid argument the first frame.*Open' [open-twice]='done invalid argument a second Open'
    [other-version]='done not supported protocol versions 7 to 9.*speaks' [other-vocabulary]='done mismatch .*vocabulary'
    [other-language]='done invalid argument .*no language "tlh"' [bad-temperature]='done corrupt data .*temperature'
    [huge-frame]='done resource exhausted .*' [large-frame]='done corrupt data .*limit is' [big-frame]='done corrupt data .*limit is'
    [empty-frame]='done not supported .*kind' [noise]='done corrupt data .*malformed' [cut-frame]='done corrupt data .*malformed'
    [unknown-kind]='done not supported .*kind' [audio-gap]='done invalid argument .*missing'
    [audio-after-end]='done invalid argument audio behind the end' [wrong-end]='done invalid argument .*ends at sample'
    [bad-flac]='done corrupt data .*FLAC' [odd-pcm]='done corrupt data .*half a sample'
    [five-utterances]='done resource exhausted more than 4' [flood]='done resource exhausted .*ahead'
    [draft-parents]='done corrupt data .*parent' [draft-large-token]='final  4 Queen of Clothes done ok'
    [draft-nonsense]='final  4 Queen of Clothes done ok' [draft-for-nobody]='final  4 Queen of Clothes done ok'
    [resume-lie]='final  4 Queen of Clothes done ok' [resume-far]='done ok|done invalid' [resume-order]='done invalid argument .*order'
    [no-samples]='^done ok' [hang-up]='done cancelled' [says-goodbye]='done ok' [honest]='final  4 Queen of Clothes done ok')
for case in $("$helpers/rogue_client" list); do
    answer=$(timeout -k 5 "$limit" "$helpers/rogue_client" "$address" "$case" "$cards/002.wav" 2>&1 |
        grep -v '^utterance' | tr '\n' ' ')
    why=
    [[ $answer =~ ${says[$case]:-no pattern for this case} ]] || why="'$answer'"
    gone "$target_pid" && why="the target died: $(tail -n 3 target.log)"
    verdict "client: $case" "$why"
done
still_serves "after wrong clients"
why=
grep -q 'resuming client claimed' target.log || why="no line in the log"
verdict "a false claim is told" "$why"

# Bytes to the port: noise, other protocols, connections that say nothing or hang up.
/usr/bin/python3 - "$address" >python.log 2>&1 <<'PYTHON'
import random, socket, sys
host, port = sys.argv[1].rsplit(":", 1)
noise = random.Random(1)
preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
openings = [noise.randbytes(65536), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01" + noise.randbytes(500),
            preface, preface + noise.randbytes(3000), preface + b"\xff\xff\xff\x00\x00\x00\x00\x00\x00", b"", b"\0" * 100000]
kept = []
for opening in openings * 8:
    s = socket.create_connection((host, int(port)), timeout=20)
    try:
        s.sendall(opening)
    except OSError:
        pass  # hung up on: as it should be
    kept.append(s)
for s in kept:
    s.close()
PYTHON
[ -s python.log ] && fail "noise to the port" "$(tail -n 1 python.log)"
still_serves "after noise to the port"

# Targets of another mind (tests/e2e/rogue_target.c): the client says so, and does not go on for ever.
declare -A expect=([other-version]='1 version 9' [noise]='[13] frame that cannot be read|no target' [wrong-window]='[13] does not fit'
    [refuses]='1 not to my taste'
    [out-of-order]='[13] decided tokens|no target' [full]='3 taken' [mute]='3 no target' [dies]='3 the session ended')
for case in other-version refuses noise wrong-window out-of-order full mute dies; do
    "$helpers/rogue_target" "$case" >"rogue_$case.log" 2>&1 & rogue=$!
    wait_for "$limit" listens_or_ended "rogue_$case.log" "$rogue"
    client --target "$(address_in "rogue_$case.log")" --no-draft --deadline 2 "$good_file"
    why=
    [[ $rc =~ ^${expect[$case]%% *}$ ]] || why="exit code $rc"
    tail -n 1 err | grep -Eq "${expect[$case]#* }" || why="$why stderr: $(tail -n 1 err)"
    [ ! -s out ] || why="stdout: $(cat out)"
    [ "$took_ms" -lt 60000 ] || why="took $took_ms ms with a deadline of 2 s"
    gone "$rogue" && why="the rogue died: $(tail -n 1 "rogue_$case.log")"
    verdict "target: $case" "$why"
    kill -KILL "$rogue"; wait "$rogue" 2>/dev/null
done
# With a good one as second address: what one refuses, the other may not.
for case in dies refuses other-version noise; do
    "$helpers/rogue_target" $case >"rogue_second_$case.log" 2>&1 &
    wait_for "$limit" listens_or_ended "rogue_second_$case.log" $!
    second=$(address_in "rogue_second_$case.log")
    client --target "$second,$address" --no-draft "$good_file" "$cards/001.wav"
    verdict "target: a good one after $case" "$(why_not_text "$good_text"$'\n'"$(text_of 001)")"
done
# Both refuse: the run ends, with the word of the last one.
client --target "$(address_in rogue_second_refuses.log),$(address_in rogue_second_other-version.log)" --no-draft "$good_file"
why=; [ "$rc" = 1 ] || why="exit code $rc"
grep -q 'warning: .*not to my taste.*; going on with the other targets' err && tail -n 1 err | grep -q 'error: .*version 9' ||
    why="$why $(cat err)"
verdict "target: two that refuse" "$why"

# A vocabulary that cannot be fetched is asked for again while the session lasts, and the user is told once.
"$helpers/rogue_target" no-vocabulary >rogue_vocabulary.log 2>&1 &
wait_for "$limit" listens_or_ended rogue_vocabulary.log $!
client --target "$(address_in rogue_vocabulary.log)" "$good_file"
why=; [ "$rc" = 1 ] && tail -n 1 err | grep -q 'asked three times' || why="exit code $rc: $(cat err)"
[ "$(grep -c '^asked' rogue_vocabulary.log)" = 3 ] || why="$why $(cat rogue_vocabulary.log)"
[ "$(grep -c 'warning: .*vocabulary cannot be fetched.*going on without drafts, asking again' err)" = 1 ] || why="$why $(cat err)"
verdict "target: a vocabulary that cannot be fetched" "$why"
# A target that was told to wait for drafts hears at once that none will come; else it waits 15 s in each window.
for option in --wait-draft --lockstep; do
    client --target "$(address_in rogue_vocabulary.log)" $option "$good_file"
    why=; [ "$rc" = 1 ] && tail -n 1 err | grep -q 'told not to wait for drafts' || why="exit code $rc: $(cat err)"
    grep -q 'warning: .*vocabulary cannot be fetched.*going on without drafts; connecting again' err || why="$why $(cat err)"
    verdict "target: no vocabulary for $option" "$why"
done
e2e_finish
