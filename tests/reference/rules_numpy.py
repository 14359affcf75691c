"""Expected choices by an independent implementation of OpenAI's decoding rules in numpy.

    python3 tests/reference/rules_numpy.py OUT COUNT SEED [VOCABULARY_TEXT]

Writes COUNT random cases: rules, a random prefix of sampled tokens, a row of logits, and what follows from
them. The rules are whole-array masks as in openai/whisper decoding.py (SuppressBlank, SuppressTokens,
ApplyTimestampRules); noise is argmax(logits / T + Gumbel) with the hash of lib/rules/noise.c.

Layout, little endian, 32-bit fields: the vocabulary (see `header`), then per case the fields in `case`,
then the logits as float32.
"""

import struct
import sys

import numpy as np

TIMESTAMPS = 1501
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MASK = (1 << 64) - 1


class Vocabulary:
    def __init__(self, n_text, rng):
        self.end = n_text
        self.start = n_text + 1
        self.language_begin = n_text + 2
        self.n_languages = 7
        after = self.language_begin + self.n_languages
        self.translate, self.transcribe, self.lm, self.previous, self.no_speech, self.no_timestamps = range(
            after, after + 6)
        self.timestamp_begin = after + 6
        self.n_vocab = self.timestamp_begin + TIMESTAMPS
        self.suppress = sorted(int(i) for i in rng.choice(n_text, 25, replace=False))
        self.suppress_first = [int(rng.integers(n_text)), self.end]

    def header(self):
        fields = [self.n_vocab, self.end, self.start, self.translate, self.transcribe, self.previous,
                  self.no_speech, self.no_timestamps, self.timestamp_begin, self.language_begin,
                  self.n_languages, len(self.suppress), *self.suppress, len(self.suppress_first),
                  *self.suppress_first]
        return struct.pack(f"<{len(fields)}i", *fields)


def log_sum_exp(x):
    top = x.max() if x.size else -np.inf
    return -np.inf if top == -np.inf else top + np.log(np.exp(x - top).sum())


def filter_logits(v, case, logits):
    """The logits after all filters, and how far the timestamp rule was from deciding otherwise."""
    x = logits.astype(np.float64)
    sampled = case["prefix"]
    first = len(sampled) == 0
    margin = np.inf
    if case["detect"]:
        keep = np.zeros(v.n_vocab, bool)
        keep[v.language_begin : v.language_begin + v.n_languages] = True
        x[~keep] = -np.inf
        return x, margin
    if first:
        x[v.suppress_first] = -np.inf
    x[v.suppress] = -np.inf
    x[[v.transcribe, v.translate, v.start, v.previous, v.lm, v.no_speech]] = -np.inf
    if not case["timestamps"]:
        return x, margin

    x[v.no_timestamps] = -np.inf
    begin = v.timestamp_begin
    last_was = len(sampled) >= 1 and sampled[-1] >= begin
    before_was = len(sampled) < 2 or sampled[-2] >= begin
    if last_was and before_was:
        x[begin:] = -np.inf
    elif last_was:
        x[: v.end] = -np.inf
    times = [t for t in sampled if t >= begin]
    if times:
        x[begin : times[-1] if last_was and not before_was else times[-1] + 1] = -np.inf
    if first:
        x[:begin] = -np.inf
        if case["max_initial"] >= 0:
            x[begin + case["max_initial"] + 1 :] = -np.inf
    mass, best_text = log_sum_exp(x[begin:]), x[:begin].max()
    if np.isfinite(mass) and np.isfinite(best_text):
        margin = abs(mass - best_text)
    if mass > best_text:
        x[:begin] = -np.inf
    return x, margin


def mix(x):
    x = x.astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def gumbel(case, n):
    key = np.zeros(1, np.uint64)
    for value in (case["seed"], case["window"], case["attempt"], len(case["prefix"])):
        key = mix(key + np.uint64(value) + GOLDEN)
    hashes = mix(key + np.arange(1, n + 1, dtype=np.uint64) * GOLDEN)
    u = ((hashes >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return -np.log(-np.log(u))


def choose(v, case, logits):
    x, margin = filter_logits(v, case, logits)
    scores = x
    if case["temperature"] > 0:
        scores = x / float(np.float32(case["temperature"])) + gumbel(case, v.n_vocab)
    order = np.lexsort((np.arange(v.n_vocab), -scores))[:2]
    token = int(order[0])
    second = int(order[1]) if np.isfinite(scores[order[1]]) else -1
    total = log_sum_exp(x)
    gap = scores[token] - scores[second] if second >= 0 else np.inf
    return (token, second, x[token] - total, x[second] - total if second >= 0 else -np.inf, gap, margin)


def random_prefix(v, rng):
    """Mostly what the rules produce (times in pairs, rising), sometimes anything."""
    n = int(rng.integers(0, 9))
    if rng.random() < 0.25:
        return [int(t) for t in rng.integers(0, v.n_vocab, n)]
    out, time = [], 0
    for i in range(n):
        if i == 0 or rng.random() < 0.4:
            time = min(time + int(rng.integers(0, 200)), TIMESTAMPS - 1)
            out.append(v.timestamp_begin + time)
        else:
            out.append(int(rng.integers(0, v.end)))
    return out


def random_logits(v, rng):
    x = rng.normal(0, rng.choice([0.5, 2.0, 6.0]), v.n_vocab)
    x[v.timestamp_begin :] += rng.choice([-8.0, -4.0, 0.0, 3.0])
    if rng.random() < 0.5:
        x[rng.integers(0, v.n_vocab, 4)] += 12.0
    if rng.random() < 0.2:
        x = np.round(x)  # many ties
    return x.astype(np.float32)


def main(out, count, seed, n_text):
    rng = np.random.default_rng(seed)
    v = Vocabulary(n_text, rng)
    with open(out, "wb") as file:
        file.write(v.header())
        for _ in range(count):
            logits = random_logits(v, rng)
            case = {
                "timestamps": int(rng.random() < 0.7),
                "detect": int(rng.random() < 0.05),
                "max_initial": int(rng.choice([-1, 0, 50, 1500])),
                "temperature": float(rng.choice([0, 0, 0, 0.2, 0.6, 1.0])),
                "seed": int(rng.integers(0, 1 << 31)),
                "window": int(rng.integers(0, 100)),
                "attempt": int(rng.integers(0, 6)),
                "prefix": random_prefix(v, rng),
            }
            prefix = case["prefix"]
            padded = prefix + [0] * (16 - len(prefix))
            file.write(struct.pack("<3if4i16i", case["timestamps"], case["detect"], case["max_initial"],
                                   case["temperature"], case["seed"], case["window"], case["attempt"],
                                   len(prefix), *padded))
            file.write(struct.pack("<2i4f", *choose(v, case, logits)))
            file.write(logits.tobytes())


if __name__ == "__main__":
    np.seterr(over="ignore", invalid="ignore", divide="ignore")
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 300)
