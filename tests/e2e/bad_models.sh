#!/bin/bash
# bad_models.sh BIN: models that are missing, broken, of another kind or in another role, for both programs.
. "${0%/*}/lib.sh"
cd "$work" || exit 2
tiny=$cache/whisper-tiny.en.gguf
base=$cache/whisper-base.gguf

# A copy with some bytes replaced: FROM TO OFFSET BYTES (as for printf).
patched() {
    cp --reflink=auto "$1" "$2" && printf "%b" "$4" | dd of="$2" bs=1 seek="$3" conv=notrunc status=none
}
size=$(stat -c %s "$tiny")
: >empty.gguf
mkdir folder.gguf
echo 'These are no weights.' >text.gguf
head -c 3 "$tiny" >head.gguf
head -c 100000 "$tiny" >cut_header.gguf
head -c $((size / 2)) "$tiny" >cut.gguf
{ printf '\6\0\0\0\13\0WhisperSpec\0'; head -c 50000 /dev/zero; } >model.bin
{ printf 'lmgg'; head -c 50000 /dev/zero; } >ggml.bin
patched "$tiny" future.gguf 4 '\x09\0\0\0'
patched "$tiny" damaged_header.gguf 5000 'XYZ'
patched "$tiny" damaged.gguf $((size - 1000000)) '\xde\xad\xbe\xef'

bad=(base-nonsense missing.gguf empty.gguf folder.gguf text.gguf head.gguf cut_header.gguf cut.gguf model.bin ggml.bin
    future.gguf damaged_header.gguf damaged.gguf)
declare -A says=([base-nonsense]='no model .*`make models`' [missing.gguf]='no model file .*give its path' [empty.gguf]='empty'
    [folder.gguf]='is not a file' [text.gguf]='not a GGUF model.*`make models`' [head.gguf]='GGUF'
    [cut_header.gguf]='absurd length|truncated|damaged' [cut.gguf]='truncated.*fetch or convert' [model.bin]='CTranslate2.*convert'
    [ggml.bin]='ggml.*convert' [future.gguf]='version 9.*newer specasr' [damaged_header.gguf]='damaged|GGUF header'
    [damaged.gguf]='damaged.*fetch or convert')

target() { timeout -k 5 "$limit" "$bin/target_node" --no-config --listen 127.0.0.1:0 "$@" >"$work/out" 2>"$work/err"; rc=$?; }
start_target target --model "$base" || exit 2
for model in "${bad[@]}"; do
    name=$model; [ "$model" = base-nonsense ] || model=./$model
    target --model "$model"
    verdict "target_node, $name" "$(why_not_refused 1 "^target_node: error: .*$name")"
    grep -Eq "${says[$name]}" err && ok "target_node, $name: says why" || fail "target_node, $name: says why" "$(cat err)"
    client_refused "draft_node, $name" 1 "^draft_node: error: .*$name" --target "$address" --model "$model" "$good_file"
    grep -Eq "${says[$name]}" err && ok "draft_node, $name: says why" || fail "draft_node, $name: says why" "$(cat err)"
done
still_serves "after bad draft models"

# A draft model with the target's own vocabulary; the text is the same, in fewer passes than tokens if rows are free.
client --target "$address" --model "$base" --row-price 0 --wait-draft --format json "$good_file"
why=
[ "$(json "r[0]['text']")" = "$good_text" ] || why="$(json "r[0]['text']") ($(cat err))"
[ "$(json "r[0]['stats']['passes'] < 4")" = True ] || why="$(json "r[0]['stats']") with the target itself as draft"
verdict "the target's own model as draft" "$why"
# Another vocabulary: mapped.
client --target "$address" --model "$tiny" --row-price 0 --wait-draft --format json "$good_file"
why=
[ "$(json "r[0]['text']")" = "$good_text" ] || why="$(json "r[0]['text']") ($(cat err))"
[ "$(json "r[0]['stats']['passes'] < r[0]['stats']['tokens'] / 2")" = True ] || why=$(json "r[0]['stats']")
verdict "a draft model of another vocabulary" "$why"

# The kept vocabulary of the target is damaged, or a stranger's file: fetched again.
export XDG_CACHE_HOME=$work/cache
mkdir -p cache/specasr
for round in none damaged foreign; do
    kept=$(find cache -name 'vocabulary-*.bin')
    [ $round = none ] || [ -n "$kept" ] || fail "the vocabulary is kept" "nothing in the cache"
    [ $round != damaged ] || printf 'XXXXXXXX' | dd of="$kept" bs=1 seek=2000 conv=notrunc status=none
    [ $round != foreign ] || echo 'no vocabulary at all' >"$kept"
    client --target "$address" --model "$tiny" --row-price 0 --wait-draft --format json "$good_file"
    why=
    [ "$(json "r[0]['text']")" = "$good_text" ] || why="$(json "r[0]['text']") ($(cat err))"
    [ "$(json "r[0]['stats']['passes'] < r[0]['stats']['tokens'] / 2")" = True ] || why=$(json "r[0]['stats']")
    verdict "vocabulary in the cache: $round" "$why"
done
[ "$(stat -c %s "$(find cache -name 'vocabulary-*.bin')")" -gt 100000 ] && ok "vocabulary in the cache: mended" ||
    fail "vocabulary in the cache: mended" "$(ls -l cache/specasr)"
unset XDG_CACHE_HOME

# The English-only draft model as target: serves English, refuses the rest; base drafts for it.
start_target english --model "$tiny" || exit 2
client --target "$address" --model "$base" --check --row-price 0 "$good_file"
why=
[ "$rc" = 0 ] || why="exit code $rc: $(cat err)"
[[ $(tr '[:upper:]' '[:lower:]' <out) =~ (8|eight).of.*(7|seven).of ]] || why="text: $(cat out)"
verdict "the draft model as target, the target's as draft" "$why"
client_refused "another language from an English-only target" 1 'English only.*(--language )?en' \
    --target "$address" --no-draft --language de "$good_file"
client_refused "a translation from an English-only target" 1 'English only.*does not translate' \
    --target "$address" --no-draft --translate "$good_file"
client --target "$address" --no-draft "$good_file"
[ "$rc" = 0 ] && ok "English-only target goes on serving" || fail "English-only target goes on serving" "$(cat err)"
e2e_finish
