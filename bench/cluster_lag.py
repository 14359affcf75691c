"""cluster_lag.py FOLDER: the tables of docs/SPEED.md from the CSV files of cluster_lag.sh, as Markdown."""
import collections
import csv
import glob
import sys

GOALS = {"gpu": (300, 500, 1000), "cpu": (1000, 2000)}


def read(pattern):
    rows = []
    for name in sorted(glob.glob(pattern)):
        with open(name, encoding="utf-8") as file:
            rows += list(csv.DictReader(file))
    return rows


def lags(folder, curve):
    """{streams: {mode: row}}"""
    loads = collections.defaultdict(dict)
    for row in read(f"{folder}/lag-{curve}*.csv"):
        loads[int(row["streams"])][row["mode"]] = row
    return dict(sorted(loads.items()))


def number(row, key):
    return float(row[key])


def print_lags(curve, loads):
    print(f"\n| {curve}: streams | p99: alone | co-located | always | controlled (seeds) | mean: alone | "
          "co-located | controlled | decode: alone | controlled | tokens/s | rows a token | advised |")
    print("|" + "---|" * 13)
    for streams, row in loads.items():
        near = [row[m] for m in ("colocated-4", "colocated-16") if m in row]
        own, alone = row["controlled"], row["alone"]
        print(f"| {streams} | {number(alone, 'p99_ms'):.0f} | {min([number(r, 'p99_ms') for r in near] or [0]):.0f} | "
              f"{number(row.get('always', alone), 'p99_ms'):.0f} | {number(own, 'p99_ms'):.0f} "
              f"({number(own, 'seed_p99_ms'):.0f} ± {number(own, 'seed_p99_half'):.0f}) | {number(alone, 'mean_ms'):.0f} | "
              f"{min([number(r, 'mean_ms') for r in near] or [0]):.0f} | {number(own, 'mean_ms'):.0f} | "
              f"{number(alone, 'decode_ms'):.0f} | {number(own, 'decode_ms'):.0f} | {number(own, 'tokens_per_s'):.0f} | "
              f"{number(own, 'rows_per_token'):.2f} | {100 * number(own, 'advised'):.0f} % |")


def capacity(loads, mode, goal):
    """Streams at which p99 passes the goal, between two loads in a straight line; None: never."""
    before = None
    for streams, row in loads.items():
        if mode not in row:
            continue
        p99 = number(row[mode], "p99_ms")
        if p99 > goal:
            if before is None:
                return 0
            return before[0] + (streams - before[0]) * (goal - before[1]) / (p99 - before[1])
        before = streams, p99
    return None


def print_capacity(curve, loads):
    print(f"\n| {curve}: streams at p99 of | alone | co-located, 4 | co-located, 16 | controlled |\n|---|---|---|---|---|")
    for goal in GOALS[curve]:
        cells = []
        for mode in ("alone", "colocated-4", "colocated-16", "controlled"):
            streams = capacity(loads, mode, goal)
            cells.append(f"more than {max(loads)}" if streams is None else f"{int(streams)}")
        print(f"| {goal} ms | {' | '.join(cells)} |")


def print_grid(folder, curve):
    cells = collections.defaultdict(dict)
    for row in read(f"{folder}/grid-{curve}-*.csv"):
        cells[int(row["rtt_ms"]), row["load"], row["draft"]][row["depth"]] = row
    if not cells:
        return
    worst = collections.defaultdict(lambda: (-1e9, None))
    lines = collections.defaultdict(str)
    drafts = ("fast", "slow", "throttling")
    print(f"\n| {curve}: round trip, load | {' | '.join(drafts)} |\n|---|---|---|---|")
    for load in ("idle", "half", "full"):
        for cell in sorted(cell for cell in cells if cell[1] == load):
            rows = cells[cell]
            own = rows["controlled"]
            for key in ("mean_ms", "decode_ms"):
                fixed = [row for depth, row in rows.items() if depth != "controlled"]
                best = min(fixed, key=lambda row: number(row, key))
                above = 100 * (number(own, key) / number(best, key) - 1)
                alone = 100 * (number(own, key) / number(rows["0"], key) - 1)
                worst[key, "the best fixed depth"] = max(worst[key, "the best fixed depth"], (above, cell))
                worst[key, "the target alone"] = max(worst[key, "the target alone"], (alone, cell))
            lines[cell[:2]] += (f" {number(rows['0'], key):.0f}, {number(best, key):.1f} ({best['depth']}), "
                                f"{number(own, key):.1f} |")
    for (rtt, load), line in lines.items():
        print(f"| {rtt} ms, {load} |{line}")
    for (key, what), (percent, cell) in worst.items():
        print(f"\n{curve}: {key} above {what}, worst of {len(cells)}: {percent:+.1f} % {cell}")


def main():
    folder = sys.argv[1]
    for curve in ("gpu", "cpu", "rows"):
        loads = lags(folder, curve)
        print_lags(curve, loads)
        if curve in GOALS:
            print_capacity(curve, loads)
            print_grid(folder, curve)
    print("\n| overload | streams | p99 ms | tokens/s |\n|---|---|---|---|")
    for row in read(f"{folder}/over-*.csv"):
        print(f"| {row['curve']}, {row['mode']} | {row['streams']} | {row['p99_ms']} | {row['tokens_per_s']} |")


main()
