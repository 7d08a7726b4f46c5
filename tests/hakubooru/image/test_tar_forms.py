"""Archives as other programs leave them: joined, padded, sparse, with hard links, with garbage behind."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import subprocess
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakubooru.image.index import build_index, load_index, read_indexed, save_index, state_of
from hakubooru.image.tar import BLOCK, DamagedTarError, read_tar
from pictures import write_tar

PACKERS = {"tar": lambda data: data, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def tar_of(members, **options):
    """The bytes of a tar; a member's contents may be `(type, target)`, which is a link."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", **options) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if isinstance(data, tuple):
                info.type, info.linkname = data
                tar.addfile(info)
            else:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def lay(folder, data, packer="tar"):
    path = folder / "a.tar"
    path.write_bytes(PACKERS[packer](data))
    return path


def read(path):
    """The files, what else there is by its kind, and the damage."""
    files, others, damage = [], {}, ""

    def is_wanted(member):
        if member.kind != "a file":
            others[member.name] = member.kind
        return member.kind == "a file"

    try:
        files.extend((member.name, data) for member, data in read_tar(str(path), is_wanted))
    except DamagedTarError as error:
        damage = str(error)
    return files, others, damage


def member(number, size=700):
    return f"{number}.jpg", bytes([number]) * size


@pytest.mark.parametrize("packer", PACKERS)
def test_joined_archives_are_read_to_the_last(tmp_path, packer):
    parts = [tar_of([member(1), member(2)]), tar_of([member(3)]), tar_of([]), tar_of([member(4)])]
    path = lay(tmp_path, b"".join(parts), packer)
    assert read(path) == ([member(number) for number in (1, 2, 3, 4)], {}, "")


def test_packed_archives_that_were_joined_are_read_to_the_last(tmp_path):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(b"".join(gzip.compress(tar_of([member(number)])) for number in (1, 2)))
    assert read(path) == ([member(1), member(2)], {}, "")


@given(
    st.lists(st.tuples(st.lists(st.integers(1, 9), max_size=3), st.integers(0, 25)), min_size=1, max_size=4)
)
def test_any_number_of_zero_blocks_stands_between_members(tmp_path_factory, groups):
    data = b""
    for numbers, zeros in groups:
        data += tar_of([member(number) for number in numbers]).rstrip(b"\0")
        data += bytes(-len(data) % BLOCK + zeros * BLOCK)
    path = lay(tmp_path_factory.mktemp("tar"), data + bytes(BLOCK))
    assert read(path) == ([member(number) for numbers, _ in groups for number in numbers], {}, "")


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("garbage", [b"garbage", b"-----BEGIN PGP SIGNATURE-----" * 40])
def test_garbage_behind_the_end_mark_is_told(tmp_path, packer, garbage):
    path = lay(tmp_path, tar_of([member(1)]) + garbage, packer)
    damage = "has unexpected bytes after its end mark, at byte 10,240"
    assert read(path) == ([member(1)], {}, damage)
    assert build_index(str(path)).damage == damage


@pytest.mark.parametrize("packer", PACKERS)
def test_what_is_no_header_in_the_middle_is_told(tmp_path, packer):
    data = bytearray(tar_of([member(1), member(2), member(3)]))
    data[3 * BLOCK + 5] ^= 0xFF
    assert read(lay(tmp_path, bytes(data), packer)) == ([member(1)], {}, "has no header at byte 1,536")


@pytest.mark.parametrize("packer", PACKERS)
def test_an_archive_without_an_end_mark_is_told(tmp_path, packer):
    data = tar_of([member(1)])[: 3 * BLOCK]
    assert read(lay(tmp_path, data, packer)) == ([member(1)], {}, "ends at byte 1,536 without an end mark")


@pytest.mark.skipif(shutil.which("tar") is None, reason="needs GNU tar")
@pytest.mark.parametrize("pieces", [1, 4, 5, 25, 26, 60])
@pytest.mark.parametrize(
    "format", [["gnu"], *(["pax", f"--sparse-version={version}"] for version in ("0.0", "0.1", "1.0"))]
)
def test_sparse_files_are_passed_over_by_name_and_what_follows_is_read(tmp_path, format, pieces):
    name = "s" * 120 + "/1002.png"
    (tmp_path / name).parent.mkdir()
    for number in (1, 3, 4):
        (tmp_path / f"{number}.jpg").write_bytes(member(number)[1])
    with (tmp_path / name).open("wb") as file:
        for piece in range(pieces):
            file.seek(piece * 200_000 + 100_000)
            file.write(b"x" * 4096)
    command = ["tar", "--sparse", f"--format={format[0]}", *format[1:], "-cf", "a.tar"]
    subprocess.run([*command, "1.jpg", name, "3.jpg", "4.jpg"], cwd=tmp_path, check=True)
    files, others, damage = read(tmp_path / "a.tar")
    assert files == [member(1), member(3), member(4)]
    assert (others, damage) == ({name: "a sparse file"}, "")


def test_a_map_of_a_sparse_file_that_is_cut_short_is_told(tmp_path):
    header = bytearray(tarfile.TarInfo("1.png").tobuf(tarfile.GNU_FORMAT))
    header[156:157], header[482] = b"S", 1
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path = lay(tmp_path, bytes(header) + b"\1" * 600)
    assert read(path) == ([], {}, "ends at byte 1,112 within the map of a sparse file")


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_hard_links_are_read_through_to_their_targets(tmp_path, packer, format):
    long = "d" * 150 + "/7.jpg"
    members = [
        member(1),
        (long, b"seven"),
        ("2.jpg", (tarfile.LNKTYPE, "./1.jpg")),
        ("3.jpg", (tarfile.LNKTYPE, "2.jpg")),
        ("4.jpg", (tarfile.LNKTYPE, "5.jpg")),  # what it leads to comes behind it
        member(5),
        ("6.jpg", (tarfile.LNKTYPE, "gone.jpg")),
        ("8.jpg", (tarfile.LNKTYPE, long)),
        ("9.jpg", (tarfile.LNKTYPE, "9.jpg")),
        ("1.jpg", b"another"),
        ("10.jpg", (tarfile.LNKTYPE, "1.jpg")),
    ]
    files, others, damage = read(lay(tmp_path, tar_of(members, format=format), packer))
    assert files == [
        member(1),
        (long, b"seven"),
        member(5),
        ("1.jpg", b"another"),
        ("2.jpg", member(1)[1]),
        ("3.jpg", member(1)[1]),
        ("8.jpg", b"seven"),
        ("4.jpg", member(5)[1]),
        ("10.jpg", b"another"),
    ]
    assert others == dict.fromkeys(["6.jpg", "9.jpg"], "a hard link to what the archive does not hold")
    assert damage == ""


def test_hard_links_are_found_by_an_index(tmp_path):
    members = [member(1), ("2.jpg", (tarfile.LNKTYPE, "1.jpg")), member(3)]
    path = str(lay(tmp_path, tar_of(members)))
    save_index(path, build_index(path), state_of(path))
    index = load_index(path)
    assert index.ids.tolist() == [1, 3, 2]
    pairs = [(member.name, data) for member, data in read_indexed(path, index, range(3))]
    assert pairs == [member(1), member(3), ("2.jpg", member(1)[1])]


def test_hard_links_of_a_damaged_archive_are_read(tmp_path):
    members = [member(1), ("2.jpg", (tarfile.LNKTYPE, "1.jpg")), member(3)]
    data = tar_of(members)[: 5 * BLOCK]
    assert read(lay(tmp_path, data)) == ([member(1), ("2.jpg", member(1)[1])], {}, "cut short within '3.jpg'")


@pytest.mark.parametrize(
    ("type", "kind"), [(b"V", "a label"), (b"M", "a part of a file"), (b"D", "a folder")]
)
def test_kinds_of_gnu_that_are_no_files_are_told(tmp_path, type, kind):
    info = tarfile.TarInfo("9.jpg")
    info.type, info.size = type, 600
    data = info.tobuf(tarfile.GNU_FORMAT) + bytes(2 * BLOCK) + tar_of([member(1)])
    assert read(lay(tmp_path, data)) == ([member(1)], {"9.jpg": kind}, "")


def test_an_archive_can_be_padded_with_many_zeros(tmp_path):
    path = write_tar(tmp_path / "a.tar", dict([member(1)]))
    os.truncate(path, 3_000_000)
    assert read(path) == ([member(1)], {}, "")


def test_global_records_say_nothing_of_a_member(tmp_path):
    data = tar_of([member(1)], format=tarfile.PAX_FORMAT, pax_headers={"comment": "by git", "path": "no.txt"})
    assert read(lay(tmp_path, data)) == ([member(1)], {}, "")


@pytest.mark.parametrize(
    ("records", "damage"),
    [
        (b"9" * 5000 + b" size=1\n", "has a damaged pax header"),
        (b"13 size=\xc2\xb2\xc2\xb2\n", ""),
        (b"5009 size=" + b"9" * 4998 + b"\n", ""),
    ],
)
def test_odd_numbers_in_pax_records_end_no_reading(tmp_path, records, damage):
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, len(records)
    data = info.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % BLOCK)
    files, _, message = read(lay(tmp_path, data + tar_of([member(1)])))
    assert damage in message
    assert bool(message) == bool(damage)
    assert files == ([] if damage else [member(1)])


def test_a_size_beyond_any_disk_in_a_packed_archive_is_damage(tmp_path):
    header = bytearray(tarfile.TarInfo("1.jpg").tobuf())
    header[124:136] = b"\x80" + (2**63 - 1024).to_bytes(11, "big")
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * ord(" ") + sum(header[156:]))
    _, _, damage = read(lay(tmp_path, bytes(header) + tar_of([member(1)]), "gz"))
    assert damage == "cut short within '1.jpg'"
