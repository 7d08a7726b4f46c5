"""This project's own layout 2: whole numbers that are stored as such, and dates in Danbooru's time zone.

Other programs write numbers as REAL or TEXT; earlier versions of this one left dates in UTC where a dump had them so.
What cannot be read as a whole number is refused, and what is no moment is left and told.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from hakubooru.errors import DatabaseFileError
from hakubooru.moments import danbooru_date
from hakubooru.store.column_types import NUMBERS, odd_columns
from hakubooru.store.writing import ticking
from hakubooru_migrations.tables import INTEGER, NULLABLE_INTEGER, NULLABLE_TEXT, TEXT, rebuild

if TYPE_CHECKING:
    from typing import Any

    from hakubooru_migrations.runner import MigratedDatabase

ID: Final = "INTEGER NOT NULL PRIMARY KEY"
TABLES: Final = {
    "post": {
        "id": ID,
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
    },
    "tag": {"id": ID, "name": TEXT, "type": INTEGER, "popularity": INTEGER},
    "posttagrelation": {"id": ID, "post_id": INTEGER, "tag_id": INTEGER},
}
FOREIGN_KEYS: Final = (
    'FOREIGN KEY ("post_id") REFERENCES "post" ("id")',
    'FOREIGN KEY ("tag_id") REFERENCES "tag" ("id")',
)
INDICES: Final = (
    'CREATE UNIQUE INDEX IF NOT EXISTS "tag_name" ON "tag" ("name")',
    'CREATE INDEX IF NOT EXISTS "posttagrelation_post_id" ON "posttagrelation" ("post_id")',
    'CREATE INDEX IF NOT EXISTS "posttagrelation_tag_id" ON "posttagrelation" ("tag_id")',
)
NAMES: Final = {
    "rating": ("general", "sensitive", "questionable", "explicit"),
    "type": ("general", "artist", "character", "copyright", "meta"),
}
NEEDED: Final = {"id", "rating", "score", "fav_count", "post_id", "tag_id"}
"""Columns of which a gap cannot be taken for 0."""


def up(migrator: Any, db: MigratedDatabase) -> None:  # noqa: ARG001 - peewee's signature
    """Run the script."""
    changed = [table for table in TABLES if odd_columns(db.raw, table) or _holds_odd(db, table)]
    try:
        for table in changed:
            _make_whole(db, table)
        if changed:
            with ticking(db.raw, "indexing"):
                for statement in INDICES:
                    db.raw.execute(statement)
    except sqlite3.IntegrityError as error:
        raise DatabaseFileError(
            f"{db.path} holds something twice, or lacks it ({error}); correct it, and run the same command again"
        ) from error
    _bring_to_zone(db)
    db.raw.execute("PRAGMA user_version = 2")


def _holds_odd(db: MigratedDatabase, table: str) -> bool:
    """Whether any row has something else; the relations are too many, and their columns say enough."""
    if table == "posttagrelation":
        return False
    odd = (
        f"typeof({name}) NOT IN ('integer', '{'null' if nullable else 'integer'}')"
        for name, nullable in NUMBERS[table].items()
    )
    where = " OR ".join(odd)
    return bool(db.raw.execute(f"SELECT EXISTS (SELECT 1 FROM {table} WHERE {where})").fetchone()[0])


def _make_whole(db: MigratedDatabase, table: str) -> None:
    values = {}
    for name, kind in TABLES[table].items():
        if name in NUMBERS[table]:
            whole = _whole(name)
            _check_readable(db, table, name, whole)
            values[name] = whole if NUMBERS[table][name] or name in NEEDED else f"ifnull({whole}, 0)"
        elif kind == TEXT:
            values[name] = f"ifnull({name}, '')"
    rebuild(db, table, TABLES[table], values, FOREIGN_KEYS if table == "posttagrelation" else ())
    db.notes.append(f"the numbers of the table {table} are stored as whole numbers now")


def _check_readable(db: MigratedDatabase, table: str, name: str, whole: str) -> None:
    is_gap = f"({name} IS NULL OR {name} = '')"
    allowed = "0" if name in NEEDED else is_gap
    row = db.raw.execute(
        f"SELECT id, {name} FROM {table} WHERE {whole} IS NULL AND NOT {allowed} LIMIT 1"
    ).fetchone()
    if row is not None:
        raise DatabaseFileError(
            f"{db.path}: {table}.{name} is {row[1]!r} in the row with id {row[0]!r}, where a whole number is needed; "
            "correct it in SQLite's own shell, and run the same command again"
        )


def _whole(name: str) -> str:
    """SQL for the whole number that a column means, NULL where it means none."""
    words = {"t": 1, "true": 1, "f": 0, "false": 0}
    if name in NAMES:
        names = NAMES[name]
        letters = [word[0] for word in names]
        words = {word: number for number, word in enumerate(names)} | {
            letter: number for number, letter in enumerate(letters) if letters.count(letter) == 1
        }
    elif not name.startswith(("has_", "is_")):
        words = {}
    named = "".join(f" WHEN '{word}' THEN {number}" for word, number in words.items())
    whole = f"CAST({name} AS INTEGER)"
    return (
        f"CASE typeof({name}) WHEN 'integer' THEN {name} WHEN 'real' THEN CASE {name} WHEN {whole} THEN {whole} END "
        # What is written back as it was read was a number: '12', '-3', '12.0'.
        f"WHEN 'text' THEN CASE lower(trim({name})){named} WHEN CAST({whole} AS TEXT) THEN {whole} "
        f"WHEN CAST({whole} AS TEXT) || '.0' THEN {whole} END END"
    )


def _bring_to_zone(db: MigratedDatabase) -> None:
    unread: list[str] = []

    def brought(text: str) -> str:
        try:
            return danbooru_date(text)
        except (TypeError, ValueError):
            unread.append(text)
            return text

    db.raw.create_function("brought", 1, brought, deterministic=True)
    changes = 0
    with ticking(db.raw, "bringing dates to Danbooru's time zone"):
        for column in ("created_at", "updated_at"):
            odd = f"{column} NOT GLOB '*T*-0[45]:00'"
            changes += db.raw.execute(f"UPDATE post SET {column} = brought({column}) WHERE {odd}").rowcount
    changes -= len(unread)
    if changes:
        db.notes.append(f"dates brought to Danbooru's time zone: {changes:,}")
    if unread:
        db.notes.append(
            f"dates that name no moment were left as they are: {len(unread):,}, the first {unread[0]!r}"
        )
