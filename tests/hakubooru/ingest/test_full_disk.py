"""A disk that is full in the middle of a write: a small file system in memory, or a limit on the size of files."""

import re
import shutil
import subprocess
import sys

import pyarrow as pa
import pytest
from pyarrow import parquet

import hakubooru as hb
import hakubooru_migrations
from danbooru import api_post, contents, write_lines
from disks import enlarge, small_disk
from hakubooru.errors import IncompleteError
from hakubooru.ingest import build
from hakubooru.ingest.builder import build_files
from hakubooru.ingest.tabular import read_parquet
from hakubooru.store.writing import hold
from hakubooru_migrations import runner
from old_generations import write_generation

COMMAND = "from hakubooru_cli.main import main; main()"
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from hakubooru_cli.main import main
main()
"""


@pytest.fixture
def disk(tmp_path):
    """A file system of 1.5 MB."""
    with small_disk(tmp_path / "disk", "1500k") as folder:
        yield folder


def posts(count, first=1):
    return [
        api_post(number, general=" ".join(f"tag_{number * k % 997}" for k in range(1, 30)))
        for number in range(first, first + count)
    ]


@pytest.mark.slow
def test_a_new_file_on_a_full_disk(tmp_path, disk):
    dump = write_lines(tmp_path / "dump.jsonl", posts(3000))
    with pytest.raises(
        IncompleteError, match=r"could not be written .*disk is full.* run the same command again"
    ):
        build_files([dump], disk / "new.db", batch=200)
    assert [entry.name for entry in disk.iterdir()] == ["new.db.building"]
    enlarge(disk)
    report = build([dump], disk / "new.db")
    assert 0 < report.unchanged < 3000
    assert report.unchanged % 200 == 0
    build([dump], tmp_path / "whole.db")
    assert contents(disk / "new.db") == contents(tmp_path / "whole.db")


def test_a_disk_without_room_for_the_tables(tmp_path, disk):
    """SQLite ends the transaction itself; peewee's rollback then fails, with an error of its own."""
    dump = write_lines(tmp_path / "dump.jsonl", posts(1))
    (disk / "fill").write_bytes(bytes(shutil.disk_usage(disk).free - 8192))
    with pytest.raises(
        IncompleteError, match=r"could not be written .*disk is full.* run the same command again"
    ):
        build([dump], disk / "new.db")
    (disk / "fill").unlink()
    assert build([dump], disk / "new.db").new == 1


def test_no_room_to_unpack_parquet(tmp_path, disk, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(disk))
    texts = [f"tag_{number} " * 200 for number in range(4000)]
    path = tmp_path / "posts.parquet"
    parquet.write_table(pa.table({"id": range(1, 4001), "tag_string": texts}), path)
    with pytest.raises(IncompleteError, match=r"is full, where row groups of .*posts.parquet are unpacked"):
        list(read_parquet(path, str(path), sorted, largest_group=0))
    assert list(disk.iterdir()) == []


@pytest.mark.slow
def test_an_update_on_a_full_disk(tmp_path, disk):
    build([write_lines(tmp_path / "old.jsonl", posts(500))], disk / "some.db")
    dump = write_lines(tmp_path / "new.jsonl", posts(3000, first=400))
    with pytest.raises(IncompleteError, match="disk is full"):
        build_files([dump], disk / "some.db", batch=200)
    with hb.open(disk / "some.db") as db:
        assert db.scalar("PRAGMA integrity_check") == "ok"
        assert (db.info().posts - 500 + 101) % 200 == 0
    enlarge(disk)
    build([dump], disk / "some.db")
    with hb.open(disk / "some.db") as db:
        assert list(db.posts.to_ids()) == list(range(1, 3400))


def fill(disk, spare=400_000):
    """Take the room of a disk, as another program may, but for some bytes."""
    with (disk / "another program").open("wb") as file:
        file.write(bytes(shutil.disk_usage(disk).free - spare))


@pytest.mark.slow
def test_a_migration_on_a_full_disk(tmp_path, disk, monkeypatch):
    tags = [(number * 37, f"tag_{number}", number % 5) for number in range(1, 300)]
    row = [
        "2020-01-01T00:00:00.000-05:00",
        1,
        "",
        None,
        None,
        0,
        0,
        0,
        None,
        0,
        0,
        0,
        0,
        9,
        9,
        9,
        "jpg",
        1,
        0,
        0,
        0,
        0,
    ]
    rows = [
        ([n, *row, None, None, None], [tag[0] for tag in tags[n % 200 : n % 200 + 15]])
        for n in range(1, 2000)
    ]
    old = write_generation(tmp_path / "old.db", 1, rows, tags)
    small = disk / "old.db"
    with small.open("wb") as file:
        file.write(old.read_bytes())
    data = small.read_bytes()
    with pytest.raises(IncompleteError, match="free bytes on its disk"):
        hakubooru_migrations.migrate(small)
    assert small.read_bytes() == data
    enlarge(disk)
    with monkeypatch.context() as patch:
        patch.setattr(runner, "hold", lambda connection: (hold(connection), fill(disk)))
        with pytest.raises(IncompleteError, match="disk is full"):
            hakubooru_migrations.migrate(small)
    assert hakubooru_migrations.plan(small).generation == 1
    (disk / "another program").unlink()
    assert [entry.name for entry in disk.iterdir()] == ["old.db"]
    hakubooru_migrations.migrate(small)
    hakubooru_migrations.migrate(old)
    assert contents(small) == contents(old)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="files have no limit there")
def test_a_limit_on_the_size_of_files(tmp_path):
    firsts = range(1, 3000, 200)
    dumps = [write_lines(tmp_path / f"dump_{first}", posts(200, first)) for first in firsts]
    command = ["db", "build", *map(str, dumps), "--out", str(tmp_path / "new.db")]
    process = subprocess.run(
        [sys.executable, "-c", LIMITED, "1000000", *command], capture_output=True, text=True, check=False
    )
    assert process.returncode == 1
    assert "could not be written" in process.stderr
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "new.db").exists()
    second = subprocess.run(
        [sys.executable, "-c", COMMAND, *command], capture_output=True, text=True, check=True
    )
    (unchanged,) = re.findall(r"([\d,]+) unchanged", second.stdout)
    assert 0 < int(unchanged.replace(",", "")) < 3000
    build(dumps, tmp_path / "whole.db")
    assert contents(tmp_path / "new.db") == contents(tmp_path / "whole.db")
