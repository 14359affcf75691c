#!/bin/bash
# bad_audio.sh BIN: odd, broken and missing audio, file by file and all at once; the server goes on serving.
. "${0%/*}/lib.sh"

make_audio() { "$helpers/make_audio" "$@" || fail "make_audio $2" "cannot be made"; }
cd "$work" || exit 2
make_audio "$good_file" eight.wav 16000 8
make_audio "$good_file" slow.wav 4000 1
make_audio "$good_file" fast.wav 192000 1
make_audio "$good_file" stereo.mp3 44100 2
make_audio "$good_file" whole.flac 16000 1
make_audio "$good_file" opera.ogg 48000 2
make_audio "$good_file" one.wav 16000 1 1
make_audio "$good_file" one.flac 44100 2 1
make_audio "$good_file" short.wav 16000 1 1599
make_audio silence silent.flac 44100 2
make_audio silence silent.wav 16000 1
: >empty.wav
mkdir folder.wav
echo 'Dear Sir or Madam, this is a letter and no audio at all.' >letter.wav
head -c 20000 /dev/zero | tr '\0' '\251' >noise.flac
head -c 30 "$good_file" >head.wav
head -c 20 whole.flac >head.flac
head -c 3 stereo.mp3 >head.mp3
head -c 80000 "$good_file" >cut.wav
head -c $(($(stat -c %s whole.flac) * 2 / 3)) whole.flac >cut.flac
head -c $(($(stat -c %s stereo.mp3) * 2 / 3)) stereo.mp3 >cut.mp3
head -c $(($(stat -c %s opera.ogg) * 2 / 3)) opera.ogg >cut.ogg
head -c 2000 "$good_file" >stub.wav
cp stereo.mp3 damaged.mp3; head -c 3000 /dev/zero | tr '\0' Z | dd of=damaged.mp3 bs=1 seek=12000 conv=notrunc status=none
ln -s nowhere.wav dangling.wav

start_target target --model base || exit 2

# Each alone: one line, exit code 1, nothing on stdout.
bad=(missing.wav empty.wav folder.wav letter.wav noise.flac head.wav head.flac head.mp3 dangling.wav one.wav one.flac
    short.wav silent.wav silent.flac stub.wav)
declare -A says=([missing.wav]='no such file: check the path' [empty.wav]='is empty: copy or record it again'
    [one.wav]='is too short to hold speech.*give at least 0.1 s' [one.flac]='is too short to hold speech'
    [short.wav]='is too short to hold speech' [silent.wav]='is silent: nothing to transcribe; check the recording'
    [silent.flac]='is silent: nothing to transcribe' [stub.wav]='is truncated.*get the file again; but there is nothing'
    [folder.wav]='is a folder: give an audio file'
    [letter.wav]='is not audio.*convert it' [noise.flac]='is not audio.*convert it' [head.wav]='is damaged.*get it again'
    [head.flac]='is damaged.*get it again' [head.mp3]='is not audio' [dangling.wav]='no such file: check the path')
for file in "${bad[@]}"; do
    client_refused "$file" 1 "^draft_node: error: $file.*${says[$file]}" --target "$address" --no-draft "$file"
done
client_refused "a device" 1 '/dev/null is not a regular file' --target "$address" --no-draft /dev/null
still_serves "after bad files"

# All in one run, good ones between them: each is reported, each good one has its text.
client --target "$address" "${bad[@]:0:4}" "$good_file" "${bad[@]:4}" "$cards/001.wav"
why=
[ "$rc" = 1 ] || why="exit code $rc"
[ "$(cat out)" = "$good_text"$'\n'"$(text_of 001)" ] || why="stdout: $(cat out)"
[ "$(wc -l <err)" = ${#bad[@]} ] || why="not a line per bad file: $(cat err)"
for file in "${bad[@]}"; do grep -q "$file" err || why="nothing about $file"; done
verdict "good files among bad ones" "$why"

# What can be decoded is: with drafts, and the same without .
odd=(eight.wav slow.wav fast.wav stereo.mp3 whole.flac opera.ogg)
client --target "$address" --no-draft --format json "${odd[@]}"
json '[x["tokens"] for x in r]' >alone
client --target "$address" --format json "${odd[@]}"
why=
[ "$rc" = 0 ] && [ ! -s err ] || why="exit code $rc: $(cat err)"
[ "$(json 'len(r)')" = ${#odd[@]} ] || why="$(json 'len(r)') results"
[ "$(json '[x["tokens"] for x in r]')" = "$(cat alone)" ] || why="$(json '[x["tokens"] for x in r]') is not $(cat alone)"
verdict "odd files, same with and without drafts" "$why"
for i in 0 4; do
    [ "$(json "r[$i]['text']")" = "$good_text" ] && ok "${odd[$i]}: the text" || fail "${odd[$i]}: the text" "$(json "r[$i]['text']")"
done
for i in 1 2 3 5; do
    [[ $(json "r[$i]['text'].lower()") =~ 8.of.*4.of.*7.of ]] && ok "${odd[$i]}: the text" ||
        fail "${odd[$i]}: the text" "$(json "r[$i]['text']")"
done

# Truncated or damaged: the text of what is there, then the error and nothing else (libmpg123 would say more); each
# alone, and among good files with --check and --summary.
cut=(cut.wav cut.flac cut.ogg cut.mp3)
for file in "${cut[@]}" damaged.mp3; do
    client --target "$address" "$file"
    why=
    [ "$rc" = 1 ] || why="exit code $rc"
    [[ $(tr '[:upper:]' '[:lower:]' <out) =~ 8.of ]] || why="$why text: $(cat out)"
    [ "$(wc -l <err)" = 1 ] && grep -Eq "^draft_node: error: $file (is truncated|is damaged).*used; get the file again$" err ||
        why="$why stderr: $(cat err)"
    verdict "$file: what is there is transcribed, then the error" "$why"
done
client --target "$address" --check --summary --format json "$good_file" "${cut[@]}" silent.wav "$cards/001.wav"
why=
[ "$rc" = 1 ] || why="exit code $rc"
[ "$(json 'len(r), r[0]["text"], r[5]["text"]')" = "(6, '$good_text', '$(text_of 001)')" ] || why="$why $(cat out)"
for file in "${cut[@]}" silent.wav; do
    [ "$(grep -c "^draft_node: error: $file " err)" = 1 ] || why="$why $file is not reported once: $(cat err)"
done
grep -q 'in 6 files, 4 of them damaged, 1 more failed' err && grep -q 'target alone: yes (6 of 6' err || why="$why summary: $(cat err)"
verdict "truncated files with --check: reported once" "$why"
still_serves "after odd files"
e2e_finish
