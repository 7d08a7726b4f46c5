"""Thumbnails and large views, and the cache of them."""

from __future__ import annotations

import io
import os
import signal
import sqlite3

import pytest
from PIL import Image

from hakubooru.browse import thumbnails as module
from hakubooru.browse.thumbnails import Thumbnails
from hakubooru.image.shelf import NoImageError, Shelf
from pictures import bomb, picture, write_folder, write_tar


@pytest.fixture(scope="module")
def thumbnails(tmp_path_factory):
    with Thumbnails(workers=1, cache=tmp_path_factory.mktemp("cache") / "small.sqlite") as thumbnails:
        yield thumbnails


@pytest.fixture
def shelf(tmp_path):
    images = {
        "1.png": picture(1, "png", (1000, 500)),
        "2.webp": picture(2, "webp", (50, 100)),
        "3.png": bomb(),
        "4.jpg": picture(4, "jpg", (900, 1800))[:500],
        "5.bmp": picture(5, "bmp", (3000, 100)),
    }
    write_tar(tmp_path / "0.tar", images)
    return Shelf([tmp_path])


def size(data):
    with Image.open(io.BytesIO(data)) as image:
        return image.format, image.size


@pytest.mark.slow
def test_a_thumbnail_is_small_and_not_larger_than_the_image(thumbnails, shelf):
    assert size(thumbnails.thumbnail(shelf.find(1)).data) == ("WEBP", (360, 180))
    assert size(thumbnails.thumbnail(shelf.find(2)).data) == ("WEBP", (50, 100))


def test_a_view_is_the_file_if_web_browsers_show_it(thumbnails, shelf):
    view = thumbnails.view(shelf.find(1))
    assert (view.media_type, view.data) == ("image/png", picture(1, "png", (1000, 500)))
    smaller = thumbnails.view(shelf.find(5))
    assert (smaller.media_type, size(smaller.data)) == ("image/webp", ("WEBP", (2048, 68)))


@pytest.mark.parametrize(("number", "reason"), [(3, "more than .* pixels"), (4, "truncated jpg")])
def test_a_bomb_and_a_broken_file_are_refused(thumbnails, shelf, number, reason):
    for make in (thumbnails.thumbnail, thumbnails.view):
        with pytest.raises(NoImageError, match=reason):
            make(shelf.find(number))


def test_a_thumbnail_that_was_made_is_not_read_again(thumbnails, shelf, tmp_path):
    place = shelf.find(1)
    first = thumbnails.thumbnail(place)
    (tmp_path / "0.tar").rename(tmp_path / "gone.tar")
    assert thumbnails.thumbnail(place) == first
    with pytest.raises(NoImageError, match="cannot be read"):
        thumbnails.thumbnail(shelf.find(2))


def test_an_archive_that_changed_has_new_thumbnails(thumbnails, shelf, tmp_path):
    thumbnails.thumbnail(shelf.find(1))
    write_tar(tmp_path / "0.tar", {"1.png": picture(1, "png", (200, 100))})
    assert size(thumbnails.thumbnail(Shelf([tmp_path]).find(1)).data) == ("WEBP", (200, 100))


def test_an_image_that_was_written_over_has_a_new_thumbnail(thumbnails, tmp_path):
    """Its folder's time of change stays as it was."""
    for sides in ((200, 100), (100, 200)):
        write_folder(tmp_path / "images", {"1.png": picture(1, "png", sides)})
        os.utime(tmp_path / "images", ns=(1, 1))
        assert size(thumbnails.thumbnail(Shelf([tmp_path / "images"]).find(1)).data) == ("WEBP", sides)


@pytest.mark.kill
def test_a_process_that_is_killed_is_replaced(shelf, tmp_path):
    with Thumbnails(workers=1, cache=tmp_path / "cache.sqlite") as thumbnails:
        thumbnails.thumbnail(shelf.find(1))
        (process,) = thumbnails._workers._processes.values()
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert size(thumbnails.thumbnail(shelf.find(2)).data) == ("WEBP", (50, 100))


def test_the_cache_is_bounded(tmp_path):
    cache = module._Cache(tmp_path / "cache.sqlite", largest=10_000)
    for number in range(100):
        cache.put(number.to_bytes(2, "big"), bytes(1000))
    assert cache.get(b"\0\x63") == bytes(1000)
    assert cache.get(b"\0\0") is None
    cache.close()
    with sqlite3.connect(tmp_path / "cache.sqlite") as connection:
        assert connection.execute("SELECT SUM(length(data)) FROM picture").fetchone()[0] <= 10_000
    connection.close()


def test_without_a_place_for_the_cache_thumbnails_are_kept_in_memory(tmp_path):
    (tmp_path / "file").write_text("")
    cache = module._Cache(tmp_path / "file" / "cache.sqlite")
    cache.put(b"key", b"data")
    assert cache.get(b"key") == b"data"
    cache.close()


@pytest.mark.parametrize("name", ["sqlite_schema", "picture", "sqlite_autoindex_picture_1"])
def test_a_damaged_cache_is_made_anew(tmp_path, name):
    """It is noticed at the start, or where a picture is looked up: only that reads the index."""
    path = tmp_path / "cache.sqlite"
    cache = module._Cache(path)
    for number in range(100):
        cache.put(bytes([number]), bytes(1000))
    pages = dict(cache._connection.execute("SELECT name, rootpage FROM sqlite_schema"))
    cache.close()
    with path.open("rb+") as file:
        file.seek(4096 * (pages.get(name, 1) - 1))
        file.write(b"\xff" * 4096)
    for expected in (None, b"data"):
        cache = module._Cache(path)
        assert cache.get(b"key") == expected
        cache.put(b"key", b"data")
        assert cache.get(b"key") == b"data"
        cache.close()
