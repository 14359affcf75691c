#!/bin/bash
# run.sh BIN [FILE.wav...]: side by side on the same files, target alone and split against CTranslate2 and, where
# WHISPER_CLI is set, whisper.cpp. Rows of every run go to build/bench/TIME.tsv, the medians to stdout. See README.md.
#   ROUNDS=3 THREADS=2 PEERS="ct2 whispercpp"
#   WHISPER_CLI=.../whisper-cli WHISPER_MODELS="ggml-base.bin ggml-base-q8_0.bin"
set -eu
bin=$(cd "${1:?usage: run.sh BIN [FILE.wav...]}" && pwd); shift
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-3}
threads=${THREADS:-2}
peers=${PEERS-ct2 whispercpp}
python=/usr/bin/python3
files=("$@")
[ ${#files[@]} -gt 0 ] || files=(/usr/share/pocketsphinx/test/data/librivox/*.wav)
mkdir -p build/bench
rows=build/bench/$(date -u +%Y%m%dT%H%M%SZ).tsv
work=$(mktemp -d)
target=
trap '[ -z "$target" ] || kill "$target" 2>/dev/null; rm -rf "$work"' EXIT

{
    echo "# commit $(git rev-parse --short HEAD 2>/dev/null || echo none)$(git diff --quiet HEAD 2>/dev/null || echo ' with changes')"
    echo "# machine $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) processors, $(uname -sr)"
    echo "# threads $threads, rounds $rounds, load before $(cut -d' ' -f1-3 /proc/loadavg)"
    printf 'engine\tfile\taudio_s\ttokens\tencode_ms\tdecode_ms\ttotal_ms\ttext\n'
} >"$rows"
cat "$rows" | grep '^#'

ct2() { # TYPE
    PYTHONPATH=$(bench/peers.sh) $python bench/peers.py ct2 "$($python tools/fetch_models.py path base)" \
        "$1" "$threads" "${files[@]}"
}

# ours NAME MODEL OPTIONS...: a target of its own, so that nothing is warm that a peer has not warm.
ours() {
    local name=$1 model=$2 address=; shift 2
    "$bin/target_node" --no-config --model "$model" --threads "$threads" --listen 127.0.0.1:0 2>"$work/log" &
    target=$!
    while [ -z "$address" ]; do
        address=$(sed -n 's/.*listening on \([0-9.]*:[0-9]*\).*/\1/p' "$work/log" | head -n 1)
        kill -0 "$target" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
        sleep 0.05
    done
    "$bin/draft_node" --no-config --target "$address" --language en --no-fallback --threads "$threads" \
        --format json "$@" "${files[@]}" >"$work/results"
    kill "$target"; wait "$target" || true; target=
    $python bench/peers.py ours "$name" "$work/results"
}

measure() { # NAME COMMAND...: appends rows, says how it goes
    local name=$1; shift
    printf '  %-32s' "$name"
    local start=$SECONDS
    "$@" >>"$rows"
    printf '%4d s\n' $((SECONDS - start))
}

for ((round = 1; round <= rounds; round++)); do
    echo "round $round of $rounds"
    measure specasr-f16 ours specasr-f16 base --no-draft
    measure specasr-q8_0 ours specasr-q8_0 base-q8_0 --no-draft
    measure specasr-f16-split ours specasr-f16-split base --model tiny.en
    case " $peers " in *" ct2 "*) measure ctranslate2-float32 ct2 float32; measure ctranslate2-int8 ct2 int8;; esac
    case " $peers " in *" whispercpp "*)
        if [ -n "${WHISPER_CLI:-}" ]; then
            for model in ${WHISPER_MODELS:?set WHISPER_MODELS to the ggml files}; do
                measure "whisper.cpp $(basename "$model")" $python bench/peers.py whispercpp "$WHISPER_CLI" "$model" \
                    "$threads" "${files[@]}"
            done
        elif [ "$round" = 1 ]; then echo "  (whisper.cpp left out: WHISPER_CLI is not set)"; fi;;
    esac
done
echo
$python bench/peers.py report "$rows"
echo "rows: $rows"
