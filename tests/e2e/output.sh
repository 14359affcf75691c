#!/bin/bash
# output.sh BIN: what the programs write and accept: formats, live PCM, broken outputs, options, configuration.
. "${0%/*}/lib.sh"
cd "$work" || exit 2
start_target target --model base || exit 2
files=("$cards/001.wav" "$good_file" "$cards/004.wav")

# ---- formats ----

client --target "$address" "${files[@]}"
verdict "text: a line per file" "$(why_not_text "$(text_of 001)"$'\n'"$good_text"$'\n'"$(text_of 004)")"

client --target "$address" --format json "${files[@]}"
cat >wanted.py <<'PYTHON'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
assert [r["file"] for r in rows] == sys.argv[2:], "files"
names = ("audio_s tokens passes rounds rows draft_steps target_encode_ms target_decode_ms draft_encode_ms "
         "draft_decode_ms total_ms resumes targets").split()
for r in rows:
    assert set("file language text tokens segments stats".split()) <= set(r), r.keys()
    s = r["stats"]
    assert set(names) <= set(s), set(names) - set(s)
    assert r["language"] == "en" and r["tokens"] and all(0 <= t < 51865 for t in r["tokens"]), r["tokens"]
    assert 50257 not in r["tokens"], "the end token is among the tokens"
    assert s["tokens"] == len(r["tokens"]) + 1, "stats.tokens counts the end token"
    assert s["passes"] >= 1 and s["rows"] >= s["passes"] and s["rounds"] >= 1 and s["resumes"] == 0, s
    assert s["total_ms"] >= s["target_encode_ms"] > 0 and len(s["targets"]) == 1, s
PYTHON
why=$(/usr/bin/python3 wanted.py out "${files[@]}" 2>&1 | tail -n 1); [ "$rc" = 0 ] || why="exit code $rc: $(cat err)"
verdict "json: an object per file" "$why"

cat >cues.py <<'PYTHON'
import re, sys
form, text = sys.argv[1], open(sys.argv[2], encoding="utf-8").read()
mark = "," if form == "srt" else "."
time = r"(\d\d):(\d\d):(\d\d)\%s(\d\d\d)" % mark
seconds = lambda g: int(g[0]) * 3600 + int(g[1]) * 60 + int(g[2]) + int(g[3]) / 1000
cues = []
if form == "tsv":
    lines = text.splitlines()
    assert lines[0] == "start\tend\ttext", lines[0]
    for line in lines[1:]:
        start, end, words = line.split("\t")
        cues.append((int(start) / 1000, int(end) / 1000, words))
else:
    if form == "vtt":
        assert text.startswith("WEBVTT\n\n"), text[:20]
        text = text[len("WEBVTT\n\n"):]
    for number, block in enumerate(text.strip().split("\n\n"), 1):
        lines = block.split("\n")
        if form == "srt":
            assert lines.pop(0) == str(number), "cue %d: %r" % (number, block)
        found = re.fullmatch(time + " --> " + time, lines.pop(0))
        assert found, block
        cues.append((seconds(found.groups()[:4]), seconds(found.groups()[4:]), "\n".join(lines)))
assert cues, "no cues"
for (start, end, words) in cues:
    assert 0 <= start < end <= float(sys.argv[3]) and words.strip(), (start, end, words)
assert all(a[1] <= b[0] for a, b in zip(cues, cues[1:])), cues
assert re.search("sister|family|mother|house|her", " ".join(c[2] for c in cues), re.I), cues
PYTHON
book=$(echo "$books"/*0870.wav)
for form in srt vtt tsv; do
    client --target "$address" --format $form "$book"
    why=$(/usr/bin/python3 cues.py $form out 30.1 2>&1 | tail -n 1); [ "$rc" = 0 ] || why="exit code $rc: $(cat err)"
    verdict "$form: well-formed cues" "$why"
done
client --target "$address" --check --summary --timestamps --format json "$book"
why=; [ "$rc" = 0 ] || why="exit code $rc: $(cat err)"
[ "$(wc -l <out)" = 1 ] || why="the second pass of --check writes results too"
grep -q 'same as target alone.*yes' err || why="no verdict in the summary: $(cat err)"
verdict "--check with --summary" "$why"

# ---- what is learned from run to run ----

# A cache of its own, with the models of the real one.
mkdir -p private/specasr && ln -s "$cache"/whisper-*.gguf private/specasr/
learned() { awk '!/^#/ {n += $2; lines++} END {print lines == 12 ? int(n) : "not 12 lines"}' private/specasr/calibration-*-en.tsv; }
learn() { XDG_CACHE_HOME=$work/private client --target "$address" --timestamps --summary "$book"; }
learn; first=$(learned); first_line=$(grep '  calibration ' err); book_text=$(cat out)
learn; second=$(learned); second_line=$(grep '  calibration ' err); why=$(why_not_text "$book_text")
[ "$first" -gt 0 ] 2>/dev/null && [ "$second" -gt "$first" ] 2>/dev/null || why="$why $first, then $second tokens"
[[ $first_line =~ tokens ]] && [ "$first_line" != "$second_line" ] || why="$why '$first_line', then '$second_line'"
[ "$(ls private/specasr | grep -c calibration)" = 1 ] || why="$why $(ls private/specasr)"
verdict "calibration is kept from run to run" "$why"
# What is not such a table counts for nothing: each of these would count for more than 300 tokens.
table=$(awk 'BEGIN {FS = OFS = "\t"} !/^#/ {print $1, 300, 300}' private/specasr/calibration-*-en.tsv)
for broken in 'no table' "$(tail -n 11 <<<"$table")" "$table"$'\nmore' "$(sed '3s/300$/nan/' <<<"$table")" \
    "$(sed '3s/300$/301/' <<<"$table")" "$(sed '3s/^[0-9.]*/0.99/' <<<"$table")"; do
    echo "$broken" | tee private/specasr/calibration-*-en.tsv >/dev/null
    learn
    why=$(why_not_text "$book_text"); [ "$(learned)" -lt 300 ] 2>/dev/null || why="$why $(learned) tokens"
    verdict "calibration: broken in some way, begun anew" "$why"
done
echo "$table" | tee private/specasr/calibration-*-en.tsv >/dev/null
learn
why=; [ "$(learned)" -gt 3500 ] 2>/dev/null || why="$(learned) tokens"
verdict "calibration: a whole table is taken" "$why"

# ---- live PCM ----

"$helpers/make_audio" "$cards/001.wav" a.raw 16000 1 && "$helpers/make_audio" "$good_file" b.raw 16000 1
head -c 64000 /dev/zero >silence.raw # two seconds
cat silence.raw a.raw silence.raw b.raw silence.raw >live.raw
client --target "$address" --format json - <live.raw
why=; [ "$rc" = 0 ] || why="exit code $rc: $(cat err)"
[ "$(json 'len(r)')" = 2 ] || why="$(json 'len(r)') utterances: $(cat out)"
[[ $(json 'r[0]["text"].lower()') =~ clubs ]] && [[ $(json 'r[1]["text"].lower()') =~ spades.*hearts ]] || why=$(cat out)
[ "$(json 'r[0]["file"]')" = - ] || why="file: $(json 'r[0]["file"]')"
verdict "live PCM: two utterances" "$why"
client --target "$address" - <silence.raw
verdict "live PCM: silence" "$(why_not_text '')"
client --target "$address" - </dev/null
verdict "live PCM: nothing" "$(why_not_text '')"
client --target "$address" - <<<'odd'
why=; [ "$rc" = 0 ] && [ ! -s out ] || why="exit code $rc: $(cat out err)"
verdict "live PCM: a few bytes" "$why"
client --target "$address" - <"$work"
verdict "live PCM: stdin is a folder" "$(why_not_refused 1 '^draft_node: error: .*stdin')"
client --target "$address" - <&-
verdict "live PCM: stdin is closed" "$(why_not_refused 1 '^draft_node: error: .*stdin')"

# ---- outputs that break ----

timeout "$limit" "$bin/draft_node" --no-config --target "$address" --no-draft "$good_file" >/dev/full 2>err; rc=$?; : >out
verdict "full disk" "$(why_not_refused 1 '^draft_node: error: .*(write|written).*')"
{ timeout "$limit" "$bin/draft_node" --no-config --target "$address" --no-draft "${files[@]}" "${files[@]}" 2>err; echo $? >code; } |
    head -c 1 >first_byte
rc=$(cat code); : >out
verdict "reader of stdout gone" "$(why_not_refused 1 '^draft_node: error: .*(write|written).*')"
timeout "$limit" "$bin/draft_node" --no-config --target "$address" --no-draft "$good_file" >&- 2>err; rc=$?
verdict "stdout closed" "$(why_not_refused 1 '^draft_node: error: .*(write|written).*')"
timeout "$limit" "$bin/draft_node" --no-config --target "$address" --no-draft "$good_file" 2>&- >out; rc=$?; : >err
verdict "stderr closed" "$(why_not_text "$good_text")"
still_serves "after broken outputs"

# ---- options ----

for program in target_node draft_node; do
    "$bin/$program" --no-config --help >out 2>err; rc=$?
    why=; [ "$rc" = 0 ] && [ ! -s err ] || why="exit code $rc: $(cat err)"
    for word in --threads --config --version "$program"; do grep -q -- "$word" out || why="nothing about $word"; done
    [ "$(awk '{if (length > 80) n++} END {print n + 0}' out)" = 0 ] || why="lines of more than 80 columns"
    verdict "$program --help" "$why"
    "$bin/$program" --no-config --version >out 2>err; rc=$?
    why=; [ "$rc" = 0 ] && grep -Eq "^$program [0-9]+\.[0-9]+" out && [ ! -s err ] || why="$rc $(cat out err)"
    verdict "$program --version" "$why"
    "$bin/$program" --no-config --thread 2 >out 2>err; rc=$?
    verdict "$program: unknown option" "$(why_not_refused 2 "^$program: .*--thread.*--threads.*")"
    "$bin/$program" --no-config --threads many >out 2>err; rc=$?
    verdict "$program: bad number" "$(why_not_refused 2 "^$program: .*--threads.*many")"
    "$bin/$program" --no-config --log-level loud >out 2>err; rc=$?
    verdict "$program: bad choice" "$(why_not_refused 2 "^$program: .*--log-level.*error, warn, info, debug|^$program: .*--log-level.*loud")"
    # Its own --print-config as configuration file gives the same again, changed values included.
    "$bin/$program" --no-config --threads 3 --log-level warn --print-config >first.conf 2>err; rc=$?
    [ "$rc" = 0 ] || fail "$program --print-config" "exit code $rc: $(cat err)"
    "$bin/$program" --config first.conf --print-config >second.conf 2>err
    sed -i 's/ *#.*//' first.conf second.conf # where each value comes from
    why=; cmp -s first.conf second.conf || why=$(diff first.conf second.conf | head -n 5; cat err)
    grep -Eq '^threads *= *3( |$)' second.conf || why="threads is not in it"
    verdict "$program: configuration file, round trip" "$why"
    "$bin/$program" --config missing.conf --print-config >out 2>err; rc=$?
    verdict "$program: no such configuration file" "$(why_not_refused 2 "^$program: .*missing.conf")"
    echo 'threds = 2' >typo.conf
    "$bin/$program" --config typo.conf --print-config >out 2>err; rc=$?
    verdict "$program: unknown name in the configuration file" "$(why_not_refused 2 "^$program: .*typo.conf:1.*threds.*threads")"
    "$bin/$program" --no-config --model base --kernels mmx --listen 127.0.0.1:0 "$good_file" >out 2>err; rc=$?
    [ $program = target_node ] || { client --target "$address" --kernels mmx "$good_file"; }
    why=; [ "$rc" != 0 ] && [ "$(wc -l <err)" = 1 ] && [ ! -s out ] || why="exit code $rc: $(cat out err)"
    verdict "$program: unknown kernel set" "$why"
done
usage() { client "${@:3}"; verdict "$1" "$(why_not_refused 2 "$2")"; }
usage "no files" 'at least one audio file'
usage "an address without a port" '--target.*(HOST:PORT|host:port)' --target nowhere "$good_file"
usage "a port too large" '--target.*65535' --target 127.0.0.1:99999 "$good_file"
usage "- among files" '- stands alone' --target "$address" - "$good_file"
usage "--check with --no-draft" '--check' --target "$address" --check --no-draft "$good_file"
usage "a format that is not there" '--format.*(docx|text, json)' --target "$address" --format docx "$good_file"
client_refused "a language that is not there" 1 'no language "tlh"|language.*tlh' --target "$address" --no-draft --language tlh "$good_file"
"$bin/target_node" --no-config extra >out 2>err; rc=$?
verdict "target_node: a free argument" "$(why_not_refused 2 'extra')"
"$bin/target_node" --no-config --tls-key server.key >out 2>err; rc=$?
verdict "target_node: a key without certificate" "$(why_not_refused 2 'go together')"
still_serves "at the end"
e2e_finish
