"""An export that an earlier version began goes on as it was begun, or is refused."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

import hakubooru as hb
from booru import post_row, write
from hakubooru import verify
from hakubooru.caption.format import LATER_FIELDS
from hakubooru.errors import DestinationError
from hakubooru.export.journal import Journal
from hakubooru.export.pairs import STATE
from hakubooru.export.repair import repair
from pictures import files_of, picture


def forget(out, *names):
    """Make the record that of an earlier version, which did not take these settings down."""
    with closing(sqlite3.connect(out / STATE / "journal.sqlite")) as journal, journal:
        for name in names:
            assert journal.execute("DELETE FROM setting WHERE name = ?", [name]).rowcount == 1
        [text] = journal.execute("SELECT value FROM setting WHERE name = 'origin'").fetchone()
        origin = json.loads(text)
        origin["caption"].pop("repeats")
        journal.execute("UPDATE setting SET value = ? WHERE name = 'origin'", [json.dumps(origin)])


@pytest.fixture
def images(tmp_path):
    write(tmp_path / "posts.db", [post_row(1), post_row(2)], {1: ["solo", "solo"], 2: ["solo"]}.__getitem__)
    folder = tmp_path / "images"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"{number}.png").write_bytes(picture(number, "png"))
    return folder


def test_an_earlier_export_is_repaired_as_it_was_begun(images, tmp_path):
    out = tmp_path / "out"
    with hb.open(tmp_path / "posts.db") as db:
        db.posts.export(out, images=images, caption={"base": "kohaku-epsilon", "repeats": True})
    files = files_of(out)
    forget(out, "caption.repeats")
    (out / "x001" / "1.png").unlink()
    assert repair(out).is_good
    assert files_of(out) == files
    assert "solo, solo" in (out / "x001" / "1.txt").read_text()


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"output": {"sink": "webdataset"}}, ["output.shards", "caption.repeats"]),
        pytest.param({"image": {"format": "png"}}, ["decoding", "caption.repeats"], marks=pytest.mark.slow),
    ],
)
def test_a_repair_that_cannot_go_on_leaves_the_record_as_it_is(images, tmp_path, options, names):
    out = tmp_path / "out"
    with hb.open(tmp_path / "posts.db") as db:
        db.posts.export(out, images=images, caption={"base": "kohaku-epsilon", "repeats": True}, **options)
    forget(out, *names)
    for path in (*out.glob("x001/1.*"), *out.glob("shards/*")):
        path.unlink()
    problems = verify(out).problems
    assert problems
    with pytest.raises(DestinationError, match=r"earlier version .* use that version"):
        repair(out)
    assert verify(out).problems == problems
    with Journal(out) as journal:
        assert journal.ids().tolist() == [1, 2]


def test_other_options_of_this_version_are_of_no_earlier_one(images, tmp_path):
    with hb.open(tmp_path / "posts.db") as db:
        db.posts.export(tmp_path / "out", images=images)
        with pytest.raises(DestinationError, match=r"out was begun with other options: image\.min_side was"):
            db.posts.export(tmp_path / "out", images=images, image={"min_side": 5})


def test_another_sink_of_this_version_is_of_no_earlier_one(images, tmp_path):
    with hb.open(tmp_path / "posts.db") as db:
        db.posts.export(tmp_path / "out", images=images)
        with pytest.raises(
            DestinationError,
            match=r"out was begun with other options: output\.sink was \S+ and is now \S+; use the earlier",
        ):
            db.posts.export(tmp_path / "out", images=images, sink="webdataset")


def test_captions_with_repeated_tags_do_not_mix_with_others(tmp_path):
    write(tmp_path / "posts.db", [post_row(1)], {1: ["solo", "solo"]}.__getitem__)
    out = tmp_path / "out"
    with hb.open(tmp_path / "posts.db") as db:
        db.posts.export(out=out, sink="captions")
        with closing(sqlite3.connect(out / STATE / "journal.sqlite")) as journal, journal:
            assert journal.execute("DELETE FROM setting WHERE name = 'caption.repeats'").rowcount == 1
        with pytest.raises(
            DestinationError,
            match=r"earlier version .*: caption\.repeats was true and is now false; use the earlier options "
            r"\(--set caption\.repeats=true\)",
        ):
            db.posts.export(out=out, sink="captions")
        db.posts.export(out=out, sink="captions", caption={"base": "kohaku-epsilon", "repeats": True})


def test_options_of_captions_that_came_later_are_those_of_earlier_exports(tmp_path):
    write(tmp_path / "posts.db", [post_row(1)], {1: ["solo"]}.__getitem__)
    out = tmp_path / "out"
    with hb.open(tmp_path / "posts.db") as db:
        db.posts.export(out=out, sink="captions")
        with closing(sqlite3.connect(out / STATE / "journal.sqlite")) as journal, journal:
            for field in LATER_FIELDS:
                forgotten = journal.execute("DELETE FROM setting WHERE name = ?", [f"caption.{field}"])
                assert forgotten.rowcount == 1
        assert db.posts.export(out=out, sink="captions").exported == 1
        later = {"base": "kohaku-epsilon", "prefix": {"artist": "@"}}
        with closing(sqlite3.connect(out / STATE / "journal.sqlite")) as journal, journal:
            journal.execute("DELETE FROM setting WHERE name = 'caption.prefix'")
        with pytest.raises(
            DestinationError, match=r"earlier version .*: caption\.prefix was null and is now"
        ):
            db.posts.export(out=out, sink="captions", caption=later)
