"""Samples per group, beside the slow, obvious way."""

from __future__ import annotations

import random
import re
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hakubooru as hb
from booru import post_row, tracing, write
from hakubooru import Tag
from hakubooru.engine.groups import Smallest, sample_per, with_room
from hakubooru.engine.optimize import optimize
from hakubooru.errors import InputError
from hakubooru.select.sampling import keys
from hakubooru.store.schema import PostTagRelation

POSTS = 240


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    path = tmp_path_factory.mktemp("groups") / "posts.db"
    draw = random.Random(9)
    rows = [
        post_row(
            post_id,
            rating=draw.choice(["general", "sensitive", "explicit"]),
            created_at=draw.choice(["2019-01-01", "2020-12-31", "2021-05-05", "", "0000"]),
        )
        for post_id in range(1, POSTS + 1)
    ]
    write(path, rows)
    with hb.open(path, writable=True) as db, db.bind():
        Tag.insert_many(
            {"id": 100 + place, "name": f"tag{place}", "type": kind, "popularity": 0}
            for place, kind in enumerate(["character"] * 7 + ["artist"] * 3 + ["general"] * 4)
        ).execute()
        pairs = [(post_id, 100 + draw.randrange(14)) for post_id in range(1, POSTS + 1) for _ in range(4)]
        draw.shuffle(pairs)  # a post's tags lie apart, and some stand there twice
        pairs.append((9999, 101))  # of no post
        PostTagRelation.insert_many([{"post": post, "tag": tag} for post, tag in pairs]).execute()
    with hb.open(path) as database:
        yield database


def members(db, by) -> dict[object, set[int]]:
    ids_by_group = defaultdict(set)
    for post in db.posts.posts():
        if by == "rating":
            ids_by_group[post.rating].add(post.id)
        elif by == "year":
            ids_by_group[post.created_at[:4].strip("0")].add(post.id)
        else:
            for tag in post.tags_of(by):
                ids_by_group[tag.name].add(post.id)
    return ids_by_group


def expected(db, source, by, at_most, seed) -> list[int]:
    ids = source.to_ids()
    key = dict(zip(ids.tolist(), keys(ids, seed).tolist(), strict=True))
    chosen = set()
    for group in members(db, by).values():
        chosen |= set(sorted(group & set(key), key=key.__getitem__)[:at_most])
    return [post_id for post_id in ids.tolist() if post_id in chosen]


@pytest.mark.slow
@pytest.mark.parametrize("by", ["character", "artist", "copyright", "rating", "year"])
@pytest.mark.parametrize("at_most", [0, 1, 7, 1000])
@pytest.mark.parametrize("few", [0, 10**9], ids=["looked up", "scanned"])
def test_takes_the_smallest_keys_of_each_group(db, by, at_most, few):
    for source in (
        db.posts,
        db.posts.sample(90, seed=4),
        db.posts.order_by("-id").limit(60),
        db.posts.limit(0),
    ):
        ids = sample_per(db, source.to_ids(), by, at_most, 3, few=few)
        assert ids.tolist() == expected(db, source, by, at_most, 3)
        assert ids.dtype == np.int64


def one_by_one(groups, at_most):
    """The posts that are taken one after the other, each if all of its groups have room."""
    counts, picks = defaultdict(int), []
    for post, its_groups in groups.items():
        if its_groups and all(counts[group] < at_most for group in its_groups):
            picks.append(post)
            for group in its_groups:
                counts[group] += 1
    return picks


@pytest.mark.parametrize("by", ["character", "artist", "rating", "year"])
@pytest.mark.parametrize("at_most", [0, 1, 7, 1000])
def test_a_strict_bound_holds_for_every_group(db, by, at_most):
    ids = db.posts.sample(200, seed=4).sample_per(by, at_most=at_most, seed=3, strict=True).to_ids().tolist()
    source = db.posts.sample(200, seed=4).to_ids()
    groups = members(db, by)
    in_order = sorted(
        source.tolist(), key=dict(zip(source.tolist(), keys(source, 3).tolist(), strict=True)).get
    )
    of_post = {post: {name for name, posts in groups.items() if post in posts} for post in in_order}
    assert ids == sorted(one_by_one(of_post, at_most))
    assert all(len(posts & set(ids)) <= at_most for posts in groups.values())


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(st.sets(st.integers(0, 5), max_size=4), max_size=30), st.integers(0, 6), st.integers(1, 7))
def test_posts_are_taken_in_rounds_as_one_by_one(groups, at_most, posts_a_round):
    pairs = [rank << 32 | group for rank, its_groups in enumerate(groups) for group in its_groups]
    picks = with_room(np.array(pairs, np.int64), at_most, posts_a_round=posts_a_round)
    assert picks.tolist() == one_by_one(dict(enumerate(groups)), at_most)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20)), max_size=12), max_size=6),
    st.integers(0, 5),
    st.sampled_from([0, 10, 1000]),
)
def test_smallest_is_that_of_all_pieces_together(pieces, at_most, pending):
    smallest = Smallest(at_most, 4, pending=pending)
    for piece in pieces:
        group, place = np.array(piece, np.int64).reshape(-1, 2).T
        smallest.add(group, place)
    pairs = {pair for piece in pieces for pair in piece}
    best = [place for group in range(4) for place in sorted(p for g, p in pairs if g == group)[:at_most]]
    assert sorted(smallest.ranks().tolist()) == sorted(best)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["character", "artist"])
def test_the_sidecar_tells_the_same(db, tmp_path, by):
    copy = tmp_path / "copy.db"
    copy.write_bytes(db.path.read_bytes())
    with hb.open(copy) as other:
        optimize(other)
    with hb.open(copy) as other:
        for at_most in (0, 3, 1000):
            for narrow in (lambda s: s, lambda s: s.sample(90, seed=4).order_by("-id")):
                ids = narrow(db.posts).to_ids()
                for few in (0, 10**9):
                    sample = sample_per(other, ids, by, at_most, 3, few=few)
                    assert sample.tolist() == expected(db, narrow(db.posts), by, at_most, 3)
                    strictly = sample_per(other, ids, by, at_most, 3, strict=True, few=few)
                    assert strictly.tolist() == sample_per(db, ids, by, at_most, 3, strict=True).tolist()
        assert other.cache.columns.know_tags


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10), st.integers(0, 10), st.integers(-(2**63), 2**64))
def test_a_larger_sample_contains_the_smaller(db, one, other, seed):
    small, large = (
        set(db.posts.sample_per("artist", at_most=n, seed=seed).to_ids().tolist())
        for n in sorted((one, other))
    )
    assert small <= large


def test_new_posts_displace_few(db):
    """Who is in a group's sample hangs on nobody outside the group."""
    all_of_them = db.posts.sample_per("rating", at_most=5, seed=1)
    only = db.posts.rating("general").sample_per("rating", at_most=5, seed=1)
    assert all_of_them.rating("general").to_ids().tolist() == only.to_ids().tolist()


def test_nothing_is_read_but_the_tags_of_the_type(db):
    statements = []
    with hb.open(db.path) as fresh, tracing(fresh, statements):
        fresh.posts.sample_per("artist", at_most=2, seed=1).to_ids()
    of_relations = {sql for sql in statements if "posttagrelation" in sql and "MIN(id)" not in sql}
    assert {re.search("tag_id IN|relation.id =", sql)[0] for sql in of_relations} == {
        "tag_id IN",
        "relation.id =",
    }


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda s: s.sample_per("characters", at_most=5, seed=1), "'character'"),
        (lambda s: s.sample_per("general", at_most=5, seed=1), "cannot group by 'general'"),
        (lambda s: s.sample_per("artist", at_most=-1, seed=1), "at_most= of 0 or more, not -1"),
        (lambda s: s.sample_weighted("id", 5, seed=1), "cannot weigh posts by 'id'"),
        (lambda s: s.sample_weighted("score", -5, seed=1), "takes 0 posts or more, not -5"),
    ],
)
def test_mistakes(db, make, message):
    with pytest.raises(InputError, match=message):
        make(db.posts)


def test_shows_itself(db):
    assert repr(db.posts.sample_per("artist", at_most=1000, seed=2)).endswith(
        "sample of at most 1,000 per artist, seed 2>"
    )
    strict = db.posts.sample_per("artist", at_most=5, seed=2, strict=True)
    assert repr(strict).endswith("sample of strictly at most 5 per artist, seed 2>")
    assert repr(db.posts.sample_weighted("score", 1000, seed=2)).endswith(
        "sample of 1,000 weighted by score, seed 2>"
    )
