"""recorded.py RECORDING MANIFEST...: where a draft model's text left the target's, as tests/cluster/recorded.c, to stdout.

RECORDING: what tools/simulate_spec.py writes (six lines an utterance: "id set n_target n_draft", target tokens, draft
tokens, ...). MANIFEST: manifest.tsv of the sets, for the seconds. No text is kept: a letter for each step of the
shortest edit from the target's tokens to the draft's.

    =  the same token    s  another token    d  a token that the draft left out    i  one that it put in

and a letter for the draft's confidence c in each of its tokens, the end among them: 'a' + 5 + 2 ln(c / (1 - c)), rounded,
between 'a' and 'p'.
"""
import csv
import math
import sys

END = 50257


def edits(target, draft):
    """The shortest edit, as letters; of equals the one that goes along longest."""
    n, m = len(target), len(draft)
    cost = [[0] * (m + 1) for _ in range(n + 1)]
    for i in range(n, -1, -1):
        for j in range(m, -1, -1):
            if i == n or j == m:
                cost[i][j] = n - i + m - j
            elif target[i] == draft[j]:
                cost[i][j] = cost[i + 1][j + 1]
            else:
                cost[i][j] = 1 + min(cost[i + 1][j + 1], cost[i + 1][j], cost[i][j + 1])
    i = j = 0
    letters = ""
    while i < n or j < m:
        if i < n and j < m and target[i] == draft[j]:
            letters, i, j = letters + "=", i + 1, j + 1
        elif i < n and j < m and cost[i][j] == 1 + cost[i + 1][j + 1]:
            letters, i, j = letters + "s", i + 1, j + 1
        elif i < n and cost[i][j] == 1 + cost[i + 1][j]:
            letters, i = letters + "d", i + 1
        else:
            letters, j = letters + "i", j + 1
    return letters


def letter(confidence):
    odds = math.log(max(confidence, 1e-6) / max(1.0 - confidence, 1e-6))
    return chr(ord("a") + min(max(round(5 + 2 * odds), 0), 15))


def quoted(letters):
    return '"%s"' % '"\n            "'.join(letters[i:i + 76] for i in range(0, len(letters), 76))


def main():
    seconds = {}
    for name in sys.argv[2:]:
        with open(name, encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                seconds[row["id"]] = float(row["seconds"])
    with open(sys.argv[1], encoding="utf-8") as file:
        lines = [line.split() for line in file]
    rows = []
    for head, target, draft, sure in zip(lines[0::6], lines[1::6], lines[2::6], lines[3::6]):
        text = [[int(t) for t in tokens if int(t) != END] for tokens in (target, draft)]
        if head[0] in seconds and 0.5 < seconds[head[0]] <= 29.0 and text[0]:
            letters = "".join(letter(float(c)) for c in sure[:len(text[1]) + 1])
            rows.append((seconds[head[0]], edits(*text), letters))
    print('/* Written by bench/recorded.py: %d utterances, base and tiny.en. */' % len(rows))
    print('#include "recorded.h"\n')
    print("const struct toy_recorded recorded[] = {")
    for length, steps, letters in rows:
        print("    {%.2ff, %s,\n     %s}," % (length, quoted(steps), quoted(letters)))
    print("};\n")
    print("const uint32_t n_recorded = sizeof(recorded) / sizeof(recorded[0]);")


main()
