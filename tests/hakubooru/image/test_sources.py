from __future__ import annotations

import gzip
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakubooru.errors import SourceError
from hakubooru.image.folders import find_own
from hakubooru.image.layouts import (
    EVERYTHING,
    Claim,
    StrangeNameError,
    post_id,
    read_archive_name,
    update_date,
)
from hakubooru.image.sources import Archive, find_archives, waves
from pictures import write_tar


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def names(archives):
    return [archive.name for archive in archives]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("123.webp", 123),
        ("./123.jpg", 123),
        ("0123/5123.PNG", 5123),
        ("a/b/c/7.jpeg", 7),
        ("000123.avif", 123),
        ("x.txt", None),
        ("5.txt", None),
        ("5.mp4", None),
    ],
)
def test_names_of_members(name, number):
    assert post_id(name) == number


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../../5.jpg", "leads outside"),
        ("a/../5.jpg", "leads outside"),
        ("..\\..\\5.jpg", "leads outside"),
        ("/etc/5.jpg", "an absolute path"),
        ("C:\\5.jpg", "an absolute path"),
        ("C:/5.jpg", "an absolute path"),
        ("\\\\server\\5.jpg", "an absolute path"),
        ("._5.jpg", "macOS"),
        ("0005/._5.jpg", "macOS"),
        ("cat.jpg", "no post id"),
        ("5_p0.jpg", "no post id"),
        ("-5.jpg", "no post id"),
        ("\u0665.jpg", "no post id"),  # ARABIC-INDIC DIGIT FIVE: a digit, but not one of ASCII
        ("9" * 40 + ".jpg", "no post id"),
        ("5.jpg ", "no post id"),
        ("", "no post id"),
    ],
)
def test_strange_names_of_members(name, reason):
    with pytest.raises(StrangeNameError, match=reason):
        post_id(name)


@pytest.mark.parametrize(
    ("stem", "claim", "layer"),
    [
        ("data-0123", Claim(1000, 123), 0),
        ("data-1123", Claim(1000, 123), 1),
        ("data-2000", Claim(1000, 0), 2),
        ("data-7", Claim(10, 7), 0),
        ("20240522-7", Claim(10, 7), 0),
        ("0123", Claim(1000, 123), 0),
        ("x123", Claim(1000, 123), 0),
        ("0", Claim(low=0, high=1000), 0),
        ("12000", Claim(low=12_000, high=13_000), 0),
        ("7349000", Claim(low=7_349_000, high=7_350_000), 0),
        ("12001", EVERYTHING, 0),
        ("images", EVERYTHING, 0),
        ("data-12345", EVERYTHING, 0),
    ],
)
def test_names_of_archives(stem, claim, layer):
    name = read_archive_name(stem)
    assert (name.claim, name.layer) == (claim, layer)


def test_a_claim_chooses_among_ids():
    ids = np.arange(0, 5000, 7)
    for claim in [Claim(10, 3), Claim(1000, 14), Claim(low=1000, high=2000), EVERYTHING]:
        assert claim.of(ids).tolist() == [i for i in ids.tolist() if claim.has(i)]


@pytest.mark.parametrize(
    ("parts", "date"),
    [
        (["updates", "20240522"], "20240522"),
        (["updates", "2024-05-22", "x"], "20240522"),
        (["20230101-20230630"], "20230630"),
        (["updates"], ""),
        (["123456789012"], ""),
        (["2024-06"], "202406"),
        (["updates_2024_06", "data-3.tar"], "202406"),
        (["2023-11", "2024_05.tar"], "202405"),
        (["2024-05-2024-06"], "202406"),
        (["202406"], ""),
        (["202400"], ""),
        (["202400", "20240000.tar"], ""),
        (["2024-13"], ""),
        (["2024-061"], ""),
        (["12024-06"], ""),
        (["2023-2024"], ""),
        (["2024/06"], ""),
    ],
)
def test_dates_of_updates(parts, date):
    assert update_date(parts) == date


def test_updates_come_before_originals_and_the_newest_first(tmp_path):
    touch(
        tmp_path,
        "original/data-0000.tar",
        "original/data-0001.tar",
        "recent/data-1000.tar",
        "updates/20240101/data-0.tar",
        "updates/20240301/data-0.tar",
        "updates/nodate/x-0.tar",
    )
    assert names(find_archives([tmp_path])) == [
        "updates/20240301/data-0.tar",
        "updates/20240101/data-0.tar",
        "updates/nodate/x-0.tar",
        "recent/data-1000.tar",
        "original/data-0000.tar",
        "original/data-0001.tar",
    ]


def test_updates_without_a_date_count_from_the_last_number(tmp_path):
    touch(tmp_path, *[f"updates/batch-{number}/data-0.tar" for number in (1, 2, 10)])
    assert names(find_archives([tmp_path])) == [f"updates/batch-{number}/data-0.tar" for number in (10, 2, 1)]


def test_a_month_without_a_day_is_older_than_its_days(tmp_path):
    dates = ["20240701", "20240601", "2024-06", "2024-05-31", "2024_05", "none"]
    touch(tmp_path, *[f"updates/{date}/data-0.tar" for date in reversed(dates)])
    assert [name.split("/")[1] for name in names(find_archives([tmp_path]))] == dates


def test_places_count_as_given_before_layers_and_after_dates(tmp_path):
    touch(
        tmp_path,
        *["a/data-0001.tar", "a/data-1001.tar", "b/data-2001.tar"],
        *["a/updates/20240101/data-0.tar", "a/updates/x-1/data-0.tar", "a/updates/x-2/data-0.tar"],
        *["b/updates/20240201/data-0.tar", "b/updates/20240101/data-0.tar", "b/updates/x-3/data-0.tar"],
    )
    archives = find_archives([tmp_path / "a", tmp_path / "b"])
    assert [archive.key for archive in archives] == [
        "1/updates/20240201/data-0.tar",
        "0/updates/20240101/data-0.tar",
        "1/updates/20240101/data-0.tar",
        "0/updates/x-2/data-0.tar",
        "0/updates/x-1/data-0.tar",
        "1/updates/x-3/data-0.tar",
        "0/data-1001.tar",
        "0/data-0001.tar",
        "1/data-2001.tar",
    ]


@pytest.mark.parametrize(
    ("path", "is_update"),
    [
        ("update/5.jpg", True),
        ("Updates/x/5.jpg", True),
        ("updates_2024/0005.tar", True),
        ("update-3/5.jpg", True),
        ("updates2024/0005.tar", True),
        ("data-5.tar", True),
        ("updated_art/5.jpg", False),
        ("updatesque/0005.tar", False),
        ("update\u00e9s/5.jpg", False),
        ("my update/5.jpg", False),
        ("mine-5/5.jpg", False),
        ("0005.tar", False),
    ],
)
def test_what_is_an_update(tmp_path, path, is_update):
    touch(tmp_path, path)
    assert [archive.is_update for archive in find_archives([tmp_path])] == [is_update]


@pytest.mark.parametrize(
    ("folder", "posts", "claim"),
    [
        ("mine-1", (11, 21), EVERYTHING),
        ("updates/20240601/data-1", (11, 21), Claim(10, 1)),
        ("updates/batch-1", (*range(1, 301, 10), 12), EVERYTHING),
    ],
)
def test_a_folder_numbered_by_chance_claims_every_post(tmp_path, folder, posts, claim):
    touch(tmp_path, *[f"{folder}/{post}.jpg" for post in posts])
    (archive,) = find_archives([tmp_path])
    assert archive.claim == claim


@pytest.mark.parametrize(
    ("name", "posts", "claim"),
    [
        ("pack-1.tar", (1, 2, 3), EVERYTHING),
        ("0002.tar", (2002, 2000, 2001), EVERYTHING),
        ("0002.tar", (2002, 2, 9002, 5), Claim(1000, 2)),
        ("data-7.tar", (7,), Claim(10, 7)),
    ],
)
def test_the_name_of_a_tar_is_tried_by_its_first_posts(tmp_path, name, posts, claim):
    write_tar(tmp_path / name, {f"{post}.jpg": b"" for post in posts})
    (archive,) = find_archives([tmp_path])
    assert archive.claim == claim


def test_the_name_of_a_tar_that_was_written_again_is_tried_again(tmp_path):
    path = tmp_path / "0002.tar"
    for second, (post, claim) in enumerate([(2002, Claim(1000, 2)), (2003, EVERYTHING), (2, Claim(1000, 2))]):
        write_tar(path, {f"{post}.jpg": b""})
        os.utime(path, (second, second))  # clocks of files can stand still for some milliseconds
        (archive,) = find_archives([tmp_path])
        assert archive.claim == claim


def test_odd_digits_in_names_are_sorted(tmp_path):
    touch(tmp_path, "\u00b2/1.jpg", "2/2.jpg", "02/3.jpg", "\u0663/4.jpg")
    assert names(find_archives([tmp_path])) == ["02", "2", "\u0663", "\u00b2"]


def test_the_layouts_of_published_sets(tmp_path):
    touch(tmp_path / "a", "0000.tar", "0000.json", "0001.tar")
    touch(tmp_path / "b", "0.tar", "1000.tar", "12000.tar")
    touch(tmp_path / "c", "original/0000/1000.jpg", "original/0001/1.png", "original/0001/1001.png")
    assert {archive.layout for archive in find_archives([tmp_path / "a"])} == {"NNNN by id % 1000, tars"}
    assert [a.claim.low for a in find_archives([tmp_path / "b"])] == [0, 1000, 12_000]
    archives = find_archives([tmp_path / "c"])
    assert names(archives) == ["original/0000", "original/0001"]
    assert [a.claim.rest for a in archives] == [0, 1]
    assert len(waves(find_archives([tmp_path / "a", tmp_path / "b", tmp_path / "c"]))) == 3


def test_an_update_may_be_what_one_points_at(tmp_path):
    touch(tmp_path, "updates/20240301/data-0.tar")
    for root in (
        tmp_path / "updates",
        tmp_path / "updates/20240301",
        tmp_path / "updates/20240301/data-0.tar",
    ):
        (archive,) = find_archives([root])
        assert archive.is_update


def test_a_wave_holds_no_post_twice_and_keeps_the_order(tmp_path):
    touch(
        tmp_path,
        *[f"o/data-{layer}{rest:03d}.tar" for layer in range(3) for rest in range(0, 1000, 50)],
        *[f"updates/2024030{day}/data-{digit}.tar" for day in range(1, 4) for digit in range(10)],
        *[f"ranges/{start}000.tar" for start in range(1, 6)],
        "loose/5.jpg",
        "other/6.jpg",
    )
    archives = find_archives([tmp_path])
    grouped = waves(archives)
    assert sorted(a.name for wave in grouped for a in wave) == sorted(names(archives))
    level = {archive.name: at for at, wave in enumerate(grouped) for archive in wave}
    ids = np.arange(6000)
    posts = {archive.name: set(archive.claim.of(ids).tolist()) for archive in archives}
    for place, archive in enumerate(archives):
        for other in archives[place + 1 :]:
            if posts[archive.name] & posts[other.name]:
                assert level[archive.name] < level[other.name]
    assert [len(wave) for wave in grouped] == [10, 10, 10, 20, 20, 1, 20, 1, 5]


CLAIMS = st.one_of(
    st.builds(Claim, st.just(1000), st.integers(0, 999)),
    st.builds(Claim, st.just(10), st.integers(0, 9)),
    st.integers(0, 2).map(lambda at: Claim(low=1000 * at, high=1000 * at + 1000)),
    st.just(EVERYTHING),
)


@given(st.lists(CLAIMS, max_size=12))
def test_waves_of_any_order_keep_it(claims):
    archives = [
        Archive(
            path=str(place),
            name=str(place),
            kind="tar",
            is_update=False,
            date="",
            claim=claim,
            layer=0,
            layout="",
            root=0,
            stamp=0,
        )
        for place, claim in enumerate(claims)
    ]
    level = {archive.path: at for at, wave in enumerate(waves(archives)) for archive in wave}
    assert len(level) == len(archives)
    masks = [claim.mask(np.arange(3000)) for claim in claims]
    for place in range(len(claims)):
        for other in range(place):
            if (masks[place] & masks[other]).any():
                assert level[str(other)] < level[str(place)]


def test_what_hides_or_repeats_is_passed_over(tmp_path):
    touch(tmp_path, "a/1.jpg", ".cache/2.jpg", "out/3.jpg", "a/.4.tar", "b/notes.txt")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert names(find_archives([tmp_path], skip=tmp_path / "out")) == ["a"]
    for find in (find_archives, find_own):
        with pytest.raises(SourceError, match="out is the folder that is written to; write to another one"):
            find([tmp_path / "a" / "..", tmp_path / "out"], skip=tmp_path / "out")


def test_a_linked_archive_is_found(tmp_path):
    touch(tmp_path, "blobs/abc")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "0000.tar").symlink_to(tmp_path / "blobs" / "abc")
    assert names(find_archives([tmp_path / "snapshot"])) == ["0000.tar"]


def test_nothing_to_find_is_an_error_that_says_what_is_looked_for(tmp_path):
    with pytest.raises(SourceError, match="does not exist"):
        find_archives([tmp_path / "missing"])
    touch(tmp_path, "readme.txt")
    with pytest.raises(SourceError, match=r"no images were found in .*data-0123\.tar"):
        find_archives([tmp_path])
    with pytest.raises(SourceError, match="no images were found in no folder"):
        find_archives([])


def test_an_empty_place_among_others_is_warned_of(tmp_path):
    write_tar(tmp_path / "images" / "0000.tar", {"1.webp": b""})
    (tmp_path / "updates").mkdir()
    with pytest.warns(
        UserWarning, match=r"no images were found in .*updates, a place of images; .* mount the disk"
    ):
        archives = find_archives([tmp_path / "images", tmp_path / "updates"])
    assert [archive.name for archive in archives] == ["0000.tar"]


@pytest.mark.parametrize("packer", [bytes, gzip.compress])
def test_a_named_file_must_be_an_archive(tmp_path, packer):
    for data in (b"", b"1\n2\n", b"SQLite format 3\0" + bytes(4096)):
        (tmp_path / "file").write_bytes(packer(data))
        with pytest.raises(SourceError, match="file is no folder, tar, zip archive or Parquet file"):
            find_archives([tmp_path / "file"])
    archive = write_tar(tmp_path / "1.tar", {"1.webp": b"x"})
    (tmp_path / "file").write_bytes(packer(archive.read_bytes()))
    assert names(find_archives([str(tmp_path / "file")])) == ["file"]
