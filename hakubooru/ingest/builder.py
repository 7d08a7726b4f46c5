"""`build`: make or update a metadata database from the sets that people publish."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hakubooru.errors import DatabaseFileError, DumpError, IncompleteError
from hakubooru.ingest.batches import Batch
from hakubooru.ingest.download import local_paths
from hakubooru.ingest.dumps import find_dumps
from hakubooru.ingest.maps import COLUMNS, read_map
from hakubooru.ingest.posts import PostWriter
from hakubooru.ingest.records import Record, RecordReader
from hakubooru.ingest.rejects import Rejects
from hakubooru.ingest.relational import TagRows
from hakubooru.ingest.sets import recognise, unknown_keys
from hakubooru.ingest.tag_ids import TagIds
from hakubooru.ingest.taglist import KnownPair, KnownTag, read_tag_list
from hakubooru.ingest.target import open_target
from hakubooru.progress import progress
from hakubooru.store.about import read_about
from hakubooru.store.sites import RATINGS, site_named
from hakubooru.store.writing import transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hakubooru.ingest.dumps import Dump
    from hakubooru.ingest.maps import RecordMap
    from hakubooru.ingest.posts import Written
    from hakubooru.store.sites import Site

    PathLike = str | os.PathLike[str]

BATCH: Final = 5_000
"""How many posts are written in a transaction. It takes 25 MB of memory; an interruption loses a few seconds."""

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
    recognised: tuple[Recognised, ...]
    """What each dump was recognised as."""
    site: str
    """The site of the posts."""
    lacking: tuple[str, ...]
    """The columns of `post` that no source of the file had."""
    unknown: Mapping[str, int]
    """How many posts of the file do not have a value, by column, where there are any."""
    seconds: float
    """How long the build took."""

    @property
    def read(self) -> int:
        """How many records were read."""
        return self.new + self.updated + self.unchanged + self.rejected


def build(
    dumps: Sequence[PathLike],
    out: PathLike,
    *,
    tags: PathLike | Sequence[PathLike] | None = None,
    map: PathLike | None = None,
    strict: bool = False,
    old_ratings: bool = False,
) -> BuildReport:
    """Build a metadata database from published sets of posts, or update an existing one with them.

    A set is recognised by what it holds: Parquet, DuckDB, SQLite, CSV or JSON of any shape, packed or in archives, a folder
    of such files, or KBlueLeaf's three tables. What a source does not know stays unknown (NULL), and is counted.

    For each post, the record with the newest `updated_at` is kept, with its tags. A dump that is read twice changes
    nothing the second time. Several dumps give the same tables in any order.

    A new database is written to `OUT.building` and renamed when it is complete. An existing one is changed in place, one
    transaction for each batch of posts. If the build is killed, the same call continues after the last full batch.

    Dates are converted to Danbooru's own time zone. A record whose date names no time zone is rejected, because its
    year is not certain, unless the set says in which zone it writes.

    Args:
        dumps: files and folders of posts, or addresses of them (`hf://datasets/OWNER/NAME/…`, `https://…`), which are
            downloaded whole and kept in a cache.
        out: the path of the database.
        tags: lists of tags, which have types and perhaps ids (any other tag gets an id above the largest of these); and
            lists of aliases and implications.
        map: a TOML file that describes the records of the dumps, for a set that is not recognised; its keys are the fields
            of `RecordMap`.
        strict: stop at the first bad record; by default, bad records go to `OUT.rejects.jsonl`.
        old_ratings: the dumps are from before May 2022, when the rating s meant safe: s becomes general.

    Raises:
        DumpError: a dump or a list of tags cannot be read, has no post, or has newer ratings despite `old_ratings`.
        DatabaseFileError: `out` cannot be written, is not a metadata database, or is of another site.
        IncompleteError: a record is bad and `strict` is set, or the disk is full.
    """
    started = time.perf_counter()
    paths = [path for dump in dumps for path in local_paths(dump)]
    if not paths:
        raise DumpError("build() needs at least one dump: build(['posts.json'], 'posts.db')")
    names = [tags] if isinstance(tags, str | os.PathLike) else tags or ()
    lists = [path for name in names for path in local_paths(name)]
    # A mistyped name and an unknown set show before anything is written.
    sources = [
        _Source(dump, _map_of(dump, map), strict=strict, old_ratings=old_ratings)
        for dump in find_dumps(paths)
    ]
    site = _one_site(sources)
    out = Path(out)
    counts: Counter[str] = Counter()
    with open_target(out, paths) as target, Rejects(out.with_name(out.name + ".rejects.jsonl")) as rejects:
        target.check_site(site)
        target.check_dates()
        tag_ids = TagIds(target.connection)
        with transaction(target.connection):
            for path in lists:
                _learn(tag_ids, read_tag_list(path, site))
        writer = PostWriter(target.connection, tag_ids)
        for source in sources:
            _write(source, writer, rejects, counts)
        if not counts.total():
            rejections = (
                f"; {rejects.count:,} records were rejected, for the reasons in {rejects.path}"
                if rejects.count
                else ""
            )
            raise DumpError(f"there are no posts in {', '.join(str(path) for path in paths)}{rejections}")
        absent = frozenset.intersection(*(source.absent() for source in sources))
        target.finish(tag_ids, absent, site, in_order=len(paths) > 1)
        about = read_about(target.connection)
    return BuildReport(
        path=out,
        new=counts["new"],
        updated=counts["updated"],
        unchanged=counts["unchanged"],
        rejected=rejects.count,
        rejects=rejects.path if rejects.count else None,
        dumps_without_general=tuple(source.dump.path for source in sources if source.lacks_general()),
        recognised=tuple(source.recognised() for source in sources),
        site=site.name,
        lacking=tuple(sorted(about.lacking)),
        unknown=about.unknown,
        seconds=time.perf_counter() - started,
    )


def _map_of(dump: Dump, file: PathLike | None) -> RecordMap:
    """The record map of a dump: the user's, or that of the set that its first records are of."""
    keys = dump.keys()
    if file is not None:
        own = read_map(Path(file))
        if keys and (missing := own.missing(keys)):
            raise DumpError(
                f"{dump.path} has {unknown_keys(keys)}, and the map {file} needs {missing}: correct the map"
            )
        return own
    found = recognise(keys) if keys else recognise({"id", "tag_string"})
    if found is None:
        raise DumpError(
            f"{dump.path} is {dump.form}, and holds {unknown_keys(keys)}: that is no set of posts that hakubooru knows. "
            "If it has posts with tags, describe its keys with --map map.toml"
        )
    return found


def _one_site(sources: Sequence[_Source]) -> Site:
    names = list(dict.fromkeys(source.reader.map.site for source in sources))
    if len(names) > 1:
        raise DatabaseFileError(
            f"the dumps have posts of {' and '.join(names)}, whose ids are not alike: build a file of each site, and export "
            "both into one set"
        )
    return site_named(names[0])


def _write(source: _Source, writer: PostWriter, rejects: Rejects, counts: Counter[str]) -> None:
    dump = source.dump
    with progress(total=dump.size, desc=dump.path.name, unit="B", unit_scale=True) as bar:
        records = source.records(rejects)
        while batch := list(islice(records, BATCH)):
            with transaction(writer.connection):
                _learn(writer.tag_ids, source.known_tags())
                counts.update(vars(_written(writer, batch)))
            bar.update(dump.bytes_read() - bar.n)
            batch.clear()  # else it would stay in memory while the next one is read


def _written(writer: PostWriter, batch: Sequence[Record]) -> Written:
    try:
        return writer.write(batch)
    except sqlite3.IntegrityError as error:
        raise DatabaseFileError(
            f"the database has an older layout, in which every value is known ({error}): run `hakubooru db migrate` on it, "
            "then the same command again"
        ) from error


class _Source:
    """A dump and the reader of its records."""

    def __init__(self, dump: Dump, by: RecordMap, *, strict: bool, old_ratings: bool) -> None:
        self.dump = dump
        self.reader = RecordReader(by)
        self._strict = strict
        self._old_ratings = old_ratings
        self._ratings: Counter[int | None] = Counter()
        self._known: list[KnownTag] = []

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

    def known_tags(self) -> list[KnownTag]:
        """The tags of the dump's own table that have been read since the last call."""
        tags, self._known = self._known, []
        return tags

    def records(self, rejects: Rejects) -> Iterator[Record]:
        """Iterate over the valid records, and reject the others."""
        for batch in self.dump.batches(self._choose):
            if isinstance(batch, TagRows):
                columns = (batch.columns[name] for name in ("name", "type", "id"))
                self._known += [KnownTag(*values) for values in zip(*columns, strict=True)]
            elif isinstance(batch, Batch):
                yield from self._valid(batch, rejects)
            else:
                reason = batch.reason or "the record must be an object with the fields of a post"
                record = batch.text if batch.reason else batch.value
                self._reject(
                    rejects, str(self.dump.path), batch.unit, batch.number, reason=reason, record=record
                )

    def _choose(self, keys: set[str]) -> Sequence[str]:
        own = self.reader.map
        if missing := own.missing(keys):
            raise DumpError(
                f"{self.dump.path} has a file with {unknown_keys(keys)}, which lacks {missing}; the first one has {own.name}: "
                "name only the files of posts"
            )
        return self.reader.choose(keys)

    def _valid(self, batch: Batch, rejects: Rejects) -> Iterator[Record]:
        records, reasons = self.reader.read(batch)
        if self._old_ratings:
            records = self._with_old_ratings(batch, records)
        for place in sorted(reasons):
            record = batch.record(place)
            self._reject(
                rejects, batch.name, batch.unit, batch.number(place), reason=reasons[place], record=record
            )
        self._ratings.update(record.row[_RATING] for record in records)
        yield from records

    def _with_old_ratings(self, batch: Batch, records: Sequence[Record]) -> list[Record]:
        for place, rating in enumerate(self.reader.values(batch, "rating") or ()):
            if rating in _NEW_RATINGS:
                raise DumpError(
                    f"{batch.name}, {batch.unit} {batch.number(place):,} has the rating {rating}, so the dump is not from "
                    "before May 2022: leave out --old-ratings"
                )
        return [
            record.with_rating(_GENERAL) if record.row[_RATING] == _SENSITIVE else record
            for record in records
        ]

    def _reject(
        self, rejects: Rejects, name: str, unit: str, number: int, *, reason: str, record: object
    ) -> None:
        if self._strict:
            raise IncompleteError(f"{name}, {unit} {number:,}: {reason}; correct it, or leave out --strict")
        rejects.add(name, unit, number, reason, record)


def _learn(tag_ids: TagIds, entries: Iterable[KnownTag | KnownPair]) -> None:
    rest = iter(entries)
    while batch := list(islice(rest, BATCH)):
        tag_ids.learn_known([entry for entry in batch if isinstance(entry, KnownTag)])
        tag_ids.learn_pairs([entry for entry in batch if isinstance(entry, KnownPair)])
