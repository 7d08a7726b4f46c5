"""What is given to the steps is checked where it is given, and taken in every form that has one meaning."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import hakubooru as hb
from booru import TAGS, post_row, write, write_random
from hakubooru import Post, PostTagRelation, Tag
from hakubooru.errors import InputError


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    path = tmp_path_factory.mktemp("arguments") / "posts.db"
    write_random(path)
    with hb.open(path) as database:
        yield database


NOT_WHOLE = [0.5, 2.7, 2.0, np.float64(2), True, np.True_, "3", None, [3], float("nan")]
WHOLE_STEPS = {
    "limit": lambda posts, value: posts.limit(value),
    "sample_per": lambda posts, value: posts.sample_per("rating", at_most=value, seed=1),
    "sample_weighted": lambda posts, value: posts.sample_weighted("fav_count", value, seed=1),
    "ids": lambda posts, value: posts.ids(value),
    "sample seed": lambda posts, value: posts.sample(3, seed=value),
    "sample_per seed": lambda posts, value: posts.sample_per("rating", at_most=3, seed=value),
    "sample_weighted seed": lambda posts, value: posts.sample_weighted("fav_count", 3, seed=value),
    "shuffle seed": lambda posts, value: posts.shuffle(seed=value),
}


@pytest.mark.parametrize("value", NOT_WHOLE, ids=repr)
@pytest.mark.parametrize("step", WHOLE_STEPS.values(), ids=WHOLE_STEPS)
def test_what_is_not_whole_is_refused(db, step, value):
    with pytest.raises(InputError, match="takes a whole number, not "):
        step(db.posts, value)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8, np.array], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("step", WHOLE_STEPS.values(), ids=WHOLE_STEPS)
def test_whole_numbers_of_any_type_are_those_of_python(db, step, kind):
    assert step(db.posts, kind(5)) == step(db.posts, 5)
    assert step(db.posts, kind(5)).count() == step(db.posts, 5).count() > 0


@pytest.mark.parametrize(
    ("n", "mend"),
    [
        (0.5, r"write fraction=0\.5"),
        (np.float32(0.25), r"write fraction=0\.25"),
        (2.7, "round it first"),
        (True, "whole"),
    ],
)
def test_a_sample_of_half_a_post_is_refused_with_the_mend(db, n, mend):
    with pytest.raises(InputError, match=mend):
        db.posts.sample(n, seed=1)


@pytest.mark.parametrize("fraction", [True, "0.5", -0.1, 1.1, float("nan"), [0.5]])
def test_a_fraction_is_a_number_from_0_to_1(db, fraction):
    with pytest.raises(InputError, match=r"write fraction=0\.5"):
        db.posts.sample(fraction=fraction, seed=1)


def test_fractions_and_seeds_of_any_type(db):
    half = db.posts.sample(fraction=0.5, seed=1).to_ids().tolist()
    assert len(half) == 100
    assert db.posts.sample(fraction=np.float64(0.5), seed=np.int64(1)).to_ids().tolist() == half
    assert db.posts.sample(100, seed=1 + 2**64).to_ids().tolist() == half
    below = db.posts.sample(100, seed=-1).to_ids().tolist()
    assert below == db.posts.sample(100, seed=2**64 - 1).to_ids().tolist() != half


@pytest.mark.parametrize("step", [lambda posts: posts.limit(2**70), lambda posts: posts.ids(0, 2**70)])
def test_numbers_that_sqlite_cannot_hold_are_refused(db, step):
    with pytest.raises(InputError, match="64 bits"):
        step(db.posts)


@pytest.mark.parametrize(
    ("one_list", "one_by_one"),
    [
        (hb.tagged(["solo", "comic"]), hb.tagged("solo", "comic")),
        (hb.tagged(("solo", "comic")), hb.tagged("solo", "comic")),
        (hb.tagged({"solo", "comic"}), hb.tagged("comic", "solo")),
        (hb.tagged(np.array(["solo"])), hb.tagged("solo")),
        (hb.tagged(any=pd.Series(["solo", "comic"])), hb.tagged(any=["solo", "comic"])),
        (hb.tagged(none={"solo"}), hb.tagged(none=["solo"])),
        (hb.tagged(pa.array(["solo", "comic"])), hb.tagged("solo", "comic")),
        (hb.tagged(all=pa.chunked_array([["solo"], ["comic"]])), hb.tagged("solo", "comic")),
        (hb.rating(pa.array([0, 1])), hb.rating("g", "s")),
        (hb.rating(["g", "s"]), hb.rating("g", "s")),
        (hb.rating(np.int64(1)), hb.rating("s")),
        (hb.file_type(["jpg", "png"]), hb.file_type("jpg", "png")),
        (hb.artist(["bespin"]), hb.artist("bespin")),
        (hb.character(["illaoi", "jinx"]), hb.character("illaoi", "jinx")),
        (hb.copyright(["league_of_legends"]), hb.copyright("league_of_legends")),
        (hb.score(min=np.int64(3)), hb.score(min=3)),
    ],
)
def test_one_list_stands_for_its_names(db, one_list, one_by_one):
    assert one_list == one_by_one
    assert db.posts.where(one_list) == db.posts.where(one_by_one)


def test_the_steps_take_lists_too(db):
    posts = db.posts
    assert posts.tagged(["solo"]) == posts.tagged("solo")
    assert posts.rating(["g", "e"]) == posts.rating("g", "e")
    assert posts.file_type(["jpg"]) == posts.file_type("jpg")
    assert posts.order_by(["-score", "id"]) == posts.order_by("-score", "id")
    assert posts.order_by([Post.score.desc()]) == posts.order_by(Post.score.desc())
    assert posts.where(Post.score > 3, hb.rating("g")) == posts.where(Post.score > 3).rating("g")


MISTAKES = {
    "no tag in a list": (lambda posts: posts.tagged([]), "needs a tag"),
    "no rating in a list": (lambda posts: posts.rating([]), "needs a rating"),
    "no extension in a list": (lambda posts: posts.file_type([]), "needs an extension"),
    "two lists": (lambda posts: posts.tagged(["solo"], ["comic"]), r"write tagged\('a', 'b'\)"),
    "a number as a tag": (lambda posts: posts.tagged(5), "takes names, and 5 is not one"),
    "a predicate as a tag": (lambda posts: posts.tagged(hb.rating("g")), r"write an expression as \.where"),
    "a number among any": (lambda posts: posts.tagged(any=[5]), "takes names"),
    "no list after all=": (lambda posts: posts.tagged(all=None), "takes names"),
    "true as a rating": (lambda posts: posts.rating([True]), "True is not one of general"),
    "a number as an extension": (lambda posts: posts.file_type([1]), "takes names"),
    "a list of ids": (lambda posts: posts.ids([1, 2]), r"write \.among\(\[1, 2\]\)"),
    "an array of ids": (lambda posts: posts.ids(np.array([1, 2])), r"write \.among\(\[1, 2\]\)"),
    "a number as a date": (lambda posts: posts.date(min=2019.5), r"a date such as 2024, .* not 2019\.5"),
    "NumPy's number as a date": (lambda posts: posts.date(max=np.float32(2019.5)), "a date such as 2024"),
    "a number as a type": (lambda posts: posts.tag_count(3), "one of general, .* and 3 is not"),
    "no column": (lambda posts: posts.to_pandas([]), "no columns are given"),
    "no order in a list": (lambda posts: posts.order_by([]), "needs a column"),
    "a number as an order": (lambda posts: posts.order_by(5), "order_by.. takes columns, not 5"),
    "a tag's column as an order": (
        lambda posts: posts.order_by(Tag.name.desc()),
        r"'name' is a column of another table",
    ),
    "a list of questions": (
        lambda posts: posts.where([Post.score > 3]),
        r"write where\(a & b\) if both must hold, where\(a \| b\) if one must",
    ),
    "no question": (lambda posts: posts.where(), "needs a condition"),
    "a number as a question": (lambda posts: posts.where(Post.score), "is not a condition on posts"),
    "an order as a question": (lambda posts: posts.where(-Post.score), "is not a condition on posts"),
    "a query as a question": (lambda posts: posts.where(Post.select()), "is not a condition on posts"),
    "a text as a question": (lambda posts: posts.where("score > 3"), "is not a condition on posts"),
    "a tag's column": (lambda posts: posts.where(Tag.name == "solo"), r"write hb\.tagged\('solo'\)"),
    "a tag's column within": (lambda posts: posts.where(hb.rating("g") & ~(Tag.id == 3)), "of another table"),
    "a relation's column": (lambda posts: posts.where(PostTagRelation.tag == 3), "of another table"),
    "a column of an alias": (lambda posts: posts.where(Post.alias().score > 3), "of another table"),
    "a list to search": (lambda posts: posts.search(["1girl"]), r"search\('1girl solo'\)"),
    "a list of groups": (
        lambda posts: posts.sample_per(["rating"], at_most=1, seed=1),
        "did you mean 'rating'",
    ),
    "a list of weights": (lambda posts: posts.sample_weighted(["score"], 1, seed=1), "cannot weigh posts"),
    "text as a bound": (lambda posts: posts.score(min="5"), "a range of score must be numbers, not '5'"),
    "NaN as a bound": (
        lambda posts: posts.fav_count(max=float("nan")),
        "a range of favcount must be numbers, not nan",
    ),
    "a list as a bound": (
        lambda posts: posts.size(min_width=[512]),
        r"a range of width must be numbers, not \[512\]",
    ),
}


@pytest.mark.parametrize(("ask", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_told_at_the_call(db, ask, message):
    with pytest.raises(InputError, match=message):
        ask(db.posts)


def test_a_column_may_stand_for_its_name(db):
    posts = db.posts
    assert posts.best_of_family(Post.fav_count) == posts.best_of_family("fav_count")
    weighted = posts.sample_weighted(Post.fav_count, 3, seed=1)
    assert weighted == posts.sample_weighted("fav_count", 3, seed=1)
    assert posts.to_arrow([Post.id, "score"]) == posts.to_arrow(["id", "score"])


def test_other_tables_may_be_asked_in_a_query_within(db):
    tags = Tag.select(Tag.id).where(Tag.name == "solo")
    within = Post.id.in_(PostTagRelation.select(PostTagRelation.post).where(PostTagRelation.tag.in_(tags)))
    assert db.posts.where(within).to_ids().tolist() == db.posts.tagged("solo").to_ids().tolist()


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (lambda posts: posts.search("ratio:>1"), [1]),
        (lambda posts: posts.search("ratio:<1"), [2]),
        (lambda posts: posts.search("ratio:>=0"), [1, 2]),
        (lambda posts: posts.search("ratio:0..9"), [1, 2]),
        (lambda posts: posts.search("ratio:any"), [1, 2]),
        (lambda posts: posts.search("ratio:none"), [3, 4, 5]),
        (lambda posts: posts.size(min_ratio=1), [1]),
        (lambda posts: posts.size(max_ratio=1), [2]),
        (lambda posts: posts.size(min_ratio=0.1, max_ratio="9:1"), [1, 2]),
    ],
)
def test_a_post_of_unknown_size_has_no_ratio(tmp_path, ask, expected):
    sizes = [(900, 600), (600, 900), (0, 0), (0, 600), (600, 0)]
    rows = [post_row(number, image_width=w, image_height=h) for number, (w, h) in enumerate(sizes, 1)]
    write(tmp_path / "sizes.db", rows, tags=TAGS)
    with hb.open(tmp_path / "sizes.db") as db:
        assert ask(db.posts).to_ids().tolist() == expected
        assert ask(db.posts.where(Post.source == "")).to_ids().tolist() == expected
