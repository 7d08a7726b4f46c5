"""Columns of posts in tables and files, those that are made of several among them."""

from __future__ import annotations

import csv
import json

import pytest
from pyarrow import parquet

import hakubooru as hb
from booru import post_row, write
from hakubooru.errors import InputError
from hakubooru.results.tables import write_table

NAMES = ["id", "tags", "character", "artist", "caption", "quality", "year", "created_at"]


@pytest.fixture
def db(tmp_path):
    rows = [
        post_row(1, created_at="2017-01-01T00:30:00.500-05:00", fav_count=500),
        post_row(2, created_at="2019-07-04T12:00:00.000-04:00"),
        post_row(3, created_at="unknown"),
    ]
    bags = {1: ["1girl", "illaoi", "bespin"], 2: ["solo", "o_o"], 3: []}
    write(tmp_path / "three.db", rows, bags.__getitem__)
    with hb.open(tmp_path / "three.db") as db:
        yield db


def test_a_frame_has_lists_captions_labels_and_moments(db):
    frame = db.posts.order_by("-id").to_pandas(NAMES)
    assert frame["id"].tolist() == [3, 2, 1]
    assert frame["tags"].tolist() == [[], ["solo", "o_o"], ["1girl", "illaoi", "bespin"]]
    assert frame["character"].tolist() == [[], [], ["illaoi"]]
    assert frame["artist"].tolist() == [[], [], ["bespin"]]
    assert frame["quality"].tolist() == ["worst quality", "worst quality", "masterpiece"]
    assert frame["year"].isna().tolist() == [True, False, False]
    assert frame["year"].tolist()[1:] == [2019, 2017]
    assert frame["caption"].tolist() == [caption for _, caption in db.posts.order_by("-id").captions()]
    assert str(frame["created_at"].dtype) == "datetime64[ms, America/New_York]"
    assert [str(moment) for moment in frame["created_at"]] == [
        "NaT",
        "2019-07-04 12:00:00-04:00",
        "2017-01-01 00:30:00.500000-05:00",
    ]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_file_has_what_the_table_has(db, tmp_path, suffix):
    path = tmp_path / f"posts{suffix}"
    write_table(path, db, db.posts.to_ids(), NAMES)
    if suffix == ".parquet":
        assert parquet.read_table(path).equals(db.posts.to_arrow(NAMES))
    elif suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        assert [row["tags"] for row in rows] == [["1girl", "illaoi", "bespin"], ["solo", "o_o"], []]
        assert [row["created_at"] for row in rows] == [
            "2017-01-01T00:30:00.500-05:00",
            "2019-07-04T12:00:00.000-04:00",
            None,
        ]
    else:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["tags"] for row in rows] == ["1girl illaoi bespin", "solo o_o", ""]
        assert [row["year"] for row in rows] == ["2017", "2019", ""]


def test_a_wrong_column_or_suffix_is_told(db, tmp_path):
    with pytest.raises(InputError, match="did you mean 'character'"):
        db.posts.to_pandas(["charakter"])
    with pytest.raises(InputError, match=r"\.csv or \.jsonl"):
        write_table(tmp_path / "posts.tsv", db, db.posts.to_ids(), None)


def test_values_are_counted(db):
    assert db.posts.value_counts("character").to_dict() == {"illaoi": 1}
    assert db.posts.value_counts("quality").to_dict() == {"worst quality": 2, "masterpiece": 1}
    assert db.posts.value_counts("rating").to_dict()["general"] == 3
