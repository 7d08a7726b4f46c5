"""Each sink, read by the readers that it is meant for."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pandas as pd
import pytest

import exports
import hakubooru as hb
from exports import Plain, post_ids
from hakubooru import repair, verify
from hakubooru.errors import DestinationError, InputError
from hakubooru.export.engine import StoppedError
from hakubooru.export.plan import Job
from hakubooru.export.run import run_export
from hakubooru.export.sinks import SINKS
from hakubooru.export.sinks.folder import FolderSink
from hakubooru.export.sinks.webdataset import WebDatasetSink
from hakubooru.image.sources import find_archives
from pictures import files_of, picture, write_tar


def run(folder, out, sink, *, ids=None, **options):
    with hb.open(folder / "posts.db") as database:
        posts = database.posts if ids is None else database.posts.among(ids)
        return posts.export(out, images=folder / "images", sink=sink, **options)


def exported(out):
    table = pd.read_parquet(out / "manifest.parquet").set_index("id")
    return table[table.status == "exported"]


def read_by(code, out):
    """What another library reads, in a process of its own: its warnings are not ours."""
    environment = os.environ | {"HF_DATASETS_OFFLINE": "1", "HF_HOME": str(out.parent / "hf")}
    command = [sys.executable, "-c", code, str(out)]
    process = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(process.stdout.splitlines()[-1])


IMAGEFOLDER = """
import json, sys
from datasets import load_dataset
rows = load_dataset("imagefolder", data_dir=sys.argv[1], split="train")
print(json.dumps([[row["id"], row["text"], *row["image"].size, row["width"], row["height"]] for row in rows]))
"""

WEBDATASET = """
import glob, io, json, sys
sys.modules["torch"] = None  # an import of seconds, and not what reads
import webdataset
from PIL import Image
shards = sorted(glob.glob(sys.argv[1] + "/shards/*.tar"))
rows = []
for row in webdataset.WebDataset(shards, shardshuffle=False):
    image = next(row[key] for key in ("webp", "jpg", "png") if key in row)
    rows.append([int(row["__key__"]), row["txt"].decode(), *Image.open(io.BytesIO(image)).size])
print(json.dumps(rows))
"""


@pytest.mark.slow
def test_imagefolder_is_read_by_datasets(booru, tmp_path):
    run(booru, tmp_path / "out", "imagefolder")
    table = exported(tmp_path / "out")
    rows = read_by(IMAGEFOLDER, tmp_path / "out")
    assert rows == [
        [post_id, row.caption, *[int(row.width), int(row.height)] * 2] for post_id, row in table.iterrows()
    ]


@pytest.mark.slow
def test_webdataset_is_read_by_webdataset(booru, tmp_path):
    run(booru, tmp_path / "out", "webdataset")
    table = exported(tmp_path / "out")
    rows = read_by(WEBDATASET, tmp_path / "out")
    assert sorted(rows) == [
        [post_id, row.caption, int(row.width), int(row.height)] for post_id, row in table.iterrows()
    ]


@pytest.mark.slow
@pytest.mark.parametrize("sink", SINKS)
def test_any_number_of_workers_gives_the_same_bytes(booru, tmp_path, sink):
    for workers in (1, 2):
        exports.run(booru, tmp_path / str(workers), sink=sink, workers=workers)
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2")


@pytest.mark.slow
@pytest.mark.parametrize("sink", SINKS)
def test_a_larger_selection_gives_the_same_bytes_as_at_once(booru, tmp_path, sink):
    run(booru, tmp_path / "out", sink, ids=sorted(post_ids())[::3])
    run(booru, tmp_path / "out", sink)
    run(booru, tmp_path / "whole", sink)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("sink", SINKS)
def test_what_is_lost_is_found_and_repaired(booru, tmp_path, sink):
    out = tmp_path / "out"
    run(booru, out, sink, output={"shard_images": 20})
    files = files_of(out)
    assert verify(out, decode=True).is_good
    kind = "caption" if sink == "captions" else "image"
    images = [name for name in files if name.endswith((".txt" if kind == "caption" else ".webp", ".tar"))]
    (out / images[0]).unlink()
    data = bytearray((out / images[2]).read_bytes())
    data[530 if sink == "webdataset" else -1] ^= 1
    (out / images[2]).write_bytes(data)
    report = verify(out)
    problem = "is another" if sink == "captions" else "has other contents"
    assert set(report.problems) == {f"{kind} is missing", f"{kind} {problem}"} | (
        {"caption is missing"} if sink == "webdataset" else set()
    )
    assert repair(out).is_good
    assert files_of(out) == files


def test_shards_end_by_images_and_by_bytes(small):
    write_tar(small / "images" / "a.tar", {f"{i}.webp": picture(1, size=(40, 40)) for i in range(1, 41)})

    def shards(out, **limits):
        with hb.open(small / "posts.db") as database:
            job = Job(
                ids=database.posts.to_ids(),
                out=out,
                database=database,
                archives=find_archives([small / "images"]),
                sink=WebDatasetSink(str(out), **limits),
                captions=Plain(),
                settings={},
            )
            run_export(job)
        return exported(out).path.str.extract(r"/(\d{5})\.tar/")[0].value_counts().sort_index().tolist()

    assert shards(small / "by images", shard_images=15) == [15, 15, 10]
    assert shards(small / "by bytes", shard_bytes=len(picture(1, size=(40, 40))) * 8) == [8] * 5
    assert shards(small / "one") == [40]


def test_another_sink_for_the_same_folder_is_refused(booru, tmp_path):
    run(booru, tmp_path / "out", "imagefolder")
    with pytest.raises(DestinationError, match='sink was "imagefolder" and is now "webdataset"'):
        run(booru, tmp_path / "out", "webdataset")
    with pytest.raises(InputError, match=r"""sink = "imagefoldr"; did you mean 'imagefolder'"""):
        run(booru, tmp_path / "other", "imagefoldr")


def test_captions_need_no_images_and_have_their_posts_sizes(small):
    with hb.open(small / "posts.db") as database:
        report = database.posts.export(small / "out", sink="captions", caption="danbooru")
        sizes = dict(database.rows("SELECT id, image_width FROM post"))
        with pytest.raises(InputError, match="the places of the images are missing"):
            database.posts.export(small / "other")
    assert report.exported == 40
    assert not (small / "other").exists()
    table = exported(small / "out")
    assert table.width.to_dict() == sizes
    files = files_of(small / "out")
    for row in table.itertuples():
        assert files[row.path] == row.caption.encode() == b"solo"
        assert row.bytes == 4
    assert len(files) == 42


@pytest.mark.slow
@pytest.mark.parametrize("sink", SINKS)
def test_pruned_it_is_what_the_smaller_selection_gives(booru, tmp_path, sink):
    some = sorted(post_ids())[::3]
    run(booru, tmp_path / "out", sink)
    with pytest.raises(DestinationError, match=r"not selected .* --prune"):
        run(booru, tmp_path / "out", sink, ids=some)
    run(booru, tmp_path / "out", sink, ids=some, prune=True)
    run(booru, tmp_path / "small", sink, ids=some)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "small")
    assert verify(tmp_path / "out").is_good


def take(writer, *numbers):
    for number in numbers:
        writer.image(number, f"x{number % 1000:03d}/{number}.webp", b"image %d" % number)
        writer.caption(number, f"caption {number}")


def take_and_stop(sink, number):
    with sink.writer() as writer:
        take(writer, number)
        raise StoppedError


def test_a_folder_appears_with_all_that_its_archive_gave(tmp_path):
    sink = FolderSink(str(tmp_path))
    sink.clean()
    with sink.writer() as writer:
        take(writer, 1012, 2012)
        assert not (tmp_path / "x012").exists()
    with pytest.raises(StoppedError):
        take_and_stop(sink, 1013)
    assert set(files_of(tmp_path)) == {
        f"x012/{number}012.{kind}" for number in (1, 2) for kind in ("webp", "txt")
    }
    assert not list((tmp_path / ".hakubooru" / "part").iterdir())


def test_archives_meet_in_one_folder(tmp_path):
    sink = FolderSink(str(tmp_path))
    sink.clean()
    with sink.writer() as first:
        take(first, 1012, 2013)
        with sink.writer() as second:
            take(second, 3012, 4013)
    with sink.writer() as third:
        take(third, 5012, 2013)
    images = {f"x{n % 1000:03d}/{n}.webp": b"image %d" % n for n in (1012, 2013, 3012, 4013, 5012)}
    captions = {f"x{n % 1000:03d}/{n}.txt": b"caption %d" % n for n in (1012, 2013, 3012, 4013, 5012)}
    assert files_of(tmp_path) == images | captions
    assert not list((tmp_path / ".hakubooru" / "part").iterdir())


@pytest.mark.slow
def test_the_parent_decodes_nothing(booru, tmp_path, monkeypatch):
    monkeypatch.setattr("PIL.Image.open", None)  # of this process
    report = run(booru, tmp_path / "out", "folder", image={"format": "webp", "max_side": 64}, workers=1)
    assert report.exported
    assert not any("damaged" in reason for reason in report.left_out)
    assert verify(tmp_path / "out", decode=True, workers=1).is_good


@pytest.mark.slow
@pytest.mark.parametrize(("sink", "name"), [("imagefolder", "metadata.jsonl"), ("kohya-json", "meta.json")])
@pytest.mark.parametrize("text", ["{}", "", None])
def test_a_list_that_is_another_is_told_and_repaired(booru, tmp_path, sink, name, text):
    out = tmp_path / "out"
    run(booru, out, sink)
    assert verify(out).is_good
    files = files_of(out)
    whole = (out / name).read_text(encoding="utf-8")
    (out / name).write_text(whole + "more" if text is None else text, encoding="utf-8")
    assert verify(out).problems == {"list is not what the manifest says": (1, [name])}
    assert repair(out).is_good
    assert files_of(out) == files


def write_roots(folder, roots):
    """Archives of one name in two places: what distinguishes them is the place."""
    for name, ids in roots.items():
        write_tar(folder / name / "a.tar", {f"{i}.webp": picture(i) for i in ids})


@pytest.mark.slow
@pytest.mark.parametrize("sink", ["folder", "webdataset"])
def test_places_in_another_order_are_the_same_places(small, sink):
    write_roots(small, {"first": range(1, 11), "second": range(11, 21)})
    with hb.open(small / "posts.db") as database:

        def export(posts, *names):
            database.posts.ids(*posts).export(
                small / "out", images=[small / name for name in names], sink=sink
            )

        export((1, 9), "first", "second")
        export((1, 20), "second", "first")
        assert set(exported(small / "out").index) == set(range(1, 20))
        (small / "second").rename(small / "moved")
        write_roots(small, {"third": range(21, 31)})
        export((1, 30), "first", "moved", "third")
        assert set(exported(small / "out").index) == set(range(1, 30))
        assert verify(small / "out").is_good
        export((1, 41), "third", "moved", "first")
    assert set(exported(small / "out").index) == set(range(1, 31))
    assert verify(small / "out", decode=True).is_good
