"""Published files have relations that stand there twice: whoever reads them gives each tag of a post once."""

from __future__ import annotations

import random

import pytest

import hakubooru as hb
from booru import TAGS, random_row, write
from hakubooru.caption import Captioner
from hakubooru.engine.optimize import optimize
from hakubooru.engine.tag_counts import tag_counts

NAMES = [name for name, _ in TAGS]


def build(path, *, doubled):
    """Posts with their tags once, or with some of them again: at once, later, and after all others."""
    draw = random.Random(7)
    rows = [random_row(post_id, draw) for post_id in range(1, 61)]
    bags = {row["id"]: draw.sample(NAMES, draw.randint(1, 6)) for row in rows}
    repeats = {post_id: [bag[0], *bag, *draw.choices(bag, k=3)] for post_id, bag in bags.items()}
    write(path, rows, (repeats if doubled else bags).__getitem__)


@pytest.fixture(scope="module", params=["as published", "optimized"])
def pair(request, tmp_path_factory):
    """A file with each relation once, and one with some of them twice."""
    folder = tmp_path_factory.mktemp("doubled")
    for name in ("once", "doubled"):
        build(folder / f"{name}.db", doubled=name == "doubled")
        if request.param == "optimized":
            with hb.open(folder / f"{name}.db") as db:
                optimize(db)
    with hb.open(folder / "once.db") as once, hb.open(folder / "doubled.db") as doubled:
        assert doubled.info().relations > once.info().relations
        yield once, doubled


READERS = {
    "captions": lambda db: list(db.posts.captions("kohaku-epsilon")),
    "captions of a few": lambda db: list(db.posts.limit(3).captions("webui")),
    "captions with parts": lambda db: list(Captioner(db).captioned(db.posts.to_ids())),
    "parts": lambda db: list(Captioner(db).parts(db.posts.to_ids())),
    "captions that are cut": lambda db: list(
        Captioner(db, {"base": "kohaku-epsilon", "max_tags": 3}).captioned(db.posts.to_ids())
    ),
    "tags of posts": lambda db: {post.id: [tag.name for tag in post.tags] for post in db.posts.posts()},
    "tags of a post": lambda db: [tag.name for tag in next(iter(db.posts.posts())).tags_of("general")],
    "tag counts": lambda db: db.posts.tag_counts().to_dict("list"),
    "tag counts of few": lambda db: tag_counts(db, db.posts.to_ids()[:2]).to_dict("list"),
    "tags by pattern": lambda db: db.tags.matching("*"),
    "tagged": lambda db: db.posts.tagged("solo").to_ids().tolist(),
    "number of tags": lambda db: [db.posts.search(f"tagcount:{n}").count() for n in range(7)],
    "in order of tags": lambda db: db.posts.search("order:gentags").to_ids().tolist(),
    "popularity": lambda db: db.posts.tag_popularity("general", min=20).to_ids().tolist(),
    "sample per tag": lambda db: db.posts.sample_per("character", at_most=5, seed=1).to_ids().tolist(),
    "sample per artist": lambda db: db.posts.sample_per("artist", at_most=500, seed=1).to_ids().tolist(),
    "abbreviation": lambda db: db.tags.abbreviated("lh"),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_doubled_relation_gives_its_tag_once(pair, reader):
    once, doubled = (READERS[reader](db) for db in pair)
    assert doubled == once
    assert once
