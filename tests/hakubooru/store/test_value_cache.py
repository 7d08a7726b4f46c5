"""The cache of joined files: whole or not there, made by several processes at once, and removed when it is not used."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from disks import enlarge, small_disk
from hakubooru.errors import DestinationError, InputError
from hakubooru.store.joined import Joined
from hakubooru.store.value_cache import make, place_of
from hakubooru.store.value_files import read_values

ROWS = 20_000
DAY = 24 * 3600

# Builds a joined file, and prints a line when it is there; is killed by itself after some batches if a number is given.
CHILD = """
import os, signal, sys
from hakubooru.store import value_cache
from hakubooru.store.joined import Joined
add, batches = value_cache._Builder._add, 0
def counted(self, rows, file):
    global batches
    batches += 1
    if batches == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    add(self, rows, file)
value_cache._Builder._add = counted
print(Joined.open("silva", sys.argv[1]).columns)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "hakubooru" / "joined"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("post_id,score\n" + "".join(f"{post},{post / 8}\n" for post in range(ROWS)))
    return path


def scores(joined):
    connection = sqlite3.connect(":memory:", uri=True)
    try:
        joined.attach(connection)
        return joined.numbers(connection)[1].tolist()
    finally:
        connection.close()


EXPECTED = [post / 8 for post in range(ROWS)]


def test_it_is_made_once(source, folder, monkeypatch):
    assert scores(Joined.open("silva", source)) == EXPECTED
    (file,) = folder.iterdir()
    monkeypatch.setattr("hakubooru.store.joined.make", None)
    assert Joined.open("other", source.rename(source.with_name("moved.csv"))).file == file


@pytest.mark.slow
@pytest.mark.parametrize("spoil", [lambda data: data[:-4096], lambda data: b"x" * len(data), lambda _: b""])
def test_a_damaged_file_is_made_again(source, folder, spoil):
    file = Joined.open("silva", source).file
    file.write_bytes(spoil(file.read_bytes()))
    assert scores(Joined.open("silva", source)) == EXPECTED
    assert [*folder.iterdir()] == [file]


def test_what_was_not_used_for_a_month_goes_when_another_file_comes(source, folder):
    old = Joined.open("silva", source).file
    abandoned = folder / "tmpkilled"
    abandoned.mkdir()
    (abandoned / "part").touch()
    for path, days in ((old, 31), (abandoned, 2)):
        os.utime(path, (time.time() - days * DAY,) * 2)
    assert Joined.open("silva", source).file == old  # it is used now
    source.write_text("id,score\n1,2\n")
    new = Joined.open("silva", source).file
    assert sorted(folder.iterdir()) == sorted([old, new])
    os.utime(old, (time.time() - 31 * DAY,) * 2)
    source.write_text("id,score\n1,3\n")
    newest = Joined.open("silva", source).file
    assert sorted(folder.iterdir()) == sorted([new, newest])


def test_a_mistake_in_the_file_leaves_nothing(source, folder):
    with source.open("a") as file:
        file.write("5,1\n")
    with pytest.raises(InputError, match="post 5 has several rows"):
        Joined.open("silva", source)
    assert [*folder.iterdir()] == []


@pytest.mark.slow
def test_a_full_disk_is_told_and_with_room_it_is_made(source, tmp_path, monkeypatch):
    with small_disk(tmp_path / "disk", "300k") as disk:
        monkeypatch.setenv("XDG_CACHE_HOME", str(disk))
        with pytest.raises(DestinationError, match=r"joined cannot be written: .* full; free space there"):
            Joined.open("silva", source)
        assert not any(path.is_file() for path in disk.rglob("*"))
        enlarge(disk)
        assert scores(Joined.open("silva", source)) == EXPECTED


def start(source, kill_at=0):
    command = [sys.executable, "-c", CHILD, str(source), str(kill_at)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.kill
@pytest.mark.skipif(sys.platform == "win32", reason="nothing is killed there by signal")
def test_a_killed_process_leaves_no_half_file(source, folder):
    killed = start(source, kill_at=3)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert [path.is_dir() for path in folder.iterdir()] == [True]
    assert scores(Joined.open("silva", source)) == EXPECTED


@pytest.mark.slow
def test_two_processes_make_it_at_once(source, folder):
    processes = [start(source) for _ in range(2)]
    outputs = [process.communicate() for process in processes]
    assert outputs == [("{'score': 'number'}\n", "")] * 2
    assert len([*folder.iterdir()]) == 1
    assert scores(Joined.open("silva", source)) == EXPECTED


def test_values_of_many_ids_are_looked_up_in_their_order(source):
    joined = Joined.open("silva", source)
    connection = sqlite3.connect(":memory:", uri=True)
    joined.attach(connection)
    assert joined.values(connection, np.array([9, 3, ROWS])) == [9 / 8, 3 / 8, None]
    connection.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    ids=st.sets(st.integers(0, 90), min_size=1), queries=st.lists(st.integers(0, 99)), block=st.integers(1, 7)
)
def test_known_ids_are_counted_without_their_values(tmp_path, ids, queries, block):
    path = tmp_path / f"{block}.csv"
    path.write_text("id,x\n" + "".join(f"{post},1\n" for post in ids))
    make(place_of(hashlib.sha256(path.read_bytes()).hexdigest()), path, [path], ids_a_block=block)
    joined = Joined.open("silva", path)
    with closing(sqlite3.connect(":memory:", uri=True)) as connection:
        joined.attach(connection)
        assert joined.count(connection, np.array(queries, np.int64)) == len(ids.intersection(queries))


@pytest.mark.slow
def test_a_parquet_file_is_not_held_in_memory(tmp_path):
    """Arrow reads whole columns ahead, and keeps them, if it is not told otherwise."""
    texts = [f"{post} a girl with long hair {post * 7919 % 10_007}" for post in range(400_000)]
    table = pa.table({"id": [*range(400_000)], "text": texts})
    parquet.write_table(table, tmp_path / "texts.parquet", compression="none", use_dictionary=False)
    del table, texts
    most, baseline = 0, pa.total_allocated_bytes()
    for _ in read_values(tmp_path / "texts.parquet"):
        most = max(most, pa.total_allocated_bytes() - baseline)
    assert (tmp_path / "texts.parquet").stat().st_size > 15_000_000
    assert most < 8_000_000
