"""Renumbering of tags and relations, so that ids do not depend on the order of dumps."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from peewee import SchemaManager


def put_in_order(connection: sqlite3.Connection, relations: SchemaManager, largest_known: int) -> None:
    """Number the tags by name and the relations by post. The caller then has to create the indices of relations.

    Args:
        connection: a new file, whose tag ids nobody uses yet, in a transaction of the caller.
        relations: the schema manager that creates the table of relations.
        largest_known: the largest id of Danbooru's own; ids up to it are not changed.
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
