"""Joined files as people write them: odd ids, NaN, texts of any form, names of columns, members of tars."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import math
import tarfile
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import hakubooru as hb
from booru import write_random
from hakubooru.errors import InputError, SearchError
from pictures import add_special, write_tar

POSTS = 9


@pytest.fixture
def db(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_random(tmp_path / "posts.db", POSTS)
    with hb.open(tmp_path / "posts.db") as database:
        yield database


def values(db, path, column=None):
    joined = db.join("silva", path)
    return joined.values(db.connection(), np.arange(1, POSTS + 1), column)


def write_rows(path, rows):
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


NONE = [None] * 6


@pytest.mark.parametrize(
    ("name", "rows", "expected"),
    [
        ("ids.jsonl", ['{"id": "1", "x": 1}', '{"id": 2.0, "x": 2}', '{"id": " 3 ", "x": 3}'], [1, 2, 3]),
        ("ids.csv", ["id,x", "1.0,1", "2.00,2", '"3",3'], [1, 2, 3]),
        ("nan.csv", ["id,x", "1,0.5", "2,NaN", "3,nan"], [0.5, None, None]),
        ("inf.csv", ["id,x", "1,inf", "2, -Infinity", "3,-nan"], [math.inf, -math.inf, None]),
        ("large.csv", ["id,x", "1,1e999", "2,.5", "3,"], [math.inf, 0.5, None]),
        ("digits.csv", ["id,x", "1,٣", "2,4"], ["٣", "4", None]),
        ("nan.jsonl", ['{"id": 1, "x": 0.5}', '{"id": 2, "x": NaN}', '{"id": 3, "x": null}'], [0.5, None, None]),
        ("null.jsonl", ['{"id": 1, "x": "a"}', '{"id": 2, "x": null}', '{"id": 3}'], ["a", None, None]),
        ("nested.jsonl", ['{"id": 1, "x": true}', '{"id": 2, "x": [1]}', '{"id": 3, "x": {}}'], [1, None, None]),
        ("mixed.jsonl", ['{"id": 1, "x": 5}', '{"id": 2, "x": "b"}'], ["5", "b", None]),
        ("lines.csv", ["id,x", '1,"a, b', 'c ||| d"', '2,"say ""hi"""'], ["a, b\nc ||| d", 'say "hi"', None]),
        ("index.csv", [",id,x", "0,1,7", "1,2,8"], [7, 8, None]),
        ("both.csv", ["id,post_id,x", "900,1,7", "901,2,8"], [7, 8, None]),
        ("windows.csv", ["\ufeffid;x".replace(";", ","), "1,7\r"], [7, None, None]),
    ],
)  # fmt: skip
def test_rows_as_people_write_them(db, tmp_path, name, rows, expected):
    actual = values(db, write_rows(tmp_path / name, rows))
    assert actual == expected + NONE
    assert [type(value) for value in actual] == [type(value) for value in expected + NONE]


@pytest.mark.parametrize("value", [">0.5", "<=.5", "0.1..0.7", "..7", ">-1"])
def test_texts_are_not_compared_with_numbers(db, tmp_path, value):
    db.join("silva", write_rows(tmp_path / "s.csv", ["id,score", "1,0.5", "2,high", "3,>0.5"]))
    with pytest.raises(
        InputError, match=r"silva: has texts, such as 'high' of post 2, and cannot be compared"
    ):
        db.posts.search(f"silva:{value}")
    assert db.posts.search('silva:">0.5"').to_ids().tolist() == [3]
    assert db.posts.search("silva:high or silva:0.5").to_ids().tolist() == [1, 2]


PARQUET = {
    "strings": pa.array(["1", "2"]),
    "large strings": pa.array(["1", "2"], pa.large_string()),
    "floats": pa.array([1.0, 2.0]),
    "unsigned": pa.array([1, 2], pa.uint64()),
    "decimals": pa.array([Decimal(1), Decimal(2)]),
    "a dictionary": pa.array([1, 2]).dictionary_encode(),
}


@pytest.mark.parametrize("kind", PARQUET)
def test_ids_of_any_type_in_parquet(db, tmp_path, kind):
    parquet.write_table(pa.table({"post_id": PARQUET[kind], "x": [5, 6]}), tmp_path / "x.parquet")
    assert values(db, tmp_path / "x.parquet") == [5, 6, None, *NONE]


def test_columns_of_any_type_in_parquet(db, tmp_path):
    table = {
        "half": pa.array([0.5, float("nan")], pa.float16()),
        "text": pa.array(["a", None]).dictionary_encode(),
        "flag": pa.array([True, None]),
        "decimal": pa.array([Decimal("0.5"), None]),
        "view": pa.array(["a", None], pa.string_view()),
        "list": pa.array([["a"], []]),
        "day": pa.array([dt.date(2024, 1, 1), None]),
        "bytes": pa.array([b"a", None]),
    }
    parquet.write_table(pa.table({"id": [1, 2], **table}), tmp_path / "x.parquet")
    joined = db.join("silva", tmp_path / "x.parquet")
    kinds = {"half": "number", "text": "text", "flag": "number", "decimal": "number", "view": "text"}
    assert dict(joined.columns) == kinds
    actual = [joined.values(db.connection(), np.array([1, 2]), name) for name in joined.columns]
    assert actual == [[0.5, None], ["a", None], [1, None], [0.5, None], ["a", None]]


@pytest.mark.parametrize(
    "name", ["score", "order", "a b", 'quote"d', "ünï", "rowid", "SELECT", "x.y", "-1", "%"]
)
def test_columns_with_the_name_of_anything(db, tmp_path, name):
    parquet.write_table(pa.table({"id": [1, 2], name: [5, 7], "other": ["a", "b"]}), tmp_path / "x.parquet")
    assert values(db, tmp_path / "x.parquet", name)[:3] == [5, 7, None]
    shape = {"order": ["quality"], "quality_by": f"silva.{name.lower()}", "quality_scale": "values"}
    captions = db.posts.ids(1, 3).captions(shape | {"quality": {"high": 6, "low": 0}})
    assert [text for _, text in captions] == ["low", "high"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "id,x,x\n1,2,3\n", "has two columns 'x'; rename one of them"),
        ("a.csv", "id,x,X\n1,2,3\n", "the columns 'x' and 'X', which searches cannot tell apart"),
        ("a.csv", "id,x\n1_0,2\n", "'1_0' is not a post id"),
        ("a.csv", "id,x\n\u0661,2\n", "is not a post id"),
        ("a.csv", "id,x\n-1,2\n", "'-1' is not a post id"),
        ("a.csv", "id,x\n99999999999999999999,2\n", "is not a post id"),
        ("a.csv", 'id,x\n1,"a\n', "cannot be read: unexpected end of data"),
        (
            "a.jsonl",
            '{"id": 1, "x": 123456789012345678901234567890}\n',
            "a whole number of more than 64 bits",
        ),
        ("a.jsonl", '{"id": 1, "x": "\\ud800"}\n', "a text that is no Unicode"),
        ("a.jsonl", '{"id": 1, "x": 1}\n{"x": 1}\n', "None is not a post id"),
        ("a.jsonl", '[{"id": 1, "x": 1}]\n', "line 1 is not an object; write one object a line"),
    ],
)
def test_mistakes_are_told(db, tmp_path, name, text, message):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        db.join("silva", tmp_path / name)
    assert message in str(error.value)


@pytest.mark.parametrize("at", [12, 40, -9])
@pytest.mark.parametrize("name", ["a.csv.gz", "a.parquet", "a.tar.gz", "a.tar"])
def test_damaged_files_are_told(db, tmp_path, name, at):
    path = tmp_path / name
    rows = "".join(f"{post},{post * 0.37}\n" for post in range(4000))
    if name.endswith(".csv.gz"):
        path.write_bytes(gzip.compress(f"id,x\n{rows}".encode()))
    elif name.endswith(".parquet"):
        parquet.write_table(
            pa.table({"id": [*range(4000)], "x": np.random.default_rng(1).random(4000)}), path
        )
    else:
        write_tar(
            path, {f"{post}.txt": b"a" * post for post in range(90)}, mode="w:gz" if "gz" in name else "w"
        )
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] if at < 0 else data[:at] + b"\xff" * 40 + data[at + 40 :])
    with pytest.raises(InputError, match=r"cannot be read|cannot be joined|has no values"):
        db.join("silva", path)


def test_strange_members_of_a_tar_of_texts(db, tmp_path):
    texts = {
        "1.txt": "\ufeffA girl.\n".encode(),
        "deep/er/0002.txt": b"Two, commas ||| and marks",
        "../3.txt": b"no path",
        "4.txt": b" \n",
        "._5.txt": b"macOS",
        "5.TXT": b"shouted",
        "five.txt": b"x",
        "6.json": b"{}",
        "7.txt.bak": b"x",
    }
    path = write_tar(tmp_path / "t.tar", texts)
    add_special(path, "8.txt", tarfile.SYMTYPE, "/etc/passwd")
    add_special(path, "9.txt", tarfile.DIRTYPE)
    actual = values(db, path)
    assert actual == ["A girl.", "Two, commas ||| and marks", "no path", *[None] * 6]
    captions = dict(db.posts.ids(1, 4).captions({"order": ["keep", "text"], "text": "silva"}))
    assert captions[2] == "||| Two, commas and marks"
    plain = dict(db.posts.ids(1, 4).captions({"order": ["text"], "text": "silva"}))
    assert plain[2] == "Two, commas and marks"  # a trainer would cut at the marks here, too


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"1.txt": b"\xff\xfe"}, "1.txt is not UTF-8"),
        ({"1.txt": b"a", "x/01.txt": b"b"}, "post 1 has several rows; keep one"),
        ({"1.txt": b" " * (2**22 + 1)}, "1.txt has 4,194,305 bytes, and a text has at most 4,194,304"),
        ({"a.txt": b"x"}, "has no values of posts"),
    ],
)
def test_mistakes_in_a_tar_of_texts_are_told(db, tmp_path, members, message):
    with pytest.raises(InputError) as error:
        db.join("silva", write_tar(tmp_path / "t.tar", members))
    assert message in str(error.value)


def test_hidden_files_of_a_folder_are_passed_over(db, tmp_path):
    folder = tmp_path / "scores"
    (folder / ".cache").mkdir(parents=True)
    write_rows(folder / "a.csv", ["id,x", "1,5"])
    write_rows(folder / ".b.csv", ["id,x", "1,6"])
    write_rows(folder / ".cache" / "c.csv", ["id,x", "1,7"])
    assert values(db, folder) == [5, *[None] * 8]


def test_posts_without_a_row_are_unknown_and_not_zero(db, tmp_path):
    write_rows(tmp_path / "x.jsonl", [json.dumps({"id": post, "x": 0.0}) for post in (1, 2)])
    db.join("silva", tmp_path / "x.jsonl")
    assert db.posts.search("silva:<=0").to_ids().tolist() == [1, 2]
    assert db.posts.search("silva:none").to_ids().tolist() == [*range(3, POSTS + 1)]


def test_a_name_with_blanks_has_underscores_in_a_search(db, tmp_path):
    rows = ["id,Fine Score,a b,a-b,点 数,n_asc", "1,0.5,1,2,3,1", "2,0.7,2,1,4,2", "3,,,,,"]
    db.join("silva", write_rows(tmp_path / "s.csv", rows))
    results = {
        text: db.posts.search(text).to_ids().tolist()
        for text in (
            "silva.fine_score:>0.6",
            "SILVA.Fine_Score:<0.6",
            "silva.点_数:4",
            "silva.fine_score:any order:silva.fine_score",
            "silva.n_asc:any order:silva.n_asc",
            "silva.n_asc:any order:silva.n_asc_asc",
        )
    }
    assert [*results.values()] == [[2], [1], [2], [2, 1], [2, 1], [1, 2]]
    with pytest.raises(SearchError, match=r"no tag 'silva\.a_b:1'"):  # two columns could be meant
        db.posts.search("silva.a_b:1")
    assert db.posts.order_by("-silva.fine score").limit(1).to_ids().tolist() == [2]
    shape = {
        "base": "danbooru",
        "order": ["quality"],
        "quality_by": "silva.fine score",
        "quality_scale": "database",
    }
    assert list(db.posts.among([1, 2]).captions(shape))
