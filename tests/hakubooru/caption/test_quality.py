"""Scales that are measured: of all posts, in a window of time, with ranks that fade, and of joined columns."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakubooru.caption import Captioner, CaptionFormat, Grades, QualityScale, caption_format
from hakubooru.caption.measuring import Posts as Measured
from hakubooru.caption.measuring import by_decay, by_rating, by_window, month_of
from hakubooru.caption.words import Judge
from hakubooru.errors import CaptionFormatError
from joined_columns import join

pytestmark = pytest.mark.usefixtures("cache")
HALVES = {"order": ["quality"], "quality": {"high": 50, "low": 0}, "quality_scale": "database"}


def posts_of(rows):
    """Columns of posts from rows of rating, month and number."""
    columns = [np.array(column) for column in zip(*rows, strict=True)] if rows else [np.empty(0, int)] * 3
    return Measured(*columns, np.ones(len(rows), int))


def labels(database, shape):
    return [text for _, text in Captioner(database, shape).captions(database.posts.to_ids())]


rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(24_190, 24_200), st.integers(-3, 12)), min_size=1, max_size=40
)
percents = st.sampled_from([(50.0,), (8.0, 20.0, 60.0, 82.0, 92.0), (0.5, 99.5)])


def obvious(numbers, percent):
    """The smallest number that at least so many percent do not exceed."""
    return next(
        (n for n in sorted(numbers) if sum(m <= n for m in numbers) >= len(numbers) * percent / 100), 0
    )


@given(rows, percents)
def test_all_posts_or_those_of_a_rating(rows, percents):
    posts = posts_of(rows)
    everyone = tuple(obvious([n for _, _, n in rows], p) for p in percents)
    assert by_rating(posts, percents, within="all") == (everyone,) * 4
    for rating, row in enumerate(by_rating(posts, percents, within="rating")):
        assert row == tuple(obvious([n for r, _, n in rows if r == rating], p) for p in percents)


@given(rows, percents, st.integers(1, 6))
def test_a_window_of_months_around_each(rows, percents, width):
    months = range(24_190, 24_201)
    values = by_window(posts_of(rows), percents, months, width, within="rating")
    for place, row in enumerate(values):
        rating, month = divmod(place, len(months))
        window = range(months[month] - width // 2, months[month] - width // 2 + width)
        assert row == tuple(
            obvious([n for r, m, n in rows if r == rating and m in window], p) for p in percents
        )


@given(rows, percents, st.sampled_from([0.25, 1.0, 7.0]))
def test_ranks_that_fade(rows, percents, half_life):
    """A post exceeds a threshold if its product of rank and fade exceeds the percentile of all products."""
    months = range(24_190, 24_201)
    values = by_decay(posts_of(rows), percents, months, half_life, within="rating")

    def product(rating, month, number):
        peers = [n for r, _, n in rows if r == rating]
        rank = sum(n <= number for n in peers) / len(peers)
        return rank * 0.5 ** ((months[-1] - month) / 12 / half_life)

    products = [product(*row) for row in rows]
    for rating, month, number in rows:
        for p, threshold in zip(percents, values[rating * len(months) + month - months[0]], strict=True):
            mine, limit = product(rating, month, number), obvious(products, p)
            if not math.isclose(mine, limit, rel_tol=1e-9):
                assert (number > threshold) == (mine > limit)


def test_a_set_of_no_posts_can_be_measured(booru):
    for extra in ({}, {"quality_months": 3}, {"quality_half_life": 1}):
        scale = caption_format(HALVES | extra).resolved(booru({})).quality_scale
        assert scale.values == ((0,),) * 4


def test_over_the_whole_set_ratings_are_judged_together(booru):
    posts = {n: ("", {"fav_count": n, "rating": "explicit" if n > 4 else "general"}) for n in range(1, 9)}
    db = booru(posts)
    assert labels(db, HALVES) == ["low", "low", "high", "high"] * 2
    assert labels(db, HALVES | {"quality_within": "all"}) == ["low"] * 4 + ["high"] * 4


def test_in_a_window_each_time_has_its_best(booru):
    posts = {
        n: ("", {"fav_count": n, "created_at": f"20{10 + n // 5}-06-0{1 + n % 5}T00:00:00-04:00"})
        for n in range(1, 10)
    }
    db = booru(posts | {10: ("", {"fav_count": 99, "created_at": ""})})
    window = HALVES | {"quality_months": 12}
    assert labels(db, HALVES)[:9] == ["low"] * 5 + ["high"] * 4
    # A post without a date is in no window.
    assert labels(db, window) == ["low", "low", "high", "high", *["low"] * 3, "high", "high", ""]


def test_a_lock_keeps_the_scale_of_each_month(booru):
    posts = {n: ("", {"fav_count": n, "created_at": f"2020-0{n}-02T00:00:00-05:00"}) for n in (1, 2, 5)}
    shape = Captioner(booru(posts), HALVES | {"quality_months": 1}).format
    table = shape.to_dict()
    assert table["quality_scale"]["general"] == {
        "2020-01": {"50": 1}, "2020-02": {"50": 2}, "2020-03": {"50": 0}, "2020-04": {"50": 0}, "2020-05": {"50": 5},
    }  # fmt: skip
    assert caption_format(table) == shape
    assert isinstance(caption_format(table).quality_scale, QualityScale)


def test_faded_ranks_prefer_young_posts(booru):
    posts = {
        n: ("", {"fav_count": n, "created_at": f"{2024 - (n > 4) * 10}-02-02T00:00:00-05:00"})
        for n in range(1, 9)
    }
    db = booru(posts)
    assert labels(db, HALVES) == ["low"] * 4 + ["high"] * 4
    assert labels(db, HALVES | {"quality_half_life": 1}) == ["high"] * 4 + ["low"] * 4
    assert labels(db, HALVES | {"quality_half_life": 1000}) == ["low"] * 4 + ["high"] * 4


def test_a_post_without_a_count_has_no_label(booru, tmp_path):
    import hakubooru as hb

    booru({1: ("", {"fav_count": 5}), 2: ("", {"fav_count": 1})}).close()
    with hb.open(tmp_path / "captions0.db", writable=True) as db:
        db.rows("PRAGMA writable_schema = 1")
        db.rows(
            "UPDATE sqlite_schema SET sql = replace(sql, '\"fav_count\" INTEGER NOT NULL', 'fav_count INTEGER')"
        )
    with hb.open(tmp_path / "captions0.db", writable=True) as db:
        db.rows("UPDATE post SET fav_count = NULL WHERE id = 2")
        assert labels(db, HALVES) == ["low", ""]
        assert labels(db, "kohaku-epsilon") == ["||| normal quality, old, safe", "||| old, safe"]


def test_values_name_the_numbers_themselves(booru):
    db = booru({n: ("", {"score": n}) for n in range(1, 6)})
    shape = {
        "order": ["quality"],
        "quality": {"best": 4, "good": 2.5},
        "quality_scale": "values",
        "quality_by": "score",
    }
    assert labels(db, shape) == ["", "", "good", "good", "best"]


SCORES = {1: 0.1, 2: 0.9, 5: 0.5}
SILVA = {
    "order": ["quality", "aesthetic"],
    "aesthetic": {"by": "silva", "scale": "values", "labels": {"pretty": 0.4}},
}


def test_a_joined_score_judges_the_posts_that_have_it(booru, tmp_path):
    db = join(booru({n: ("", {"fav_count": n}) for n in range(1, 6)}), tmp_path, silva=SCORES)
    assert labels(db, SILVA | {"quality": {"q": 0}}) == ["q", "q, pretty", "q", "q", "q, pretty"]
    measured = {"by": "silva", "scale": "database", "within": "all", "labels": {"top": 50, "low": 0}}
    shape = {"order": ["aesthetic"], "aesthetic": measured}
    assert labels(db, shape) == ["low", "top", "", "", "low"]
    windows = shape | {"aesthetic": measured | {"months": 600}}
    assert labels(db, windows) == ["low", "top", "", "", "low"]


def test_two_words_count_as_two_parts(booru, tmp_path):
    db = join(booru({1: ("solo", {"fav_count": 1})}), tmp_path, silva={1: 1.0})
    shape = SILVA | {"order": ["aesthetic", "general", "quality"], "quality": {"q": 0}}
    [result] = Captioner(db, shape).captioned(np.array([1]))
    assert result == (1, "pretty, solo, q", {"aesthetic": 1, "general": 1, "quality": 1})


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (
            {"quality_by": "slva"},
            "caption.quality_by = \"slva\" is not a column of the posts; join its file: --join slva=FILE; did you mean 'silva'?",
        ),
        (
            {"aesthetic": {"by": "sliva", "labels": {"a": 1}, "scale": "values"}},
            'caption.aesthetic.by = "sliva" is not a column',
        ),
        ({"order": ["text"], "text": "txt"}, "--join txt=FILE; there are: silva.value, silva, nl.value, nl"),
        ({"order": ["text"], "text": "silva"}, 'caption.text = "silva" has numbers; name a column of texts'),
        ({"quality_by": "nl"}, 'caption.quality_by = "nl" has texts; name a column of numbers'),
    ],
)
def test_a_column_that_is_not_joined_is_named(booru, tmp_path, extra, message):
    db = join(booru({1: ("", {})}), tmp_path, silva={1: 0.5}, nl={1: "a girl"})
    with pytest.raises(CaptionFormatError) as error:
        Captioner(db, SILVA | {"quality_scale": "database"} | extra)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"quality_months": 2, "quality_half_life": 1, "quality_scale": "database"}, "exclude each other"),
        ({"quality_months": 2}, 'caption.quality_months needs caption.quality_scale = "database"'),
        ({"quality_within": "all"}, 'write caption.quality_scale = "database"'),
        ({"quality_by": "silva"}, "percentiles were published for fav_count and score"),
        ({"quality_within": "al"}, "did you mean 'all'"),
        ({"quality": {"a": math.inf}, "quality_scale": "values"}, "write finite numbers"),
        ({"quality_scale": "database", "quality": {"a": 100}}, "caption.quality.a = 100; write a percentile"),
        (
            {"aesthetic": {"labels": {"a": -1}}},
            "caption.aesthetic.labels.a = -1; write a percentile from 0 up",
        ),
        (
            {"aesthetic": {"label": {"a": 1}}},
            "[caption.aesthetic] has no key 'label'; did you mean 'labels'?",
        ),
        ({"aesthetic": {"by": "score"}}, "caption.aesthetic.labels is missing"),
    ],
)
def test_what_does_not_go_together_is_named(shape, message):
    with pytest.raises(CaptionFormatError) as error:
        caption_format({"order": ["quality", "aesthetic"], "aesthetic": {"labels": {"a": 10}}} | shape)
    assert message in str(error.value)


def test_an_aesthetic_word_needs_its_table():
    with pytest.raises(CaptionFormatError, match=r"write \[caption.aesthetic\]"):
        CaptionFormat(order=("aesthetic",))


def test_months_of_days():
    assert month_of("2005-05-23") == 2005 * 12 + 4
    assert [month_of(day) for day in ("", "2005", "2005-13-01", "x005-01", "2005/01/01")] == [-1] * 5


def test_a_judge_tells_posts_of_no_rating_apart():
    judge = Judge(Grades(labels=(("a", 50), ("b", 0)), scale=QualityScale((50.0,), ((1,), (2,), (3,), (4,)))))
    places = judge(np.arange(6), np.array([0, 1, 2, 3, 4, -1]), np.array([2, 2, 9, 4, 9, 9]), None)
    assert judge.words == ["b", "a"]
    assert places.tolist() == [1, 0, 1, 0, -1, -1]
