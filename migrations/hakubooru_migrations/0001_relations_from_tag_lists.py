"""Migrate generation 1 to 2: convert the tag lists of posts to rows of `posttagrelation`, in the same order.

A post has six lists of tag ids between `$` and `#`: one of all tags, and five by type. The five, their counts and their
full-text index (`postfts`) are removed, because the relations and `tag.type` have the same information.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tqdm import tqdm

from hakubooru.store.writing import ticking
from hakubooru_migrations.tables import INTEGER, NULLABLE_INTEGER, NULLABLE_TEXT, TEXT, rebuild_post
from hakubooru_migrations.tag_lists import TagLists

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from hakubooru_migrations.runner import MigratedDatabase

RELATION = (
    'CREATE TABLE "posttagrelation" ("id" INTEGER NOT NULL PRIMARY KEY, "post_id" INTEGER NOT NULL, "tag_id" INTEGER '
    'NOT NULL, FOREIGN KEY ("post_id") REFERENCES "post" ("id"), FOREIGN KEY ("tag_id") REFERENCES "tag" ("id"))'
)
INDICES = (
    'CREATE INDEX "posttagrelation_post_id" ON "posttagrelation" ("post_id")',
    'CREATE INDEX "posttagrelation_tag_id" ON "posttagrelation" ("tag_id")',
)
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
    lists = TagLists(db.raw)
    # One statement a post, with its tags as one value, takes a third of the time of a value for each tag.
    db.raw.executemany(
        "INSERT INTO posttagrelation (post_id, tag_id) SELECT ?, value FROM json_each(?)", _tags(db, lists)
    )
    if lists.unknown:
        db.notes.append(
            f"tag ids left out of the lists: {lists.unknown:,}, because the file has no tags with these ids; the first "
            f"is {lists.first_unknown}"
        )
    with ticking(db.raw, "indexing"):
        for statement in INDICES:
            db.raw.execute(statement)
        db.raw.execute("DROP TABLE IF EXISTS postfts")
    rebuild_post(db, COLUMNS, {}, "removing the lists of tags")


def _tags(db: MigratedDatabase, lists: TagLists) -> Iterator[tuple[int, str]]:
    """The id of each post, and the ids of its tags as a JSON array."""
    count = db.raw.execute("SELECT COUNT(*) FROM post").fetchone()[0]
    rows = db.raw.execute("SELECT id, tag_list FROM post ORDER BY id")
    for post_id, whole in tqdm(rows, total=count, desc="reading lists of tags", unit=" posts", disable=None):
        yield post_id, str(lists.read(post_id, whole))
