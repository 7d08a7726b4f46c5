"""Files that commands write, and texts that they read."""

from __future__ import annotations

import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from hakubooru.errors import DestinationError
from hakubooru.files import is_file_name, new_folder, read_text, replacing, write_text


def write(path, text):
    with replacing(path) as part:
        part.write_text(text)


def write_folder(path, *, fails=False):
    with new_folder(path) as part:
        (part / "inner").mkdir()
        (part / "inner" / "a.txt").write_text("new")
        if fails:
            raise OSError(28, "No space left on device")


def test_a_text_is_written_in_utf_8_with_its_own_ends_of_lines(tmp_path):
    write_text(tmp_path / "file", "é\n\r\n")
    assert (tmp_path / "file").read_bytes() == b"\xc3\xa9\n\r\n"
    assert [*tmp_path.iterdir()] == [tmp_path / "file"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    out = tmp_path / "deep" / "out"
    with pytest.raises(OSError, match=rf"No space left on device: '{out}'"):
        write_folder(out, fails=True)
    assert list((tmp_path / "deep").iterdir()) == []
    (tmp_path / "deep" / ".out.part").mkdir()  # of a process that was killed
    (tmp_path / "deep" / ".out.part" / "old.txt").write_text("old")
    out.mkdir()
    write_folder(out)
    assert [path.relative_to(out).as_posix() for path in out.rglob("*")] == ["inner", "inner/a.txt"]
    assert list((tmp_path / "deep").iterdir()) == [out]
    with pytest.raises(OSError, match="not empty"):
        write_folder(out)
    assert list((tmp_path / "deep").iterdir()) == [out]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_of_any_editor_is_read(tmp_path, encoding):
    (tmp_path / "text").write_bytes("1\r\nポ\r3\n".encode(encoding))
    assert read_text(tmp_path / "text") == "1\nポ\n3\n"


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "text").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UnicodeDecodeError):
        read_text(tmp_path / "text")


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_what_it_names_is_written(tmp_path, there):
    (tmp_path / "disk").mkdir()
    real = tmp_path / "disk" / "real.txt"
    if there:
        real.write_text("before")
    (tmp_path / "middle").symlink_to("disk/real.txt")
    (tmp_path / "link").symlink_to("middle")
    write(tmp_path / "link", "after")
    assert (tmp_path / "link").is_symlink()
    assert real.read_text() == "after"
    assert list((tmp_path / "disk").iterdir()) == [real]


def test_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(DestinationError, match="leads back to itself"):
        write(tmp_path / "link", "text")


def test_a_pipe_is_written_through(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    texts = []
    # More than a pipe holds, so that the writer has to wait for the reader.
    reader = threading.Thread(target=lambda: texts.append(pipe.read_text()))
    reader.start()
    while not texts:
        try:
            write(pipe, "x" * 300_000)
            reader.join()
        except DestinationError:
            continue  # the reader has not opened it yet
    assert texts == ["x" * 300_000]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_pipe_that_nothing_reads_is_refused_before_anything_is_made(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DestinationError, match="nothing reads from"):
        write(tmp_path / "pipe", "text")


def test_a_device_stays_one(tmp_path):
    (tmp_path / "null").symlink_to(os.devnull)
    write(tmp_path / "null", "text")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    assert (tmp_path / "null").is_symlink()


def test_a_socket_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.raises(DestinationError, match="is a socket; name a file"):
            write(tmp_path / "socket", "text")


def test_a_block_that_fails_leaves_what_was_there(tmp_path):
    write(tmp_path / "file", "before")
    with pytest.raises(TypeError), replacing(tmp_path / "file") as part:
        part.write_text(None)
    assert (tmp_path / "file").read_text() == "before"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize(
    ("names", "is_one"),
    [
        (["a", "con-1", "console", "aux_", "com", "com12", "初音ミク", "a.b", "ä" * 100], True),
        (
            [
                "",
                "CON",
                "nul",
                "Aux.v2",
                "prn ",
                "com1",
                "LPT9.old",
                "com¹",
                "a/b",
                "a\\b",
                "a:b",
                "a\nb",
                "ä" * 101,
            ],
            False,
        ),
    ],
)
def test_names_that_become_files_can_be_files_everywhere(names, is_one):
    assert {name: is_file_name(name) for name in names} == dict.fromkeys(names, is_one)
