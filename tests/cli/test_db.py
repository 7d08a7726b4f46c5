import json
import subprocess
import sys
from pathlib import Path

import pytest

import hakubooru as hb
from danbooru import api_post, contents, write_lines
from whole_command import call

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def dump(tmp_path):
    return write_lines(tmp_path / "dump.jsonl", [api_post(1), api_post(2, rating="s"), b"{"])


def test_build_says_what_it_did(dump, tmp_path):
    code, stdout, stderr = call("db", "build", dump, "--out", tmp_path / "new.db")
    assert (code, stderr) == (0, "")
    assert "3 records read" in stdout
    assert "2 new posts, 0 updated, 0 unchanged, 1 rejected" in stdout
    assert f"with reasons, are in {tmp_path / 'new.db'}.rejects.jsonl" in stdout


def test_build_tells_of_an_old_dump_and_takes_the_option(tmp_path):
    real = DATA / "danbooru_posts_2016.jsonl"
    code, stdout, _ = call(
        "db", "build", real, "--out", tmp_path / "new.db", "--tags", DATA / "danbooru_tags_api.json"
    )
    assert code == 0
    assert "has no rating g" in stdout
    assert "--old-ratings" in stdout
    code, stdout, _ = call("db", "build", real, "--out", tmp_path / "new.db", "--old-ratings")
    assert code == 0
    assert "20 updated" in stdout
    assert "has no rating g" not in stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["db", "build", "{dump}", "--out", "{new}", "--strict"],
            1,
            "dump.jsonl, line 3: the line is not JSON",
        ),
        (["db", "build", "{no}", "--out", "{new}"], 2, "does not exist; name a dump"),
        (["db", "build", "--out", "{new}"], 2, "Missing argument 'DUMP..."),
        (["db", "build", "{dump}"], 2, "Missing option '--out'"),
        (["db", "build", "{dump}", "--out", "{dump}"], 2, "is read and cannot be written, too"),
        (["db", "build", "{dump}", "--out", "{new}", "--tags", "{no}"], 2, "does not exist"),
        (["db", "info", "{no}"], 2, "does not exist"),
        (["db", "info", "{dump}"], 2, "is not an SQLite file"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_a_code(dump, tmp_path, arguments, code, message):
    places = {"dump": dump, "new": tmp_path / "new.db", "no": tmp_path / "no.jsonl"}
    exit_code, stdout, stderr = call(*(argument.format(**places) for argument in arguments))
    assert exit_code == code
    assert message in stderr
    assert "Traceback" not in stderr + stdout
    assert not (tmp_path / "new.db").exists()


def test_info_in_words_and_as_json(dump, tmp_path):
    call("db", "build", dump, "--out", tmp_path / "new.db")
    code, stdout, _ = call("db", "info", tmp_path / "new.db", "--json")
    assert code == 0
    assert json.loads(stdout) == {
        "generation": 4,
        "posts": 2,
        "tags": 2,
        "relations": 4,
        "first_id": 1,
        "last_id": 2,
        "ratings": {"general": 1, "sensitive": 1, "questionable": 0, "explicit": 0},
        "size_bytes": (tmp_path / "new.db").stat().st_size,
        "site": "danbooru",
        "lacking": [],
        "unknown": {},
    }
    code, stdout, _ = call("db", "info", tmp_path / "new.db")
    assert code == 0
    assert "         relations  4\n" in stdout
    assert "     rated general  1\n" in stdout


@pytest.mark.slow
def test_build_and_info_as_processes(dump, tmp_path):
    command = [sys.executable, "-c", "from hakubooru_cli.main import main; main()", "db"]
    process = subprocess.run(
        [*command, "build", dump, "--out", tmp_path / "new.db"], capture_output=True, text=True, check=False
    )
    assert (process.returncode, process.stderr) == (0, ""), "no progress bar where nobody watches"
    info = subprocess.run([*command, "info", tmp_path / "new.db", "--json"], capture_output=True, check=True)
    assert json.loads(info.stdout)["posts"] == 2
    with hb.open(tmp_path / "new.db") as db:
        assert len(contents(db.path)[0]) == 2


INTERRUPTED = """
import signal
from hakubooru.ingest import posts
write, count = posts.PostWriter.write, 0
def interrupt(self, records):
    global count
    count += 1
    if count == 2:
        signal.raise_signal(signal.SIGINT)
    return write(self, records)
posts.PostWriter.write = interrupt
from hakubooru_cli.main import main
main()
"""


@pytest.mark.kill
def test_an_interrupted_build_says_so_and_goes_on(tmp_path):
    numbers = {"a": range(1, 5), "b": range(5, 20)}
    dumps = [write_lines(tmp_path / name, map(api_post, some)) for name, some in numbers.items()]
    command = ["db", "build", *dumps, "--out", tmp_path / "new.db"]
    process = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *command], capture_output=True, text=True, check=False
    )
    assert process.returncode == 130
    assert process.stderr.strip() == "error: interrupted; run the same command again to resume"
    assert not (tmp_path / "new.db").exists()
    code, stdout, _ = call(*command)
    assert code == 0
    assert "15 new posts, 0 updated, 4 unchanged" in stdout
