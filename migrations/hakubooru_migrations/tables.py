"""Rebuild tables with other columns, for several scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakubooru.store.writing import ticking

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hakubooru_migrations.runner import MigratedDatabase

NULLABLE_TEXT, TEXT, INTEGER, NULLABLE_INTEGER = (
    "VARCHAR(255)",
    "VARCHAR(255) NOT NULL",
    "INTEGER NOT NULL",
    "INTEGER",
)


def rebuild_post(
    db: MigratedDatabase, columns: Mapping[str, str], values: Mapping[str, str], doing: str
) -> None:
    """Rebuild the table of posts with other columns.

    Args:
        db: the file.
        columns: the type of each new column, by name.
        values: the SQL for the value of a new column, by name; by default, the old column of that name.
        doing: the label of the progress bar.
    """
    old = [values.get(name, f'"{name}"') for name in columns]
    _make_anew(db, "post", [f'"{name}" {kind}' for name, kind in columns.items()], old, doing)


def rebuild(
    db: MigratedDatabase,
    table: str,
    columns: Mapping[str, str],
    values: Mapping[str, str],
    constraints: Sequence[str],
) -> None:
    """Rebuild a table with other column types. Indices, triggers and additional columns of users are kept.

    Args:
        db: the file.
        table: the name of the table.
        columns: the type of each new column, by name.
        values: the SQL for the value of a new column, by name; by default, the old column of that name.
        constraints: the constraints of the table, such as foreign keys.
    """
    names = "SELECT name, type FROM pragma_table_info(?)"
    all_columns = {**dict(db.raw.execute(names, [table])), **columns}
    definitions = [f'"{name}" {kind}' for name, kind in all_columns.items()]
    old = [values.get(name, f'"{name}"') for name in all_columns]
    dependent = "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type IN ('index', 'trigger') AND sql IS NOT NULL"
    statements = [sql for (sql,) in db.raw.execute(dependent, [table])]
    _make_anew(db, table, [*definitions, *constraints], old, f"converting the numbers of {table}")
    with ticking(db.raw, "indexing"):
        for statement in statements:
            db.raw.execute(statement)


def _make_anew(
    db: MigratedDatabase, table: str, definitions: Sequence[str], old: Sequence[str], doing: str
) -> None:
    with ticking(db.raw, doing):
        db.raw.execute(f'CREATE TABLE "new_{table}" ({", ".join(definitions)})')
        db.raw.execute(f"INSERT INTO new_{table} SELECT {', '.join(old)} FROM {table} ORDER BY id")
        db.raw.execute(f"DROP TABLE {table}")
        db.raw.execute(f'ALTER TABLE "new_{table}" RENAME TO "{table}"')
