"""The arithmetic of scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakubooru_trainer.evaluate.scores import bootstrap, character_score, partners

NAN = pytest.approx(math.nan, nan_ok=True)


def test_a_character_is_scored_by_hand():
    """Two pictures, three references, two of another character."""
    differences = np.array(
        [
            [0.0, 0.9, 0.1, 0.3, 0.2, 0.9, 0.9],
            [0.9, 0.0, 0.8, 0.7, 0.2, 0.9, 0.9],
            [0.1, 0.8, 0.0, 0.1, 0.4, 0.1, 0.5],
            [0.3, 0.7, 0.1, 0.0, 0.2, 0.6, 0.7],
            [0.2, 0.2, 0.4, 0.2, 0.0, 0.8, 0.9],
            [0.9] * 7,
            [0.9] * 7,
        ]
    )
    score = character_score(differences, 2, 3, 0.2)
    assert score.pictures == pytest.approx((2 / 3, 1 / 3))
    assert score.score == pytest.approx(0.5)
    assert score.differences == pytest.approx((0.2, 1.7 / 3))
    assert score.difference == pytest.approx((0.6 + 1.7) / 6)
    assert score.ceiling == pytest.approx(4 / 6)  # 0.1 and 0.2, each seen from both sides
    assert score.ceiling_difference == pytest.approx(0.7 / 3)
    assert score.floor == pytest.approx(1 / 6)
    assert score.floor_difference == pytest.approx(3.6 / 6)
    assert (score.best, score.worst) == (0, 1)


def test_what_cannot_be_known_is_nan():
    score = character_score(np.array([[0.0, 0.1], [0.1, 0.0]]), 1, 1, 0.2)
    assert (score.score, score.ceiling, score.floor) == (1.0, NAN, NAN)


def test_of_equal_pictures_the_nearer_one_is_better():
    differences = np.full((4, 4), 0.5)
    differences[1, 3] = 0.4
    score = character_score(differences, 3, 1, 0.2)
    assert (score.best, score.worst) == (1, 0)


def test_an_interval_is_that_of_normal_theory_where_it_holds():
    values = np.random.default_rng(1).normal(0.5, 0.1, 400)
    interval = bootstrap(values, 4000, seed=3)
    error = values.std(ddof=0) / 20
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.0012)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.0012)
    assert bootstrap(values, 4000, seed=3) == interval
    assert bootstrap(np.append(values, np.nan), 100, seed=3) == bootstrap(values, 100, seed=3)
    assert tuple(bootstrap(np.array([np.nan]), 100, seed=3)) == (NAN, NAN, NAN)
    assert tuple(bootstrap(np.array([0.5]), 100, seed=3)) == (0.5, NAN, NAN)


@pytest.mark.slow
def test_an_interval_is_that_of_another_bootstrap():
    """Skewed values, where normal theory fails: how often each value is drawn is drawn in one step, by the multinomial."""
    values = np.random.default_rng(4).exponential(0.2, 25)
    draw = np.random.default_rng(5)
    means = draw.multinomial(25, [1 / 25] * 25, 200_000) @ values / 25
    low, high = np.percentile(means, [2.5, 97.5])
    interval = bootstrap(values, 40_000, seed=6)
    assert interval.low == pytest.approx(low, rel=0.01)
    assert interval.high == pytest.approx(high, rel=0.01)
    assert high - values.mean() > 1.1 * (values.mean() - low)  # which a symmetric interval would miss


@pytest.mark.slow
def test_an_interval_holds_the_truth_as_often_as_it_says():
    draw = np.random.default_rng(2)
    truth = 0.3
    intervals = (bootstrap(draw.binomial(4, truth, 60) / 4, 200, seed=n) for n in range(200))
    covered = sum(interval.low <= truth <= interval.high for interval in intervals)
    assert 0.9 <= covered / 200 <= 0.985


@given(st.integers(2, 300), st.integers(0, 2**40))
def test_each_character_is_the_partner_of_another(count, seed):
    result = partners(count, seed)
    assert sorted(result.tolist()) == list(range(count))
    assert (result != np.arange(count)).all()


def test_a_single_character_has_no_partner():
    assert partners(1, 0).tolist() == [-1]
    assert partners(0, 0).tolist() == []
