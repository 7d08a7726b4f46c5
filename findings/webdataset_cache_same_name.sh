#!/usr/bin/env bash
# webdataset: a file of a web server is cached under the last part of its address, so that of two sets with a cache folder in common, sets/general/00000.tar and sets/explicit/00000.tar, the
# second is never fetched: the images of the first come again, marked with the URL of the second. Expected: each address has its own cached file.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check webdataset==1.0.2 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import functools, http.server, io, sys, tarfile, threading
from importlib.metadata import version
from pathlib import Path
import webdataset

sets = Path(sys.argv[1], "sets")
for rating in ("general", "explicit"):
    (sets / rating).mkdir(parents=True)
    with tarfile.open(sets / rating / "00000.tar", "w") as tar:
        info = tarfile.TarInfo(f"{rating}.txt"); info.size = len(rating)
        tar.addfile(info, io.BytesIO(rating.encode()))

asked = []

class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        asked.append(self.path)

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=sets))
threading.Thread(target=server.serve_forever, daemon=True).start()
cache = Path(sys.argv[1], "cache"); cache.mkdir()
urls = [f"http://127.0.0.1:{server.server_port}/{rating}/00000.tar" for rating in ("general", "explicit")]
samples = {cached: [(s["__url__"].split("/")[-2], s["txt"].decode()) for s in webdataset.WebDataset(urls, shardshuffle=False, cache_dir=cached)] for cached in (None, str(cache))}
print("webdataset", version("webdataset"), "(set, text) without a cache:", samples[None], "with one:", samples[str(cache)], "files cached:", [p.name for p in cache.iterdir()])
assert samples[None] == [("general", "general"), ("explicit", "explicit")], samples
assert samples[str(cache)] == [("general", "general"), ("explicit", "general")], samples
PYTHON
