"""How many files one thing crosses: a search, a caption, an exported image.

    python tests/benchmarks/walks.py

A switch is two calls in a row that land in different files of the library. Fewer files and switches are easier to follow.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import hakubooru as hb  # noqa: E402
from booru import write_random  # noqa: E402
from hakubooru.store.about import About, write_about  # noqa: E402
from pictures import picture, write_tar  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

LIBRARY = f"{ROOT / 'hakubooru'}/"


def walk(label: str, function: Callable[[], Any]) -> None:
    """Run a function, and print what it crosses."""
    files: list[str] = []

    def on_call(frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(LIBRARY):
            files.append(frame.f_code.co_filename)

    sys.setprofile(on_call)
    try:
        function()
    finally:
        sys.setprofile(None)
    switches = sum(one != other for one, other in pairwise(files))
    print(f"{label}: {len(set(files))} files, {switches} switches")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_random(folder / "x.db")
        with sqlite3.connect(folder / "x.db") as connection:
            write_about(connection, About())  # as a build does
        connection.close()
        with hb.open(folder / "x.db") as db:
            names = [tag.name for tag in list(db.tags)[:3]]
            walk(
                "search and sample",
                lambda: db.posts.search(f"{names[0]} -{names[2]}").sample(3, seed=1).to_ids(),
            )
        with hb.open(folder / "x.db") as db:
            first = db.posts.to_ids()[:1]
            posts = db.posts.among(first.tolist())
            walk("one caption", lambda: next(iter(posts.captions("kohaku-epsilon"))))
            write_tar(
                folder / "images" / f"data-0{first[0] % 1000:03d}.tar", {f"{first[0]}.webp": picture(1)}
            )
            walk(
                "one exported image",
                lambda: posts.export(folder / "out", images=folder / "images", workers=1),
            )


if __name__ == "__main__":
    main()
