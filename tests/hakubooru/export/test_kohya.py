"""sd-scripts' metadata file: how two versions find an image by its key, and what they find."""

from __future__ import annotations

import glob
import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

import hakubooru as hb
from hakubooru import repair, verify
from pictures import files_of

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def find_0_9_1(key, image_dir):
    """The file of a key by v0.9.1: a path that exists, or a name to which an extension is added."""
    if Path(key).exists():
        return Path(key)
    paths = [path for end in EXTENSIONS for path in glob.glob(glob.escape(f"{image_dir}/{key}") + end)]  # noqa: PTH207
    return Path(paths[0]) if paths else None


def find_0_10(key, image_dir):
    """The file of a key by v0.10: an absolute path, or one below `image_dir`; it is opened as it is."""
    path = Path(key) if os.path.isabs(key) else Path(image_dir, key)  # noqa: PTH117
    return path if path.is_file() else None


def export(folder, out, sink="kohya-json"):
    with hb.open(folder / "posts.db") as database:
        database.posts.export(out, images=folder / "images", sink=sink)
    return metadata(out)


def metadata(out):
    return json.loads((out / "meta.json").read_text(encoding="utf-8"))


def images(out):
    table = pd.read_parquet(out / "manifest.parquet")
    return [out / path for path in table[table.status == "exported"].path]


def test_both_versions_find_every_image(booru, tmp_path):
    out = tmp_path / "out"
    keys = export(booru, out)
    for find in (find_0_9_1, find_0_10):
        for image_dir in (out, "elsewhere"):
            assert [find(key, image_dir) for key in keys] == images(out)
    table = pd.read_parquet(out / "manifest.parquet")
    expected = table[table.status == "exported"]
    assert list(keys.values()) == [
        {"caption": row.caption, "image_size": [row.width, row.height]} for row in expected.itertuples()
    ]
    assert not list(out.rglob("*.txt"))


def test_relative_keys_are_found_below_image_dir_also_where_the_set_was_moved(booru, tmp_path, monkeypatch):
    export(booru, tmp_path / "out", "kohya-json-relative")
    out = (tmp_path / "out").rename(tmp_path / "moved")
    assert [find_0_10(key, out) for key in metadata(out)] == images(out)
    assert [find_0_9_1(key, out) for key in metadata(out)] == [None] * len(images(out))
    monkeypatch.chdir(out)
    assert [out / find_0_9_1(key, out) for key in metadata(out)] == images(out)
    assert verify(out).is_good


@pytest.mark.parametrize("path", ["out", "other/../out", "link"])
def test_a_list_is_good_by_whatever_path_its_folder_is_seen(small_set, path):
    out = small_set / "out"
    (small_set / "other").mkdir()
    out.mkdir()
    (small_set / "link").symlink_to(out)
    export(small_set, small_set / path)
    files = files_of(out)
    for name in ("out", "other/../out", "link"):
        assert verify(small_set / name).is_good
    assert files_of(out) == files


def test_a_moved_export_is_told_and_mended(small_set):
    export(small_set, small_set / "out")
    out = (small_set / "out").rename(small_set / "moved")
    files = files_of(out)
    problem = f"list names images in {small_set}/out; if the export was moved, --repair writes the list again"
    assert verify(out).problems == {problem: (1, ["meta.json"])}
    assert repair(out).is_good
    assert [find_0_10(key, None) for key in metadata(out)] == images(out)
    shutil.copytree(out, small_set / "copy")
    assert not verify(small_set / "copy").is_good
    export(small_set, small_set / "copy")
    assert verify(small_set / "copy").is_good
    assert files.keys() == files_of(out).keys()


@pytest.fixture
def small_set(out):
    """A folder with a database and archives, from which nothing is exported yet."""
    shutil.rmtree(out)
    return out.parent
