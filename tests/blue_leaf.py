"""The three tables of KBlueLeaf's files, `post`, `tag` and `posttagrelation`, in the forms that he publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from pyarrow import parquet

from hakubooru.ingest.maps import COLUMNS
from set_records import KINDS, tags_of, typed

if TYPE_CHECKING:
    from pathlib import Path


def blue_leaf_tables(some: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The rows of `post`, `tag` and `posttagrelation`, as the published file has them."""
    names = sorted({name for post in some for name in tags_of(post)})
    ids = {name: 1000 - place for place, name in enumerate(names)}
    types = {
        name: number
        for post in some
        for number, kind in enumerate(KINDS)
        for name in typed(post)[f"tag_string_{kind}"].split()
    }
    flags = [column for column in COLUMNS if column.startswith(("has_", "is_"))]
    rows = []
    for post in some:
        row = {column: post[column] for column in COLUMNS} | {flag: int(post[flag]) for flag in flags}
        rows.append(row | {"rating": "gsqe".index(post["rating"])})
    pairs = [(post["id"], ids[name]) for post in some for name in tags_of(post)]
    used = [tag_id for _, tag_id in pairs]
    return {
        "post": rows,
        "tag": [
            {"id": ids[name], "name": name, "type": types[name], "popularity": used.count(ids[name])}
            for name in names
        ],
        "posttagrelation": [
            {"id": place, "post_id": post_id, "tag_id": tag_id}
            for place, (post_id, tag_id) in enumerate(pairs, 1)
        ],
    }


def blue_leaf_parquet(folder: Path, some: list[dict[str, Any]]) -> list[Path]:
    for name, rows in blue_leaf_tables(some).items():
        table = pa.Table.from_pylist(rows)
        for column in (
            ("parent_id", "pixiv_id") if name == "post" else ()
        ):  # as pandas writes integers with gaps
            place = table.column_names.index(column)
            table = table.set_column(place, column, table.column(column).cast(pa.float64()))
        (folder / "parquet").mkdir(parents=True, exist_ok=True)
        parquet.write_table(table, folder / "parquet" / f"{name}.parquet", row_group_size=5)
    return [folder / "parquet"]


def blue_leaf_duckdb(folder: Path, some: list[dict[str, Any]]) -> list[Path]:
    blue_leaf_parquet(folder, some)
    with duckdb.connect(str(folder / "danbooru2023.duckdb")) as connection:
        for name in ("post", "tag", "posttagrelation"):
            file = folder / "parquet" / f"{name}.parquet"
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM read_parquet('{file}')")
        connection.execute("CREATE INDEX post_id_relation ON posttagrelation (post_id)")
        connection.execute("CREATE UNIQUE INDEX tag_name ON tag (name)")
    return [folder / "danbooru2023.duckdb"]
