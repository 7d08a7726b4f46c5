"""What other programs, and earlier versions of this one, made of numbers and dates is noticed and mended."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing

import pandas as pd
import pytest
from click.testing import CliRunner

import hakubooru as hb
import hakubooru_migrations
from booru import post_row, write, write_random
from danbooru import api_post, write_lines
from hakubooru.engine.optimize import optimize
from hakubooru.errors import DatabaseFileError
from hakubooru.ingest import build
from hakubooru_cli.main import cli

MEND = "0005_numbers_and_dates"


def tables(path):
    with closing(sqlite3.connect(path)) as connection:
        return {
            name: connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall()
            for name in ("post", "tag", "posttagrelation")
        }


def rewrite(path, table, change):
    """What a user does with pandas."""
    with closing(sqlite3.connect(path)) as connection:
        frame = pd.read_sql(f"SELECT * FROM {table}", connection)
        change(frame)
        frame.to_sql(table, connection, if_exists="replace", index=False)
        connection.commit()


def retype(path, table, column, kind):
    """What sqlite-utils and others do: a column of another type."""
    with closing(sqlite3.connect(path)) as connection:
        sql = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", [table]).fetchone()[0]
        names = [name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", [table])]
        if f'"{column}" INTEGER NOT NULL PRIMARY KEY' in sql:
            sql = sql.replace(f'"{column}" INTEGER NOT NULL PRIMARY KEY', f'"{column}" {kind}')
        sql = sql.replace(f'"{column}" INTEGER', f'"{column}" {kind}').replace(f'"{table}"', '"other"', 1)
        connection.execute(sql)
        connection.execute(f"INSERT INTO other ({', '.join(names)}) SELECT * FROM {table}")
        connection.execute(f"DROP TABLE {table}")
        connection.execute(f"ALTER TABLE other RENAME TO {table}")
        connection.commit()


def flags_as_words(frame):
    frame["is_deleted"] = frame.is_deleted.map({0: "f", 1: "t"})
    frame["has_large"] = frame.has_large.map({0: "False", 1: "True"})


def numbers_as_text(frame):
    for name in ("score", "fav_count", "image_width", "up_score", "parent_id"):
        frame[name] = frame[name].map(str, na_action="ignore")


def ratings_as_letters(frame):
    frame["rating"] = frame.rating.map(dict(enumerate("gsqe")))


SPOILT = {
    "pandas": lambda path: rewrite(path, "post", lambda frame: None),
    "pandas, words": lambda path: rewrite(path, "post", flags_as_words),
    "pandas, text": lambda path: rewrite(path, "post", numbers_as_text),
    "pandas, letters": lambda path: rewrite(path, "post", ratings_as_letters),
    "parent_id TEXT": lambda path: retype(path, "post", "parent_id", "TEXT"),
    "pixiv_id FLOAT": lambda path: retype(path, "post", "pixiv_id", "FLOAT"),
    "id TEXT": lambda path: retype(path, "post", "id", "TEXT"),
    "rating VARCHAR": lambda path: retype(path, "post", "rating", "VARCHAR(10)"),
    "tag type REAL": lambda path: retype(path, "tag", "type", "REAL"),
    "relations TEXT": lambda path: retype(path, "posttagrelation", "tag_id", "TEXT"),
}


@pytest.mark.slow
@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_numbers_that_are_stored_as_something_else_are_refused_and_mended(path, spoil):
    original = tables(path)
    spoil(path)
    with pytest.raises(
        DatabaseFileError, match=r"stores whole numbers as something else .*hakubooru db migrate"
    ):
        hb.open(path)
    assert MEND in hakubooru_migrations.plan(path).scripts
    assert MEND in hakubooru_migrations.migrate(path).scripts
    assert hakubooru_migrations.plan(path).scripts == ()
    assert tables(path) == original
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT * FROM posttagrelation WHERE tag_id = 1"
        ).fetchall()
        assert "posttagrelation_tag_id" in str(plan)
    with hb.open(path) as db:
        assert db.posts.search("is:child").count() == db.posts.only_children().count() > 0
        optimize(db)


def test_what_people_added_to_a_table_stays(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE post ADD COLUMN seen TEXT DEFAULT 'no'")
        connection.execute("CREATE INDEX mine ON post (score)")
        connection.execute("CREATE TRIGGER mine2 AFTER DELETE ON post BEGIN DELETE FROM localpost; END")
        connection.execute("UPDATE post SET parent_id = '1x' WHERE id = 7")
        connection.execute("UPDATE post SET pixiv_id = 2.0, has_large = '1' WHERE id = 8")
        connection.commit()
    with pytest.raises(DatabaseFileError, match=r"post\.parent_id holds text"):
        hb.open(path)
    with pytest.raises(DatabaseFileError, match=r"post\.parent_id is '1x' in the row with id 7"):
        hakubooru_migrations.migrate(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE post SET parent_id = 1 WHERE id = 7")
        connection.execute("UPDATE post SET parent_id = X'05' WHERE id = 9")
        connection.commit()
    with pytest.raises(DatabaseFileError, match="with id 9"):
        hakubooru_migrations.migrate(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE post SET parent_id = '1.0' WHERE id = 9")
        connection.commit()
    hakubooru_migrations.migrate(path)
    with hb.open(path) as db:
        assert db.rows("SELECT parent_id, seen FROM post WHERE id IN (7, 9)") == [(1, "no")] * 2
        names = {name for (name,) in db.rows("SELECT name FROM sqlite_master WHERE tbl_name = 'post'")}
        assert {"mine", "mine2"} <= names


def test_a_gap_stays_one_where_0_would_be_a_guess(path):
    def gaps(frame):
        frame["file_size"] = frame.file_size.where(frame.id != 3)
        frame["score"] = frame.score.where(frame.id != 4)

    rewrite(path, "post", gaps)
    hakubooru_migrations.migrate(path)
    with hb.open(path) as db:
        assert db.rows("SELECT id FROM post WHERE file_size IS NULL") == [(3,)]
        assert db.rows("SELECT id FROM post WHERE score IS NULL") == [(4,)]


def test_a_number_that_no_look_at_the_ends_finds_is_told(tmp_path):
    path = tmp_path / "many.db"
    write_random(path, count=500)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE post SET score = 'many' WHERE id = 250")
        connection.commit()
    with (
        hb.open(path) as db,
        pytest.raises(DatabaseFileError, match=r"post\.score is not a whole number in some"),
    ):
        db.posts.score(min=3).count()


def test_the_posts_of_a_year_are_those_of_danbooru(tmp_path):
    moments = {1: "2018-01-01T03:00:00.000+00:00", 2: "2018-01-01 04:59:59+00", 3: "2018-07-01T03:00:00Z"}
    local = [
        "2017-12-31T22:00:00.000-05:00",
        "2017-12-31T23:59:59.000-05:00",
        "2018-06-30T23:00:00.000-04:00",
    ]
    path = tmp_path / "utc.db"
    write(path, [post_row(number, created_at=moment) for number, moment in moments.items()])
    with (
        pytest.warns(UserWarning, match="stores its dates in UTC.*hakubooru db migrate"),
        hb.open(path) as db,
    ):
        fingerprint = db.posts.fingerprint("kohaku-epsilon")
    assert hakubooru_migrations.plan(path).scripts == (MEND, "0006_unknown_values")
    report = hakubooru_migrations.migrate(path)
    assert report.notes[0] == "dates converted to Danbooru's time zone: 3"
    with hb.open(path) as db:
        assert [post.created_at for post in db.posts.posts()] == local
        assert db.posts.date(max=2017).to_ids().tolist() == [1, 2]
        assert db.posts.search("age:<60y").count() == 3
        assert db.posts.fingerprint("kohaku-epsilon") != fingerprint
    assert hakubooru_migrations.plan(path).scripts == ()


def test_dates_that_are_none_are_left_and_told(tmp_path):
    path = tmp_path / "some.db"
    dates = ["2017-01-01", "", "2017-01-01T03:00:00Z", "2016-12-31T22:00:00-05:00"]
    write(path, [post_row(number, created_at=date) for number, date in enumerate(dates, 1)])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1")
    assert list(hakubooru_migrations.migrate(path).notes) == [
        "dates converted to Danbooru's time zone: 1",
        "dates that cannot be read were not changed: 2, the first is '2017-01-01'",
    ]
    with hb.open(path) as db:
        created = [post.created_at for post in db.posts.posts()]
    assert created == ["2017-01-01", "", "2016-12-31T22:00:00.000-05:00", "2016-12-31T22:00:00-05:00"]


def test_a_build_over_a_file_in_utc_is_refused_until_it_is_migrated(tmp_path):
    eve = api_post(1, created_at="2017-01-01T03:00:00Z", updated_at="2024-01-01T00:00:00Z")
    dump = write_lines(tmp_path / "posts.jsonl", [eve])
    build([dump], tmp_path / "new.db")
    write(tmp_path / "old.db", [post_row(1, **{name: eve[name] for name in ("created_at", "updated_at")})])
    data = (tmp_path / "old.db").read_bytes()
    with pytest.raises(DatabaseFileError, match=r"stores its dates in UTC.*hakubooru db migrate"):
        build([dump], tmp_path / "old.db")
    assert (tmp_path / "old.db").read_bytes() == data
    hakubooru_migrations.migrate(tmp_path / "old.db")
    build([dump], tmp_path / "old.db")
    assert tables(tmp_path / "old.db")["post"] == tables(tmp_path / "new.db")["post"]


def test_what_is_just_built_or_made_has_nothing_to_migrate(tmp_path):
    build([write_lines(tmp_path / "posts.jsonl", [api_post(1)])], tmp_path / "built.db")
    hb.create(tmp_path / "made.db").close()
    for name in ("built.db", "made.db"):
        data = (tmp_path / name).read_bytes()
        assert hakubooru_migrations.plan(tmp_path / name).scripts == ()
        assert hakubooru_migrations.migrate(tmp_path / name).scripts == ()
        assert (tmp_path / name).read_bytes() == data
    result = CliRunner().invoke(cli, ["db", "migrate", "--check", str(tmp_path / "built.db")])
    assert (result.exit_code, result.output) == (0, f"{tmp_path / 'built.db'}: generation 4, up to date\n")
    build([write_lines(tmp_path / "more.jsonl", [api_post(2)])], tmp_path / "built.db")
    assert hakubooru_migrations.plan(tmp_path / "built.db").scripts == ()


@pytest.mark.slow
def test_the_command_says_that_dates_are_in_utc_on_one_line(tmp_path):
    path = tmp_path / "utc.db"
    write(path, [post_row(1, created_at="2017-01-01T03:00:00Z")])
    command = [
        sys.executable,
        "-c",
        "from hakubooru_cli.main import main; main()",
        "db",
        "info",
        "--json",
        path,
    ]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    assert process.stdout.startswith('{"generation": 4')
    assert process.stderr.startswith(f"warning: {path} stores its dates in UTC")
    assert process.stderr.count("\n") == 1
