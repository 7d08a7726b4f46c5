"""What Python reads otherwise than it looks is refused; all else is peewee's."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from peewee import Context, fn, prefetch

import hakubooru as hb
from booru import write_random
from hakubooru import Post, PostTagRelation, Tag
from hakubooru.errors import InputError


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    path = tmp_path_factory.mktemp("expressions") / "posts.db"
    write_random(path)
    with hb.open(path) as database:
        yield database


MISREAD = {
    "Post.score > 20 & hb.rating('g')": lambda: Post.score > 20 & hb.rating("g"),
    "numpy's number & …": lambda: Post.score > np.int64(20) & hb.rating("g"),
    "column & predicate": lambda: Post.score > Post.fav_count & hb.rating("g"),
    "sum & predicate": lambda: Post.score > Post.fav_count + 1 & hb.rating("g"),
    "function & predicate": lambda: Post.score > fn.ABS(Post.down_score) & hb.rating("g"),
    "flag == flag & …": lambda: Post.is_deleted == Post.is_banned & hb.rating("g"),
    "flag == True & …": lambda: Post.is_deleted == True & hb.rating("g"),
    "== 1 | … == 2": lambda: Post.score == 1 | Post.score == 2,
    "column & number": lambda: Post.bit_flags & 1,
    "column | number": lambda: Post.score | 1,
    "number & column": lambda: 1 & Post.score,
    "column ^ number": lambda: Post.score ^ 1,
    "comparison & number": lambda: (Post.score > 1) & 1,
    "comparison & False": lambda: (Post.score > 1) & False,
    "predicate & number": lambda: hb.rating("g") & 5,
    "text | predicate": lambda: "solo" | hb.rating("g"),
    "predicate ^ predicate": lambda: hb.rating("g") ^ hb.tagged("solo"),
    "~column > number": lambda: ~Post.score > 20,
    "~column == number": lambda: ~Post.score == 5,
    "~sum": lambda: ~(Post.score + 1),
    "-column > number": lambda: -Post.score > 5,
    "number > -column": lambda: -Post.down_score < Post.score,
    "column > -column": lambda: Post.score > -Post.down_score,
    "-predicate": lambda: -hb.tagged("comic"),
    "predicate - predicate": lambda: hb.rating("g") - hb.tagged("comic"),
    "predicate > number": lambda: hb.score(min=3) > 20,
    "column == predicate": lambda: Post.rating == hb.rating("g"),
    "join == number": lambda: ((Post.score > 3) & (Post.id > 2)) == 1,
    "and": lambda: Post.rating == "g" and Post.score > 3,
    "and of predicates": lambda: hb.rating("g") and hb.tagged("solo"),
    "or": lambda: hb.rating("g") or hb.tagged("solo"),
    "not": lambda: not hb.rating("g"),
    "not of a flag": lambda: not Post.is_deleted,
    "a flag and": lambda: Post.is_deleted and hb.rating("g"),
    "10 < … < 20": lambda: 10 < Post.score < 20,
    "in a list": lambda: Post.score in [1, 2],
    "predicate in expressions": lambda: hb.rating("g") in [Post.score > 1, Post.id > 3],
    "if": lambda: 1 if Post.score > 3 else 2,
    "if of a negation": lambda: bool(~(Post.score > 3)),
    "any()": lambda: any([Post.score > 3, Post.score < 0]),
    "between and in_": lambda: Post.score.between(1, 3) and Post.id.in_([1]),
    "sum compared, and": lambda: Post.score + 1 > 3 and Post.id > 2,
    "Tag": lambda: Tag.name == "solo" and Tag.type == "general",
    "relation": lambda: PostTagRelation.tag == 3 or PostTagRelation.post == 4,
    "text": lambda: Post.source.contains("x") and Post.score > 1,
    "alias": lambda: Post.alias().score > 3 and Post.score > 1,
    "selections": lambda: hb.Selection(None) and hb.Selection(None),
    "not a selection": lambda: not hb.Selection(None),
    "power": lambda: Post.score**2 > 4,
}


@pytest.mark.parametrize("expression", MISREAD.values(), ids=MISREAD)
def test_what_python_reads_otherwise_raises_with_the_right_spelling(expression):
    with pytest.raises(TypeError, match=r"write .*[&~|*.]") as caught:
        expression()
    assert isinstance(caught.value, InputError)


def test_what_is_spelt_rightly_finds_what_it_says(db):
    posts = {post.id: post for post in db.posts.posts()}

    def ids_of(question):
        return set(db.posts.where(question).to_ids().tolist())

    def expected(keep):
        return {number for number, post in posts.items() if keep(post)}

    assert ids_of((Post.score > 20) & hb.rating("g")) == expected(
        lambda p: p.score > 20 and p.rating == "general"
    )
    assert ids_of(hb.rating("g") & ~(Post.score > 20)) == expected(
        lambda p: p.score <= 20 and p.rating == "general"
    )
    assert ids_of(Post.is_deleted | (Post.score < 0)) == expected(lambda p: p.is_deleted or p.score < 0)
    assert ids_of((Post.score > 10) & (np.int64(20) > Post.score)) == expected(lambda p: 10 < p.score < 20)
    assert ids_of(Post.id % 10 == 3) == expected(lambda p: p.id % 10 == 3)
    assert ids_of(Post.id.in_(np.array([3, 7]))) == ids_of(Post.id << pd.Series([7, 3])) == {3, 7}
    assert ids_of(Post.bit_flags.bin_and(1) == 0) == set(posts)


@pytest.mark.parametrize(
    ("question", "keep"),
    [
        (Post.score >= 2.5, lambda p: p.score >= 2.5),
        (Post.score < 2.5, lambda p: p.score < 2.5),
        (Post.score == 2.5, lambda p: False),
        (Post.score <= float("inf"), lambda p: True),
        (Post.score.between(2.5, 5.0), lambda p: 3 <= p.score <= 5),
        (Post.image_width * 0.9 > Post.image_height, lambda p: p.image_width * 0.9 > p.image_height),
        (Post.image_height < Post.image_width * 0.9, lambda p: p.image_width * 0.9 > p.image_height),
        (Post.score < 2**70, lambda p: True),
        (hb.score(min=2.5), lambda p: p.score > 2),
    ],
)
def test_numbers_with_a_fraction_are_not_cut_off(db, question, keep):
    expected = [post.id for post in db.posts.posts() if keep(post)]
    assert db.posts.where(question).to_ids().tolist() == expected
    in_sqlite = Post.select(Post.id).where(question).order_by(Post.id)
    assert [post.id for post in db.execute(in_sqlite)] == expected


def test_a_number_column_takes_no_words():
    with pytest.raises(InputError, match="score must be compared with a number, not 'many'"):
        Context().sql(Post.score > "many").query()


def test_expressions_can_be_copied_and_sent():
    condition = (Post.score > 3) & hb.rating("g") & ~(Post.source + "x" == "y")
    for other in (pickle.loads(pickle.dumps(condition)), copy.deepcopy(hb.rating("g") & condition)):
        with pytest.raises(TypeError):
            bool(other)
    assert Context().sql(pickle.loads(pickle.dumps(condition))).query() == Context().sql(condition).query()


def test_peewee_works_as_ever(db):
    with db.bind():
        assert Post.get_or_none(Post.id == 999) is None
        assert Post.get_by_id(7).id == 7
        assert Post.get((Post.id == 7) & (Post.score > -100)).id == 7
        joined = Post.select(Post, Tag).join(PostTagRelation).join(Tag).where(Tag.name == "solo")
        assert joined.count() == db.posts.tagged("solo").count()
        other = Post.alias()
        parents = Post.select(Post.id).join(other, on=(other.parent_id == Post.id)).distinct()
        assert {post.id for post in parents} == {1, 2}
        by_rating = Post.select(Post.rating, fn.COUNT(Post.id).alias("n")).group_by(Post.rating)
        assert sum(row.n for row in by_rating.having(fn.COUNT(Post.id) > 0)) == 200
        assert [post.id for post in Post.select().order_by(-Post.id, +Post.score).limit(2)] == [200, 199]
        assert Post.filter(score__gt=20).count() == Post.select().where(Post.score > 20).count()
        relations = PostTagRelation.select().where(PostTagRelation.post == 3)
        [third] = prefetch(Post.select().where(Post.id == 3), relations)
        assert third.id == 3
        assert Tag.select().where(Tag.type.in_(["artist", "meta"])).count() == 2
        case = fn.SUM(Post.score > 3)
        assert Post.select(case).scalar() == sum(post.score > 3 for post in Post.select())
        assert {Post.score: 1, Post.id: 2}[Post.id] == 2
        assert Post.score in {Post.score, Post.id}


def test_peewee_writes_as_ever(path):
    with hb.open(path, writable=True) as db, db.bind():
        assert Post.update({Post.score: Post.score + 1.0}).where(Post.id == 3).execute() == 1
        assert Post.delete().where((Post.id == 4) | (Post.id == 5)).execute() == 2
        Tag.insert(name="new", type="meta", popularity=np.int64(3)).on_conflict_ignore().execute()
        assert Tag.get(Tag.name == "new").popularity == 3
        tag, is_new = Tag.get_or_create(name="new", defaults={"type": 0, "popularity": 0})
        assert (tag.name, is_new) == ("new", False)
        post = Post.get_by_id(3)
        post.score = 5.0
        post.save()
        assert db.rows("SELECT score, typeof(score) FROM post WHERE id = 3") == [(5, "integer")]
