"""noise.py BIN [OPTION...]: what noise does to drafts, and the calibrated stop rule against each fixed threshold.

White noise and babble (other speakers of the same collection, eight at a time) are added at 20, 10, 5 and 0 dB of
signal to noise. Every condition runs asp+recycle with fixed thresholds and with `auto`, in turns (--lockstep), on
the same files. Time is paced (bench/curves/cpu-like-*.tsv: this processor's measured costs, slowed down), so that
it depends on the counters alone; --pace TARGET.tsv DRAFT.tsv takes other curves. Calibration starts empty with each
condition and rule, and learns as it goes.
"""
import argparse
import contextlib
import csv
import ctypes
import os
import sys
import tempfile
import wave

import numpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import study  # noqa: E402
import check_speech  # noqa: E402  (study has put its folder on the path)

RATE = 16000
CONDITIONS = ("none", *(f"{kind}:{level}" for kind in ("white", "babble") for level in (20, 10, 5, 0)))
THRESHOLDS = ("0.05", "0.1", "0.2", "0.3", "0.5", "0.7")
BABBLERS = 8


class SoundInfo(ctypes.Structure):
    _fields_ = [("frames", ctypes.c_int64), ("rate", ctypes.c_int), ("channels", ctypes.c_int),
                ("format", ctypes.c_int), ("sections", ctypes.c_int), ("seekable", ctypes.c_int)]


def read_audio(path):
    """16 kHz mono through libsndfile, which the programs read with too; in steps of 16 bits."""
    library = ctypes.CDLL("libsndfile.so.1")
    library.sf_open.restype = ctypes.c_void_p
    library.sf_readf_double.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    library.sf_close.argtypes = [ctypes.c_void_p]
    info = SoundInfo()
    file = library.sf_open(os.fsencode(path), 0x10, ctypes.byref(info))
    assert file and (info.rate, info.channels) == (RATE, 1), path
    samples = numpy.zeros(info.frames)
    n = library.sf_readf_double(file, samples.ctypes.data, info.frames)
    library.sf_close(file)
    return samples[:n] * 32768.0


def write_wav(path, samples):
    with wave.open(path, "wb") as w:
        w.setframerate(RATE)
        w.setnchannels(1)
        w.setsampwidth(2)
        w.writeframes(numpy.clip(numpy.rint(samples), -32768, 32767).astype("<i2").tobytes())


def power(samples):
    return float(numpy.mean(samples * samples)) + 1e-9


def noise_for(kind, n, pool, random):
    if kind == "white":
        return random.standard_normal(n)
    babble = numpy.zeros(n)
    for i in random.choice(len(pool), min(BABBLERS, len(pool)), replace=False):
        voice = numpy.roll(pool[i], random.integers(len(pool[i])))
        babble += numpy.resize(voice / power(voice) ** 0.5, n)
    return babble


def noisy(speech, kind, level, pool, folder):
    """The same speech with noise, as files in `folder`."""
    random = numpy.random.default_rng(7)
    result = []
    for s in speech:
        samples = read_audio(s.path)
        noise = noise_for(kind, len(samples), pool, random)
        noise *= (power(samples) / power(noise) / 10 ** (level / 10)) ** 0.5
        path = os.path.join(folder, f"{s.id}.wav")
        write_wav(path, samples + noise)
        result.append(s._replace(path=path))
    return result


@contextlib.contextmanager
def nothing_learned():
    """A cache with the models of the user's, but without calibrations."""
    base = os.environ.get("XDG_CACHE_HOME")
    own = os.path.join(base or os.path.expanduser("~/.cache"), "specasr")
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "specasr"))
        for entry in os.listdir(own):
            if not entry.startswith("calibration"):
                os.symlink(os.path.join(own, entry), os.path.join(folder, "specasr", entry))
        os.environ["XDG_CACHE_HOME"] = folder
        try:
            yield
        finally:
            os.environ.pop("XDG_CACHE_HOME")
            if base:
                os.environ["XDG_CACHE_HOME"] = base


def run_condition(target, name, speech, args):
    """[{condition, policy, ...}]; ar first: its tokens are what all must give."""
    rows, expected = [], None
    policies = ["ar", *(f"asp+recycle:{t}" for t in args.thresholds), "asp+recycle:auto", "full"]
    for policy in policies:
        flags = ["--no-fallback", "--pace", args.pace[1], "--policy", policy]
        with nothing_learned():
            results = target.transcribe(speech, "en", args.draft, flags + ([] if policy == "ar" else ["--lockstep"]))
        tokens = {s.id: results[s.path]["tokens"] for s in speech}
        expected = expected or tokens
        wrong, n = check_speech.word_errors(speech, results)[""]
        sums = study.sums_by_set(speech, results)["all"]
        row = dict(sums, condition=name, policy=policy, prompt_rows=3 * len(speech), wer=100.0 * wrong / max(n, 1),
                   differing=sum(tokens[i] != expected[i] for i in tokens))
        rows.append(study.derived(row))
        print(f"{name} {policy}: {rows[-1]['decode_ms_per_token']:.2f} ms a token", file=sys.stderr)
    return rows


def report(rows):
    print("| noise | WER | accepted | x ar: full | auto | best threshold | T | auto / best |")
    print("|---|---|---|---|---|---|---|---|")
    for name in dict.fromkeys(r["condition"] for r in rows):
        own = {r["policy"]: r for r in rows if r["condition"] == name}
        ms = {p: r["decode_ms_per_token"] for p, r in own.items()}
        fixed = [p for p in own if p.startswith("asp+recycle:") and not p.endswith("auto")]
        best = min(fixed, key=ms.get)
        auto = own["asp+recycle:auto"]
        print(f"| {name} | {auto['wer']:.1f} | {100 * auto['acceptance']:.0f} % | {ms['ar'] / ms['full']:.2f} "
              f"| {ms['ar'] / ms['asp+recycle:auto']:.2f} | {ms['ar'] / ms[best]:.2f} | {best.split(':')[1]} "
              f"| {ms[best] / ms['asp+recycle:auto']:.3f} |")


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    curves = [os.path.join(here, "curves", f"cpu-like-{who}.tsv") for who in ("target", "draft")]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin")
    parser.add_argument("--shared", default=os.path.join(here, "..", "..", "shared"))
    parser.add_argument("--every", type=int, default=10, help="every K-th English file")
    parser.add_argument("--target", default="base")
    parser.add_argument("--draft", default="tiny.en")
    parser.add_argument("--pace", nargs=2, metavar=("TARGET.tsv", "DRAFT.tsv"), default=curves)
    parser.add_argument("--conditions", nargs="+", default=CONDITIONS, help="none, white:DB, babble:DB")
    parser.add_argument("--thresholds", nargs="+", default=THRESHOLDS)
    parser.add_argument("--out", default="build/noise.csv")
    args = parser.parse_args()
    english = [s for s in check_speech.read_speech(args.shared, False) if s.language == "en" and s.set != "long"]
    speech = english[:: args.every]
    if not speech:
        print("noise.py: no development speech here: nothing was measured")
        return 0
    pool = [read_audio(s.path) for s in english[args.every // 2:: args.every]]
    rows = []
    with study.StudyTarget(args.bin, args.target, ["--pace", args.pace[0]]) as target:
        for condition in args.conditions:
            kind, _, level = condition.partition(":")
            with tempfile.TemporaryDirectory() as folder:
                files = noisy(speech, kind, float(level), pool, folder) if level else speech
                rows += run_condition(target, condition, files, args)
    os.makedirs(os.path.dirname(args.out) or ".", exist_ok=True)
    names = ["condition", "policy", "files", "wer", "differing", *study.COUNTERS, *study.DERIVED]
    with open(args.out, "w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    report(rows)
    differing = sum(r["differing"] for r in rows)
    if differing:
        print(f"noise.py: {differing} results differ from the target alone", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
