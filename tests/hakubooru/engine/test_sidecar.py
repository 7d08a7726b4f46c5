from __future__ import annotations

import shutil
import sqlite3

import numpy as np
import pytest
from click.testing import CliRunner

import hakubooru as hb
from booru import TAGS, tracing, write_random
from hakubooru.engine import optimize as making
from hakubooru.engine.optimize import optimize
from hakubooru.engine.sidecar import open_sidecar, stamp_of
from hakubooru.errors import DestinationError
from hakubooru_cli.main import cli

QUESTIONS = (
    "solo",
    "1girl -comic",
    "solo or comic",
    "~solo ~highres score:>3",
    "-solo rating:g",
    "bespin order:score limit:5",
)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """The user's cache, elsewhere than the user's."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture(params=[1, 10**6], ids=["bits", "places"])
def made(path, request):
    """A database with a sidecar that holds every tag in one of its two ways."""
    with hb.open(path) as db:
        optimize(db, common=10**6 if request.param == 1 else 0, rows_a_read=101, posts_a_bucket=64)
    return path


def answers(path):
    with hb.open(path) as db:
        return [db.posts.search(question).to_ids().tolist() for question in QUESTIONS]


def test_answers_are_the_same_with_it_and_without(made):
    sidecar = made.with_name(made.name + ".sidecar")
    with_it = answers(made)
    shutil.rmtree(sidecar)
    assert answers(made) == with_it
    assert all(with_it)


def test_it_answers_without_the_relations(made):
    with hb.open(made) as db:
        seen: list[str] = []
        with tracing(db, seen):
            assert db.posts.tagged("solo", none=["comic"]).rating("g").count() > 0
    assert not any("posttagrelation" in sql or "FROM post " in sql for sql in seen)


def test_places_and_masks_say_the_same(made):
    with hb.open(made) as db:
        sidecar = open_sidecar(made)
        for name, _ in TAGS:
            tag = db.tags[name]
            expected = db.rows(
                "SELECT DISTINCT post_id FROM posttagrelation WHERE tag_id = ? ORDER BY 1", [tag.id]
            )
            ids = db.cache.columns.ids
            assert ids[sidecar.places(tag.id)].tolist() == [post_id for (post_id,) in expected]
            assert ids[sidecar.bearing(tag.id, len(ids))].tolist() == [post_id for (post_id,) in expected]
        assert not sidecar.bearing(9999, 200).any()


def test_a_stale_one_is_not_used(made):
    assert open_sidecar(made) is not None
    connection = sqlite3.connect(made)
    connection.execute("DELETE FROM posttagrelation WHERE tag_id = 2")
    connection.commit()
    connection.close()
    assert open_sidecar(made) is None
    with hb.open(made) as db:
        assert db.posts.tagged("solo").count() == 0


def test_a_change_while_open_is_noticed(made):
    with hb.open(made) as db:
        assert db.posts.tagged("solo").count() > 0
        connection = sqlite3.connect(made)
        connection.execute("DELETE FROM posttagrelation WHERE tag_id = 2")
        connection.commit()
        connection.close()
        assert db.posts.tagged("solo").count() == 0


def test_it_goes_with_a_copy(made, tmp_path):
    (tmp_path / "copy").mkdir()
    shutil.copy(made, tmp_path / "copy" / made.name)
    shutil.copytree(made.with_name(made.name + ".sidecar"), tmp_path / "copy" / (made.name + ".sidecar"))
    assert stamp_of(tmp_path / "copy" / made.name) == stamp_of(made)
    assert open_sidecar(tmp_path / "copy" / made.name) is not None


def test_odd_relations_do_no_harm(path):
    connection = sqlite3.connect(path)
    rows = [(5, 2), (5, 2), (10**7, 2), (201, 2), (150, 2), (3, 2)]
    connection.executemany("INSERT INTO posttagrelation (post_id, tag_id) VALUES (?, ?)", rows)
    connection.commit()
    connection.close()
    before = answers(path)
    with hb.open(path) as db:
        optimize(db)
    assert answers(path) == before


@pytest.mark.parametrize("posts", [0, 3])
def test_small_files(tmp_path, posts):
    write_random(tmp_path / "a.db", count=posts)
    with hb.open(tmp_path / "a.db") as db:
        optimize(db)
    with hb.open(tmp_path / "a.db") as db:
        assert db.posts.tagged(any=["solo", "1girl", "comic"]).count() <= posts


def test_elsewhere_where_the_folder_cannot_be_written(path, cache):
    # A file in the way is what even root cannot write over.
    path.with_name(path.name + ".sidecar.building").write_text("", encoding="utf-8")
    with hb.open(path) as db:
        folder = optimize(db)
    assert cache in folder.parents
    assert open_sidecar(path).folder == folder
    with hb.open(path) as db:
        assert db.posts.tagged("solo").count() > 0


def test_nowhere(path, cache):
    path.with_name(path.name + ".sidecar.building").write_text("", encoding="utf-8")
    cache.rmdir()
    cache.write_text("", encoding="utf-8")
    with hb.open(path) as db, pytest.raises(DestinationError, match="make one of the two folders writable"):
        optimize(db)


def test_a_failure_leaves_nothing(path, monkeypatch):
    def fail(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(making, "_sorted", fail)
    with hb.open(path) as db, pytest.raises(KeyboardInterrupt):
        optimize(db)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_the_command(path):
    result = CliRunner().invoke(cli, ["db", "optimize", str(path)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "GB" in result.stderr
    assert result.stdout.strip() == f"written: {path}.sidecar"
    assert np.load(f"{path}.sidecar/id.npy").tolist() == list(range(1, 201))
