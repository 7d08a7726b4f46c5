"""Counts of what posts have in common: each is what the narrowed search finds."""

from __future__ import annotations

import random

import numpy as np
import pytest

import hakubooru as hb
from booru import TAGS, post_row, write
from gallery import ODD
from hakubooru.browse.answers import narrowed
from hakubooru.browse.facets import charts, common_tags, facets, labelled, tag_kinds


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    draw = random.Random(5)
    rows = [
        post_row(
            i,
            image_width=draw.choice([0, 10, 333, 512, 1000, 4000]),
            image_height=draw.choice([7, 500, 512, 1450, 3000]),
            score=draw.randint(-20, 250),
            fav_count=draw.randint(0, 300),
            rating=draw.choice(["general", "sensitive", "questionable", "explicit"]),
            file_ext=draw.choice(["jpg", "png", "avif", "zip", "heic"]),
        )
        for i in range(1, 400)
    ]
    names = [name for name, _ in TAGS] + [ODD]
    bags = {row["id"]: draw.sample(names, 4) for row in rows}
    path = tmp_path_factory.mktemp("facets") / "posts.db"
    write(path, rows, bags.__getitem__, [*TAGS, (ODD, "general")])
    with hb.open(path) as db:
        yield db


@pytest.mark.parametrize(
    "search", ["", "id:1", *(pytest.param(one, marks=pytest.mark.slow) for one in ("solo", "1girl or comic"))]
)
def test_a_count_is_what_the_narrowed_search_finds(db, search):
    ids = db.posts.search(search).to_ids()
    tags, is_exact = common_tags(db, ids, tag_kinds(db))
    assert is_exact
    entries = [
        entry
        for facet in (*facets(db, ids, labelled(db)), *charts(db, ids), *tags)
        for entry in facet.entries
    ]
    assert [entry.posts for entry in entries] == [
        db.posts.search(narrowed(search, entry.term, {})).count() for entry in entries
    ]
    assert len(entries) > 10


def test_every_post_is_counted_once(db):
    ids = db.posts.to_ids()
    counts = {
        facet.title: sum(entry.posts for entry in facet.entries)
        for facet in (*facets(db, ids, labelled(db)), *charts(db, ids))
    }
    assert {title for title, posts in counts.items() if posts == len(ids)} == {
        "Rating", "Quality", "Year", "Score", "Megapixels"
    }  # fmt: skip
    # A heic has no number, and a post without a width has no shape.
    assert counts["File type"] == db.posts.search("filetype:jpg,png,avif,zip").count()


def test_the_years_with_most_posts_are_shown_the_newest_first(db):
    ids = db.posts.to_ids()
    (year,) = (facet for facet in facets(db, ids, labelled(db)) if facet.title == "Year")
    counts = db.posts.stats().years
    assert [entry.words for entry in year.entries] == sorted(
        sorted(counts, key=lambda year: (counts[year], year))[-8:], reverse=True
    )
    assert {entry.words: entry.posts for entry in year.entries}.items() <= counts.items()


def test_nothing_has_nothing_in_common(db):
    nothing = np.empty(0, np.int64)
    assert [facet.entries for facet in (*facets(db, nothing, labelled(db)), *charts(db, nothing))] == [()] * 8
    assert common_tags(db, nothing, tag_kinds(db)) == ([], True)


def test_many_posts_are_estimated_from_some(db):
    tags, is_exact = common_tags(db, db.posts.to_ids(), tag_kinds(db), most=100)
    assert not is_exact
    estimate = {entry.words: entry.posts for facet in tags for entry in facet.entries}["solo"]
    assert abs(estimate - db.posts.search("solo").count()) < 60
