"""What several scripts do with tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakubooru.writing import ticking

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    """Make the table of posts anew with other columns.

    Args:
        db: the file.
        columns: type by name.
        values: what an old row gives for a column, where that is not the column of the same name.
        doing: what the progress bar says.
    """
    definitions = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
    old = ", ".join(values.get(name, f'"{name}"') for name in columns)
    with ticking(db.raw, doing):
        db.raw.execute(f'CREATE TABLE "new_post" ({definitions})')
        db.raw.execute(f"INSERT INTO new_post SELECT {old} FROM post ORDER BY id")
        db.raw.execute("DROP TABLE post")
        db.raw.execute('ALTER TABLE "new_post" RENAME TO "post"')
