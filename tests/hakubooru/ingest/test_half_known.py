"""Files that are almost a known set: each opens rightly, or is refused in words that say what to do."""

import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

from danbooru import api_post, contents, tags_of, write_lines
from hakubooru.errors import DumpError
from hakubooru.ingest import build
from set_files import tar_of, write_sqlite
from set_records import KINDS

UNTYPED = dict.fromkeys((f"tag_string_{kind}" for kind in KINDS), ...)
NOON = "2023-02-03T12:00:00.000-05:00"


def lines(folder, *changes):
    """Posts of Danbooru's API as JSON lines, each with some keys changed."""
    posts = [api_post(number) | change for number, change in enumerate(changes, 1)]
    return write_lines(
        folder / "set.jsonl",
        [{key: value for key, value in post.items() if value is not ...} for post in posts],
    )


def table(folder, *changes):
    """Posts of Danbooru's API as Parquet, each with some keys changed."""
    rows = [
        {"id": number, "tag_string": "solo", "rating": "g"} | change
        for number, change in enumerate(changes, 1)
    ]
    parquet.write_table(pa.Table.from_pylist(rows), folder / "set.parquet")
    return folder / "set.parquet"


def arrow(folder, names, *arrays):
    parquet.write_table(pa.Table.from_arrays(list(arrays), names), folder / "set.parquet")
    return folder / "set.parquet"


def text(folder, data, name="set.csv"):
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder / name


def duck(folder, query):
    with duckdb.connect(str(folder / "set.duckdb")) as connection:
        connection.execute(query)
    return folder / "set.duckdb"


def column(path, name):
    with closing(sqlite3.connect(path)) as connection:
        return [value for (value,) in connection.execute(f"SELECT {name} FROM post ORDER BY id")]


# What opens, with the values of a column of the built file.
OPENS = {
    "ids as DOUBLE": (lambda folder: table(folder, {"id": 7.0}, {"id": 8.0}), "id", [7, 8]),
    "ids as DECIMAL": (lambda folder: table(folder, {"id": Decimal(7)}, {"id": Decimal(8)}), "id", [7, 8]),
    "ids as text with zeros, in CSV": (
        lambda folder: text(folder, "id,tag_string\n0000123,solo\n+5,solo\n"),
        "id",
        [5, 123],
    ),
    "NaN as JSON of Python's own library": (
        lambda folder: text(
            folder, json.dumps(api_post(1) | {"parent_id": float("nan"), "score": 5}) + "\n", "a.jsonl"
        ),
        "parent_id",
        [None],
    ),
    "NaN for a date and a flag": (
        lambda folder: table(folder, {"created_at": float("nan"), "is_deleted": float("nan"), "score": 2}),
        "created_at",
        [None],
    ),
    "a rating as a word, in capitals": (
        lambda folder: lines(folder, {"rating": "Explicit"}, {"rating": "SAFE"}, {"rating": "q"}),
        "rating",
        [3, 1, 2],
    ),
    "timestamps with a zone": (
        lambda folder: table(folder, {"created_at": datetime(2023, 2, 3, 17, tzinfo=UTC)}),
        "created_at",
        [NOON],
    ),
    "timestamps of nanoseconds": (
        lambda folder: arrow(
            folder,
            ["id", "tag_string", "created_at"],
            pa.array([1]),
            pa.array(["solo"]),
            pa.array([1675443600_000000000], pa.timestamp("ns", "UTC")),
        ),
        "created_at",
        [NOON],
    ),
    "a struct of DuckDB": (
        lambda folder: duck(
            folder,
            "CREATE TABLE t AS SELECT 1 AS id, 'solo' AS tag_string, {'file_ext': 'png', 'file_size': 9} AS media_asset",
        ),
        "file_ext",
        ["png"],
    ),
    "a flattened struct, as a column with a dot": (
        lambda folder: write_sqlite(
            folder / "set.db", {"t": [{"id": 1, "tag_string": "solo", "media_asset.file_ext": "png"}]}
        )[0],
        "file_ext",
        ["png"],
    ),
    "a timestamp of DuckDB": (
        lambda folder: duck(
            folder,
            "CREATE TABLE t AS SELECT 1 AS id, 'solo' AS tag_string, TIMESTAMPTZ '2023-02-03 17:00:00+00' AS created_at",
        ),
        "created_at",
        [NOON],
    ),
    "a table beside a view and another schema": (
        lambda folder: duck(
            folder,
            "CREATE TABLE t AS SELECT 1 AS id, 'solo' AS tag_string; CREATE VIEW v AS SELECT * FROM t; "
            "CREATE SCHEMA other; CREATE TABLE other.u AS SELECT 5 AS id, 'x' AS tag_string",
        ),
        "id",
        [1],
    ),
    "shards of which one is empty": (
        lambda folder: [
            parquet.write_table(pa.table({"id": ids, "tag_string": ["solo"] * len(ids)}), folder / f"{name}.parquet")
            for name, ids in {"a": [1], "b": [2]}.items()
        ]
        and (
            parquet.write_table(
                pa.table({"id": pa.array([], pa.int64()), "tag_string": pa.array([], pa.string())}),
                folder / "0.parquet",
            )
            or folder
        ),
        "id",
        [1, 2],
    ),
    "an archive that begins with a README": (
        lambda folder: text(
            folder,
            tar_of({"set/README": b"The posts, and more.", "set/posts.json": json.dumps(api_post(4)).encode()}),
            "set.tar",
        ),
        "id",
        [4],
    ),
    "a folder that begins with what a downloader kept of errors": (
        lambda folder: text(folder, json.dumps({"success": False, "message": "gone"}), "0.json")
        and text(folder, json.dumps(api_post(3), indent=4), "3.json").parent,
        "id",
        [3],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPENS)
def test_it_opens(tmp_path, name):
    make, of_column, values = OPENS[name]
    (tmp_path / "set").mkdir()
    build([make(tmp_path / "set")], tmp_path / "some.db")
    assert column(tmp_path / "some.db", of_column) == values


# Tags in other forms; the built file has 1girl and long_hair of post 1.
TAGS = {
    "a list": (lambda folder: table(folder, {"tag_string": ["1girl", "long_hair"]})),
    "a list as JSON in a text": (lambda folder: lines(folder, UNTYPED | {"tag_string": '["1girl", "long_hair"]'})),
    "spaces before, between and after": (lambda folder: lines(folder, UNTYPED | {"tag_string": "  1girl   long_hair "})),
    "one name twice": (lambda folder: lines(folder, UNTYPED | {"tag_string": "1girl long_hair 1girl"})),
    "a dictionary column": (
        lambda folder: arrow(
            folder, ["id", "tag_string"], pa.array([1]), pa.array(["1girl long_hair"]).dictionary_encode()
        )
    ),
    "objects with categories, in Parquet": (
        lambda folder: table(
            folder,
            {"tag_string": [{"name": "1girl", "category": 0}, {"name": "long_hair", "category": 0}]},
        )
    ),
    "commas and blanks, of isek-ai": (
        lambda folder: write_sqlite(
            folder / "set.db",
            {"t": [{"id": 1, "general": "1girl,long hair", "character": None, "copyright": "", "artist": None, "meta": None}]},
        )[0]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TAGS)
def test_tags_are_read_in_any_form(tmp_path, name):
    (tmp_path / "set").mkdir()
    build([TAGS[name](tmp_path / "set")], tmp_path / "some.db")
    assert tags_of(tmp_path / "some.db", 1) == ["1girl", "long_hair"]


# What is refused as a whole, because no record is right: the message has the first reason.
REFUSED = {
    "columns in capitals": (
        lambda folder: text(folder, "ID,Tag_String\n1,solo\n"),
        "is CSV, and holds records with the keys ID, Tag_String: that is no set of posts",
    ),
    "two columns of one name": (
        lambda folder: text(folder, "id,tag_string,score,score\n1,solo,1,2\n"),
        "line 1: it has two columns 'score'; rename one of them",
    ),
    "ids as text": (
        lambda folder: lines(folder, {"id": "0012"}),
        "line 1: id is '0012', and must be a whole number; `texts = true` of a --map reads numbers and flags in texts",
    ),
    "flags as text": (
        lambda folder: lines(folder, {"is_deleted": "False"}),
        "is_deleted is 'False', and must be true or false; `texts = true` of a --map",
    ),
    "broken ids": (lambda folder: lines(folder, {"id": 1.5}), "id is 1.5, and must be a whole number"),
    "half numbers": (lambda folder: table(folder, {"id": Decimal("1.5")}), "row 1: id is of the type Decimal, and must be"),
    "infinity as an id": (lambda folder: table(folder, {"id": float("inf")}), "row 1: id is inf, and must be a whole number"),
    "NaN as ids": (lambda folder: table(folder, {"id": float("nan")}), "row 1: id is missing"),
    "no tags at all": (lambda folder: table(folder, {"tag_string": None, "score": 5}), "tag_string is missing"),
    "ratings that nobody knows": (
        lambda folder: lines(folder, {"rating": "nsfw"}),
        "rating is 'nsfw', and must be one of g, s, q, e",
    ),
    "ratings as numbers": (lambda folder: table(folder, {"rating": 2}), "rating is 2, and must be one of g, s, q, e"),
    "milliseconds for a date": (
        lambda folder: lines(folder, {"created_at": 1675443600000}),
        'and must be a date such as 2005-05-23T23:35:31.000-04:00; `dates = "epoch"` of a --map reads seconds or milliseconds',
    ),
    "timestamps without a zone": (
        lambda folder: table(folder, {"created_at": datetime(2023, 2, 3)}),  # noqa: DTZ001
        "without a time zone, and must be a date such as 2005-05-23T23:35:31.000-04:00; `zone` of a --map names the zone",
    ),
    "tags with commas": (
        lambda folder: lines(folder, UNTYPED | {"tag_string": "1girl, long hair"}, {"tag_string": "solo, comic"}),
        "has commas between the tags of tag_string, and posts of Danbooru's API have spaces: describe its keys with --map",
    ),
    "a list as Python prints it": (
        lambda folder: lines(folder, UNTYPED | {"tag_string": "['1girl', 'solo']"}),
        "tag_string is a list that is not JSON, and must be tags or a list of JSON",
    ),
    "a list with blanks in its names": (
        lambda folder: lines(folder, UNTYPED | {"tag_string": ["long hair"]}),
        "tag_string has names with spaces; `blanks = true` of a --map reads them",
    ),
    "tags as numbers": (lambda folder: lines(folder, UNTYPED | {"tag_string": 5}), "tag_string is a number, and must be tags"),
    "a column twice": (
        lambda folder: arrow(folder, ["id", "tag_string", "id"], pa.array([1]), pa.array(["a"]), pa.array([2])),
        "holds records with the keys tag_string: that is no set",
    ),
    "bytes that are no text": (
        lambda folder: arrow(
            folder,
            ["id", "tag_string"],
            pa.array([1]),
            pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")),
        ),
        "is a damaged Parquet file",
    ),
    "no rows": (
        lambda folder: arrow(folder, ["id", "tag_string"], pa.array([], pa.int64()), pa.array([], pa.string())),
        "there are no posts in",
    ),
    "headings alone": (lambda folder: text(folder, "id,tag_string\n"), "there are no posts in"),
    "an empty array": (lambda folder: text(folder, "[]", "set.json"), "there are no posts in"),
    "a CSV of another encoding": (
        lambda folder: text(folder, "id,tag_string\n1,poké\n".encode("latin-1")),
        "line 1: 'utf-8' codec can't decode byte 0xe9",
    ),
    "a quote that does not end": (lambda folder: text(folder, 'id,tag_string\n1,"solo\n'), "line"),
    "an archive of a hundred pictures": (
        lambda folder: text(folder, tar_of({f"{number}.jpg": b"\xff\xd8\xff" for number in range(150)}), "set.tar"),
        "set.tar/0.jpg is not a dump (100 files like it): name a file of posts",
    ),
    "a pipe": (
        lambda folder: (os.mkfifo(folder / "pipe"), folder / "pipe")[1],
        "is no file, and a dump is read more than once; write it to a file",
    ),
    "a view of a file of this machine": (
        lambda folder: duck(folder, "CREATE VIEW posts AS SELECT 1 AS id, 'a' AS tag_string"),
        "has 0 tables of posts",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_words(tmp_path, name):
    make, message = REFUSED[name]
    (tmp_path / "set").mkdir()
    with pytest.raises(DumpError) as caught:
        build([make(tmp_path / "set")], tmp_path / "some.db")
    assert message in str(caught.value)
    assert str(tmp_path / "set") in str(caught.value)
    assert not (tmp_path / "some.db").exists()


def test_one_bad_record_among_good_ones_is_rejected_with_its_file(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    for number, record in enumerate([api_post(1), api_post(2) | {"score": [5]}, {"error": "gone"}], 1):
        text(folder, json.dumps(record), f"{number}.json")
    text(folder, '{"id": 4,', "4.json")
    report = build([folder], tmp_path / "some.db")
    assert (report.new, report.rejected) == (1, 3)
    rejects = [json.loads(line) for line in report.rejects.read_text().splitlines()]
    assert [(Path(row["dump"]).name, row["reason"][:30]) for row in rejects] == [
        ("2.json", "score is a list, and must be a"),
        ("3.json", "id is missing"),
        ("4.json", "the file is not JSON in UTF-8:"),
    ]


def test_one_id_with_different_content(tmp_path):
    rows = [
        {"score": 1, "updated_at": NOON},
        {"score": 9, "updated_at": "2022-02-03T12:00:00.000-05:00"},
        {"score": 5, "updated_at": NOON},
    ]
    posts = [api_post(1) | row for row in rows]
    for place, some in enumerate((posts, posts[::-1])):
        report = build([write_lines(tmp_path / f"{place}.jsonl", some)], tmp_path / f"{place}.db")
        assert (report.new, report.unchanged) == (1, 2)
        assert column(tmp_path / f"{place}.db", "score") == [5], "the newest, and among equals the greatest"
    assert contents(tmp_path / "0.db") == contents(tmp_path / "1.db")


def test_mixed_types_in_one_column(tmp_path):
    values = [5, 6.0, None, "7", True, [8]]
    report = build([lines(tmp_path, *({"score": value} for value in values))], tmp_path / "some.db")
    assert column(tmp_path / "some.db", "score") == [5, 6, None]
    assert report.rejected == 3
