"""How a file stores what it holds: other programs write whole numbers as REAL or TEXT, and dates in UTC.

pandas makes a column with a gap REAL, sqlite-utils makes TEXT of what was text at first. Such a file looks whole, and
fails where numbers are joined, packed into bits, or compared by their text.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from peewee import ForeignKeyField, IntegerField

from hakubooru.errors import DatabaseFileError
from hakubooru.store.expressions import FlagColumn
from hakubooru.store.schema import Post, PostTagRelation, Tag

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS: Final[dict[str, dict[str, bool]]] = {
    model._meta.table_name: {  # noqa: SLF001 - peewee's documented name
        field.column_name: field.null
        for field in model._meta.sorted_fields  # noqa: SLF001
        if isinstance(field, IntegerField | FlagColumn | ForeignKeyField)
    }
    for model in (Post, Tag, PostTagRelation)
}
"""By table the columns of whole numbers, and whether one may be NULL."""

IN_UTC: Final = " OR ".join(
    f"created_at GLOB '*{ending}'" for ending in ("+00:00", "+00", "+0000", "Z", " UTC")
)
"""That the date of a post is in UTC."""

_ROWS: Final = 100
"""How many rows are looked at from either end of a table."""


def check_numbers(path: Path, connection: sqlite3.Connection) -> None:
    """Check that columns of whole numbers are declared so, and hold such in the first and last rows.

    Raises:
        DatabaseFileError: one is not, or does not.
    """
    odd = [
        f"{table}.{column} {how}"
        for table in NUMBERS
        for column, how in odd_columns(connection, table).items()
    ]
    if odd:
        raise DatabaseFileError(
            f"{path} stores whole numbers as something else ({', '.join(odd)}): run `hakubooru db migrate {path}`, which "
            "makes them whole (on the file, or on a copy)"
        )


def odd_columns(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    """The columns of whole numbers that are declared as something else, or hold something else; how, by name."""
    declared = dict(connection.execute("SELECT name, type FROM pragma_table_info(?)", [table]))
    columns = NUMBERS[table]
    odd = {name: f"as {declared[name]}" for name in columns if not _keeps_whole_numbers(declared[name])}
    for row in _ends(connection, table, ", ".join(f"typeof({name})" for name in columns)):
        for (name, nullable), kind in zip(columns.items(), row, strict=True):
            if kind != "integer" and not (nullable and kind == "null"):
                odd.setdefault(name, f"holds {'NULL' if kind == 'null' else kind}")
    return odd


def has_dates_in_utc(connection: sqlite3.Connection) -> bool:
    """Whether the first and last posts have their dates in UTC, as an earlier version of `build` left some."""
    rows = _ends(connection, "post", IN_UTC)
    return bool(rows) and all(is_utc for (is_utc,) in rows)


def needs_mending(connection: sqlite3.Connection) -> bool:
    """Whether a file of the present layout stores numbers or dates as other programs do."""
    return has_dates_in_utc(connection) or any(odd_columns(connection, table) for table in NUMBERS)


def _ends(connection: sqlite3.Connection, table: str, columns: str) -> list[tuple[object, ...]]:
    rows = f"SELECT {columns} FROM {table}"
    try:
        return [
            row
            for direction in ("ASC", "DESC")
            for row in connection.execute(f"{rows} ORDER BY rowid {direction} LIMIT {_ROWS}")
        ]
    except sqlite3.OperationalError as error:
        if "no such column" not in str(error):
            raise
        return connection.execute(f"{rows} LIMIT {_ROWS}").fetchall()  # a table without row ids, or a view


def _keeps_whole_numbers(declared: str) -> bool:
    """Whether a column of this type gives whole numbers back as such; https://www.sqlite.org/datatype3.html#type_affinity."""
    words = declared.upper()
    return "INT" in words or not any(
        word in words for word in ("CHAR", "CLOB", "TEXT", "REAL", "FLOA", "DOUB")
    )
