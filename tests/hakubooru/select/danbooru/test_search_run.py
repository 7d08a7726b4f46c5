"""How a search is run: as steps like any others, with its names looked up once and in few statements."""

from __future__ import annotations

import shutil

import pytest

import hakubooru as hb
from booru import post_row, tracing, write
from hakubooru.errors import SearchError


def test_a_search_is_a_step_like_any_other(db):
    by_steps = db.posts.score(min=5).tagged("solo").where(~hb.tagged("comic")).without_gold()
    assert db.posts.score(min=5).search("solo -comic -is:gold") == by_steps
    rows = db.posts.search("solo -comic (rating:g or score:>9) order:score limit:5").funnel()
    assert rows["step"].tolist() == [
        "solo",
        "-comic",
        "rating:g or score:>9",
        "in order of score downwards, id downwards",
        "the first 5",
    ]


def test_names_are_looked_up_at_once_and_with_one_query(db):
    statements = []
    db.connection().set_trace_callback(statements.append)
    db.posts.search("solo -comic (1girl or long_hair) rating:g order:score")
    db.connection().set_trace_callback(None)
    assert len([sql for sql in statements if "FROM tag" in sql]) == 1


def test_aliases_are_understood_where_the_database_has_them(tmp_path):
    write(tmp_path / "aliases.db", [post_row(1), post_row(2)], {1: ["solo"], 2: ["comic"]}.__getitem__)
    with hb.open(tmp_path / "aliases.db", writable=True) as db:
        db.connection().executescript(
            """
            CREATE TABLE tagalias (alias VARCHAR(255) NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL);
            INSERT INTO tagalias VALUES ('female_solo', 'solo'), ('manga', 'comic'), ('gone', 'no_such_tag');
            """
        )
        assert db.posts.search("Female_Solo") == db.posts.search("solo")
        assert db.posts.search("-manga").to_ids().tolist() == [1]
        assert db.posts.search("unaliased:solo").to_ids().tolist() == [1]
        for unknown in ("unaliased:manga", "gone"):
            with pytest.raises(SearchError, match="has no tag"):
                db.posts.search(unknown)


@pytest.mark.parametrize(
    "text", ["solo score:>3", "tagcount:>2", "source:https rating:g", "solo order:score limit:5"]
)
def test_a_search_that_asks_for_more_than_numbers_is_one_statement(db, tmp_path, text):
    with hb.open(shutil.copy(db.path, tmp_path)) as fresh:
        selection = fresh.posts.search(text)
        statements = []
        with tracing(fresh, statements):
            ids = selection.to_ids()
        assert len([sql for sql in statements if 'FROM "post"' in sql]) == 1
        assert not fresh.cache.columns.are_read()
    assert ids.tolist() == db.posts.search(text).to_ids().tolist()


@pytest.mark.parametrize(
    "text", ["solo order:score", "order:score", "score:>3 order:favcount", "solo score:>3 order:favcount"]
)
def test_an_order_is_the_same_whatever_is_known_already(db, text):
    with hb.open(db.path) as fresh:
        at_once = fresh.posts.search(text).limit(7).to_ids().tolist()
    with hb.open(db.path) as fresh:
        fresh.posts.score(min=0).count()  # reads columns
        assert fresh.posts.search(text).limit(7).to_ids().tolist() == at_once
        assert fresh.posts.search(text).to_ids().tolist()[:7] == at_once
        assert fresh.posts.search(text).limit(7).to_ids().tolist() == at_once
