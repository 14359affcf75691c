#!/bin/bash
# models.sh BINDIR: leaves whisper-base.gguf, whisper-base-q8_0.gguf and whisper-tiny.en.gguf in the model
# cache (${XDG_CACHE_HOME:-~/.cache}/specasr). A file that is sound and of this converter's version is kept; else
# the weights are fetched (unless they are there) and converted.
set -eu
bin=${1:?usage: models.sh BINDIR (the folder with the convert program)}
tools=$(cd "$(dirname "$0")" && pwd)
python=/usr/bin/python3
[ -x "$python" ] || python=python3
case ${XDG_CACHE_HOME:-} in
/*) cache=$XDG_CACHE_HOME/specasr ;;
*) cache=$HOME/.cache/specasr ;;
esac

make_model() { # NAME TYPE FILE
    if [ -f "$cache/$3" ] && "$bin/convert" --quiet --check "$cache/$3" 2>/dev/null; then
        return
    fi
    "$python" "$tools/fetch_models.py" fetch "$1"
    "$bin/convert" "$("$python" "$tools/fetch_models.py" path "$1")" "$cache/$3" \
        --type "$2" --name "whisper-$1"
}

make_model base f16 whisper-base.gguf
make_model base q8_0 whisper-base-q8_0.gguf
make_model tiny.en f16 whisper-tiny.en.gguf
echo "models are in $cache"
