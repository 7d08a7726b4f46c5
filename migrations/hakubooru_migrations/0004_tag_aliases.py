"""Migrate to this project's own layout 1: add the table of tag aliases, and count popularity if no tag has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakubooru.store.writing import count_popularity, ticking

if TYPE_CHECKING:
    from typing import Any

    from hakubooru_migrations.runner import MigratedDatabase

ALIASES = 'CREATE TABLE IF NOT EXISTS "tagalias" ("alias" VARCHAR(255) NOT NULL PRIMARY KEY, "name" VARCHAR(255) NOT NULL)'


def up(migrator: Any, db: MigratedDatabase) -> None:  # noqa: ARG001 - peewee's signature
    """Migrate the file, inside a transaction of the caller."""
    db.raw.execute(ALIASES)
    if not db.raw.execute("SELECT EXISTS (SELECT 1 FROM tag WHERE popularity <> 0)").fetchone()[0]:
        with ticking(db.raw, "counting the posts of tags"):
            count_popularity(db.raw)
    db.raw.execute("PRAGMA user_version = 1")
