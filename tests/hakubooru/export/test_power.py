"""What a power cut leaves: files of the right size without their contents, and a journal that calls them done."""

from __future__ import annotations

import os
from concurrent.futures import Executor, Future

import pytest

from exports import run, start_the_machine_anew
from hakubooru.export import run as running
from hakubooru.export.journal import Journal
from pictures import files_of


def blank(path):
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_files_that_did_not_reach_the_disk_are_exported_again(booru, tmp_path, workers):
    out = tmp_path / "out"
    run(booru, out)
    files = files_of(out)
    images = [out / name for name in files if name.endswith((".webp", ".jpg"))]
    blank(images[0])
    blank(images[40].with_suffix(".txt"))
    run(booru, out)
    assert files_of(out) != files  # the same run of the machine: sizes are all that is compared
    start_the_machine_anew(out)
    assert run(booru, out, workers=workers).added == 2
    assert files_of(out) == files


class AtOnce(Executor):
    """Does in the foreground what a thread would do some time."""

    def submit(self, fn, /, *args):
        future = Future()
        future.set_result(fn(*args))
        return future


def test_what_was_brought_to_the_disk_is_not_read_again(booru, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "ThreadPoolExecutor", lambda _: AtOnce())
    monkeypatch.setattr(os, "sync", lambda: None, raising=False)
    out = tmp_path / "out"
    run(booru, out, seconds_unflushed=0)
    with Journal(out) as journal:
        everything = journal.done()
    start_the_machine_anew(out)
    with Journal(out) as journal:
        doubtful = journal.doubtful()
    assert doubtful
    assert len(doubtful) < len(everything)
    run(booru, out)
    with Journal(out) as journal:
        assert not journal.doubtful()
