"""The reader of columns, beside Python's SQLite, and with what a file may have in the wrong place."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Event, Timer

import numpy as np
import pytest

import hakubooru as hb
from hakubooru.errors import BusyError, DatabaseFileError, InputError
from hakubooru.store.reader import Reader


def change(path, sql, parameters=()):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql, parameters)


def test_columns_come_in_batches(db):
    batches = list(db.reader.numbers("SELECT id, score FROM post WHERE id > ? ORDER BY id", [50], rows=64))
    assert [len(ids) for ids, _ in batches] == [64, 64, 22]
    rows = db.rows("SELECT id, score FROM post WHERE id > 50 ORDER BY id")
    assert list(zip(*map(np.concatenate, zip(*batches, strict=True)), strict=True)) == rows
    assert db.reader.column("SELECT id FROM post WHERE id > 10000").tolist() == []


@pytest.mark.parametrize("value", [7, -(2**63), 2.5, "it's", "初音", "", b"\0\1", None, True])
def test_parameters_are_those_of_sqlite(db, value):
    for sql in ("SELECT typeof(?1) = ?2 FROM tag LIMIT 1", "SELECT ?1 IS ?1 AND ?2 = ?2 FROM tag LIMIT 1"):
        kind = db.scalar("SELECT typeof(?)", [value])
        assert db.reader.column(sql, [value, kind]).tolist() == [1]


def test_numbers_of_more_than_64_bits_are_refused(db):
    with pytest.raises(OverflowError):
        db.reader.column("SELECT ?", [2**63])


@pytest.mark.parametrize("value", ["many", 1.5, b"3"])
@pytest.mark.parametrize("post_id", [1, 120, 200])
def test_a_value_that_is_no_whole_number_is_named(path, value, post_id):
    with hb.open(path) as db:
        # The columns are declared NOT NULL, so the table is written anew without that.
        schema = db.scalar("SELECT sql FROM sqlite_master WHERE name = 'post'")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = ? WHERE name = 'post'", [schema.replace(" NOT NULL", "")]
        )
    change(path, "UPDATE post SET score = ? WHERE id = ?", [value, post_id])
    with (
        closing(Reader(path, timeout=1)) as reader,
        pytest.raises(DatabaseFileError, match=r"post\.score is not a whole"),
    ):
        list(reader.numbers("SELECT id, score FROM post ORDER BY id", rows=50))


def test_a_missing_number_is_reported(db):
    with pytest.raises(DatabaseFileError, match="is missing"):
        db.reader.column("SELECT parent_id FROM post")


def test_a_changed_file_is_read_anew(path):
    with hb.open(path) as db:
        assert len(db.reader.column("SELECT id FROM post")) == 200
        change(path, "DELETE FROM post WHERE id > 150")
        assert len(db.reader.column("SELECT id FROM post")) == 150


def test_nobody_writes_while_batches_are_read(path):
    with hb.open(path) as db:
        batches = db.reader.numbers("SELECT id FROM post", rows=50)
        next(batches)
        with (
            closing(sqlite3.connect(path, timeout=0)) as writer,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            writer.execute("BEGIN EXCLUSIVE")
        batches.close()
        change(path, "DELETE FROM post WHERE id = 1")


def test_a_locked_file_is_reported(path):
    with closing(sqlite3.connect(path)) as writer, closing(Reader(path, timeout=0.01)) as reader:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(BusyError, match="locked"):
            reader.column("SELECT id FROM post")


def test_changes_of_an_open_transaction_are_not_passed_over(path):
    with hb.open(path, writable=True) as db:
        with db.peewee.atomic(), pytest.raises(InputError, match="end the transaction first"):
            db.posts.count()
        assert db.posts.count() == 200


def test_two_readers_at_a_time(db):
    halves = [db.reader.numbers("SELECT id FROM post WHERE id % 2 = ?", [rest], rows=10) for rest in (0, 1)]
    ids = np.concatenate([ids for (ids,) in db.reader.in_parallel(halves)])
    assert sorted(ids.tolist()) == list(range(1, 201))


def test_an_iterator_that_a_thread_is_in_is_waited_for(db):
    """Ctrl-C while a thread was being started left it running, and the iterator could not be closed."""
    start, end = Event(), Event()

    def slow():
        start.set()
        end.wait(10)
        yield

    def failing():
        raise ZeroDivisionError
        yield

    busy = slow()
    with ThreadPoolExecutor(1) as pool:
        item = pool.submit(next, busy)
        start.wait(10)
        Timer(0.05, end.set).start()
        with pytest.raises(ZeroDivisionError):
            list(db.reader.in_parallel([failing(), busy]))
        assert item.done()


def test_a_reader_is_closed_between_two_batches(path):
    """Whoever asks for the next batch is interrupted, and the frames that hold the iterator live on in the traceback."""
    with hb.open(path) as db:
        batches = db.reader.batches("SELECT id FROM post", rows=64)
        assert len(next(batches)) == 64
    assert list(batches) == []


def test_a_file_in_wal_mode_is_read(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    with hb.open(path) as db:
        assert db.posts.score(min=0).count() == db.scalar("SELECT COUNT(*) FROM post WHERE score >= 0")


def test_a_damaged_file_is_reported(path):
    with hb.open(path) as db:
        content = bytearray(path.read_bytes())
        content[4096:] = b"\xff" * (len(content) - 4096)
        path.write_bytes(content)
        with pytest.raises(DatabaseFileError, match="damaged"):
            db.reader.column("SELECT score FROM post")


def test_a_closed_file_is_not_read(path):
    with hb.open(path) as db:
        pass
    with pytest.raises(InputError, match="was closed"):
        _ = db.reader
