"""What there is to train on: sizes, captions and places of all images; no image is opened for it.

What order and buckets follow from is held in memory, some fifty bytes an image; paths and captions stay on disk, in the data
set's manifest or in what a scan of it left, and are read when a batch is made.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import compute, parquet

from hakubooru.arrow import as_flags, as_numbers, integers
from hakubooru.errors import DataSetError
from hakubooru.select import sampling
from hakubooru_trainer.data.files import Files
from hakubooru_trainer.data.kohya import MANIFEST, data_sets
from hakubooru_trainer.data.look import SHARD, id_of
from hakubooru_trainer.data.rows import Rows
from hakubooru_trainer.data.scan import scan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TypeAlias

    from hakubooru.arrays import Ids
    from hakubooru_trainer.config.data import DataOptions
    from hakubooru_trainer.distributed import Ranks

    Numbers: TypeAlias = np.ndarray[Any, Any]

_TEXTS: Final = ("path", "sha256", "caption")
_COLUMNS: Final = ("id", "path", "reason", "width", "height", "sha256")


class Sample(NamedTuple):
    """What is on disk about an image."""

    path: str
    """Of its file, or of the shard that it lies in with its name there."""
    sha256: str
    """Of the image's bytes."""
    caption: str
    parts: str | None
    """How many of the caption's tags each part has, as JSON, where that is known."""


@dataclass(frozen=True)
class DataSet:
    """One of the folders that a run trains on."""

    options: DataOptions
    rows: Rows
    """What is on disk about its images."""
    knows_parts: bool
    """Whether it says which part of a caption each tag belongs to."""
    texts: Rows | None = None
    """Captions as they stand in an export's files now."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """All images of a run, one row each, N rows."""

    ids: Ids
    sets: tuple[DataSet, ...]
    sources: np.ndarray[Any, np.dtype[np.int16]]
    """Which data set each is of."""
    rows: np.ndarray[Any, np.dtype[np.int32]]
    """Of its data set's file, ascending for each."""
    widths: np.ndarray[Any, np.dtype[np.int32]]
    heights: np.ndarray[Any, np.dtype[np.int32]]
    contents: np.ndarray[Any, np.dtype[np.uint64]]
    """The first 8 bytes of the SHA-256 of each image's bytes."""
    offsets: Ids
    """Where it begins in its shard; -1: it is a file by itself."""
    sizes: Ids
    """Bytes in its shard."""
    corrected: np.ndarray[Any, np.dtype[np.int32]]
    """The row of its data set's `texts` for a caption that was changed since the export; -1: it is as the manifest has it."""
    files: Files
    left_out: dict[str, int]
    """What the data sets name and cannot give, by reason."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> Sample:
        told = self.sets[self.sources[row]]
        found = told.rows[int(self.rows[row])]
        path = f"{told.options.path}/{found['path']}"
        if told.texts is not None and (text := int(self.corrected[row])) >= 0:
            return Sample(path, found["sha256"], told.texts[text]["caption"], None)
        return Sample(path, found["sha256"], found["caption"], found.get("parts"))

    def read(self, row: int) -> bytes:
        """An image's bytes.

        Raises:
            DataSetError: they cannot be read.
        """
        path, offset = self[row].path, int(self.offsets[row])
        place = path if offset < 0 else path[: path.rindex(f"{SHARD}/") + len(SHARD)]
        try:
            return self.files.read(place, offset, int(self.sizes[row]))
        except OSError as error:
            raise DataSetError(
                f"{path} cannot be read ({error}); `hakubooru export` with the same options mends it"
            ) from error

    def texts(self, column: str = "caption") -> Iterator[list[str]]:
        """What a column has of all images, in the order of the rows and some thousand at a time."""
        for place, told in enumerate(self.sets):
            rows, corrected = (array[self.sources == place] for array in (self.rows, self.corrected))
            start = 0
            for table in told.rows.groups([column], rows):
                texts = table.column(0).to_pylist()
                some = corrected[start : start + len(texts)]
                start += len(texts)
                if column == "caption" and told.texts is not None:
                    for at in np.flatnonzero(some >= 0).tolist():
                        texts[at] = told.texts[int(some[at])]["caption"]
                yield texts

    def take(self, rows: Ids) -> Samples:
        """Some of the rows, which are given in ascending order."""
        columns: dict[str, Any] = {
            name: value[rows] for name, value in vars(self).items() if isinstance(value, np.ndarray)
        }
        return replace(self, **columns)

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
        is_held = np.zeros(len(self), bool)
        is_held[order[:images]] = True
        return self.take(np.flatnonzero(~is_held)), self.take(np.flatnonzero(is_held))

    def fingerprint(self) -> str:
        """SHA-256 of ids, files and captions, in their order."""
        digest = hashlib.sha256(self.ids.astype("<i8").tobytes())
        for column in ("sha256", "caption"):
            for texts in self.texts(column):
                digest.update("\n".join(texts).encode())
        return f"sha256:{digest.hexdigest()}"


def load(options: Sequence[DataOptions], ranks: Ranks) -> Samples:
    """All images of the data sets.

    Raises:
        DataSetError: a data set is not there, holds no images, or its manifest is none.
    """
    sets, columns, left_out = [], [], Counter[str]()
    for data in itertools.chain.from_iterable(map(data_sets, options)):
        root = Path(data.path)
        if not root.is_dir():
            raise DataSetError(
                f"{root} is no folder; name what `hakubooru export` wrote, or a folder of images or shards"
            )
        before = left_out.copy()
        told, found = _told(data, root / MANIFEST, ranks, left_out)
        if not len(found.get("ids", ())):
            reasons = ", ".join(f"{reason} ({count})" for reason, count in (left_out - before).items())
            raise DataSetError(
                f"{root} holds no image that can be trained on: {reasons or 'nothing is in it'}"
            )
        sets.append(told)
        columns.append(found)
    sizes = [len(found["ids"]) for found in columns]
    return Samples(
        sets=tuple(sets),
        sources=np.repeat(np.arange(len(sizes), dtype=np.int16), sizes),
        files=Files(),
        left_out=dict(left_out),
        **{name: np.concatenate([found[name] for found in columns]) for name in columns[0]},
    )


def _told(
    data: DataOptions, manifest: Path, ranks: Ranks, left_out: Counter[str]
) -> tuple[DataSet, dict[str, Numbers]]:
    """A data set, and what is held in memory of its images."""
    if not manifest.is_file():
        rows = Rows(scan(manifest.parent, ranks), _TEXTS)
        return DataSet(data, rows, knows_parts=False), _columns(rows, left_out, ("offset", "bytes"))
    try:
        rows = Rows(manifest, _TEXTS, optional=["parts"])
        found = _columns(rows, left_out)
        _refuse_captions_alone(manifest)
    except (pa.ArrowInvalid, KeyError) as error:
        raise DataSetError(
            f"{manifest} is no manifest of `hakubooru export` ({error}); export anew"
        ) from error
    if found and f"{SHARD}/" in rows[int(found["rows"][0])]["path"]:
        places = Rows(scan(manifest.parent, ranks, "places"), ["path", "offset", "bytes"])
        return DataSet(data, rows, knows_parts="parts" in rows.columns), _placed(
            found, rows, places, left_out
        )
    texts = Rows(scan(manifest.parent, ranks, "captions"), ["path", "caption", "reason"])
    if found:
        found = _corrected(found, rows, texts, left_out)
    return DataSet(data, rows, knows_parts="parts" in rows.columns, texts=texts), found


def _refuse_captions_alone(manifest: Path) -> None:
    """See that an export has images.

    Raises:
        DataSetError: it was made with `--sink captions`.
    """
    if (parquet.read_schema(manifest).metadata or {}).get(b"hakubooru.sink") == b"captions":
        raise DataSetError(
            f"{manifest.parent} holds captions without images (--sink captions); "
            "name an export with images, such as one of --sink folder"
        )


def _columns(rows: Rows, left_out: Counter[str], places: Sequence[str] = ()) -> dict[str, Numbers]:
    """What is held of the images that a file tells of; those of a manifest are files by themselves until they are placed."""
    parts = []
    start = 0
    for table in rows.groups([*_COLUMNS, *places]):
        reasons, paths = (table[name].combine_chunks() for name in ("reason", "path"))
        left_out.update(compute.drop_null(reasons).to_pylist())
        is_good = compute.and_(compute.is_null(reasons), compute.is_valid(paths))
        good = table.filter(is_good)
        column = {name: good[name].combine_chunks() for name in good.column_names}
        if count := len(good):
            parts.append(
                {
                    "ids": _ids(column["id"], column["path"]),
                    "rows": np.flatnonzero(as_flags(is_good)).astype(np.int32) + np.int32(start),
                    "widths": as_numbers(column["width"].cast(pa.int32()), np.int32),
                    "heights": as_numbers(column["height"].cast(pa.int32()), np.int32),
                    "contents": np.array(
                        [int(text[:16], 16) for text in column["sha256"].to_pylist()], np.uint64
                    ),
                    "offsets": as_numbers(column["offset"], np.int64) if places else np.full(count, -1),
                    "sizes": as_numbers(column["bytes"], np.int64) if places else np.zeros(count, np.int64),
                    "corrected": np.full(count, -1, np.int32),
                }
            )
        start += len(table)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def _placed(
    found: dict[str, Numbers], rows: Rows, places: Rows, left_out: Counter[str]
) -> dict[str, Numbers]:
    """The same with the places of images in their shards; those that no shard has are left out."""
    known = pa.concat_tables([*places.groups(["path", "offset", "bytes"])])
    which = _rows_of(found, rows, known["path"])
    there = which >= 0
    if not there.all():
        left_out["its shard is gone, or does not hold it"] += int((~there).sum())
    found = {name: column[there] for name, column in found.items()}
    for name, column in (("offsets", "offset"), ("sizes", "bytes")):
        found[name] = as_numbers(known[column].combine_chunks(), np.int64)[which[there]]
    return found


def _corrected(
    found: dict[str, Numbers], rows: Rows, texts: Rows, left_out: Counter[str]
) -> dict[str, Numbers]:
    """The same with the captions that were changed since the export; those that are no text any more are left out."""
    known = pa.concat_tables([*texts.groups(["path", "reason"])])
    which = _rows_of(found, rows, known["path"])
    is_bad = as_flags(compute.is_valid(known["reason"]).combine_chunks())
    bad = (which >= 0) & is_bad[which] if len(is_bad) else np.zeros(len(which), bool)
    left_out.update(known["reason"].take(integers(which[bad], pa.int64())).to_pylist())
    now = _hashes(texts.groups(["caption"]))
    before = _hashes(rows.groups(["caption"], found["rows"]))
    there = np.flatnonzero(which >= 0)
    found["corrected"][there] = np.where(now[which[there]] == before[there], -1, which[there])
    return {name: column[~bad] for name, column in found.items()}


def _rows_of(found: dict[str, Numbers], rows: Rows, paths: pa.ChunkedArray) -> Numbers:
    """For each image the row of a file that names its path; -1 for none."""
    wanted = pa.chunked_array([table.column(0) for table in rows.groups(["path"], found["rows"])])
    at = compute.fill_null(compute.index_in(wanted, value_set=paths), integers([-1], pa.int32())[0])
    return as_numbers(at.combine_chunks(), np.int32)


def _hashes(tables: Iterator[pa.Table]) -> Numbers:
    """A number for each text, the same for the same text, without blanks at its ends."""
    numbers = (hash((text or "").strip()) for table in tables for text in table.column(0).to_pylist())
    return np.fromiter(numbers, np.int64)


def _ids(column: pa.Array, paths: pa.Array) -> Numbers:
    if not column.null_count:
        return as_numbers(column, np.int64)
    pairs = zip(
        column.to_pylist(), paths.to_pylist(), strict=True
    )  # images of one's own, which no post is of
    return np.array([id_of(path) if number is None else number for number, path in pairs], np.int64)
