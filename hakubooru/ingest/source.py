"""Sources of a build: dumps, each with the record map by which its records are read and checked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hakubooru.errors import DumpError, IncompleteError
from hakubooru.ingest.batches import Batch, Where
from hakubooru.ingest.maps import COLUMNS
from hakubooru.ingest.post_tags import NameNumbers
from hakubooru.ingest.records import RecordReader
from hakubooru.ingest.relational import TagRows
from hakubooru.ingest.sets import unknown_keys
from hakubooru.ingest.taglist import KnownTag
from hakubooru.quantity import quantity
from hakubooru.store.sites import RATINGS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hakubooru.ingest.dumps import Dump
    from hakubooru.ingest.maps import RecordMap
    from hakubooru.ingest.records import Posts

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
        rest = (
            f"; {quantity(self.passed_over, 'file beside them was', 'files beside them were')} passed over"
            if self.passed_over
            else ""
        )
        return f"{self.path}: {self.form}, {self.records}{rest}"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that is not valid."""

    where: Where
    """The place of the record."""
    reason: str
    """Why the record is not valid."""
    record: object
    """The record, or its text if that cannot be decoded."""


@dataclass(slots=True)
class Part:
    """A part of a source that was read and checked."""

    posts: Posts | None = None
    """The valid posts, if there are any."""
    tags: list[KnownTag] = field(default_factory=list)
    """Tags of the source's own table."""
    rejected: list[Rejected] = field(default_factory=list)
    """The records that are not valid."""
    bytes_read: int = 0
    """How many bytes of the source's files have been read so far."""


@dataclass(frozen=True)
class Summary:
    """What a source turned out to be once all of it was read."""

    recognised: Recognised
    """What it was recognised as."""
    absent: frozenset[str]
    """The columns that no record had a key for."""
    lacks_general: bool
    """Whether it is of Danbooru, and has the rating s, read as sensitive, but never g."""


def read_sources(
    sources: Sequence[tuple[Dump, RecordMap]], *, strict: bool, old_ratings: bool
) -> Iterator[Part | Summary]:
    """Iterate over the parts of all sources, with a summary after those of each.

    Args:
        sources: dumps, and the maps of their records.
        strict: raise an error for the first bad record, instead of rejecting it.
        old_ratings: the dumps are from before May 2022, when the rating s meant safe: s becomes general.

    Raises:
        DumpError: a dump cannot be read, or has newer ratings despite `old_ratings`.
        IncompleteError: a record is bad and `strict` is set.
    """
    vocabulary = NameNumbers()
    for dump, by in sources:
        source = _Source(dump, RecordReader(by, vocabulary), strict=strict, old_ratings=old_ratings)
        yield from source.parts()
        yield source.summary()


class _Source:
    """A dump and the reader of its records; the other arguments are those of `read_sources`."""

    def __init__(self, dump: Dump, reader: RecordReader, *, strict: bool, old_ratings: bool) -> None:
        self.dump = dump
        self.reader = reader
        self._strict = strict
        self._old_ratings = old_ratings
        self._ratings: Counter[int | None] = Counter()

    def summary(self) -> Summary:
        """What the dump turned out to be."""
        is_danbooru = self.reader.map.site == "danbooru" and not self._old_ratings
        return Summary(
            recognised=Recognised(
                path=self.dump.path,
                form=self.dump.form,
                records=self.reader.map.name,
                passed_over=self.dump.passed_over,
            ),
            absent=frozenset(COLUMNS) - self.reader.columns_seen(),
            lacks_general=is_danbooru and self._ratings[_SENSITIVE] > 0 and not self._ratings[_GENERAL],
        )

    def parts(self) -> Iterator[Part]:
        """Iterate over the tags of the dump's own table, if it has one, and over its records."""
        for batch in self.dump.batches(self._choose):
            if isinstance(batch, TagRows):
                part = Part(tags=self._tags(batch))
            elif isinstance(batch, Batch):
                part = self._checked(batch)
            else:
                reason = batch.reason or "the record must be an object with the fields of a post"
                record = batch.text if batch.reason else batch.value
                part = Part(rejected=[Rejected(Where(batch.name, batch.unit, batch.number), reason, record)])
            for reject in part.rejected if self._strict else ():
                raise IncompleteError(f"{reject.where}: {reject.reason}; correct it, or leave out --strict")
            part.bytes_read = self.dump.bytes_read()
            yield part

    def _choose(self, keys: set[str]) -> Sequence[str]:
        own = self.reader.map
        if missing := own.missing(keys):
            raise DumpError(
                f"{self.dump.path} has a file with {unknown_keys(keys)}, which lacks {missing}; the first one has {own.name}: "
                "name only the files of posts"
            )
        return self.reader.choose(keys)

    def _tags(self, batch: TagRows) -> list[KnownTag]:
        names, types, ids = (batch.column(name) or () for name in ("name", "type", "id"))
        return [
            KnownTag(self.reader.plain(name), kind, number)
            for name, kind, number in zip(names, types, ids, strict=True)
        ]

    def _checked(self, batch: Batch) -> Part:
        posts, reasons = self.reader.read(batch)
        if self._old_ratings:
            posts = self._with_old_ratings(batch, posts)
        rejected = [
            Rejected(batch.where(place), reasons[place], batch.record(place)) for place in sorted(reasons)
        ]
        self._ratings.update(posts.ratings())
        return Part(posts if len(posts) else None, rejected=rejected)

    def _with_old_ratings(self, batch: Batch, posts: Posts) -> Posts:
        for place, rating in enumerate(self.reader.values(batch, "rating") or ()):
            if rating in _NEW_RATINGS:
                raise DumpError(
                    f"{batch.where(place)} has the rating {rating}, so the dump is not from "
                    "before May 2022: leave out --old-ratings"
                )
        return posts.with_ratings(
            [_GENERAL if rating == _SENSITIVE else rating for rating in posts.ratings()]
        )
