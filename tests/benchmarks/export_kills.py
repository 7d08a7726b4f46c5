"""Kill an export again and again with SIGKILL while it writes, let it end, and compare every byte with an undisturbed one.

python tests/benchmarks/export_kills.py [--kills N] [--tars N] [--workers N] [--seed N] [--sink NAME] [--extend]

With --extend half of the posts are exported first, undisturbed, so that shards are written anew while the rest comes.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import random
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from export_set import write_set

if TYPE_CHECKING:
    from pathlib import Path


def start(
    database: Path, images: Path, out: Path, options: argparse.Namespace, query: str = ""
) -> subprocess.Popen:
    code = "from hakubooru_cli.main import main; main()"
    command = ["export", database, *filter(None, [query]), "--images", images, "--out", out]
    command += ["--workers", str(options.workers), "--sink", options.sink]
    return subprocess.Popen(
        [sys.executable, "-c", code, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def wait_until_writing(process: subprocess.Popen, out: Path) -> None:
    """Wait for the first file of this run, or for its end."""
    last = time.time_ns()
    part = out / ".hakubooru" / "part"
    while process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            if any(path.stat().st_mtime_ns > last for path in part.glob("*")):
                return
        time.sleep(0.005)


def hashes(out: Path) -> dict[str, str]:
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in out.rglob("*")
        if path.is_file() and ".hakubooru" not in path.parts
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--tars", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sink", default="folder")
    parser.add_argument("--extend", action="store_true")
    options = parser.parse_args()
    folder = write_set(options.tars)
    database, images = folder / f"posts{options.tars}.db", folder / f"images{options.tars}"
    outputs = folder / f"written{time.time_ns()}"
    process = start(database, images, outputs / "whole", options)
    wait_until_writing(process, outputs / "whole")
    beginning = time.perf_counter()
    assert process.wait() == 0
    seconds = time.perf_counter() - beginning
    draw = random.Random(options.seed)
    kills = runs = 0
    while kills < options.kills:
        out = outputs / f"out{runs}"
        runs += 1
        if options.extend:
            assert start(database, images, out, options, "id:<500000").wait() == 0
        while kills < options.kills:
            process = start(database, images, out, options)
            wait_until_writing(process, out)
            try:
                process.wait(draw.uniform(0, 1) * seconds)
                break  # it ended: go on with another
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
        assert start(database, images, out, options).wait() == 0
        same = hashes(out) == hashes(outputs / "whole")
        leftovers = [*(out / ".hakubooru" / "part").iterdir(), *out.rglob("*.part")]
        print(
            f"export {runs}: {kills} kills so far; same bytes: {same}; left over: {len(leftovers)}",
            flush=True,
        )
        assert same
        assert not leftovers
        shutil.rmtree(out)
    whole = hashes(outputs / "whole")
    digest = hashlib.sha256(
        "".join(f"{path} {file_hash}\n" for path, file_hash in sorted(whole.items())).encode()
    ).hexdigest()
    print(
        f"{kills} kills in {runs} exports of {len(whole):,} files: every byte the same, {digest} of all hashes"
    )
    shutil.rmtree(outputs)


if __name__ == "__main__":
    main()
