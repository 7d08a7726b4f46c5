"""Real processes, killed and interrupted at random moments."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import psutil
import pytest

from exports import post_ids, run, write_database, write_set
from hakubooru import verify
from hakubooru.errors import DestinationError, IncompleteError
from hakubooru.export.archive import ExportArchive
from hakubooru.export.journal import Journal
from hakubooru.image.tar import read_tar
from pictures import files_of, picture, write_tar

MAIN = "from hakubooru_cli.main import main; main()"
WAITING = f"""
import time
from hakubooru.export.journal import Journal

def record(*arguments, **keywords):
    written(*arguments, **keywords)
    print("recorded", flush=True)
    time.sleep(600)  # until a signal comes

written, Journal.record = Journal.record, record
{MAIN}
"""
"""The command, which waits for a signal as soon as it has recorded an archive."""


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A folder with so many posts, each with an image, that two workers are worth it; never written to."""
    folder = tmp_path_factory.mktemp("many")
    write_database(folder / "posts.db", post_ids(75))
    write_set(folder / "images", post_ids(75))
    return folder


def start(folder, out, workers=2, code=MAIN):
    command = [
        "export",
        folder / "posts.db",
        "--images",
        folder / "images",
        "--out",
        out,
        "--workers",
        workers,
    ]
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until_begun(process, out):
    while process.poll() is None and not list(out.glob("x*/*.txt")):
        time.sleep(0.005)


@pytest.fixture(scope="module")
def undisturbed(many, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    process = start(many, out, workers=1)
    assert process.communicate()[1] == ""
    assert process.returncode == 0
    return files_of(out)


@pytest.mark.kill
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_again_and_again_the_result_is_the_same(many, tmp_path, undisturbed, workers):
    draw = random.Random(workers)
    out = tmp_path / "out"
    kills = 0
    while kills < 4:
        process = start(many, out, workers)
        wait_until_begun(process, out)
        time.sleep(draw.random() * 0.15)
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        if process.returncode == 0:  # it was done before the kill came
            shutil.rmtree(out)
    process = start(many, out, workers)
    assert process.communicate()[1] == ""
    assert process.returncode == 0
    assert files_of(out) == undisturbed
    assert not list((out / ".hakubooru" / "part").iterdir())
    assert not list(out.rglob("*.part"))


@pytest.mark.kill
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")
def test_interrupted_it_says_so_and_goes_on(many, tmp_path, undisturbed):
    out = tmp_path / "out"
    process = start(many, out, code=WAITING)
    assert process.stdout.readline() == "recorded\n"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert stderr.lstrip() == "error: interrupted; run the same command again to resume\n"
    assert not (out / "manifest.parquet").exists()
    process = start(many, out)
    process.communicate()
    assert process.returncode == 0
    assert files_of(out) == undisturbed


@pytest.mark.kill
def test_a_killed_export_leaves_no_worker_behind(many, tmp_path):
    process = start(many, tmp_path / "out")
    workers = []
    while len(workers) < 2 and process.poll() is None:  # they are there before the first file is
        workers = psutil.Process(process.pid).children()
        time.sleep(0.02)  # to look for them takes a processor
    process.kill()
    process.communicate()
    assert len(workers) >= 2
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive


@pytest.mark.slow
def test_two_exports_into_one_folder(booru, tmp_path):
    (tmp_path / "out" / ".hakubooru").mkdir(parents=True)
    with Journal(tmp_path / "out"), pytest.raises(DestinationError, match="another export is writing"):
        run(booru, tmp_path / "out")
    with Journal(tmp_path / "out"):
        process = start(booru, tmp_path / "out")
        _, stderr = process.communicate()
    assert process.returncode == 2
    assert "another export is writing into" in stderr
    assert run(booru, tmp_path / "out").exported


def test_a_journal_of_another_version_is_refused(booru, tmp_path):
    run(booru, tmp_path / "out")
    journal = sqlite3.connect(tmp_path / "out" / ".hakubooru" / "journal.sqlite")
    journal.execute("PRAGMA user_version = 99")
    journal.close()
    with pytest.raises(DestinationError, match="layout 99"):
        run(booru, tmp_path / "out")


@pytest.mark.slow
def test_an_extension_killed_before_it_reads_is_taken_up(booru, tmp_path, monkeypatch):
    ids, out = sorted(post_ids()), tmp_path / "out"
    run(booru, out, ids=ids[::2])
    reopen = Journal.reopen
    monkeypatch.setattr(Journal, "reopen", fail)
    with pytest.raises(KeyboardInterrupt):
        run(booru, out, ids=ids)
    monkeypatch.setattr(Journal, "reopen", reopen)
    run(booru, out, ids=ids)
    run(booru, tmp_path / "at once", ids=ids)
    assert files_of(out) == files_of(tmp_path / "at once")


def fail(*_, **__):
    raise KeyboardInterrupt


def test_an_empty_selection_does_not_prune_everything(booru, tmp_path):
    run(booru, tmp_path / "out")
    files = files_of(tmp_path / "out")
    with pytest.raises(DestinationError, match="no post is selected"):
        run(booru, tmp_path / "out", ids=[], prune=True)
    assert files_of(tmp_path / "out") == files


def test_what_a_killed_extension_left_is_pruned(booru, tmp_path, monkeypatch):
    ids, out = sorted(post_ids()), tmp_path / "out"
    run(booru, out, ids=ids[::2])
    files = files_of(out)
    record = Journal.record
    monkeypatch.setattr(
        Journal,
        "record",
        lambda journal, *some: (fail if any(part.pairs for part in some) else record)(journal, *some),
    )
    with pytest.raises(KeyboardInterrupt):
        run(booru, out, ids=ids)
    monkeypatch.undo()
    assert len(files_of(out)) > len(files)
    run(booru, out, ids=ids[::2], prune=True)
    assert files_of(out) == files


@pytest.mark.slow
def test_small_archives_are_recorded_together_and_those_before_an_interruption_too(
    booru, tmp_path, monkeypatch
):
    record, read, counts = Journal.record, ExportArchive._read, []
    monkeypatch.setattr(
        Journal, "record", lambda journal, *some: counts.append(len(some)) or record(journal, *some)
    )
    run(booru, tmp_path / "together")
    archives = sum(counts)
    assert len(counts) < archives / 2
    calls = []
    monkeypatch.setattr(
        ExportArchive,
        "_read",
        lambda *arguments: calls.append(arguments) or (fail if len(calls) > 4 else read)(*arguments),
    )
    counts.clear()
    with pytest.raises(KeyboardInterrupt):
        run(booru, tmp_path / "broken off")
    assert sum(counts) == 4
    monkeypatch.setattr(ExportArchive, "_read", read)
    run(booru, tmp_path / "broken off")
    assert files_of(tmp_path / "broken off") == files_of(tmp_path / "together")


def test_what_a_run_left_that_failed_is_removed_by_the_next(small, monkeypatch):
    """An update's disk fails after some images; it is taken away, as the message says."""
    write_database(small / "some.db", [1001, 1011, 1002])
    (small / "some.db").replace(small / "posts.db")
    write_tar(small / "images/updates/20240101/data-1.tar", {f"{i}.webp": picture(i) for i in (1001, 1011)})
    write_tar(small / "images/data-0001.tar", {"1001.webp": picture(1)})
    (small / "out/x001").mkdir(parents=True)
    (small / "out/.hakubooru").mkdir()

    def failing(path, wanted):
        for number, member in enumerate(read_tar(path, wanted)):
            if number:
                raise OSError(5, "Input/output error")
            yield member

    (small / "out/x011").mkdir()  # so that files are moved there one by one
    with monkeypatch.context() as patched:
        patched.setattr("hakubooru.export.archive.read_tar", failing)
        with pytest.raises(IncompleteError, match="Input/output error"):
            run(small, small / "out")
    assert [*(small / "out").glob("x*/*")]
    shutil.rmtree(small / "images/updates")
    run(small, small / "out")
    assert verify(small / "out").is_good
    assert sorted(path.name for path in (small / "out").glob("x*/*")) == ["1001.txt", "1001.webp"]
