"""Checks of how a file stores numbers and dates: other programs write integers as REAL or TEXT, and dates in UTC.

pandas makes a column with a gap REAL, and sqlite-utils makes a column TEXT if its first value was text. Such a file
looks right, but it fails when numbers are joined, packed into bits, or compared as text.
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
"""The columns of whole numbers by table, each with whether it may be NULL."""

IN_UTC: Final = " OR ".join(
    f"created_at GLOB '*{ending}'" for ending in ("+00:00", "+00", "+0000", "Z", " UTC")
)
"""The SQL condition that the date of a post is in UTC."""

_ROWS: Final = 100
"""How many rows are checked at each end of a table."""


def check_numbers(path: Path, connection: sqlite3.Connection) -> None:
    """Check that columns of whole numbers are declared as such, and have whole numbers in the first and last rows.

    Raises:
        DatabaseFileError: a column is declared as something else, or has other values.
    """
    odd = [
        f"{table}.{column} {description}"
        for table in NUMBERS
        for column, description in odd_columns(connection, table).items()
    ]
    if odd:
        raise DatabaseFileError(
            f"{path} stores whole numbers as something else ({', '.join(odd)}): run `hakubooru db migrate {path}` to "
            "convert them (or migrate a copy)"
        )


def odd_columns(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    """The columns of a table that should be whole numbers and are not: the description of each, by name."""
    declared = dict(connection.execute("SELECT name, type FROM pragma_table_info(?)", [table]))
    columns = NUMBERS[table]
    odd = {name: f"as {declared[name]}" for name in columns if not _keeps_whole_numbers(declared[name])}
    for row in _ends(connection, table, ", ".join(f"typeof({name})" for name in columns)):
        for (name, nullable), kind in zip(columns.items(), row, strict=True):
            if kind != "integer" and not (nullable and kind == "null"):
                odd.setdefault(name, f"holds {'NULL' if kind == 'null' else kind}")
    return odd


def has_dates_in_utc(connection: sqlite3.Connection) -> bool:
    """Whether the first and last posts have dates in UTC, which earlier versions of `build` did not convert."""
    rows = _ends(connection, "post", IN_UTC)
    return bool(rows) and all(is_utc for (is_utc,) in rows)


def needs_mending(connection: sqlite3.Connection) -> bool:
    """Whether a file of the current layout stores integers as something else, or dates in UTC."""
    return has_dates_in_utc(connection) or any(odd_columns(connection, table) for table in NUMBERS)


def _ends(connection: sqlite3.Connection, table: str, values: str) -> list[tuple[object, ...]]:
    """The different values that expressions have in the first rows of a table, and those of its last rows."""
    rows = f"SELECT DISTINCT {values} FROM (SELECT * FROM {table}"
    try:
        return [
            row
            for direction in ("ASC", "DESC")
            for row in connection.execute(f"{rows} ORDER BY rowid {direction} LIMIT {_ROWS})")
        ]
    except sqlite3.OperationalError as error:
        if "no such column" not in str(error):
            raise
        return connection.execute(f"{rows} LIMIT {_ROWS})").fetchall()  # a table without row ids, or a view


def _keeps_whole_numbers(declared: str) -> bool:
    """Whether a column of this declared type keeps integers; see https://www.sqlite.org/datatype3.html#type_affinity."""
    words = declared.upper()
    return "INT" in words or not any(
        word in words for word in ("CHAR", "CLOB", "TEXT", "REAL", "FLOA", "DOUB")
    )
