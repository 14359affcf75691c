"""Times engines on the same files and sums the rows up. Run by bench/run.sh; each command can be used alone.

    peers.py ct2 MODEL_FOLDER TYPE THREADS FILE.wav...       CTranslate2 called directly (TYPE: float32, int8, ...)
    peers.py whispercpp CLI MODEL.bin THREADS FILE.wav...    whisper.cpp's whisper-cli
    peers.py ours NAME RESULTS.jsonl                         rows from draft_node --format json
    peers.py report ROWS.tsv                                 medians, and ours against each peer

The first three print rows: engine, file, audio_s, tokens, encode_ms, decode_ms, total_ms, text. Tokens count the end
token. total_ms is what a user waits for once the model is loaded; for CTranslate2 it leaves out the features (they
are computed here in numpy), which favours it.
"""
import json
import re
import statistics
import subprocess
import sys
import time
import wave
from pathlib import Path

COLUMNS = ["engine", "file", "audio_s", "tokens", "encode_ms", "decode_ms", "total_ms", "text"]


def emit(*values):
    text = "\t".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in values[:-1])
    print(text + "\t" + " ".join(values[-1].split()), flush=True)


def read_wav(path):
    import numpy
    with wave.open(path) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (16000, 1, 2):
            raise SystemExit(f"{path}: the bench wants 16 kHz mono s16 WAV files")
        return numpy.frombuffer(file.readframes(file.getnframes()), dtype="<i2")


def ct2(folder, compute_type, threads, *paths):
    import ctranslate2
    import numpy
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "reference"))
    import mel_numpy
    model = ctranslate2.models.Whisper(folder, device="cpu", compute_type=compute_type, inter_threads=1,
                                       intra_threads=int(threads))
    words = Path(folder, "vocabulary.txt").read_text(encoding="utf-8").split("\n")
    prompt = [words.index(w) for w in
              ("<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>")]
    for path in paths:
        samples = read_wav(path)
        mel = mel_numpy.log_mel(samples.astype(numpy.float64), 80, 3000).astype(numpy.float32)
        features = ctranslate2.StorageView.from_array(numpy.ascontiguousarray(mel[None]))
        start = time.perf_counter()
        encoded = model.encode(features)
        numpy.asarray(encoded)  # waits for the result
        middle = time.perf_counter()
        result = model.generate(encoded, [prompt], beam_size=1, max_length=448)[0]
        end = time.perf_counter()
        text = "".join(result.sequences[0]).replace("\u0120", " ")
        emit(f"ctranslate2-{compute_type}", Path(path).name, len(samples) / 16000,
             len(result.sequences_ids[0]) + 1, 1e3 * (middle - start), 1e3 * (end - middle), 1e3 * (end - start),
             text)


def whispercpp(cli, model, threads, *paths):
    name = "whisper.cpp-" + re.sub(r"^ggml-|\.bin$", "", Path(model).name)
    for path in paths:
        run = subprocess.run([cli, "-m", model, "-t", threads, "-bs", "1", "-bo", "1", "-nf", "-nt", "-l", "en",
                              "-sns", "-f", path], capture_output=True, text=True, check=True)
        times = {}
        for kind, ms, runs in re.findall(r"(\w+) time\s*=\s*([\d.]+) ms(?: /\s*(\d+) runs)?", run.stderr):
            times[kind] = (float(ms), int(runs or 1))
        decode_ms = sum(times.get(k, (0, 0))[0] for k in ("decode", "batchd", "prompt", "sample"))
        tokens = times.get("decode", (0, 0))[1] + 1  # the first one comes out of the prompt's batch
        total_ms = times["total"][0] - times["load"][0]
        emit(name, Path(path).name, len(read_wav(path)) / 16000, tokens, times["encode"][0], decode_ms, total_ms,
             run.stdout)


def ours(name, results):
    for line in Path(results).read_text(encoding="utf-8").splitlines():
        r = json.loads(line)
        s = r["stats"]
        emit(name, Path(r["file"]).name, float(s["audio_s"]), s["tokens"], float(s["target_encode_ms"]),
             float(s["target_decode_ms"]), float(s["total_ms"]), r["text"])


def medians(rows):
    """Of one engine: per file the median over the rounds; then means over files, and ms per token over all."""
    files = {}
    for row in rows:
        files.setdefault(row["file"], []).append(row)
    per = [{k: statistics.median(float(r[k]) for r in group)
            for k in ("audio_s", "tokens", "encode_ms", "decode_ms", "total_ms")} for group in files.values()]
    tokens = sum(p["tokens"] for p in per)
    return {"encode": statistics.mean(p["encode_ms"] for p in per),
            "token": sum(p["decode_ms"] for p in per) / max(tokens, 1),
            "total": statistics.mean(p["total_ms"] for p in per),
            "speed": sum(p["audio_s"] for p in per) / (sum(p["total_ms"] for p in per) / 1e3),
            "rounds": max(len(g) for g in files.values()), "files": len(files)}


def report(path):
    lines = [line.rstrip("\n").split("\t") for line in open(path, encoding="utf-8") if not line.startswith("#")]
    rows = [dict(zip(COLUMNS, line)) for line in lines if line[0] != COLUMNS[0]]
    engines = {}
    for row in rows:
        engines.setdefault(row["engine"], []).append(row)
    table = {name: medians(group) for name, group in engines.items()}
    print(f"{'engine':<28} {'encoder ms':>10} {'ms/token':>9} {'total ms':>9} {'x real':>7}  files x rounds")
    for name, m in table.items():
        print(f"{name:<28} {m['encode']:>10.1f} {m['token']:>9.2f} {m['total']:>9.1f} {m['speed']:>7.1f}"
              f"  {m['files']} x {m['rounds']}")
    for mine in (n for n in table if n.startswith("specasr") and "split" not in n):
        for peer in (n for n in table if not n.startswith("specasr")):
            a, b = table[mine], table[peer]
            print(f"{mine} / {peer}: encoder {a['encode'] / b['encode']:.2f}, token {a['token'] / b['token']:.2f}, "
                  f"total {a['total'] / b['total']:.2f}")


COMMANDS = {"ct2": ct2, "whispercpp": whispercpp, "ours": ours, "report": report}

if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in COMMANDS:
        raise SystemExit(__doc__)
    COMMANDS[sys.argv[1]](*sys.argv[2:])
