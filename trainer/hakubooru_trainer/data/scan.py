"""What lies in a folder, looked at once by several threads and remembered: sizes, hashes, captions, places in shards.

    FOLDER/.hakubooru-scan.parquet       a row for each image
    FOLDER/.hakubooru-scan-0-0.parquet   what rank 0 has seen so far; gone when the scan is done

Where the folder cannot be written to, they lie in the user's cache. What has changed since, by its bytes and its time, is
looked at again, and so is an image whose caption has.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import pyarrow as pa
from platformdirs import user_cache_path
from pyarrow import compute, parquet
from tqdm import tqdm

from hakubooru.arrow import strings
from hakubooru.errors import DataSetError
from hakubooru.files import replacing
from hakubooru.image.decode import DECODE_VERSION
from hakubooru_trainer.data.look import CAPTIONS, IMAGES, METADATA, SHARD, CaptionLooker, Looker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hakubooru_trainer.data.look import Row
    from hakubooru_trainer.distributed import Ranks

What: TypeAlias = Literal["images", "places", "captions"]
"""What a scan looks at."""
_STEMS: Final[dict[What, str]] = {
    "images": ".hakubooru-scan",
    "places": ".hakubooru-places",
    "captions": ".hakubooru-captions",
}
_ROWS_A_GROUP: Final = 4_000
"""As in a manifest: what is read for one row."""
_ROWS_A_PART: Final = 50_000
"""What a scan that is killed loses at the most, but for the shards in hand."""
_THREADS: Final = 8
_SHARD_READING: Final = "paired by names"
"""A mark of how shards are read: what was looked at in another way is looked at again."""
_FILES_A_TIME: Final = 256

_SCHEMA: Final = pa.schema(
    [
        pa.field("file", pa.string()),  # what was looked at, with its marks
        pa.field("id", pa.int64()),
        pa.field("path", pa.string()),  # of an image, below the folder; null: there was none
        pa.field("offset", pa.int64()),  # where it begins in its shard; -1: it is a file by itself
        pa.field("bytes", pa.int64()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("sha256", pa.string()),
        pa.field("caption", pa.large_string()),
        pa.field("reason", pa.string()),  # why it cannot be trained on
    ]
)


def scan(root: Path, ranks: Ranks, what: What = "images") -> Path:
    """Look at what is new in a folder, a part on each rank, and give the file that tells of all that is there.

    Args:
        root: the folder, with images, lists of captions and webdataset's shards anywhere below it.
        ranks: of the run.
        what: to look at: images with their captions; or where all else is known, only where images lie in shards
            (`places`), or only captions in files and lists (`captions`).

    Raises:
        DataSetError: the ranks do not share the place that it is remembered in, or a file's name is no text.
    """
    place = _place(root, _STEMS[what])
    found = _listing(root, what)
    known = _known(place)
    new = _others(found, known)
    is_stale = len(new) > 0 or len(known) + len(new) > len(found) or _remembered(place) != [place]
    if not any(ranks.any(is_stale)):  # all know now what is new
        return place
    look = CaptionLooker(root) if what == "captions" else Looker(root, places_only=what == "places")
    first = len(_remembered(place))  # no part of ours has this number, or a higher one
    with ThreadPoolExecutor(_THREADS) as threads:
        for number, rows in enumerate(_looked_at(new, look, ranks, threads), first):
            _write(place.with_name(f"{place.stem}-{ranks.rank}-{number}.parquet"), rows)
    ranks.wait()
    if ranks.first:
        _merge(place, found)
    ranks.wait()
    if len(_others(found, _known(place))):
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
    """Everything to be looked at, as `path NUL marks`: images, shards, lists of captions."""
    chunks = [pa.array([], pa.string())]
    seen = set[str]()
    pending = [("", "")]
    while pending:
        folder, told = pending.pop()
        real = os.path.realpath(root / folder)
        if real in seen:  # by a link
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
                    status = entry.stat()
                    files[entry.name] = f"{status.st_size}:{status.st_mtime_ns}"
        told = files.get(METADATA, told)
        pending += [(f"{folder}{name}/", told) for name in folders]
        try:
            keys = _caption_keys(files, told) if what == "captions" else _keys(files, told)
            chunks.append(strings([f"{folder}{key}" for key in keys]))
        except UnicodeEncodeError as error:
            raise DataSetError(
                f"{root / folder} has a file whose name is no text: {error.object!r}; give it another"
            ) from error
    return pa.chunked_array(chunks)


def _keys(files: dict[str, str], told: str) -> Iterator[str]:
    """The names of what is to be looked at, each with the marks of all that it depends on."""
    for name, seen in sorted(files.items()):
        mark = f"{seen}:{DECODE_VERSION}"  # another version may take other images, and see other sizes
        stem, dot, extension = name.rpartition(".")
        if name.endswith(SHARD):
            yield f"{name}\0{mark}\0{_SHARD_READING}"
        elif name == METADATA:
            yield f"{name}\0{mark}"
        elif (dot + extension).lower() in IMAGES:
            captions = (files.get(stem + kind, "") for kind in CAPTIONS)
            yield "\0".join([name, mark, told, *captions])


def _caption_keys(files: dict[str, str], told: str) -> Iterator[str]:
    """The names of images that have a caption in a file, each with the marks of all that it depends on."""
    for name in sorted(files):
        stem, dot, extension = name.rpartition(".")
        if (dot + extension).lower() in IMAGES:
            captions = [files.get(stem + kind, "") for kind in CAPTIONS]
            if told or any(captions):
                yield "\0".join([name, told, *captions])


def _looked_at(
    new: pa.ChunkedArray, look: Callable[[str], list[Row]], ranks: Ranks, threads: ThreadPoolExecutor
) -> Iterator[list[Row]]:
    """This rank's part of what is new, in portions."""
    mine = ranks.share(range(len(new)))
    rows: list[Row] = []
    done = 0
    with tqdm(total=len(mine), desc="scanning", unit="file", disable=None if ranks.first else True) as bar:
        while done < len(mine):
            some = new.take(pa.array(mine[done : done + _FILES_A_TIME])).to_pylist()
            if any(_path(file).endswith(SHARD) for file in some):  # each has thousands of rows
                some = some[:_THREADS]
            for found in threads.map(look, some):
                rows += found
            done += len(some)
            bar.update(len(some))
            if len(rows) >= _ROWS_A_PART:
                yield rows
                rows = []
    if rows:
        yield rows


def _remembered(place: Path) -> list[Path]:
    """The file that tells of all, and what scans left that were not ended."""
    return sorted(place.parent.glob(f"{place.stem}*.parquet"), key=lambda path: path != place)


def _known(place: Path) -> pa.ChunkedArray:
    """What was looked at, with its marks, each once."""
    chunks = [
        group.column(0)
        for path in _remembered(place)
        for group in parquet.ParquetFile(path).iter_batches(columns=["file"])
    ]
    return compute.unique(pa.chunked_array(chunks, pa.string()))


def _others(some: pa.ChunkedArray, known: pa.ChunkedArray) -> pa.ChunkedArray:
    return some.filter(compute.invert(compute.is_in(some, value_set=known)))


def _write(path: Path, rows: list[Row]) -> None:
    with replacing(path) as beside:
        parquet.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), beside)


def _merge(place: Path, found: pa.ChunkedArray) -> None:
    """One file of all parts, in the order of paths, without what is gone."""
    parts = _remembered(place)
    whole = _SCHEMA.empty_table()
    for part in parts:
        table = parquet.read_table(part, schema=_SCHEMA)
        is_new = compute.invert(compute.is_in(table["file"], value_set=compute.unique(whole["file"])))
        whole = pa.concat_tables([whole, table.filter(is_new)])
    whole = whole.filter(compute.is_in(whole["file"], value_set=found))
    whole = whole.sort_by([("path", "ascending"), ("offset", "ascending")])
    with replacing(place) as beside:
        parquet.write_table(whole, beside, row_group_size=_ROWS_A_GROUP, compression="zstd")
    for part in parts:
        if part != place:
            part.unlink()


def _path(file: str) -> str:
    return file.partition("\0")[0]
