#!/bin/bash
# figures.sh [FOLDER [OUT]]: the figures of docs/RESULTS.md from the CSV files of study.sh (build/study), as SVG in
# docs/figures. Needs gnuplot (Debian: gnuplot-nox). A figure whose CSV files are missing is left as it is.
#
#     tokens-per-pass.svg    by policy and set      lock-gpu-like.csv: rows free, counters only
#     speed-up.svg           by policy and curve    lock-CURVE.csv: paced, in turns, counted times
#     round-trip.svg         by round-trip time     over-CURVE-MS.csv: paced, overlapped, wall
set -eu
cd "$(dirname "$0")/.."
folder=${1:-build/study}
out=${2:-docs/figures}
command -v gnuplot >/dev/null || { echo "figures.sh: no gnuplot: apt-get install gnuplot-nox" >&2; exit 2; }
mkdir -p "$out"
data=$(mktemp)
trap 'rm -f "$data"' EXIT
policies="spec:4 spec:8 spec:24 asp+recycle sparse full"

# column FILE SET POLICY NAME: one cell; nothing if there is none.
column() {
    awk -F, -v set="$2" -v policy="$3" -v name="$4" '
        { sub(/\r$/, "") }
        NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
        $at["set"] == set && $at["policy"] == policy { print $at[name] }' "$1"
}

# ratio FILE POLICY NAME: how many times as fast as ar, over all sets.
ratio() {
    awk -v ar="$(column "$1" all ar "$3")" -v own="$(column "$1" all "$2" "$3")" \
        'BEGIN { if (own > 0) printf "%.3f", ar / own; else printf "-" }'
}

# plot NAME TITLE YLABEL COMMANDS: the terminal and what all figures share.
plot() {
    gnuplot <<GNUPLOT
set terminal svg size 760,340 dynamic font "sans,11" background rgb "white"
set output "$out/$1"
set title "$2"
set ylabel "$3"
set yrange [0:*]
set grid ytics lc rgb "#dddddd"
set border 3
set tics nomirror
set key outside right top
set datafile missing "-"
$4
GNUPLOT
}

bars='set style data histograms
set style histogram clustered gap 1
set style fill solid 0.85 border -1
set xtics rotate by -20 left'

# bars_of NAME TITLE YLABEL N: a group of bars for each line of the data, N bars each, named in its first line.
bars_of() {
    plot "$1" "$2" "$3" "$bars
plot for [i=2:$(($4 + 1))] '$data' using i:xtic(1) title columnheader(i)"
}

present=($policies)

if [ -f "$folder/lock-gpu-like.csv" ]; then
    echo "set ${present[*]}" >"$data"
    for set in $(tail -n +2 "$folder/lock-gpu-like.csv" | cut -d, -f2 | sort -u); do
        printf '%s' "${set/librispeech-/}" >>"$data"
        for policy in "${present[@]}"; do
            cell=$(column "$folder/lock-gpu-like.csv" "$set" "$policy" tokens_per_pass)
            printf ' %s' "${cell:--}" >>"$data"
        done
        echo >>"$data"
    done
    bars_of tokens-per-pass.svg "Tokens per target pass, in turns, rows free (paced)" "tokens per pass" ${#present[@]}
fi

curves=$(find "$folder" -name 'lock-*.csv' | sort)
if [ -n "$curves" ]; then
    echo "curve ${present[*]}" >"$data"
    for file in $curves; do
        curve=$(basename "$file" .csv)
        printf '%s' "${curve#lock-}" >>"$data"
        for policy in "${present[@]}"; do
            printf ' %s' "$(ratio "$file" "$policy" counted_ms_per_token)" >>"$data"
        done
        echo >>"$data"
    done
    bars_of speed-up.svg "Speed-up over the target alone, in turns (paced, counted)" "times as fast" ${#present[@]}
fi

# Blocks of "ms ratio", one block a line of the figure, its title in front.
: >"$data"
for curve in $(find "$folder" -name 'over-*.csv' | sed -E 's|.*/over-(.*)-[0-9]+\.csv|\1|' | sort -u); do
    for policy in spec:8 spec:24 full; do
        echo "\"$curve $policy\"" >>"$data"
        for file in $(find "$folder" -name "over-$curve-[0-9]*.csv" | sort -V); do
            ms=$(basename "$file" .csv)
            echo "${ms##*-} $(ratio "$file" "$policy" wall_ms_per_token)" >>"$data"
        done
        printf '\n\n' >>"$data"
    done
done
blocks=$(grep -c '^"' "$data" || true)
if [ "$blocks" -gt 0 ]; then
    plot round-trip.svg "Speed-up over the target alone, overlapped (paced, wall)" "times as fast" \
        "set xlabel 'round-trip time, ms'
plot for [i=0:$((blocks - 1))] '$data' index i using 1:2 with linespoints lw 2 title columnheader(1)"
fi
