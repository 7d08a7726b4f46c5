from __future__ import annotations

from html.parser import HTMLParser

import pytest

import hakubooru as hb
from hakubooru import Post


def every_step(db):
    base = (db.posts.ids(1, 101).sample(50, seed=1) | db.posts.ids(101)).without_deleted()
    base = base.tagged("solo").among(range(150)).sample_per("artist", at_most=50, seed=1)
    base = base.sample_weighted("image_width", 0, seed=1).best_of_family().where(Post.score < 10**6)
    return (base - db.posts.rating("g")).order_by("-score").shuffle(seed=1).limit(5)


class Checker(HTMLParser):
    """Every tag is closed in its turn."""

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def html_of(selection) -> str:
    checker = Checker()
    checker.feed(selection._repr_html_())
    assert checker.open == []
    return " ".join(checker.text)


def test_a_notebook_shows_steps_and_runs_nothing(db, statements):
    text = html_of(every_step(db))
    assert "not counted yet" in text
    for words in ("sample of 50, seed 1", "solo", "score < 1000000", "the first 5", "without the second"):
        assert words in text
    assert statements == []


def test_once_known_it_shows_count_and_first_posts(db, statements):
    selection = db.posts.search("order:score limit:30")
    ids = selection.to_ids()
    del statements[:]
    text = html_of(selection)
    assert "30 posts" in text
    assert len(statements) == 1
    posts = list(selection.limit(5).posts())
    assert [post.id for post in posts] == ids[:5].tolist()
    rows = selection._repr_html_().split("<tr>")[2:]
    assert [row.split("<td>")[1].split("<")[0] for row in rows] == [str(post.id) for post in posts]


def test_names_are_text(db):
    html = db.posts.where(hb.tagged("<script>"))._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_explains_every_step_and_reads_no_posts(db, statements):
    lines = every_step(db).explain().splitlines()
    assert all("MIN(id)" in statement for statement in statements)  # the first id and the last
    assert lines[0] == "posts.db: columns of the posts are read when they are first used, in one or two scans"
    how = {line[:60].strip(): line[60:].strip() for line in lines[1:]}
    assert how["id:1...101"] == "NumPy, over columns; SQLite, if it is about few posts"
    assert how["solo"] == "lists of the posts of each tag; SQLite, if it is about few posts"
    assert how["sample of at most 50 per artist, seed 1"].endswith("over a scan of the relations")
    assert "together" in how
    assert all(how.values())


def test_explains_what_is_known(db):
    selection = db.posts.rating("g")
    count = selection.count()
    assert selection.score(min=1).explain().splitlines()[1].endswith(f"known from before: {count:,} posts")
    assert selection.explain().splitlines()[0] == "posts.db: flags of the posts are in memory"


@pytest.mark.parametrize("optimized", [True, False])
def test_says_where_tags_are_looked_up(path, optimized):
    from hakubooru.engine.optimize import optimize

    with hb.open(path) as db:
        if optimized:
            optimize(db)
    with hb.open(path) as db:
        first, *_, last = db.posts.tagged("solo").explain().splitlines()
        assert ("sidecar" in first) == optimized
        assert (
            last[60:].strip()
            == (
                "NumPy, over columns"
                if optimized
                else "lists of the posts of each tag; SQLite, if it is about few posts"
            ).strip()
        )
        per_artist = db.posts.sample_per("artist", at_most=1, seed=1).explain()
        assert ("a scan of the relations" in per_artist) != optimized
        assert ("the posts of every artist" in per_artist) == optimized
