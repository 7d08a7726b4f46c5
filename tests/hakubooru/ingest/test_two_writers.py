import subprocess
import sys

import pytest

import hakubooru_migrations
from danbooru import api_post, contents, write_lines
from hakubooru.errors import BusyError
from hakubooru.ingest import build
from old_generations import write_generation

# Stops in the middle of the second dump, inside its transaction, until its input is closed.
HOLDER = """
import sys
from hakubooru.ingest import posts
write = posts.PostWriter.write
count = 0
def wait(self, records):
    global count
    written = write(self, records)
    count += 1
    if count == 2:
        print("holding", flush=True)
        sys.stdin.readline()
    return written
posts.PostWriter.write = wait
from hakubooru_cli.main import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("is_new", [True, False])
def test_the_second_writer_is_told_who_holds_the_file(tmp_path, is_new):
    numbers = {"a": range(1, 4), "b": range(4, 10)}
    dumps = [write_lines(tmp_path / name, map(api_post, some)) for name, some in numbers.items()]
    out = tmp_path / "some.db"
    if not is_new:
        build([write_lines(tmp_path / "old.jsonl", [api_post(99)])], out)
    (tmp_path / "holder.py").write_text(HOLDER, encoding="utf-8")
    command = [sys.executable, tmp_path / "holder.py", "db", "build", *map(str, dumps), "--out", str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "holding\n"
        with pytest.raises(BusyError, match=rf"is locked by process {first.pid} \(.*holder.py db build "):
            build(dumps, out, busy_timeout=0.2)
        first.stdin.close()
        assert first.wait() == 0
    report = build(dumps, out)
    assert (report.new, report.unchanged) == (0, 9)
    assert len(contents(out)[0]) == (9 if is_new else 10)


def test_a_migration_of_a_file_that_is_written_is_told(tmp_path):
    path = write_generation(tmp_path / "old.db", 3, [], [])
    hold = f"import sqlite3; c = sqlite3.connect({str(path)!r}); c.execute('BEGIN IMMEDIATE'); print('.', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        first.stdout.readline()
        with pytest.raises(BusyError, match=rf"is locked by process {first.pid} "):
            hakubooru_migrations.migrate(path, busy_timeout=0.2)
        first.stdin.close()
