"""Published indexes that do not lie beside their tars, on a server of loopback and on a disk."""

from __future__ import annotations

import json
import shutil

import pytest

import hakubooru as hb
from hakubooru.errors import SourceError
from hakubooru.image.sources import find_archives
from pictures import files_of, picture, write_tar
from serving import serving, write_json

POSTS = [2, 20, 21, 31]


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
    written = {name: {"offset": at["offset"], "length": at["size"], "width": 8} for name, at in files.items()}
    place.write_text(json.dumps({"path": "0000.tar", "files": written}))
    with serving(published / "set") as server:
        assert export(published, "out", server.url) == local


def test_the_index_of_the_same_folders_counts(small):
    """Originals and updates have files of one name."""
    for name, size in [("original/data-0001.tar", 40), ("newer/data-0001.tar", 80)]:
        path = write_tar(small / "set" / name, {f"{i}.webp": picture(i, size=(size, 40)) for i in (1, 1001)})
        write_json(path)
        moved = small / "places" / "deep" / name
        moved.parent.mkdir(parents=True)
        path.with_suffix(".json").rename(moved.with_suffix(".json"))
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
        before = export(published, "out", f"{server.url}/set", index=published / "elsewhere")
        (published / "out" / "x002" / "2.webp").unlink()
        assert hb.repair(published / "out").is_good
    assert files_of(published / "out") == before
