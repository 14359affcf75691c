"""study.py BIN [OPTION...]: every policy on the same speech, side by side, as CSV and as a table.

    pair (a)   tiny.en drafts for base, both real
    pair (b)   base in 4 bits drafts for base (--draft base --flags draft-weights=q4_0 --languages)
    shape      the same choices while a model of another shape does its work (--shape MODEL.gguf)
    paced      the same choices in the time of bench/curves (--pace TARGET.tsv DRAFT.tsv). --slow K: the curves run K
               times as slow, so that this machine's real work fits into a pass, and every time is divided by K

Draft and target take turns (--lockstep) unless --overlap is given. Rows of the CSV are sums over a set of files;
`best` marks plain speculation at the N that is fastest on that set: the honest opponent. A policy whose tokens
differ from those of the target alone is an error, and the exit code says so.

counted ms (paced): what the counters alone say, for other work on this machine disturbs sleeping and computing:
passes x ms(mean rows of a pass) + steps x ms(mean rows of a step). On a curve that bends this is an approximation.

overlapped, each file has a draft_node of its own, so that no other file's work is in its time. wall: total time less
the target's encoder and less what connecting and sending cost `ar` a file (its total less encoder and passes). Encoders are
paced over --encode-floor, at the published distance between the draft's and the target's: drafts begin no earlier
than they would there. --rtt MS: through tools/relay.c, MS round-trip time (also K times as slow).
"""
import argparse
import collections
import csv
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tools"))
import check_speech  # noqa: E402

PLAIN = (4, 8, 16, 24)
POLICIES = ["ar", *(f"spec:{n}" for n in PLAIN), "asp", "asp+recycle", "asp+recycle:auto", "sparse", "full"]
COUNTERS = ("tokens", "passes", "rounds", "rows", "draft_steps", "draft_rows", "branch_steps", "recycled",
            "target_encode_ms", "target_decode_ms", "draft_encode_ms", "draft_decode_ms", "total_ms")
DERIVED = ("tokens_per_pass", "rounds_per_file", "rows_per_token", "draft_steps_per_token", "draft_rows_per_token",
           "acceptance", "draft_ms_per_token", "target_ms_per_token", "decode_ms_per_token")
COUNTED = ("counted_target_ms_per_token", "counted_draft_ms_per_token", "counted_ms_per_token", "wall_ms_per_token")


# ---- curves ----


class Curve:
    """A table of bench/curves, as lib/backend/paced/pace.h defines it."""

    def __init__(self, path):
        self.encode_ms, self.points = 0.0, []
        for line in open(path, encoding="utf-8"):
            fields = line.split()
            if not fields or line.startswith("#") or fields[0] == "rows":
                continue
            if fields[0] == "encode":
                self.encode_ms = float(fields[1])
            else:
                self.points.append((int(fields[0]), float(fields[1])))

    def ms(self, rows):
        below = [p for p in self.points if p[0] <= rows] or self.points[:1]
        above = [p for p in self.points if p[0] >= rows] or self.points[-1:]
        (a, at_a), (b, at_b) = below[-1], above[0]
        return at_a if a == b else at_a + (at_b - at_a) * (rows - a) / (b - a)

    def write(self, path, slow, encode_floor):
        with open(path, "w", encoding="utf-8") as out:
            out.write(f"encode\t{encode_floor + slow * self.encode_ms:.3f}\nrows\tms\n")
            out.writelines(f"{rows}\t{slow * ms:.3f}\n" for rows, ms in self.points)


# ---- programs ----


class StudyTarget(check_speech.Target):
    """A target with more options than its model; behind a relay if rtt_ms is above zero."""

    def __init__(self, bin_folder, model, options, rtt_ms=0.0):
        super().__init__(bin_folder, model)
        self.options, self.rtt_ms, self.relay = options, rtt_ms, None

    def command(self):
        return super().command() + self.options

    def __enter__(self):
        super().__enter__()
        if self.rtt_ms > 0:
            relay = os.path.join(self.bin, "relay")
            self.relay = subprocess.Popen([relay, "--no-config", self.address, "delay %g" % (self.rtt_ms / 2)],
                                          stdout=subprocess.PIPE, text=True)
            self.address = self.relay.stdout.readline().split()[-1]
        return self

    def stop(self):
        if self.relay:
            self.relay.terminate()
            self.relay.wait()
            self.relay.stdout.close()
        super().stop()


def transcribe(target, speech, draft, flags, one_by_one):
    results = {}
    for language in sorted({s.language for s in speech}):
        own = [s for s in speech if s.language == language]
        for part in [[s] for s in own] if one_by_one else [own]:
            results.update(target.transcribe(part, language, draft, flags))
    return results


# ---- figures ----


def sums_by_set(speech, results, group=lambda s: s.set):
    sums = collections.defaultdict(lambda: collections.Counter(files=0))
    for s in speech:
        for name in (group(s), "all"):
            sums[name]["files"] += 1
            for key in COUNTERS:
                sums[name][key] += results[s.path]["stats"][key]
    return sums


def word_error_rates(speech, results, group):
    by_group = check_speech.word_errors([s._replace(set=group(s)) for s in speech], results)
    return {name or "all": 100.0 * wrong / max(n, 1) for name, (wrong, n) in by_group.items()}


def derived(row):
    """What is read off the sums; a plain pass has no nodes, so acceptance is of proposed nodes only."""
    tokens, nodes = row["tokens"], row["rows"] - row["passes"] - row["prompt_rows"]
    row["tokens_per_pass"] = tokens / row["passes"]
    row["rounds_per_file"] = row["rounds"] / row["files"]
    row["rows_per_token"] = (row["rows"] - row["prompt_rows"]) / tokens
    row["draft_steps_per_token"] = row["draft_steps"] / tokens
    row["draft_rows_per_token"] = row["draft_rows"] / tokens
    row["acceptance"] = (tokens - row["passes"]) / nodes if nodes > 0 else 0.0
    row["draft_ms_per_token"] = row["draft_decode_ms"] / tokens
    row["target_ms_per_token"] = row["target_decode_ms"] / tokens
    row["decode_ms_per_token"] = row["draft_ms_per_token"] + row["target_ms_per_token"]
    return row


def counted(row, curves):
    """Times of the curves for the row's counters; a branch step is one of the draft steps."""
    target, draft = curves
    tokens, steps = row["tokens"], row["draft_steps"]
    row["counted_target_ms_per_token"] = row["passes"] * target.ms(row["rows"] / row["passes"]) / tokens
    row["counted_draft_ms_per_token"] = steps * draft.ms(row["draft_rows"] / steps) / tokens if steps else 0.0
    row["counted_ms_per_token"] = row["counted_target_ms_per_token"] + row["counted_draft_ms_per_token"]


def say_late_encoders(args, rows):
    """An encoder that took longer than its pace gave the drafts a start that they would not have."""
    paced = args.encode_floor + args.slow * args.curves[0].encode_ms
    for row in rows:
        took = row["target_encode_ms"] * args.slow / row["files"]
        if row["set"] == "all" and took > 1.03 * paced:
            print(f"{row['policy']}: encoders took {took:.0f} ms, paced were {paced:.0f}: raise --encode-floor",
                  file=sys.stderr)


def add_walls(rows):
    """Overlapped runs; see the top of the file."""
    for row in rows:
        plain = next((r for r in rows if r["set"] == "all" and r["policy"] == "ar"), None)
        if plain:
            link = (plain["total_ms"] - plain["target_encode_ms"] - plain["target_decode_ms"]) / plain["files"]
            row["wall_ms_per_token"] = (row["total_ms"] - row["target_encode_ms"] - link * row["files"]) / row["tokens"]


def figure(row):
    """The milliseconds a token that policies are compared by: measured where nothing better is known."""
    return row.get("wall_ms_per_token") or row.get("counted_ms_per_token") or row["decode_ms_per_token"]


def mark_best(rows):
    for name in {r["set"] for r in rows}:
        plain = [r for r in rows if r["set"] == name and r["policy"].startswith("spec:")]
        best = min(plain, key=figure, default=None)
        for r in rows:
            if r["set"] == name:
                r["best"] = "*" if r is best else ""


# ---- runs ----


def paced_options(args, folder):
    """Options of target and draft; the curves, slowed down, go to `folder`."""
    if not args.pace:
        return [], []
    paths = [os.path.join(folder, name) for name in ("target.tsv", "draft.tsv")]
    for curve, path in zip(args.curves, paths):
        curve.write(path, args.slow, args.encode_floor if args.overlap else 0.0)
    return ["--pace", paths[0]], ["--pace", paths[1]]


def one_run(args, speech, target, policy, draft_options):
    """({group: sums}, {path: tokens}) of one policy; times as if nothing had been slowed down."""
    flags = [*draft_options, "--policy", policy]
    if not args.overlap and policy != "ar":
        flags.append("--lockstep")
    results = transcribe(target, speech, args.draft, flags, args.overlap)
    errors = word_error_rates(speech, results, args.group)
    sums = {name: dict(row) for name, row in sums_by_set(speech, results, args.group).items()}
    for name, row in sums.items():
        for key in COUNTERS:
            if key.endswith("_ms"):
                row[key] /= args.slow
        row.update(policy=policy, set=name, wer=errors[name], prompt_rows=3 * row["files"])
    return sums, {path: r["tokens"] for path, r in results.items()}


def warm_up(args, speech, target):
    """A target that is idle for a moment times its passes, once: not beside what is measured."""
    target.transcribe(speech[:1], speech[0].language, None, ["--no-fallback"])
    time.sleep(0.5 + (32 * args.slow * args.curves[0].ms(64) / 1000.0 if args.pace else 5.0))


def keep_least_times(row, old):
    for key in COUNTERS if old else ():
        if key.endswith("_ms"):
            row[key] = min(row[key], old[key])
    return row


def run_policies(args, speech):
    """[{set, policy, ...}], every policy `rounds` times in turn; times are the least of the rounds."""
    rows, expected, errors = {}, None, 0
    with tempfile.TemporaryDirectory() as folder:
        target_options, draft_options = paced_options(args, folder)
        target_options += ["--shape", args.shape] if args.shape else []
        draft_options = ["--no-fallback", *draft_options, *args.flags]
        with StudyTarget(args.bin, args.target, target_options, args.rtt * args.slow) as target:
            if args.overlap:
                warm_up(args, speech, target)
            for sitting in range(args.rounds):
                for policy in args.policies:
                    sums, tokens = one_run(args, speech, target, policy, draft_options)
                    expected = expected or tokens
                    differing = sum(tokens[path] != expected[path] for path in tokens)
                    errors += differing
                    print(f"sitting {sitting + 1}, {policy}: {len(speech)} files, {differing} differ", file=sys.stderr)
                    for name, row in sums.items():
                        row["differing"] = differing
                        rows[name, policy] = keep_least_times(row, rows.get((name, policy)))
    rows = [derived(dict(row)) for row in rows.values()]
    for row in rows:
        row.update(kind=args.kind, slow=args.slow, rtt=args.rtt)
        if args.pace:
            counted(row, args.curves)
    if args.overlap:
        add_walls(rows)
    if args.overlap and args.pace:
        say_late_encoders(args, rows)
    return rows, errors


# ---- tables ----


def write_csv(path, rows):
    names = ["kind", "set", "policy", "best", "files", "wer", "differing", "slow", "rtt", *COUNTERS, *DERIVED, *COUNTED]
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for r in rows:
            writer.writerow({k: f"{v:.4f}" if isinstance(v, float) else v for k, v in r.items()})


def print_table(args, rows):
    """Ratios are of the last time column."""
    times = ["draft_ms_per_token", "target_ms_per_token", "decode_ms_per_token"]
    times += ["counted_draft_ms_per_token", "counted_target_ms_per_token", "counted_ms_per_token"] if args.pace else []
    times += ["wall_ms_per_token"] if args.overlap else []
    heads = [t.replace("_per_token", "").replace("_", " ") for t in times]
    print(f"| {args.kind}: set | policy | tokens/pass | rounds | draft steps/token | rows/token | accepted | "
          + " | ".join(heads) + " | x ar | x best plain | WER |")
    print("|---" * (len(heads) + 10) + "|")
    for name in sorted({r["set"] for r in rows}, key=lambda n: (n == "all", n)):
        own = [r for r in rows if r["set"] == name]
        plain = min((figure(r) for r in own if r["best"]), default=0.0)
        ar = next((figure(r) for r in own if r["policy"] == "ar"), 0.0)
        for r in own:
            shown = " | ".join(f"{r.get(t, 0.0):.2f}" for t in times)
            print(f"| {name} | {r['policy']}{' (best N)' if r['best'] else ''} | {r['tokens_per_pass']:.2f} "
                  f"| {r['rounds_per_file']:.2f} | {r['draft_steps_per_token']:.2f} | {r['rows_per_token']:.2f} "
                  f"| {100 * r['acceptance']:.0f} % | {shown} | {ar / figure(r):.2f} | {plain / figure(r):.2f} "
                  f"| {r['wer']:.1f} |")


# ---- the program ----


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin")
    parser.add_argument("--shared", default=os.path.join(HERE, "..", "..", "shared"))
    parser.add_argument("--every", type=int, default=1, help="every K-th file of each set")
    parser.add_argument("--files", type=int, default=0, help="at most so many files in all; 0: all")
    parser.add_argument("--languages", action="store_true", help="speech in all languages; rows are languages, not sets")
    parser.add_argument("--policies", nargs="+", default=POLICIES)
    parser.add_argument("--target", default="base")
    parser.add_argument("--draft", default="tiny.en")
    parser.add_argument("--pace", nargs=2, metavar=("TARGET.tsv", "DRAFT.tsv"))
    parser.add_argument("--slow", type=float, default=1.0, metavar="K")
    parser.add_argument("--encode-floor", type=float, default=1200.0, metavar="MS")
    parser.add_argument("--shape", metavar="MODEL.gguf")
    parser.add_argument("--overlap", action="store_true", help="draft while the target works")
    parser.add_argument("--rtt", type=float, default=0.0, metavar="MS")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", default="build/study.csv")
    parser.add_argument("--flags", nargs="*", default=[], help="more options of draft_node, as name=value")
    args = parser.parse_args()
    args.flags = ["--" + f for f in args.flags]
    args.kind = "paced" if args.pace else "shape" if args.shape else "real"
    args.curves = [Curve(path) for path in args.pace] if args.pace else None
    args.group = (lambda s: s.language) if args.languages else (lambda s: s.set)
    if args.rtt and not args.overlap:
        parser.error("--rtt needs --overlap")
    return args


def choose_speech(args):
    """Every K-th file of each set (of each language of a set), and an even choice of those if there are too many."""
    speech = [s for s in check_speech.read_speech(args.shared, False) if s.set != "long"]
    by_set = collections.defaultdict(list)
    for s in speech:
        if args.languages or s.language == "en":
            by_set[s.set, s.language].append(s)
    speech = [s for own in by_set.values() for s in own[:: args.every]]
    return speech[:: -(-len(speech) // args.files)] if args.files else speech


def main():
    args = arguments()
    speech = choose_speech(args)
    if not speech:
        print("study.py: no development speech here: nothing was measured")
        return 0
    rows, errors = run_policies(args, speech)
    mark_best(rows)
    os.makedirs(os.path.dirname(args.out) or ".", exist_ok=True)
    write_csv(args.out, rows)
    print_table(args, rows)
    if errors:
        print(f"study.py: {errors} results differ from the target alone", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
