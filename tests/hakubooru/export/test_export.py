from __future__ import annotations

import hashlib
import io
import os
import random
import re
import shutil
import tarfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import hakubooru as hb
from booru import post_row, write
from exports import MemorySink, Plain, post_ids, run, write_database
from hakubooru.errors import DestinationError, IncompleteError
from hakubooru.export.archive import ExportArchive
from hakubooru.export.engine import HereEngine
from hakubooru.export.pairs import Task
from hakubooru.export.plan import Job
from hakubooru.export.run import run_export
from hakubooru.image.index import build_index, save_index, state_of
from hakubooru.image.sources import find_archives
from pictures import files_of, picture, write_folder, write_tar


def manifest(out):
    return pd.read_parquet(out / "manifest.parquet").set_index("id")


def rejects(out):
    return pd.read_json(out / "rejects.jsonl", lines=True)


def test_pairs_and_manifest_agree(booru, tmp_path):
    report = run(booru, tmp_path / "out")
    table = manifest(tmp_path / "out")
    assert table.index.tolist() == sorted(post_ids())
    pairs = table[table.status == "exported"]
    assert len(pairs) == report.exported == report.added > 300
    assert report.selected == len(table)
    assert sum(report.left_out.values()) == len(table) - len(pairs)
    files = files_of(tmp_path / "out")
    for post_id, row in pairs.iterrows():
        assert row.path.startswith(f"x{post_id % 1000:03d}/{post_id}.")
        data = files.pop(row.path)
        assert hashlib.sha256(data).hexdigest() == row.sha256
        assert len(data) == row.bytes
        with Image.open(io.BytesIO(data)) as image:
            assert image.size == (row.width, row.height)
            assert {"JPEG": "jpg"}.get(image.format, image.format.lower()) == row.path.rpartition(".")[2]
        assert files.pop(row.path.rpartition(".")[0] + ".txt").decode() == row.caption
        assert row.caption == f"post {post_id}, solo, ★"
        assert row.rating == "sensitive"
    assert sorted(files) == ["manifest.parquet", "rejects.jsonl"]
    assert report.bytes == pairs.bytes.sum()


def test_folder_names_are_no_repeats_to_kohya(booru, tmp_path):
    run(booru, tmp_path / "out")
    folders = [path.name for path in (tmp_path / "out").iterdir() if path.is_dir() and path.name[0] != "."]
    assert folders
    for name in folders:
        with pytest.raises(ValueError, match="invalid literal"):
            int(name.split("_")[0])  # how sd-scripts looks for a number of repeats


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_workers_gives_the_same_bytes(booru, tmp_path, workers):
    run(booru, tmp_path / "one")
    run(booru, tmp_path / "many", workers=workers)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "many")


def test_the_newest_update_wins_and_an_original_stands_in_for_a_broken_one(small):
    old, new, newer = (picture(1, "webp", (size, 8)) for size in (10, 20, 30))
    images = small / "images"
    write_tar(images / "original/data-0001.tar", {"1.webp": old})
    write_tar(images / "original/data-0002.tar", {"2.webp": old})
    write_tar(images / "original/data-0003.tar", {"3.webp": old})
    write_tar(images / "updates/20240101/data-2.tar", {"2.webp": new})
    write_tar(images / "updates/20240101/data-3.tar", {"3.webp": new[:-5]})
    write_tar(images / "updates/20240601/data-2.tar", {"2.webp": newer})
    write_tar(images / "updates/20240601/data-3.tar", {"3.webp": b""})
    run(small, small / "out")
    table = manifest(small / "out")
    assert table.width.dropna().to_dict() == {1: 10, 2: 30, 3: 10}
    assert rejects(small / "out").reason.tolist() == ["truncated webp", "empty file"]


def test_every_post_left_out_has_its_reason(tmp_path):
    rows = [
        post_row(1),
        post_row(2, file_ext="mp4"),
        post_row(3, file_ext="zip"),
        post_row(4, md5=None, file_url=None),
        post_row(5),
        post_row(6),
    ]
    write(tmp_path / "posts.db", rows)
    broken = {"5.webp": picture(5)[:-4], "a/5.png": b"", "1.jpg": picture(1)}
    write_tar(tmp_path / "images" / "a.tar", broken)
    report = run(tmp_path, tmp_path / "out")
    table = manifest(tmp_path / "out")
    assert table.status.tolist() == ["exported", "missing", "missing", "missing", "broken", "missing"]
    assert table.reason.tolist()[1:] == [
        "a video (mp4)",
        "an animation (ugoira)",
        "hidden: banned, or for Gold accounts",
        "empty file; truncated webp",
        "no archive holds it",
    ]
    assert report.left_out == dict.fromkeys(sorted(table.reason.tolist()[1:]), 1)
    assert "1 of 6 posts" in str(report)
    assert "a video (mp4) (1)" in str(report)


def lay_file(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


LAYOUTS = {
    "deepghs": lambda folder, name, data: write_tar(folder / "0001.tar", {name: data}),
    "nyanko7": lambda folder, name, data: write_tar(folder / "data-1001.tar", {f"0001/{name}": data}),
    "picollect": lambda folder, name, data: write_tar(folder / "1000.tar", {f"./{name}": data}),
    "gzip": lambda folder, name, data: write_tar(folder / "any.tar.gz", {name: data}, mode="w:gz"),
    "update": lambda folder, name, data: write_tar(folder / "updates/x/data-1.tar", {name: data}),
    "pax": lambda folder, name, data: write_tar(
        folder / "a.tar", {"n" * 130 + "/" + name: data}, format=tarfile.PAX_FORMAT
    ),
    "danbooru2021": lambda folder, name, data: lay_file(folder / "original/0001" / name, data),
    "folder": lambda folder, name, data: lay_file(folder / name, data),
    "of another rest": lambda folder, name, data: write_tar(folder / "0777.tar", {name: data}),
    "of another digit": lambda folder, name, data: write_tar(folder / "data-4.tar", {name: data}),
    "of another range": lambda folder, name, data: write_tar(folder / "50000.tar", {name: data}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_exported(tmp_path, layout):
    write_database(tmp_path / "posts.db", [1001])
    LAYOUTS[layout](tmp_path / "images", "1001.webp", picture(7))
    assert run(tmp_path, tmp_path / "out").exported == 1
    assert files_of(tmp_path / "out")["x001/1001.webp"] == picture(7)
    assert run(tmp_path, tmp_path / "out").added == 0


def test_an_export_can_be_a_source(booru, tmp_path):
    run(booru, tmp_path / "one")
    run(booru, tmp_path / "two", images=[tmp_path / "one"])
    first, second = files_of(tmp_path / "one"), files_of(tmp_path / "two")
    assert {n for n in first if n.startswith("x")} == {n for n in second if n.startswith("x")}


def test_two_places_of_images_count_in_their_order(small):
    write_tar(small / "a" / "data-0001.tar", {"1.webp": picture(1, size=(10, 8))})
    write_tar(small / "b" / "data-0001.tar", {"1.webp": picture(1, size=(20, 8))})
    run(small, small / "ab", images=[small / "a", small / "b"])
    run(small, small / "ba", images=[small / "b", small / "a"])
    assert (manifest(small / "ab").width[1], manifest(small / "ba").width[1]) == (10, 20)


@pytest.mark.slow
def test_archives_of_unknown_names_give_no_post_twice(small):
    for number in range(4):
        ids = range(number * 8 + 1, number * 8 + 12)
        members = {f"{i}.webp": picture(i, size=(number + 10, 8)) for i in ids}
        write_tar(small / "images" / f"part-{chr(97 + number)}.tar", members)
    assert run(small, small / "out", workers=2).exported == 35
    assert manifest(small / "out").width.dropna().tolist() == [10] * 11 + [11] * 8 + [12] * 8 + [13] * 8


def test_nothing_but_what_is_wanted_is_read_of_an_archive(booru):
    ids = np.array([1003, 5003])
    archive = next(a for a in find_archives([booru / "images"]) if a.name == "original/data-0003.tar")
    sink = MemorySink()
    (outcome,) = HereEngine(ExportArchive(sink, Plain())).run(
        [Task(archive, ids, archive.claim, archive.key, archive.stamp)]
    )
    assert sorted(sink.images) == [pair.id for pair in outcome.pairs] == ids.tolist()
    assert sink.captions[5003] == "post 5003, solo, ★"


def test_an_export_into_memory(booru, tmp_path):
    sink = MemorySink()
    with hb.open(booru / "posts.db") as database:
        job = Job(
            ids=database.posts.to_ids(),
            out=tmp_path / "out",
            database=database,
            archives=find_archives([booru / "images"]),
            sink=sink,
            captions=Plain(),
            settings={},
        )
        report = run_export(job)
    assert len(sink.images) == len(sink.captions) == report.exported


def test_a_truncated_archive_is_used_as_far_as_it_goes(small):
    members = {f"{i}.webp": picture(i, size=(99, 99)) for i in range(1, 41)}
    path = write_tar(small / "images" / "a.tar", members)
    path.write_bytes(path.read_bytes()[: 1024 * 20 + 600])
    report = run(small, small / "out")
    assert 10 < report.exported < 30
    assert "cut short within" in report.damaged["0/a.tar"]
    assert "the images before that place were used" in str(report)


def test_an_archive_that_cannot_be_read_stops_the_export_until_it_can(small, monkeypatch):
    write_tar(small / "images" / "updates/data-1.tar", {"1.webp": picture(1, size=(20, 8))})
    write_tar(small / "images" / "data-0001.tar", {"1.webp": picture(1, size=(10, 8))})
    archives = find_archives([small / "images"])
    aside = (small / "images" / "updates/data-1.tar").rename(small / "aside")
    with monkeypatch.context() as patched:
        patched.setattr("exports.find_archives", lambda *_, **__: archives)
        with pytest.raises(IncompleteError, match=r"updates/data-1.tar \(No such file"):
            run(small, small / "out")
    aside.rename(small / "images" / "updates/data-1.tar")
    run(small, small / "out")
    assert manifest(small / "out").width[1] == 20


def test_other_options_are_refused_and_named(small):
    write_tar(small / "images" / "a.tar", {"1.webp": picture(1)})
    run(small, small / "out", settings={"caption": "one", "sink": "folder"})
    files = files_of(small / "out")
    with pytest.raises(DestinationError, match="caption was one and is now two;"):
        run(small, small / "out", settings={"caption": "two", "sink": "folder"}, captions=Plain("other"))
    assert files_of(small / "out") == files


def test_a_folder_with_other_things_is_refused(small):
    write_tar(small / "images" / "a.tar", {"1.webp": picture(1)})
    (small / "out").mkdir()
    (small / "out" / "thesis.doc").write_text("")
    with pytest.raises(DestinationError, match="neither empty nor an export"):
        run(small, small / "out")
    with pytest.raises(DestinationError, match="cannot be written to"):
        run(small, small / "out" / "thesis.doc" / "out")


def test_a_damaged_journal_is_refused(small):
    write_tar(small / "images" / "a.tar", {"1.webp": picture(1)})
    run(small, small / "out")
    (small / "out" / ".hakubooru" / "journal.sqlite").write_bytes(b"nonsense" * 1000)
    with pytest.raises(DestinationError, match=r"journal.sqlite is damaged \(file is not a database\)"):
        run(small, small / "out")


def test_a_larger_selection_adds_what_is_new_and_a_smaller_is_refused(booru, tmp_path):
    ids = sorted(post_ids())
    run(booru, tmp_path / "whole")
    some = sorted(random.Random(1).sample(ids, len(ids) // 2))
    run(booru, tmp_path / "out", ids=some)
    report = run(booru, tmp_path / "out")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
    assert 0 < report.added < report.exported
    with pytest.raises(DestinationError, match="posts that are not selected"):
        run(booru, tmp_path / "out", ids=some)


def test_an_archive_that_grew_is_read_again(small):
    write_tar(small / "images" / "a.tar", {"1.webp": picture(1)})
    assert run(small, small / "out").exported == 1
    write_tar(small / "images" / "a.tar", [(f"{i}.webp", picture(i)) for i in range(1, 41)])
    report = run(small, small / "out")
    assert (report.exported, report.added) == (40, 39)


def test_what_was_lost_is_exported_again(booru, tmp_path):
    run(booru, tmp_path / "out")
    files = files_of(tmp_path / "out")
    table = manifest(tmp_path / "out")
    paths = table.path.dropna().tolist()
    (tmp_path / "out" / paths[0]).unlink()
    (tmp_path / "out" / paths[30]).write_bytes(b"")  # what a power cut can leave
    (tmp_path / "out" / paths[60]).with_suffix(".txt").unlink()
    run(booru, tmp_path / "out")
    assert files_of(tmp_path / "out") == files


def test_a_lost_file_whose_archive_is_gone_too_takes_nothing_else_with_it(small):
    write_tar(small / "images" / "a.tar", {f"{i}.webp": picture(i) for i in range(1, 21)})
    write_tar(small / "images" / "b.tar", {f"{i}.webp": picture(i) for i in range(21, 41)})
    run(small, small / "out")
    (small / "images" / "a.tar").unlink()
    (small / "out" / "x005" / "5.webp").unlink()
    assert run(small, small / "out").exported == 39


def test_a_sparse_export_leaves_an_index_and_the_next_uses_it(small):
    tar = write_tar(small / "images" / "a.tar", {f"{i}.webp": picture(i) for i in range(1, 41)})
    write_tar(small / "images" / "b.tar.gz", {f"{i}.webp": picture(i) for i in range(30, 41)}, mode="w:gz")
    run(small, small / "first", ids=[5, 20])
    assert sorted(path.name for path in tar.parent.iterdir()) == ["a.tar", "a.tar.hbindex", "b.tar.gz"]
    data, stat = bytearray(tar.read_bytes()), tar.stat()
    data[0:512] = bytes(512)  # where a walk would begin, and take it for the end
    tar.write_bytes(data)
    os.utime(tar, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    run(small, small / "second", ids=[5, 20])
    assert files_of(small / "first") == files_of(small / "second")


def test_an_index_of_other_contents_is_noticed_and_the_archive_walked(small):
    tar = write_tar(small / "images" / "a.tar", {f"{i}.webp": picture(i) for i in range(1, 41)})
    run(small, small / "out", ids=[5, 20])
    stat = tar.stat()
    write_tar(tar, {f"{i}.webp": picture(i) for i in range(40, 0, -1)})
    os.utime(tar, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert tar.stat().st_size == stat.st_size
    assert run(small, small / "again", ids=[5, 20]).exported == 2
    assert files_of(small / "again")["x005/5.webp"] == picture(5)


def test_the_same_comes_out_with_an_index_and_without(booru, tmp_path):
    images = tmp_path / "images"
    shutil.copytree(booru / "images", images)
    run(booru, tmp_path / "walked", images=[images])
    for archive in find_archives([images]):
        save_index(archive.path, build_index(archive.path), state_of(archive.path))
    run(booru, tmp_path / "indexed", images=[images])
    assert files_of(tmp_path / "walked") == files_of(tmp_path / "indexed")


def test_images_that_are_the_same_are_counted(small):
    members = {f"{i}.webp": picture(i % 3) for i in range(1, 11)}
    write_tar(small / "images" / "a.tar", members)
    report = run(small, small / "out")
    assert report.duplicates == 7
    assert "7 images equal another image byte for byte" in str(report)
    assert "\n1 image equals another image byte for byte" in str(replace(report, duplicates=1))


@pytest.mark.parametrize("write", [write_tar, write_folder])
def test_an_image_that_was_mended_is_no_reject_any_more(small, write):
    """Written over in its folder, too, which leaves the folder's time of change as it was."""
    members = {f"{i}.webp": picture(i) for i in range(1, 6)}
    write(small / "images" / "a.tar", members | {"3.webp": b"", "4.webp": b""})
    run(small, small / "out")
    assert sorted(rejects(small / "out").member) == ["3.webp", "4.webp"]
    write(small / "images" / "a.tar", members | {"4.webp": b""})
    run(small, small / "out")
    run(small, small / "whole")
    assert rejects(small / "out").member.tolist() == ["4.webp"]
    assert files_of(small / "out") == files_of(small / "whole")


@pytest.mark.skipif(os.name != "posix", reason="names are bytes only there")
@pytest.mark.parametrize("sink", ["folder", "webdataset"])
def test_names_that_are_no_utf8(small, sink):
    folder = os.fsdecode(os.fsencode(small) + b"/\xff")
    os.mkdir(folder)  # noqa: PTH102 - a string goes in
    write_tar(small / "a.tar", {f"{i}.webp": picture(i) for i in range(1, 6)} | {"nothing": b""})
    (small / "a.tar").rename(folder + os.fsdecode(b"/a\xfe.tar"))
    with hb.open(small / "posts.db") as database:
        assert database.posts.export(small / "out", images=folder, sink=sink).exported == 5
        assert database.posts.export(small / "out", images=folder, sink=sink).added == 0
    assert rejects(small / "out").archive.tolist() == [r"0/a\xfe.tar"]


def test_a_database_that_changed_meanwhile_is_told(small):
    write_tar(small / "images" / "a.tar", {f"{i}.webp": picture(i) for i in range(1, 6)})
    assert not run(small, small / "out").other_database
    assert not run(small, small / "out").other_database
    (small / "newer").mkdir()
    write_database(small / "newer" / "posts.db", list(range(1, 51)))
    (small / "newer" / "images").symlink_to(small / "images")
    report = run(small / "newer", small / "out")
    assert re.sub(r", \d+ changes of the file", "", report.other_database) == (
        "last post 40, last tag 9; now last post 50, last tag 9"
    )
    assert "The database has changed since this export was begun: last post 40" in str(report)


def test_long_names_are_told_alike_by_a_walk_and_by_an_index(small):
    folder = "d" * 120
    members = [(f"{folder}/{i}.webp", b"" if i == 2 else picture(i)) for i in range(1, 31)]
    write_tar(small / "images" / "a.tar", members)
    run(small, small / "out", ids=[1, 2])
    run(small, small / "out", ids=range(1, 41))
    assert rejects(small / "out").member.tolist() == [f"{folder}/2.webp"]


def test_of_many_options_that_differ_the_names_are_told(small):
    write_tar(small / "images" / "a.tar", {"1.webp": picture(1)})
    run(small, small / "out", settings=dict.fromkeys("abcd", "one"))
    with pytest.raises(
        DestinationError, match="begun with other options: a, b, c, d; use the earlier options"
    ):
        run(small, small / "out", settings=dict.fromkeys("abcd", "two"))
