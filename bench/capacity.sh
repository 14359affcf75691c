#!/bin/bash
# capacity.sh BIN: how much one target process takes; the load generator is another process (bench/capacity.c). The model
# is the toy, where time matters with the pace of a GPU or of a CPU: what is measured is everything around the model.
#
#   open      IDLE silent sessions and ACTIVE that speak, plaintext and with mutual TLS: memory, processor time, lag
#   load      from half of what the paced target can do to four times that: tokens a second must not fall
#   refused   a full target tells further clients at once
#   wire      bytes per second of audio and frames per final text, of a real client through a relay
#
# Rows go to build/bench/capacity-TIME.csv and stdout; the exit code says whether the promises of docs/CLUSTER.md hold.
#   IDLE=10000 ACTIVE=500 SECONDS_EACH=10 PARTS="open tls load refused wire"
set -u
bin=$(cd "${1:?usage: capacity.sh BIN}" && pwd)
cd "$(dirname "$0")/.." || exit 2
idle=${IDLE:-10000} active=${ACTIVE:-500} seconds=${SECONDS_EACH:-10}
parts=${PARTS:-open tls load refused wire}
speech=/usr/share/pocketsphinx/test/data/librivox
mkdir -p build/bench
rows=$PWD/build/bench/capacity-$(date -u +%Y%m%dT%H%M%SZ).csv
work=$(mktemp -d)
target=; relay=; bad=0
trap 'for pid in $target $relay; do kill "$pid" 2>/dev/null; done; wait 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

address_in() { sed -n 's/.*listening on \([0-9.]*:[0-9]*\).*/\1/p' "$1" | head -n 1; }
# Sets address; PID names the variable that gets the process.
start() { # PID LOG PROGRAM ARGUMENTS...
    local name=$1 log=$work/$2; shift 2
    "$@" >"$log" 2>&1 & eval "$name=$!"
    for _ in $(seq 200); do
        address=$(address_in "$log")
        [ -n "$address" ] && return
        sleep 0.05
    done
    echo "$0: $1 did not start:" >&2; cat "$log" >&2; exit 2
}
start_target() { start target target.log "$bin/target_node" --no-config --model toy:1 --listen 127.0.0.1:0 "$@"; }
stop_target() { kill "$target"; wait "$target" 2>/dev/null; target=; }

header=--header
load() { # LABEL ARGUMENTS...
    local label=$1; shift
    "$bin/capacity" --no-config --target "$address" --pid "$target" --label "$label" --seconds "$seconds" $header "$@" \
        >"$work/row" || bad=1
    cat "$work/row" | tee -a "$rows"
    header=--no-header
}
# The field NAME of the newest row; the columns are named in the first line of the file.
field() { awk -F, -v name="$1" 'NR == 1 {for (i = 1; i <= NF; i++) at[$i] = i} END {print $at[name]}' "$rows"; }
promise() { # WHAT CONDITION (awk)
    if awk "BEGIN {exit !($2)}"; then echo "# holds: $1 ($2)"; else echo "# FAILS: $1 ($2)"; bad=1; fi
}

echo "# commit $(git rev-parse --short HEAD 2>/dev/null || echo none), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) processors, load $(cut -d' ' -f1-3 /proc/loadavg)"
part() { case " $parts " in *" $1 "*) return 0;; esac; return 1; }

if part open; then
    start_target --sessions $((idle + active + 16))
    load open --idle "$idle" --active "$active"
    promise "$idle idle and $active active sessions within 1 GiB" "$(field target_peak_mb) < 1024 && $(field opened) == $((idle + active))"
    stop_target
fi

if part tls; then
    ( cd "$work" && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2 &&
        for who in server client; do
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $who.key -out $who.csr -subj "/CN=$who" \
                -addext "subjectAltName=IP:127.0.0.1" &&
            openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out $who.pem -days 2 -copy_extensions copy
        done ) >"$work/openssl.log" 2>&1 || { cat "$work/openssl.log" >&2; exit 2; }
    start_target --sessions $((idle + active + 16)) --tls-certificate "$work/server.pem" --tls-key "$work/server.key" --tls-client-ca "$work/ca.pem"
    load tls --idle "$idle" --active "$active" --tls-ca "$work/ca.pem" --tls-certificate "$work/client.pem" --tls-key "$work/client.key"
    promise "all of them are taken with mutual TLS" "$(field opened) == $((idle + active))"
    stop_target
fi

if part load; then
    most=0
    for streams in 50 100 200 400 800; do   # 200: what this pace can do, more or less
        start_target --sessions 4096 --pace bench/curves/a100-large-v3-target.tsv
        load "load-$streams" --active "$streams" --warm-up 20s
        rate=$(field tokens_per_s)
        most=$(awk "BEGIN {print $rate > $most ? $rate : $most}")
        stop_target
    done
    promise "no collapse at four times the limit: tokens a second" "$rate > 0.85 * $most"
fi

if part refused; then
    start_target --sessions 20 --pace bench/curves/cpu-like-target.tsv
    load refused --active 20 --extra 2000 --extra-rate 50
    promise "a full target tells within 50 ms" "$(field refused) > 100 && $(field refused_max_ms) < 50"
    stop_target
fi

if part wire; then
    start_target
    behind=$target
    start relay relay.log "$bin/relay" --no-config --control "$work/control" "$address"
    for codec in flac pcm; do
        before=($(grep -c 'bytes' "$work/relay.log"))
        "$bin/draft_node" --no-config --target "$address" --model toy:2:0.1 --codec $codec --format json "$speech"/*.wav \
            >"$work/results" 2>"$work/err" || { cat "$work/err" >&2; bad=1; }
        echo status >"$work/control"
        for _ in $(seq 100); do [ "$(grep -c bytes "$work/relay.log")" -gt "$before" ] && break; sleep 0.05; done
        awk '/ bytes/ {sub(":", "", $1); for (i = 2; i < NF; i++) if ($(i + 1) ~ /^bytes/) n[$1] = $i} END {print n["up"], n["down"]}' "$work/relay.log" >"$work/now"
        read -r up down <"$work/now"
        audio=$(/usr/bin/python3 -c 'import json, sys; print(sum(json.loads(x)["stats"]["audio_s"] for x in open(sys.argv[1])))' "$work/results")
        awk -v c=$codec -v u=$((up - ${up_before:-0})) -v d=$((down - ${down_before:-0})) -v a="$audio" 'BEGIN {
            printf "# wire: %s, %.1f s of speech: %.0f bytes up and %.0f down per second of audio, HTTP/2 included\n", c, a, u / a, d / a}' |
            tee -a "$rows"
        up_before=$up; down_before=$down
    done
    kill -0 "$behind" || bad=1
fi
echo "# rows: $rows"
exit $bad
