from __future__ import annotations

import os
import tarfile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hakubooru.image.tar import BLOCK, DamagedTarError, _sum, read_tar
from pictures import add_special, write_tar

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def read(path, wanted=lambda member: member.kind == "a file"):
    return [(member.name, data) for member, data in read_tar(str(path), wanted)]


names = st.text(st.characters(exclude_characters="\0/", codec="utf-8"), min_size=1, max_size=150).filter(
    lambda name: name not in (".", "..")
)


@pytest.mark.slow
@given(st.sampled_from(["gnu", "pax"]), st.lists(st.tuples(names, st.binary(max_size=1500)), max_size=5))
def test_what_tarfile_writes_is_read(tmp_path_factory, format, members):
    path = write_tar(tmp_path_factory.mktemp("tar") / "a.tar", members, format=FORMATS[format])
    assert read(path) == members


@given(st.binary(max_size=256))
@example(b"\xff" * 256)
def test_bytes_of_a_header_are_summed(part):
    assert _sum(part) == sum(part)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_compressed_archives_are_read(tmp_path, mode):
    path = write_tar(tmp_path / "a.tar", {"1.jpg": b"one", "2.jpg": b"two"}, mode=mode)
    assert read(path) == [("1.jpg", b"one"), ("2.jpg", b"two")]


def test_a_compressed_archive_cut_short_gives_what_came_before(tmp_path):
    path = write_tar(tmp_path / "a.tar", [(f"{i}.jpg", bytes([i]) * 90_000) for i in range(50)], mode="w:gz")
    path.write_bytes(path.read_bytes()[:-2000])
    pairs = []
    with pytest.raises(DamagedTarError, match="cannot be unpacked further"):
        pairs.extend(read_tar(str(path), lambda _: True))
    path.write_bytes(b"\x1f\x8b" + bytes(100))
    with pytest.raises(DamagedTarError):
        read(path)


def test_long_paths_of_ustar_are_put_together(tmp_path):
    name = "a" * 90 + "/" + "b" * 60
    assert read(write_tar(tmp_path / "a.tar", {name: b"x"}, format=tarfile.USTAR_FORMAT)) == [(name, b"x")]


def test_only_what_is_wanted_is_read(tmp_path):
    path = write_tar(tmp_path / "a.tar", {f"{i}.jpg": bytes([i]) * 700 for i in range(20)})
    assert [name for name, _ in read(path, lambda member: member.name in ("3.jpg", "17.jpg"))] == [
        "3.jpg",
        "17.jpg",
    ]


def test_kinds_of_members_are_told(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"1.jpg": b"one"})
    for name, kind in [
        ("2", tarfile.SYMTYPE),
        ("3", tarfile.LNKTYPE),
        ("4", tarfile.DIRTYPE),
        ("5", tarfile.CHRTYPE),
        ("6", tarfile.FIFOTYPE),
    ]:
        add_special(path, name, kind)
    kinds = {}
    list(read_tar(str(path), lambda member: kinds.__setitem__(member.name, member.kind)))
    assert kinds == {
        "1.jpg": "a file",
        "2": "a symbolic link",
        "3": "a hard link",
        "4/": "a folder",
        "5": "a device",
        "6": "a pipe",
    }  # fmt: skip


def test_sizes_in_base_256_are_read(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"1.jpg": b"x" * 600})
    data = bytearray(path.read_bytes())
    data[124:136] = b"\x80" + (600).to_bytes(11, "big")
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:BLOCK])
    path.write_bytes(data)
    assert read(path) == [("1.jpg", b"x" * 600)]


@pytest.mark.parametrize("length", [BLOCK - 1, BLOCK + 100, 3 * BLOCK - 1, 3 * BLOCK])
def test_an_archive_cut_short_gives_what_came_before(tmp_path, length):
    path = write_tar(tmp_path / "a.tar", {"1.jpg": b"one", "2.jpg": b"two"})
    path.write_bytes(path.read_bytes()[:length])
    pairs = []
    with pytest.raises(
        DamagedTarError, match=r"ends at byte|cut short within '2\.jpg'|cut short within '1\.jpg'"
    ):
        pairs.extend((member.name, data) for member, data in read_tar(str(path), lambda _: True))
    assert pairs == ([("1.jpg", b"one")] if length > BLOCK else [])


def test_every_length_of_an_archive_gives_whole_members_or_an_error(tmp_path):
    members = [("1.jpg", b"one" * 300), ("n" * 120 + ".jpg", b"two"), ("3.jpg", b"")]
    whole = write_tar(tmp_path / "whole.tar", members, format=tarfile.GNU_FORMAT).read_bytes()
    path = tmp_path / "a.tar"
    for length in range(0, 8 * BLOCK, 100):
        path.write_bytes(whole[:length])
        pairs = []
        try:
            for member, data in read_tar(str(path), lambda _: True):
                pairs.append((member.name, data))
        except DamagedTarError:
            pass
        assert pairs == members[: len(pairs)]


def test_damage_in_the_middle_is_told(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"1.jpg": b"one", "2.jpg": b"two"})
    data = bytearray(path.read_bytes())
    data[2 * BLOCK] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DamagedTarError, match="has no header at byte 1,024"):
        read(path)
    path.write_bytes(b"<html>not found</html>" * 100)
    with pytest.raises(DamagedTarError, match="is not a tar archive"):
        read(path)
    path.write_bytes(b"")
    with pytest.raises(DamagedTarError, match="ends at byte 0"):
        read(path)


def test_a_long_name_that_claims_gigabytes_is_not_read(tmp_path):
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**33
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2 * BLOCK))
    with pytest.raises(DamagedTarError, match="has a header of 8,589,934,592 bytes"):
        read(path)


def test_one_member_is_in_memory_at_a_time(tmp_path):
    import tracemalloc

    path = write_tar(tmp_path / "a.tar", [(f"{i}.jpg", bytes(2**20)) for i in range(30)])
    tracemalloc.start()
    for _ in read_tar(str(path), lambda _: True):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 2**20


def test_an_archive_that_shrinks_while_it_is_read(tmp_path):
    """What was read of the member before must not stand in for what is not there any more."""
    path = write_tar(tmp_path / "a.tar", {"1.webp": b"1" * 9000, "2.webp": b"2" * 9000})

    def shrink(member):
        if member.name == "2.webp":
            os.truncate(path, member.offset + 1000)
        return True

    members = read_tar(str(path), shrink)
    assert next(members)[1] == b"1" * 9000
    with pytest.raises(DamagedTarError, match=r"cut short within '2\.webp'"):
        next(members)
