"""Names of archives that tell of other posts than they hold: export and sources agree with what is there."""

from __future__ import annotations

import os
import random
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hakubooru as hb
from exports import run, write_database
from hakubooru.errors import IncompleteError
from hakubooru.export.journal import Journal
from hakubooru.image import holdings
from hakubooru.image.holdings import census
from hakubooru.image.index import VERSION, build_index
from hakubooru.image.sources import find_archives
from hakubooru_cli.main import cli
from pictures import files_of, picture, write_tar

ANY = [*range(1, 101), 1003, 1013, 1500, 2002, 2012, 2500, 2999, 3003]
PICTURES = {post: picture(post) for post in ANY}


def lay(root, name, posts):
    """A tar, or a folder of images where the name has no extension."""
    if name.endswith(".zip"):
        root.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(root / name, "w") as archive:
            for post in posts:
                archive.writestr(f"{post}.webp", PICTURES[post])
    elif ".tar" in name:
        mode = "w:gz" if name.endswith(".gz") else "w"
        write_tar(root / name, {f"{post}.webp": PICTURES[post] for post in posts}, mode=mode)
    else:
        (root / name).mkdir(parents=True, exist_ok=True)
        for post in posts:
            (root / name / f"{post}.webp").write_bytes(PICTURES[post])


def exported(out):
    table = pd.read_parquet(out / "manifest.parquet").set_index("id")
    return set(table[table.status == "exported"].index)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return write_database(tmp_path_factory.mktemp("posts") / "posts.db", ANY)


LAYOUTS = {
    "a range that begins as its rest": {"pack-1.tar": range(1, 101)},
    "a rest of ten named as one of a thousand": {"data-0003.tar": [3, 13, 23, 93, 1003, 1013]},
    "thousands named as rests": {"0002.tar": [2002, 2012, 2500, 2999], "0001.tar": [1003, 1500]},
    "folders of another rule": {"0003": [3, 13, 23, 1013], "data-0002": [2002, 2500]},
    "an update": {"updates/20240601/data-1.tar": [1, 11, 21, 31, 40, 50], "data-0050.tar": [50]},
    "packed": {"0003.tar.gz": [3, 1003, 3003, 13, 50]},
}


@pytest.mark.parametrize("sink", ["folder", "webdataset"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_posts_that_names_do_not_tell_of_are_exported_and_counted(database, tmp_path, layout, sink):
    for name, posts in LAYOUTS[layout].items():
        lay(tmp_path / "images", name, posts)
    truth = {post for posts in LAYOUTS[layout].values() for post in posts}
    with hb.open(database) as db:
        report = db.posts.export(tmp_path / "out", images=tmp_path / "images", sink=sink, workers=1)
        assert db.posts.export(tmp_path / "out", images=tmp_path / "images", sink=sink, workers=1).added == 0
    assert exported(tmp_path / "out") == truth
    assert report.left_out == {"no archive holds it": len(ANY) - len(truth)}
    (tmp_path / "ids.txt").write_text("".join(f"{post}\n" for post in ANY))
    result = CliRunner().invoke(
        cli, ["sources", str(tmp_path / "images"), "--ids", str(tmp_path / "ids.txt")]
    )
    assert result.output.splitlines()[-1] == f"{len(truth)} of {len(ANY)} selected posts have an image"


NAMES = st.one_of(
    st.integers(0, 9).map(lambda digit: f"data-{digit}.tar"),
    st.integers(0, 3).map(lambda rest: f"data-{rest // 2}{rest:03d}.tar"),
    st.integers(0, 3).map(lambda rest: f"0{rest:03d}"),
    st.integers(0, 3).map(lambda start: f"{start}000.tar" if start else "0.tar"),
    st.sampled_from(
        [
            "a.tar",
            "b.tar.gz",
            "0002.tar.gz",
            "1003.tar",
            "3/0003.tar",
            "z.zip",
            "updates/20240601/x-3.tar",
            "loose",
            "mine-1",
        ]
    ),
)
RULES = st.sampled_from(
    [
        lambda post, _: post % 10 == 3,
        lambda post, _: post % 1000 == 3,
        lambda post, _: post % 10_000 in {3, 1003},
        lambda post, _: post // 1000 == 2,
        lambda post, _: post <= 50,
        lambda post, draw: draw.random() < 0.2,
    ]
)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    layout=st.dictionaries(st.tuples(st.integers(0, 1), NAMES), RULES, min_size=1, max_size=5),
    seed=st.integers(0, 99),
    share=st.sampled_from([0.05, 0.5, 1]),
)
def test_whatever_archives_are_called_export_and_sources_agree(
    database, tmp_path_factory, layout, seed, share
):
    folder = tmp_path_factory.mktemp("set")
    draw = random.Random(seed)
    truth = set()
    for (root, name), rule in layout.items():
        posts = [post for post in draw.sample(ANY, len(ANY)) if rule(post, draw)]
        if posts:
            lay(folder / str(root), name, posts)
            truth |= set(posts)
    roots = [folder / root for root in ("0", "1") if (folder / root).exists()]
    if not roots:
        return
    ids = np.array(sorted(draw.sample(ANY, round(share * len(ANY)))))
    with hb.open(database) as db:
        some = ids[: len(ids) // 2 + 1]
        for selected in (some, ids):  # one after the other, and at once, is the same
            if truth.intersection(selected.tolist()):
                db.posts.among(selected).export(folder / "out", images=roots, workers=1)
        if not truth.intersection(ids.tolist()):
            return
        db.posts.among(ids).export(folder / "whole", images=roots, workers=1)
    assert exported(folder / "out") == exported(folder / "whole") == truth.intersection(ids.tolist())
    pairs = {name: data for name, data in files_of(folder / "out").items() if name.startswith("x")}
    assert pairs == {name: data for name, data in files_of(folder / "whole").items() if name.startswith("x")}
    assert sum(group.wanted for group in census(find_archives(roots), ids)) == len(exported(folder / "out"))
    shutil.rmtree(folder)


@pytest.fixture
def walks(monkeypatch):
    """Archives whose headers are walked, or whose index is read, to learn what they hold."""
    names = []

    def counting(archive):
        names.append(archive.name)
        return index_of(archive)

    index_of = holdings.index_of
    monkeypatch.setattr(holdings, "index_of", counting)
    return names


def test_nothing_is_looked_into_while_nothing_is_missing(small, walks):
    for rest in range(1, 31):
        write_tar(small / "images" / f"data-0{rest:03d}.tar", {f"{rest}.webp": picture(rest)})
    assert run(small, small / "out", ids=[1, 2, 3]).exported == 3
    assert walks == []
    run(small, small / "out", ids=[1, 2, 3, 40])
    assert len(walks) == 30 - 3  # what was read for its own is known
    run(small, small / "out", ids=[1, 2, 3, 40])
    assert len(walks) == 30 - 3


def test_what_was_learned_is_kept(small, monkeypatch):
    for rest in (1, 2):
        write_tar(small / "images" / f"data-0{rest:03d}.tar", {f"{rest}.webp": picture(rest)})
    census(find_archives([small / "images"]))
    monkeypatch.setattr(holdings, "build_index", None)
    assert run(small, small / "out", ids=[1, 40]).exported == 1
    assert [group.images for group in census(find_archives([small / "images"]))] == [2]


def test_archives_that_an_older_version_read_are_read_anew(small):
    path = write_tar(small / "images" / "0001.tar", {"1.webp": picture(1)})
    run(small, small / "out", ids=[1, 2])
    with Journal(small / "out") as journal:
        assert journal.remember("reading", str(VERSION - 1)) == str(VERSION)
    stat = path.stat()
    path.write_bytes(path.read_bytes() + write_tar(small / "more.tar", {"2.webp": picture(2)}).read_bytes())
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns - 10_240))  # its stamp is that of before
    assert run(small, small / "out", ids=[1, 2]).added == 1


def test_the_first_that_counts_gives_a_post_whose_archives_are_all_misnamed(small):
    for place, size in [("updates/20240101/data-1.tar", 10), ("updates/20240601/data-1.tar", 20)]:
        members = {f"{post}.webp": picture(post, size=(size, 8)) for post in (1, 11, 21, 5)}
        if size == 20:
            members["5.webp"] = b""  # what is broken in one is taken from the next
            members["6.webp"] = picture(6, size=(size, 8))
        write_tar(small / "images" / place, members)
    write_tar(
        small / "images" / "data-0007.tar",
        {f"{i}.webp": picture(i, size=(30, 8)) for i in (7, 1007, 2007, 5, 6, 8)},
    )
    run(small, small / "out", ids=[1, 5, 6, 7, 8])
    table = pd.read_parquet(small / "out" / "manifest.parquet").set_index("id")
    assert table.width.to_dict() == {1: 20, 5: 10, 6: 20, 7: 30, 8: 30}
    rejects = pd.read_json(small / "out" / "rejects.jsonl", lines=True)
    assert rejects.to_dict("records") == [
        {"archive": "0/updates/20240601/data-1.tar", "member": "5.webp", "reason": "empty file"}
    ]


def test_what_is_strange_or_damaged_in_an_archive_that_was_looked_into_is_told_once(small):
    path = write_tar(
        small / "images" / "data-0007.tar", {"7.webp": picture(7), "cat.webp": b"", "8.webp": b""}
    )
    path.write_bytes(path.read_bytes().rstrip(b"\0") + bytes(500))
    for ids in ([5], [5, 7], [5, 7, 8], [5, 7, 8, 9]):
        try:
            report = run(small, small / "out", ids=ids)
        except IncompleteError:
            continue
        assert report.passed_over == {"no post id for a name": (1, ["cat.webp"])}
        assert list(report.damaged) == ["0/data-0007.tar"]


def test_an_archive_that_vanishes_before_it_is_looked_into_stops_the_export(small, monkeypatch):
    write_tar(small / "images" / "data-0001.tar", {"1.webp": picture(1)})
    path = write_tar(small / "images" / "data-0007.tar", {"7.webp": picture(7), "17.webp": picture(17)})
    archives = find_archives([small / "images"])
    path.rename(small / "aside")
    with monkeypatch.context() as patched:
        patched.setattr("exports.find_archives", lambda *_, **__: archives)
        with pytest.raises(IncompleteError, match=r"0/data-0007\.tar \(No such file"):
            run(small, small / "out", ids=[1, 17])
    (small / "aside").rename(path)
    assert run(small, small / "out", ids=[1, 17]).exported == 2


def test_the_index_of_what_holds_other_posts_is_kept_when_it_is_read(small):
    path = write_tar(
        small / "images" / "data-0001.tar", {f"{i}.webp": picture(i) for i in (1, 1001, 2001, 2)}
    )
    run(small, small / "out", ids=[1])
    assert build_index(str(path)).ids.tolist() == [1, 1001, 2001, 2]
    assert path.with_name("data-0001.tar.hbindex").exists()


def test_a_tar_in_a_folder_of_images_is_no_strange_file_of_it(small):
    write_tar(small / "images" / "more.tar", {"2.webp": picture(2)})
    (small / "images" / "1.webp").write_bytes(picture(1))
    assert run(small, small / "out", ids=[1, 2]).passed_over == {}
    groups = census(find_archives([small / "images"]))  # there is an index beside the tar now
    assert [(group.images, group.strange) for group in groups] == [(1, 0), (1, 0)]
