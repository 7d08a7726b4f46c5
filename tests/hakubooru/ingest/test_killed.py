import subprocess
import sys

import pytest

import killing
from danbooru import contents
from hakubooru.ingest import build
from published_sets import SETS, posts

KILLED = """
import os, signal, sys
from pathlib import Path
from hakubooru.ingest import builder, posts
write, count = posts.PostWriter.write, 0
def kill(self, records):
    global count
    count += 1
    if count == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return write(self, records)
posts.PostWriter.write = kill
*paths, out = map(Path, sys.argv[1:])
builder.build_files(paths, out, batch=3)
"""


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    with killing.writers(tmp_path_factory.mktemp("writers")) as writers:
        yield writers


@pytest.mark.kill
@pytest.mark.skipif(sys.platform == "win32", reason="nothing is killed there by signal")
@pytest.mark.parametrize("way", [killing.kill_builds, killing.kill_updates, killing.kill_migrations])
def test_a_killed_writer_loses_nothing(writer, tmp_path, way):
    assert way(writer, tmp_path, kills=2, seed=0, size=1500)["kills"] == 2


@pytest.mark.kill
@pytest.mark.skipif(sys.platform == "win32", reason="nothing is killed there by signal")
@pytest.mark.parametrize("name", ["KBlueLeaf, parquet/", "Jannchie/danbooru_metadata", "lines in posts.7z"])
def test_a_killed_build_of_any_form_goes_on(tmp_path, name):
    (tmp_path / "set").mkdir()
    paths = SETS[name].write(tmp_path / "set", posts())
    command = [sys.executable, "-c", KILLED, *map(str, paths), str(tmp_path / "some.db")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -9
    assert not (tmp_path / "some.db").exists()
    report = build(paths, tmp_path / "some.db")
    assert (report.new + report.unchanged, report.unchanged % 3) == (12, 0), "whole transactions"
    assert 0 < report.unchanged < 12
    build(paths, tmp_path / "whole.db")
    assert contents(tmp_path / "some.db") == contents(tmp_path / "whole.db")
