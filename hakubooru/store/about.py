"""What a database says about itself: its site, and which values its sources did not know.

The table `about` has a name and a value a row. Published files lack it: they know every value, and the addresses of their
images tell their site. Where another program wrote the posts, values are counted: the file that `hb.create` made has the table
without rows, and a file without the table may have columns that can be NULL, which published files have not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hakubooru.store.sites import DANBOORU, SITES, Site

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Mapping

ABOUT_TABLE: Final = 'CREATE TABLE IF NOT EXISTS "about" ("name" VARCHAR(255) NOT NULL PRIMARY KEY, "value" VARCHAR(255) NOT NULL)'
"""The statement that creates the table. Other programs ignore it."""

MAY_BE_NULL: Final = ("parent_id", "pixiv_id", "md5", "file_url", "large_file_url", "preview_file_url")
"""The columns in which NULL is a value: no parent, no pixiv picture, or a hidden file."""

_SITE, _LACKING, _UNKNOWN = "site", "lacking", "unknown "
_ADDRESSES: Final = ("file_url", "large_file_url", "preview_file_url")
_LOOKED_AT: Final = 100
"""How many posts are looked at to learn the site; hidden ones have no address."""


@dataclass(frozen=True)
class About:
    """What a database says about itself."""

    site: Site = DANBOORU
    """The site that the posts are of."""
    lacking: frozenset[str] = frozenset()
    """The columns of `post` that no source had."""
    unknown: Mapping[str, int] = field(default_factory=dict)
    """How many posts do not have a value, by column, where there are any; without the columns of `lacking`."""


def read_about(connection: sqlite3.Connection) -> About:
    """Read what a database says about itself; where it does not say it, count the posts without a value, in one scan."""
    about = recorded_about(connection)
    if about is None:
        names = [name for (name, *_) in connection.execute("SELECT * FROM post LIMIT 0").description]
        may_lack = [name for name in names if name not in MAY_BE_NULL]
        about = count_unknown(connection, names, may_lack, site_of_addresses(connection))
    return about


def recorded_about(connection: sqlite3.Connection) -> About | None:
    """Read what is recorded about a database; None for one that another program filled, so that it may have any NULL."""
    if not connection.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'about'").fetchone()[0]:
        columns = connection.execute(
            "SELECT name FROM pragma_table_info('post') WHERE NOT \"notnull\" AND NOT pk"
        ).fetchall()
        return (
            None
            if {name for (name,) in columns}.difference(MAY_BE_NULL)
            else About(site_of_addresses(connection))
        )
    values = dict(connection.execute("SELECT name, value FROM about").fetchall())
    if not values:
        return None
    return About(
        site=SITES.get(values.get(_SITE, "")) or site_of_addresses(connection),
        lacking=frozenset(values.get(_LACKING, "").split()),
        unknown={
            name.removeprefix(_UNKNOWN): int(value)
            for name, value in values.items()
            if name.startswith(_UNKNOWN)
        },
    )


def site_of_addresses(connection: sqlite3.Connection) -> Site:
    """The site whose domain the addresses of a file's first images have; Danbooru if none has one."""
    columns = connection.execute("SELECT * FROM post LIMIT 0").description
    addresses = [name for (name, *_) in columns if name in _ADDRESSES]
    if addresses:
        query = f"SELECT {', '.join(addresses)} FROM post LIMIT {_LOOKED_AT}"
        text = "\n".join(str(address) for row in connection.execute(query).fetchall() for address in row)
        for site in SITES.values():
            if f"{site.domain}/" in text:
                return site
    return DANBOORU


def write_about(connection: sqlite3.Connection, about: About) -> None:
    """Write what a database says about itself, in a transaction of the caller."""
    connection.execute(ABOUT_TABLE)
    connection.execute("DELETE FROM about")
    rows = {_SITE: about.site.name, _LACKING: " ".join(sorted(about.lacking))}
    rows |= {_UNKNOWN + column: str(count) for column, count in sorted(about.unknown.items())}
    connection.executemany("INSERT INTO about (name, value) VALUES (?, ?)", rows.items())


def count_unknown(
    connection: sqlite3.Connection, columns: Collection[str], may_lack: Collection[str], site: Site
) -> About:
    """Count the values that posts do not have, with one scan of the posts.

    Args:
        connection: the database.
        columns: the columns of `post`.
        may_lack: the columns that no source had so far.
        site: the site of the posts.
    """
    names = list(columns)
    counts = ", ".join(f"COUNT({name})" for name in names)
    total, *known = connection.execute(f"SELECT COUNT(*), {counts} FROM post").fetchone()
    by_column = dict(zip(names, known, strict=True))
    lacking = frozenset(name for name in may_lack if total and not by_column[name])
    unknown = {
        name: total - count
        for name, count in by_column.items()
        if count < total and name not in lacking and name not in MAY_BE_NULL
    }
    return About(site, lacking, unknown)
