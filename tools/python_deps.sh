#!/bin/bash
# python_deps.sh: the Python packages that tests compare with (tiktoken and what it imports), pinned by hash,
# into ${XDG_CACHE_HOME:-~/.cache}/specasr/python. Does nothing where they are already there; safe to run twice
# at once. Prints the folder.
set -euo pipefail
cache=${XDG_CACHE_HOME:-$HOME/.cache}/specasr
target=$cache/python
mkdir -p "$cache"

requirements() {
    cat <<'LIST'
tiktoken==0.14.0 \
    --hash=sha256:f5e7665f6624e052e5e7f6a36919ab69279decdc976d7b16b4fa15e1897d0513 \
    --hash=sha256:1f83081065ee5833d35b49e9180f3d8d15622a603dd1c435da0da6cc12b3662f
regex==2026.11.15 \
    --hash=sha256:aafeb64c8569d69edfbf772feba49d2a001d3dca0f43e6a71e3735587ecb8222 \
    --hash=sha256:caeba590c348e1960ef9ce99589af4ab53b481f68b35ebd7f536abec2b072d54
LIST
}

stamp=$(requirements | sha256sum | cut -c1-16)
exec 9>"$cache/python.lock"
flock 9
if [ ! -e "$target/installed-$stamp" ]; then
    if ! /usr/bin/python3 -m pip --version >/dev/null 2>&1; then
        echo "python_deps.sh: pip is missing: apt-get install python3-pip" >&2
        exit 1
    fi
    fresh=$(mktemp -d "$cache/python.XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
    requirements >"$fresh/requirements.txt"
    /usr/bin/python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
        --no-deps --only-binary :all: --require-hashes --target "$fresh/packages" \
        -r "$fresh/requirements.txt" >&2
    touch "$fresh/packages/installed-$stamp"
    rm -rf "$target"
    mv "$fresh/packages" "$target"
fi
echo "$target"
