#!/bin/bash
# bad_peers.sh BIN: clients and targets that break the protocol, and bytes that are no protocol at all.
. "${0%/*}/lib.sh"
cd "$work" || exit 2
start_target target --model base || exit 2

# What a wrong client is told (tests/e2e/rogue_client.c), as a pattern over all lines.
declare -A says=(
    [no-open]='done invalid argument the first frame.*Open' [says-nothing]='done timed out no Open'
    [open-twice]='done invalid argument a second Open'
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
    [out-of-order]='[13] decided tokens|no target' [full]='3 taken' [mute]='3 no target' [dies]='3 the session ended')
for case in other-version noise wrong-window out-of-order full mute dies; do
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
# With a good one as second address.
"$helpers/rogue_target" dies >rogue_second.log 2>&1 &
wait_for "$limit" listens_or_ended rogue_second.log $!
client --target "$(address_in rogue_second.log),$address" --no-draft "$good_file"
verdict "target: a good one after one that dies" "$(why_not_text "$good_text")"
e2e_finish
