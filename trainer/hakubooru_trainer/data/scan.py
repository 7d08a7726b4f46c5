"""The content of a folder, read once by several threads and remembered: sizes, hashes, captions, places in shards.

    FOLDER/.hakubooru-scan.parquet       a row for each image
    FOLDER/.hakubooru-scan-0-0.parquet   the rows that rank 0 has so far; removed when the scan is complete

If the folder cannot be written to, the files lie in the user's cache. A file is read again if its size or time has
changed, and an image also if its caption's file has.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import pyarrow as pa
from platformdirs import user_cache_path
from pyarrow import compute, parquet

from hakubooru.arrays import strings
from hakubooru.errors import DataSetError
from hakubooru.files import replacing
from hakubooru.image.decode import DECODE_VERSION
from hakubooru.progress import progress
from hakubooru_trainer.data.look import CAPTIONS, IMAGES, METADATA, SHARD, Looker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hakubooru_trainer.data.look import Row
    from hakubooru_trainer.distributed import Ranks

What: TypeAlias = Literal["images", "places", "captions"]
"""Which scan: images with captions, places in shards, or captions alone."""
_STEMS: Final[dict[What, str]] = {
    "images": ".hakubooru-scan",
    "places": ".hakubooru-places",
    "captions": ".hakubooru-captions",
}
_ROWS_A_GROUP: Final = 4_000
"""Rows of a row group, as in a manifest: reading one row reads its whole group."""
_ROWS_A_PART: Final = 50_000
"""Rows after which a scan saves a part; a killed scan loses no more than that and the shards being read."""
_THREADS: Final = 8
_SHARD_READING: Final = "paired by names"
"""A mark of how shards are read. Change it when that changes, and shards are read again."""
_FILES_A_TIME: Final = 256
"""Files that are handed to the threads at a time; progress is shown, and a part may be saved, after them."""

_SCHEMA: Final = pa.schema(
    [
        pa.field("file", pa.string()),  # the file that was read, with its marks
        pa.field("id", pa.int64()),
        pa.field("path", pa.string()),  # of the image, below the folder; null if the file has none
        pa.field("offset", pa.int64()),  # of the image in its shard; -1 for an image in its own file
        pa.field("bytes", pa.int64()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("sha256", pa.string()),
        pa.field("caption", pa.large_string()),
        pa.field("reason", pa.string()),  # why the image cannot be trained on
    ]
)


def scan(
    root: Path,
    ranks: Ranks,
    what: What = "images",
    *,
    files_a_time: int = _FILES_A_TIME,
    rows_a_part: int = _ROWS_A_PART,
) -> Path:
    """Read what is new in a folder, a part on each rank, and return the file that lists all of it.

    Args:
        root: the folder, with images, lists of captions and webdataset's shards anywhere below it.
        ranks: the ranks of the run.
        what: `images` for images with their captions. If a manifest gives the rest: `places` for where images lie in
            shards, `captions` for captions in files and lists.
        files_a_time: how many files are read before progress is shown and a part may be saved.
        rows_a_part: after how many rows a part is saved.

    Raises:
        DataSetError: the ranks do not share the place where the scan is remembered, or a file's name is not text.
    """
    place = _place(root, _STEMS[what])
    files = _listing(root, what)
    read = _known(place)
    new = _others(files, read)
    is_stale = len(new) > 0 or len(read) + len(new) > len(files) or _remembered(place) != [place]
    if not any(ranks.any(is_stale)):  # ranks.any also waits until all ranks have listed what is new
        return place
    looker = Looker(root, places_only=what == "places")
    look = looker.caption_alone if what == "captions" else looker
    first = len(_remembered(place))  # this rank has no part with this number or a higher one
    with ThreadPoolExecutor(_THREADS) as threads:
        portions = _looked_at(new, look, ranks, threads, files_a_time)
        for number, rows in enumerate(_parts(portions, rows_a_part), first):
            _write(place.with_name(f"{place.stem}-{ranks.rank}-{number}.parquet"), rows)
    ranks.wait()
    if ranks.first:
        _merge(place, files)
    ranks.wait()
    if len(_others(files, _known(place))):
        raise DataSetError(
            f"{root} was scanned by several ranks that do not share {place.parent}; let the folder be written to"
        )
    return place


def _place(root: Path, stem: str) -> Path:
    if os.access(root, os.W_OK):
        return root / f"{stem}.parquet"
    name = hashlib.sha256(os.fsencode(root.absolute())).hexdigest()
    folder = user_cache_path("hakubooru") / "scan"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{stem}-{name}.parquet"


def _listing(root: Path, what: What) -> pa.ChunkedArray:
    """All files to read, as `path NUL marks`: images, shards, lists of captions."""
    chunks = [pa.array([], pa.string())]
    seen = set[str]()
    pending = [("", "")]
    while pending:
        folder, list_mark = pending.pop()
        real = os.path.realpath(root / folder)
        if real in seen:  # reached again by a link
            continue
        seen.add(real)
        files, folders = dict[str, str](), []
        with os.scandir(root / folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders.append(entry.name)
                elif what != "places" or entry.name.endswith(SHARD):
                    # A link to nothing is listed as it is; reading it gives the reason why it is left out.
                    status = entry.stat(follow_symlinks=not entry.is_symlink() or entry.is_file())
                    files[entry.name] = f"{status.st_size}:{status.st_mtime_ns}"
        list_mark = files.get(METADATA, list_mark)
        pending += [(f"{folder}{name}/", list_mark) for name in folders]
        try:
            keys = _caption_keys(files, list_mark) if what == "captions" else _keys(files, list_mark)
            chunks.append(strings([f"{folder}{key}" for key in keys]))
        except UnicodeEncodeError as error:
            raise DataSetError(
                f"{root / folder} has a file whose name is not text: {error.object!r}; rename it"
            ) from error
    return pa.chunked_array(chunks)


def _keys(files: dict[str, str], list_mark: str) -> Iterator[str]:
    """The names of files to read, each with the marks of all that its rows depend on."""
    for name, seen in sorted(files.items()):
        mark = f"{seen}:{DECODE_VERSION}"  # another version may accept other images, and see other sizes
        stem, dot, extension = name.rpartition(".")
        if name.endswith(SHARD):
            yield f"{name}\0{mark}\0{_SHARD_READING}"
        elif name == METADATA:
            yield f"{name}\0{mark}"
        elif (dot + extension).lower() in IMAGES:
            captions = (files.get(stem + kind, "") for kind in CAPTIONS)
            yield "\0".join([name, mark, list_mark, *captions])


def _caption_keys(files: dict[str, str], list_mark: str) -> Iterator[str]:
    """The names of images that have a caption in a file or a list, each with the marks of all that it depends on."""
    for name in sorted(files):
        stem, dot, extension = name.rpartition(".")
        if (dot + extension).lower() in IMAGES:
            captions = [files.get(stem + kind, "") for kind in CAPTIONS]
            if list_mark or any(captions):
                yield "\0".join([name, list_mark, *captions])


def _looked_at(
    new: pa.ChunkedArray,
    look: Callable[[str], list[Row]],
    ranks: Ranks,
    threads: ThreadPoolExecutor,
    files_a_time: int,
) -> Iterator[list[Row]]:
    """The rows of this rank's part of what is new, those of some files at a time."""
    numbers = ranks.share(range(len(new)))
    count = 0
    with progress(total=len(numbers), desc="scanning", unit="file", disable=not ranks.first) as bar:
        while count < len(numbers):
            files = new.take(pa.array(numbers[count : count + files_a_time])).to_pylist()
            if any(_path(file).endswith(SHARD) for file in files):  # a shard has thousands of rows
                files = files[:_THREADS]
            rows = list(chain.from_iterable(threads.map(look, files)))
            count += len(files)
            bar.update(len(files))
            yield rows


def _parts(portions: Iterator[list[Row]], rows_a_part: int) -> Iterator[list[Row]]:
    """Join portions of rows to parts of at least so many rows, but for the last."""
    part: list[Row] = []
    for rows in portions:
        part += rows
        if len(part) >= rows_a_part:
            yield part
            part = []
    if part:
        yield part


def _remembered(place: Path) -> list[Path]:
    """The file that lists everything, and then the parts of scans that did not end."""
    return sorted(place.parent.glob(f"{place.stem}*.parquet"), key=lambda path: path != place)


def _known(place: Path) -> pa.ChunkedArray:
    """The files that were read, with their marks, each once."""
    chunks = [
        group.column(0)
        for path in _remembered(place)
        for group in parquet.ParquetFile(path).iter_batches(columns=["file"])
    ]
    return compute.unique(pa.chunked_array(chunks, pa.string()))


def _others(some: pa.ChunkedArray, listed: pa.ChunkedArray) -> pa.ChunkedArray:
    return some.filter(compute.invert(compute.is_in(some, value_set=listed)))


def _write(path: Path, rows: list[Row]) -> None:
    with replacing(path) as beside:
        parquet.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), beside)


def _merge(place: Path, files: pa.ChunkedArray) -> None:
    """Merge all parts into one file, in the order of paths, without files that are gone."""
    parts = _remembered(place)
    whole = _SCHEMA.empty_table()
    for part in parts:
        table = parquet.read_table(part, schema=_SCHEMA)
        is_new = compute.invert(compute.is_in(table["file"], value_set=compute.unique(whole["file"])))
        whole = pa.concat_tables([whole, table.filter(is_new)])
    whole = whole.filter(compute.is_in(whole["file"], value_set=files))
    whole = whole.sort_by([("path", "ascending"), ("offset", "ascending")])
    with replacing(place) as beside:
        parquet.write_table(whole, beside, row_group_size=_ROWS_A_GROUP, compression="zstd")
    for part in parts:
        if part != place:
            part.unlink()


def _path(file: str) -> str:
    return file.partition("\0")[0]
