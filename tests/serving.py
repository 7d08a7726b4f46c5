"""A real HTTP server with byte ranges, on loopback, for tests."""

from __future__ import annotations

import json
import re
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from hakubooru.image.index import build_index
from pictures import picture, write_tar


class RangeHandler(SimpleHTTPRequestHandler):
    """Serves a folder; the server counts the bytes that it sent of ranges."""

    def do_GET(self):
        self.send(cut=False)

    def send(self, *, cut):
        """Answer with a range of a file, or with half of it."""
        path = self.translate_path(self.path)
        matched = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        if not matched:
            super().do_GET()
            return
        with Path(path).open("rb") as file:
            file.seek(int(matched[1]))
            data = file.read(int(matched[2]) + 1 - int(matched[1]))
        self.server.sent += len(data)
        self.send_response(206)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)

    def log_message(self, *args):
        pass


class HubHandler(RangeHandler):
    """Serves a folder as the Hub: OWNER/NAME below it is a data set, which has a revision and files."""

    def do_GET(self):
        path, query = urlsplit(self.path)[2:4]
        path = unquote(path)
        match = re.fullmatch(
            r"/api/datasets/(?P<set>[^/]+/[^/]+)(?P<what>/revision/main|/tree/main.*)?", path
        )
        if match is None and (file := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/main(/.*)", path)):
            self.path = f"/{file[1]}{file[2]}"
            self.send(cut=False)
        elif match is None or not (folder := Path(self.directory, match["set"])).is_dir():
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif (match["what"] or "").startswith("/tree/main"):
            below = folder / match["what"].removeprefix("/tree/main").strip("/")
            paths = sorted(below.rglob("*") if "recursive=true" in query.lower() else below.iterdir())
            self._answer(
                [
                    {
                        "type": "directory" if path.is_dir() else "file",
                        "path": path.relative_to(folder).as_posix(),
                        "size": path.stat().st_size,
                        "oid": "0",
                    }
                    for path in paths
                ]
            )
        else:
            self._answer({"id": match["set"], "sha": "0" * 40, "siblings": [], "tags": []})

    def _answer(self, answer):
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class BucketHandler(RangeHandler):
    """Serves a folder as the bucket `sets` of S3, as far as listing and reading go; signatures are not looked at."""

    def do_GET(self):
        path, query = urlsplit(self.path)[2:4]
        if path.strip("/") == "sets":
            self._list(parse_qs(query))
        else:
            self.path = path.removeprefix("/sets")
            self.send(cut=False)

    def do_HEAD(self):
        path = Path(self.directory, urlsplit(self.path).path.removeprefix("/sets/"))
        self.send_response(200 if path.is_file() else 404)
        if path.is_file():
            self.send_header("Content-Length", str(path.stat().st_size))
            self.send_header("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")
        self.end_headers()

    def _list(self, query):
        """ListObjectsV2: the keys that begin with a prefix, up to the next slash where one is asked for."""
        (prefix,), (delimiter,) = query.get("prefix", [""]), query.get("delimiter", [""])
        keys, folders = [], set()
        for path in sorted(Path(self.directory).rglob("*.*")):
            key = path.relative_to(self.directory).as_posix()
            if not key.startswith(prefix):
                continue
            if delimiter and delimiter in key[len(prefix) :]:
                folders.add(prefix + key[len(prefix) :].partition(delimiter)[0] + delimiter)
            else:
                keys.append((key, path.stat().st_size))
        entries = "".join(
            f"<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>" for folder in sorted(folders)
        )
        entries += "".join(
            f"<Contents><Key>{key}</Key><LastModified>2025-01-01T00:00:00.000Z</LastModified><Size>{size}</Size></Contents>"
            for key, size in keys
        )
        self._answer(
            f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode()
        )

    def _answer(self, data):
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Server(ThreadingHTTPServer):
    """A server that many may turn to at once: a connection beyond `http.server`'s five waits a second."""

    request_queue_size = 128


@contextmanager
def serving(folder, handler=RangeHandler):
    """A server of a folder; its `url` tells where it listens."""
    with Server(("127.0.0.1", 0), partial(handler, directory=str(folder))) as server:
        server.sent = 0
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(
            target=server.serve_forever, args=(0.02,)
        )  # how soon it sees that it is to end
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def write_published(folder):
    """Tars of originals and an update, whose images are wider, each with a published index."""
    for name, ids in [
        ("images/0001.tar", [1]),
        ("images/whatever.tar", range(2, 31)),
        ("updates/20240601/x-5.tar", [5, 15]),
    ]:
        width = 100 if name.startswith("updates") else 60
        path = write_tar(folder / name, {f"{i}.png": picture(i, "png", (width, 60)) for i in ids})
        write_json(path)
    return folder


def write_json(path):
    """The published index of a tar, beside it."""
    index = build_index(str(path))
    places = zip(index.ids.tolist(), index.offsets.tolist(), index.sizes.tolist(), strict=True)
    files = {f"{i}.png": {"offset": offset, "size": size} for i, offset, size in places}
    path.with_suffix(".json").write_text(json.dumps({"filesize": path.stat().st_size, "files": files}))
