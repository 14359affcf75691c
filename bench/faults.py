"""faults.py BIN [--only WORD] [--repeat N]: named faults in each phase of an utterance, with real processes.

A coordinator, two targets behind relays and one client (draft_node, with drafts) that transcribes 40 s of audio, two windows. When
the target that serves it is in the phase, the fault strikes. A cell holds if the text is token for token that of the
target alone (no word lost, none twice), the result names its targets and resumes, and no session, slot or open utterance is left
behind. Recovery is how much later the text came than undisturbed: finding out, going elsewhere, decoding again what had not
been committed. The model is the toy at the pace of a CPU (bench/curves/cpu-like-target.tsv).
"""
import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import wave

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import soak  # noqa: E402

LIMIT_S = 60
AUDIO_S = 40


def stage(name):
    return f'specasr_target_utterances{{stage="{name}"}}'


# When: from the metrics of the target that serves.
PHASES = {
    "opening": lambda m: m["specasr_target_sessions"] >= 1,
    "audio": lambda m: m["specasr_target_audio_seconds_total"] >= 8,
    "encode": lambda m: m[stage("encode")] >= 1,
    "verify": lambda m: m[stage("decode")] >= 1 and m["specasr_target_tokens_committed_total"] == 0,
    "final": lambda m: m['specasr_target_windows_total{outcome="commit"}'] >= 1,
}


class Cluster(soak.Soak):
    """Of soak.py: coordinator, two targets, relays; here with one client at a time."""

    def make_speech(self):
        path = self.log("speech.wav")
        with wave.open(path, "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(16000)
            out.writeframes(self.random.randbytes(32000 * AUDIO_S))
        return [path]

    def run_client(self, out):
        return subprocess.Popen(
            [self.bin("draft_node"), "--no-config", "--coordinator", self.coordinator_address, "--deadline", "60s", "--format",
             "json", "--no-progress", "--language", "en", "--model", "toy:2:0.1"] + self.files,
            stdout=open(out, "wb") if isinstance(out, str) else out, stderr=open(self.log("err"), "wb"), env=self.environment)

    def counts(self):
        return {t.name: t.series() for t in self.targets}

    def wait_for_phase(self, phase, client, before):
        """The target that serves, once it is in the phase (counters since the cell began); None: it never was."""
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end and client.poll() is None:
            for target in self.targets:
                now = target.series()
                if now is None:
                    continue
                since = {k: v - (before[target.name].get(k, 0) if "_total" in k else 0) for k, v in now.items()}
                if PHASES[phase](since):
                    return target
            time.sleep(0.003)
        return None

    def strike(self, fault, target, client):
        """Does it; returns what undoes it."""
        if fault == "kill -9":
            target.end(signal.SIGKILL)
            return target.start
        if fault == "SIGSTOP":
            target.signal_now(signal.SIGSTOP)
            return lambda: target.signal_now(signal.SIGCONT)
        if fault == "cut":
            target.tell("cut")
            return lambda: None
        if fault in ("partition", "partition up", "partition down"):
            target.tell("freeze" + fault[len("partition"):])
            return lambda: target.tell("thaw")
        if fault == "drain":
            target.process.send_signal(signal.SIGTERM)

            def back():
                target.process.wait()
                target.start()
            return back
        if fault == "coordinator kill -9":
            self.coordinator.end(signal.SIGKILL)
            return self.coordinator.start
        if fault == "slow reader":
            client.send_signal(signal.SIGSTOP)
            time.sleep(1)
            client.send_signal(signal.SIGCONT)
            return lambda: None
        raise ValueError(fault)

    def all_free(self):
        """Both serve at the coordinator and hold nothing. What is left, else ""."""
        end, left = time.monotonic() + LIMIT_S, "?"
        while left and time.monotonic() < end:
            left = ""
            for target in self.targets:
                now = target.series()
                if now is None or not now.get("specasr_target_coordinator_up"):
                    left = target.name + " is not back"
                else:
                    held = {k: v for k, v in now.items() if v and (k in ("specasr_target_sessions", "specasr_target_slots") or
                                                                   k.startswith("specasr_target_utterances"))}
                    left = left or (f"{target.name} holds {held}" if held else "")
            time.sleep(0.05)
        return left

    def result(self, client):
        """Milliseconds from its start, result or None, what is wrong."""
        try:
            client.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            client.kill()
            client.wait()
            return None, "the client did not end"
        said = open(self.log("err"), encoding="utf-8", errors="replace").read()[-300:]
        if client.returncode != 0:
            return None, f"exit code {client.returncode}: {said}"
        results = [json.loads(line) for line in open(self.log("out"), encoding="utf-8")]
        if len(results) != 1:
            return None, f"{len(results)} results"
        if results[0]["tokens"] != self.expected[self.files[0]]:
            return results[0], "another text"
        return results[0], ""

    def set_lines(self, phase):
        """So slow for "audio" that there is time to strike in it."""
        for target in self.targets:
            target.tell("rate up 800000" if phase == "audio" else "rate 0")

    def undisturbed(self, phase):
        self.set_lines(phase)
        times = []
        for _ in range(3):
            begun = time.monotonic()
            _, wrong = self.result(self.run_client(self.log("out")))
            times.append((time.monotonic() - begun) * 1000)
            if wrong:
                raise SystemExit("faults.py: undisturbed: " + wrong)
        return statistics.median(times)

    def cell(self, fault, phase, usual_ms):
        self.set_lines(phase)
        wrong = self.all_free()
        begun, before = time.monotonic(), self.counts()
        client = self.run_client(self.log("out"))
        target = self.wait_for_phase(phase, client, before)
        if not target:
            client.kill()
            client.wait()
            return None, wrong or "the phase never came"
        undo = self.strike(fault, target, client)
        result, why = self.result(client)
        took = (time.monotonic() - begun) * 1000 - usual_ms
        undo()
        wrong = wrong or why
        if result and not wrong:
            stats = result["stats"]
            if not stats["targets"] or "resumes" not in stats:
                wrong = "the result does not name targets and resumes"
            if fault in ("kill -9", "SIGSTOP", "cut") and stats["resumes"] < 1:
                wrong = "it went on as if nothing had been"
            if fault == "coordinator kill -9" and stats["resumes"] > 0:
                wrong = "it noticed that the coordinator was gone"
        return took, wrong or self.all_free()

    def full_disk(self):
        """The client's output has no room: it says so, fails, and its session is freed."""
        with open("/dev/full", "wb") as full:
            client = self.run_client(full)
            try:
                code = client.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                client.kill()
                return None, "the client did not end"
        said = open(self.log("err"), encoding="utf-8").read()
        if code != 1 or "No space left" not in said:
            return None, f"exit code {code}: {said[-300:]}"
        return None, self.all_free()


CELLS = [(fault, phase) for fault in ("kill -9", "SIGSTOP", "cut", "partition", "partition up", "partition down", "drain",
                                      "coordinator kill -9", "slow reader") for phase in PHASES]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("bin")
    parser.add_argument("--only", default="", help="cells whose name has this in it: \"kill -9\", \"verify\"")
    parser.add_argument("--repeat", type=int, default=1)
    args = parser.parse_args()
    args.seed, args.pace, failed, n = 1, soak.CURVE, 0, 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as work:
        cluster = Cluster(args, work)
        try:
            usual_ms = {phase: cluster.undisturbed(phase) for phase in ("audio", "other")}
            print(f"# undisturbed: {AUDIO_S} s of audio take {usual_ms['other']:.0f} ms, over the slow line of \"audio\" "
                  f"{usual_ms['audio']:.0f} ms")
            for fault, phase in CELLS:
                if args.only not in f"{fault}: {phase}":
                    continue
                times, wrong = [], ""
                for _ in range(args.repeat):
                    took, wrong = cluster.cell(fault, phase, usual_ms.get(phase, usual_ms["other"]))
                    if took is not None:
                        times.append(took)
                    if wrong:
                        break
                n, failed = n + 1, failed + (1 if wrong else 0)
                late = f" {statistics.median(times):.0f} ms later, at most {max(times):.0f}" if times else ""
                print(f"{'FAIL' if wrong else 'ok'} {fault}: {phase}{': ' + wrong if wrong else late}", flush=True)
            if args.only in "disk full":
                _, wrong = cluster.full_disk()
                n, failed = n + 1, failed + (1 if wrong else 0)
                print(f"{'FAIL' if wrong else 'ok'} disk full{': ' + wrong if wrong else ''}", flush=True)
        finally:
            cluster.close()
    print(f"{n - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
