"""Writes the recording that bench/spec_simulate reads: target tokens and mapped draft tokens.

    /usr/bin/python3 tools/simulate_spec.py \\
        TARGET.jsonl TARGET_VOCABULARY DRAFT.jsonl DRAFT_VOCABULARY OUT

The .jsonl files have a line per utterance with "id", "set", "tokens" (the last may be the end
token); the draft's may also have "confidence", "second" and "second_confidence", a value per
token. The vocabularies are CTranslate2's vocabulary.txt (a token per line in byte-level spelling)
of a multilingual target (end token 50257) and an English-only draft (end token 50256). Draft text
becomes target tokens by byte-level BPE by rank, each stretch between two timestamps by itself;
timestamps are mapped by their time. Confidence of a target token: the least of the draft tokens
that it overlaps.
"""
import json
import re
import sys

WORDS = re.compile(r"""'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+""")
UNKNOWN_CONFIDENCE = 0.93


def byte_of_char():
    """GPT-2's spelling of bytes as printable characters."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(b): b for b in printable}
    others = [b for b in range(256) if b not in printable]
    table.update({chr(256 + i): b for i, b in enumerate(others)})
    return table


class Vocabulary:
    def __init__(self, path, end):
        table = byte_of_char()
        with open(path, encoding="utf-8") as f:
            lines = [line.rstrip("\n") for line in f][:end]
        self.text = [bytes(table[c] for c in line) for line in lines]
        self.end = end
        self.rank = {}
        for i, text in enumerate(self.text):
            self.rank.setdefault(text, i)

    def encode_word(self, word):
        parts = [bytes([b]) for b in word]
        while len(parts) > 1:
            pairs = [(self.rank.get(a + b, 1 << 30), i)
                     for i, (a, b) in enumerate(zip(parts, parts[1:]))]
            rank, i = min(pairs)
            if rank == 1 << 30:
                break
            parts[i:i + 2] = [parts[i] + parts[i + 1]]
        return [self.rank[p] for p in parts]

    def encode(self, data):
        words = WORDS.findall(data.decode("utf-8", "replace"))
        return [t for word in words for t in self.encode_word(word.encode())]


class Mapper:
    """Draft tokens with their numbers -> rows [token, confidence, second, second confidence]."""

    def __init__(self, target, draft, times_target, times_draft):
        self.target, self.draft = target, draft
        self.times = times_target - times_draft
        self.times_draft = times_draft

    def special(self, token):
        if token >= self.times_draft:
            return token + self.times
        return self.target.end if token == self.draft.end else -1

    def second_of(self, before, ids, second):
        """First target token that the text with the draft's second choice has for itself."""
        if second >= self.draft.end:
            return self.special(second)
        other = self.target.encode(before + self.draft.text[second])
        n = len(ids)
        return other[n] if len(other) > n and other[:n] == ids else -1

    def stretch(self, rows):
        """Rows of plain text tokens."""
        owner = [row for row in rows for _ in self.draft.text[row[0]]]
        data = b"".join(self.draft.text[row[0]] for row in rows)
        ids = self.target.encode(data)
        out, at, begins = [], 0, {}
        for i, token in enumerate(ids):
            begins[at] = i
            end = at + len(self.target.text[token])
            least = min((row[1] for row in owner[at:end]), default=UNKNOWN_CONFIDENCE)
            out.append([token, least, -1, 0.0])
            at = end
        at = 0
        for row in rows:
            i = begins.get(at)
            if i is not None and row[2] >= 0:
                second = self.second_of(data[:at], ids[:i], row[2])
                if second >= 0 and second != ids[i]:
                    out[i][2:] = [second, row[3]]
            at += len(self.draft.text[row[0]])
        return out

    def map(self, rows):
        out, text = [], []
        for row in rows:
            if row[0] < self.draft.end:
                text.append(row)
                continue
            out += self.stretch(text)
            text = []
            second = self.special(row[2]) if row[2] >= self.draft.end else -1
            out.append([self.special(row[0]), row[1], second, row[3]])
        return out + self.stretch(text)


def draft_rows(line, end):
    tokens = line["tokens"]
    if tokens[-1] != end:
        tokens = tokens + [end]

    def column(name, default):
        values = line.get(name, [])
        return values + [default] * (len(tokens) - len(values))

    return [list(row) for row in zip(tokens, column("confidence", UNKNOWN_CONFIDENCE),
                                     column("second", -1), column("second_confidence", 0.0))]


def main(argv):
    if len(argv) != 6:
        sys.exit(__doc__)
    target, draft = Vocabulary(argv[2], 50257), Vocabulary(argv[4], 50256)
    mapper = Mapper(target, draft, 50364, 50363)
    with open(argv[1], encoding="utf-8") as f:
        truth = {line["id"]: line for line in map(json.loads, f)}
    n = 0
    with open(argv[3], encoding="utf-8") as f, open(argv[5], "w", encoding="utf-8") as out:
        for line in map(json.loads, f):
            tokens = truth[line["id"]]["tokens"]
            rows = mapper.map(draft_rows(line, draft.end))
            print(line["id"], line["set"], len(tokens), len(rows), file=out)
            print(*tokens, file=out)
            for column in zip(*rows):
                print(*column, file=out)
            n += 1
    print(f"{n} utterances written to {argv[5]}")


if __name__ == "__main__":
    main(sys.argv)
