"""Sets of images as they are published: the names of archives and images, their containers and indexes. Each is tiny."""

from __future__ import annotations

import hashlib
import json
import tarfile
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import parquet

from pictures import picture, write_tar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

FORMS = {
    "ID": "{post}.webp",
    "gallery-dl": "danbooru_{post}_{md5}.webp",
    "waifuset": "danbooru_{post}.webp",
    "danbr25": "{post:07d}-a name.webp",
    "MD5": "{md5}.webp",
    "KichangKim": "{md5:.2}/{md5}.webp",
}
"""The names of images, by who gives them."""


def md5_of(post: int) -> str:
    """The MD5 of a post's picture, in hexadecimal digits."""
    return hashlib.md5(picture(post)).hexdigest()


def name_of(post: int, form: str) -> str:
    """The name of a post's picture in one of the forms, or in a pattern."""
    return FORMS.get(form, form).format(post=post, md5=md5_of(post))


def write_archive(path: Path, members: list[tuple[str, bytes]]) -> None:
    """Write members to a tar, a zip archive, a Parquet file or a folder, by the suffix of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in dict(members).items():
                archive.writestr(name, data)
    elif path.name.endswith(".parquet"):
        names, images = zip(*members, strict=True)
        table = {"filename": names, "image": [{"bytes": data, "path": None} for data in images]}
        parquet.write_table(pa.table(table), path)
    elif ".tar" in path.name:
        write_tar(path, members, mode="w:gz" if path.name.endswith(".gz") else "w")
    else:
        for name, data in members:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)


def write_index(tar: Path, place: Path, dialect: str = "hfutils") -> None:
    """Write the index of a tar in one of the published dialects; the last of doubled members counts, as there."""
    with tarfile.open(tar) as archive:
        spans = {member.name: (member.offset_data, member.size) for member in archive if member.isfile()}
    files = {name: {"offset": offset, "size": size} for name, (offset, size) in spans.items()}
    tables = {
        "hfutils": {"filesize": tar.stat().st_size, "hash": "0", "hash_lfs": "0", "files": files},
        "webshart": {"files": {name: {"offset": at, "length": size, "width": 8} for name, (at, size) in spans.items()}},
        "spans": {name: [offset, offset + size - 1] for name, (offset, size) in spans.items()},
    }  # fmt: skip
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(tables[dialect]))


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """A published set."""

    archive: Callable[[int], str]
    """The path of the archive that holds a post."""
    form: str = "ID"
    """The form of the names of images."""
    updated: Callable[[int], str] | None = None
    """The path of the update that holds a newer image of some posts."""
    index: str | None = None
    """Where indexes lie: "" beside the tar, `index`, or the repository that has them; None if nowhere."""
    dialect: str = "hfutils"
    """The dialect of the indexes."""
    repeats: bool = False
    """Whether archives hold some members twice."""

    def write(self, folder: Path, name: str, posts: Iterable[int]) -> dict[int, bytes]:
        """Write the set below `folder/name`, and its indexes; return the image that each post is to have."""
        members: dict[str, list[tuple[str, bytes]]] = {}
        images = {post: picture(post) for post in posts}
        for post, data in images.items():
            members.setdefault(self.archive(post), []).append((name_of(post, self.form), data))
        if self.updated:
            for post in [*images][::2]:
                newer = picture(post, size=(50, 30))
                members.setdefault(self.updated(post), []).append((name_of(post, self.form), newer))
                images[post] = newer
        for path, pairs in members.items():
            write_archive(folder / name / path, pairs + pairs[:1] * self.repeats)
            self._write_index(folder, name, path)
        return images

    def _write_index(self, folder: Path, name: str, path: str) -> None:
        if self.index is None:
            return
        tar = folder / name / path
        place = path.removesuffix(".tar") + ".json"
        if self.index == "index":
            place = place.replace("images/", "index/")
        root = folder / name if self.index in ("", "index") else folder / self.index
        write_index(tar, root / place, self.dialect)


def _in_order(pattern: str, a_shard: int = 5) -> Callable[[int], str]:
    """Shards in sequence: the archive follows from the post's place among the posts, not from its id."""
    places: dict[int, int] = {}
    return lambda post: pattern.format(places.setdefault(post, len(places)) // a_shard)


IMAGES_OF_WINDOWS = "images\\"
"""The beginning of the names of some archives, which are no paths but on Windows."""

SETS = {
    "nyanko7/danbooru2023": ImageSet(
        archive=lambda post: f"{'original/data-0' if post < 3000 else 'recent/data-1'}{post % 1000:03d}.tar",
        updated=lambda post: f"updates/20240522/dataset-{post % 10}.tar",
        form="./{post}.webp",
        index="deepghs/danbooru2023_index",
    ),
    "KBlueLeaf/danbooru2023-webp-4Mpixel": ImageSet(
        archive=lambda post: f"images/data-0{post % 1000:03d}.tar",
        updated=lambda post: f"updates/20240319/update-{post % 10}.tar",
        index="deepghs/danbooru2023-webp-4Mpixel_index",
    ),
    "deepghs/danbooru2024": ImageSet(archive=lambda post: f"images/0{post % 1000:03d}.tar", index=""),
    "deepghs/gelbooru_full": ImageSet(
        archive=lambda post: f"images/{post // 1000 % 10}/0{post % 1000:03d}.tar", index=""
    ),
    "deepghs/danbooru_newest_dl": ImageSet(archive=_in_order("images/0/{:03d}.tar"), index=""),
    "picollect/danbooru": ImageSet(archive=lambda post: f"images/{post // 1000:04d}.tar", index="index"),
    "picollect/danbooru2": ImageSet(archive=lambda post: f"images/{post // 1000:04d}.tar", index=""),
    "picollect/danbooru_1024": ImageSet(archive=lambda post: f"{post // 1000 * 1000}.tar", index=""),
    "NebulaeWis/e621-2024-webp-4Mpixel": ImageSet(
        archive=lambda post: f"original/data-0{post % 1000:03d}.tar", index="NebulaeWis/e621-2024_index"
    ),
    "boxingscorpionbagel/e621-2024": ImageSet(
        archive=lambda post: f"original/data-0{post % 1000:03d}.tar", index="deepghs/e621-2024_index"
    ),
    "BootsofLagrangian/danbooru-202603-webp90-noresize": ImageSet(
        archive=_in_order("{:05d}.tar"), repeats=True
    ),
    "nyanko-devs/danbooru2026": ImageSet(archive=_in_order("images/part-{}.tar")),
    "Jannchie/danbooru2026-silva-aesthetic": ImageSet(archive=lambda post: f"images/{post // 1000:04d}"),
    "Jannchie/danbooru2026-silva-aesthetic, tars": ImageSet(archive=_in_order("images/{:04d}.tar")),
    "Yossh/danbooru2023-224": ImageSet(
        archive=lambda post: f"{'' if post % 2 else IMAGES_OF_WINDOWS}data-0{post % 1000:03d}.tar.gz"
    ),
    "nebula/Danbooru2023-WEBP": ImageSet(archive=_in_order("{}.tar", 9), form="1/{post}.webp"),
    "gwern's Danbooru2021": ImageSet(archive=lambda post: f"original/0{post % 1000:03d}"),
    "picollect/12TPICS": ImageSet(archive=lambda post: f"tag_{'abc'[post % 3]}.tar"),
    "gallery-dl": ImageSet(archive=lambda _: "danbooru", form="gallery-dl"),
    "waifuset": ImageSet(archive=lambda _: "images", form="waifuset"),
    "danbr25": ImageSet(archive=lambda _: "images", form="danbr25"),
    "KichangKim's downloader": ImageSet(archive=lambda _: "images", form="KichangKim"),
    "names by MD5 in tars": ImageSet(archive=_in_order("{:04d}.tar"), form="KichangKim", index=""),
    "zerochan-wip": ImageSet(archive=_in_order("data/train-{:05d}.parquet")),
    "aperveyev's BC_2023": ImageSet(archive=_in_order("BC_2023_{}.zip"), form="2023/{post}.webp"),
    "webshart": ImageSet(archive=_in_order("shard-{:04d}.tar"), index="some/index_of_webshart", dialect="webshart"),
    "Danbooru2025-test": ImageSet(archive=lambda post: f"0{post % 1000:03d}.tar", index="", dialect="spans"),
}  # fmt: skip
"""The published sets by repository or tool, as the atlas of the project has them."""
