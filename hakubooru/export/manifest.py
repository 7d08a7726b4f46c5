"""`manifest.parquet`: every selected post, in the order of ids, and what became of it."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hakubooru.arrow import integers, strings
from hakubooru.errors import DestinationError, InputError
from hakubooru.export.records import Pair
from hakubooru.export.sinks import SINKS
from hakubooru.files import replacing
from hakubooru.image.decode import STORED_SIZES
from hakubooru.store.schema import RATINGS
from hakubooru.store.sql import id_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hakubooru.arrays import Ids
    from hakubooru.export.journal import Journal
    from hakubooru.store.store import Store

MANIFEST: Final = "manifest.parquet"
REJECTS: Final = "rejects.jsonl"

_ROWS_A_GROUP: Final = 4_000
_AMONG: Final = "IN (SELECT value FROM json_each(?))"
_SINK: Final = b"hakubooru.sink"
_DECODING: Final = b"hakubooru.decoding"

_NO_IMAGE: Final = {
    "mp4": "a video (mp4)",
    "webm": "a video (webm)",
    "zip": "an animation (ugoira)",
    "swf": "Flash (swf)",
}


@dataclass
class Tally:
    """What a manifest comes to."""

    exported: int = 0
    bytes: int = 0
    """Of the exported images."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Posts that were not exported, by reason."""


def write_manifest(
    path: Path, ids: Ids, database: Store, journal: Journal, sink: str, *, decoding: int
) -> Tally:
    """Write the manifest, some thousand posts at a time; the same journal gives the same bytes.

    Columns: `id` int64, null for a user's own images, which stand behind all posts; `path` below the export's
    folder; `status` exported, broken (not whole), unfit (not what `[image]` takes), duplicate (left out for another
    with the same `sha256`) or missing; `reason` of the last four; `width`, `height` (pixels) and `bytes` of the
    exported file; `sha256`, hexadecimal; `rating`, by name; `caption`; `parts`, a JSON object that says how many of
    the caption's tags each part has, in their order. What does not apply is null. The file's metadata has the
    sink's name as `hakubooru.sink`, and as `hakubooru.decoding` the version of decoding that sizes are of.

    Args:
        path: of the manifest.
        ids: every selected post, and the numbers of own images, ascending.
        database: knows the posts.
        journal: knows what was exported.
        sink: the name of what took the pairs.
        decoding: the version that the export was begun with.

    Raises:
        InputError: the database does not know a post.
    """
    import pyarrow as pa  # noqa: PLC0415 - takes a while, and only a finished export needs it
    from pyarrow import parquet  # noqa: PLC0415

    schema = pa.schema(
        [
            pa.field("id", pa.int64()),
            pa.field("path", pa.string()),
            pa.field("status", pa.string(), nullable=False),
            pa.field("reason", pa.string()),
            pa.field("width", pa.int32()),
            pa.field("height", pa.int32()),
            pa.field("bytes", pa.int64()),
            pa.field("sha256", pa.string()),
            pa.field("rating", pa.string()),
            pa.field("caption", pa.string()),
            pa.field("parts", pa.string()),
        ],
        metadata={_SINK: sink, _DECODING: str(decoding)},
    )
    tally = Tally()
    with (
        replacing(path) as beside,
        parquet.ParquetWriter(beside, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        own, posts = np.split(ids, [np.searchsorted(ids, 0)])
        groups = [
            some[at : at + _ROWS_A_GROUP]
            for some in (posts, own)
            for at in range(0, len(some), _ROWS_A_GROUP)
        ]
        for group in groups:
            columns = _columns(group, database, journal)
            tally.exported += columns["status"].count("exported")
            tally.bytes += sum(filter(None, columns["bytes"]))
            tally.left_out.update(filter(None, columns["reason"]))
            arrays = [
                strings(columns[field.name])
                if field.type == pa.string()
                else integers(columns[field.name], field.type)
                for field in schema
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    return tally


def write_rejects(path: Path, journal: Journal) -> None:
    """Write a line of JSON for every member that no image was taken from; of an archive's, the first thousand of a kind."""
    with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="\n") as file:
        for reject in journal.rejects():
            file.write(json.dumps(reject, ensure_ascii=False) + "\n")


def _columns(ids: Ids, database: Store, journal: Journal) -> dict[str, Sequence[Any]]:
    """The values of each column, of some posts or some own images."""
    low, high = int(ids[0]), int(ids[-1])
    rows = [(*pair, "exported", None) for pair in journal.pairs(low, high)]
    if len(rows) < len(ids):
        others = np.setdiff1d(ids, [row[0] for row in rows], assume_unique=True)
        rows = sorted([*rows, *_left_out(others, database, journal)], key=itemgetter(0))
    names = (*Pair._fields, "status", "reason")
    columns: dict[str, Sequence[Any]] = dict(zip(names, zip(*rows, strict=True), strict=True))
    columns["parts"] = [parts or None for parts in columns["parts"]]
    if low < 0:
        return columns | dict.fromkeys(("id", "rating"), [None] * len(ids))
    ratings = database.rows(f"SELECT rating FROM post WHERE id {_AMONG} ORDER BY id", [id_text(ids)])
    if len(ratings) < len(ids):
        there = database.rows(f"SELECT id FROM post WHERE id {_AMONG}", [id_text(ids)])
        missing = min(set(ids.tolist()).difference(number for (number,) in there))
        raise InputError(
            f"{database.path} has no post {missing}, which was selected; use the database that the export was begun with"
        )
    return columns | {"rating": [RATINGS[rating] for (rating,) in ratings]}


def _left_out(ids: Ids, database: Store, journal: Journal) -> Iterator[tuple[Any, ...]]:
    """The fields of a pair, as far as they apply, status and reason of what was not exported."""
    kinds = {
        post_id: kind
        for post_id, *kind in database.rows(
            f"SELECT id, file_ext, md5 IS NULL FROM post WHERE id {_AMONG}", [id_text(ids)]
        )
    }
    low, high = int(ids[0]), int(ids[-1])
    reasons = journal.reasons(low, high)
    twins = journal.twins(low, high)
    for number in ids.tolist():
        sha256 = twins.get(number)
        if sha256 is not None:
            status, reason = "duplicate", "the same image as another's"
        elif number in reasons:
            status, reason = reasons[number]
        else:
            status, reason = "missing", _why_missing(*kinds.get(number, ("", 0)))
        yield (number, None, None, None, None, sha256, None, None, status, reason)


def _why_missing(extension: str, is_hidden: int) -> str:
    if extension in _NO_IMAGE:
        return _NO_IMAGE[extension]
    return "hidden: banned, or for Gold accounts" if is_hidden else "no archive holds it"


def read_manifest(out: Path, columns: tuple[str, ...], rows_a_batch: int) -> Iterator[list[dict[str, Any]]]:
    """The rows of a manifest, some at a time.

    Raises:
        DestinationError: it is damaged.
    """
    with _opened(out / MANIFEST) as file:
        if missing := set(columns).difference(file.schema_arrow.names):
            raise DestinationError(
                f"{out / MANIFEST} has no column {', '.join(sorted(missing))}; export again into the same folder"
            )
        for batch in file.iter_batches(rows_a_batch, columns=list(columns)):
            yield batch.to_pylist()


def sink_of(out: Path) -> str:
    """The name of the sink that an export was written to.

    Raises:
        DestinationError: the manifest is damaged, or does not say.
    """
    path = out / MANIFEST
    with _opened(path) as file:
        name: bytes = (file.schema_arrow.metadata or {}).get(_SINK, b"")
    found = name.decode(errors="replace")
    if found not in SINKS:
        raise DestinationError(
            f"{path} names {found or 'no sink'} in its metadata (hakubooru.sink), which is none that this version of "
            "hakubooru knows; export again into the same folder with the version that wrote it"
        )
    return found


def has_stored_sizes(out: Path) -> bool:
    """Whether a manifest has the sizes of stored pictures, which EXIF may turn, as those of earlier versions have.

    Raises:
        DestinationError: the manifest is damaged.
    """
    with _opened(out / MANIFEST) as file:
        decoding: bytes = (file.schema_arrow.metadata or {}).get(_DECODING, b"")
    return decoding in (b"", b"%d" % STORED_SIZES)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import pyarrow as pa  # noqa: PLC0415 - takes a while
    from pyarrow import parquet  # noqa: PLC0415

    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except PermissionError as error:
        raise DestinationError(f"{path} cannot be read: {error.strerror}; allow it") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DestinationError(f"{path} is damaged ({error}); export again into the same folder") from error
