"""Archives that are hostile or broken: nothing outside the export, nothing lost that is whole, each named."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import tarfile

import pandas as pd
import pytest

from exports import run
from hakubooru.image.header import LARGEST_BYTES
from pictures import add_special, bomb, files_of, picture, write_tar

GOOD = {"1.webp": picture(1), "2.webp": picture(2)}


def member(name, data=None):
    """A tar of two good images and, between them, one more member."""

    def lay(folder):
        write_tar(
            folder / "a.tar",
            [
                ("1.webp", GOOD["1.webp"]),
                (name, picture(9) if data is None else data),
                ("2.webp", GOOD["2.webp"]),
            ],
        )

    return lay


def special(name, kind, linkname=""):
    def lay(folder):
        write_tar(folder / "a.tar", GOOD)
        add_special(folder / "a.tar", name, kind, linkname)

    return lay


def sparse_file(folder):
    """A file of many gigabytes that takes no room on the disk."""
    folder.mkdir(parents=True)
    for name, data in GOOD.items():
        (folder / name).write_bytes(data)
    (folder / "9.png").write_bytes(picture(9, "png"))
    os.truncate(folder / "9.png", LARGEST_BYTES + 1)


def beside(name, data):
    def lay(folder):
        folder.mkdir(parents=True)
        for good, contents in GOOD.items():
            (folder / good).write_bytes(contents)
        (folder / name).write_bytes(data)

    return lay


def pipe(folder):
    beside("a.txt", b"")(folder)
    os.mkfifo(folder / "9.webp")


def declared(size):
    """The last member claims more than there is."""

    def lay(folder):
        path = write_tar(folder / "a.tar", GOOD)
        info = tarfile.TarInfo("9.webp")
        info.size = size
        data = path.read_bytes().rstrip(b"\0")
        data += bytes(-len(data) % 512) + info.tobuf(tarfile.GNU_FORMAT)
        path.write_bytes(data)

    return lay


def raw(data):
    def lay(folder):
        write_tar(folder / "a.tar", GOOD)
        (folder / "b.tar").write_bytes(data)

    return lay


def gzip_bomb(folder):
    """A tar of half a gigabyte of nothing in half a megabyte."""
    info = tarfile.TarInfo("9.webp")
    info.size = LARGEST_BYTES + 512
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as packed:
        packed.write(info.tobuf())
        for _ in range(info.size // 2**20 + 1):
            packed.write(bytes(2**20))
    raw(file.getvalue())(folder)


def tar_in_tar():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        info = tarfile.TarInfo("9.webp")
        tar.addfile(info)
    return file.getvalue()


# What is laid out, and the reason by which it is told: of post 9, of a member, or of an archive.
CASES = {
    "leads outside": (member("../../x.jpg"), "a path that leads outside"),
    "leads outside, with an id": (member("../../9.webp"), "a path that leads outside"),
    "leads outside, with backslashes": (member("..\\..\\9.webp"), "a path that leads outside"),
    "absolute": (member("/tmp/9.webp"), "an absolute path"),
    "absolute on Windows": (member("C:\\9.webp"), "an absolute path"),
    "a share of Windows": (member("\\\\host\\share\\9.webp"), "an absolute path"),
    "a symbolic link": (special("9.webp", tarfile.SYMTYPE, "/etc/passwd"), "a symbolic link"),
    "a hard link that leads outside": (special("9.webp", tarfile.LNKTYPE, "/etc/passwd"), "a hard link to what"),
    "a hard link to itself": (special("9.webp", tarfile.LNKTYPE, "9.webp"), "a hard link to what"),
    "a device": (special("9.webp", tarfile.CHRTYPE), "a device"),
    "a pipe": (special("9.webp", tarfile.FIFOTYPE), "a pipe"),
    "a folder named as an image": (special("9.webp", tarfile.DIRTYPE), "a folder"),
    "a resource file": (member("._9.webp"), "a resource file of macOS"),
    "not a number": (member("cat.webp"), "no post id for a name"),
    "a number and more": (member("9_p0.webp"), "no post id for a name"),
    "a number of forty digits": (member("9" * 40 + ".webp"), "no post id for a name"),
    "no name at all": (member(""), "no post id for a name"),
    "control characters": (member("\x1b[2J9.webp"), "no post id for a name"),
    "not UTF-8": (member("\udcff.webp"), "no post id for a name"),
    "the same post twice": (member("0/1.webp"), "a post that the archive has already given"),
    "an empty file": (member("9.webp", b""), "empty file"),
    "cut short": (member("9.webp", picture(9)[:-8]), "truncated webp"),
    "a web page": (member("9.webp", b"<!DOCTYPE html><html></html>"), "a web page, not an image"),
    "a video": (member("9.webp", b"\0\0\0\x20ftypisom" + bytes(99)), "a video (mp4), not an image"),
    "a photograph of a telephone": (member("9.jpg", b"\0\0\0\x18ftypheic" + bytes(99)), "a HEIC image, which is not taken"),
    "a pointer": (member("9.jpg", b"version https://git-lfs.github.com/spec/v1\n"), "a git-lfs pointer, not the image"),
    "a program": (member("9.webp", b"MZ" + bytes(99)), "not an image"),
    "a tar in a tar": (member("9.webp", tar_in_tar()), "not an image"),
    "a bomb of pixels": (member("9.png", bomb()), "more than 178,956,970 pixels"),
    "a bomb of bytes": (gzip_bomb, "larger than 256 MiB"),
    "a file of many gigabytes": (sparse_file, "larger than 256 MiB"),
    "a declared size of 8 GB": (declared(2**33), "cut short within '9.webp'"),
    "a declared size beyond all bounds": (declared(2**80), "cut short within '9.webp'"),
    "a web page for an archive": (raw(b"<html>" * 500), "is not a tar archive"),
    "an empty archive": (raw(b""), "ends at byte 0 without an end mark"),
    "random bytes for a gzip": (raw(b"\x1f\x8b\x08" + os.urandom(3000)), "cannot be unpacked further"),
    "a pipe in a folder": (pipe, "a link that leads nowhere, or a device"),
    "an empty file in a folder": (beside("9.jpg", b""), "empty file"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_nothing_outside_nothing_lost_and_each_told(small, case):
    lay, reason = CASES[case]
    if sys.platform == "win32" and case == "a pipe in a folder":
        pytest.skip("Windows has no such files")
    lay(small / "images")
    paths = {path for path in small.rglob("*") if "out" not in path.parts}
    report = run(small, small / "out")
    assert {path for path in small.rglob("*") if "out" not in path.relative_to(small).parts} == paths
    files = files_of(small / "out")
    assert {name for name in files if not name.endswith(".txt")} == {
        "x001/1.webp",
        "x002/2.webp",
        "manifest.parquet",
        "rejects.jsonl",
    }
    assert files["x001/1.webp"] == GOOD["1.webp"]
    reasons = [json.loads(line)["reason"] for line in files["rejects.jsonl"].splitlines()]
    assert any(reason in text for text in reasons) or any(
        reason in damage for damage in report.damaged.values()
    )
    table = pd.read_parquet(small / "out" / "manifest.parquet").set_index("id")
    assert table.status[9] == ("broken" if reason in report.left_out else "missing")
    assert reason in str(report)


def test_names_are_shown_without_doing_anything_to_a_terminal(small):
    member("\x1b[2J9.webp")(small / "images")
    assert "\x1b" not in str(run(small, small / "out"))


def test_a_thousand_strange_names_are_kept_and_all_are_counted(small):
    members = [*GOOD.items(), *((f"cat{i}.webp", b"") for i in range(1500))]
    write_tar(small / "images" / "a.tar", members)
    report = run(small, small / "out")
    assert report.passed_over["no post id for a name"][0] == 1500
    assert len((small / "out" / "rejects.jsonl").read_text().splitlines()) == 1000
