"""What a file says about itself, or what is counted where it says nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

import hakubooru as hb
from booru import post_row, write
from hakubooru.database import Database
from hakubooru.errors import BusyError, InputError

SCORES = {1: 3, 2: None, 3: 0, 4: -2, 5: 9}


@pytest.fixture
def own_file(tmp_path):
    """A file that a program made and filled: one post has no score, and none has favourites."""
    path = tmp_path / "own.db"
    write(path, [post_row(number, score=score, fav_count=None) for number, score in SCORES.items()])
    return path


@pytest.mark.parametrize("has_sidecar", [False, True])
@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("score:-1..4", [1, 3]),
        ("-score:-1..4", [2, 4, 5]),
        ("score:0", [3]),
        ("order:score", [5, 1, 3, 4, 2]),
        ("order:score_asc", [4, 3, 1, 5, 2]),
    ],
)
def test_a_value_that_a_post_does_not_have_is_not_0(own_file, has_sidecar, query, ids):
    if has_sidecar:
        with hb.open(own_file) as db:
            hb.optimize(db)
    with hb.open(own_file) as db:
        selection = db.posts.search(query)
        assert selection.to_ids().tolist() == ids
        assert selection.count() == len(ids)
        assert "1 post does not say score" in selection.explain()


def without_about(path):
    """Make a file one that another program wrote, without the table `about`, in a table that allows NULL."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE about")
        connection.execute("PRAGMA user_version = 0")
        connection.commit()
    return path


@pytest.mark.parametrize("is_migrated", [False, True])
def test_a_file_of_another_program_is_counted(own_file, is_migrated):
    without_about(own_file)
    if is_migrated:
        hb.migrate(own_file)
    with hb.open(own_file) as db:
        assert db.posts.search("score:0").to_ids().tolist() == [3]
        assert db.posts.search("-score:0").to_ids().tolist() == [1, 2, 4, 5]
        assert (db.info().lacking, db.info().unknown) == (("fav_count",), {"score": 1})


def test_a_value_that_no_post_has_cannot_be_asked_for(own_file):
    with hb.open(own_file) as db, pytest.raises(InputError, match="none of its sources has fav_count"):
        db.posts.search("favcount:>1").to_ids()


def test_posts_that_are_added_while_a_file_is_open_are_counted(tmp_path):
    with hb.create(tmp_path / "new.db") as db:
        assert db.posts.search("score:0").count() == 0
        with db.bind(), db.peewee.atomic():
            hb.Post.insert_many([post_row(number, score=score) for number, score in SCORES.items()]).execute()
        assert db.posts.search("score:0").to_ids().tolist() == [3]
        assert db.posts.search("-score:0").to_ids().tolist() == [1, 2, 4, 5]


def test_a_file_says_what_is_unknown_now_before_any_search(tmp_path):
    with hb.create(tmp_path / "new.db") as db:
        assert db.info().unknown == {}
        with db.bind(), db.peewee.atomic():
            hb.Post.insert_many([post_row(number, score=score) for number, score in SCORES.items()]).execute()
        assert db.info().unknown == {"score": 1}


def test_a_file_is_not_scanned_before_it_is_asked_what_is_unknown(own_file):
    with hb.open(own_file) as db:
        statements = []
        db.connection().set_trace_callback(statements.append)
        assert db.tags["solo"].name == "solo"
        assert not [sql for sql in statements if "COUNT" in sql]
        assert db.about.unknown == db.about.unknown == {"score": 1}
        assert len([sql for sql in statements if "COUNT(score)" in sql]) == 1


def test_columns_of_other_programs_are_not_counted(own_file):
    with sqlite3.connect(own_file) as connection:
        connection.execute('ALTER TABLE post ADD COLUMN "my score" INTEGER')
        connection.execute('ALTER TABLE post ADD COLUMN "order" INTEGER')
    with hb.open(own_file) as db:
        assert db.posts.search("score:0").to_ids().tolist() == [3]
        info = db.info()
        assert (info.unknown, info.lacking) == ({"score": 1}, ("fav_count",))


def test_a_file_that_is_locked_after_a_change_is_one_clear_error(own_file):
    writer = sqlite3.connect(own_file, isolation_level=None)
    with closing(writer), Database(own_file, busy_timeout=0.01) as db:
        assert db.posts.search("score:0").count() == 1
        writer.execute("UPDATE post SET score = 1 WHERE id = 3")
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(BusyError, match="is locked by"):
            db.posts.count()
        writer.execute("ROLLBACK")
        assert db.posts.search("score:0").count() == 0


def test_a_build_into_an_own_file_records_what_is_not_known(own_file, tmp_path):
    (tmp_path / "posts.json").write_text(
        '{"id": 9, "tag_string": "solo", "rating": "g", "score": null, "fav_count": 4, "created_at": "2024-05-01T01:30:25.096-04:00"}\n'
    )
    hb.build(tmp_path / "posts.json", own_file)
    with sqlite3.connect(own_file) as connection:
        recorded = dict(connection.execute("SELECT name, value FROM about"))
    assert (recorded["unknown score"], recorded["unknown fav_count"]) == ("2", "5")
    assert "fav_count" not in recorded["lacking"]
    with hb.open(own_file) as db:
        assert db.posts.search("favcount:>1").to_ids().tolist() == [9]
