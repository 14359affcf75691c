"""Runs target_node and draft_node over speech and checks what they promise.

    /usr/bin/python3 tools/check_speech.py BIN --shared FOLDER [--quick] [--only PART ...]
    /usr/bin/python3 tools/check_speech.py BIN --package

FOLDER has golden/*.jsonl (reference tokens) and data/speech/SET/{manifest.tsv, audio}. Parts:

    golden   the target alone gives the reference tokens wherever the reference's gap is above 1e-2
    split    with drafts the text is that of the target alone, on every file, under each set of flags
    passes   tokens per target pass and rounds with whole drafts and free rows
    wer      word error rates of the f16 and the 8-bit target

--package: the ten files of pocketsphinx-testdata against tests/golden/*.txt, alone and with drafts.
Ends with "N passed, N failed"; a case is a file under a set of flags, or a figure.
"""
import argparse
import collections
import csv
import glob
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unicodedata

REPO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
PACKAGE = "/usr/share/pocketsphinx/test/data"
NEAR_TIE = 1e-2
OPEN_S, FILE_S = 60, 600
WHOLE = ("--wait-draft", "--row-price", "0")
QUICK_STEP = 5

Speech = collections.namedtuple("Speech", "id set path language transcript")


def cached(name):
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(cache, "specasr", name)


def flag_text(flags):
    return " ".join(flags) or "default flags"


class Failure(Exception):
    """A program did not do its job: no case can be judged."""


class Report:
    """Counts cases; remembers a line per run for the table."""

    def __init__(self):
        self.passed = self.failed = 0
        self.rows, self.mismatches = [], []

    def case(self, good, text):
        if good:
            self.passed += 1
        else:
            self.failed += 1
            self.mismatches.append(text)
            print("FAILED " + text, flush=True)

    def row(self, part, what, n, n_failed, note=""):
        self.rows.append((part, what, n, n_failed, note))
        print(f"{part:7} {what:60} {n:4} files {int(n_failed):3} failed  {note}", flush=True)

    def close(self):
        print("\n" + "-" * 100)
        for part, what, n, n_failed, note in self.rows:
            print(f"{part:7} {what:60} {n:4} {'ok' if n_failed == 0 else f'{int(n_failed)} FAILED':9} {note}")
        for text in self.mismatches:
            print("FAILED " + text)
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0


class Target:
    """A target_node on a free port for the length of a with block; names or paths of models."""

    def __init__(self, bin_folder, model):
        self.bin, self.model = bin_folder, model
        self.process = self.address = self.log = None

    def command(self):
        return [os.path.join(self.bin, "target_node"), "--no-config", "--model", self.model, "--listen",
                "127.0.0.1:0"]

    def __enter__(self):
        self.log = tempfile.NamedTemporaryFile(mode="w+", suffix=".log")
        self.process = subprocess.Popen(self.command(), stderr=self.log, stdout=self.log)
        end = time.monotonic() + OPEN_S
        while time.monotonic() < end and self.process.poll() is None and not self.address:
            found = re.search(r"listening on ([0-9.]+:[0-9]+)", open(self.log.name).read())
            self.address = found and found.group(1)
            time.sleep(0.02)
        if not self.address:
            text = open(self.log.name).read()
            self.stop()
            raise Failure("target_node did not open its port: " + text)
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()

    def transcribe(self, speech, language, draft, flags):
        """{path: result}; draft None: the target alone."""
        command = [os.path.join(self.bin, "draft_node"), "--no-config", "--target", self.address, "--format", "json",
                   "--no-progress", "--language", language, *flags]
        command += ["--model", draft] if draft else ["--no-draft"]
        paths = [s.path for s in speech]
        try:
            run = subprocess.run(command + paths, capture_output=True, timeout=FILE_S * (1 + len(paths)), text=True)
        except subprocess.TimeoutExpired as late:
            raise Failure(f"{' '.join(command)}: nothing after {late.timeout:.0f} s") from late
        if run.returncode != 0:
            raise Failure(f"{' '.join(command)}: exit code {run.returncode}: {run.stderr[-2000:]}")
        results = {r["file"]: r for r in map(json.loads, run.stdout.splitlines())}
        if sorted(results) != sorted(paths):
            raise Failure(f"{' '.join(command)}: {len(results)} results for {len(paths)} files")
        return results

    def all_languages(self, speech, drafts, flags):
        """transcribe() once per language. drafts: function of the language, or None."""
        results = {}
        for language in sorted({s.language for s in speech}):
            own = [s for s in speech if s.language == language]
            results.update(self.transcribe(own, language, drafts and drafts(language), flags))
        return results


# ---- speech and references ----


def read_speech(shared, quick):
    speech = []
    for manifest in sorted(glob.glob(os.path.join(shared, "data", "speech", "*", "manifest.tsv"))):
        folder = os.path.dirname(manifest)
        rows = list(csv.DictReader(open(manifest, encoding="utf-8"), delimiter="\t", quoting=csv.QUOTE_NONE))
        for row in rows[::QUICK_STEP] if quick else rows:
            speech.append(Speech(row["id"], os.path.basename(folder), os.path.join(folder, row["file"]),
                                 row["language"], row["transcript"]))
    return speech


def read_golden(path):
    """{id: (tokens without the end token, gap)}"""
    golden = {}
    end = 50256 if "tiny.en" in path else 50257
    for line in open(path):
        if path.endswith(".jsonl"):
            row = json.loads(line)
            name, gap, tokens = row["id"], row["min_gap"], row["tokens"]
        elif line.startswith("#"):
            continue
        else:
            name, gap, *tokens = line.split()
            gap, tokens = float(gap), [int(t) for t in tokens]
        golden[name] = (tokens[:-1] if tokens[-1] == end else tokens, gap)
    return golden


def first_difference(expected, actual):
    at = next((i for i, (a, b) in enumerate(zip(expected, actual)) if a != b), min(len(expected), len(actual)))
    return (f"at token {at}: {expected[at:at + 4]} became {actual[at:at + 4]} "
            f"({len(expected)} and {len(actual)} tokens)")


def compare_golden(report, what, speech, golden, results):
    n_failed, near = 0, []
    for s in speech:
        expected, gap = golden[s.id]
        same = results[s.path]["tokens"] == expected
        if not same and gap <= NEAR_TIE:
            near.append(f"{s.id} ({gap:.5f})")
            continue
        n_failed += not same
        report.case(same, f"golden: {what}: {s.id}, gap {gap}: "
                          f"{'' if same else first_difference(expected, results[s.path]['tokens'])}")
    report.row("golden", what, len(speech), n_failed, "near-ties that differ: " + ", ".join(near) if near else "")


def compare_split(report, what, speech, alone, split):
    n_failed = 0
    for s in speech:
        a, b = alone[s.path], split[s.path]
        different = [key for key in ("tokens", "text", "language", "segments") if a.get(key) != b.get(key)]
        n_failed += bool(different)
        detail = first_difference(a["tokens"], b["tokens"]) if "tokens" in different else ""
        report.case(not different, f"split: {what}: {s.set}/{s.id}: {', '.join(different)} {detail}")
    report.row("split", what, len(speech), n_failed, pass_text([split[s.path]["stats"] for s in speech]))


# ---- figures ----


def ratio(stats):
    return sum(s["tokens"] for s in stats) / max(1, sum(s["passes"] for s in stats))


def mean_rounds(stats):
    return sum(s["rounds"] for s in stats) / max(1, len(stats))


def pass_text(stats):
    return f"{ratio(stats):.2f} tokens per pass, {mean_rounds(stats):.2f} rounds"


def words(text, language):
    """Lower case, no punctuation (apostrophes vanish), numbers as they are; Chinese by character."""
    kept = "".join(" " if unicodedata.category(c)[0] in "PSZC" and c not in "'\u2019" else c for c in text.lower())
    kept = kept.replace("'", "").replace("\u2019", "")
    return list(kept.replace(" ", "")) if language == "zh" else kept.split()


def edit_distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (x != y))
    return row[-1]


def word_errors(speech, results):
    """{set: (errors, words)}, the sum under ''."""
    sums = collections.defaultdict(lambda: (0, 0))
    for s in speech:
        reference = words(s.transcript, s.language)
        errors = edit_distance(reference, words(results[s.path]["text"], s.language))
        for key in (s.set, ""):
            sums[key] = (sums[key][0] + errors, sums[key][1] + len(reference))
    return sums


# ---- parts ----


def draft_for(language):
    """tiny.en where it can, else base in 8 bits drafts for base."""
    return "tiny.en" if language == "en" else cached("whisper-base-q8_0.gguf")


def part_golden(args, report, speech):
    for path in sorted(glob.glob(os.path.join(args.shared, "golden", "*.jsonl"))):
        golden = read_golden(path)
        own = [s for s in speech if s.id in golden]
        flags = ("--no-fallback",) + (("--timestamps",) if "timestamps" in path else ())
        model = "tiny.en" if "tiny.en" in path else "base"
        with Target(args.bin, model) as target:
            results = target.all_languages(own, None, flags)
        compare_golden(report, os.path.basename(path), own, golden, results)


SPLIT_RUNS = (  # flags of the decoding, flags of the drafts, step through the files
    ((), (), 1),
    ((), WHOLE, 1),
    ((), ("--lockstep",), 4),
    ((), ("--policy", "spec:8", "--lockstep"), 6),
    ((), ("--policy", "asp"), 6),
    ((), ("--policy", "asp+recycle:auto", "--lockstep"), 5),
    ((), ("--policy", "sparse", "--lockstep", "--row-price", "0"), 5),
    (("--timestamps",), ("--policy", "sparse", "--lockstep"), 5),
    (("--timestamps",), (), 1),
    (("--timestamps",), WHOLE, 3),
    (("--no-fallback",), WHOLE, 4),
    (("--temperature", "0.4", "--seed", "7"), (), 10),
)


def part_split(args, report, speech):
    alone = {}
    with Target(args.bin, "base") as target:
        for decoding, drafting, step in SPLIT_RUNS:
            own = speech[::step] if not args.quick else speech[:: 1 + step // 3]
            missing = [s for s in own if (decoding, s.path) not in alone]
            for path, result in target.all_languages(missing, None, decoding).items():
                alone[decoding, path] = result
            split = target.all_languages(own, draft_for, decoding + drafting)
            compare_split(report, flag_text(decoding + drafting), own,
                          {s.path: alone[decoding, s.path] for s in own}, split)
        auto = [s for s in speech if s.set in ("fleurs", "mandarin", "misc-en", "long")][:: 1 if args.quick else 3]
        detected = target.transcribe(auto, "auto", None, ())
        for draft in ("tiny.en", cached("whisper-base-q8_0.gguf")):     # the first drafts English for all
            compare_split(report, "--language auto, drafts of " + os.path.basename(draft), auto, detected,
                          target.transcribe(auto, "auto", draft, ()))


PASSES = {"librispeech-test-other": 4.5, "librispeech-test-clean": 5.3, "ljspeech": 7.6, "nonnative-en": 3.3}
PASSES_TIMESTAMPS, ROUNDS = 5.0, 1.1


def judge_passes(report, what, speech, results, least):
    stats = [results[s.path]["stats"] for s in speech]
    good = bool(stats) and ratio(stats) >= least
    report.case(good, f"passes: {what}: {ratio(stats):.2f} tokens per pass, at least {least} were promised")
    report.row("passes", what, len(stats), not good, f"{pass_text(stats)} (promised: {least})")
    return stats


def part_passes(args, report, speech):
    golden = read_golden(os.path.join(args.shared, "golden", "whisper-base.greedy-timestamps.jsonl"))
    english = [s for s in speech if s.language == "en"]
    plain = [s for s in english if s.set in PASSES]
    timed = [s for s in english if s.id in golden]
    with Target(args.bin, "base") as target:
        results = target.transcribe(plain, "en", "tiny.en", ("--no-fallback",) + WHOLE)
        stats = []
        for name, least in PASSES.items():
            stats += judge_passes(report, name, [s for s in plain if s.set == name], results, least)
        results = target.transcribe(timed, "en", "tiny.en", ("--no-fallback", "--timestamps") + WHOLE)
        stats += judge_passes(report, "with timestamps", timed, results, PASSES_TIMESTAMPS)
    rounds = mean_rounds(stats)
    report.case(rounds <= ROUNDS, f"passes: {rounds:.3f} rounds per utterance, at most {ROUNDS} were promised")
    report.row("passes", "rounds per utterance", len(stats), rounds > ROUNDS, f"{rounds:.3f} (promised: {ROUNDS})")


WER_DIFFERENCE = 0.2


def part_wer(args, report, speech):
    sums = {}
    for model in ("base", cached("whisper-base-q8_0.gguf")):
        with Target(args.bin, model) as target:
            sums[model] = word_errors(speech, target.all_languages(speech, None, ()))
    full, small = sums.values()
    for name in sorted(full, key=lambda key: (key == "", key)):
        a, b = (100 * s[name][0] / max(1, s[name][1]) for s in (full, small))
        worse = name == "" and b - a > WER_DIFFERENCE
        if name == "":
            report.case(not worse, f"wer: q8_0 {b:.2f} % against f16 {a:.2f} %: more than {WER_DIFFERENCE} points worse")
        n_files = sum(s.set == name or not name for s in speech)
        report.row("wer", name or "all", n_files, worse, f"f16 {a:.2f} %, q8_0 {b:.2f} %, of {full[name][1]} words")


def part_package(args, report):
    for timestamps in (False, True):
        decoding = ("--no-fallback",) + (("--timestamps",) if timestamps else ())
        path = os.path.join(REPO, "tests", "golden", f"whisper-base{'-timestamps' if timestamps else ''}.txt")
        golden = read_golden(path)
        speech = [Speech(name, "", os.path.join(PACKAGE, name), "en", "") for name in golden]
        with Target(args.bin, "base") as target:
            for draft, flags in ((None, ()), ("tiny.en", WHOLE if timestamps else ())):
                results = target.transcribe(speech, "en", draft, decoding + flags)
                what = f"{os.path.basename(path)} {'drafts' if draft else 'alone'} {flag_text(flags)}"
                compare_golden(report, what, speech, golden, results)


PARTS = {"golden": part_golden, "split": part_split, "passes": part_passes, "wer": part_wer}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin")
    parser.add_argument("--shared")
    parser.add_argument("--package", action="store_true")
    parser.add_argument("--quick", action="store_true", help="every fifth file")
    parser.add_argument("--only", action="append", choices=list(PARTS))
    args = parser.parse_args()
    if not args.package and not args.shared:
        parser.error("give --shared FOLDER or --package")
    report = Report()
    parts = ["package"] if args.package else args.only or list(PARTS)
    speech = [] if args.package else read_speech(args.shared, args.quick)
    for part in parts:
        begin = time.monotonic()
        try:
            part_package(args, report) if args.package else PARTS[part](args, report, speech)
        except Failure as failure:
            report.case(False, f"{part}: {failure}")
        print(f"{part}: {time.monotonic() - begin:.0f} s", flush=True)
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
