from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings

import hakubooru as hb
from booru import tracing, write_random

# A busy machine is no mistake; and what CI tries is the same each time, so that a red run tells of a change.
settings.register_profile("suite", deadline=None, derandomize="CI" in os.environ)
settings.register_profile("quick", settings.get_profile("suite"), max_examples=25)
settings.load_profile("suite")

# Without a GPU, Triton's kernels are run by its interpreter; it is asked for before anything imports Triton.
os.environ.setdefault("TRITON_INTERPRET", "1")

# The tests start hundreds of processes. Each would compile the sources anew if their bytecode were not kept.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Tests write thousands of small files and see them safely on the disk; in memory that takes half the time.
MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 4 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# Importing torch and its like makes a million objects, of which none is ever garbage: the collector need not walk them.
gc.disable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """With `--dist loadgroup`, keep a file's quick tests in one process, and the slow ones that use what the file makes once.

    It also leaves pytest-xdist with hundreds of pieces of work and not thousands, which it counts after each test.
    """
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        if "xdist_group" not in marks and (not marks & {"slow", "kill"} or shares(item)):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def shares(item):
    """Whether a test uses a fixture of its file that several tests use, one after the other."""
    file = item.getparent(pytest.Module).nodeid
    definitions = [definitions[-1] for definitions in item._fixtureinfo.name2fixturedefs.values()]
    return any(one.baseid == file and one.scope != "function" for one in definitions)


def pytest_collection_finish():
    gc.freeze()
    if "forked" in sys.modules and hasattr(
        os, "fork"
    ):  # some test calls functions in forks of what is now imported
        sys.modules["forked"].begin()
    gc.enable()


# A shell starts what it runs in the background with Ctrl-C ignored, and nohup what it runs with SIGHUP; processes inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def tmp_path(tmp_path):
    """pytest's own, without its link to the latest folder: pytest reads the names of all links to make a folder."""
    tmp_path.with_name(tmp_path.name.rstrip("0123456789") + "current").unlink(missing_ok=True)
    return tmp_path


@pytest.fixture
def path(tmp_path):
    """A database file of 200 random posts."""
    file = tmp_path / "posts.db"
    write_random(file)
    return file


@pytest.fixture
def db(path):
    """The database of 200 random posts, opened."""
    with hb.open(path) as database:
        yield database


@pytest.fixture
def statements(db):
    """Every statement that the database runs, in either of the two SQLites."""
    sql: list[str] = []
    with tracing(db, sql):
        yield sql
