"""A file that becomes one in which a value may be unknown keeps its rows where they are."""

import sqlite3
from contextlib import closing

import pytest

import hakubooru as hb
import hakubooru_migrations
from danbooru import every_row
from hakubooru.store.sites import SITES
from old_generations import write_generation

POST = (1, "2020-01-01T00:00:00.000-05:00", 7, "", "0" * 32, None, 0, 0, 0, None, 0, 0, 1, 0, 800, 600, 99, "jpg", 0, 5, 6, -1, 4,
        None, None, None)  # fmt: skip


def test_only_the_definition_of_the_table_changes(tmp_path):
    path = write_generation(tmp_path / "old.db", 4, [(POST, [1])], [(1, "solo", 0)])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE INDEX mine ON post (score)")
        connection.execute("ALTER TABLE post ADD COLUMN note TEXT NOT NULL DEFAULT ''")
        connection.commit()
    rows_before = every_row(path)
    assert hakubooru_migrations.migrate(path).scripts[-1] == "0006_unknown_values"
    rows_after = every_row(path)
    assert {name: rows_after[name] for name in rows_before} == rows_before
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("SELECT name, \"notnull\", pk FROM pragma_table_info('post')").fetchall()
        assert [name for name, required, _ in rows if required] == ["id"]
        connection.execute("UPDATE post SET is_deleted = NULL, fav_count = NULL")
        connection.commit()
    with hb.open(path) as db:
        assert db.scalar("SELECT COUNT(*) FROM sqlite_master WHERE name = 'mine'") == 1
        (post,) = db.posts.posts()
        assert (post.is_deleted, post.fav_count, post.score) == (None, None, 5)
    assert hakubooru_migrations.plan(path).scripts == ()


@pytest.mark.parametrize("site", ["danbooru", "e621", "gelbooru"])
def test_the_addresses_of_images_tell_the_site_before_and_after(tmp_path, site):
    address = f"https://static.{SITES[site].domain}/data/1.jpg"
    posts = [(POST, [1]), ((2, *POST[1:23], address, None, None), [1])]
    path = write_generation(tmp_path / "old.db", 4, posts, [(1, "solo", 0)])
    with hb.open(path) as db:
        assert db.info().site == site
    notes = hakubooru_migrations.migrate(path).notes
    assert [note for note in notes if "so its posts are of" in note] == [
        f"its images are at {SITES[site].domain}, so its posts are of {site} from now on"
    ] * (site != "danbooru")
    with hb.open(path) as db:
        assert db.info().site == site
    report = hb.build([path], tmp_path / "built.db")
    assert (report.site, report.new) == (site, 2)
