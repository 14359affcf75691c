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
ln -s nowhere.wav dangling.wav

start_target target --model base || exit 2

# Each alone: one line, exit code 1, nothing on stdout.
bad=(missing.wav empty.wav folder.wav letter.wav noise.flac head.wav head.flac head.mp3 dangling.wav)
declare -A says=([missing.wav]='no such file' [empty.wav]='is empty' [folder.wav]='is a folder: give an audio file'
    [letter.wav]='is not audio.*convert it' [noise.flac]='is not audio.*convert it' [head.wav]='is damaged.*get it again'
    [head.flac]='is damaged.*get it again' [head.mp3]='is not audio' [dangling.wav]='no such file')
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
odd=(eight.wav slow.wav fast.wav stereo.mp3 whole.flac opera.ogg cut.wav cut.flac cut.mp3 one.wav silent.wav)
client --target "$address" --no-draft --format json "${odd[@]}"
json '[x["tokens"] for x in r]' >alone
client --target "$address" --format json "${odd[@]}"
why=
[ "$rc" = 0 ] || why="exit code $rc: $(cat err)"
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
for i in 6 7 8; do
    why=
    [[ $(json "r[$i]['text'].lower()") =~ 8.of ]] || why=$(json "r[$i]['text']")
    [ "$(grep -c "^draft_node: warning: ${odd[$i]} .*used" err)" = 1 ] || why="no warning: $(cat err)"
    [ "$(json "0.5 < r[$i]['stats']['audio_s']")" = True ] || why="$(json "r[$i]['stats']['audio_s']") s"
    verdict "${odd[$i]}: what is there is used, with a warning" "$why"
done
why=; [ "$(json "r[9]['text'].strip()")" = '' ] || why=$(json "r[9]['text']")
verdict "one sample: no text" "$why"
why=; [ "$(json "len(r[10]['tokens']) < 5")" = True ] || why=$(json "r[10]['text']")
verdict "silence: hardly any text" "$why"
still_serves "after odd files"
e2e_finish
