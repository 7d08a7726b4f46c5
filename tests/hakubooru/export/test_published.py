"""Published indexes that do not lie beside their tars, on a server of loopback and on a disk."""

from __future__ import annotations

import json
import os
import shutil

import pytest

import hakubooru as hb
from hakubooru.errors import SourceError
from hakubooru.files import remove_unused
from hakubooru.image.layouts import INDEX_SUFFIX
from hakubooru.image.sources import find_archives
from pictures import files_of, picture, write_tar
from serving import RangeHandler, serving, write_json

POSTS = [2, 20, 21, 31]


class Counting(RangeHandler):
    """Takes down which indexes are fetched."""

    def do_GET(self):  # noqa: N802 - the name that http.server calls
        if self.path.endswith(".json"):
            self.server.fetched.append(self.path)
        super().do_GET()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def published(small):
    """A set as picollect publishes it: `images/0000.tar` holds the posts of id // 1000, `index/0000.json` its index."""
    path = write_tar(small / "set" / "images" / "0000.tar", {f"{post}.webp": picture(post) for post in POSTS})
    write_json(path)
    (small / "set" / "index").mkdir()
    path.with_suffix(".json").rename(small / "set" / "index" / "0000.json")
    return small


def export(folder, out, images, **options):
    with hb.open(folder / "posts.db") as database:
        database.posts.export(folder / out, images=images, **options)
    return files_of(folder / out)


@pytest.mark.parametrize("place", ["", "/images", "/images/0000.tar"])
def test_an_index_in_a_folder_of_indexes_is_found(published, place):
    local = export(published, "local", published / "set")
    with serving(published / "set") as server:
        assert export(published, "out", server.url + place) == local


@pytest.mark.parametrize("is_remote", [True, False])
def test_an_index_in_another_place_is_named(published, is_remote):
    local = export(published, "local", published / "set")
    shutil.move(published / "set" / "index", published / "elsewhere")
    with serving(published) as server:
        with pytest.raises(SourceError, match=r"has no index \(0000\.json\) .* with --index"):
            export(published, "out", f"{server.url}/set")
        place = f"{server.url}/elsewhere" if is_remote else published / "elsewhere"
        assert export(published, "out", f"{server.url}/set", index=place) == local


def test_an_index_of_webshart_is_read(published):
    local = export(published, "local", published / "set")
    place = published / "set" / "index" / "0000.json"
    files = json.loads(place.read_text())["files"]
    entries = {name: {"offset": at["offset"], "length": at["size"], "width": 8} for name, at in files.items()}
    place.write_text(json.dumps({"path": "0000.tar", "files": entries}))
    with serving(published / "set") as server:
        assert export(published, "out", server.url) == local


def test_the_index_of_the_same_folders_counts(small):
    """Originals and updates have files of one name."""
    for name, size in [("original/data-0001.tar", 40), ("newer/data-0001.tar", 80)]:
        path = write_tar(small / "set" / name, {f"{i}.webp": picture(i, size=(size, 40)) for i in (1, 1001)})
        write_json(path)
        target = small / "places" / "deep" / name
        target.parent.mkdir(parents=True)
        path.with_suffix(".json").rename(target.with_suffix(".json"))
    archives = find_archives([small / "set"], indexes=[small / "places"])
    assert {archive.name: archive.index for archive in archives} == {
        f"{folder}/data-0001.tar": f"{small}/places/deep/{folder}/data-0001.json"
        for folder in ("original", "newer")
    }
    with serving(small) as server:
        archives = find_archives([f"{server.url}/set"], indexes=[f"{server.url}/places"])
        assert {archive.index for archive in archives} == {
            f"{server.url}/places/deep/{folder}/data-0001.json" for folder in ("original", "newer")
        }


def test_a_repair_finds_them_again(published):
    shutil.move(published / "set" / "index", published / "elsewhere")
    with serving(published) as server:
        files = export(published, "out", f"{server.url}/set", index=published / "elsewhere")
        (published / "out" / "x002" / "2.webp").unlink()
        assert hb.repair(published / "out").is_good
    assert files_of(published / "out") == files


def test_an_index_is_fetched_once_until_it_changes(published, cache):
    with serving(published / "set", Counting) as server:
        server.fetched = []
        local = export(published, "out", server.url)
        assert export(published, "again", server.url) == local
        assert server.fetched == ["/index/0000.json"]
        place = published / "set" / "index" / "0000.json"
        place.write_text(json.dumps(json.loads(place.read_text()), indent=1))
        assert export(published, "changed", server.url) == local
        assert len(server.fetched) == 2
    (index,) = cache.rglob("*" + INDEX_SUFFIX)
    stale = index.with_name("stale")
    stale.touch()
    os.utime(stale, (0, 0))
    remove_unused(index.parent)
    assert [*index.parent.iterdir()] == [index]


@pytest.fixture
def leaving_out(small, cache):
    """A tar with images in the middle and at the end that its index leaves out."""
    sizes = {2: 3000, 20: 3000, 21: 3000, 31: 12_000}
    images = {f"{post}.png": picture(post, "png").ljust(size, b"\0") for post, size in sizes.items()}
    path = write_tar(small / "set" / "0000.tar", images)
    write_json(path)
    table = json.loads(path.with_suffix(".json").read_text())
    for name in ("20.png", "31.png"):
        del table["files"][name]
    path.with_suffix(".json").write_text(json.dumps(table))
    return small


def test_images_that_an_index_leaves_out_are_learned(leaving_out):
    with serving(leaving_out / "set") as server:
        remote = export(leaving_out, "out", server.url)
    assert remote == export(leaving_out, "local", leaving_out / "set")
    assert len([name for name in remote if name.endswith(".png")]) == len(POSTS)


def test_an_index_that_leaves_out_too_much_is_told(small, cache):
    path = write_tar(small / "set" / "0000.tar", {f"{post}.png": bytes(512) for post in range(1, 301)})
    write_json(path)
    table = json.loads(path.with_suffix(".json").read_text())
    table["files"] = dict([*table["files"].items()][:3])
    path.with_suffix(".json").write_text(json.dumps(table))
    with serving(small / "set") as server:
        (group,) = hb.census(hb.find_archives([server.url]))
    assert group.images == 3 + 256
    assert group.damaged == [("0000.tar", "has more than 256 members that its published index leaves out")]
