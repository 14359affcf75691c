#!/bin/bash
# demo.sh BIN [FILE...]: what `make run` shows. Starts target_node on a free loopback port, lets draft_node transcribe
# real speech through it (given files, else LibriVox readings from Debian's pocketsphinx-testdata) and compare with the
# target alone, prints text and summary, stops the target.
set -eu
if [ $# -lt 1 ]; then echo "usage: demo.sh BIN [FILE...]" >&2; exit 2; fi
bin=$1; shift
data=/usr/share/pocketsphinx/test/data
files=("$@")
[ ${#files[@]} -gt 0 ] || files=("$data"/librivox/*.wav "$data"/cards/*.wav)
for file in "${files[@]}"; do
    if [ ! -r "$file" ]; then
        echo "demo.sh: no speech at $file: run \`make deps\` or name audio files" >&2; exit 1
    fi
done

work=$(mktemp -d)
target=
stop_target() {
    if [ -n "$target" ]; then kill -TERM "$target" 2>/dev/null || true; wait "$target" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap stop_target EXIT
trap 'exit 130' INT TERM

"$bin/target_node" --no-config --model base --listen 127.0.0.1:0 2>"$work/target.log" &
target=$!
address=
for ((i = 0; i < 600 && ${#address} == 0; i++)); do
    address=$(sed -n 's/.*listening on \([0-9.]*:[0-9]*\).*/\1/p' "$work/target.log" | head -n 1)
    if [ -z "$address" ] && ! kill -0 "$target" 2>/dev/null; then break; fi
    [ -n "$address" ] || sleep 0.1
done
if [ -z "$address" ]; then
    echo "demo.sh: target_node did not open its port:" >&2; cat "$work/target.log" >&2; exit 1
fi
echo "target_node (Whisper base) is listening on $address; draft_node (Whisper tiny.en) transcribes ${#files[@]} files"
echo

rc=0
"$bin/draft_node" --no-config --target "$address" --model tiny.en --language en --check --summary "${files[@]}" || rc=$?

kill -TERM "$target"
end=0
for ((i = 0; i < 50; i++)); do
    if ! kill -0 "$target" 2>/dev/null; then end=1; break; fi
    sleep 0.1
done
if [ $end = 0 ]; then kill -KILL "$target"; echo "demo.sh: target_node did not end within 5 s of SIGTERM" >&2; rc=1; fi
target_rc=0; wait "$target" || target_rc=$?
target=
if [ $target_rc != 0 ]; then
    echo "demo.sh: target_node ended with code $target_rc:" >&2; tail -n 5 "$work/target.log" >&2; rc=1
fi
exit $rc
