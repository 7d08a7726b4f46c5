"""Builds that are interrupted, and what the same call makes of what they left."""

import sqlite3
import time
from contextlib import closing

import pytest

import hakubooru as hb
from danbooru import api_post, contents, write_lines
from hakubooru.errors import BusyError, DatabaseFileError
from hakubooru.ingest import posts as posts_module
from hakubooru.ingest.builder import build_files


@pytest.fixture
def out(tmp_path):
    return tmp_path / "booru.db"


def make(out, *posts, **options):
    return build_files([write_lines(out.with_name("dump.jsonl"), posts)], out, **options)


def folder(out):
    return sorted(entry.name for entry in out.parent.iterdir() if not entry.name.startswith("dump"))


def fail_after(monkeypatch, batches, error):
    write = posts_module.PostWriter.write
    count = 0

    def failing(self, records):
        nonlocal count
        count += 1
        result = write(self, records)
        if count > batches:
            raise error
        return result

    monkeypatch.setattr(posts_module.PostWriter, "write", failing)


def test_an_interrupted_build_is_completed_by_the_same_call(out, monkeypatch):
    posts = [api_post(number, general=f"solo tag_{number}") for number in range(1, 31)]
    make(out.with_name("whole.db"), *posts)
    with monkeypatch.context() as patch:
        fail_after(patch, 3, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            make(out, *posts, batch=4)
    assert folder(out) == ["booru.db.building", "whole.db"]
    with pytest.raises(DatabaseFileError, match="is an unfinished build of it: run the same"):
        hb.open(out)
    report = make(out, *posts)
    assert (report.new, report.unchanged) == (18, 12)
    assert folder(out) == ["booru.db", "whole.db"]
    assert contents(out) == contents(out.with_name("whole.db"))


def test_an_unfinished_build_of_other_dumps_is_not_gone_on_with(out, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        fail_after(patch, 1, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            make(out, api_post(1), api_post(2), batch=1)
    with pytest.raises(DatabaseFileError, match=r"unfinished build of .*dump.jsonl: run that command again"):
        build_files([write_lines(tmp_path / "other.jsonl", [api_post(3)])], out)
    assert make(out, api_post(1), api_post(2)).new == 1


def test_a_build_that_was_killed_before_it_took_its_name_takes_it(out):
    make(out, api_post(1), api_post(2))
    out.rename(out.with_name("booru.db.building"))
    report = make(out, api_post(1), api_post(2))
    assert (report.new, report.unchanged) == (0, 2)
    assert folder(out) == ["booru.db"]


def test_an_interrupted_update_leaves_whole_batches(out, monkeypatch):
    make(out, api_post(1))
    with monkeypatch.context() as patch:
        fail_after(patch, 1, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            make(out, *(api_post(number) for number in range(2, 9)), batch=2)
    with hb.open(out) as db:
        assert list(db.posts.to_ids()) == [1, 2, 3]
    assert make(out, *(api_post(number) for number in range(2, 9))).new == 5


def test_a_file_that_another_connection_holds_is_told(out):
    make(out, api_post(1))
    with closing(sqlite3.connect(out, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        start = time.monotonic()
        with pytest.raises(BusyError, match="is locked by"):
            make(out, api_post(2), busy_timeout=0.1)
        assert time.monotonic() - start < 4, "by default it is five seconds"
    assert make(out, api_post(2)).new == 1
