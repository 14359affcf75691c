#!/bin/bash
# study.sh BIN: every policy on the development speech; CSV files go to build/study, tables to stdout, figures to
# docs/figures (where gnuplot is); docs/RESULTS.md holds the tables of a quiet machine. About two hours on two cores:
#
#     real     pairs a and b on this machine (an hour)       EVERY=K     every K-th file of each set [1]
#     paced    like other machines, in turns (40 minutes)    PACED_EVERY=K [8], CURVES="gpu-like a100-medium.en ..."
#     over     the same overlapped, at round-trip times      RTTS="0 60" [0 20 60 120], OVER_CURVES="..."
#     shape    models of another shape do the work           SHAPES="medium.en-f16 ..." [medium.en in f16 and q8_0]
#
# PARTS="real paced" takes some of them.
set -eu
bin=$(cd "${1:?usage: study.sh BIN}" && pwd)
cd "$(dirname "$0")/.."
every=${EVERY:-1}
paced_every=${PACED_EVERY:-8}
out=build/study
mkdir -p "$out"

study() {
    local name=$1
    shift
    echo "## $name"
    /usr/bin/python3 bench/study.py "$bin" --out "$out/$name.csv" "$@"
}

# paced CURVE: the curve, how many times as slow this machine needs it (a pass of 40 to 60 ms), and the row price:
# none where rows are free to within a few per cent.
paced() {
    local slow=1 free=(--flags row-price=0)
    case $1 in
        *-medium.en) slow=12 ;;
        *-large-v3) slow=8 ;;
        a100-llama-7b | h200-vicuna-13b) slow=5 free=() ;;
        a100-vicuna-13b) slow=2.5 free=() ;;
        h200-llama-7b) slow=10 free=() ;;
    esac
    paced=(--pace "bench/curves/$1-target.tsv" "bench/curves/$1-draft.tsv" --slow "$slow" "${free[@]}")
}

part_real() {
    study pair-a-f16 --every "$every" --rounds 2
    study pair-a-q8_0 --every "$every" --rounds 2 --target base-q8_0
    study pair-b --every "$every" --languages --draft base --flags draft-weights=q4_0 \
        --policies ar spec:8 spec:24 asp+recycle full
}

part_paced() {
    for curve in ${CURVES:-gpu-like a100-medium.en a100-large-v3 a100-llama-7b a100-vicuna-13b h200-vicuna-13b}; do
        paced "$curve"
        study "lock-$curve" --every "$paced_every" "${paced[@]}" \
            --policies ar spec:4 spec:8 spec:16 spec:24 asp asp+recycle sparse full
    done
}

part_over() {
    for curve in ${OVER_CURVES:-gpu-like a100-vicuna-13b}; do
        paced "$curve"
        for ms in ${RTTS:-0 20 60 120}; do
            study "over-$curve-$ms" --every "$((2 * paced_every))" "${paced[@]}" --overlap --rtt "$ms" \
                --policies ar spec:4 spec:8 spec:24 full
        done
    done
}

# A shape's encoder takes seconds a file, so there are few files. The models stay in build/study.
part_shape() {
    for shape in ${SHAPES:-medium.en-f16 medium.en-q8_0}; do
        [ -f "$out/$shape.gguf" ] || "$bin/random_model" --like "${shape%-*}" --type "${shape##*-}" "$out/$shape.gguf"
        study "shape-$shape" --files 6 --shape "$out/$shape.gguf" --policies ar spec:4 spec:8 full
    done
}

echo "# commit $(git rev-parse --short HEAD 2>/dev/null || echo none), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo |
    head -n 1), $(nproc) processors, load before $(cut -d' ' -f1-3 /proc/loadavg)"
for part in ${PARTS:-real paced over shape}; do
    "part_$part"
done
if command -v gnuplot >/dev/null; then
    bench/figures.sh "$out"
fi
