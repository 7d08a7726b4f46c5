"""Lists of post ids, as other libraries and editors leave them."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

import hakubooru as hb
from booru import post_row, write
from hakubooru.arrays import as_ids
from hakubooru.errors import InputError
from hakubooru.select.id_lists import read_ids, write_ids


class Foreign:
    """What exchanges data by Arrow's protocol alone, as Polars and DuckDB do."""

    def __init__(self, data):
        self.data = data

    def __arrow_c_stream__(self, requested_schema=None):
        return self.data.__arrow_c_stream__(requested_schema)


IDS = {
    "list": [3, 1, 2],
    "generator": (number for number in (3, 1, 2)),
    "whole floats": [3.0, 1, Decimal(2)],
    "text": ["3", "1", "2"],
    "int8": np.array([3, 1, 2], np.int8),
    "uint64": np.array([3, 1, 2], np.uint64),
    "float32": np.array([3, 1, 2], np.float32),
    "objects": np.array([3, np.int32(1), "2"], object),
    "series": pd.Series([3, 1, 2]),
    "nullable series": pd.Series([3, 1, 2], dtype="Int64"),
    "index": pd.Index([3, 1, 2]),
    "frame": pd.DataFrame({"id": [3, 1, 2], "score": [0, 0, 0]}),
    "array": pa.array([3, 1, 2]),
    "chunks": pa.chunked_array([[3], [1, 2]]),
    "dictionary": pa.array([3, 1, 2]).dictionary_encode(),
    "table": pa.table({"score": [0, 0, 0], "id": [3, 1, 2]}),
    "batch": pa.record_batch({"number": [3, 1, 2]}),
    "stream of numbers": Foreign(pa.chunked_array([[3, 1, 2]])),
    "stream of rows": Foreign(pa.table({"id": [3, 1, 2], "score": [0, 0, 0]})),
}


@pytest.mark.parametrize("name", IDS)
def test_ids_are_taken_from_what_holds_them(name):
    ids = as_ids(IDS[name])
    assert ids.dtype == np.int64
    assert ids.tolist() == [3, 1, 2]


WRONG = {
    "text": (["1", "x"], "entry 2: 'x' is not a post id"),
    "fractions": ([1.5, 2.7], "entry 1: '1.5' is not a post id"),
    "NaN": (np.array([1.0, np.nan]), "entry 2: 'nan' is not a post id"),
    "infinite": (np.array([np.inf]), "'inf' is not a post id"),
    "missing": (
        pa.array([1, None]),
        "entry 2: 'nan' is not a post id; give whole numbers, none of them missing",
    ),
    "NA": (pd.Series([1, None], dtype="Int64"), "entry 2: 'nan' is not a post id"),
    "none": ([1, None], "entry 2: 'None' is not a post id"),
    "truth": ([True, False], "entry 1: 'True' is not a post id"),
    "NumPy's truth": ([np.True_], "entry 1: 'True' is not a post id"),
    "flags": (np.array([True]), "entry 1: 'True' is not a post id"),
    "too large": (np.array([1, 2**63 + 5], np.uint64), "entry 2: '9223372036854775813' is not a post id"),
    "too large a float": (np.array([2.0**60]), "is not a post id"),
    "too large a number": ([2**63], "is not a post id"),
    "lists": (pa.array([[1], [2]]), "is not a post id"),
    "dates": (np.array(["2024-01-01"], "datetime64[ns]"), "entry 1: '2024-01-01T00.* is not a post id"),
    "square": (np.array([[1, 2]]), "has 2 dimensions"),
    "one number": (5, "the list of ids must be a list, an array or a file of post ids, not 5"),
    "bytes": (b"12", "must be a list, an array or a file"),
    "columns": (
        pa.table({"a": [1], "b": [2]}),
        "has no column id; pass only the column with the ids, one of a, b",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_id_is_refused_in_words(name):
    values, message = WRONG[name]
    with pytest.raises(InputError, match=message):
        as_ids(values)


@pytest.mark.parametrize("name", ["text", "fractions", "NaN", "lists", "too large", "columns", "missing"])
def test_what_is_no_id_in_a_parquet_file_is_refused_in_words(tmp_path, name):
    values, message = WRONG[name]
    table = values if isinstance(values, pa.Table) else pa.table({"id": values})
    parquet.write_table(table, tmp_path / "ids.parquet")
    with pytest.raises(InputError, match=message) as error:
        read_ids(tmp_path / "ids.parquet")
    assert str(error.value).startswith(str(tmp_path / "ids.parquet"))


@pytest.mark.parametrize(
    "text",
    [
        "id\n3\n1\n",
        "\ufeffid\r\n3\r\n1\r\n",
        "post_id,score\n3,5\n1,7\n",
        'score;id;"a;b"\n5;3;"x;y"\n\n7;1;z',
        '"id"\t"x"\n"3"\t4\n1\t',
    ],
)
def test_a_csv_with_a_heading_is_read(tmp_path, text):
    file = tmp_path / "ids.csv"
    file.write_text(text, encoding="utf-8")
    assert read_ids(file).tolist() == [3, 1]


def test_a_wrong_id_of_a_csv_is_named_by_its_line(tmp_path):
    file = tmp_path / "ids.csv"
    file.write_text("score,id\n1,2\n5,x\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"ids\.csv, line 3: 'x' is not a post id"):
        read_ids(file)


@pytest.mark.parametrize("name", ["ids.txt", "ids.parquet"])
def test_paths_may_be_text(tmp_path, name):
    write_ids(f"{tmp_path}/{name}", np.array([3, 1]))
    assert read_ids(f"{tmp_path}/{name}").tolist() == [3, 1]


def test_ids_that_pandas_wrote_are_read(tmp_path):
    frame = pd.DataFrame({"id": [3.0, 1.0, 2.0]}, index=[7, 8, 9])
    frame.to_parquet(tmp_path / "ids.parquet")
    assert read_ids(tmp_path / "ids.parquet").tolist() == [3, 1, 2]
    frame.set_index("id").assign(score=1).to_parquet(tmp_path / "ids.parquet")
    assert read_ids(tmp_path / "ids.parquet").tolist() == [3, 1, 2]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_list_from_windows_is_read(tmp_path, encoding):
    (tmp_path / "ids.txt").write_bytes("3\r\n1\r\n\r\n2".encode(encoding))
    assert read_ids(tmp_path / "ids.txt").tolist() == [3, 1, 2]


@pytest.mark.parametrize("suffix", ["txt", "parquet"])
def test_a_list_is_written_where_a_link_leads(tmp_path, suffix):
    (tmp_path / "link").with_suffix(f".{suffix}").symlink_to(f"real.{suffix}")
    write_ids(tmp_path / f"link.{suffix}", np.array([3, 1, 2]))
    assert read_ids(tmp_path / f"real.{suffix}").tolist() == [3, 1, 2]


def test_a_selection_takes_what_its_own_table_gives(tmp_path):
    write(tmp_path / "posts.db", [post_row(number) for number in range(1, 6)], lambda _: [])
    with hb.open(tmp_path / "posts.db") as database:
        some = database.posts.ids(2, 4)
        table = some.to_arrow(["id", "score"])
        for ids in (table, table["id"], table["id"].combine_chunks(), some.to_pandas(["id"]), some.to_ids()):
            assert database.posts.among(ids).to_ids().tolist() == [2, 3]


@pytest.mark.parametrize("line", ["3_0", "\u0663", "\uff13", "1e3", "0x10"])
def test_only_plain_digits_are_an_id(tmp_path, line):
    for name, heading in (("ids.txt", ""), ("ids.csv", "id\n")):
        file = tmp_path / name
        file.write_text(f"{heading}1\n{line}\n", encoding="utf-8")
        with pytest.raises(InputError, match=f"'{line}' is not a post id"):
            read_ids(file)
    with pytest.raises(InputError, match=f"entry 2: '{line}' is not a post id"):
        as_ids(["1", line])


def test_other_columns_of_a_csv_may_have_any_text(tmp_path):
    file = tmp_path / "ids.csv"
    file.write_text("name,id\na_b \u0663,1\n1_2,+3\n", encoding="utf-8")
    assert read_ids(file).tolist() == [1, 3]
