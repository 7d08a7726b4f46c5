"""A source of a build: a dump, and the record map by which its records are read and checked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hakubooru.errors import DumpError, IncompleteError
from hakubooru.ingest.batches import Batch, Where
from hakubooru.ingest.maps import COLUMNS
from hakubooru.ingest.records import RecordReader
from hakubooru.ingest.relational import TagRows
from hakubooru.ingest.sets import unknown_keys
from hakubooru.ingest.taglist import KnownTag
from hakubooru.store.sites import RATINGS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hakubooru.ingest.dumps import Dump
    from hakubooru.ingest.json_text import Entry
    from hakubooru.ingest.maps import RecordMap
    from hakubooru.ingest.records import Record
    from hakubooru.ingest.rejects import Rejects

_RATING: Final = COLUMNS.index("rating")
_NEW_RATINGS: Final = ("g", "general", "sensitive")
_GENERAL, _SENSITIVE = RATINGS.index("general"), RATINGS.index("sensitive")


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """What a dump was recognised as."""

    path: Path
    """The path of the dump."""
    form: str
    """The form of its files, such as "JSON in gzip"."""
    records: str
    """The name of the record map by which its records were read."""
    passed_over: int
    """How many files of a folder or an archive hold no records and were passed over."""

    def __str__(self) -> str:
        rest = f"; {self.passed_over:,} files beside them were passed over" if self.passed_over else ""
        return f"{self.path}: {self.form}, {self.records}{rest}"


class Source:
    """A dump and the reader of its records.

    Args:
        dump: the files.
        by: the map of its records.
        strict: raise an error for the first bad record, instead of rejecting it.
        old_ratings: the dump is from before May 2022, when the rating s meant safe: s becomes general.
    """

    def __init__(self, dump: Dump, by: RecordMap, *, strict: bool = False, old_ratings: bool = False) -> None:
        self.dump = dump
        self.reader = RecordReader(by)
        self._strict = strict
        self._old_ratings = old_ratings
        self._ratings: Counter[int | None] = Counter()

    def recognised(self) -> Recognised:
        """What the dump was recognised as."""
        return Recognised(
            path=self.dump.path,
            form=self.dump.form,
            records=self.reader.map.name,
            passed_over=self.dump.passed_over,
        )

    def absent(self) -> frozenset[str]:
        """The columns that no record had a key for."""
        return frozenset(COLUMNS) - self.reader.columns_seen()

    def lacks_general(self) -> bool:
        """Whether the dump is of Danbooru, and has the rating s, read as sensitive, but never g."""
        is_danbooru = self.reader.map.site == "danbooru" and not self._old_ratings
        return is_danbooru and self._ratings[_SENSITIVE] > 0 and not self._ratings[_GENERAL]

    def records(self, rejects: Rejects) -> Iterator[Record | KnownTag]:
        """Iterate over the tags of the dump's own table, if it has one, and over the valid records; reject the others."""
        for batch in self.dump.batches(self._choose):
            if isinstance(batch, TagRows):
                yield from self._tags(batch)
            elif isinstance(batch, Batch):
                yield from self._valid(batch, rejects)
            else:
                self._reject_entry(batch, rejects)

    def _choose(self, keys: set[str]) -> Sequence[str]:
        own = self.reader.map
        if missing := own.missing(keys):
            raise DumpError(
                f"{self.dump.path} has a file with {unknown_keys(keys)}, which lacks {missing}; the first one has {own.name}: "
                "name only the files of posts"
            )
        return self.reader.choose(keys)

    def _tags(self, batch: TagRows) -> Iterator[KnownTag]:
        names, types, ids = (batch.columns[name] for name in ("name", "type", "id"))
        for name, kind, number in zip(names, types, ids, strict=True):
            yield KnownTag(self.reader.plain(name), kind, number)

    def _valid(self, batch: Batch, rejects: Rejects) -> Iterator[Record]:
        records, reasons = self.reader.read(batch)
        if self._old_ratings:
            records = self._with_old_ratings(batch, records)
        for place in sorted(reasons):
            self._reject(rejects, batch.where(place), reasons[place], batch.record(place))
        self._ratings.update(record.row[_RATING] for record in records)
        yield from records

    def _with_old_ratings(self, batch: Batch, records: Sequence[Record]) -> list[Record]:
        for place, rating in enumerate(self.reader.values(batch, "rating") or ()):
            if rating in _NEW_RATINGS:
                raise DumpError(
                    f"{batch.where(place)} has the rating {rating}, so the dump is not from "
                    "before May 2022: leave out --old-ratings"
                )
        return [
            record.with_rating(_GENERAL) if record.row[_RATING] == _SENSITIVE else record
            for record in records
        ]

    def _reject_entry(self, entry: Entry, rejects: Rejects) -> None:
        reason = entry.reason or "the record must be an object with the fields of a post"
        record = entry.text if entry.reason else entry.value
        self._reject(rejects, Where(entry.name, entry.unit, entry.number), reason, record)

    def _reject(self, rejects: Rejects, where: Where, reason: str, record: object) -> None:
        if self._strict:
            raise IncompleteError(f"{where}: {reason}; correct it, or leave out --strict")
        rejects.add(*where, reason, record)
