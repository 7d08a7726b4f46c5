"""`build`: make or update a metadata database from the sets that people publish."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hakubooru.errors import DatabaseFileError, DumpError, IncompleteError
from hakubooru.files import listed
from hakubooru.ingest.download import local_paths
from hakubooru.ingest.dumps import find_dumps
from hakubooru.ingest.maps import ALL, read_map
from hakubooru.ingest.posts import PostWriter
from hakubooru.ingest.rejects import Rejects
from hakubooru.ingest.relational import TAGS_KEY
from hakubooru.ingest.sets import recognise, unknown_keys
from hakubooru.ingest.source import Summary, read_sources
from hakubooru.ingest.tag_ids import TagIds
from hakubooru.ingest.taglist import KnownPair, KnownTag, read_tag_list
from hakubooru.ingest.target import open_target
from hakubooru.processes import LostProcessError, generated
from hakubooru.progress import progress
from hakubooru.quantity import quantity
from hakubooru.store.sites import site_named
from hakubooru.store.store import BUSY_TIMEOUT
from hakubooru.store.writing import transaction

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hakubooru.files import Places
    from hakubooru.ingest.dumps import Dump
    from hakubooru.ingest.maps import RecordMap
    from hakubooru.ingest.posts import Written
    from hakubooru.ingest.records import Posts
    from hakubooru.ingest.source import Part, Recognised
    from hakubooru.store.about import About
    from hakubooru.store.sites import Site

    PathLike = str | os.PathLike[str]

_BATCH: Final = 20_000
"""How many posts are written in a transaction; an interruption loses a few seconds."""
_WORTH_A_PROCESS: Final = 2**23
"""The size of dumps, in bytes, from which they are read in a process of their own; to start it takes half a second."""


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
    dumps: Places,
    out: PathLike,
    *,
    tags: Places | None = None,
    map: PathLike | None = None,
    strict: bool = False,
    old_ratings: bool = False,
    busy_timeout: float = BUSY_TIMEOUT,
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
        dumps: one or several files and folders of posts, or addresses of them (`hf://datasets/OWNER/NAME/…`, `https://…`),
            which are downloaded whole and kept in a cache.
        out: the path of the database.
        tags: lists of tags, which have types and perhaps ids (any other tag gets an id above the largest of these); and
            lists of aliases and implications.
        map: a TOML file that describes the records of the dumps, for a set that is not recognised; its keys are the fields
            of `RecordMap`.
        strict: stop at the first bad record; by default, bad records go to `OUT.rejects.jsonl`.
        old_ratings: the dumps are from before May 2022, when the rating s meant safe: s becomes general.
        busy_timeout: how many seconds to wait while another process has locked `out`.

    Raises:
        DumpError: a dump or a list of tags cannot be read, has no post, or has newer ratings despite `old_ratings`.
        DatabaseFileError: `out` cannot be written, is not a metadata database, or is of another site.
        BusyError: another process has locked `out`.
        IncompleteError: a record is bad and `strict` is set, or the disk is full.
    """
    options = {"strict": strict, "old_ratings": old_ratings}
    return build_files(dumps, Path(out), tags=tags, map=map, busy_timeout=busy_timeout, **options)


def build_files(
    dumps: Places,
    out: Path,
    *,
    tags: Places | None = None,
    map: PathLike | None = None,
    strict: bool = False,
    old_ratings: bool = False,
    busy_timeout: float = BUSY_TIMEOUT,
    batch: int = _BATCH,
    worth_a_process: int = _WORTH_A_PROCESS,
) -> BuildReport:
    """Build a database as `build` does, which has the errors.

    Args:
        dumps: as for `build`.
        out: as for `build`.
        tags: as for `build`.
        map: as for `build`.
        strict: as for `build`.
        old_ratings: as for `build`.
        busy_timeout: as for `build`.
        batch: how many posts are written in a transaction.
        worth_a_process: the size of the dumps, in bytes, from which they are read in a process of their own.
    """
    started = time.perf_counter()
    paths, lists = _local(dumps), _local(tags)
    if not paths:
        raise DumpError("build() needs at least one dump: build(['posts.json'], 'posts.db')")
    # A mistyped name and an unknown set show before anything is written.
    sources = sorted([(dump, _map_of(dump, map)) for dump in find_dumps(paths)], key=_turn)
    site = _one_site([by for _, by in sources])
    if out.exists() and any(out.samefile(path) for path in (*paths, *lists)):
        raise DumpError(f"{out} is read and cannot be written, too; give `out` (--out) another path")
    beside = sum(dump.size for dump, _ in sources) >= worth_a_process
    with (
        open_target(out, paths, busy_timeout) as target,
        Rejects(out.with_name(out.name + ".rejects.jsonl")) as rejects,
    ):
        target.check_site(site)
        target.check_dates()
        tag_ids = TagIds(target.connection)
        with transaction(target.connection):
            for path in lists:
                _learn(tag_ids, read_tag_list(path, site), batch)
        writer = PostWriter(target.connection, tag_ids)
        with _read(sources, beside=beside, strict=strict, old_ratings=old_ratings) as parts:
            summaries, counts = _write([dump for dump, _ in sources], parts, writer, rejects, batch)
        absent = frozenset.intersection(*(summary.absent for summary in summaries))
        about = target.finish(tag_ids, absent, site, in_order=len(paths) > 1)
    return _report(out, summaries, counts, rejects, about, seconds=time.perf_counter() - started)


def _local(sources: Places | None) -> list[Path]:
    return [path for source in listed(sources) for path in local_paths(source)]


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
    record_map = recognise(keys) if keys else recognise({"id", "tag_string"})
    if record_map is None:
        raise DumpError(
            f"{dump.path} is {dump.form}, and holds {unknown_keys(keys)}: that is no set of posts that hakubooru knows. "
            "If it has posts with tags, describe its keys with --map map.toml"
        )
    return record_map


def _turn(source: tuple[Dump, RecordMap]) -> tuple[bool, str]:
    """The place of a source among the others: first those with ids of their own for tags, whose order must not matter."""
    dump, by = source
    has_ids = TAGS_KEY in by.tags.get(ALL, ())
    return not has_ids, str(dump.path) if has_ids else ""


def _one_site(maps: Sequence[RecordMap]) -> Site:
    names = list(dict.fromkeys(by.site for by in maps))
    if len(names) > 1:
        raise DatabaseFileError(
            f"the dumps have posts of {' and '.join(names)}, whose ids are not alike: build a file of each site, and export "
            "both into one set"
        )
    return site_named(names[0])


@contextmanager
def _read(
    sources: Sequence[tuple[Dump, RecordMap]], *, beside: bool, strict: bool, old_ratings: bool
) -> Iterator[Iterator[Part | Summary]]:
    """Read sources in a `with` statement, in this process or beside it."""
    options = {"strict": strict, "old_ratings": old_ratings}
    if not beside:
        yield read_sources(sources, **options)
        return
    try:
        with generated(read_sources, sources, **options) as parts:
            yield parts
    except LostProcessError as error:
        raise IncompleteError(
            "the process that reads the dumps was killed, often because memory ran out; run the same command again, and it "
            "goes on"
        ) from error


def _write(
    dumps: Sequence[Dump],
    parts: Iterator[Part | Summary],
    writer: PostWriter,
    rejects: Rejects,
    batch: int,
) -> tuple[list[Summary], Counter[str]]:
    """Write the parts of all dumps; return the summary of each dump, and counts of what changed.

    Raises:
        DumpError: no dump has a post.
    """
    counts: Counter[str] = Counter()
    summaries: list[Summary] = []
    for dump in dumps:
        with progress(total=dump.size, desc=dump.path.name, unit="B", unit_scale=True) as bar:
            pieces = _pieces(_until_summary(parts, summaries), rejects, bar, batch)
            for first in pieces:
                with transaction(writer.connection):
                    for piece, is_last in chain([first], pieces):
                        if isinstance(piece, list):
                            _learn(writer.tag_ids, piece, batch)
                        else:
                            counts.update(vars(_written(writer, piece)))
                        if is_last:
                            break
    if not counts.total():
        names = ", ".join(str(dump.path) for dump in dumps)
        reasons = (
            f"; {quantity(rejects.count, 'record was', 'records were')} rejected, for the reasons in {rejects.path}: {rejects.first}"
            if rejects.count
            else ""
        )
        raise DumpError(f"there are no posts in {names}{reasons}")
    return summaries, counts


def _until_summary(parts: Iterator[Part | Summary], summaries: list[Summary]) -> Iterator[Part]:
    """Iterate over the parts of one dump, and add its summary to a list."""
    for part in parts:
        if isinstance(part, Summary):
            summaries.append(part)
            return
        yield part


def _pieces(
    parts: Iterable[Part], rejects: Rejects, bar: Any, batch: int
) -> Iterator[tuple[Posts | list[KnownTag], bool]]:
    """Iterate over pieces of parts, each with whether it is the last one of a transaction; write what is rejected."""
    room = batch
    for part in parts:
        for bad in part.rejected:
            rejects.add(*bad.where, bad.reason, bad.record)
        bar.update(part.bytes_read - bar.n)
        if part.tags:
            yield part.tags, True
        posts = part.posts
        while posts is not None and len(posts) > room:
            yield posts.take(range(room)), True
            posts, room = posts.take(range(room, len(posts))), batch
        if posts is not None:
            room -= len(posts)
            yield posts, room == 0
            room = room or batch


def _written(writer: PostWriter, posts: Posts) -> Written:
    try:
        return writer.write(posts)
    except sqlite3.IntegrityError as error:
        raise DatabaseFileError(
            f"the database has an older layout, in which every value is known ({error}): run `hakubooru db migrate` on it, "
            "then the same command again"
        ) from error


def _report(
    out: Path,
    summaries: Sequence[Summary],
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
        dumps_without_general=tuple(
            summary.recognised.path for summary in summaries if summary.lacks_general
        ),
        recognised=tuple(summary.recognised for summary in summaries),
        site=about.site.name,
        lacking=tuple(sorted(about.lacking)),
        unknown=about.unknown,
        seconds=seconds,
    )


def _learn(tag_ids: TagIds, entries: Iterable[KnownTag | KnownPair], batch: int) -> None:
    rest = iter(entries)
    while some := list(islice(rest, batch)):
        tag_ids.learn_known([entry for entry in some if isinstance(entry, KnownTag)])
        tag_ids.learn_pairs([entry for entry in some if isinstance(entry, KnownPair)])
