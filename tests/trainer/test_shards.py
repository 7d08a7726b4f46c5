"""Shards of others: every image is read with its caption, or counted with the reason."""

from __future__ import annotations

import io
import tarfile

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hakubooru_trainer.config.data import DataOptions
from hakubooru_trainer.data import samples
from hakubooru_trainer.data.look import IMAGES, Looker
from hakubooru_trainer.distributed import Ranks
from pictures import picture

IMAGE = {number: picture(number, "png") for number in range(10)}


def write_shard(path, members):
    """Members in their order; contents are bytes, a picture's number, or a tuple of type and target, which is a link."""
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if isinstance(data, tuple):
                info.type, info.linkname = data
                tar.addfile(info)
            else:
                contents = IMAGE.get(data, data)
                info.size = len(contents)
                tar.addfile(info, io.BytesIO(contents))


def look(folder, members, **options):
    """Captions, or reasons in brackets, by the names of images; each row's bytes are where it says."""
    write_shard(folder / "a.tar", members)
    rows = Looker(folder, **options)("a.tar\0")
    whole = (folder / "a.tar").read_bytes()
    for row in rows:
        if "width" in row:
            assert whole[row["offset"] :].startswith(b"\x89PNG")
            assert whole[row["offset"] + row["bytes"] - 8 :].startswith(b"IEND")
    return [(row["path"].removeprefix("a.tar/"), row.get("caption") or [row.get("reason")]) for row in rows]


def hard(target):
    return tarfile.LNKTYPE, target


AMBIGUOUS = ["one of several images under one key, without a caption of its own name"]
NONE = ["no caption: neither a .txt of the same name beside it, nor a line in a metadata.jsonl"]
CASES = {
    "dots in names": (
        [("22.05.png", 1), ("22.05.txt", b"one"), ("22.06.png", 2), ("22.06.txt", b"two")],
        [("22.05.png", "one"), ("22.06.png", "two")],
    ),
    "a caption of the key alone": (
        [("d.x/a.img.PNG", 1), ("d.x/a.txt", b"one"), ("d.x/a.json", b"{}")],
        [("d.x/a.img.PNG", "one")],
    ),
    "a mask beside an image": (
        [("0.mask.png", 1), ("0.png", 2), ("0.txt", b"zero")],
        [("0.mask.png", AMBIGUOUS), ("0.png", "zero")],
    ),
    "variants of one image": (
        [("x.1.png", 1), ("x.2.png", 2), ("x.txt", b"both?")],
        [("x.1.png", AMBIGUOUS), ("x.2.png", AMBIGUOUS)],
    ),
    "two captions that are named otherwise": (
        [("x.1.png", 1), ("x.a.txt", b"a"), ("x.b.txt", b"b")],
        [("x.1.png", NONE)],
    ),
    "two formats": ([("a.png", 1), ("a.webp", 2), ("a.txt", b"a")], [("a.png", "a"), ("a.webp", "a")]),
    "two kinds of captions": ([("a.caption", b"no"), ("a.png", 1), ("a.txt", b"yes")], [("a.png", "yes")]),
    "a name twice": (
        [("a.png", 1), ("a.png", 2), ("a.txt", b"a")],
        [("a.png", "a"), ("a.png", "a")],
    ),
    "the same key later": (
        [("a.png", 1), ("a.txt", b"one"), ("b.png", 2), ("a.png", 3), ("a.txt", b"three")],
        [("a.png", "one"), ("b.png", NONE), ("a.png", "three")],
    ),
    "a hard link to an image": (
        [("a.png", 1), ("a.txt", b"one"), ("b.png", hard("a.png")), ("b.txt", b"two")],
        [("a.png", "one"), ("b.png", "two")],
    ),
    "a hard link to a caption": (
        [("a.png", 1), ("a.txt", b"one"), ("b.png", 2), ("b.txt", hard("a.txt"))],
        [("a.png", "one"), ("b.png", "one")],
    ),
    "a hard link to nothing": (
        [("a.png", hard("gone.png")), ("a.txt", b"one")],
        [("a.png", ["no image: a hard link to what the archive does not hold"])],
    ),
    "a symbolic link": (
        [("a.png", (tarfile.SYMTYPE, "b.png")), ("a.txt", b"one")],
        [("a.png", ["no image: a symbolic link"])],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_image_is_read_or_counted(tmp_path, case):
    members, expected = CASES[case]
    assert look(tmp_path, members) == expected


def test_a_name_twice_in_one_sample_is_counted_once_with_its_reason(tmp_path):
    write_shard(tmp_path / "a.tar", [("a.png", 1), ("a.png", 2), ("a.txt", b"a")])
    rows = Looker(tmp_path)("a.tar\0")
    assert [row.get("reason") for row in rows] == [None, "a name that its sample has twice"]


def test_shards_that_were_joined_are_read_to_the_last(tmp_path):
    for name, number in (("one", 1), ("two", 2)):
        write_shard(tmp_path / name, [(f"{name}.png", number), (f"{name}.txt", name.encode())])
    (tmp_path / "a.tar").write_bytes((tmp_path / "one").read_bytes() + (tmp_path / "two").read_bytes())
    rows = Looker(tmp_path)("a.tar\0")
    assert [row["caption"] for row in rows] == ["one", "two"]


def test_what_comes_before_damage_stays(tmp_path):
    write_shard(tmp_path / "a.tar", [("a.png", 1), ("a.txt", b"one"), ("b.png", hard("a.png")), ("c.png", 2)])
    data = bytearray((tmp_path / "a.tar").read_bytes())
    data[data.index(b"c.png")] ^= 1
    (tmp_path / "a.tar").write_bytes(data)
    rows = Looker(tmp_path)("a.tar\0")
    assert [(row.get("caption"), row.get("reason")) for row in rows] == [
        ("one", None),
        (None, NONE[0]),
        (None, "cannot be read: has no header at byte 2,560"),
    ]


def test_places_of_linked_images_are_their_targets(tmp_path):
    write_shard(tmp_path / "a.tar", [("a.png", 1), ("b.png", hard("a.png")), ("c.png", hard("gone.png"))])
    rows = Looker(tmp_path, places_only=True)("a.tar\0")
    assert [(row["path"], row["offset"]) for row in rows] == [("a.tar/a.png", 512), ("a.tar/b.png", 512)]


NAMES = st.builds(
    "".join,
    st.tuples(st.sampled_from(["", "d/", "d.x/"]), st.sampled_from("ab"), st.sampled_from(["", ".1", ".2.x"]),
              st.sampled_from([".png", ".PNG", ".txt", ".caption", ".json"])),
)  # fmt: skip


@given(st.lists(NAMES, max_size=12))
def test_as_many_rows_as_images(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("shard")
    members = [(name, 1 if name.lower().endswith(".png") else b"text") for name in names]
    write_shard(folder / "a.tar", members)
    rows = [row for row in Looker(folder)("a.tar\0") if "path" in row]
    images = [name for name in names if f".{name.rpartition('.')[2].lower()}" in IMAGES]
    assert [row["path"].removeprefix("a.tar/") for row in rows] == images
    assert all(("caption" in row) or ("reason" in row) for row in rows)


def test_folders_in_and_around_shards_may_be_called_tar(tmp_path):
    root = tmp_path / "set.tar" / "more.tar"
    root.mkdir(parents=True)
    write_shard(
        root / "a.tar", [("x.tar/1.png", 1), ("x.tar/1.txt", b"one"), ("2.png", 2), ("2.txt", b"two")]
    )
    data = samples.load([DataOptions(path=str(tmp_path / "set.tar"))], Ranks(torch.device("cpu")))
    assert [data.read(row) for row in range(2)] == [IMAGE[2], IMAGE[1]]
