from __future__ import annotations

import dataclasses
import json
import os
import tarfile

import numpy as np
import pytest

from hakubooru.image.index import (
    VERSION,
    build_index,
    load_index,
    read_indexed,
    save_index,
    state_of,
)
from hakubooru.image.layouts import INDEX_SUFFIX
from hakubooru.image.published import StaleIndexError
from hakubooru.image.tar import BLOCK
from pictures import add_special, picture, write_tar

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tar(tmp_path):
    path = write_tar(tmp_path / "a" / "0001.tar", {f"{i}001.webp": picture(i) for i in range(1, 20)})
    add_special(path, "5.webp", tarfile.SYMTYPE, "x")
    return path


def read(path, index, *numbers):
    rows = np.flatnonzero(np.isin(index.ids, numbers))
    return [data for _, data in read_indexed(str(path), index, rows)]


def same(one, other):
    return all(
        (getattr(one, name) == getattr(other, name)).all() for name in ("ids", "offsets", "sizes")
    ) and (one.strange, one.damage) == (other.strange, other.damage)


@pytest.mark.parametrize("format", FORMATS)
def test_images_are_found_by_it(tmp_path, format):
    folder = "n" * 90 if format == "ustar" else "n" * 200
    members = {f"{folder}/{i}.webp": picture(i) for i in range(1, 9)} | {"9.webp": picture(9)}
    path = write_tar(tmp_path / "a.tar", members, format=FORMATS[format])
    index = build_index(str(path))
    assert index.ids.tolist() == list(range(1, 10))
    assert read(path, index, 3, 9) == [picture(3), picture(9)]


def test_it_is_kept_beside_the_archive(tar):
    assert load_index(str(tar)) is None
    index = build_index(str(tar))
    assert index.strange == (("5.webp", "a symbolic link"),)
    save_index(str(tar), index, state_of(str(tar)))
    assert same(load_index(str(tar)), index)
    assert sorted(path.name for path in tar.parent.iterdir()) == ["0001.tar", "0001.tar" + INDEX_SUFFIX]


def test_it_is_kept_in_the_cache_where_the_folder_cannot_be_written_to(tar, cache):
    (tar.parent / ("0001.tar" + INDEX_SUFFIX)).mkdir()  # in the way of a file, for every user
    index = build_index(str(tar))
    save_index(str(tar), index, state_of(str(tar)))
    assert len(list(cache.rglob("*" + INDEX_SUFFIX))) == 1
    assert same(load_index(str(tar)), index)


def test_a_damaged_or_old_one_counts_as_none(tar):
    save_index(str(tar), build_index(str(tar)), state_of(str(tar)))
    index_file = tar.parent / ("0001.tar" + INDEX_SUFFIX)
    whole = index_file.read_bytes()
    older = whole.replace(b'"version": %d,' % VERSION, b'"version": %d,' % (VERSION - 1))
    assert older != whole
    for data in (whole[:-30], whole[:100], b"", b"PK\x03\x04nonsense", older):
        index_file.write_bytes(data)
        assert load_index(str(tar)) is None
    index_file.write_bytes(whole)
    assert load_index(str(tar)) is not None
    os.utime(tar, (1, 1))
    assert load_index(str(tar)) is None


def test_it_is_read_once_while_it_stays(tar):
    save_index(str(tar), build_index(str(tar)), state_of(str(tar)))
    first = load_index(str(tar))
    assert load_index(str(tar)) is first
    index_file = tar.parent / ("0001.tar" + INDEX_SUFFIX)
    os.utime(index_file, (2, 2))
    assert load_index(str(tar)) is not first
    index_file.unlink()
    assert load_index(str(tar)) is None


def test_the_indexes_of_published_sets_are_used(tar):
    expected = build_index(str(tar))
    names = [f"{i}001.webp" for i in range(1, 20)]
    places = list(zip(names, expected.offsets.tolist(), expected.sizes.tolist(), strict=True))
    dialects = [
        {
            "filesize": tar.stat().st_size,
            "hash": "x",
            "files": {name: {"offset": offset, "size": size, "sha256": "x"} for name, offset, size in places},
        },
        {name: [offset, offset + size - 1] for name, offset, size in places},
    ]
    for dialect in dialects:
        tar.with_suffix(".json").write_text(json.dumps(dialect))
        index = load_index(str(tar))
        assert index.ids.tolist() == expected.ids.tolist()
        assert read(tar, index, 7001) == [picture(7)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "nonsense",
        '{"1.webp": 5}',
        '{"1.webp": [0, 99]}',
        '{"1.webp": [512, 99999999]}',
        '{"1.webp": ["a", "b"]}',
        '{"filesize": 1, "files": {}}',
        '{"files": {"1.webp": {"offset": 512}}}',
        "[" * 100_000,
    ],
)
def test_json_that_is_no_index_of_the_archive_counts_as_none(tar, text):
    tar.with_suffix(".json").write_text(text)
    assert load_index(str(tar)) is None


def test_an_archive_that_has_something_else_there_is_noticed(tar):
    index = build_index(str(tar))
    data = bytearray(tar.read_bytes())
    longer = data[: 2 * BLOCK] + data
    for contents in (longer, data[: int(index.offsets[9])], bytes(len(data))):
        tar.write_bytes(contents)
        with pytest.raises(StaleIndexError):
            read(tar, index, 10_001)
    other = {f"{i}002.webp": picture(i) for i in range(1, 20)}
    write_tar(tar, other)
    with pytest.raises(StaleIndexError, match="post 3001 is not at byte"):
        read(tar, index, 3001)


def test_a_wrong_size_is_noticed(tar):
    index = build_index(str(tar))
    for more in (300, -10):
        with pytest.raises(StaleIndexError, match="post 7001 is not at"):
            read(tar, dataclasses.replace(index, sizes=index.sizes + more), 7001)


@pytest.mark.parametrize(
    "about", [{"strange": [5]}, {"strange": [["x"]]}, {"offsets": -5}, {"offsets": 2**60}, {"sizes": 2**50}]
)
def test_an_index_of_impossible_places_counts_as_none(tar, about):
    index = build_index(str(tar))
    if "strange" in about:
        save_index(str(tar), dataclasses.replace(index, **about), state_of(str(tar)))
    else:
        ((name, value),) = about.items()
        save_index(
            str(tar), dataclasses.replace(index, **{name: np.full(len(index.ids), value)}), state_of(str(tar))
        )
    assert load_index(str(tar)) is None


@pytest.mark.parametrize("offset", ["Infinity", str(2**70)])
def test_json_with_impossible_places_counts_as_none(tar, offset):
    tar.with_suffix(".json").write_text('{"files": {"1001.webp": {"size": 5, "offset": ' + offset + "}}}")
    assert load_index(str(tar)) is None


def test_an_index_made_while_its_archive_was_written_belongs_to_no_later_one(tmp_path):
    path = write_tar(tmp_path / "a.tar", {f"{i}.webp": b"%d" % i for i in range(1, 30)})
    whole = path.read_bytes()
    path.write_bytes(whole[:10240])
    state = state_of(str(path))
    index = build_index(str(path))
    path.write_bytes(whole)
    save_index(str(path), index, state)
    assert load_index(str(path)) is None


def test_a_json_that_knows_nothing_of_later_members_counts_as_none(tmp_path):
    path = write_tar(tmp_path / "a.tar", {f"{i}.webp": b"%d" % i for i in range(1, 4)})
    index = build_index(str(path))
    spans = zip(index.ids.tolist(), index.offsets.tolist(), index.sizes.tolist(), strict=True)
    entries = {f"{number}.webp": [offset, offset + size - 1] for number, offset, size in spans}
    for count, is_used in ((3, True), (2, False), (0, False)):
        path.with_suffix(".json").write_text(json.dumps(dict([*entries.items()][:count])))
        assert (load_index(str(path)) is not None) == is_used


def test_names_that_headers_have_no_room_for_are_kept(tmp_path):
    names = [f"{'d' * 120}/1.webp", "é/2.webp", "3.webp"]
    path = write_tar(tmp_path / "a.tar", dict.fromkeys(names, b"x"))
    save_index(str(path), build_index(str(path)), state_of(str(path)))
    index = load_index(str(path))
    assert [member.name for member, _ in read_indexed(str(path), index, np.arange(3))] == names
    assert len(index.names) == 2
