"""soak.py BIN [--minutes M] [--seed N] [--pace FILE]: a cluster of real processes at 80 % load that loses something all the time.

One coordinator, two targets behind relays, and as many clients (draft_node) as keep the targets' model threads at work
for --load of their time. The model is the toy at the pace of a CPU (bench/curves/cpu-like-target.tsv), so that two processors
are enough; at a slower pace fewer clients make the same load, and it needs little of one. Every few seconds something breaks: connections cut, a line frozen or closed or slow, a target killed (-9) and
started again, a target or the coordinator stopped (SIGSTOP) or killed. Checked:

  each text      token for token that of the target alone; each file of each client has one result
  each second    sessions and slots (sequences with keys and values) of each target, from /metrics, within their limits
  each quiet     every fifth of the run the clients are let go: within 20 s no session, no slot, no open utterance is left
  at the end     memory of what lived through the run: slope of a line through it, in percent an hour

Prints a report, writes it with the rows of every second to build/bench/soak-TIME.json; exit code 1 if anything failed.
"""
import argparse
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import wave

HERE = os.path.dirname(os.path.abspath(__file__))
CURVE = os.path.join(HERE, "curves", "cpu-like-target.tsv")
DRAFTS = [["--no-draft"], ["--model", "toy:2:0.1"], ["--model", "toy:3:0.5"], ["--model", "toy:2:0.1", "--policy", "spec:8"]]
SESSIONS_MAX = 64
QUIET_S = 20
PROBLEMS_SHOWN = 20


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def now():
    return time.monotonic()


class Process:
    """A program that is started, killed and started again with the same command."""

    def __init__(self, name, command, log, port=0):
        self.name, self.command, self.log, self.port = name, command, log, port
        self.process, self.begun, self.starts = None, 0.0, 0

    def start(self):
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(self.command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        self.begun, self.starts = now(), self.starts + 1
        return self

    def wait_for(self, pattern, limit_s=60):
        """The first group of the pattern in its log."""
        end = now() + limit_s
        while now() < end and self.process.poll() is None:
            found = re.search(pattern, open(self.log, encoding="utf-8", errors="replace").read())
            if found:
                return found.group(1)
            time.sleep(0.05)
        raise SystemExit(f"soak.py: {self.name} did not start: {open(self.log, errors='replace').read()[-2000:]}")

    def signal_now(self, number):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)

    def end(self, number=signal.SIGKILL):
        self.signal_now(signal.SIGCONT)
        self.signal_now(number)
        if self.process:
            self.process.wait()

    def memory_kb(self):
        try:
            with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
                return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
        except (OSError, AttributeError):
            return None


class Target(Process):
    """A target and the relay before it, whose address is its name in the cluster."""

    def __init__(self, soak, name):
        port, self.metrics_port = free_port(), free_port()
        self.control = os.path.join(soak.work, name + ".control")
        self.relay = Process(name + "-relay", [soak.bin("relay"), "--no-config", "--control", self.control, "--seed",
                                               str(soak.random.randrange(1 << 30)), f"127.0.0.1:{port}"], soak.log(name + "-relay"))
        self.address = self.relay.start().wait_for(r"listening on (\S+)")
        super().__init__(name, [soak.bin("target_node"), "--no-config", "--model", "toy:1", "--pace", soak.args.pace, "--sessions",
                                str(SESSIONS_MAX), "--listen", f"127.0.0.1:{port}", "--advertise", self.address, "--coordinator",
                                soak.coordinator_address, "--metrics", f"127.0.0.1:{self.metrics_port}"], soak.log(name), port)
        self.busy, self.down = None, False

    def tell(self, command):
        with open(self.control, "w", encoding="ascii") as pipe:
            pipe.write(command + "\n")

    def series(self):
        """Name with labels -> value; None while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=0.5) as page:
                text = page.read().decode()
        except OSError:
            return None
        return {name: float(value) for name, value in re.findall(r"^(specasr_\S+) (\S+)$", text, re.M)}


class Client:
    def __init__(self, soak, number):
        self.files = soak.random.choices(soak.files, k=soak.random.randint(1, 3))
        self.out, self.err = soak.log(f"client{number}.out"), soak.log(f"client{number}.err")
        draft = soak.random.choice(DRAFTS)
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                [soak.bin("draft_node"), "--no-config", "--coordinator", soak.coordinator_address, "--deadline", "120s",
                 "--format", "json", "--no-progress", "--log-level", "warn", "--language", "en"] + draft + self.files,
                stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=soak.environment)
        self.begun = now()


class Soak:
    def __init__(self, args, work):
        self.args, self.work, self.random = args, work, random.Random(args.seed)
        self.environment = dict(os.environ, XDG_CACHE_HOME=os.path.join(work, "cache"))
        os.makedirs(os.path.join(work, "cache", "specasr"))     # where clients keep the targets that they know
        self.begun, self.quiet_kb = now(), []
        self.clients, self.results, self.rows, self.events, self.problems = [], [], [], [], []
        self.n_clients, self.wanted, self.pending = 0, 6, []
        self.files = self.make_speech()
        port = free_port()
        self.coordinator_address = f"127.0.0.1:{port}"
        self.coordinator = Process("coordinator", [self.bin("coordinator"), "--no-config", "--listen", self.coordinator_address],
                                   self.log("coordinator"), port).start()
        self.coordinator.wait_for(r"listening on (\S+)")
        self.targets = [Target(self, "target1"), Target(self, "target2")]
        for target in self.targets:
            target.start()
        for target in self.targets:
            target.wait_for(r"listening on (\S+)")
        self.expected = self.decode_alone()

    def bin(self, name):
        return os.path.join(self.args.bin, name)

    def log(self, name):
        return os.path.join(self.work, name)

    def problem(self, text):
        self.problems.append(text)
        if len(self.problems) <= PROBLEMS_SHOWN:
            print(f"soak.py: after {now() - self.begun:.1f} s: {text.strip()}", file=sys.stderr, flush=True)

    # ---- speech, and what the target alone makes of it ----

    def make_speech(self):
        """Noise: each file is another "speech" to the toy; the longest have three windows."""
        files = []
        for i in range(24):
            seconds = self.random.choice([1, 2, 3, 4, 6, 9, 14, 25, 40, 70] if i % 4 == 0 else [1, 2, 3, 4, 6])
            path = self.log(f"speech{i}.wav")
            with wave.open(path, "wb") as out:
                out.setnchannels(1)
                out.setsampwidth(2)
                out.setframerate(16000)
                samples = bytearray(self.random.randbytes(32000 * seconds))
                for k in range(1, len(samples), 2):     # quiet: the high bytes are signs
                    samples[k] = 0xFF if samples[k] & 1 else 0
                out.writeframes(bytes(samples))
            files.append(path)
        return files

    def decode_alone(self):
        alone = Process("alone", [self.bin("target_node"), "--no-config", "--model", "toy:1", "--listen", "127.0.0.1:0"],
                        self.log("alone")).start()
        address = alone.wait_for(r"listening on (\S+)")
        done = subprocess.run([self.bin("draft_node"), "--no-config", "--target", address, "--no-draft", "--format", "json",
                               "--language", "en"] + self.files, stdout=subprocess.PIPE, check=True)
        alone.end()
        return {r["file"]: r["tokens"] for r in map(json.loads, done.stdout.splitlines())}

    # ---- clients ----

    def keep_clients(self):
        for client in [c for c in self.clients if c.process.poll() is not None]:
            self.clients.remove(client)
            self.judge(client)
        while len(self.clients) < self.wanted:
            self.clients.append(Client(self, self.n_clients))
            self.n_clients += 1

    def judge(self, client):
        with open(client.out, encoding="utf-8", errors="replace") as f:
            results = [json.loads(line) for line in f]
        with open(client.err, encoding="utf-8", errors="replace") as f:
            said = f.read()[-600:]
        if client.process.returncode != 0:
            self.problem(f"a client ended with {client.process.returncode}: {said}")
        elif [r["file"] for r in results] != client.files:
            self.problem(f"results for {len(results)} of {len(client.files)} files: {said}")
        for r in results:
            if r["tokens"] != self.expected[r["file"]]:
                self.problem(f"another text for {os.path.basename(r['file'])}: {r['stats']}")
            self.results.append({"resumes": r["stats"]["resumes"], "targets": len(r["stats"]["targets"]),
                                 "audio_s": r["stats"]["audio_s"], "total_ms": r["stats"]["total_ms"]})
        os.unlink(client.out)
        os.unlink(client.err)

    # ---- each second ----

    def look(self):
        row = {"t": round(now() - self.begun, 1), "clients": len(self.clients)}
        busy = []
        for target in self.targets:
            row[target.name + "_kb"] = target.memory_kb()
            series = None if target.down else target.series()
            if series is None:
                target.busy = None
                continue
            sessions, slots = series["specasr_target_sessions"], series["specasr_target_slots"]
            row[target.name] = [sessions, slots]
            if sessions > SESSIONS_MAX or slots > series["specasr_target_slots_max"] or slots > sessions:
                self.problem(f"{target.name}: {slots:.0f} slots of {sessions:.0f} sessions")
            used = sum(v for k, v in series.items() if k.startswith("specasr_target_busy_seconds_total"))
            if target.busy:
                busy.append((used - target.busy[1]) / (now() - target.busy[0]))
            target.busy = (now(), used)
        row["coordinator_kb"] = self.coordinator.memory_kb()
        if len(busy) == len(self.targets):
            row["load"] = round(sum(busy) / len(busy), 3)
        self.rows.append(row)

    def steer(self):
        """As many clients as bring the load there: looked at over five seconds without a target missing."""
        recent = [row.get("load") for row in self.rows[-5:]]
        if len(recent) == 5 and None not in recent:
            load = sum(recent) / 5
            if load < self.args.load - 0.05:
                self.wanted += 1
            elif load > self.args.load + 0.05:
                self.wanted -= 1
            self.wanted = min(max(self.wanted, 1), 60)

    # ---- what breaks ----

    def later(self, seconds, action):
        self.pending.append((now() + seconds, action))

    def settle(self, all_of_it=False):
        for item in [p for p in self.pending if all_of_it or p[0] <= now()]:
            self.pending.remove(item)
            item[1]()

    def kill_target(self, target):
        target.end(signal.SIGKILL)
        target.down = True

        def back():
            target.start()
            target.down = False
        self.later(self.random.uniform(0.5, 4), back)

    def restart_coordinator(self):
        self.coordinator.end(signal.SIGKILL)
        self.later(self.random.uniform(0.5, 4), self.coordinator.start)

    def relay_for(self, target, command, undo, low, high):
        target.tell(command)
        self.later(self.random.uniform(low, high), lambda: target.tell(undo))

    def stop(self, process):
        process.signal_now(signal.SIGSTOP)
        self.later(self.random.uniform(0.5, 4), lambda: process.signal_now(signal.SIGCONT))

    def break_something(self):
        target, r = self.random.choice(self.targets), self.random
        killed = self.targets[0]            # the other one's memory is what is looked at
        faults = {
            "cut some": lambda: target.tell(f"cut {r.randint(1, 4)}"),
            "cut all": lambda: target.tell("cut"),
            "freeze": lambda: self.relay_for(target, "freeze", "thaw", 0.3, 5),
            "freeze up": lambda: self.relay_for(target, "freeze up", "thaw", 0.3, 5),
            "freeze down": lambda: self.relay_for(target, "freeze down", "thaw", 0.3, 5),
            "close": lambda: self.relay_for(target, "close", "open", 0.5, 4),
            "slow": lambda: self.relay_for(target, "rate 60000", "rate 0", 2, 6),
            "far": lambda: self.relay_for(target, f"delay {r.randint(20, 200)}", "delay 0", 2, 8),
            "kill -9 target": lambda: self.kill_target(killed),
            "SIGSTOP target": lambda: self.stop(target),
            "SIGSTOP coordinator": lambda: self.stop(self.coordinator),
            "kill -9 coordinator": self.restart_coordinator,
            "kill -9 client": lambda: self.kill_client(),
        }
        what = r.choice(list(faults))
        self.events.append({"t": round(now() - self.begun, 1), "what": what, "target": target.name})
        faults[what]()

    def kill_client(self):
        if self.clients:
            client = self.random.choice(self.clients)
            client.process.kill()
            client.process.wait()
            self.clients.remove(client)

    # ---- the run ----

    def quiet(self):
        """Lets the clients go; then everything must be free."""
        self.settle(all_of_it=True)
        keep, self.wanted = self.wanted, 0
        end = now() + 180
        while self.clients and now() < end:
            self.keep_clients()
            time.sleep(0.1)
        if self.clients:
            self.problem(f"{len(self.clients)} clients do not end")
            for client in self.clients:
                client.process.kill()
        self.wanted = keep
        for target in self.targets:
            end, left = now() + QUIET_S, "no metrics"
            while left and now() < end:
                series = target.series()
                left = "no metrics" if series is None else {
                    k: v for k, v in series.items()
                    if v and (k in ("specasr_target_sessions", "specasr_target_slots") or k.startswith("specasr_target_utterances"))}
                time.sleep(0.2)
            if left:
                self.problem(f"{target.name} is not free after {QUIET_S} s: {left}")
        self.events.append({"t": round(now() - self.begun, 1), "what": "quiet"})
        self.quiet_kb.append([self.targets[1].memory_kb(), self.coordinator.memory_kb()])

    def run(self):
        self.begun = now()
        end, fault_at, second = self.begun + self.args.minutes * 60, self.begun + 15, self.begun
        quiet_at = [self.begun + self.args.minutes * 60 * k / 5 for k in range(1, 5)]
        while now() < end:
            self.keep_clients()
            self.settle()
            if now() >= second:
                second += 1
                self.look()
                if len(self.rows) % 5 == 0:
                    self.steer()
            if now() >= fault_at and not self.pending:
                self.break_something()
                fault_at = now() + self.random.uniform(2, 2 * self.args.every - 2)
            if quiet_at and now() >= quiet_at[0]:
                quiet_at.pop(0)
                self.quiet()
                second = now()
            time.sleep(0.05)
        self.quiet()

    def close(self):
        for client in self.clients:
            client.process.kill()
        for process in [self.coordinator] + self.targets + [t.relay for t in self.targets]:
            process.end()

    # ---- the report ----

    def slope(self, name):
        """Percent an hour of a line through the memory of the last three quarters; None: it did not live that long."""
        points = [(row["t"] / 3600, row[name]) for row in self.rows[len(self.rows) // 4:] if row.get(name)]
        if len(points) < 60:
            return None
        mean_t, mean_m = (sum(p[i] for p in points) / len(points) for i in (0, 1))
        rise = sum((t - mean_t) * (m - mean_m) for t, m in points) / sum((t - mean_t) ** 2 for t, _ in points)
        return 100 * rise / mean_m

    def report(self):
        loads = [row["load"] for row in self.rows if "load" in row]
        undisturbed = sorted(r["total_ms"] for r in self.results if r["resumes"] == 0) or [0]
        resumed = sorted(r["total_ms"] for r in self.results if r["resumes"]) or [0]
        counts = {}
        for event in self.events:
            counts[event["what"]] = counts.get(event["what"], 0) + 1
        report = {
            "minutes": round((now() - self.begun) / 60, 1), "seed": self.args.seed, "clients": self.n_clients,
            "results": len(self.results), "resumed": sum(1 for r in self.results if r["resumes"]),
            "resumes": sum(r["resumes"] for r in self.results), "audio_s": round(sum(r["audio_s"] for r in self.results)),
            "load": round(sum(loads) / max(len(loads), 1), 3), "faults": counts,
            "total_ms_median": undisturbed[len(undisturbed) // 2], "resumed_total_ms_median": resumed[len(resumed) // 2],
            "resumed_total_ms_max": resumed[-1],
            "quiet_kb_of_target2": [kb for kb, _ in self.quiet_kb],
            "quiet_kb_of_coordinator": [kb for _, kb in self.quiet_kb],
            "target2_percent_an_hour": self.slope("target2_kb"), "problems": len(self.problems)}
        for key, value in report.items():
            print(f"{key:26} {value if not isinstance(value, float) else round(value, 2)}")
        folder = os.path.join(HERE, "..", "build", "bench")
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, time.strftime("soak-%Y%m%dT%H%M%SZ.json", time.gmtime()))
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"report": report, "problems": self.problems, "events": self.events, "rows": self.rows}, f)
        print("rows:", os.path.normpath(path))
        return 1 if self.problems or not self.results else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("bin")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--load", type=float, default=0.8, help="share of the targets' time (0.8)")
    parser.add_argument("--pace", default=CURVE, help="of the targets: a curve")
    parser.add_argument("--every", type=float, default=8, help="seconds between faults, in the mean (8)")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as work:
        soak = Soak(args, work)
        try:
            soak.run()
        finally:
            soak.close()
        return soak.report()


if __name__ == "__main__":
    sys.exit(main())
