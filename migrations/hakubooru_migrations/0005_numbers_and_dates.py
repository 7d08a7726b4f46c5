"""Migrate to this project's own layout 2: store whole numbers as integers, and dates in Danbooru's time zone.

Other programs write numbers as REAL or TEXT, and earlier versions of hakubooru kept the UTC dates of some dumps. A value
that cannot be read as a whole number is an error. A date that cannot be read is kept and reported. A value that a post does
not have stays NULL: nobody knows whether it is 0.
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
        "uploader_id": NULLABLE_INTEGER,
        "source": TEXT,
        "md5": NULLABLE_TEXT,
        "parent_id": NULLABLE_INTEGER,
        "has_children": NULLABLE_INTEGER,
        "is_deleted": NULLABLE_INTEGER,
        "is_banned": NULLABLE_INTEGER,
        "pixiv_id": NULLABLE_INTEGER,
        "has_active_children": NULLABLE_INTEGER,
        "bit_flags": NULLABLE_INTEGER,
        "has_large": NULLABLE_INTEGER,
        "has_visible_children": NULLABLE_INTEGER,
        "image_width": NULLABLE_INTEGER,
        "image_height": NULLABLE_INTEGER,
        "file_size": NULLABLE_INTEGER,
        "file_ext": TEXT,
        "rating": NULLABLE_INTEGER,
        "score": NULLABLE_INTEGER,
        "up_score": NULLABLE_INTEGER,
        "down_score": NULLABLE_INTEGER,
        "fav_count": NULLABLE_INTEGER,
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
NEEDED: Final = {"id", "post_id", "tag_id"}
"""The columns that must have a value."""


def up(migrator: Any, db: MigratedDatabase) -> None:  # noqa: ARG001 - peewee's signature
    """Migrate the file, inside a transaction of the caller."""
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
            f"{db.path} has a duplicate or missing value ({error}); correct it, and run the same command again"
        ) from error
    _bring_to_zone(db)
    db.raw.execute("PRAGMA user_version = 2")


def _holds_odd(db: MigratedDatabase, table: str) -> bool:
    """Whether a row of a table has a value that is not a whole number; relations are too many to check each."""
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
    db.notes.append(f"the numbers of the table {table} are now stored as whole numbers")


def _check_readable(db: MigratedDatabase, table: str, name: str, whole: str) -> None:
    is_gap = f"({name} IS NULL OR {name} = '')"
    allowed = "0" if name in NEEDED else is_gap
    row = db.raw.execute(
        f"SELECT id, {name} FROM {table} WHERE {whole} IS NULL AND NOT {allowed} LIMIT 1"
    ).fetchone()
    if row is not None:
        raise DatabaseFileError(
            f"{db.path}: {table}.{name} is {row[1]!r} in the row with id {row[0]!r}, and must be a whole number; "
            "correct it in SQLite's own shell, and run the same command again"
        )


def _whole(name: str) -> str:
    """The SQL that converts a column to whole numbers; NULL for a value that cannot be converted."""
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
        # A text is a number if the cast number is written the same way: '12', '-3', '12.0'.
        f"WHEN 'text' THEN CASE lower(trim({name})){named} WHEN CAST({whole} AS TEXT) THEN {whole} "
        f"WHEN CAST({whole} AS TEXT) || '.0' THEN {whole} END END"
    )


def _bring_to_zone(db: MigratedDatabase) -> None:
    unreadable: list[str] = []

    def in_danbooru_zone(text: str) -> str:
        try:
            return danbooru_date(text)
        except (TypeError, ValueError):
            unreadable.append(text)
            return text

    db.raw.create_function("in_danbooru_zone", 1, in_danbooru_zone, deterministic=True)
    changes = 0
    with ticking(db.raw, "converting dates to Danbooru's time zone"):
        for column in ("created_at", "updated_at"):
            odd = f"{column} NOT GLOB '*T*-0[45]:00'"
            update = f"UPDATE post SET {column} = in_danbooru_zone({column}) WHERE {odd}"
            changes += db.raw.execute(update).rowcount
    changes -= len(unreadable)
    if changes:
        db.notes.append(f"dates converted to Danbooru's time zone: {changes:,}")
    if unreadable:
        db.notes.append(
            f"dates that cannot be read were not changed: {len(unreadable):,}, the first is {unreadable[0]!r}"
        )
