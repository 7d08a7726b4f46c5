"""What bad input gets: one clear sentence, exit code 2, no traceback, and nothing left behind."""

from __future__ import annotations

import gzip
import sqlite3
import sys

import pytest

from booru import write_random
from hakubooru_cli.main import cli
from hakubooru_cli.shell import run

DUMP = '{"id": 1, "created_at": "2016-07-26T17:57:29-04:00", "rating": "s", "tag_string": "solo"}\n'


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with one of everything that can be wrong, which is the current folder."""
    monkeypatch.chdir(tmp_path)
    write_random(tmp_path / "posts.db", count=50)
    whole = (tmp_path / "posts.db").read_bytes()
    (tmp_path / "short.db").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "torn.db").write_bytes(whole[:100] + b"\xff" * 4000 + whole[4100:])
    (tmp_path / "empty.db").write_bytes(b"")
    (tmp_path / "text.db").write_text("not a database\n" * 20, encoding="utf-8")
    (tmp_path / "posts.db.gz").write_bytes(gzip.compress(whole))
    (tmp_path / "posts.json").write_text(DUMP, encoding="utf-8")
    (tmp_path / "folder").mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "7.png").write_bytes(b"")
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE songs (id INTEGER)")
    other.close()
    with sqlite3.connect(tmp_path / "old.db") as old:
        old.execute(
            "CREATE TABLE post (id INTEGER, created_at TEXT, rating INTEGER, fav_count INTEGER, tag_list_general TEXT)"
        )
        old.execute("CREATE TABLE tag (id INTEGER, name TEXT, type INTEGER, popularity INTEGER)")
    old.close()
    (tmp_path / "bad.toml").write_text("sed = 1\n", encoding="utf-8")
    (tmp_path / "ids.txt").write_text("1\ntwo\n", encoding="utf-8")
    return tmp_path


EXPORT = ["export", "posts.db", "--out", "out"]
WRONG = {
    "a missing database": (["select", "post.db"], "post.db does not exist; did you mean posts.db"),
    "a folder": (["select", "folder"], "folder is a folder; name the database file in it"),
    "an empty file": (["db", "info", "empty.db"], "empty.db is not an SQLite file; it is empty"),
    "a text": (["db", "info", "text.db"], "text.db is not an SQLite file; name a metadata database"),
    "a packed database": (["db", "info", "posts.db.gz"], "it is packed: unpack it first"),
    "a dump for a database": (
        ["db", "info", "posts.json"],
        "looks like JSON: turn a dump into a database with",
    ),
    "half a database": (["db", "info", "short.db"], "short.db is truncated: it has"),
    "a torn database": (["db", "info", "torn.db"], "torn.db is damaged"),
    "other tables": (["db", "info", "other.db"], "has the tables: songs"),
    "an older generation": (["db", "info", "old.db"], "run `hakubooru db migrate old.db`"),
    "an unknown command": (["selekt", "posts.db"], "No such command 'selekt'"),
    "an unknown option": (["select", "posts.db", "--funel"], "No such option"),
    "an unknown tag": (["select", "posts.db", "soolo"], "similar tags: solo"),
    "half a query": (["select", "posts.db", "(solo or"], "needs something on its right"),
    "an unknown recipe": (
        ["select", "posts.db", "--recipe", "epsilom"],
        "not a recipe that ships with hakubooru",
    ),
    "a wrong recipe": (["select", "posts.db", "--recipe", "bad.toml"], "no key 'sed'; did you mean 'seed'?"),
    "a recipe too large for the file": (
        ["select", "posts.db", "--recipe", "epsilon"],
        "a sample of 1,000,000 was asked for, and there are 50",
    ),
    "a scale of nothing": (
        ["select", "posts.db", "--recipe", "epsilon", "--scale", "-1"],
        "scale must be above 0, not -1",
    ),
    "a scale without end": (
        ["select", "posts.db", "--recipe", "epsilon", "--scale", "inf"],
        "scale must be finite, not inf",
    ),
    "a query that is no text": (["select", "posts.db", "caf\udce9"], "is not text in UTF-8"),
    "a pattern that is no text": (["tags", "posts.db", "caf\udce9*"], "is not text in UTF-8"),
    "a database into itself": (
        ["db", "build", "posts.db", "--out", "posts.db"],
        "posts.db is read and cannot be written, too",
    ),
    "a scale of no recipe": (["select", "posts.db", "--scale", "2"], "add --recipe"),
    "a list of words": (
        ["select", "posts.db", "--ids", "ids.txt"],
        "ids.txt, line 2: 'two' is not a post id",
    ),
    "ids to an unknown format": (["select", "posts.db", "--out", "ids.doc"], "ids.doc"),
    "a dump that is missing": (["db", "build", "no.json", "--out", "new.db"], "no.json"),
    "a dump of nothing": (["db", "build", "empty.db", "--out", "new.db"], "empty.db"),
    "a dump into something else": (
        ["db", "build", "posts.json", "--out", "text.db"],
        "text.db is not an SQLite file",
    ),
    "an unknown caption format": (["caption", "posts.db", "--caption", "kohaku-epsilom"], "kohaku-epsilon"),
    "captions to an unknown format": (["caption", "posts.db", "--out", "captions.doc"], "captions.doc"),
    "a folder of images that is missing": ([*EXPORT, "--images", "no"], "no"),
    "a folder without images": ([*EXPORT, "--images", "folder"], "folder"),
    "export into a file": (["export", "posts.db", "--images", "images", "--out", "ids.txt"], "ids.txt"),
    "export without images": (EXPORT, "the places of the images are missing; give `images` (--images)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_sentence_and_2(here, monkeypatch, capsys, name):
    arguments, message = WRONG[name]
    files_before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    monkeypatch.setattr(sys, "argv", ["hakubooru", *arguments])
    assert run(cli, "hakubooru") == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == files_before
