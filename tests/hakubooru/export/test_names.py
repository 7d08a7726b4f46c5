"""Names of images in other forms than ID.ext, and images in zip archives and Parquet files."""

from __future__ import annotations

import hashlib
import zipfile

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

import hakubooru as hb
from booru import post_row, write
from hakubooru.image.layouts import MEMBERS, md5_of, post_id
from hakubooru.image.sources import find_archives
from hakubooru_cli.main import cli
from pictures import picture, write_tar

POSTS = range(1, 9)


def md5(post: int) -> str:
    return hashlib.md5(picture(post)).hexdigest()


@pytest.fixture
def hashed(tmp_path):
    """A folder with a database of eight posts, whose MD5s are those of their images."""
    write(
        tmp_path / "posts.db",
        [post_row(post, md5=md5(post), rating="sensitive") for post in POSTS],
        lambda _: ["solo"],
    )
    return tmp_path


def export(folder, ids=POSTS):
    with hb.open(folder / "posts.db") as database:
        return database.posts.among(list(ids)).export(folder / "out", images=folder / "images")


def exported(folder) -> dict[int, bytes]:
    return {int(path.stem): path.read_bytes() for path in (folder / "out").glob("x*/*.webp")}


EVERYTHING = {post: picture(post) for post in POSTS}


def test_every_form_of_a_name_has_an_example_that_is_read():
    assert [post_id(example) for example, _ in MEMBERS] == [123, 123, 3]
    assert post_id("danbooru_7.png") == post_id("0000007-x y.jpg") == post_id("10000007-x.jpg") - 10**7 == 7
    assert md5_of(f"ab/{md5(1)}.jpg") == md5_of(f"__solo_drawn_by_x__{md5(1)}.png") == bytes.fromhex(md5(1))
    assert (
        md5_of("../" + md5(1) + ".jpg")
        is md5_of("/" + md5(1) + ".jpg")
        is md5_of(md5(1)[1:] + ".jpg")
        is None
    )


@pytest.mark.parametrize(
    "form", ["danbooru_{post}_{md5}.webp", "{post:07d}-name.webp", "{md5}.webp", "{md5:.2}/{md5}.webp"]
)
@pytest.mark.parametrize("is_tar", [True, False])
def test_images_of_every_form_of_name_are_exported(hashed, form, is_tar):
    members = {form.format(post=post, md5=md5(post)): picture(post) for post in POSTS}
    if is_tar:
        write_tar(hashed / "images" / "a.tar", members)
    else:
        for name, data in members.items():
            (hashed / "images" / name).parent.mkdir(parents=True, exist_ok=True)
            (hashed / "images" / name).write_bytes(data)
    assert export(hashed, [1, 2, 5]).exported == 3
    assert export(hashed).added == 5  # from the index now, if it is a tar
    assert exported(hashed) == EVERYTHING
    output = CliRunner().invoke(cli, ["sources", str(hashed / "images")], catch_exceptions=False).output
    assert output.count("named by MD5") == (output.count("\n") if "{post" not in form else 0)


def test_an_md5_that_no_post_has_is_nobodys(hashed):
    members = {f"{md5(post)}.webp": picture(post) for post in range(1, 20)}
    write_tar(hashed / "images" / "a.tar", members)
    assert export(hashed).exported == 8
    assert exported(hashed) == EVERYTHING


@pytest.mark.parametrize("place", ["images/a.tar", "images/a.zip", "images/ab"])
@pytest.mark.parametrize("runs", [[[1, 2, 11, 12]], [[1, 2], [1, 2, 11, 12]], [[11], [1, 2, 11, 12]]])
def test_posts_that_share_an_md5_each_get_the_image(tmp_path, place, runs):
    of_image = {1: 1, 2: 2, 11: 1, 12: 1}
    write(
        tmp_path / "posts.db",
        [post_row(post, md5=md5(image)) for post, image in of_image.items()],
        lambda _: ["solo"],
    )
    members = {f"{md5(image)}.webp": picture(image) for image in (1, 2)}
    (tmp_path / "images").mkdir()
    if place.endswith(".tar"):
        write_tar(tmp_path / place, members)
    elif place.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / place, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    else:
        (tmp_path / place).mkdir()
        for name, data in members.items():
            (tmp_path / place / name).write_bytes(data)
    for ids in runs:
        report = export(tmp_path, ids)
    assert report.exported == 4
    assert exported(tmp_path) == {post: picture(image) for post, image in of_image.items()}


def test_a_post_that_shares_an_md5_gets_the_image_when_another_archive_has_the_other_post(tmp_path):
    write(tmp_path / "posts.db", [post_row(post, md5=md5(1)) for post in (1, 11)], lambda _: ["solo"])
    write_tar(tmp_path / "images" / "data-0001.tar", {"1.webp": picture(5)})
    write_tar(tmp_path / "images" / "names.tar", {f"{md5(1)}.webp": picture(1)})
    assert export(tmp_path, [1, 11]).exported == 2
    assert exported(tmp_path) == {1: picture(5), 11: picture(1)}


def test_an_md5_among_names_of_posts_is_told(hashed):
    members = {f"{post}.webp": picture(post) for post in range(1, 6)} | {f"{md5(7)}.webp": picture(7)}
    write_tar(hashed / "images" / "a.tar", members)
    reason = "an MD5 for a name, in an archive whose first images have posts"
    assert export(hashed).passed_over == {reason: (1, [f"{md5(7)}.webp"])}
    assert find_archives([hashed / "images"])[0].by_md5 is False


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_images_in_a_zip_archive_are_exported(hashed, compression):
    (hashed / "images").mkdir()
    with zipfile.ZipFile(hashed / "images" / "BC_2023.zip", "w", compression) as archive:
        for post in POSTS:
            archive.writestr(f"all/{post}.webp", picture(post))
        archive.writestr("../9.webp", b"")
    (hashed / "images" / "5.zip").write_bytes(b"an animation of post 5, not an archive")
    report = export(hashed)
    assert exported(hashed) == EVERYTHING
    assert report.passed_over == {"a path that leads outside": (1, ["../9.webp"])}


def test_a_damaged_zip_archive_is_told(hashed):
    write_tar(hashed / "images" / "a.tar", {f"{post}.webp": picture(post) for post in range(1, 8)})
    (hashed / "images" / "b.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    report = export(hashed)
    assert report.exported == 7
    assert "is a damaged zip archive" in report.damaged["0/b.zip"]


@pytest.mark.parametrize("column", ["id", "filename", "path"])
@pytest.mark.parametrize("as_struct", [True, False])
def test_images_in_a_parquet_file_are_exported(hashed, column, as_struct):
    (hashed / "images").mkdir()
    posts = list(POSTS)
    names = [f"{post}.webp" for post in posts]
    images = [{"bytes": picture(post), "path": name} for post, name in zip(posts, names, strict=True)]
    table = {"image": images if as_struct else [picture(post) for post in posts]}
    if column == "id" or not as_struct:
        table[column] = posts if column == "id" else names
    parquet.write_table(pa.table(table), hashed / "images" / "train-00000.parquet", row_group_size=3)
    parquet.write_table(pa.table({"id": posts, "score": posts}), hashed / "images" / "metadata.parquet")
    assert export(hashed, [2, 8]).exported == 2
    assert export(hashed).exported == 8
    assert exported(hashed) == EVERYTHING


def test_what_an_archive_has_twice_and_what_is_unreadable_is_told(hashed):
    folder = hashed / "images"
    folder.mkdir()
    for name, data in {
        "1.webp": picture(1),
        "1.png": picture(1, "png"),
        "2.heic": b"x",
        "3.jpg": b"",
    }.items():
        (folder / name).write_bytes(data)
    np.savetxt(hashed / "ids.txt", [1, 2, 3, 4], fmt="%d")
    arguments = ["sources", str(folder), "--ids", str(hashed / "ids.txt")]
    output = CliRunner().invoke(cli, arguments, catch_exceptions=False).output
    assert "2 images, " in output
    assert "1 wanted, 2 unreadable, 1 of a post that their archive has already" in output
    assert "1 of 4 selected posts has an image" in output
    report = export(hashed)
    assert report.exported == 1
    assert report.passed_over == {"a post that the archive has already given": (1, ["1.webp"])}
