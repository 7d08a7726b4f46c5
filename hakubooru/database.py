"""The metadata database: one SQLite file, opened read-only by default, and the ways to read it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from hakubooru.engine.cache import CachedStore
from hakubooru.errors import DatabaseFileError, InputError
from hakubooru.select.danbooru.metatags import METATAGS
from hakubooru.select.danbooru.orders import VALUES
from hakubooru.selection import Selection
from hakubooru.store.layout import GENERATION
from hakubooru.store.schema import RATINGS, Post
from hakubooru.store.store import BUSY_TIMEOUT, lay_out, warn_of_dates_in_utc
from hakubooru.store.tags import Tags

if TYPE_CHECKING:
    import os

    from PIL.Image import Image

    from hakubooru.files import Places
    from hakubooru.store.joined import Joined
    from hakubooru_migrations import Plan


def open_database(
    path: str | os.PathLike[str], writable: bool = False, *, busy_timeout: float = BUSY_TIMEOUT
) -> Database:
    """Open a metadata database of the published layout. The file is never created, and not changed by opening.

    Args:
        path: the SQLite file.
        writable: open it for writing too. An unfinished change of a killed writer is then rolled back.
        busy_timeout: how many seconds to wait while another process has locked the file, now and in later queries.

    Raises:
        DatabaseFileError: the file is missing, damaged or truncated, or it is not a metadata database.
        OldGenerationError: the file has an older layout; `hakubooru db migrate` brings it up to date.
        BusyError: another process has locked the file.
        UnfinishedWriteError: a writer was killed in the middle of a change; the message says how to recover.
    """
    database = Database(Path(path), writable=writable, busy_timeout=busy_timeout)
    warn_of_dates_in_utc(database)
    return database


def create_database(path: str | os.PathLike[str]) -> Database:
    """Create an empty metadata database and open it for writing.

    A value that a post does not have is NULL. Such posts are counted when the file, or a changed one, is first asked for posts,
    which takes a second for some 700,000 posts; files of `hb.build` have these counts.

    Raises:
        DatabaseFileError: the path exists already, or its folder does not exist.
    """
    path = Path(path)
    try:
        # Exclusive creation: of two processes that create the same file, one is refused.
        path.open("xb").close()
    except FileExistsError as error:
        raise DatabaseFileError(
            f"{path} already exists; open it with hb.open, or choose another path"
        ) from error
    except OSError as error:
        raise DatabaseFileError(f"{path} cannot be created: {error.strerror}; choose another path") from error
    try:
        lay_out(path)
    except BaseException:
        path.unlink()
        raise
    return Database(path, writable=True)


def migrate_database(path: str | os.PathLike[str], *, busy_timeout: float = BUSY_TIMEOUT) -> Plan:
    """Migrate a metadata database of an older layout to the current one, in place.

    If it is interrupted, the same call continues.

    Args:
        path: the SQLite file.
        busy_timeout: how many seconds to wait while another process has locked the file.

    Returns:
        The scripts that ran, and their notes.

    Raises:
        DatabaseFileError: the file is missing or damaged, or is not a metadata database.
        BusyError: another process has locked the file.
        IncompleteError: the disk does not have enough free space.
    """
    from hakubooru_migrations import migrate  # noqa: PLC0415 - nothing else changes a layout

    return migrate(path, busy_timeout=busy_timeout)


class Database(CachedStore):
    """An open metadata database.

    Any thread may use it: each thread gets its own connection. It can be sent to another process, which opens
    the file again. Close it with `close`, or use it in a `with` statement.
    """

    @property
    def posts(self) -> Selection:
        """All posts of the file, as a `Selection` to narrow down."""
        return Selection(self)

    @property
    def tags(self) -> Tags:
        """The tags of the file, by name: `db.tags["solo"]`."""
        return Tags(self)

    def image(self, number: int, images: Places = ()) -> Image:
        """The image of a post, decoded, upright and in sRGB, as a Pillow image.

        Args:
            number: the post's id.
            images: folders, tars or URLs that hold images; by default, those of `images`.

        Raises:
            InputError: no images are named, or none of them is the post's.
            SourceError: a place is missing or cannot be read, or no images were found at all.
        """
        from hakubooru.contact_sheet import shelf_of  # noqa: PLC0415 - few need images
        from hakubooru.image.decode import decode  # noqa: PLC0415
        from hakubooru.image.header import read_header  # noqa: PLC0415
        from hakubooru.image.shelf import NoImageError  # noqa: PLC0415
        from hakubooru.image.thumbnail import refusals  # noqa: PLC0415

        try:
            data = shelf_of(images or self.images).find(number, self).read()
            with refusals():
                return decode(data, read_header(data))
        except NoImageError as error:
            raise InputError(f"post {number} has no image: {error}") from error

    def join(self, name: str, path: str | os.PathLike[str]) -> Joined:
        """Join a file of values by post id, such as scores or texts: `db.join("silva", "scores.parquet")`.

        Searches then have `silva:>0.6` and `order:silva`, and a caption can have the values. If the file has several
        columns, they are `silva.score`, `silva.ok` and so on. The file is read once into the user's cache, where it is
        found by its hash. Posts without a row have no value.

        Args:
            name: the name of the values: small letters, digits and `_`.
            path: a Parquet, CSV or JSON-lines file with a column `id` or `post_id`, a tar of `ID.txt`, or a folder of
                them.

        Raises:
            InputError: the file cannot be read, an id is doubled, or the name has another meaning.
            DestinationError: the user's cache cannot be written.
        """
        if name in METATAGS or name in VALUES or name in Post._meta.fields:  # noqa: SLF001 - peewee's documented name
            raise InputError(f"{name} has a meaning in searches already; choose another name for {path}")
        return super().join(name, path)

    def info(self) -> DatabaseInfo:
        """Count what the file contains. This scans the posts once, or twice if the file does not say which values are unknown."""
        self._forget_earlier()
        ends = "(SELECT MIN(id) FROM post), (SELECT MAX(id) FROM post)"
        by_rating = ", ".join(f"SUM(rating = {number})" for number in range(len(RATINGS)))
        with ThreadPoolExecutor(1) as executor:
            relations = executor.submit(self.scalar, "SELECT COUNT(*) FROM posttagrelation")
            ((posts, first, last, *ratings),) = self.rows(f"SELECT COUNT(*), {ends}, {by_rating} FROM post")
        by_name = zip(self.about.site.ratings, self.about.site.rating_names, ratings, strict=True)
        return DatabaseInfo(
            generation=GENERATION,
            posts=posts,
            tags=self.scalar("SELECT COUNT(*) FROM tag"),
            relations=relations.result(),
            first_id=first,
            last_id=last,
            ratings={name: count or 0 for is_own, name, count in by_name if is_own or count},
            size_bytes=self.path.stat().st_size,
            site=self.about.site.name,
            lacking=tuple(sorted(self.about.lacking)),
            unknown=dict(self.about.unknown),
        )

    def _repr_html_(self) -> str:
        first, last = self.ends("post")
        span = "no posts" if first > last else f"posts {first:,} to {last:,}"
        size = f"{self.path.stat().st_size / 1e6:,.1f} MB"
        fast = "with a sidecar" if self.cache.columns.know_tags else "without a sidecar"
        return f"<div><b>Database</b> {escape(str(self.path))}: {span}, {size}, {fast}</div>"


@dataclass(frozen=True, kw_only=True)
class DatabaseInfo:
    """Counts of what a metadata file contains."""

    generation: int
    """The number of the file's layout, 1 to 4."""
    posts: int
    """How many posts the file has."""
    tags: int
    """How many tags the file has."""
    relations: int
    """How many pairs of a post and a tag the file has."""
    first_id: int | None
    """The smallest post id; None if the file has no posts."""
    last_id: int | None
    """The largest post id; None if the file has no posts."""
    ratings: dict[str, int]
    """How many posts have each rating, by the site's name of it."""
    size_bytes: int
    """The size of the file in bytes."""
    site: str
    """The site that the posts are of: danbooru, e621 or gelbooru."""
    lacking: tuple[str, ...]
    """The columns of posts that no source of the file had."""
    unknown: dict[str, int]
    """How many posts do not have a value, by column, where there are any."""
