#!/bin/bash
# study.sh BIN: every policy on the development speech: real on this machine (f16 and q8_0 targets), and paced like a
# device on which rows are free. Takes most of an hour; EVERY=K takes every K-th file of each set. CSV files go to
# build/study, tables to stdout; docs/RESULTS.md holds those of a quiet machine.
set -eu
bin=$(cd "${1:?usage: study.sh BIN}" && pwd)
cd "$(dirname "$0")/.."
python=/usr/bin/python3
every=${EVERY:-1}
out=build/study
mkdir -p "$out"
echo "# commit $(git rev-parse --short HEAD 2>/dev/null || echo none), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo |
    head -n 1), $(nproc) processors, load before $(cut -d' ' -f1-3 /proc/loadavg)"
echo "## pair a, base f16"
$python bench/study.py "$bin" --every "$every" --rounds 2 --out "$out/pair-a-f16.csv"
echo "## pair a, base q8_0"
$python bench/study.py "$bin" --every "$every" --rounds 2 --target base-q8_0 --out "$out/pair-a-q8_0.csv"
echo "## paced: rows are free, a draft step is a tenth of a pass"
$python bench/study.py "$bin" --every "$every" --pace bench/curves/gpu-like-target.tsv bench/curves/gpu-like-draft.tsv \
    --flags row-price=0 --out "$out/paced-gpu-like.csv"
