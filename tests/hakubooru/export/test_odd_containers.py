"""Zip archives and Parquet files of images as people write them: odd names, missing values, damage; and indexes that lie."""

from __future__ import annotations

import json
import os
import zipfile

import pyarrow as pa
import pytest
from pyarrow import parquet

import hakubooru as hb
from image_sets import write_index
from pictures import picture, write_tar
from serving import serving


def export(folder, images=None, ids=range(1, 41), **options):
    with hb.open(folder / "posts.db") as database:
        report = database.posts.among(list(ids)).export(
            folder / "out", images=images or folder / "images", **options
        )
    return {int(path.stem): path.read_bytes() for path in (folder / "out").glob("x*/*.webp")}, report


def expected(*posts):
    return {post: picture(post) for post in posts}


@pytest.fixture
def places(small):
    (small / "images").mkdir()
    write_tar(small / "images" / "a.tar", {"40.webp": picture(40)})
    return small


def test_strange_names_in_a_zip_archive_are_told(places):
    names = [
        "1.webp",
        "deep/er/2.webp",
        "deep\\3.webp",
        "/4.webp",
        "../5.webp",
        "cat.webp",
        "6.txt",
        "7.zip",
        "8/",
    ]
    with zipfile.ZipFile(places / "images" / "b.zip", "w") as archive:
        for name in names:
            archive.writestr(
                name, b"" if name.endswith("/") else picture(int("0" + "".join(filter(str.isdigit, name))))
            )
    pairs, report = export(places)
    assert pairs == expected(1, 2, 40)
    assert report.passed_over == {
        "an absolute path": (1, ["/4.webp"]),
        "a path that leads outside": (1, ["../5.webp"]),
        "no post id for a name": (2, ["cat.webp", "deep\\3.webp"]),
    }


def test_one_damaged_file_of_a_zip_archive_costs_no_other(places):
    path = places / "images" / "b.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for post in range(1, 9):
            archive.writestr(f"{post}.webp", picture(post))
    data = bytearray(path.read_bytes())
    at = data.index(picture(3)) + 30
    data[at] ^= 1
    path.write_bytes(data)
    pairs, report = export(places)
    assert pairs == expected(1, 2, 4, 5, 6, 7, 8, 40)
    assert report.damaged["0/b.zip"] == "is a damaged zip archive (Bad CRC-32 for file '3.webp')"


def test_encrypted_and_unknown_ways_of_packing_are_told(places):
    path = places / "images" / "b.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.webp", picture(1))
        archive.writestr("2.webp", picture(2))
        archive.writestr("3.webp", picture(3))
    data = bytearray(path.read_bytes())
    entries = [at for at in range(len(data)) if data[at : at + 4] == b"PK\x01\x02"]
    data[entries[0] + 8] |= 1  # the flag of encryption
    data[entries[1] + 10] = 99  # the way of packing
    path.write_bytes(data)
    pairs, report = export(places)
    assert pairs == expected(3, 40)
    assert report.passed_over == {"an encrypted file": (1, ["1.webp"])}
    assert "That compression method is not supported" in report.damaged["0/b.zip"]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_missing_values_and_odd_ids_of_a_parquet_file(places, kind):
    images = [picture(1), None, picture(3), b"", b"no image", picture(6), picture(1)]
    table = {"id": pa.array([1.0, 2.0, None, 4.0, 5.0, 6.0, 1.0]), "image": pa.array(images, kind)}
    parquet.write_table(pa.table(table), places / "images" / "b.parquet")
    pairs, report = export(places)
    assert pairs == expected(1, 6, 40)
    assert report.passed_over == {
        "no post id for a name": (1, [""]),
        "a post that the archive has already given": (1, ["1.webp"]),
    }
    assert sum(report.left_out.values()) == 37


def test_a_struct_of_bytes_and_path_names_its_image(places):
    names = ["deep/1.webp", "danbooru_2_0123456789abcdef0123456789abcdef.webp", "0000003-x.webp", None]
    images = [{"bytes": picture(post), "path": name} for post, name in enumerate(names, 1)]
    images[1]["bytes"] = None
    parquet.write_table(pa.table({"image": images, "label": [1, 2, 3, 4]}), places / "images" / "b.parquet")
    assert export(places)[0] == expected(1, 3, 40)


@pytest.mark.parametrize("missing_bytes", [0, 3, 100])
def test_a_damaged_parquet_file_is_told(places, missing_bytes):
    path = places / "images" / "b.parquet"
    parquet.write_table(pa.table({"id": [1], "image": [picture(1)]}), path)
    path.write_bytes(path.read_bytes()[: missing_bytes and -missing_bytes])
    pairs, report = export(places)
    assert pairs == expected(40)
    assert "is a damaged Parquet file" in report.damaged["0/b.parquet"]


LIES = {
    "another size": lambda table: table | {"filesize": 1},
    "another place": lambda table: table | {"files": {name: at | {"offset": at["offset"] + 512} for name, at in table["files"].items()}},
    "other names": lambda table: table | {"files": dict(zip(reversed(table["files"]), table["files"].values(), strict=True))},
    "no images": lambda table: table | {"files": {}},
    "fewer at the end": lambda table: table | {"files": dict([*table["files"].items()][:-1])},
    "beyond the end": lambda table: table | {"files": table["files"] | {"9.webp": {"offset": 2**40, "size": 5}}},
    "no numbers": lambda table: table | {"files": {name: {"offset": "x", "size": None} for name in table["files"]}},
    "a list": lambda _: [1, 2],
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("form", ["{post}.webp", "{md5}.webp"])
def test_an_index_that_lies_costs_no_image(places, lie, form):
    path = places / "images" / "a.tar"
    names = [form.format(post=post, md5=f"{post:032x}") for post in range(1, 6)]
    write_tar(path, {name: picture(post) for post, name in enumerate(names, 1)})
    write_index(path, path.with_suffix(".json"))
    table = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(LIES[lie](table)))
    assert export(places, ids=[2, 4, 5])[0] == expected(2, 4, 5)


def test_an_index_of_md5s_that_lies_is_told_of_a_server(places):
    """The image of another post is never taken."""
    path = places / "images" / "a.tar"
    write_tar(path, {f"{post:032x}.webp": picture(post) for post in range(1, 6)})
    write_index(path, path.with_suffix(".json"))
    table = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(LIES["other names"](table)))
    with serving(places / "images") as server, pytest.raises(hb.IncompleteError, match="of another archive"):
        export(places, images=server.url, ids=[2, 4])


def test_an_archive_that_changed_since_it_was_learned_is_read_anew(places):
    path = places / "images" / "data-0007.tar"
    write_tar(path, {f"{post}.webp": picture(post) for post in (1, 2, 3)})
    assert export(places, ids=[1, 30])[0] == expected(1)  # its index is kept
    assert path.with_name("data-0007.tar.hbindex").exists()
    stat = path.stat()
    write_tar(path, {f"{post}.webp": picture(post) for post in (4, 3, 2)})
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))
    assert export(places, ids=[1, 2, 3, 4])[0] == expected(1, 2, 3, 4)
