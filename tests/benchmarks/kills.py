"""Kill builds, updates and migrations by SIGKILL at random moments: `python tests/benchmarks/kills.py [--kills 50]`.

After each kill the file is checked (`PRAGMA integrity_check`, whole batches, what `hb.open` says of it); the same
command then goes on, and what it completes is compared with a file that was made without interruption.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from killing import kill_builds, kill_migrations, kill_updates, writers


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for way in (kill_builds, kill_updates, kill_migrations):
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder, writers(Path(folder)) as writer:
            counts = way(writer, Path(folder), arguments.kills, arguments.seed)
        summary = ", ".join(f"{name} {count}" for name, count in counts.items())
        print(
            f"{way.__name__:16} {summary}, all tables equal, {time.perf_counter() - start:.0f} s", flush=True
        )


if __name__ == "__main__":
    main()
