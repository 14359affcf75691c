"""Remakes the golden tokens beside this file with an independent float32 Whisper in numpy (tests/reference).

    /usr/bin/python3 tests/golden/remake.py BASE TINY_EN [--ctranslate2] [--check]

BASE and TINY_EN: folders of CTranslate2 models (`/usr/bin/python3 tools/fetch_models.py path base`, and tiny.en), whose
half-precision numbers are those of the f16 GGUF files. --ctranslate2 compares every line with that library in
float32 (PyPI: ctranslate2), if Python finds it. --check only compares tokens with the files that are there.
About ten minutes on two processors.

A line: the speech file under Debian's pocketsphinx-testdata, the smallest difference between the best and
the second-best allowed logit over the decode (where it is tiny another order of summation may choose otherwise), and
the tokens, end token included. Greedy, English, one window of 30 s.
"""
import glob
import os
import sys
import wave

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "reference"))
import mel_numpy  # noqa: E402
import whisper_numpy  # noqa: E402

SPEECH = "/usr/share/pocketsphinx/test/data"
HEAD = """# Greedy tokens of {model}, {mode}. Made by tests/golden/remake.py (an independent float32
# implementation in numpy on the same half-precision weights). FILE  SMALLEST-GAP  TOKENS...
"""


def speech():
    files = sorted(glob.glob(SPEECH + "/librivox/*.wav")) + sorted(glob.glob(SPEECH + "/cards/*.wav"))
    if len(files) != 10:
        sys.exit(f"{SPEECH}: {len(files)} files instead of 10: install pocketsphinx-testdata")
    return files


def samples_of(path):
    with wave.open(path) as f:
        if (f.getframerate(), f.getnchannels(), f.getsampwidth()) != (16000, 1, 2):
            sys.exit(path + ": not 16 kHz mono s16")
        return np.frombuffer(f.readframes(f.getnframes()), "<i2")


def by_ctranslate2(model, mel, special, timestamps):
    import ctranslate2

    features = ctranslate2.StorageView.from_array(np.ascontiguousarray(mel[None], np.float32))
    prompt = whisper_numpy.make_prompt(special, "en", timestamps)
    result = model.generate(features, [prompt], beam_size=1, max_length=448, suppress_blank=True,
                            suppress_tokens=[-1], max_initial_timestamp_index=50)
    return result[0].sequences_ids[0]


def decode(folder, timestamps, library):
    model = whisper_numpy.Whisper(folder)
    special = whisper_numpy.Special(model.n_vocab)
    peer = None
    if library:
        import ctranslate2

        peer = ctranslate2.models.Whisper(folder, device="cpu", compute_type="float32", intra_threads=2)
    for path in speech():
        mel = mel_numpy.log_mel(samples_of(path), model.n_mels, 3000).astype(np.float32)
        tokens, gap = whisper_numpy.greedy(model, mel, "en", timestamps)
        if peer:
            theirs = by_ctranslate2(peer, mel, special, timestamps)
            theirs = [t for t in theirs if t != special.end]
            same = theirs == [t for t in tokens if t != special.end]
            print(("as CTranslate2: " if same else f"CTRANSLATE2 DIFFERS: {theirs} ") + path, file=sys.stderr)
        yield f"{os.path.relpath(path, SPEECH)}  {gap:.5f}  {' '.join(map(str, tokens))}\n"


def without_gaps(text):
    """Gaps depend on the order of numpy's sums in the last digits."""
    return [line.split()[:1] + line.split()[2:] for line in text.splitlines() if not line.startswith("#")]


def main(arguments):
    options = [a for a in arguments if a.startswith("--")]
    folders = [a for a in arguments if not a.startswith("--")]
    if len(folders) != 2 or set(options) - {"--ctranslate2", "--check"}:
        sys.exit(__doc__)
    n_different = 0
    for model, folder in zip(("whisper-base", "whisper-tiny.en"), folders):
        for timestamps in (False, True):
            mode = "with timestamps" if timestamps else "without timestamps"
            path = os.path.join(HERE, model + ("-timestamps" if timestamps else "") + ".txt")
            text = HEAD.format(model=model, mode=mode) + "".join(decode(folder, timestamps, "--ctranslate2" in options))
            if "--check" not in options:
                open(path, "w").write(text)
            elif without_gaps(open(path).read()) != without_gaps(text):
                n_different += 1
                print(path + " differs", file=sys.stderr)
    return 1 if n_different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
