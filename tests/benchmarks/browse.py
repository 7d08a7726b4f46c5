"""The browser: first pages of searches, completions, thumbnails and memory: `python browse.py [FILE] [--posts N]`.

FILE is a metadata file with a sidecar; without one, N posts are generated. Times are those of whole requests over
HTTP, at the server's own machine, and the processor time that they take there, which grows less on a busy machine.
Of each request made several times, the median and the largest are shown.
"""

from __future__ import annotations

import argparse
import http.client
import io
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
import psutil
from PIL import Image, ImageFilter

import hakubooru as hb
from hakubooru.browse import Browser

SEARCHES = (
    "",
    "1girl",
    "1girl solo",
    "1girl solo long_hair -comic rating:g,s score:>=20",
    "hatsune_miku",
    "touhou -1girl or pokemon",
    "date:2019 favcount:>50 ratio:<1",
    "*_sword",
    "1girl order:score",
    "rating:e order:favcount limit:1000",
)
"""The ten searches, two of them ordered."""
WORDS = ("1", "lo", "hair", "long_h", "miku", "sword", "of_the", "zzzz", "x", "dress", "rating:", "order:s")
IMAGES, AT_ONCE = 60, 6  # web browsers make six requests at a time
BYTES = 65_000
asking = threading.local()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--posts", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        path = options.file or generated(options.posts)
        with hb.open(path) as database:
            print(f"{path}: {database.info().posts:,} posts")
            images = write_images(folder / "images", database)
            with Browser(database, images=images, work=folder) as browser:
                measure_searches(browser)
                measure_completion(browser)
                measure_thumbnails(browser, images)
                measure_memory(browser)


def generated(posts: int) -> Path:
    path = Path(__file__).parents[2] / ".bench" / f"posts-{posts}.db"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        generate = Path(__file__).with_name("generate.py")
        subprocess.run([sys.executable, generate, path, "--posts", str(posts)], check=True)
    with hb.open(path) as database:
        hb.optimize(database)
    return path


def timed(url: str, path: str) -> float:
    return cost(url, path)[0]


def cost(url: str, path: str) -> tuple[float, float]:
    """How long a request takes, and how much processor time, in seconds; asking is counted too."""
    if not hasattr(asking, "connection"):
        asking.connection = http.client.HTTPConnection(urlsplit(url).netloc)  # kept open, as web browsers do
    start = time.perf_counter(), time.process_time()
    try:
        asking.connection.request("GET", path)
        answer = asking.connection.getresponse()
        answer.read()
    except http.client.RemoteDisconnected:  # after some seconds without a request
        asking.connection.close()
        return cost(url, path)
    assert answer.status in {200, 400}, path
    return time.perf_counter() - start[0], time.process_time() - start[1]


def measure_searches(browser: Browser) -> None:
    print("\nfirst page of a search: first time, and again; the facets, loaded after it (ms; processor ms)")
    for text in SEARCHES:
        path = f"/?q={quote(text)}"
        first, *others = [cost(browser.url, path) for _ in range(4)]
        repeat = tuple(map(statistics.median, zip(*others, strict=True)))
        facets = cost(browser.url, f"/facets?q={quote(text)}")
        columns = [f"{1e3 * wall:7.0f} ({1e3 * cpu:5.0f})" for wall, cpu in (first, repeat, facets)]
        print(f"  {text or '(all posts)':<52} {' '.join(columns)}")


def measure_completion(browser: Browser) -> None:
    first = timed(browser.url, "/complete?word=a")
    costs = [cost(browser.url, f"/complete?word={quote(word)}") for word in WORDS for _ in range(5)]
    words = [
        f"{1e3 * statistics.median(times):.1f} ms, at most {1e3 * max(times):.1f}"
        for times in zip(*costs, strict=True)
    ]
    print(
        f"\na completion: {words[0]}; of the processor {words[1]} (the first, which reads the tags: {first:.2f} s)"
    )


def measure_thumbnails(browser: Browser, images: Path) -> None:
    with tarfile.open(images / "all.tar") as tar:
        ids = sorted(int(Path(name).stem) for name in tar.getnames())
    data = [file.read() for file in members(images / "all.tar")]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(decoded, data[:8]))  # the processes have begun, and imported Pillow
        start = time.perf_counter(), spent()
        list(pool.map(decoded, data))
        bare, bare_spent = time.perf_counter() - start[0], spent() - start[1]
    for number in ids[:4]:
        timed(browser.url, f"/view/{number}")  # the server's processes too
    for words in ("cold", "from the cache"):
        start = time.perf_counter(), spent()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            requests = [pool.submit(timed, browser.url, f"/thumbnail/{number}") for number in ids]
            for each in requests[:12]:
                each.result()
            twelve = time.perf_counter() - start[0]
        everything, processor = time.perf_counter() - start[0], spent() - start[1]
        print(
            f"thumbnails {words}: the first 12 in {twelve:.2f} s, all {IMAGES} in {everything:.2f} s; {everything / bare:.2f} times bare "
            f"decoding by two processes ({bare:.2f} s), {processor / bare_spent:.2f} times its processor time ({bare_spent:.2f} s)"
        )


def spent() -> float:
    """The processor time of this process and those that it started, in seconds."""
    me = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (me, *me.children(recursive=True)))


def decoded(data: bytes) -> None:
    Image.open(io.BytesIO(data)).load()


def measure_memory(browser: Browser) -> None:
    names = [
        name
        for (name,) in browser.session.database.rows(
            "SELECT name FROM tag ORDER BY popularity DESC LIMIT 100"
        )
    ]
    for name in names:
        timed(browser.url, f"/?q={quote(name)}")
    memory = psutil.Process().memory_info()
    # Pages of mapped files count as shared (Linux).
    print(f"private memory after 100 more searches: {(memory.rss - memory.shared) / 1e6:.0f} MB")


def write_images(folder: Path, database: hb.Database) -> Path:
    """A tar of 60 webp images of about 65 KB, for the newest posts."""
    folder.mkdir()
    draw = np.random.default_rng(1)
    ids = database.posts.to_ids()[-IMAGES:].tolist()
    with tarfile.open(folder / "all.tar", "w") as tar:
        for number in ids:
            data = picture(draw)
            member = tarfile.TarInfo(f"{number}.webp")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return folder


def picture(draw: np.random.Generator) -> bytes:
    """A webp of about 65 KB, of soft shapes with some detail."""
    small = Image.fromarray(draw.integers(0, 256, (14, 10, 3), np.uint8)).resize(
        (830, 1162), Image.Resampling.BICUBIC
    )
    noise = Image.fromarray(draw.integers(0, 256, (1162, 830, 3), np.uint8)).filter(
        ImageFilter.GaussianBlur(1.6)
    )
    image = Image.blend(small, noise, 0.35)
    sizes = {}
    for quality in (60, 75, 85):
        file = io.BytesIO()
        image.save(file, "WEBP", quality=quality, method=0)
        sizes[quality] = file.getvalue()
    return min(sizes.values(), key=lambda data: abs(len(data) - BYTES))


def members(path: Path):
    with tarfile.open(path) as tar:
        yield from map(tar.extractfile, tar.getmembers())


if __name__ == "__main__":
    main()
