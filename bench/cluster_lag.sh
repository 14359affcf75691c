#!/bin/bash
# cluster_lag.sh [FOLDER [OUT]]: all runs of cluster_lag (virtual time, half an hour of one core) as CSV into FOLDER
# (build/cluster); files that are there stay. Then the figures into OUT (docs/figures) with gnuplot, and the tables of
# docs/SPEED.md to stdout (cluster_lag.py).
#
#     lag-gpu.svg, lag-cpu.svg    p99 of the final lag against the number of streams, 95 % intervals over the seeds
set -eu
cd "$(dirname "$0")/.."
folder=${1:-build/cluster}
out=${2:-docs/figures}
program=build/release/bin/cluster_lag
command -v gnuplot >/dev/null || { echo "cluster_lag.sh: no gnuplot: apt-get install gnuplot-nox" >&2; exit 2; }
[ -x $program ] || { echo "cluster_lag.sh: no $program: make $program" >&2; exit 2; }
mkdir -p "$folder" "$out"

# record NAME ARGUMENT...: a run, unless it is there.
record() {
    [ -s "$folder/$1.csv" ] && return
    "$program" "${@:2}" >"$folder/$1.part"
    mv "$folder/$1.part" "$folder/$1.csv"
}

for curve in gpu cpu rows; do
    record lag-$curve lag $curve
done
for rtt in 0 20 60 150 400; do
    record grid-gpu-$rtt grid gpu $rtt
    record grid-cpu-$rtt grid cpu $rtt
done
record over-gpu lag gpu controlled 1000
record over-cpu lag cpu controlled 96 160

data=$(mktemp)
trap 'rm -f "$data"' EXIT
modes="alone colocated-4 colocated-16 controlled"

# draw CURVE TITLE: blocks of "streams p99 half", one for each mode.
draw() {
    : >"$data"
    for mode in $modes; do
        echo "\"$mode\"" >>"$data"
        cat "$folder"/lag-"$1"*.csv | awk -F, -v mode="$mode" '
            $1 == "curve" { for (i = 1; i <= NF; i++) at[$i] = i; next }
            $at["mode"] == mode { print $at["streams"], $at["seed_p99_ms"], $at["seed_p99_half"] }' |
            sort -n >>"$data"
        printf '\n\n' >>"$data"
    done
    gnuplot <<GNUPLOT
set terminal svg size 760,400 dynamic font "sans,11" background rgb "white"
set output "$out/lag-$1.svg"
set title "$2"
set ylabel "p99 of the final lag, ms"
set xlabel "streams of speech on one target"
set logscale y
set grid ytics lc rgb "#dddddd"
set border 3
set tics nomirror
set key left top
plot for [i=0:3] '$data' index i using 1:2:3 with yerrorlines lw 2 title columnheader(1)
GNUPLOT
}

draw gpu "Lag against load, a GPU's curve (virtual time, round trip 20 ms)"
draw cpu "Lag against load, this CPU's curve (virtual time, round trip 20 ms)"
python3 bench/cluster_lag.py "$folder"
