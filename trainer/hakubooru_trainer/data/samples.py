"""What there is to train on: sizes, captions and places of all images, in columns; no image is opened for it."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from PIL import Image, UnidentifiedImageError
from pyarrow import parquet
from tqdm import tqdm

from hakubooru.errors import DataSetError
from hakubooru.files import replacing
from hakubooru.select import sampling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakubooru.arrays import Ids
    from hakubooru_trainer.config.options import DataOptions

MANIFEST: Final = "manifest.parquet"
SCANNED: Final = ".hakubooru-scan.parquet"
"""What a folder without a manifest is remembered in."""

_COLUMNS: Final = ("id", "path", "width", "height", "sha256", "caption")
_IMAGES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".gif"})
_THREADS: Final = 8


@dataclass(frozen=True, kw_only=True)
class Samples:
    """All images of a run, one row each, N rows."""

    ids: Ids
    sources: np.ndarray[Any, np.dtype[np.int16]]
    """Which data set each is of."""
    widths: Ids
    heights: Ids
    columns: pa.Table
    """`path` below its data set's folder, `sha256` of the file, and `caption`."""
    roots: tuple[str, ...]
    """The folders of the data sets."""
    weights: tuple[float, ...]
    repeats: tuple[int, ...]
    left_out: dict[str, int]
    """Rows of the manifests that are no images, by reason."""

    def __len__(self) -> int:
        return len(self.ids)

    def path(self, row: int) -> str:
        """Where an image lies."""
        return f"{self.roots[self.sources[row]]}/{self.columns['path'][row].as_py()}"

    def caption(self, row: int) -> str:
        """An image's caption as it is on disk."""
        text: str = self.columns["caption"][row].as_py()
        return text

    def content(self, row: int) -> str:
        """The SHA-256 of an image's file."""
        text: str = self.columns["sha256"][row].as_py()
        return text

    def take(self, rows: np.ndarray[Any, Any]) -> Samples:
        """Some of the rows, which are given in ascending order."""
        if len(rows) == len(self):
            return self
        chosen = np.zeros(len(self), bool)
        chosen[rows] = True
        return Samples(
            ids=self.ids[rows],
            sources=self.sources[rows],
            widths=self.widths[rows],
            heights=self.heights[rows],
            columns=self.columns.filter(pa.array(chosen)),
            roots=self.roots,
            weights=self.weights,
            repeats=self.repeats,
            left_out=self.left_out,
        )

    def split(self, images: int, seed: int) -> tuple[Samples, Samples]:
        """What is trained on, and `images` that are held out: those with the smallest sampling keys.

        Raises:
            DataSetError: nothing would be left.
        """
        if images >= len(self):
            raise DataSetError(
                f"validation.images is {images} and there are {len(self)} images; hold out fewer than there are"
            )
        order = np.argsort(sampling.keys(self.ids, seed), kind="stable")
        held = np.sort(order[:images])
        return self.take(np.setdiff1d(np.arange(len(self)), held)), self.take(held)

    def fingerprint(self) -> str:
        """SHA-256 of ids, files and captions, in their order."""
        digest = hashlib.sha256(self.ids.astype("<i8").tobytes())
        for name in ("sha256", "caption"):
            for chunk in self.columns[name].chunks:
                for row in range(0, len(chunk), 100_000):
                    digest.update("\n".join(chunk.slice(row, 100_000).to_pylist()).encode())
        return f"sha256:{digest.hexdigest()}"


def load(options: Sequence[DataOptions]) -> Samples:
    """All images of the data sets.

    Raises:
        DataSetError: a data set is not there, holds no images, or its manifest is none.
    """
    tables, left_out = [], dict[str, int]()
    for data in options:
        root = Path(data.path)
        if not root.is_dir():
            raise DataSetError(
                f"{root} is no folder; name what `hakubooru export` wrote, or a folder of images"
            )
        table = _manifest(root, left_out) if (root / MANIFEST).is_file() else _folder(root, left_out)
        if not len(table):
            reasons = (
                ", ".join(f"{reason} ({count})" for reason, count in left_out.items()) or "nothing is in it"
            )
            raise DataSetError(f"{root} holds no image that can be trained on: {reasons}")
        tables.append(table)
    sizes = [len(table) for table in tables]
    joined = pa.concat_tables(tables)
    return Samples(
        ids=joined["id"].to_numpy(),
        sources=np.repeat(np.arange(len(sizes), dtype=np.int16), sizes),
        widths=joined["width"].to_numpy(),
        heights=joined["height"].to_numpy(),
        columns=joined.select(["path", "sha256", "caption"]),
        roots=tuple(data.path for data in options),
        weights=tuple(data.weight for data in options),
        repeats=tuple(data.repeats for data in options),
        left_out=left_out,
    )


def _manifest(root: Path, left_out: dict[str, int]) -> pa.Table:
    file = root / MANIFEST
    try:
        table = parquet.read_table(file, columns=[*_COLUMNS, "status", "reason"], pre_buffer=False)
    except (pa.ArrowInvalid, KeyError) as error:
        raise DataSetError(f"{file} is no manifest of `hakubooru export` ({error}); export anew") from error
    exported = pa.compute.equal(table["status"], "exported")
    for row in table.filter(pa.compute.invert(exported))["reason"].value_counts().to_pylist():
        left_out[row["values"]] = left_out.get(row["values"], 0) + row["counts"]
    if not pa.compute.all(exported).as_py():
        table = table.filter(exported)
    if table["id"].null_count:  # images of one's own, which no post is of
        numbers = pa.array(map(_id_of, table["path"].to_pylist()), pa.int64())
        table = table.set_column(0, "id", pa.compute.coalesce(table["id"], numbers))
    return _typed(table)


def _folder(root: Path, left_out: dict[str, int]) -> pa.Table:
    """A folder of images: sizes and hashes are read once, by several threads, and remembered in it."""
    paths = sorted(
        Path(folder, name).relative_to(root).as_posix()
        for folder, _, names in os.walk(root)
        for name in names
        if Path(name).suffix.lower() in _IMAGES and not name.startswith(".")
    )
    known = _remembered(root)
    stats = [(root / path).stat() for path in paths]
    marks = [f"{stat.st_size}:{stat.st_mtime_ns}" for stat in stats]
    new = [path for path, mark in zip(paths, marks, strict=True) if known.get(path, {}).get("mark") != mark]
    with ThreadPoolExecutor(_THREADS) as threads:
        scanned = tqdm(threads.map(lambda path: _scan(root, path), new), "scanning", len(new), disable=None)
        known |= dict(zip(new, scanned, strict=True))
    rows = [known[path] | {"path": path, "mark": mark} for path, mark in zip(paths, marks, strict=True)]
    if new:
        with replacing(root / SCANNED) as beside:
            parquet.write_table(pa.Table.from_pylist(rows), beside)
    good = []
    for row in rows:
        caption = (root / row["path"]).with_suffix(".txt")
        if row["reason"] is None and not caption.is_file():
            row["reason"] = "no caption of the same name in .txt beside it"
        if row["reason"] is not None:
            left_out[row["reason"]] = left_out.get(row["reason"], 0) + 1
            continue
        good.append(row | {"caption": caption.read_text(encoding="utf-8").strip(), "id": _id_of(row["path"])})
    return _typed(pa.Table.from_pylist(good)) if good else pa.table({})


def _remembered(root: Path) -> dict[str, dict[str, Any]]:
    try:
        rows = parquet.read_table(root / SCANNED).to_pylist()
    except (FileNotFoundError, pa.ArrowInvalid):
        return {}
    return {row["path"]: row for row in rows}


def _scan(root: Path, path: str) -> dict[str, Any]:
    data = (root / path).read_bytes()
    row: dict[str, Any] = {
        "width": None,
        "height": None,
        "sha256": hashlib.sha256(data).hexdigest(),
        "reason": None,
    }
    try:
        with Image.open(root / path) as image:
            row["width"], row["height"] = image.size
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        row["reason"] = f"no image that can be read: {type(error).__name__}"
    return row


def _id_of(path: str) -> int:
    """A number that stands for a path: the file's own name if that is one, as in an export."""
    stem = Path(path).stem
    return (
        int(stem)
        if stem.isdecimal() and len(stem) < 19
        else int(hashlib.sha256(path.encode()).hexdigest()[:15], 16)
    )


def _typed(table: pa.Table) -> pa.Table:
    kinds = {"id": pa.int64(), "width": pa.int64(), "height": pa.int64()}
    schema = pa.schema([pa.field(name, kinds.get(name, pa.string())) for name in _COLUMNS])
    return table.select(_COLUMNS).cast(schema)
