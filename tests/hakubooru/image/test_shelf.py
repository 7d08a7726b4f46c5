"""Finding the image of one post in tars, folders and on other machines, as an export does."""

from __future__ import annotations

import io

import pytest
from PIL import Image

import hakubooru as hb
from booru import post_row, write
from hakubooru.image.shelf import NoImageError, Shelf
from image_sets import FORMS, md5_of, name_of, write_archive
from pictures import picture, write_tar
from serving import serving, write_published


def width(shelf, number):
    return Image.open(io.BytesIO(shelf.find(number).read())).width


def test_an_image_is_found_in_a_tar_and_in_a_folder(tmp_path):
    write_tar(tmp_path / "0005.tar", {f"{i}.png": picture(i, "png") for i in (1005, 2005)})
    folder = tmp_path / "original" / "0007"
    folder.mkdir(parents=True)
    (folder / "3007.webp").write_bytes(picture(3007))
    shelf = Shelf([tmp_path])
    assert shelf.find(2005).read() == picture(2005, "png")
    assert shelf.find(3007).read() == picture(3007)
    with pytest.raises(NoImageError, match="no archive holds it"):
        shelf.find(4005)


def test_an_image_under_a_name_that_does_not_announce_it_is_found(tmp_path):
    write_tar(tmp_path / "0005.tar", {f"{i}.png": picture(i, "png") for i in (1005, 2005, 3005, 6)})
    assert Shelf([tmp_path]).find(6).read() == picture(6, "png")


def test_an_update_comes_before_an_original(tmp_path):
    write_published(tmp_path)
    shelf = Shelf([tmp_path])
    assert (width(shelf, 5), width(shelf, 6)) == (100, 60)


def test_an_image_on_another_machine_is_read_by_itself(tmp_path):
    write_published(tmp_path)
    with serving(tmp_path) as server:
        shelf = Shelf([server.url])
        assert (width(shelf, 5), width(shelf, 6)) == (100, 60)
        assert server.sent < 5000


@pytest.mark.parametrize("name", ["0.tar.gz", "0.tgz"])
def test_an_image_in_a_compressed_tar_is_found(tmp_path, name):
    write_tar(tmp_path / name, {f"{i}.png": picture(i, "png") for i in (1, 2, 3)}, mode="w:gz")
    assert Shelf([tmp_path]).find(2).read() == picture(2, "png")


def test_a_tar_that_changed_is_told(tmp_path):
    path = write_tar(tmp_path / "0.tar", {f"{i}.png": picture(i, "png") for i in (1, 2, 3)})
    place = Shelf([tmp_path]).find(3)
    write_tar(path, {"3.png": picture(3, "png", (500, 400))})
    with pytest.raises(NoImageError, match=r"0\.tar cannot be read"):
        place.read()


def test_a_link_in_a_tar_is_data(tmp_path):
    (tmp_path / "secret").write_text("secret")
    path = write_tar(tmp_path / "images" / "0.tar", {"1.png": picture(1, "png")})
    from pictures import add_special

    add_special(path, "2.png", b"2", str(tmp_path / "secret"))
    with pytest.raises(NoImageError):
        Shelf([tmp_path / "images"]).find(2)


def test_few_listings_stay_in_memory(tmp_path):
    for i in range(5):
        write_tar(tmp_path / f"000{i}.tar", {f"100{i}.png": picture(i, "png")})
    shelf = Shelf([tmp_path], listings=2)
    for _ in range(2):
        assert [shelf.find(1000 + i).read() for i in range(5)] == [picture(i, "png") for i in range(5)]
    assert len(shelf._listings) == 2


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["folder", "a.tar", "b.tar.gz", "c.zip", "train.parquet"])
def test_images_of_every_name_are_found_in_every_archive(tmp_path, name, form):
    write(tmp_path / "posts.db", [post_row(post, md5=md5_of(post)) for post in (1, 2, 3)])
    members = [(name_of(post, form), picture(post)) for post in (1, 2, 5)]
    write_archive(tmp_path / "images" / name, members)
    with hb.open(tmp_path / "posts.db") as database:
        shelf = Shelf([tmp_path / "images"])
        assert [shelf.find(post, database).read() for post in (2, 1)] == [picture(2), picture(1)]
        with pytest.raises(NoImageError, match="no archive holds it"):
            shelf.find(3, database)
        assert database.image(2, images=tmp_path / "images").size == Image.open(io.BytesIO(picture(2))).size
    with pytest.raises(NoImageError, match="no archive holds it"):
        Shelf([tmp_path / "images"]).find(4)


def test_a_notebook_sees_an_archive_that_came_later(tmp_path):
    write(tmp_path / "posts.db", [post_row(post) for post in (1, 2)])
    images = tmp_path / "images"
    write_archive(images / "a.tar", [("1.webp", picture(1))])
    with hb.open(tmp_path / "posts.db") as database:
        assert database.image(1, images=images).size == Image.open(io.BytesIO(picture(1))).size
        write_archive(images / "b.tar", [("2.webp", picture(2))])
        assert database.image(2, images=images).size == Image.open(io.BytesIO(picture(2))).size


def test_what_a_zip_archive_has_lost_is_told(tmp_path):
    write_archive(tmp_path / "c.zip", [("1.webp", picture(1)), ("2.webp", picture(2))])
    place = Shelf([tmp_path]).find(2)
    write_archive(tmp_path / "c.zip", [("1.webp", picture(1))])
    with pytest.raises(NoImageError, match=r"c\.zip does not hold it any more"):
        place.read()
