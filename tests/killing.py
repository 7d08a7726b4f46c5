"""Killing a build, an update and a migration at random moments, and checking what is left; used by tests and by hand."""

import os
import random
import signal
import sqlite3
import threading
import time
from contextlib import closing, contextmanager

import hakubooru as hb
import hakubooru_migrations
from danbooru import api_post, contents, write_lines
from fork_server import fork_server
from hakubooru.errors import DatabaseFileError, OldGenerationError, UnfinishedWriteError
from hakubooru.ingest import build
from hakubooru.ingest.builder import build_files
from hakubooru.store.layout import unfinished_build
from old_generations import write_generation

BATCH = 100

MODULES = ("adbc_driver_sqlite.dbapi", "hakubooru_migrations.runner", __name__)
"""What takes long to import, and is imported before a process begins."""


def doomed(output, delay, function, arguments):
    """Call a function in a process that kills itself some seconds later; what it says goes into a file."""
    with output.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
    function(*arguments)


def build_in_batches(dump, out):
    """Build a database, some posts a transaction."""
    build_files([dump], out, batch=BATCH)


class Writers:
    """Functions in processes of their own."""

    def __init__(self, forks, folder):
        self.forks = forks
        self.output = folder / "output"

    def run(self, delay, function, *arguments):
        """Call a function in a process that is killed after some seconds; whether it was."""
        code = self.forks.run(doomed, self.output, delay, function, arguments)
        output = self.output.read_text()
        assert code in {0, -signal.SIGKILL}, output
        assert code or "rror" not in output, output
        return code != 0

    def seconds(self, function, *arguments):
        """How long a function takes."""
        start = time.perf_counter()
        self.run(60, function, *arguments)
        return time.perf_counter() - start


@contextmanager
def writers(folder):
    """Processes that begin with everything imported; what they say goes into a folder."""
    with fork_server(*MODULES) as forks:
        yield Writers(forks, folder)


def whole(path):
    """Roll back what a killed writer left; the numbers of posts and of those without a tag."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'post'").fetchone():
            return 0, 0
        return connection.execute(
            "SELECT COUNT(*), SUM(id NOT IN (SELECT post_id FROM posttagrelation)) FROM post"
        ).fetchone()


def opens_or_says_why(path):
    """What `hb.open` makes of it: the number of posts, or the refusal."""
    try:
        with hb.open(path) as db:
            return db.info().posts
    except DatabaseFileError as error:
        return error


def posts(version, size):
    """Posts of which a third are new in each version, a third newer, a third the same."""
    date = f"202{version}-01-01T00:00:00.000-05:00"
    for number in range(1, size + 1):
        if number % 3 == 0 and version == 1:
            continue
        newer = {"updated_at": date, "score": version} if number % 3 == 1 else {}
        yield api_post(number, general=f"solo tag_{number % 500} tag_{number % 7}_{version}", **newer)


def kill_builds(writer, folder, kills, seed, size=6000):
    """Kill builds of a new file, again and again from where they were, until there were so many kills."""
    dump = write_lines(folder / "dump.jsonl", posts(1, size))
    build([dump], folder / "reference.db")
    expected = contents(folder / "reference.db")
    longest = writer.seconds(build_in_batches, dump, folder / "timed.db")
    draw, out = random.Random(seed), folder / "new.db"
    killed = completed = hot = 0
    while killed < kills or not out.exists():
        if out.exists():
            out.unlink()
        if writer.run(draw.uniform(0, longest) if killed < kills else 60, build_in_batches, dump, out):
            killed += 1
            assert not out.exists() or contents(out) == expected
            part = unfinished_build(out)
            if part.exists():
                assert isinstance(opens_or_says_why(out), DatabaseFileError)
                hot += isinstance(opens_or_says_why(part), UnfinishedWriteError)
                count, without_tags = whole(part)
                assert count % BATCH == 0 or count == len(expected[0])
                assert not without_tags
        if out.exists():
            completed += 1
            assert contents(out) == expected
    # One that was killed as it began a transaction on the whole file has left an empty journal, which the next takes.
    assert not writer.run(60, build_in_batches, dump, out)
    assert contents(out) == expected
    assert [entry.name for entry in folder.iterdir() if entry.name.startswith("new.db")] == ["new.db"]
    return {"kills": killed, "completed": completed, "with a hot journal": hot}


def kill_updates(writer, folder, kills, seed, size=6000):
    """Kill updates of an existing file."""
    old = write_lines(folder / "old.jsonl", posts(1, size))
    new = write_lines(folder / "new.jsonl", posts(2, size))
    build([old], folder / "old.db")
    (folder / "reference.db").write_bytes((folder / "old.db").read_bytes())
    build([new], folder / "reference.db")
    expected = contents(folder / "reference.db")
    (folder / "timed.db").write_bytes((folder / "old.db").read_bytes())
    longest = writer.seconds(build_in_batches, new, folder / "timed.db")
    draw, out = random.Random(seed), folder / "some.db"
    killed = completed = hot = 0
    while killed < kills or contents(out) != expected:
        if not out.exists() or contents(out) == expected:
            out.write_bytes((folder / "old.db").read_bytes())
        if writer.run(draw.uniform(0, longest) if killed < kills else 60, build_in_batches, new, out):
            killed += 1
            state = opens_or_says_why(out)
            assert isinstance(state, int | UnfinishedWriteError), state
            hot += isinstance(state, UnfinishedWriteError)
            assert not whole(out)[1]
        completed += contents(out) == expected
    return {"kills": killed, "completed": completed, "with a hot journal": hot}


def kill_migrations(writer, folder, kills, seed, size=6000):
    """Kill migrations of a file of generation 1."""
    draw = random.Random(seed)
    tags = [(number * 37, f"tag_{number}", number % 5) for number in range(1, 500)]
    rows = [
        (
            [n, "2020-01-01T00:00:00.000-05:00", 1, "", None, None, 0, 0, 0, None, 0, 0, 0, 0, 9, 9, 9, "jpg", n % 4, 0, 0, 0, 0, None, None, None],
            [tag[0] for tag in draw.sample(tags, 15)],
        )
        for n in range(1, size + 1)
    ]  # fmt: skip
    write_generation(folder / "old.db", 1, rows, tags)
    (folder / "reference.db").write_bytes((folder / "old.db").read_bytes())
    hakubooru_migrations.migrate(folder / "reference.db")
    expected = contents(folder / "reference.db")
    (folder / "timed.db").write_bytes((folder / "old.db").read_bytes())
    longest = writer.seconds(hakubooru_migrations.migrate, folder / "timed.db")
    out = folder / "some.db"
    out.write_bytes((folder / "old.db").read_bytes())
    killed = completed = hot = 0
    while killed < kills or hakubooru_migrations.plan(out).scripts:
        if not hakubooru_migrations.plan(out).scripts:
            out.write_bytes((folder / "old.db").read_bytes())
        if writer.run(draw.uniform(0, longest) if killed < kills else 60, hakubooru_migrations.migrate, out):
            killed += 1
            state = opens_or_says_why(out)
            assert isinstance(state, int | UnfinishedWriteError | OldGenerationError), state
            hot += isinstance(state, UnfinishedWriteError)
            with closing(sqlite3.connect(out)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                assert connection.execute("SELECT COUNT(*) FROM post").fetchone() == (size,)
        if not hakubooru_migrations.plan(out).scripts:
            completed += 1
            assert contents(out) == expected
    return {"kills": killed, "completed": completed, "with a hot journal": hot}
