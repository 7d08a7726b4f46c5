"""This project's own layout 1: a table of tag aliases; and popularity counted where it is 0 throughout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakubooru.store.writing import count_popularity, ticking

if TYPE_CHECKING:
    from typing import Any

    from hakubooru_migrations.runner import MigratedDatabase

ALIASES = 'CREATE TABLE IF NOT EXISTS "tagalias" ("alias" VARCHAR(255) NOT NULL PRIMARY KEY, "name" VARCHAR(255) NOT NULL)'


def up(migrator: Any, db: MigratedDatabase) -> None:  # noqa: ARG001 - peewee's signature
    """Run the script."""
    db.raw.execute(ALIASES)
    if not db.raw.execute("SELECT EXISTS (SELECT 1 FROM tag WHERE popularity <> 0)").fetchone()[0]:
        with ticking(db.raw, "counting the posts of tags"):
            count_popularity(db.raw)
    db.raw.execute("PRAGMA user_version = 1")
