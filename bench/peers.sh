#!/bin/bash
# peers.sh: CTranslate2, pinned by hash, in ${XDG_CACHE_HOME:-~/.cache}/specasr/peers for bench/run.sh. Prints the folder
# for PYTHONPATH. whisper.cpp has to be built from its source: bench/README.md says how.
set -eu
cache=${XDG_CACHE_HOME:-$HOME/.cache}/specasr
target=$cache/peers
mkdir -p "$cache"

requirements() {
    cat <<'LIST'
ctranslate2==4.8.5 --hash=sha256:79a30a2c974530dbb5083f4922d28ffad87e08542f423aa91c53fbf4543cc35f
pyyaml==6.0.3 --hash=sha256:b8bb0864c5a28024fac8a632c443c87c5aa6f215c0b126c449ae1a150412f31d
LIST
}

stamp=$(requirements | sha256sum | cut -c1-16)
if [ ! -e "$target/installed-$stamp" ]; then
    fresh=$(mktemp -d "$cache/peers.XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
    requirements >"$fresh/requirements.txt"
    echo "peers.sh: fetching CTranslate2 from PyPI" >&2
    /usr/bin/python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
        --no-deps --only-binary :all: --require-hashes --target "$fresh/packages" -r "$fresh/requirements.txt" >&2
    touch "$fresh/packages/installed-$stamp"
    rm -rf "$target"
    mv "$fresh/packages" "$target"
fi
echo "$target"
