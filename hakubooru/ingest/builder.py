"""`build`: from dumps to a metadata database."""

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
"""Posts a transaction; some 100 MB of memory, and a few seconds to do again where it is interrupted."""

_KEYS: Final = (*COLUMNS, "tag_string", *TAG_COLUMNS)
_RATING: Final = COLUMNS.index("rating")
_NEW_RATINGS: Final = ("g", "general", "sensitive")
_GENERAL, _SENSITIVE = RATINGS.index("general"), RATINGS.index("sensitive")


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """What a build did."""

    path: Path
    """The database."""
    new: int
    """Posts that the file did not have."""
    updated: int
    """Posts of which the dumps have a newer record."""
    unchanged: int
    """Records that the file had the same already, or a newer one of the same post."""
    rejected: int
    """Records that were refused; `rejects` says why."""
    rejects: Path | None
    """JSON lines with the refused records, their places and the reasons; None where none was refused."""
    dumps_without_general: tuple[Path, ...]
    """Dumps with the rating s but without g: they may be from before May 2022, when s meant safe."""
    seconds: float

    @property
    def read(self) -> int:
        """Records that were read."""
        return self.new + self.updated + self.unchanged + self.rejected


def build(
    dumps: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    tags: str | os.PathLike[str] | None = None,
    strict: bool = False,
    old_ratings: bool = False,
) -> BuildReport:
    """Make a metadata database of dumps, or bring an existing one up to date with them.

    The record with the newer `updated_at` counts, tags included; the same dump twice changes nothing, and several
    dumps in any order give the same tables. A new database is built in `OUT.building` and renamed when it is whole; an
    existing one is changed in place, a batch of posts a transaction. Killed at any point, either is left as after
    a whole batch, and the same call completes it.

    Dates are written as Danbooru writes them, in its own time zone, whatever zone a dump has them in. A record whose
    date names no zone is refused, since its year may be the wrong one.

    Args:
        dumps: posts of Danbooru's API as JSON lines, a JSON array (both also gzipped, or in a tar) or Parquet.
        out: the database file.
        tags: what is known of tags: Danbooru's tag objects, which give real ids and types (a tag that is not
            among them gets an id above the largest known), or a CSV of name, category, count and aliases, which
            gives types.
        strict: stop at the first bad record, where otherwise it goes to `OUT.rejects.jsonl`.
        old_ratings: the dumps are from before May 2022, when the rating s meant safe: it becomes general.

    Raises:
        DumpError: a dump or the list of tags cannot be read, or holds no post; or one is not as old as is said.
        DatabaseFileError: `out` is not a file that can be written.
        IncompleteError: a bad record where `strict`, or no room on the disk.
    """
    started = time.perf_counter()
    paths = [Path(dump) for dump in dumps]
    if not paths:
        raise DumpError("no dump was named; name at least one")
    for path in paths:
        with open_dump(path):  # a mistyped name is told before anything is written
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
            refused = (
                f"; {rejects.count:,} records were refused, as {rejects.path} says" if rejects.count else ""
            )
            raise DumpError(f"no post in {', '.join(map(str, paths))}{refused}")
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
    """Turns what a dump holds into batches of records."""

    def __init__(self, dump: Dump, rejects: Rejects, *, strict: bool, old_ratings: bool) -> None:
        self._dump = dump
        self._rejects = rejects
        self._strict = strict
        self._old_ratings = old_ratings
        self._ratings: Counter[int] = Counter()

    def batches(self) -> Iterator[list[Record]]:
        """The records, a transaction's worth at a time."""
        records = self._records()
        while batch := list(islice(records, BATCH)):
            yield batch

    def lacks_general(self) -> bool:
        """Whether the letter s was met, and taken for sensitive, but never g."""
        return not self._old_ratings and self._ratings[_SENSITIVE] > 0 and not self._ratings[_GENERAL]

    def _records(self) -> Iterator[Record]:
        for found in self._dump:
            try:
                if found.reason:
                    raise BadRecordError(found.reason)  # noqa: TRY301 - refused like what is read but no post
                record = read_record(found.value, old_ratings=self._old_ratings)
                if self._old_ratings and found.value["rating"] in _NEW_RATINGS:
                    raise DumpError(
                        f"{self._dump.path}, {found.unit} {found.number:,} has the rating {found.value['rating']}, so the dump "
                        f"is not from before May 2022: leave out --old-ratings"
                    )
            except BadRecordError as error:
                if self._strict:
                    place = f"{self._dump.path}, {found.unit} {found.number:,}"
                    raise IncompleteError(f"{place}: {error}; mend it, or leave out --strict") from error
                self._rejects.add(self._dump.path, found, str(error))
                continue
            self._ratings[record.row[_RATING]] += 1
            yield record


def _learn_known(tag_ids: TagIds, tags: Iterator[KnownTag]) -> None:
    while some := list(islice(tags, BATCH)):
        tag_ids.learn_known(some)
