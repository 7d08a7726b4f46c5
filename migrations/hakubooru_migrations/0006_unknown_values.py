"""Migrate to this project's own layout 3: a value of a post may be NULL, and the table `about` says what is not known.

SQLite stores a column in the same way whether or not it must have a value, so only the definition of the table changes: the
rows stay where they are. https://www.sqlite.org/lang_altertable.html#otheralter describes this way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from hakubooru.store.about import read_about, site_of_addresses, write_about
from hakubooru.store.sites import DANBOORU

if TYPE_CHECKING:
    from typing import Any

    from hakubooru_migrations.runner import MigratedDatabase

ABOUT: Final = 'CREATE TABLE IF NOT EXISTS "about" ("name" VARCHAR(255) NOT NULL PRIMARY KEY, "value" VARCHAR(255) NOT NULL)'
_NOT_NULL: Final = re.compile(r"\s+NOT\s+NULL(?!\s+PRIMARY)", re.IGNORECASE)


def up(migrator: Any, db: MigratedDatabase) -> None:  # noqa: ARG001 - peewee's signature
    """Migrate the file, inside a transaction of the caller."""
    about = read_about(db.raw)  # counts NULL where the table allows it
    db.raw.execute(ABOUT)
    site = site_of_addresses(db.raw)
    db.raw.execute("INSERT OR IGNORE INTO about VALUES ('site', ?)", [site.name])
    if about.lacking or about.unknown:
        write_about(db.raw, about)
    if site != DANBOORU:
        db.notes.append(f"its images are at {site.domain}, so its posts are of {site.name} from now on")
    (definition,) = db.raw.execute(
        "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'post'"
    ).fetchone()
    version = db.raw.execute("PRAGMA schema_version").fetchone()[0]
    db.raw.execute("PRAGMA writable_schema = ON")
    try:
        db.raw.execute(
            "UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = 'post'",
            [_NOT_NULL.sub("", definition)],
        )
        db.raw.execute(f"PRAGMA schema_version = {version + 1}")
    finally:
        db.raw.execute("PRAGMA writable_schema = OFF")
    db.raw.execute("PRAGMA user_version = 3")
