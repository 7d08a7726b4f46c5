"""`build`: make or update a metadata database from dumps."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hakubooru.errors import DumpError, IncompleteError
from hakubooru.ingest.dumps import Dump, open_dump
from hakubooru.ingest.known import read_known_tags
from hakubooru.ingest.posts import PostWriter
from hakubooru.ingest.records import COLUMNS, TAG_COLUMNS, BadRecordError, Record, read_record
from hakubooru.ingest.rejects import Rejects
from hakubooru.ingest.tag_ids import TagIds
from hakubooru.ingest.target import open_target
from hakubooru.progress import progress
from hakubooru.store.schema import RATINGS
from hakubooru.store.writing import transaction

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from tqdm import tqdm

    from hakubooru.ingest.known import KnownTag

BATCH: Final = 20_000
"""How many posts are written in a transaction. It takes 100 MB of memory; an interruption loses a few seconds."""

_KEYS: Final = (*COLUMNS, "tag_string", *TAG_COLUMNS)
_RATING: Final = COLUMNS.index("rating")
_NEW_RATINGS: Final = ("g", "general", "sensitive")
_GENERAL, _SENSITIVE = RATINGS.index("general"), RATINGS.index("sensitive")


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """The result of a build: counts of records and the paths of its files."""

    path: Path
    """The path of the database."""
    new: int
    """How many posts the file did not have before."""
    updated: int
    """How many posts were replaced by a newer record of the dumps."""
    unchanged: int
    """How many records changed nothing: the file had the same record, or a newer one of the same post."""
    rejected: int
    """How many records were rejected; the file `rejects` has the reasons."""
    rejects: Path | None
    """The path of the rejected records, JSON lines with places and reasons; None if no record was rejected."""
    dumps_without_general: tuple[Path, ...]
    """The dumps with the rating s but without g: they may be from before May 2022, when s meant safe."""
    seconds: float
    """How long the build took."""

    @property
    def read(self) -> int:
        """How many records were read."""
        return self.new + self.updated + self.unchanged + self.rejected


def build(
    dumps: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    tags: str | os.PathLike[str] | None = None,
    strict: bool = False,
    old_ratings: bool = False,
) -> BuildReport:
    """Build a metadata database from dumps, or update an existing one with them.

    For each post, the record with the newest `updated_at` is kept, with its tags. A dump that is read twice changes
    nothing the second time. Several dumps give the same tables in any order.

    A new database is written to `OUT.building` and renamed when it is complete. An existing one is changed in place, one
    transaction for each batch of posts. If the build is killed, the same call continues after the last full batch.

    Dates are converted to Danbooru's own time zone. A record whose date names no time zone is rejected, because its
    year is not certain.

    Args:
        dumps: posts of Danbooru's API as JSON lines, a JSON array (both also gzipped, or in a tar) or Parquet.
        out: the path of the database.
        tags: a list of tags: Danbooru's tag objects, which have real ids and types (any other tag gets an id above
            the largest of these), or a CSV of name, category, count and aliases, which has types.
        strict: stop at the first bad record; by default, bad records go to `OUT.rejects.jsonl`.
        old_ratings: the dumps are from before May 2022, when the rating s meant safe: s becomes general.

    Raises:
        DumpError: a dump or the list of tags cannot be read, has no post, or has newer ratings despite `old_ratings`.
        DatabaseFileError: `out` cannot be written, or is not a metadata database.
        IncompleteError: a record is bad and `strict` is set, or the disk is full.
    """
    started = time.perf_counter()
    paths = [Path(dump) for dump in dumps]
    if not paths:
        raise DumpError("build() needs at least one dump: build(['posts.json'], 'posts.db')")
    for path in paths:
        with open_dump(path):  # finds a mistyped name before anything is written
            pass
    out = Path(out)
    counts: Counter[str] = Counter()
    without_general = []
    with open_target(out, paths) as target, Rejects(out.with_name(out.name + ".rejects.jsonl")) as rejects:
        tag_ids = TagIds(target.connection)
        if tags is not None:
            with transaction(target.connection):
                _learn_known(tag_ids, read_known_tags(Path(tags)))
        writer = PostWriter(target.connection, tag_ids)
        for dump, bar in _open_in_turn(paths):
            reader = _Reader(dump, rejects, strict=strict, old_ratings=old_ratings)
            for batch in reader.batches():
                with transaction(target.connection):
                    counts.update(vars(writer.write(batch)))
                bar.update(dump.bytes_read() - bar.n)
            if reader.lacks_general():
                without_general.append(dump.path)
        if not counts.total():
            rejections = (
                f"; {rejects.count:,} records were rejected, for the reasons in {rejects.path}"
                if rejects.count
                else ""
            )
            raise DumpError(f"there are no posts in {', '.join(map(str, paths))}{rejections}")
        target.finish(tag_ids, in_order=len(paths) > 1)
    return BuildReport(
        path=out,
        new=counts["new"],
        updated=counts["updated"],
        unchanged=counts["unchanged"],
        rejected=rejects.count,
        rejects=rejects.path if rejects.count else None,
        dumps_without_general=tuple(without_general),
        seconds=time.perf_counter() - started,
    )


def _open_in_turn(paths: Sequence[Path]) -> Iterator[tuple[Dump, tqdm[Any]]]:
    for path in paths:
        with (
            open_dump(path, _KEYS) as dump,
            progress(total=path.stat().st_size, desc=path.name, unit="B", unit_scale=True) as bar,
        ):
            yield dump, bar


class _Reader:
    """A reader of a dump that gives batches of checked records, and rejects the others."""

    def __init__(self, dump: Dump, rejects: Rejects, *, strict: bool, old_ratings: bool) -> None:
        self._dump = dump
        self._rejects = rejects
        self._strict = strict
        self._old_ratings = old_ratings
        self._ratings: Counter[int] = Counter()

    def batches(self) -> Iterator[list[Record]]:
        """Iterate over lists of records, one list for each transaction."""
        records = self._records()
        while batch := list(islice(records, BATCH)):
            yield batch

    def lacks_general(self) -> bool:
        """Whether the dump has the rating s, read as sensitive, but never g."""
        return not self._old_ratings and self._ratings[_SENSITIVE] > 0 and not self._ratings[_GENERAL]

    def _records(self) -> Iterator[Record]:
        for entry in self._dump:
            try:
                if entry.reason:
                    raise BadRecordError(entry.reason)  # noqa: TRY301 - one handler for all bad records
                record = read_record(entry.value, old_ratings=self._old_ratings)
                if self._old_ratings and entry.value["rating"] in _NEW_RATINGS:
                    raise DumpError(
                        f"{self._dump.path}, {entry.unit} {entry.number:,} has the rating {entry.value['rating']}, so the dump "
                        f"is not from before May 2022: leave out --old-ratings"
                    )
            except BadRecordError as error:
                if self._strict:
                    place = f"{self._dump.path}, {entry.unit} {entry.number:,}"
                    raise IncompleteError(f"{place}: {error}; correct it, or leave out --strict") from error
                self._rejects.add(self._dump.path, entry, str(error))
                continue
            self._ratings[record.row[_RATING]] += 1
            yield record


def _learn_known(tag_ids: TagIds, tags: Iterator[KnownTag]) -> None:
    while batch := list(islice(tags, BATCH)):
        tag_ids.learn_known(batch)
