"""Ids that depend on what a file holds, and not on the order in which it came."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from peewee import SchemaManager


def put_in_order(connection: sqlite3.Connection, relations: SchemaManager, largest_known: int) -> None:
    """Number the tags by name and the relations by post; the indices of relations have to be made afterwards.

    Args:
        connection: a file whose tag ids nobody has seen yet; the caller holds the transaction.
        relations: makes the table of relations.
        largest_known: ids up to this one are Danbooru's own, and stay.
    """
    for statement in (
        "CREATE TEMP TABLE numbered (old INTEGER PRIMARY KEY, new INTEGER, name TEXT, type INTEGER, popularity INTEGER)",
        (
            f"INSERT INTO numbered SELECT id, {largest_known} + row_number() OVER (ORDER BY name), name, type, popularity "
            f"FROM tag WHERE id > {largest_known}"
        ),
        f"DELETE FROM tag WHERE id > {largest_known}",
        "INSERT INTO tag (id, name, type, popularity) SELECT new, name, type, popularity FROM numbered ORDER BY new",
        "ALTER TABLE posttagrelation RENAME TO unordered",
    ):
        connection.execute(statement)
    relations.create_table(safe=False)
    connection.execute(
        "INSERT INTO posttagrelation (post_id, tag_id) SELECT post_id, ifnull(new, tag_id) FROM unordered "
        "LEFT JOIN numbered ON old = tag_id ORDER BY post_id, unordered.id"
    )
    connection.execute("DROP TABLE unordered")
    connection.execute("DROP TABLE numbered")
