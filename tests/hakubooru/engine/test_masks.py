"""NumPy's answers are SQLite's."""

from __future__ import annotations

import operator
import sqlite3

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from peewee import fn

import hakubooru as hb
from booru import write_random
from hakubooru import Post
from hakubooru.engine.columns import DATES, NUMBERS, TRAITS, FileColumns
from hakubooru.engine.masks import LeftToSQLiteError, truth
from hakubooru.select.predicates import predicate

numbers = st.integers(-10, 210) | st.floats(-10, 210).map(lambda number: round(number, 1))
plain = st.sampled_from(
    [Post.id, Post.score, Post.fav_count, Post.image_width, Post.parent_id, Post.pixiv_id, Post.down_score]
)
values = (
    plain
    | st.builds(operator.mul, plain, numbers)
    | st.builds(operator.add, plain, plain)
    | plain.map(fn.ABS)
)
comparisons = st.sampled_from([operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge])
leaves = st.one_of(
    st.builds(lambda compare, value, number: compare(value, number), comparisons, values, numbers),
    st.builds(lambda value, low, high: value.between(low, high), plain, numbers, numbers),
    st.builds(lambda value, some: value.in_(some), plain, st.lists(numbers, max_size=4)),
    st.builds(lambda value, some: value.not_in(some), plain, st.lists(numbers, min_size=1, max_size=4)),
    st.builds(
        lambda value, null: value.is_null(null),
        st.sampled_from([Post.parent_id, Post.md5, Post.file_url]),
        st.booleans(),
    ),
    st.builds(Post.file_ext.in_, st.lists(st.sampled_from(["jpg", "png", "gif", "mp4"]), max_size=3)),
    st.builds(lambda name: Post.rating >= name, st.sampled_from(["general", "questionable"])),
    st.builds(lambda flag: Post.is_deleted == flag, st.booleans()),
    st.sampled_from([hb.gold(), hb.with_image(), hb.rating("s", "e"), hb.score(min=2, max=20)]),
)
questions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(operator.and_, inner, inner),
        st.builds(operator.or_, inner, inner),
        st.builds(operator.invert, inner),
    ),
    max_leaves=8,
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(questions)
@example(~Post.parent_id.in_([]))
def test_what_numpy_finds_is_what_sqlite_finds(db, question):
    condition = predicate(question)
    expected = [post.id for post in db.execute(Post.select(Post.id).where(condition).order_by(Post.id))]
    columns = db.cache.columns
    assert columns.ids[truth(condition, columns).true].tolist() == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    "question",
    [
        Post.source == "x",
        Post.created_at > "2010",
        Post.score / 2 > 3,
        Post.score % 2 == 1,
        Post.file_ext == "jpeg",
        Post.file_ext > "jpg",
        Post.md5 == "0" * 32,
        fn.LOWER(Post.file_ext) == "jpg",
        hb.tagged("solo"),
        Post.id.in_(Post.select(Post.parent_id)),
        Post.score == None,  # noqa: E711
        Post.score > 2**63,
    ],
)
def test_the_rest_is_left_to_sqlite_and_answered(db, question):
    with pytest.raises(LeftToSQLiteError):
        truth(predicate(question), db.cache.columns)
    if question is not Post:
        assert db.cache.columns.ids is not None
        try:
            expected = [
                post.id for post in db.execute(Post.select(Post.id).where(question).order_by(Post.id))
            ]
        except OverflowError:
            return
        assert db.posts.where(question).to_ids().tolist() == expected


@pytest.mark.parametrize("posts", [0, 1, 700])
def test_columns_are_those_of_the_file(tmp_path, posts):
    write_random(tmp_path / "a.db", count=posts, first_id=5)
    with hb.open(tmp_path / "a.db") as db:
        columns = FileColumns(db, posts_a_batch=97)
        rows = db.rows("SELECT * FROM post ORDER BY id")
        names = [row[1] for row in db.rows("PRAGMA table_info(post)")]
        by_name = {name: [row[place] for row in rows] for place, name in enumerate(names)}
        for name in (
            "id",
            "score",
            "fav_count",
            "image_width",
            "rating",
            "is_deleted",
            "has_large",
            "down_score",
        ):
            assert columns[name].tolist() == by_name[name]
        assert columns["parent_id"].tolist() == [
            -1 if value is None else value for value in by_name["parent_id"]
        ]
        assert columns["lacks_md5"].tolist() == [value is None for value in by_name["md5"]]
        seconds = db.rows("SELECT strftime('%s', created_at) FROM post ORDER BY id")
        assert columns["created_at"].tolist() == [int(value) for (value,) in seconds]
        assert columns.span() == ((5, 5 + posts) if posts else (0, 0))


def test_every_column_can_be_read(db):
    for name in ("id", *NUMBERS, *TRAITS, *DATES):
        assert len(db.cache.columns[name]) == 200


def test_numbers_wider_than_four_bytes_stay_whole(path):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE post SET file_size = ? WHERE id = 7", [2**40])
    connection.close()
    with hb.open(path) as db:
        assert db.cache.columns["file_size"][6] == 2**40
        assert db.posts.where(Post.file_size > 2**39).to_ids().tolist() == [7]
        assert np.array_equal(db.posts.where(Post.file_size * 4 > 2**41).to_ids(), [7])


def test_values_of_posts_are_those_at_their_ids(db):
    columns = db.cache.columns
    for step in (1, 3, 50):  # one after another, and so few that they are searched
        ids = columns.ids[::-step]
        assert columns.ids[columns.indices(ids)].tolist() == ids.tolist()
        assert columns.at(columns["score"], ids).tolist() == columns["score"][::-step].tolist()
