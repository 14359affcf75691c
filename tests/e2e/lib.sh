# lib.sh: sourced by the end-to-end scripts: `. "${0%/*}/lib.sh"`. Takes BIN, the folder with the programs, from
# the script's first argument; the helpers of tests/e2e/*.c lie beside it in the build folder.
#
# A case prints "ok NAME" or "FAIL NAME: why"; e2e_finish prints "N passed, N failed". All files live in $work; every
# process started through this file is ended with the script. Time limits are generous: a slow machine is no failure.
set -u
[ $# -ge 1 ] || { echo "usage: $0 BIN" >&2; exit 2; }
bin=$(cd "$1" && pwd) || exit 2
helpers=$(cd "$bin/../tests/e2e" 2>/dev/null && pwd) ||
    { echo "$0: no helpers beside $bin: run \`make test-programs\`" >&2; exit 2; }
here=$(cd "${0%/*}" && pwd)
cards=/usr/share/pocketsphinx/test/data/cards
books=/usr/share/pocketsphinx/test/data/librivox
cache=${XDG_CACHE_HOME:-$HOME/.cache}/specasr
for needed in "$cards/005.wav" "$cache/whisper-base.gguf" "$cache/whisper-tiny.en.gguf"; do
    [ -r "$needed" ] || { echo "$0: no $needed: run \`make deps models\`" >&2; exit 2; }
done

work=$(mktemp -d)
passed=0; failed=0
limit=120 # seconds for anything that has to happen
cleanup() {
    # Only what is still a child of this shell: a number may have gone to a stranger's process since.
    for pid in $(jobs -p); do kill -KILL "$pid" 2>/dev/null; done
    wait 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# What base says, by itself and in every other way.
good_file=$cards/005.wav
good_text='8 of spades, 4 of close, 7 of hearts.'
text_of() { # NUMBER of a card
    case $1 in
    001) echo 'Ten of clubs.';; 002) echo '4 Queen of Clothes';; 003) echo '7F clubs.';;
    004) echo '5 5';; 005) echo "$good_text";;
    esac
}

# Makes one WAV file of several of the same kind.
join_speech() { # OUT FILE...
    /usr/bin/python3 - "$@" <<'PYTHON'
import sys, wave
with wave.open(sys.argv[1], "wb") as out:
    for path in sys.argv[2:]:
        with wave.open(path, "rb") as part:
            if out.getnframes() == 0:
                out.setparams(part.getparams())
            out.writeframes(part.readframes(part.getnframes()))
PYTHON
}

# ---- results ----

ok() { passed=$((passed + 1)); echo "ok $1"; }
fail() { failed=$((failed + 1)); echo "FAIL $1: $2"; }
# NAME WHY: WHY empty is a pass.
verdict() { if [ -z "$2" ]; then ok "$1"; else fail "$1" "$2"; fi; }
e2e_finish() { echo "$passed passed, $failed failed"; [ "$failed" = 0 ]; exit; }

# ---- waiting ----

now_ms() { date +%s%3N; }

# Polls until the command succeeds or the seconds are over.
wait_for() { # SECONDS COMMAND...
    local end=$(($(now_ms) + $1 * 1000)); shift
    until "$@"; do
        [ "$(now_ms)" -lt "$end" ] || return 1
        sleep 0.03
    done
}
# Has a child of this shell ended?
gone() {
    local state parent
    read -r _ _ state parent _ 2>/dev/null <"/proc/$1/stat" || return 0
    [ "$parent" != $$ ] || [ "$state" = Z ]
}
# Ticks of processor time that a process has used: its progress, however slow the machine.
ticks_of() { awk '{print $14 + $15}' "/proc/$1/stat" 2>/dev/null || echo 999999999; }
has_used() { [ "$(ticks_of "$1")" -ge "$2" ]; } # PID TICKS

# ---- targets ----

# Starts a target in the background: sets target_pid and address; its log is $work/NAME.log, also ${log_of[PID]}.
# Default model: base.
declare -A log_of
start_target() { # NAME ARGUMENTS...
    local name=$1; shift
    local arguments=("$@")
    case " $* " in *" --listen "*) ;; *) arguments+=(--listen 127.0.0.1:0);; esac
    "$bin/target_node" --no-config "${arguments[@]}" 2>"$work/$name.log" >"$work/$name.out" &
    target_pid=$!; log_of[$target_pid]=$work/$name.log
    if ! wait_for "$limit" listens_or_ended "$work/$name.log" "$target_pid" || gone "$target_pid"; then
        echo "$0: target $name did not start:" >&2; cat "$work/$name.log" >&2; return 1
    fi
    address=$(address_in "$work/$name.log")
}
address_in() { sed -n 's/.*listening on \([0-9.]*:[0-9]*\).*/\1/p' "$1" | head -n 1; }
listens_or_ended() { [ -n "$(address_in "$1")" ] || gone "$2"; }

# ---- the network between ----

# Starts a relay in front of ADDRESS: sets relay_pid and relay, its address. `tell NAME COMMAND` changes it later.
start_relay() { # NAME ADDRESS COMMAND...
    local name=$1 behind=$2; shift 2
    "$bin/relay" --no-config --control "$work/$name.control" "$behind" "$@" >"$work/$name.log" 2>&1 & relay_pid=$!
    wait_for "$limit" listens_or_ended "$work/$name.log" "$relay_pid"
    relay=$(address_in "$work/$name.log")
    [ -n "$relay" ] || { echo "$0: relay $name did not start:" >&2; cat "$work/$name.log" >&2; return 1; }
}
tell() { echo "$2" >"$work/$1.control"; }

# ---- clients ----

# Runs draft_node: sets rc, took_ms; stdout in $work/out, stderr in $work/err.
client() {
    local begin; begin=$(now_ms)
    timeout -k 5 "$limit" "$bin/draft_node" --no-config "$@" >"$work/out" 2>"$work/err"; rc=$?
    took_ms=$(($(now_ms) - begin))
}

# One line on stderr that matches (besides the word that the client waits for a target), nothing on stdout, the exit
# code: else why not.
errors() { grep -Ev '^draft_node: warning: (cannot reach|not served by) .*: trying ' "$work/err"; }
why_not_refused() { # CODE PATTERN
    if [[ ! $rc =~ ^$1$ ]]; then echo "exit code $rc, not $1 ($(head -c 300 "$work/err"))"
    elif [ -s "$work/out" ]; then echo "stdout is not empty: $(head -c 200 "$work/out")"
    elif [ "$(errors | wc -l)" != 1 ]; then echo "not one line on stderr: $(head -c 600 "$work/err")"
    elif ! errors | grep -Eq -- "$2"; then echo "stderr does not match /$2/: $(cat "$work/err")"; fi
}
client_refused() { # NAME CODE PATTERN ARGUMENTS...
    local name=$1 code=$2 pattern=$3; shift 3
    client "$@"
    verdict "$name" "$(why_not_refused "$code" "$pattern")"
}
why_not_text() { # TEXT: exit code 0 and exactly this on stdout
    if [ "$rc" != 0 ]; then echo "exit code $rc ($(head -c 300 "$work/err"))"
    elif [ "$(cat "$work/out")" != "$1" ]; then echo "'$(head -c 300 "$work/out")' instead of '$1'"; fi
}
# The server still gives the right text.
still_serves() { # NAME [ARGUMENTS...]
    local name=$1; shift
    client --target "$address" --no-draft "$@" "$good_file"
    verdict "$name: goes on serving" "$(why_not_text "$good_text")"
}
# A field of the JSON on stdout, by a Python expression over the list `r` of results.
json() { /usr/bin/python3 -c '
import json, sys
r = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
print(eval(sys.argv[2]))' "$work/out" "$1" 2>&1; }
