"""Migrate generation 3 to 4: add the column `updated_at`, set to `created_at`, and the table `localpost`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakubooru_migrations.tables import INTEGER, NULLABLE_INTEGER, NULLABLE_TEXT, TEXT, rebuild_post

if TYPE_CHECKING:
    from typing import Any

    from hakubooru_migrations.runner import MigratedDatabase

COLUMNS = {
    "id": "INTEGER NOT NULL PRIMARY KEY",
    "created_at": TEXT,
    "uploader_id": INTEGER,
    "source": TEXT,
    "md5": NULLABLE_TEXT,
    "parent_id": NULLABLE_INTEGER,
    "has_children": INTEGER,
    "is_deleted": INTEGER,
    "is_banned": INTEGER,
    "pixiv_id": NULLABLE_INTEGER,
    "has_active_children": INTEGER,
    "bit_flags": INTEGER,
    "has_large": INTEGER,
    "has_visible_children": INTEGER,
    "image_width": INTEGER,
    "image_height": INTEGER,
    "file_size": INTEGER,
    "file_ext": TEXT,
    "rating": INTEGER,
    "score": INTEGER,
    "up_score": INTEGER,
    "down_score": INTEGER,
    "fav_count": INTEGER,
    "file_url": NULLABLE_TEXT,
    "large_file_url": NULLABLE_TEXT,
    "preview_file_url": NULLABLE_TEXT,
    "updated_at": TEXT,
}
LOCALPOST = (
    'CREATE TABLE IF NOT EXISTS "localpost" ("id" INTEGER NOT NULL PRIMARY KEY, "filepath" VARCHAR(255), '
    '"latentpath" VARCHAR(255), "post_id" INTEGER NOT NULL, FOREIGN KEY ("post_id") REFERENCES "post" ("id"))'
)
LOCALPOST_INDEX = 'CREATE INDEX IF NOT EXISTS "localpost_post_id" ON "localpost" ("post_id")'


def up(migrator: Any, db: MigratedDatabase) -> None:  # noqa: ARG001 - peewee's signature
    """Migrate the file, inside a transaction of the caller."""
    rebuild_post(db, COLUMNS, {"updated_at": "created_at"}, "adding updated_at")
    db.raw.execute(LOCALPOST)
    db.raw.execute(LOCALPOST_INDEX)
