from __future__ import annotations

import numpy as np
import pytest

from hakubooru.errors import InputError
from hakubooru.select.idfile import read_ids, write_ids


@pytest.mark.parametrize("suffix", [".txt", ".parquet"])
def test_round_trip(tmp_path, suffix):
    ids = np.array([5, 1, 7_349_999], np.int64)
    write_ids(tmp_path / f"ids{suffix}", ids)
    assert read_ids(tmp_path / f"ids{suffix}").tolist() == ids.tolist()
    assert [entry.name for entry in tmp_path.iterdir()] == [f"ids{suffix}"]


def test_text_is_one_id_a_line(tmp_path):
    write_ids(tmp_path / "ids.txt", np.array([1, 22]))
    assert (tmp_path / "ids.txt").read_bytes() == b"1\n22\n"
    (tmp_path / "windows.txt").write_bytes(b"1\r\n\r\n22\r\n")
    assert read_ids(tmp_path / "windows.txt").tolist() == [1, 22]


@pytest.mark.parametrize("line", ["x", "1.5", "99999999999999999999", "1 2"])
def test_a_wrong_line_is_named(tmp_path, line):
    (tmp_path / "ids.txt").write_text(f"1\n2\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"ids\.txt, line 3"):
        read_ids(tmp_path / "ids.txt")


@pytest.mark.parametrize("name", ["ids.txt", "ids.parquet"])
def test_what_is_no_list(tmp_path, name):
    (tmp_path / name).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=name):
        read_ids(tmp_path / name)


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"\.txt or \.parquet"):
        write_ids(tmp_path / "ids.csv", np.array([1]))
    with pytest.raises(InputError, match="cannot be written"):
        write_ids(tmp_path / "no" / "ids.txt", np.array([1]))
