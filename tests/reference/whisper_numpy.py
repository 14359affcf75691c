"""Whisper in float32 numpy, written from the paper and OpenAI's model.py: the independent side of the
backend's tests.

    python3 whisper_numpy.py check MODEL FOLDER       compare a backend's logits and choices with ours
    python3 whisper_numpy.py greedy MODEL LANGUAGE [--timestamps] FILE.s16 ...     tokens, a JSON line a file

MODEL: a CTranslate2 folder, a GGUF file, or an .npz with GGUF's tensor names.
FOLDER of check: mel.f32 [n_mels][n_frames], tokens.i32 (decoded one after another), chosen.i32 (the
choice after each; -1: none was asked), logits.f32 [tokens][n_vocab], case.json {"n_frames", "prompt" (number of
prompt tokens), "timestamps", "tolerance" (largest absolute difference of logits), "near" (a gap under
which choices may differ)}.
FILE.s16: s16le at 16 kHz, one window of at most 30 s.
"""
import json
import math
import os
import struct
import sys

import numpy as np

EPS = 1e-5
NEVER = -np.inf

# ---- weights: any source to {GGUF name: float32 array} ----

CT2_ATTENTION = {"self_attention": "attn", "attention": "cross"}


def ct2_variables(path):
    """model.bin: version, spec, revision, count; per variable name, shape, type, bytes (CTranslate2)."""
    data = open(path, "rb").read()
    at = 0

    def take(fmt):
        nonlocal at
        value = struct.unpack_from("<" + fmt, data, at)
        at += struct.calcsize("<" + fmt)
        return value if len(value) > 1 else value[0]

    def name():
        nonlocal at
        n = take("H")
        at += n
        return data[at - n : at - 1].decode()

    take("I"), name(), take("I")
    for _ in range(take("I")):
        key = name()
        shape = [take("I") for _ in range(take("B"))]
        kind, size = take("B"), take("I")
        if kind in (0, 4) and shape:
            dtype = np.float32 if kind == 0 else np.float16
            yield key, np.frombuffer(data, dtype, size // np.dtype(dtype).itemsize, at).reshape(shape)
        at += size


def ct2_layer(prefix, rest, value):
    block, part, field = rest.split("/")[0], rest.split("/")[1], rest.split("/")[-1]
    field = {"gamma": "weight", "beta": "bias"}.get(field, field)
    if block == "ffn":
        part = {"layer_norm": "ffn_norm", "linear_0": "ffn_up", "linear_1": "ffn_down"}[part]
        return {f"{prefix}{part}.{field}": value}
    stem = prefix + CT2_ATTENTION[block]
    if part == "layer_norm":
        return {f"{stem}_norm.{field}": value}
    fused = {("self_attention", "linear_0"): "qkv", ("self_attention", "linear_1"): ["out"],
             ("attention", "linear_0"): "q", ("attention", "linear_1"): "kv",
             ("attention", "linear_2"): ["out"]}[(block, part)]
    return {f"{stem}_{n}.{field}": piece for n, piece in zip(fused, np.split(value, len(fused)))}


def load_ct2(folder):
    weights = {}
    for key, value in ct2_variables(os.path.join(folder, "model.bin")):
        stack, rest = key.split("/", 1)
        if rest.startswith("layer_") and rest[6].isdigit():
            layer, rest = rest.split("/", 1)
            weights.update(ct2_layer(f"{stack}.blk.{layer[6:]}.", rest, value))
        elif rest.startswith("layer_norm"):
            weights[f"{stack}.output_norm." + ("weight" if rest.endswith("gamma") else "bias")] = value
        elif rest.startswith("position"):
            weights[f"{stack}.position_embd.weight"] = value
        elif rest.startswith("embeddings"):
            weights["decoder.token_embd.weight"] = value
        elif rest.startswith("conv"):
            weights[key.replace("/", ".")] = value
    config = json.load(open(os.path.join(folder, "config.json")))
    return weights, {"suppress": config["suppress_ids"], "first": config["suppress_ids_begin"]}


GGUF_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


def gguf_header(data):
    at = 4

    def take(fmt):
        nonlocal at
        value = struct.unpack_from("<" + fmt, data, at)[0]
        at += struct.calcsize("<" + fmt)
        return value

    def string():
        nonlocal at
        n = take("Q")
        at += n
        return bytes(data[at - n : at])

    def value(kind):
        if kind == 8:
            return string()
        if kind != 9:
            return take(GGUF_SCALARS[kind])
        inner, n = take("I"), take("Q")
        return [value(inner) for _ in range(n)]

    assert bytes(data[:4]) == b"GGUF"
    take("I")
    n_tensors, n_keys = take("Q"), take("Q")
    keys, tensors = {}, []
    for _ in range(n_keys):
        key = string().decode()
        keys[key] = value(take("I"))
    for _ in range(n_tensors):
        name = string().decode()
        shape = [take("Q") for _ in range(take("I"))][::-1]
        tensors.append((name, shape, take("I"), take("Q")))
    align = keys.get("general.alignment", 32)
    return keys, tensors, (at + align - 1) // align * align


def gguf_tensor(data, start, shape, kind):
    n = math.prod(shape)
    if kind in (0, 1):
        return np.frombuffer(data, np.float32 if kind == 0 else np.float16, n, start).reshape(shape)
    if kind == 2:
        blocks = np.frombuffer(data, np.dtype([("d", "<f2"), ("u", "u1", 16)]), n // 32, start)
        u = np.concatenate([blocks["u"] & 15, blocks["u"] >> 4], axis=1).astype(np.float32) - 8
        return (blocks["d"].astype(np.float32)[:, None] * u).reshape(shape)
    assert kind == 8, "only f32, f16, q8_0 and q4_0"
    blocks = np.frombuffer(data, np.dtype([("d", "<f2"), ("q", "i1", 32)]), n // 32, start)
    return (blocks["d"].astype(np.float32)[:, None] * blocks["q"]).reshape(shape)


def load_gguf(path):
    data = np.memmap(path, np.uint8, "r")
    keys, tensors, base = gguf_header(data)
    weights = {name: gguf_tensor(data, base + at, shape, kind) for name, shape, kind, at in tensors}
    return weights, {"suppress": keys["whisper.suppress_tokens"],
                     "first": keys["whisper.suppress_first_tokens"]}


def load(path):
    if os.path.isdir(path):
        return load_ct2(path)
    if path.endswith(".npz"):
        return dict(np.load(path)), {"suppress": [], "first": []}
    return load_gguf(path)


# ---- the model ----

ERF_X = np.linspace(-6, 6, 240001)
ERF_Y = np.array([math.erf(x) for x in ERF_X])


def gelu(x):
    """Exact GELU; erf interpolated in float64 on a grid of 5e-5, error below 1e-9."""
    return (0.5 * x * (1 + np.interp(x / math.sqrt(2), ERF_X, ERF_Y))).astype(np.float32)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class Whisper:
    """HEAD is 64 in every published size; other sizes are told."""

    def __init__(self, path, head=64):
        self.w, self.suppress = load(path)
        self.head = head
        self.layers = {s: 1 + max(int(k.split(".")[2]) for k in self.w if k.startswith(s + ".blk."))
                       for s in ("encoder", "decoder")}
        self.n_vocab, self.n_state = self.w["decoder.token_embd.weight"].shape
        self.n_mels = self.w["encoder.conv1.weight"].shape[1]
        self.cache = {}

    def get(self, name):
        if name not in self.cache:
            value = self.w.get(name)
            self.cache[name] = None if value is None else np.ascontiguousarray(value, np.float32)
        return self.cache[name]

    def linear(self, name, x):
        y = x @ self.get(name + ".weight").T
        bias = self.get(name + ".bias")
        return y if bias is None else y + bias

    def norm(self, name, x):
        mean = x.mean(axis=-1, keepdims=True)
        var = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
        return (x - mean) / np.sqrt(var + np.float32(EPS)) * self.get(name + ".weight") + self.get(name + ".bias")

    def conv(self, name, x, stride):
        """x: [frames][channels], width 3, padding 1."""
        weight = self.get(name + ".weight")
        padded = np.pad(x, ((1, 1), (0, 0)))
        n = (len(x) - 1) // stride + 1
        y = sum(padded[tap : tap + stride * (n - 1) + 1 : stride] @ weight[:, :, tap].T for tap in range(3))
        return y + self.get(name + ".bias")

    def heads(self, x):
        return x.reshape(len(x), -1, self.head).transpose(1, 0, 2)

    def attend(self, q, k, v, mask=None):
        scores = q @ k.transpose(0, 2, 1) * np.float32(self.head**-0.5)
        if mask is not None:
            scores = scores + mask
        return (softmax(scores) @ v).transpose(1, 0, 2).reshape(q.shape[1], -1)

    def feed(self, block, x):
        return x + self.linear(block + "ffn_down", gelu(self.linear(block + "ffn_up", self.norm(block + "ffn_norm", x))))

    def encode(self, mel):
        x = gelu(self.conv("encoder.conv1", mel.T, 1))
        x = gelu(self.conv("encoder.conv2", x, 2))
        x = x + self.get("encoder.position_embd.weight")[: len(x)]
        for i in range(self.layers["encoder"]):
            b = f"encoder.blk.{i}."
            h = self.norm(b + "attn_norm", x)
            q, k, v = (self.heads(self.linear(b + "attn_" + n, h)) for n in "qkv")
            x = x + self.linear(b + "attn_out", self.attend(q, k, v))
            x = self.feed(b, x)
        return self.norm("encoder.output_norm", x)

    def start(self, mel):
        """A decoding state: cross keys and values, empty cache."""
        states = self.encode(mel)
        blocks = [f"decoder.blk.{i}." for i in range(self.layers["decoder"])]
        cross = [tuple(self.heads(self.linear(b + "cross_" + n, states)) for n in "kv") for b in blocks]
        return {"n": 0, "cross": cross, "self": [None] * len(blocks)}

    def step(self, state, tokens):
        """Logits after each token; the cache grows by the tokens."""
        n, first = len(tokens), state["n"]
        x = self.get("decoder.token_embd.weight")[tokens]
        x = x + self.get("decoder.position_embd.weight")[first : first + n]
        mask = np.triu(np.full((n, first + n), NEVER, np.float32), first + 1)
        for i, (cross_k, cross_v) in enumerate(state["cross"]):
            b = f"decoder.blk.{i}."
            h = self.norm(b + "attn_norm", x)
            q, k, v = (self.heads(self.linear(b + "attn_" + part, h)) for part in "qkv")
            if state["self"][i] is not None:
                k = np.concatenate([state["self"][i][0], k], axis=1)
                v = np.concatenate([state["self"][i][1], v], axis=1)
            state["self"][i] = (k, v)
            x = x + self.linear(b + "attn_out", self.attend(q, k, v, mask))
            h = self.norm(b + "cross_norm", x)
            q = self.heads(self.linear(b + "cross_q", h))
            x = x + self.linear(b + "cross_out", self.attend(q, cross_k, cross_v))
            x = self.feed(b, x)
        state["n"] += n
        x = self.norm("decoder.output_norm", x)
        head = self.get("decoder.output.weight")
        return x @ (self.get("decoder.token_embd.weight") if head is None else head).T


# ---- the rules (OpenAI's decoding.py, greedy) ----


class Special:
    """Ids follow from the size of the vocabulary."""

    def __init__(self, n_vocab):
        self.multilingual = n_vocab >= 51865
        self.end = 50257 if self.multilingual else 50256
        n_languages = n_vocab - 51865 + 99 if self.multilingual else 99
        self.start = self.end + 1
        self.language = self.start + 1
        self.translate = self.language + n_languages
        self.transcribe, self.lm, self.previous, self.no_speech, self.no_timestamps, self.time = (
            self.translate + i for i in range(1, 7))


LANGUAGES = "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi".split()


def choose(logits, sampled, special, suppress, timestamps):
    """(choice, gap to the second)."""
    logits = logits.astype(np.float64)
    always = [t for t in suppress["suppress"] if t >= 0]
    always += [special.start, special.translate, special.transcribe, special.lm, special.previous,
               special.no_speech, special.no_timestamps]
    logits[always] = NEVER
    logits[special.language : special.translate] = NEVER
    if not sampled:
        logits[list(suppress["first"]) + [special.end]] = NEVER
    if not timestamps:
        logits[special.time :] = NEVER
    else:
        time_rules(logits, sampled, special)
    order = np.argsort(-logits, kind="stable")[:2]
    return int(order[0]), float(logits[order[0]] - logits[order[1]])


def time_rules(logits, sampled, special):
    is_time = [t >= special.time for t in sampled]
    if is_time and is_time[-1]:
        if len(sampled) < 2 or is_time[-2]:
            logits[special.time :] = NEVER
        else:
            logits[: special.end] = NEVER
    times = [t for t in sampled if t >= special.time]
    if times:
        pair_open = is_time[-1] and not (len(sampled) < 2 or is_time[-2])
        logits[special.time : times[-1] + (0 if pair_open else 1)] = NEVER
    if not sampled:
        logits[: special.time] = NEVER
        logits[special.time + 51 :] = NEVER
    with np.errstate(divide="ignore"):
        top = logits.max()
        time_mass = np.log(np.exp(logits[special.time :] - top).sum())
    if time_mass > logits[: special.time].max() - top:
        logits[: special.time] = NEVER


def make_prompt(special, language, timestamps):
    prompt = [special.start]
    if special.multilingual:
        prompt += [special.language + LANGUAGES.index(language), special.transcribe]
    return prompt + ([] if timestamps else [special.no_timestamps])


def greedy(model, mel, language, timestamps, n_max=224):
    special = Special(model.n_vocab)
    state = model.start(mel)
    tokens, fed, least = [], make_prompt(special, language, timestamps), math.inf
    while len(tokens) < n_max and (not tokens or tokens[-1] != special.end):
        token, gap = choose(model.step(state, fed)[-1], tokens, special, model.suppress, timestamps)
        tokens.append(token)
        fed, least = [token], min(least, gap)
    return tokens, least


# ---- commands ----


def check(path, folder):
    def read(name, dtype):
        return np.fromfile(os.path.join(folder, name), dtype)

    case = json.load(open(os.path.join(folder, "case.json")))
    model = Whisper(path)
    mel = read("mel.f32", np.float32).reshape(model.n_mels, case["n_frames"])
    tokens, chosen = read("tokens.i32", np.int32), read("chosen.i32", np.int32)
    theirs = read("logits.f32", np.float32).reshape(len(tokens), model.n_vocab)
    state = model.start(mel)
    half = len(tokens) // 2
    ours = np.concatenate([model.step(state, tokens[:half]), model.step(state, tokens[half:])])
    difference = np.abs(ours - theirs)
    relative = np.linalg.norm(ours - theirs) / np.linalg.norm(ours)
    special, n_equal, n_near, n_wrong = Special(model.n_vocab), 0, 0, 0
    for i in np.flatnonzero(chosen >= 0):
        sampled = list(tokens[case["prompt"] : i + 1])
        token, gap = choose(ours[i], sampled, special, model.suppress, case["timestamps"])
        n_equal += token == chosen[i]
        n_near += token != chosen[i] and gap <= case["near"]
        n_wrong += token != chosen[i] and gap > case["near"]
    good = difference.max() <= case["tolerance"] and n_wrong == 0 and n_equal > 0
    print(f"{model.n_state} wide, {model.layers['encoder']}+{model.layers['decoder']} layers, {len(tokens)} tokens: "
          f"largest difference {difference.max():.2e} of logits up to {np.abs(ours).max():.1f}, relative "
          f"{relative:.1e}; choices {n_equal} equal, {n_near} at a near-tie, {n_wrong} wrong"
          f"{'' if good else '  FAILED'}")
    return 0 if good else 1


def run_greedy(path, language, arguments):
    from mel_numpy import log_mel

    model = Whisper(path)
    for name in arguments:
        if name.startswith("--"):
            continue
        mel = log_mel(np.fromfile(name, "<i2"), model.n_mels, 3000).astype(np.float32)
        tokens, gap = greedy(model, mel, language, "--timestamps" in arguments)
        print(json.dumps({"id": os.path.basename(name), "tokens": tokens, "min_gap": round(gap, 5)}))
    return 0


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "check":
        sys.exit(check(sys.argv[2], sys.argv[3]))
    if len(sys.argv) >= 5 and sys.argv[1] == "greedy":
        sys.exit(run_greedy(sys.argv[2], sys.argv[3], sys.argv[4:]))
    sys.exit(__doc__)
