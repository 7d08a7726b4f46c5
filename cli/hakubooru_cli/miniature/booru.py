"""Writing the miniature booru: a dump, a list of tags, and archives of images in two published layouts."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from hakubooru_cli.miniature.posts import LAST_ID, MadePost, make_posts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_CATEGORIES: Final = {"general": 0, "artist": 1, "copyright": 3, "character": 4, "meta": 5}
"""Danbooru's numbers of tag categories."""


@dataclass(frozen=True)
class Booru:
    """The files of a miniature booru."""

    dump: Path
    """A file of posts as Danbooru's API returns them: JSON lines, gzipped."""
    tags: Path
    """A file of tag objects as Danbooru's API returns them."""
    images: Path
    """A folder: `0.tar` holds images of ids below 1000, `updates/20240319/data-D.tar` newer ones of ids that end in D."""


def write_booru(folder: Path, last_id: int = LAST_ID, seed: int = 1) -> Booru:
    """Write a miniature booru; the same id and seed give the same bytes.

    As in the published sets, a few posts are in no archive, one image is cut off, and some archives of updates hold
    images that the first archive holds too.

    Args:
        folder: the folder to write to.
        last_id: the largest id of a post.
        seed: the seed of the random pictures.
    """
    booru = Booru(folder / "posts.jsonl.gz", folder / "tags.json", folder / "images")
    counts: dict[tuple[str, str], int] = {}
    with ExitStack() as stack:
        # A fixed time in the gzip header makes the same bytes every time.
        packed = stack.enter_context(gzip.GzipFile(booru.dump, "wb", compresslevel=6, mtime=0))
        archives = stack.enter_context(_Archives(booru.images))
        for post in make_posts(last_id, seed):
            packed.write((json.dumps(post.record, ensure_ascii=False) + "\n").encode())
            _count_tags(post, counts)
            archives.add(post)
    _write_tags(booru.tags, counts)
    return booru


class _Archives:
    """Writes the tars, each once and in the order of ids; used in a `with` statement."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self._open: dict[Path, tarfile.TarFile] = {}

    def add(self, post: MadePost) -> None:
        if post.data is None or post.id % 41 == 0:
            return
        data = post.data[: len(post.data) // 2] if post.id == 260 else post.data
        self._put(self.folder / "0.tar", f"{post.id}.{post.suffix}", data)
        if post.id % 29 == 0:
            newer = self.folder / "updates" / "20240319" / f"data-{post.id % 10}.tar"
            self._put(newer, f"{post.id}.{post.suffix}", post.data)

    def _put(self, path: Path, name: str, data: bytes) -> None:
        if path not in self._open:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open[path] = self._stack.enter_context(tarfile.open(path, "w"))  # noqa: SIM115 - the stack closes it
        member = tarfile.TarInfo(name)
        member.size = len(data)
        self._open[path].addfile(member, io.BytesIO(data))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()


def _count_tags(post: MadePost, counts: dict[tuple[str, str], int]) -> None:
    for kind, name in _typed_tags(post.record):
        counts[kind, name] = counts.get((kind, name), 0) + 1


def _typed_tags(record: dict[str, str]) -> Iterator[tuple[str, str]]:
    for kind in _CATEGORIES:
        for name in record[f"tag_string_{kind}"].split():
            yield kind, name


def _write_tags(path: Path, counts: dict[tuple[str, str], int]) -> None:
    tags: Iterable[tuple[tuple[str, str], int]] = sorted(counts.items())
    objects = [
        {"id": place, "name": name, "post_count": count, "category": _CATEGORIES[kind]}
        for place, ((kind, name), count) in enumerate(tags, 1)
    ]
    with path.open("w", encoding="utf-8", newline="\n") as file:
        json.dump(objects, file, ensure_ascii=False, indent=1)
