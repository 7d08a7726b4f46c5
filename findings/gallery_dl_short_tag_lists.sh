#!/usr/bin/env bash
# gallery-dl: the metadata post-processor with mode "tags" writes one tag a line, but a post of a Moebooru with few short tags gets all of them in one: a text is taken as a list with commas unless it has more than 16
# characters for each comma. "1girl solo" becomes one tag of a caption, "hatsune_miku solo" two. Expected: the tags of each post, one a line.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile gallery-dl==1.32.18
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import http.server, json, subprocess, sys, threading
from importlib.metadata import version
from pathlib import Path

folder = Path(sys.argv[1])
lists = {1: "1girl solo", 2: "hatsune_miku solo", 3: "no_humans scenery"}

class Booru(http.server.BaseHTTPRequestHandler):
    """The API of a Moebooru with three posts, and their files."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        root = f"http://{self.headers['Host']}"
        posts = [{"id": id, "tags": tags, "md5": f"{id:032x}", "rating": "s", "created_at": 1700000000, "file_url": f"{root}/image/{id}.jpg"} for id, tags in lists.items()]
        answer = json.dumps(posts).encode() if self.path.startswith("/post.json") else b"\xff\xd8\xff\xe0" + bytes(1000)
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Booru)
threading.Thread(target=server.serve_forever, daemon=True).start()
root = f"http://127.0.0.1:{server.server_port}"
options = {"base-directory": str(folder / "posts"), "directory": [], "filename": "{id}.{extension}", "moebooru": {"example": {"root": root}}}
(folder / "config.json").write_text(json.dumps({"extractor": options | {"postprocessors": [{"name": "metadata", "mode": "tags"}]}}))
subprocess.run([sys.executable, "-m", "gallery_dl", "--quiet", "--config-ignore", "--config", folder / "config.json", f"{root}/post?tags=order:id"], check=True)
print("gallery-dl", version("gallery-dl"))
written = {id: (folder / "posts" / f"{id}.jpg.txt").read_text().splitlines() for id in lists}
for id, tags in lists.items():
    print(f"  {tags!r}: {written[id]}")
assert written == {1: ["1girl solo"], 2: ["hatsune_miku", "solo"], 3: ["no_humans", "scenery"]}, written
PYTHON
