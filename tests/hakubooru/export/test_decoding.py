"""Exports of turned images, and exports that an earlier version began, which took sizes as they are stored."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing

import pytest
from PIL import Image
from pyarrow import parquet

import hakubooru as hb
from hakubooru import verify
from hakubooru.errors import DestinationError
from pictures import files_of, picture, write_tar


def turned(number: int) -> bytes:
    """A jpeg of 48 by 32 stored pixels that stands upright as 32 by 48."""
    exif = Image.Exif()
    exif[0x112] = 6
    file = io.BytesIO()
    Image.new("RGB", (48, 32), (number, 0, 0)).save(file, "jpeg", exif=exif)
    return file.getvalue()


def export(small, out, last, **options):
    write_tar(small / "images" / "a.tar", {f"{number}.jpg": turned(number) for number in (1, 2)})
    write_tar(small / "images" / "b.tar", {"3.jpg": turned(3), "4.webp": picture(4)})
    with hb.open(small / "posts.db") as database:
        return database.posts.ids(1, last + 1).export(out, images=small / "images", **options)


def sizes(out):
    rows = parquet.read_table(out / "manifest.parquet").to_pylist()
    return {row["id"]: (row["width"], row["height"]) for row in rows}


def as_before(out):
    """Make an export one of the version that recorded sizes as stored."""
    with closing(sqlite3.connect(out / ".hakubooru" / "journal.sqlite")) as journal, journal:
        journal.execute("DELETE FROM setting WHERE name = 'decoding'")
        journal.execute("UPDATE pair SET width = height, height = width WHERE width = 32")
    path = out / "manifest.parquet"
    table = parquet.read_table(path)
    names = [
        "height" if name == "width" else "width" if name == "height" else name for name in table.column_names
    ]
    metadata = {b"hakubooru.sink": table.schema.metadata[b"hakubooru.sink"]}
    swapped = table.rename_columns(names).select(table.column_names).replace_schema_metadata(metadata)
    parquet.write_table(swapped, path)


@pytest.mark.slow
def test_a_manifest_has_the_sizes_of_upright_pictures(small):
    export(small, small / "out", 3)
    assert sizes(small / "out") == dict.fromkeys((1, 2, 3), (32, 48))
    assert parquet.read_schema(small / "out" / "manifest.parquet").metadata[b"hakubooru.decoding"] == b"2"
    assert verify(small / "out", decode=True).is_good
    assert (small / "out" / "x001" / "1.jpg").read_bytes() == turned(1)
    export(small, small / "webp", 3, image={"format": "webp", "lossless": True})
    assert sizes(small / "webp") == sizes(small / "out")


@pytest.mark.slow
@pytest.mark.parametrize("sink", ["folder", "webdataset"])
def test_copies_go_on_with_the_sizes_that_they_recorded(small, sink):
    out = small / "out"
    export(small, out, 2, output={"sink": sink})
    as_before(out)
    assert verify(out, decode=True).is_good
    export(small, out, 4, output={"sink": sink})
    assert sizes(out) == {1: (48, 32), 2: (48, 32), 3: (48, 32), 4: (20, 24)}
    assert verify(out, decode=True).is_good
    export(small, out, 4, output={"sink": sink})
    assert sizes(out)[1] == (48, 32)


@pytest.mark.slow
def test_conversions_begun_before_are_refused_in_words(small):
    out = small / "out"
    export(small, out, 2, image={"format": "png"})
    as_before(out)
    files = files_of(out)
    with pytest.raises(
        DestinationError, match=r"earlier version .* turned as EXIF asks.* Choose another folder"
    ):
        export(small, out, 3, image={"format": "png"})
    assert files_of(out) == files


KINDS = {
    "jfif": "jpg",
    "jpe": "jpg",
    "bmp": "bmp",
    "dib": "bmp",
    "tif": "tiff",
    "tiff": "tiff",
    "apng": "png",
}
HEIC = b"\0\0\0\x18ftypheic" + bytes(40)


@pytest.mark.slow
def test_an_export_takes_every_kind_or_counts_it(small):
    members = {f"{number}.{suffix}": picture(number, KINDS[suffix]) for number, suffix in enumerate(KINDS, 1)}
    write_tar(small / "images" / "a.tar", members | {"20.heic": HEIC, "21.jxl": b"\xff\x0a" + bytes(50)})
    own = small / "own"
    own.mkdir()
    for name, data in {"a.jfif": picture(31, "jpg"), "b.tif": picture(32, "tiff"), "c.heic": HEIC}.items():
        (own / name).write_bytes(data)
        (own / name).with_suffix(".txt").write_text("1girl")
    with hb.open(small / "posts.db") as database:
        copied, converted = (
            database.posts.export(small / name, images=small / "images", own=own, image=image)
            for name, image in [("copies", None), ("webp", {"format": "webp"})]
        )
    assert copied.exported == converted.exported == len(KINDS) + 2
    for report in (copied, converted):
        assert report.left_out["a HEIC image, which is not taken"] == 2
        assert report.left_out["a JPEG XL image, which is not taken"] == 1
    assert verify(small / "copies", decode=True).is_good
