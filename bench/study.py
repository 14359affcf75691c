"""study.py BIN [OPTION...]: every policy on the same speech, side by side, as CSV and as a table.

    pair (a)   tiny.en drafts for base, both real
    paced      the same choices in the time of bench/curves (--pace TARGET.tsv DRAFT.tsv)
    shape      the same choices while a model of another shape does its work (--shape MODEL.gguf)

Draft and target take turns (--lockstep) unless --overlap is given. Rows of the CSV are sums over a set of files;
`best` marks plain speculation at the N that is fastest on that set: the honest opponent. A policy whose tokens
differ from those of the target alone is an error, and the exit code says so.
"""
import argparse
import collections
import csv
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import check_speech  # noqa: E402

PLAIN = (4, 8, 16, 24)
POLICIES = ["ar", *(f"spec:{n}" for n in PLAIN), "asp", "asp+recycle", "asp+recycle:auto", "sparse", "full"]
COUNTERS = ("tokens", "passes", "rounds", "rows", "draft_steps", "draft_rows", "branch_steps", "recycled",
            "target_encode_ms", "target_decode_ms", "draft_encode_ms", "draft_decode_ms", "total_ms")


class StudyTarget(check_speech.Target):
    """A target with more options than its model."""

    def __init__(self, bin_folder, model, options):
        super().__init__(bin_folder, model)
        self.options = options

    def command(self):
        return super().command() + self.options


def sums_by_set(speech, results):
    sums = collections.defaultdict(lambda: collections.Counter(files=0))
    for s in speech:
        for name in (s.set, "all"):
            sums[name]["files"] += 1
            for key in COUNTERS:
                sums[name][key] += results[s.path]["stats"][key]
    return sums


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


DERIVED = ("tokens_per_pass", "rounds_per_file", "rows_per_token", "draft_steps_per_token", "draft_rows_per_token",
           "acceptance", "draft_ms_per_token", "target_ms_per_token", "decode_ms_per_token")


def run_policies(args, speech):
    """[{set, policy, ...}], every policy `rounds` times in turn; times are the least of the rounds."""
    options = []
    if args.pace:
        options += ["--pace", args.pace[0]]
    if args.shape:
        options += ["--shape", args.shape]
    draft_options = ["--no-fallback", *(["--pace", args.pace[1]] if args.pace else []), *args.flags]
    rows, expected, errors = {}, None, 0
    with StudyTarget(args.bin, args.target, options) as target:
        for sitting in range(args.rounds):
            for policy in args.policies:
                flags = [*draft_options, "--policy", policy]
                if not args.overlap and policy != "ar":
                    flags.append("--lockstep")
                results = target.transcribe(speech, "en", args.draft, flags)
                tokens = {path: r["tokens"] for path, r in results.items()}
                expected = expected or tokens
                differing = sum(tokens[path] != expected[path] for path in tokens)
                errors += differing
                print(f"sitting {sitting + 1}, {policy}: {len(speech)} files, {differing} differ", file=sys.stderr)
                words = check_speech.word_errors(speech, results)
                for name, sums in sums_by_set(speech, results).items():
                    wrong, n = words["" if name == "all" else name]
                    row = dict(sums, set=name, policy=policy, differing=differing, wer=100.0 * wrong / max(n, 1))
                    row["prompt_rows"] = 3 * row["files"]
                    old = rows.get((name, policy))
                    if old:
                        for key in COUNTERS:
                            if key.endswith("_ms"):
                                row[key] = min(row[key], old[key])
                    rows[name, policy] = row
    return [derived(row) for row in rows.values()], errors


def mark_best(rows):
    for name in {r["set"] for r in rows}:
        plain = [r for r in rows if r["set"] == name and r["policy"].startswith("spec:")]
        best = min(plain, key=lambda r: r["decode_ms_per_token"], default=None)
        for r in rows:
            if r["set"] == name:
                r["best"] = "*" if r is best else ""


def write_csv(path, rows):
    names = ["set", "policy", "best", "files", "wer", "differing", *COUNTERS, *DERIVED]
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, names, extrasaction="ignore")
        writer.writeheader()
        for r in rows:
            writer.writerow({k: f"{v:.4f}" if isinstance(v, float) else v for k, v in r.items()})


def print_table(rows):
    print("| set | policy | tokens/pass | rounds | draft steps/token | rows/token | accepted | draft ms | target ms "
          "| decode ms/token | x ar | x best plain | WER |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    for name in sorted({r["set"] for r in rows}, key=lambda n: (n == "all", n)):
        own = [r for r in rows if r["set"] == name]
        plain = min((r["decode_ms_per_token"] for r in own if r["best"]), default=0.0)
        ar = next((r["decode_ms_per_token"] for r in own if r["policy"] == "ar"), 0.0)
        for r in own:
            ms = r["decode_ms_per_token"]
            print(f"| {name} | {r['policy']}{' (best N)' if r['best'] else ''} | {r['tokens_per_pass']:.2f} "
                  f"| {r['rounds_per_file']:.2f} | {r['draft_steps_per_token']:.2f} | {r['rows_per_token']:.2f} "
                  f"| {100 * r['acceptance']:.0f} % | {r['draft_ms_per_token']:.2f} | {r['target_ms_per_token']:.2f} "
                  f"| {ms:.2f} | {ar / ms:.2f} | {plain / ms:.2f} | {r['wer']:.1f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin")
    parser.add_argument("--shared", default=os.path.join(os.path.dirname(__file__), "..", "..", "shared"))
    parser.add_argument("--every", type=int, default=1, help="every K-th English file of each set")
    parser.add_argument("--policies", nargs="+", default=POLICIES)
    parser.add_argument("--target", default="base")
    parser.add_argument("--draft", default="tiny.en")
    parser.add_argument("--pace", nargs=2, metavar=("TARGET.tsv", "DRAFT.tsv"))
    parser.add_argument("--shape", metavar="MODEL.gguf")
    parser.add_argument("--overlap", action="store_true", help="draft while the target works")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", default="build/study.csv")
    parser.add_argument("--flags", nargs="*", default=[], help="more options of draft_node, as name=value")
    args = parser.parse_args()
    args.flags = ["--" + f for f in args.flags]
    english = [s for s in check_speech.read_speech(args.shared, False) if s.language == "en" and s.set != "long"]
    by_set = collections.defaultdict(list)
    for s in english:
        by_set[s.set].append(s)
    speech = [s for own in by_set.values() for s in own[:: args.every]]
    if not speech:
        print("study.py: no development speech here: nothing was measured")
        return 0
    rows, errors = run_policies(args, speech)
    mark_best(rows)
    os.makedirs(os.path.dirname(args.out) or ".", exist_ok=True)
    write_csv(args.out, rows)
    print_table(rows)
    if errors:
        print(f"study.py: {errors} results differ from the target alone", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
