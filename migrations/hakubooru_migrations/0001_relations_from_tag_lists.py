"""Migrate generation 1 to 2: convert the tag lists of posts to rows of `posttagrelation`, in the same order.

A post has six lists of tag ids between `$` and `#`: one of all tags, and five by type. The five, their counts and their
full-text index (`postfts`) are removed, because the relations and `tag.type` have the same information.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hakubooru.progress import progress
from hakubooru.store.writing import insert_relations, ticking
from hakubooru_migrations.tables import INTEGER, NULLABLE_INTEGER, NULLABLE_TEXT, TEXT, rebuild_post
from hakubooru_migrations.tag_lists import TagLists

if TYPE_CHECKING:
    from typing import Any

    from hakubooru_migrations.runner import MigratedDatabase

_POSTS_A_BATCH: Final = 10_000

RELATION = (
    'CREATE TABLE "posttagrelation" ("id" INTEGER NOT NULL PRIMARY KEY, "post_id" INTEGER NOT NULL, "tag_id" INTEGER '
    'NOT NULL, FOREIGN KEY ("post_id") REFERENCES "post" ("id"), FOREIGN KEY ("tag_id") REFERENCES "tag" ("id"))'
)
POST_INDEX = 'CREATE INDEX "posttagrelation_post_id" ON "posttagrelation" ("post_id")'
TAG_INDEX = 'CREATE INDEX "posttagrelation_tag_id" ON "posttagrelation" ("tag_id")'
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
    "file_url": TEXT,
    "large_file_url": TEXT,
    "preview_file_url": TEXT,
    "tag_list": "TEXT NOT NULL",
    "tag_count": INTEGER,
    "tag_count_general": INTEGER,
    "tag_count_artist": INTEGER,
    "tag_count_character": INTEGER,
    "tag_count_copyright": INTEGER,
    "tag_count_meta": INTEGER,
}


def up(migrator: Any, db: MigratedDatabase) -> None:  # noqa: ARG001 - peewee's signature
    """Migrate the file, inside a transaction of the caller."""
    db.raw.execute(RELATION)
    db.raw.execute(
        POST_INDEX
    )  # the posts come in order: to add to the end of an index takes half as long as to sort
    lists = TagLists(db.raw)
    count = db.raw.execute("SELECT COUNT(*) FROM post").fetchone()[0]
    rows = db.raw.execute("SELECT id, CAST(tag_list AS TEXT) FROM post ORDER BY id")
    with progress(total=count, desc="reading lists of tags", unit=" posts") as bar:
        while some := rows.fetchmany(_POSTS_A_BATCH):
            insert_relations(db.raw, *lists.read(*zip(*some, strict=True)))
            bar.update(len(some))
    if lists.unknown:
        db.notes.append(
            f"tag ids left out of the lists: {lists.unknown:,}, because the file has no tags with these ids; the first "
            f"is {lists.first_unknown}"
        )
    with ticking(db.raw, "indexing"):
        db.raw.execute(TAG_INDEX)
        db.raw.execute("DROP TABLE IF EXISTS postfts")
    rebuild_post(db, COLUMNS, {}, "removing the lists of tags")
