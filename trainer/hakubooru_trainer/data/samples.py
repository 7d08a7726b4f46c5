"""The images to train on: sizes, captions and places. Listing them opens no image.

Order and buckets follow from some fifty bytes an image, which are held in memory. Paths and captions stay on disk, in the data
set's manifest or in the file of a scan, and are read when a batch is made.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import compute, parquet

from hakubooru.arrays import as_flags, as_numbers, integers
from hakubooru.errors import DataSetError
from hakubooru.export.manifest import MANIFEST
from hakubooru.select import sampling
from hakubooru_trainer.config.paths import NO_FOLDER
from hakubooru_trainer.data.files import Files
from hakubooru_trainer.data.kohya import data_sets
from hakubooru_trainer.data.look import SHARD, id_of
from hakubooru_trainer.data.manifest import check_captions, refuse_captions_alone
from hakubooru_trainer.data.masks import check_masks, mask_test, refuse_shards, update_with_masks
from hakubooru_trainer.data.rows import Rows
from hakubooru_trainer.data.scan import scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from hakubooru.arrays import Ids
    from hakubooru_trainer.config.data import DataOptions
    from hakubooru_trainer.distributed import Ranks

    Numbers: TypeAlias = np.ndarray[Any, Any]
    Arrays: TypeAlias = dict[str, Numbers]
    """An array for each field of `Samples` that has one, by the field's name."""

_TEXTS: Final = ("path", "sha256", "caption")
_COLUMNS: Final = ("id", "path", "reason", "width", "height", "sha256")


class Sample(NamedTuple):
    """What is on disk about an image."""

    path: str
    """The path of its file, or of its shard followed by its name there."""
    sha256: str
    """SHA-256 of the image's bytes."""
    caption: str
    parts: str | None
    """How many of the caption's tags each part has, as JSON; None if that is not known."""
    others: Mapping[str, str | None] = MappingProxyType({})
    """Its captions in other columns of the manifest, by column."""
    prefix: str = ""
    """The text in front of the captions of its data set."""


@dataclass(frozen=True)
class DataSet:
    """A folder that a run trains on."""

    options: DataOptions
    rows: Rows
    """What is on disk about its images."""
    knows_parts: bool
    """Whether it says which part of a caption each tag belongs to."""
    columns: tuple[str, ...] = ()
    """The columns with other captions that a run takes."""
    texts: Rows | None = None
    """The captions that stand in an export's files now, if they are looked at."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """All images of a run, one row each; N rows."""

    ids: Ids
    sets: tuple[DataSet, ...]
    sources: np.ndarray[Any, np.dtype[np.int16]]
    """The index of each image's data set in `sets`."""
    rows: np.ndarray[Any, np.dtype[np.int32]]
    """Each image's row in its data set's file; ascending within a data set."""
    widths: np.ndarray[Any, np.dtype[np.int32]]
    heights: np.ndarray[Any, np.dtype[np.int32]]
    contents: np.ndarray[Any, np.dtype[np.uint64]]
    """The first 8 bytes of the SHA-256 of each image's bytes."""
    offsets: Ids
    """Where each image begins in its shard, in bytes; -1 for an image in its own file."""
    sizes: Ids
    """The bytes of each image in a shard; 0 for an image in its own file."""
    corrected: np.ndarray[Any, np.dtype[np.int32]]
    """Each image's row in its data set's `texts`, if its caption was changed since the export; else -1."""
    files: Files
    left_out: dict[str, int]
    """How many images the data sets name and cannot give, by reason."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> Sample:
        data = self.sets[self.sources[row]]
        columns = data.rows[int(self.rows[row])]
        path = f"{data.options.path}/{columns['path']}"
        caption, parts = columns["caption"], columns.get("parts")
        if data.texts is not None and (text := int(self.corrected[row])) >= 0:
            caption, parts = data.texts[text]["caption"], None
        others = {name: columns[name] for name in data.columns}
        return Sample(path, columns["sha256"], caption, parts, others, data.options.prefix)

    def read(self, row: int) -> bytes:
        """Read an image's bytes.

        Raises:
            DataSetError: they cannot be read.
        """
        path, offset = self[row].path, int(self.offsets[row])
        place = path if offset < 0 else _shard_of(path)
        try:
            return self.files.read(place, offset, int(self.sizes[row]))
        except OSError as error:
            raise DataSetError(
                f"{path} cannot be read ({error}); run `hakubooru export` again with the same options, which repairs it"
            ) from error

    def texts(self, column: str = "caption") -> Iterator[list[str]]:
        """The texts of a column for all images, in the order of the rows, some thousand at a time."""
        for place, data in enumerate(self.sets):
            rows, corrected = (array[self.sources == place] for array in (self.rows, self.corrected))
            start = 0
            for table in data.rows.groups([column], rows):
                texts = table.column(0).to_pylist()
                some = corrected[start : start + len(texts)]
                start += len(texts)
                if column == "caption" and data.texts is not None:
                    for at in np.flatnonzero(some >= 0).tolist():
                        texts[at] = data.texts[int(some[at])]["caption"]
                yield texts

    def take(self, rows: Ids) -> Samples:
        """The samples of some rows, given in ascending order."""
        columns: dict[str, Any] = {
            name: value[rows] for name, value in vars(self).items() if isinstance(value, np.ndarray)
        }
        return replace(self, **columns)

    def split(self, images: int, seed: int) -> tuple[Samples, Samples]:
        """Two sets of samples: those to train on, and `images` held-out ones, which have the smallest sampling keys.

        Raises:
            DataSetError: no image would remain to train on.
        """
        if images >= len(self):
            raise DataSetError(
                f"validation.images is {images}, of {len(self)} in the data sets; hold out fewer than there are"
            )
        order = np.argsort(sampling.keys(self.ids, seed), kind="stable")
        is_held = np.zeros(len(self), bool)
        is_held[order[:images]] = True
        return self.take(np.flatnonzero(~is_held)), self.take(np.flatnonzero(is_held))

    def fingerprints(self, *, by_parts: bool = False) -> tuple[str, str]:
        """SHA-256 of ids, files and captions, in their order; of captions in other columns and of masks too, where they are used.

        Args:
            by_parts: whether the run trains by the parts of captions that manifests have; they are then in the fingerprint, too.

        Returns:
            the fingerprint, and the one of earlier versions, which does not say where a caption of several lines ends, and has
            no parts.
        """
        digest, lengths = hashlib.sha256(self.ids.astype("<i8").tobytes()), hashlib.sha256()
        for column in ("sha256", "caption"):
            for texts in self.texts(column):
                digest.update("\n".join(texts).encode())
                lengths.update(np.array([len(text) for text in texts], "<i8").tobytes())
        for column in self.sets[0].columns:
            for texts in self.texts(column):
                digest.update(json.dumps(texts).encode())
        for place, data in enumerate(self.sets):
            if data.options.masks:
                update_with_masks(digest, data.options, _paths(data.rows, self.rows[self.sources == place]))
        earlier = digest.copy()
        digest.update(lengths.digest())
        for texts in self.texts("parts") if by_parts else ():
            digest.update(json.dumps(texts).encode())
        return f"sha256:{digest.hexdigest()}", f"sha256:{earlier.hexdigest()}"


def load(options: Sequence[DataOptions], ranks: Ranks, columns: Sequence[str] = ()) -> Samples:
    """Load all images of the data sets.

    Args:
        options: the data sets.
        ranks: the ranks of the run.
        columns: columns of the manifests with other captions, which each data set must have.

    Raises:
        DataSetError: a data set is missing, holds no image that can be trained on, or its manifest cannot be read.
    """
    loader = _Loader(ranks, columns)
    loaded: list[tuple[DataSet, Arrays]] = []
    for one in options:
        own = [loader.load(data) for data in data_sets(one)]
        check_masks(
            one, ((data.options, path) for data, arrays in own for path in _paths(data.rows, arrays["rows"]))
        )
        loaded += own
    sets, parts = zip(*loaded, strict=True)
    sizes = [len(arrays["ids"]) for arrays in parts]
    return Samples(
        sets=sets,
        sources=np.repeat(np.arange(len(sizes), dtype=np.int16), sizes),
        files=Files(),
        left_out=dict(loader.left_out),
        **{name: np.concatenate([arrays[name] for arrays in parts]) for name in parts[0]},
    )


class _Loader:
    """Loads data sets, each with the arrays that are held in memory of its images.

    Args:
        ranks: the ranks of the run.
        captions: columns of the manifests with other captions, which each data set must have.
    """

    def __init__(self, ranks: Ranks, captions: Sequence[str]) -> None:
        self.ranks = ranks
        self.captions = captions
        self.left_out = Counter[str]()
        """How many images the data sets so far name and cannot give, by reason."""

    def load(self, data: DataOptions) -> tuple[DataSet, Arrays]:
        """Load a data set.

        Raises:
            DataSetError: it is missing, or holds no image that can be trained on.
        """
        root, before = Path(data.path), self.left_out.copy()
        if not root.is_dir():
            raise DataSetError(f"{root} {NO_FOLDER}")
        of_data = self._of_export if (root / MANIFEST).is_file() else self._of_folder
        data_set, arrays = of_data(data, root)
        if not len(arrays.get("ids", ())):
            reasons = ", ".join(f"{reason} ({count})" for reason, count in (self.left_out - before).items())
            raise DataSetError(
                f"{root} holds no image that can be trained on: {reasons or 'nothing is in it'}"
            )
        return data_set, arrays

    def _of_folder(self, data: DataOptions, root: Path) -> tuple[DataSet, Arrays]:
        if self.captions:
            raise DataSetError(
                f"captions.mix names {self.captions[0]}, and {root} has no manifest with such a column; only `caption` and "
                "`lines` are known of a folder"
            )
        rows = Rows(scan(root, self.ranks), _TEXTS)
        arrays = self._columns(rows, ("offset", "bytes"), mask_test(data))
        if arrays and (arrays["offsets"] >= 0).any():
            refuse_shards(data)
        return DataSet(data, rows, knows_parts=False), arrays

    def _of_export(self, data: DataOptions, root: Path) -> tuple[DataSet, Arrays]:
        manifest = root / MANIFEST
        try:
            rows = Rows(manifest, _TEXTS, optional=["parts", *self.captions])
            about = parquet.read_schema(manifest).metadata or {}
            # The ids of another site than Danbooru would be those of other images.
            arrays = self._columns(rows, has_own_ids=b"hakubooru.site" in about)
            refuse_captions_alone(manifest)
        except (pa.ArrowInvalid, KeyError) as error:
            raise DataSetError(
                f"{manifest} is not a manifest of `hakubooru export` ({error}); export again"
            ) from error
        check_captions(manifest, self.captions)
        knows_parts, columns = "parts" in rows.columns, tuple(self.captions)
        if arrays and f"{SHARD}/" in rows[int(arrays["rows"][0])]["path"]:
            refuse_shards(data)
            places = Rows(scan(root, self.ranks, "places"), ["path", "offset", "bytes"])
            return DataSet(data, rows, knows_parts, columns), self._placed(arrays, rows, places)
        texts = Rows(scan(root, self.ranks, "captions"), ["path", "caption", "reason"])
        if arrays:
            arrays = self._corrected(arrays, rows, texts)
        return DataSet(data, rows, knows_parts, columns, texts), arrays

    def _columns(
        self,
        rows: Rows,
        places: Sequence[str] = (),
        is_mask: Callable[[pa.Array], pa.Array] | None = None,
        *,
        has_own_ids: bool = False,
    ) -> Arrays:
        """The arrays of the images that a file lists.

        Args:
            rows: the file.
            places: the columns of places in shards; without them, each image counts as its own file.
            is_mask: tells by the paths which files are masks, which are no images to train on.
            has_own_ids: whether the numbers of images come from their paths, which name their site.
        """
        parts = []
        start = 0
        for table in rows.groups([*_COLUMNS, *places]):
            reasons, paths = (table[name].combine_chunks() for name in ("reason", "path"))
            if is_mask is not None:
                masks = compute.fill_null(is_mask(paths), fill_value=False)
                reasons, paths = (compute.if_else(masks, None, column) for column in (reasons, paths))
            self.left_out.update(compute.drop_null(reasons).to_pylist())
            is_good = compute.and_(compute.is_null(reasons), compute.is_valid(paths))
            images = table.filter(is_good)
            column = {name: images[name].combine_chunks() for name in images.column_names}
            if count := len(images):
                parts.append(
                    {
                        "ids": _ids(column["id"], column["path"], by_path=has_own_ids),
                        "rows": np.flatnonzero(as_flags(is_good)).astype(np.int32) + np.int32(start),
                        "widths": as_numbers(column["width"].cast(pa.int32()), np.int32),
                        "heights": as_numbers(column["height"].cast(pa.int32()), np.int32),
                        "contents": np.array(
                            [int(text[:16], 16) for text in column["sha256"].to_pylist()], np.uint64
                        ),
                        "offsets": as_numbers(column["offset"], np.int64) if places else np.full(count, -1),
                        "sizes": as_numbers(column["bytes"], np.int64) if places else np.full(count, 0),
                        "corrected": np.full(count, -1, np.int32),
                    }
                )
            start += len(table)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}

    def _placed(self, arrays: Arrays, rows: Rows, places: Rows) -> Arrays:
        """The arrays with the places of images in their shards. Images that no shard has are removed, and counted in `left_out`."""
        table = pa.concat_tables([*places.groups(["path", "offset", "bytes"])])
        positions = _rows_of(arrays, rows, table["path"])
        is_present = positions >= 0
        if not is_present.all():
            self.left_out["its shard is gone, or does not hold it"] += int((~is_present).sum())
        arrays = {name: column[is_present] for name, column in arrays.items()}
        for name, column in (("offsets", "offset"), ("sizes", "bytes")):
            arrays[name] = as_numbers(table[column].combine_chunks(), np.int64)[positions[is_present]]
        return arrays

    def _corrected(self, arrays: Arrays, rows: Rows, texts: Rows) -> Arrays:
        """The arrays with captions that were changed since the export. Captions that are not text are removed, and counted."""
        table = pa.concat_tables([*texts.groups(["path", "reason"])])
        positions = _rows_of(arrays, rows, table["path"])
        is_bad = as_flags(compute.is_valid(table["reason"]).combine_chunks())
        is_left_out = (positions >= 0) & is_bad[positions] if len(is_bad) else np.zeros(len(positions), bool)
        self.left_out.update(table["reason"].take(integers(positions[is_left_out], pa.int64())).to_pylist())
        now = _hashes(texts.groups(["caption"]))
        before = _hashes(rows.groups(["caption"], arrays["rows"]))
        has_text = np.flatnonzero(positions >= 0)
        changed = has_text[now[positions[has_text]] != before[has_text]]
        arrays["corrected"][changed] = positions[changed]
        return {name: column[~is_left_out] for name, column in arrays.items()}


def _shard_of(path: str) -> str:
    """The path of a shard, of which a path is followed by the name of a member. Folders in it may be called .tar, too."""
    ends = [match.end() - 1 for match in re.finditer(re.escape(f"{SHARD}/"), path)]
    return path[: next((end for end in ends[:-1] if Path(path[:end]).is_file()), ends[-1])]


def _paths(rows: Rows, positions: Numbers) -> Iterator[str]:
    """The paths of some images of a data set, in their order."""
    for table in rows.groups(["path"], positions):
        yield from table.column(0).to_pylist()


def _rows_of(arrays: Arrays, rows: Rows, paths: pa.ChunkedArray) -> Numbers:
    """For each image, the row of a file that names its path; -1 for none."""
    wanted = pa.chunked_array([table.column(0) for table in rows.groups(["path"], arrays["rows"])])
    at = compute.fill_null(compute.index_in(wanted, value_set=paths), integers([-1], pa.int32())[0])
    return as_numbers(at.combine_chunks(), np.int32)


def _hashes(tables: Iterator[pa.Table]) -> Numbers:
    """A number for each text, equal for equal texts; blanks at the ends do not count."""
    numbers = (hash((text or "").strip()) for table in tables for text in table.column(0).to_pylist())
    return np.fromiter(numbers, np.int64)


def _ids(column: pa.Array, paths: pa.Array, *, by_path: bool) -> Numbers:
    if by_path:
        return np.array([id_of(path) for path in paths.to_pylist()], np.int64)
    if not column.null_count:
        return as_numbers(column, np.int64)
    # Your own images have no post, and so no id.
    pairs = zip(column.to_pylist(), paths.to_pylist(), strict=True)
    return np.array([id_of(path) if number is None else number for number, path in pairs], np.int64)
