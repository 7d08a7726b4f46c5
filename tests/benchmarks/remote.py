"""2,000 of 8,000 images of one tar, by byte range, from a server on loopback that answers after 50 ms.

    python tests/benchmarks/remote.py [--rounds 3] [--chaser PYTHON]

Ours is `Selection.export` by one worker, captions, hashes and manifest included, from `https://`-like URLs and from `hf://`.
Beside it stand a bare asynchronous client (aiohttp) with as many connections, which asks for each image and writes it, and
cheesechaser with 12 workers, where PYTHON has it (`pip install cheesechaser==0.2.2`). The server is a process of its own
and imitates the Hub; the sides take turns, and medians count.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

IMAGES, WANTED, LATENCY = 8_000, 2_000, 0.05
TAR = "images/0000.tar"

CHASER = """
import json, sys, time
from cheesechaser.datapool import IncrementIDDataPool
ids, out = json.load(open(sys.argv[1])), sys.argv[2]
pool = IncrementIDDataPool(data_repo_id="some/set", idx_repo_id="some/set", base_dir="images")
pool.batch_download_to_directory(ids[:1], out)  # fetches the index
start = time.perf_counter()
pool.batch_download_to_directory(ids, out, max_workers=12, silent=True)
print(json.dumps(time.perf_counter() - start))
"""
OURS = """
import json, sys, time
import hakubooru as hb
if __name__ == "__main__":
    database, ids, url, out = sys.argv[1:]
    with hb.open(database) as db:
        posts = db.posts.among(json.load(open(ids)))
        posts.count()
        start = time.perf_counter()
        report = posts.export(out, images=url, workers=1)
        seconds = time.perf_counter() - start
    assert report.exported == 2000, report
    print(json.dumps(seconds))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chaser", help="a Python that has cheesechaser")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(Path(arguments.serve[0]), Path(arguments.serve[1])))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ids = write_set(folder)
        server = subprocess.Popen([sys.executable, __file__, "--serve", folder / "hub", folder / "port"])
        try:
            while not (folder / "port").exists():
                time.sleep(0.05)
            port = int((folder / "port").read_text())
            measure(folder, ids, f"http://127.0.0.1:{port}", arguments)
        finally:
            server.kill()


def write_set(folder: Path) -> list[int]:
    """Write the tar, its index and the database; return the ids of the wanted images."""
    from export_set import DISTINCT, picture

    from booru import TAGS, random_row, write

    draw = random.Random(1)
    pictures = [picture(seed) for seed in range(DISTINCT)]
    tar = folder / "hub" / "some" / "set" / TAR
    tar.parent.mkdir(parents=True)
    files = {}
    with tarfile.open(tar, "w") as archive:
        for number in range(1, IMAGES + 1):
            info = tarfile.TarInfo(f"{number * 1000}.webp")
            data = pictures[number % DISTINCT]
            info.size = len(data)
            files[info.name] = {"offset": archive.offset + 512, "size": len(data)}
            archive.addfile(info, io.BytesIO(data))
    tar.with_suffix(".json").write_text(json.dumps({"filesize": tar.stat().st_size, "files": files}))
    ids = sorted(number * 1000 for number in draw.sample(range(1, IMAGES + 1), WANTED))
    (folder / "ids.json").write_text(json.dumps(ids))
    rows = [
        random_row(post, draw) | {"md5": f"{post:032x}", "file_ext": "webp", "is_deleted": False}
        for post in ids
    ]
    names = [name for name, _ in TAGS]
    write(folder / "posts.db", rows, {post: draw.sample(names, 5) for post in ids}.__getitem__)
    return ids


def contents(root: Path) -> dict[Path, bytes]:
    """The files below a folder."""
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


async def serve(root: Path, ready: Path) -> None:
    """Serve the folder as a hub, each answer after the latency; the path /sent says how many bytes of bodies there were."""
    bytes_sent = 0
    files = contents(root)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal bytes_sent
        try:
            while line := await reader.readline():
                method, target, _ = line.decode().split(" ")
                headers = {}
                while (line := await reader.readline()).strip():
                    key, _, value = line.decode().partition(":")
                    headers[key.lower()] = value.strip()
                if target == "/sent":
                    status, head, body = 200, "", str(bytes_sent).encode()
                    bytes_sent = 0
                else:
                    await asyncio.sleep(LATENCY)
                    status, head, body = respond(root, files, target, headers.get("range", ""))
                length = f"Content-Length: {len(body)}\r\n"
                writer.write(f"HTTP/1.1 {status} OK\r\n{head}{length}\r\n".encode())
                if method != "HEAD":
                    writer.write(body)
                    bytes_sent += len(body) if target != "/sent" else 0
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=2**20)
    part = ready.with_suffix(".part")
    part.write_text(str(server.sockets[0].getsockname()[1]))
    part.rename(ready)
    await server.serve_forever()


def respond(
    root: Path, files: dict[Path, bytes], target: str, byte_range: str
) -> tuple[int, str, memoryview | bytes]:
    """The status, headers and body for a path: a file, or what the Hub says of a data set."""
    path = target.partition("?")[0].strip("/")
    if path.startswith("api/datasets/some/set"):
        rest = path.removeprefix("api/datasets/some/set").strip("/").removeprefix("tree/main").strip("/")
        folder = root / "some" / "set"
        if "tree/main" in path or "paths-info" in path:
            entries = [
                {
                    "type": "file" if entry in files else "directory",
                    "path": entry.relative_to(folder).as_posix(),
                    "size": len(files.get(entry, b"")),
                    "oid": "0",
                }
                for entry in sorted(folder.rglob("*"))
                if "paths-info" in path or entry.relative_to(folder).as_posix().startswith(rest)
            ]
            return 200, "Content-Type: application/json\r\n", json.dumps(entries).encode()
        about = {"id": "some/set", "sha": "0" * 40, "siblings": [], "tags": []}
        return 200, "Content-Type: application/json\r\n", json.dumps(about).encode()
    path = path.removeprefix("datasets/").replace("resolve/main/", "").replace(f"resolve/{'0' * 40}/", "")
    data = files.get(root / path)
    if data is None:
        below = [file.name for file in files if file.parent == root / path]
        links = "".join(f'<a href="{name}">{name}</a>' for name in below)
        return (200, "Content-Type: text/html\r\n", links.encode()) if below else (404, "", b"")
    head = f'ETag: "{len(data)}"\r\nX-Repo-Commit: {"0" * 40}\r\nAccept-Ranges: bytes\r\n'
    if not byte_range:
        return 200, head, data
    first, _, last = byte_range.removeprefix("bytes=").partition("-")
    start, end = int(first), min(int(last or len(data)) + 1, len(data))
    return 206, f"{head}Content-Range: bytes {start}-{end - 1}/{len(data)}\r\n", memoryview(data)[start:end]


async def bare(url: str, places: list[tuple[int, int]], out: Path, connections: int) -> None:
    """Ask for each image, and write it."""
    import aiohttp

    rest = iter(enumerate(places))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:

        async def work() -> None:
            for number, (start, size) in rest:
                async with session.get(
                    url, headers={"Range": f"bytes={start}-{start + size - 1}"}
                ) as response:
                    (out / f"{number}.webp").write_bytes(await response.read())

        await asyncio.gather(*(work() for _ in range(connections)))


def measure(folder: Path, ids: list[int], url: str, arguments: argparse.Namespace) -> None:
    from urllib.request import urlopen

    from hakubooru.image.remote import AT_ONCE

    hub = folder / "hub" / "some" / "set" / TAR
    files = json.loads(hub.with_suffix(".json").read_text())["files"]
    places = [(files[f"{post}.webp"]["offset"], files[f"{post}.webp"]["size"]) for post in ids]
    total = sum(size for _, size in places)
    environment = os.environ | {
        "HF_ENDPOINT": url,
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    database, id_file = str(folder / "posts.db"), str(folder / "ids.json")
    (folder / "ours.py").write_text(OURS)
    (folder / "chaser.py").write_text(CHASER)

    def run(python: str, script: str, *arguments: str) -> float:
        process = subprocess.run(
            [python, folder / script, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        if process.returncode:
            sys.exit(process.stderr[-3000:])
        return float(json.loads(process.stdout.splitlines()[-1]))

    def timed_bare(out: Path) -> float:
        out.mkdir()
        start = time.perf_counter()
        asyncio.run(bare(f"{url}/some/set/{TAR}", places, out, AT_ONCE))
        return time.perf_counter() - start

    sides: dict[str, Any] = {
        "ours, http": lambda out: run(
            sys.executable, "ours.py", database, id_file, f"{url}/some/set/images", str(out)
        ),
        "ours, hf": lambda out: run(
            sys.executable, "ours.py", database, id_file, "hf://datasets/some/set/images", str(out)
        ),
        f"bare client, {AT_ONCE} connections": timed_bare,
    }
    if arguments.chaser:
        sides["cheesechaser, 12 workers"] = lambda out: run(arguments.chaser, "chaser.py", id_file, str(out))
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    bytes_sent: dict[str, int] = {}
    for _ in range(arguments.rounds):
        for name, side in sides.items():
            urlopen(f"{url}/sent").read()
            seconds[name].append(side(out := folder / "out"))
            bytes_sent[name] = int(urlopen(f"{url}/sent").read())
            shutil.rmtree(out)
    print("| side | seconds | images a second | bytes sent, of those wanted |\n|---|---|---|---|")
    for name, times in seconds.items():
        middle = statistics.median(times)
        print(
            f"| {name} | {middle:.2f} ({min(times):.2f} to {max(times):.2f}) | {WANTED / middle:,.0f} | "
            f"{bytes_sent[name] / total:.3f} x |"
        )


if __name__ == "__main__":
    main()
