"""`build`: make or update a metadata database from the sets that people publish."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hakubooru.errors import DatabaseFileError, DumpError
from hakubooru.ingest.download import local_paths
from hakubooru.ingest.dumps import find_dumps
from hakubooru.ingest.maps import read_map
from hakubooru.ingest.posts import PostWriter
from hakubooru.ingest.rejects import Rejects
from hakubooru.ingest.sets import recognise, unknown_keys
from hakubooru.ingest.source import Source
from hakubooru.ingest.tag_ids import TagIds
from hakubooru.ingest.taglist import KnownPair, KnownTag, read_tag_list
from hakubooru.ingest.target import open_target
from hakubooru.progress import progress
from hakubooru.store.sites import site_named
from hakubooru.store.writing import transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hakubooru.ingest.dumps import Dump
    from hakubooru.ingest.maps import RecordMap
    from hakubooru.ingest.posts import Written
    from hakubooru.ingest.records import Record
    from hakubooru.ingest.source import Recognised
    from hakubooru.store.about import About
    from hakubooru.store.sites import Site

    PathLike = str | os.PathLike[str]

BATCH: Final = 5_000
"""How many posts are written in a transaction. It takes 25 MB of memory; an interruption loses a few seconds."""


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
    paths = _local(dumps)
    if not paths:
        raise DumpError("build() needs at least one dump: build(['posts.json'], 'posts.db')")
    lists = _local([tags] if isinstance(tags, str | os.PathLike) else tags or ())
    # A mistyped name and an unknown set show before anything is written.
    sources = [
        Source(dump, _map_of(dump, map), strict=strict, old_ratings=old_ratings) for dump in find_dumps(paths)
    ]
    site = _one_site(sources)
    out = Path(out)
    with open_target(out, paths) as target, Rejects(out.with_name(out.name + ".rejects.jsonl")) as rejects:
        target.check_site(site)
        target.check_dates()
        tag_ids = TagIds(target.connection)
        with transaction(target.connection):
            for path in lists:
                _learn(tag_ids, read_tag_list(path, site))
        counts = _write(sources, PostWriter(target.connection, tag_ids), rejects)
        absent = frozenset.intersection(*(source.absent() for source in sources))
        about = target.finish(tag_ids, absent, site, in_order=len(paths) > 1)
    return _report(out, sources, counts, rejects, about, seconds=time.perf_counter() - started)


def _local(sources: Iterable[PathLike]) -> list[Path]:
    return [path for source in sources for path in local_paths(source)]


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


def _one_site(sources: Sequence[Source]) -> Site:
    names = list(dict.fromkeys(source.reader.map.site for source in sources))
    if len(names) > 1:
        raise DatabaseFileError(
            f"the dumps have posts of {' and '.join(names)}, whose ids are not alike: build a file of each site, and export "
            "both into one set"
        )
    return site_named(names[0])


def _write(sources: Sequence[Source], writer: PostWriter, rejects: Rejects) -> Counter[str]:
    """Write the posts of all sources, and count what changed.

    Raises:
        DumpError: no source has a post.
    """
    counts: Counter[str] = Counter()
    for source in sources:
        dump = source.dump
        with progress(total=dump.size, desc=dump.path.name, unit="B", unit_scale=True) as bar:
            for batch in _batches(source.records(rejects)):
                with transaction(writer.connection):
                    if isinstance(batch[0], KnownTag):
                        _learn(writer.tag_ids, batch)
                    else:
                        counts.update(vars(_written(writer, batch)))
                bar.update(dump.bytes_read() - bar.n)
                batch.clear()  # else it would stay in memory while the next one is read
    if not counts.total():
        names = ", ".join(str(source.dump.path) for source in sources)
        reasons = (
            f"; {rejects.count:,} records were rejected, for the reasons in {rejects.path}: {rejects.first}"
            if rejects.count
            else ""
        )
        raise DumpError(f"there are no posts in {names}{reasons}")
    return counts


def _batches(records: Iterable[Record | KnownTag]) -> Iterator[list[Any]]:
    """Iterate over batches of records, and over batches of tags."""
    for _, some in groupby(records, type):
        while batch := list(islice(some, BATCH)):
            yield batch


def _written(writer: PostWriter, batch: Sequence[Record]) -> Written:
    try:
        return writer.write(batch)
    except sqlite3.IntegrityError as error:
        raise DatabaseFileError(
            f"the database has an older layout, in which every value is known ({error}): run `hakubooru db migrate` on it, "
            "then the same command again"
        ) from error


def _report(
    out: Path,
    sources: Sequence[Source],
    counts: Counter[str],
    rejects: Rejects,
    about: About,
    *,
    seconds: float,
) -> BuildReport:
    return BuildReport(
        path=out,
        new=counts["new"],
        updated=counts["updated"],
        unchanged=counts["unchanged"],
        rejected=rejects.count,
        rejects=rejects.path if rejects.count else None,
        dumps_without_general=tuple(source.dump.path for source in sources if source.lacks_general()),
        recognised=tuple(source.recognised() for source in sources),
        site=about.site.name,
        lacking=tuple(sorted(about.lacking)),
        unknown=about.unknown,
        seconds=seconds,
    )


def _learn(tag_ids: TagIds, entries: Iterable[KnownTag | KnownPair]) -> None:
    rest = iter(entries)
    while batch := list(islice(rest, BATCH)):
        tag_ids.learn_known([entry for entry in batch if isinstance(entry, KnownTag)])
        tag_ids.learn_pairs([entry for entry in batch if isinstance(entry, KnownPair)])
