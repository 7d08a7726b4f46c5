"""`manifest.parquet`: a row for every selected post, in the order of ids, with its image or why it has none."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hakubooru.arrays import id_text, integers, strings
from hakubooru.errors import DestinationError, InputError
from hakubooru.export.pairs import Pair
from hakubooru.export.sinks import SINKS
from hakubooru.files import replacing
from hakubooru.image.decode import STORED_SIZES
from hakubooru.store.sites import DANBOORU

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from hakubooru.arrays import Ids
    from hakubooru.export.journal import Journal
    from hakubooru.store.store import Store

MANIFEST: Final = "manifest.parquet"
REJECTS: Final = "rejects.jsonl"

_ROWS_A_GROUP: Final = 4_000
_BUFFER: Final = 2**20
"""The bytes of a manifest that are read at a time."""
_AMONG: Final = "IN (SELECT value FROM json_each(?))"
_SINK: Final = b"hakubooru.sink"
_SITE: Final = b"hakubooru.site"
_DECODING: Final = b"hakubooru.decoding"

_NO_IMAGE: Final = {
    "mp4": "a video (mp4)",
    "webm": "a video (webm)",
    "zip": "an animation (ugoira)",
    "swf": "Flash (swf)",
}


@dataclass
class Tally:
    """Counts over the rows of a manifest."""

    exported: int = 0
    """How many images were exported."""
    bytes: int = 0
    """Bytes of the exported images."""
    left_out: Counter[str] = field(default_factory=Counter)
    """How many posts were not exported, by reason."""


def write_manifest(
    path: Path, ids: Ids, database: Store, journal: Journal, sink: str, *, decoding: int
) -> Tally:
    """Write the manifest, some thousand posts at a time; the same journal gives the same bytes.

    Columns; a value that does not apply is null:

    - `id`: int64; null for a user's own images, which come after all posts.
    - `path`: below the export's folder.
    - `status`: exported, broken (the file is not whole), unfit (`[image]` leaves it out), duplicate (another image has
      the same `sha256`) or missing.
    - `reason`: why the post was not exported.
    - `width`, `height`, `bytes`: of the exported file; the sides are pixels, upright.
    - `sha256`: of the exported file, hexadecimal.
    - `rating`: by name.
    - `caption`: the text.
    - `parts`: a JSON object that says how many of the caption's tags each part has, in the caption's order.

    The file's metadata has the sink's name as `hakubooru.sink`, the version of decoding as `hakubooru.decoding`, and the
    site of the ids as `hakubooru.site` if it is not Danbooru.

    Args:
        path: the file to write.
        ids: every selected post, and the numbers of own images, ascending.
        database: the posts' database.
        journal: the export's journal.
        sink: the name of the export's sink.
        decoding: the version of decoding that the export was begun with.

    Raises:
        InputError: the database does not have one of the posts.
    """
    import pyarrow as pa  # noqa: PLC0415 - takes a while, and only a finished export needs it
    from pyarrow import parquet  # noqa: PLC0415

    schema = _schema().with_metadata({_SINK: sink, _DECODING: str(decoding), **_site(database)})
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


def _schema() -> pa.Schema:
    """The columns of a manifest."""
    import pyarrow as pa  # noqa: PLC0415 - takes a while, and only a finished export needs it

    return pa.schema(
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
        ]
    )


def _site(database: Store) -> dict[bytes, str]:
    """The site of the ids as metadata; nothing for Danbooru, whose manifests have never had it."""
    site = database.about.site
    return {} if site == DANBOORU else {_SITE: site.name}


def write_rejects(path: Path, journal: Journal) -> None:
    """Write a line of JSON for every refused member of an archive: archive, member and reason.

    Of the members of one archive that are not images of posts, the first thousand for each reason are written.
    """
    with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="\n") as file:
        for reject in journal.rejects():
            file.write(json.dumps(reject, ensure_ascii=False) + "\n")


def _columns(ids: Ids, database: Store, journal: Journal) -> dict[str, Sequence[Any]]:
    """Return the values of each column for some posts, or for some own images."""
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
        stored = database.rows(f"SELECT id FROM post WHERE id {_AMONG}", [id_text(ids)])
        missing = min(set(ids.tolist()).difference(number for (number,) in stored))
        raise InputError(
            f"{database.path} has no post {missing}, but it is selected; use the database that the export was begun with"
        )
    by_number = database.about.site.ratings
    return columns | {"rating": [None if rating is None else by_number[rating] for (rating,) in ratings]}


def _left_out(ids: Ids, database: Store, journal: Journal) -> Iterator[tuple[Any, ...]]:
    """Yield the fields of a pair, status and reason for posts that were not exported; None for what does not apply."""
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
    """Yield the rows of a manifest, some at a time.

    Args:
        out: the export's folder.
        columns: the columns to read.
        rows_a_batch: rows in each list.

    Raises:
        DestinationError: the manifest is damaged, or lacks a column.
    """
    with _opened(out / MANIFEST) as file:
        if missing := set(columns).difference(file.schema_arrow.names):
            raise DestinationError(
                f"{out / MANIFEST} has no column {', '.join(sorted(missing))}; export again into the same folder"
            )
        if other := [name for name in columns if not _is_of_kind(file.schema_arrow.field(name))]:
            raise DestinationError(
                f"{out / MANIFEST} is damaged: {', '.join(other)} has values of another kind; export again into the same folder"
            )
        for batch in file.iter_batches(rows_a_batch, columns=list(columns)):
            yield batch.to_pylist()


def _is_of_kind(column: pa.Field) -> bool:
    """Whether a column has whole numbers or text, as the column of its name has."""
    from pyarrow import types  # noqa: PLC0415 - takes a while

    if types.is_integer(_schema().field(column.name).type):
        return bool(types.is_integer(column.type))
    return bool(types.is_string(column.type) or types.is_large_string(column.type))


def sink_of(out: Path) -> str:
    """Return the name of the sink that an export was written to.

    Raises:
        DestinationError: the manifest is damaged, or names no sink of this version.
    """
    path = out / MANIFEST
    with _opened(path) as file:
        value: bytes = (file.schema_arrow.metadata or {}).get(_SINK, b"")
    name = value.decode(errors="replace")
    if name not in SINKS:
        raise DestinationError(
            f"{path} names {f'the sink {name!r}' if name else 'no sink'} in its metadata (hakubooru.sink), which this "
            "version of hakubooru does not have; export again into the same folder with the version that wrote it"
        )
    return name


def has_stored_sizes(out: Path) -> bool:
    """Return whether a manifest of an earlier version holds sizes of pictures as stored, before EXIF turns them.

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
        # By itself Arrow reads whole columns ahead, and keeps them.
        with parquet.ParquetFile(
            path, page_checksum_verification=True, pre_buffer=False, buffer_size=_BUFFER
        ) as file:
            yield file
    except PermissionError as error:
        raise DestinationError(f"{path} cannot be read ({error.strerror}); change its permissions") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DestinationError(f"{path} is damaged ({error}); export again into the same folder") from error
