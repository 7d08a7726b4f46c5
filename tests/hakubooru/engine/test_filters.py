"""Tags of few posts; `test_plan` compares whole selections with SQLite."""

import pytest

import hakubooru as hb
from booru import post_row, tracing, write
from hakubooru.engine.filters import Filters
from hakubooru.select.steps import Filtered, walk

FEW = [
    lambda s: s.search("solo id:11..30"),
    lambda s: s.search("id:11..30 -solo (1girl or comic)"),
    lambda s: s.search("solo id:11..30 order:score limit:5"),
    lambda s: s.search("solo or score:>5").ids(11, 30),
    lambda s: s.search("order:id limit:20").search("solo"),
    lambda s: s.sample(20, seed=1).where(hb.tagged("solo") & hb.score(min=0)),
    lambda s: s.among(range(11, 31)).search("-solo"),
    lambda s: s.search("solo -comic").among(range(11, 31)),
    lambda s: s.tag_popularity("general", max=60).ids(11, 30),
]
"""Selections that leave few posts whose tags are asked."""


def plan_of(db, sql: str) -> str:
    """How SQLite runs a statement, whatever its parameters are."""
    rows = db.connection().execute(f"EXPLAIN QUERY PLAN {sql}", ["[]"] * sql.count("?")).fetchall()
    return "\n".join(row[3] for row in rows)


@pytest.mark.parametrize("narrow", FEW)
def test_of_few_posts_no_tag_is_listed(db, statements, narrow):
    narrow(db.posts).to_ids()
    plans = [plan_of(db, sql) for sql in statements if "posttagrelation WHERE" in sql]
    assert any("posttagrelation_post_id" in plan for plan in plans)
    assert not any("posttagrelation USING INDEX posttagrelation_tag_id" in plan for plan in plans)


@pytest.mark.parametrize("narrow", FEW[:-1])
def test_without_indices_relations_are_not_scanned_for_each_post(path, narrow):
    with hb.open(path, writable=True) as db:
        expected = narrow(db.posts).to_ids().tolist()
        for name in ("posttagrelation_post_id", "posttagrelation_tag_id"):
            db.connection().execute(f"DROP INDEX {name}")
    statements = []
    with hb.open(path) as db, tracing(db, statements):
        assert narrow(db.posts).to_ids().tolist() == expected
    with hb.open(path) as db:
        of_posts = [plan_of(db, sql) for sql in statements if "posttagrelation WHERE post_id IN" in sql]
        assert of_posts
        assert not any("CORRELATED" in plan for plan in of_posts)


def test_tags_by_popularity_are_those_of_all_posts(db):
    narrow = hb.tag_popularity("general", max=60)
    of_all = [post_id for post_id in db.posts.where(narrow).to_ids().tolist() if 11 <= post_id < 30]
    assert db.posts.ids(11, 30).where(narrow).to_ids().tolist() == of_all
    assert 0 < len(of_all) < 19


@pytest.mark.parametrize("text", ["solo date:2015", "1girl date:2015", "(1girl or solo) -comic date:2015"])
def test_what_leaves_fewer_posts_is_asked_first(tmp_path, text):
    """A common tag leaves so many posts that SQLite scans all for a date anyway."""
    rows = [post_row(post_id, created_at=f"{2000 + post_id}-01-01") for post_id in range(1, 31)]
    write(tmp_path / "a.db", rows, lambda post_id: ["solo", "1girl"][: 1 + (post_id < 3)])
    statements = []
    with hb.open(tmp_path / "a.db") as db, tracing(db, statements):
        predicates = [
            part.predicate for part in walk(db.posts.search(text).step) if isinstance(part, Filtered)
        ]
        Filters(db, db.cache.columns, predicates).keep(few_posts=0)
    queries = [sql for sql in statements if "created_at" in sql or "WHERE tag_id = ?" in sql]
    assert ("created_at" in queries[0]) == ("solo" in text)
