#!/usr/bin/env bash
# fsspec: a file cache with check_files=True goes on giving the old file of a web server after it has changed, though its ETag differs.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check fsspec==2026.9.0 aiohttp==3.14.5
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import hashlib, http.server, sys, threading
from importlib.metadata import version
import fsspec

content = b"first"
etags = []

class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')
        self.end_headers()
    def do_GET(self):
        self.do_HEAD()
        self.wfile.write(content)
    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/posts.json"

def read():
    cache = fsspec.filesystem("filecache", target_protocol="http", cache_storage=f"{sys.argv[1]}/cache", check_files=True, skip_instance_cache=True)
    etags.append(fsspec.filesystem("http", skip_instance_cache=True).info(url).get("ETag"))
    with cache.open(url) as file:
        return file.read()

before = read()
content = b"other"
after = read()
print("fsspec", version("fsspec"), "before:", before, "after:", after, "- ETags differ:", etags[0] != etags[1])
assert etags[0] != etags[1]
assert (before, after) == (b"first", b"first"), after
PYTHON
