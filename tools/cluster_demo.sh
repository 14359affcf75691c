#!/bin/bash
# cluster_demo.sh BIN [FILE...]: what `make cluster` shows. One coordinator, two targets and eight clients on loopback
# ports that the system chooses; the coordinator's view while they work. In the middle one target is killed and
# comes back: its clients go on at the other one, and no file is lost. CLIENTS and MODEL may be set; DRAFT=yes lets the
# clients draft (each with a model of its own; by default where there are eight processors).
set -eu
if [ $# -lt 1 ]; then echo "usage: cluster_demo.sh BIN [FILE...]" >&2; exit 2; fi
bin=$1; shift
clients=${CLIENTS:-8}
model=${MODEL:-tiny.en}
draft=${DRAFT:-$([ "$(nproc)" -ge 8 ] && echo yes || echo no)}
data=/usr/share/pocketsphinx/test/data
files=("$@")
[ ${#files[@]} -gt 0 ] || files=("$data"/librivox/*.wav "$data"/cards/*.wav)
for file in "${files[@]}"; do
    if [ ! -r "$file" ]; then
        echo "cluster_demo.sh: no speech at $file: run \`make deps\` or name audio files" >&2; exit 1
    fi
done

work=$(mktemp -d)
declare -A started=()
finish() {
    for pid in "${!started[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Starts a program in the background and waits for its port: sets pid and address.
start() { # LOG PROGRAM ARGUMENTS...
    local log=$work/$1.log; shift
    "$@" 2>"$log" & pid=$!
    started[$pid]=1
    address=
    for ((i = 0; i < 1200 && ${#address} == 0; i++)); do
        address=$(sed -n 's/.*listening on \([0-9.]*:[0-9]*\).*/\1/p' "$log" | head -n 1)
        if [ -n "$address" ]; then return; fi
        if ! kill -0 "$pid" 2>/dev/null; then break; fi
        sleep 0.05
    done
    echo "cluster_demo.sh: $1 did not open its port:" >&2; cat "$log" >&2; exit 1
}
start_target() { # NAME LISTEN
    start "$1" "$bin/target_node" --no-config --model "$model" --threads 1 --listen "$2" --coordinator "$coordinator"
}

start coordinator "$bin/coordinator" --no-config --listen 127.0.0.1:0
coordinator=$address
start_target target1 127.0.0.1:0
start_target target2 127.0.0.1:0
victim=$pid; victim_address=$address

arguments=(--no-config --coordinator "$coordinator" --format json --deadline 60s --log-level warn --no-progress)
[ "$draft" = yes ] || arguments+=(--no-draft)
pids=()
for ((i = 1; i <= clients; i++)); do
    "$bin/draft_node" "${arguments[@]}" "${files[@]}" >"$work/client$i.json" 2>"$work/client$i.log" & pids+=($!)
    started[$!]=1
done

# ---- the view ----

terminal=no; [ -t 1 ] && terminal=yes
done_files() { cat "$work"/client*.json | wc -l; }
working() { for pid in "${pids[@]}"; do if kill -0 "$pid" 2>/dev/null; then return 0; fi; done; return 1; }
show() { # EVENT
    [ $terminal = no ] || printf '\033[H\033[J'
    printf 'coordinator %s, 2 targets (Whisper %s), %d clients (drafts: %s): %d of %d files done%s\n' "$coordinator" \
        "$model" "$clients" "$draft" "$(done_files)" $((clients * ${#files[@]})) "${1:+; $1}"
    "$bin/coordinator" status --no-config --coordinator "$coordinator" || true
}
event=; killed=no
begin=$SECONDS
while working; do
    show "$event"
    if [ $killed = no ] && [ "$(done_files)" -ge $((clients * ${#files[@]} / 4)) ]; then
        kill -KILL "$victim"; wait "$victim" 2>/dev/null || true
        unset "started[$victim]"
        killed=yes; event="killed $victim_address"
    elif [ $killed = yes ] && [ "$(done_files)" -ge $((clients * ${#files[@]} / 2)) ]; then
        start_target target2again "$victim_address"
        killed=back; event="$victim_address is back"
    fi
    if [ $terminal = yes ]; then sleep 0.5; else sleep 2; fi
done
took=$((SECONDS - begin))
show "$event"

# ---- what came out ----

rc=0
for ((i = 0; i < clients; i++)); do
    client_rc=0; wait "${pids[$i]}" || client_rc=$?
    unset "started[${pids[$i]}]"
    if [ $client_rc != 0 ]; then
        echo "client $((i + 1)) ended with code $client_rc: $(tail -n 1 "$work/client$((i + 1)).log")"; rc=1
    fi
done
python3 - "$took" "${#files[@]}" "$work"/client*.json <<'PYTHON' || rc=1
import json, sys
took, n_files, texts, resumes, audio, used = max(int(sys.argv[1]), 1), int(sys.argv[2]), {}, 0, 0.0, {}
for path in sys.argv[3:]:
    for line in open(path, encoding="utf-8"):
        r = json.loads(line)
        texts.setdefault(r["file"], []).append(r["text"])
        resumes += r["stats"]["resumes"]
        audio += r["stats"]["audio_s"]
        for target in r["stats"]["targets"]:
            used[target] = used.get(target, 0) + 1
same = sum(len(set(t)) == 1 and len(t) == len(sys.argv) - 3 for t in texts.values())
print(f"\n{sum(map(len, texts.values()))} results, {audio:.0f} s of speech in {took} s; {resumes} resumes; "
      f"files by target: {used}")
print(f"{same} of {n_files} files have one and the same text at all clients")
sys.exit(same != n_files)
PYTHON
exit $rc
