"""One plan: it runs, is counted and is printed; all ways to run it give the posts of the slow, obvious way."""

from __future__ import annotations

import itertools
import random
import re
import shutil
from collections import Counter
from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hakubooru as hb
from booru import TAGS, post_row, random_row, tracing, write
from hakubooru import Post
from hakubooru.engine.filters import Filters, sort_in_sqlite
from hakubooru.engine.optimize import optimize
from hakubooru.engine.sorting import can_sort, sort_by_columns
from hakubooru.select.sampling import keys
from hakubooru.select.steps import Filtered, walk

NAMES = [name for name, _ in TAGS]
DATES = (
    "2011-01-01",
    "2011-01-01T00:00",
    "2010-12-31T23:59:59.9-04:00",
    "2012",
    "",
    "2011-01-0x",
    "0000",
    "3000-1-1",
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file with odd dates, ids with gaps, and relations that are there twice or of no post; and its optimized copy."""
    folder = tmp_path_factory.mktemp("plans")
    draw = random.Random(5)
    ids = draw.sample(range(1, 400), 150)
    rows = [random_row(post_id, draw) for post_id in sorted(ids)]
    for row in rows:
        row["created_at"] = draw.choice(DATES)
        row["pixiv_id"] = draw.choice([None, 3, 9])
    bags = {row["id"]: draw.choices(NAMES, k=draw.randint(0, 5)) for row in rows}
    write(folder / "published.db", rows, bags.__getitem__)
    with hb.open(folder / "published.db", writable=True) as db, db.bind():
        hb.PostTagRelation.insert_many([{"post": 9999, "tag": 1}, {"post": 500, "tag": 2}]).execute()
    shutil.copy(folder / "published.db", folder / "optimized.db")
    with hb.open(folder / "optimized.db") as db:
        optimize(db, common=6, posts_a_bucket=32, rows_a_read=50)
    return folder


@pytest.fixture(scope="module")
def posts(files):
    with hb.open(files / "published.db") as db:
        return {post.id: (post, {tag.name for tag in post.tags}) for post in db.posts.posts()}


FILTERS = [
    (lambda s: s.ids(100, 260), lambda p, tags: 100 <= p.id < 260),
    (lambda s: s.ids(1, 30), lambda p, tags: p.id < 30),
    (lambda s: s.rating("g", "e"), lambda p, tags: p.rating in {"general", "explicit"}),
    (lambda s: s.score(min=3), lambda p, tags: p.score >= 3),
    (lambda s: s.without_gold(), lambda p, tags: p.md5 is not None or p.is_banned),
    (lambda s: s.with_image(), lambda p, tags: p.md5 and p.file_ext in {"jpg", "png", "webp", "avif"}),
    (lambda s: s.where(Post.parent_id == 1), lambda p, tags: p.parent_id == 1),
    (lambda s: s.where(Post.source == ""), lambda p, tags: p.source == ""),
    (lambda s: s.tagged("solo", "1girl"), lambda p, tags: {"solo", "1girl"} <= tags),
    (
        lambda s: s.tagged(any=["solo", "comic"], none=["o_o"]),
        lambda p, tags: tags & {"solo", "comic"} and "o_o" not in tags,
    ),
    (lambda s: s.tagged(none=["solo"]), lambda p, tags: "solo" not in tags),
    (
        lambda s: s.where(hb.tagged("solo") | hb.score(min=20)),
        lambda p, tags: "solo" in tags or p.score >= 20,
    ),
    (lambda s: s.where(hb.tagged("solo") & hb.score(min=2)), lambda p, tags: "solo" in tags and p.score >= 2),
    (lambda s: s.date(min="2011", max="2011"), lambda p, tags: "2011-01-01" <= p.created_at < "2012-01-01"),
    (lambda s: s.search("date:<2011-01-01"), lambda p, tags: p.created_at < "2011-01-01"),
    (lambda s: s.search("tagcount:2"), lambda p, tags: len(tags) == 2),
    (lambda s: s.search("chartags:>0"), lambda p, tags: "illaoi" in tags),
    (lambda s: s.ids(100, 150).tagged("solo"), lambda p, tags: 100 <= p.id < 150 and "solo" in tags),
    (
        lambda s: s.search("solo date:2011"),
        lambda p, tags: "solo" in tags and "2011" <= p.created_at < "2012",
    ),
]
"""Filters, each with the slow way to say whether a post matches."""
ORDERS = [
    (("-score", "id"), lambda p: (-p.score, p.id)),
    (("-fav_count",), lambda p: (-p.fav_count, -p.id)),
    (("parent_id", "-id"), lambda p: (p.parent_id or -1, -p.id)),
    (("created_at", "id"), lambda p: (p.created_at, p.id)),
]
steps = st.one_of(
    st.sampled_from(FILTERS).map(lambda choice: ("filter", choice)),
    st.sampled_from(ORDERS).map(lambda choice: ("order", choice)),
    st.integers(0, 60).map(lambda n: ("limit", n)),
    st.integers(0, 9).map(lambda seed: ("sample", seed)),
    st.sets(st.integers(1, 400), max_size=30).map(lambda ids: ("among", ids)),
)


def apply(selection, kind, value):
    match kind:
        case "filter":
            return value[0](selection)
        case "order":
            return selection.order_by(*value[0])
        case "limit":
            return selection.limit(value)
        case "sample":
            return selection.sample(fraction=0.5, seed=value)
        case _:
            return selection.among(value)


def slowly(posts, ids, kind, value):
    match kind:
        case "filter":
            return [post_id for post_id in ids if value[1](*posts[post_id])]
        case "order":
            return sorted(ids, key=lambda post_id: value[1](posts[post_id][0]))
        case "limit":
            return ids[:value]
        case "sample":
            size = int(len(ids) / 2 + 0.5)
            key = dict(zip(ids, keys(np.array(ids, np.int64), value).tolist(), strict=True))
            sample = set(sorted(ids, key=key.get)[:size])
            return [post_id for post_id in ids if post_id in sample]
        case _:
            return [post_id for post_id in ids if post_id in value]


SETS = {
    "left": (lambda a, b: a, lambda a, b: a),
    "|": (lambda a, b: a | b, lambda a, b: sorted({*a, *b})),
    "&": (lambda a, b: a & b, lambda a, b: sorted({*a} & {*b})),
    "-": (lambda a, b: a - b, lambda a, b: sorted({*a} - {*b})),
}
selections = st.tuples(st.lists(steps, max_size=5), st.lists(steps, max_size=2), st.sampled_from(list(SETS)))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(selections, st.booleans())
def test_every_way_gives_what_the_slow_way_gives(files, posts, selection, columns_first):
    *sides, operator = selection
    combine, slowly_combined = SETS[operator]
    expected = slowly_combined(
        *(reduce(lambda ids, step: slowly(posts, ids, *step), side, sorted(posts)) for side in sides)
    )
    for name, with_funnel in itertools.product(("published.db", "optimized.db"), (False, True)):
        with hb.open(files / name) as db:
            if columns_first:
                db.posts.count()
            result = combine(
                *(reduce(lambda narrowed, step: apply(narrowed, *step), side, db.posts) for side in sides)
            )
            if with_funnel:
                assert result.funnel_rows()[-1].posts == len(expected)
            assert result.to_ids().tolist() == expected


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(steps, max_size=4))
def test_what_is_explained_is_what_runs(files, steps):
    """Where the plan names SQLite or lists, there are statements on posts or relations, and else there are none."""
    with hb.open(files / "optimized.db") as db:
        selection = db.posts
        for step in steps:
            selection = apply(selection, *step)
        statements = []
        with tracing(db, statements):
            hows = [line[60:] for line in selection.explain().splitlines()[1:]]
            assert statements == []
            selection.to_ids()
        is_asked = any("SQLite" in how or "looked up" in how for how in hows)
        is_run = any('FROM "post"' in sql or "posttagrelation" in sql for sql in statements)
        assert is_run <= is_asked
        assert len(hows) >= len(steps)


@pytest.mark.parametrize(
    "few_posts", [0, 60, 10**6], ids=["tags listed", "tags of some", "tags of each post"]
)
@pytest.mark.parametrize("few", [1, 10**9], ids=["SQLite", "NumPy"])
@pytest.mark.parametrize("narrow", [narrow for narrow, _ in FILTERS])
def test_few_posts_and_many_give_the_same(files, narrow, few, few_posts):
    with hb.open(files / "published.db") as db:
        source = db.posts.sample(fraction=0.6, seed=1).to_ids()
        selection = narrow(db.posts)
        matching = selection.to_ids()
        expected = [post_id for post_id in source.tolist() if post_id in matching]
        predicates = [part.predicate for part in walk(selection.step) if isinstance(part, Filtered)]
    with hb.open(files / "published.db") as db:
        filters = Filters(db, db.cache.columns, predicates)
        assert filters.keep(source, few=few, few_posts=few_posts).tolist() == expected
        assert filters.keep(few=few, few_posts=few_posts).tolist() == matching.tolist()


@pytest.mark.parametrize("limit", [None, 0, 1, 7, 10**6])
@pytest.mark.parametrize(
    "terms",
    [
        (Post.score.desc(), Post.id.asc()),
        (Post.parent_id.asc(), Post.id.desc()),
        (Post.pixiv_id.desc(), Post.score.asc(), Post.id.asc()),
        ((Post.image_width * Post.score).desc(), Post.id.desc()),
        (Post.score, Post.id),
    ],
)
def test_columns_sort_as_sqlite_does(files, terms, limit):
    with hb.open(files / "optimized.db") as db:
        columns = db.cache.columns
        assert can_sort(columns, terms)
        assert sort_by_columns(columns, terms, limit).tolist() == sort_in_sqlite(db, terms, limit).tolist()
        some = db.posts.rating("g").to_ids()
        expected = sort_in_sqlite(db, terms, limit, [hb.rating("g")]).tolist()
        backwards = columns.some(columns.indices(some[::-1]))
        assert sort_by_columns(backwards, terms, limit).tolist() == expected
        mask = np.isin(columns.ids, some)
        assert sort_by_columns(columns, terms, limit, mask).tolist() == expected


@pytest.mark.parametrize(
    "text",
    ["date:2011", "date:<2011-01-01", "age:>1d", "tagcount:2", "gentags:1..2", "order:score", "order:favcount limit:5",
     "order:random", "order:random limit:5", "1girl order:mpixels", "order:tagcount", "order:upvotes_asc limit:3"],
)  # fmt: skip
def test_a_sidecar_answers_without_the_posts(files, text):
    with hb.open(files / "optimized.db") as db, hb.open(files / "published.db") as other:
        statements = []
        with tracing(db, statements):
            ids = db.posts.search(text).to_ids().tolist()
        assert not [
            sql
            for sql in statements
            if 'FROM "post"' in sql or "FROM post " in sql or "posttagrelation" in sql
        ]
        assert ids == other.posts.search(text).to_ids().tolist()


def test_years_are_those_of_the_dates(files, posts):
    digits = [re.match("[0-9]{0,4}", post.created_at)[0] for post, _ in posts.values()]
    expected = Counter(str(int(year or 0)) if int(year or 0) else "none" for year in digits)
    for name in ("published.db", "optimized.db"):
        with hb.open(files / name) as db:
            assert db.posts.stats().years == expected


def test_captions_are_those_of_the_file(files):
    with hb.open(files / "optimized.db") as db, hb.open(files / "published.db") as other:
        for caption in ("kohaku-epsilon", {"base": "kohaku-epsilon", "repeats": True}):
            fresh, old = (
                hb.Captioner(source, caption).captions(source.posts.to_ids()) for source in (db, other)
            )
            assert list(fresh) == list(old)


def test_a_function_of_python_is_found(tmp_path):
    from peewee import fn

    write(tmp_path / "a.db", [post_row(1, score=3), post_row(2, score=4)])
    with hb.open(tmp_path / "a.db") as db:
        db.peewee.register_function(lambda score: score % 2, "is_odd")
        assert db.posts.where(fn.is_odd(Post.score) == 1).to_ids().tolist() == [1]
