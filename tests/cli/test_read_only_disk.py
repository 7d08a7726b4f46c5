"""A disk that is mounted read-only: it is read as any other, and what would be written there is refused."""

from __future__ import annotations

import shutil

import pytest

from danbooru import api_post, write_lines
from disks import mount, small_disk
from whole_command import call


@pytest.fixture
def disk(path, tmp_path):
    with small_disk(tmp_path / "disk", "8m") as folder:
        shutil.copy(path, folder / "posts.db")
        if not mount("-o", "remount,ro", "tmpfs", folder):
            pytest.skip("mounting is refused here")
        yield folder


def test_a_database_is_read(disk):
    assert call("select", disk / "posts.db", "rating:g")[0] == 0


@pytest.mark.parametrize(
    "line",
    [
        "caption {disk}/posts.db --out {disk}/new.jsonl",
        "select {disk}/posts.db --out {disk}/new.txt",
        "select {disk}/posts.db --out {disk}/new.csv --columns id",
        "select {disk}/posts.db --lock {disk}/new.lock",
        "export {disk}/posts.db --sink captions --out {disk}/new",
        "db build {dump} --out {disk}/new.db",
        "db build {dump} --out {disk}/posts.db",
    ],
)
def test_what_would_be_written_is_refused(disk, tmp_path, line):
    dump = write_lines(tmp_path / "dump.jsonl", [api_post(1)])
    code, _, stderr = call(*line.format(disk=disk, dump=dump).split())
    assert code == 2
    assert str(disk) in stderr
    assert ".part" not in stderr
    assert [file.name for file in disk.iterdir()] == ["posts.db"]
