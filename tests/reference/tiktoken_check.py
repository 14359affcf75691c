"""Expected token ids and character classes from tiktoken, an independent byte-level BPE.

    python3 tests/reference/tiktoken_check.py strings VOCABULARY OUT COUNT SEED
    python3 tests/reference/tiktoken_check.py classes OUT

VOCABULARY holds the ordinary tokens in order of their ids, each a 32-bit length and its bytes. `strings`
writes generated texts with their ids: per text a 32-bit byte count, the bytes, a 32-bit id count, the ids.
`classes` writes a byte per code point: L, N, S (white space) or M as tiktoken's regular expressions
have it (surrogates: 0). All integers little endian. tools/python_deps.sh installs tiktoken.
"""

import os
import random
import struct
import sys
import unicodedata

CACHE = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
sys.path.insert(0, os.path.join(CACHE, "specasr", "python"))

import tiktoken  # noqa: E402

# openai/whisper tokenizer.py; A. Radford et al., GPT-2, encoder.py
PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""


def read_vocabulary(path):
    data = open(path, "rb").read()
    ranks, at = {}, 0
    while at < len(data):
        (n,) = struct.unpack_from("<I", data, at)
        token = data[at + 4 : at + 4 + n]
        ranks.setdefault(token, len(ranks))
        at += 4 + n
    return ranks


# Blocks of scripts; only assigned characters are drawn from them.
BLOCKS = {
    "latin": [(0x41, 0x5A), (0x61, 0x7A)],
    "latin accents": [(0xC0, 0x24F), (0x1E00, 0x1EFF)],
    "cyrillic": [(0x400, 0x4FF)],
    "greek": [(0x370, 0x3FF), (0x1F00, 0x1FFF)],
    "arabic": [(0x600, 0x6FF)],
    "hebrew": [(0x591, 0x5F4)],
    "devanagari": [(0x900, 0x97F)],
    "tamil": [(0xB80, 0xBFF)],
    "thai": [(0xE00, 0xE7F)],
    "georgian": [(0x10A0, 0x10FF)],
    "ethiopic": [(0x1200, 0x137F)],
    "kana": [(0x3040, 0x30FF)],
    "han": [(0x4E00, 0x9FFF)],
    "han beyond the base plane": [(0x20000, 0x20FFF)],
    "hangul": [(0xAC00, 0xD7A3)],
    "digits": [(0x30, 0x39)],
    "other digits": [(0x660, 0x669), (0x966, 0x96F), (0xFF10, 0xFF19), (0x2160, 0x2188), (0xB2, 0xB3),
                     (0xBC, 0xBE), (0x3220, 0x3229)],
    "marks": [(0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)],
    "other marks": [(0xA1, 0xBF), (0x2010, 0x2046), (0x20A0, 0x20BF), (0x3001, 0x3011), (0x2190, 0x21FF)],
    "combining": [(0x300, 0x36F)],
    "emoji": [(0x1F300, 0x1F64F), (0x2600, 0x26FF), (0x1F900, 0x1F9FF)],
    "controls": [(0x00, 0x08), (0x0E, 0x1F), (0x7F, 0x84), (0x86, 0x9F), (0x200B, 0x200F)],
    "private": [(0xE000, 0xE0FF)],
}
SPACES = [" ", " ", " ", "  ", "   ", "\n", "\n\n", "\t", " \n", "\r\n", "\u00a0", "\u3000", "\u2003",
          "\u2028", " \u3000 ", "\x85", "\x0b", "\u1680", "     "]
SPECIAL = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'LL", "'", "''s", "don't", "I'll", "l'll",
           "\u2019s", "<|endoftext|>", "<|0.00|>", "e\u0301", "n\u0303o", "\U0001F469\u200d\U0001F680",
           "\U0001F1E9\U0001F1EA", "\u2764\ufe0f", "\U0001F44D\U0001F3FD", "\ufffd", "\ufeff", "3.14", "1,000",
           "\u0e01\u0e33", "\u0915\u094d\u0937\u093f", "\u0627\u0644\u0633\u0651\u0644\u0627\u0645"]


def characters():
    out = []
    for ranges in BLOCKS.values():
        codes = [c for a, b in ranges for c in range(a, b + 1)]
        out.append([chr(c) for c in codes if unicodedata.category(chr(c)) != "Cn"])
    return out


def word(rng, alphabets, tokens):
    kind = rng.random()
    if kind < 0.35:
        alphabet = rng.choice(alphabets)
        return "".join(rng.choice(alphabet) for _ in range(rng.randint(1, 9)))
    if kind < 0.75:
        return "".join(rng.choice(tokens) for _ in range(rng.randint(1, 3)))
    if kind < 0.9:
        return rng.choice(SPECIAL)
    return rng.choice(rng.choice(alphabets)) * rng.randint(1, 40)


def text(rng, alphabets, tokens):
    parts = []
    for _ in range(rng.randint(1, 25)):
        parts.append(word(rng, alphabets, tokens))
        if rng.random() < 0.6:
            parts.append(rng.choice(SPACES))
    return "".join(parts)


# Single pieces longer than any buffer on a stack, and edges.
FIXED = ["", " ", "  ", "a", "a" * 1000, " " * 3000, "ab" * 700, "\u3042" * 500, "!?" * 400, "1" * 999,
         "a ", " a", "  a", "a  b", "'", "'l", "'ll", "'lll", " 'll", "\n\na", "a\n b", "\u3000a", "\u00a0 a"]


def strings(vocabulary, out, count, seed):
    ranks = read_vocabulary(vocabulary)
    encoding = tiktoken.Encoding("reference", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
    rng = random.Random(seed)
    alphabets = characters()
    tokens = []
    for token in ranks:
        try:
            tokens.append(token.decode("utf-8"))
        except UnicodeDecodeError:
            pass
    texts = FIXED + [text(rng, alphabets, tokens) for _ in range(count)]
    with open(out, "wb") as file:
        for item in texts:
            ids = encoding.encode_ordinary(item)
            data = item.encode("utf-8")
            file.write(struct.pack("<I", len(data)) + data)
            file.write(struct.pack(f"<I{len(ids)}i", len(ids), *ids))


def matching(pattern, everything):
    """The characters that match, through tiktoken's own regular expressions: one token per byte."""
    encoding = tiktoken.Encoding("class", pat_str=pattern, special_tokens={},
                                 mergeable_ranks={bytes([i]): i for i in range(256)})
    return bytes(encoding.encode_ordinary(everything)).decode("utf-8")


def classes(out):
    table = bytearray(b"M" * 0x110000)
    table[0xD800:0xE000] = bytes(0x800)
    everything = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)
    for letter, pattern in (("L", r"\p{L}"), ("N", r"\p{N}"), ("S", r"\s")):
        for character in matching(pattern, everything):
            table[ord(character)] = ord(letter)
    with open(out, "wb") as file:
        file.write(table)


if __name__ == "__main__":
    if sys.argv[1] == "strings":
        strings(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        classes(sys.argv[2])
