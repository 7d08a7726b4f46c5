"""`duplicates = "drop"`: of images that are the same, the first stays, however the export came about."""

from __future__ import annotations

import pandas as pd
import pytest

import exports
import hakubooru as hb
from hakubooru import verify
from pictures import files_of, picture, write_tar

SINKS = ["folder", "webdataset"]


@pytest.fixture
def places(small):
    """Forty posts in three archives, of which every seventh has the same image."""
    for name, ids in {"a": range(1, 16), "b": range(16, 31), "c": range(31, 41)}.items():
        members = {f"{i}.webp": picture(i % 7, size=(20 + i % 7, 9)) for i in ids}
        write_tar(small / "images" / f"{name}.tar", members)
    return small


def run(folder, out, ids=range(1, 41), **options):
    with hb.open(folder / "posts.db") as database:
        posts = database.posts.among(list(ids))
        return posts.export(out, images=folder / "images", image={"duplicates": "drop"}, **options)


@pytest.mark.slow
@pytest.mark.parametrize("sink", SINKS)
def test_the_lowest_post_stays(places, sink):
    report = exports.run(places, places / "out", image={"duplicates": "drop"}, sink=sink, workers=2)
    assert (report.exported, report.duplicates) == (7, 0)
    assert report.left_out == {"the same image as another's": 33}
    table = pd.read_parquet(places / "out" / "manifest.parquet").set_index("id")
    assert table.index[table.status == "exported"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert table.sha256[22] == table.sha256[1]
    assert verify(places / "out").is_good


@pytest.mark.parametrize("sink", SINKS)
def test_by_steps_and_at_once_it_is_the_same(places, sink):
    for ids in (range(20, 30), range(12, 41), range(3, 41)):
        run(places, places / "out", ids, sink=sink)
    run(places, places / "out", sink=sink)
    run(places, places / "whole", sink=sink)
    assert files_of(places / "out") == files_of(places / "whole")
    run(places, places / "out", range(5, 30), sink=sink, prune=True)
    run(places, places / "less", range(5, 30), sink=sink)
    assert files_of(places / "out") == files_of(places / "less")


@pytest.mark.parametrize("sink", SINKS)
def test_where_the_first_is_lost_the_next_takes_its_place(places, sink):
    run(places, places / "out", range(10, 41), sink=sink)
    (places / "images" / "a.tar").unlink()
    for path in (places / "out").rglob("*"):
        if path.stem == "10" or path.suffix == ".tar":
            path.unlink()
    run(places, places / "out", range(10, 41), sink=sink)
    table = pd.read_parquet(places / "out" / "manifest.parquet").set_index("id")
    assert table.status[10] == "missing"
    assert table.status[17] == "exported"
    assert table.status[24] == "duplicate"
    assert verify(places / "out").is_good


def test_an_own_image_stays_before_any_post(places):
    (places / "own").mkdir()
    (places / "own" / "mine.webp").write_bytes(picture(1, size=(21, 9)))
    (places / "own" / "mine.txt").write_text("mine")
    run(places, places / "out", own=places / "own")
    table = pd.read_parquet(places / "out" / "manifest.parquet")
    assert table.path[table.id.isna()].item().startswith("own/mine-")
    assert table.status[table.id == 1].item() == "duplicate"


def test_equal_captions_are_no_duplicates(small):
    with hb.open(small / "posts.db") as database:
        report = database.posts.export(
            small / "out", sink="captions", caption={"order": ["rating"]}, image={"duplicates": "drop"}
        )
    assert report.exported == 40


def test_shards_whose_archive_is_gone_are_written_anew(small):
    """A lower post has the image of one that lies in a shard with nine others."""
    archive = write_tar(small / "images" / "a.tar", {f"{i}.webp": picture(i) for i in range(11, 21)})
    run(small, small / "out", range(11, 21), sink="webdataset")
    archive.rename(small / "aside.tar")
    write_tar(small / "images" / "b.tar", {"1.webp": picture(15)})
    run(small, small / "out", range(1, 21), sink="webdataset")
    (small / "aside.tar").rename(archive)
    run(small, small / "whole", range(1, 21), sink="webdataset")
    run(small, small / "out", range(1, 21), sink="webdataset")
    assert files_of(small / "out") == files_of(small / "whole")
