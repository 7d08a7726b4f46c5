from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakubooru.errors import SampleError
from hakubooru.select.sampling import _minus_log_of_rest, keys, mix, sample, sample_weighted, shuffle

MASK = 2**64 - 1
ids = st.lists(st.integers(0, 10**7), unique=True, max_size=60).map(
    lambda values: np.array(sorted(values), np.int64)
)


def plain_mix(x: int) -> int:
    """The definition, in Python's own integers."""
    z = (x + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return z ^ z >> 31


def plain_key(post_id: int, seed: int) -> int:
    return plain_mix(post_id ^ plain_mix(seed & MASK))


def test_golden_values():
    assert mix(np.array([0], np.uint64)).tolist() == [0xE220A8397B1DCDAF]
    assert keys(np.array([1, 7349999]), seed=1).tolist() == [0xE9FD6049D65AF21E, 0x4A99BCD1F77FD6D8]
    assert sample(np.arange(1, 101), 5, seed=1).tolist() == [28, 31, 51, 90, 92]


@given(st.integers(0, 2**63 - 1), st.integers(-(2**63), 2**64))
def test_keys_are_the_definition(post_id, seed):
    assert keys(np.array([post_id]), seed).tolist() == [plain_key(post_id, seed)]


@given(ids, st.integers(0, 100), st.data())
def test_sample_is_the_smallest_keys(population, seed, data):
    n = data.draw(st.integers(0, len(population)))
    by_key = sorted(population.tolist(), key=lambda i: plain_mix(i ^ plain_mix(seed)))
    assert sample(population, n, seed).tolist() == sorted(by_key[:n])


@given(ids, st.integers(0, 100), st.randoms())
def test_sample_does_not_depend_on_order(population, seed, random):
    shuffled = population.tolist()
    random.shuffle(shuffled)
    n = len(population) // 2
    assert set(sample(np.array(shuffled, np.int64), n, seed)) == set(sample(population, n, seed))


@given(ids, st.integers(0, 100))
def test_larger_contains_smaller_and_new_posts_displace_few(population, seed):
    n = len(population) // 2
    larger, smaller = sample(population, n, seed), sample(population, n // 2, seed)
    assert set(smaller) <= set(larger)
    grown = np.append(population, np.int64(10**7 + 1))
    assert len(set(larger) - set(sample(grown, n, seed))) <= 1


def test_larger_than_population_gives_both_numbers():
    with pytest.raises(SampleError, match=r"1,200.*1,000"):
        sample(np.arange(1000), 1200, seed=1)


def test_a_shuffle_begins_with_the_samples():
    ids = np.arange(1, 101)
    order = shuffle(ids, seed=1)
    assert sorted(order.tolist()) == ids.tolist()
    for n in (1, 5, 50):
        assert sorted(order[:n].tolist()) == sample(ids, n, seed=1).tolist()
    assert shuffle(ids[::-1], seed=1).tolist() == order.tolist()
    for limit in (0, 1, 40, 100, 200):
        assert shuffle(ids, 1, limit).tolist() == order[:limit].tolist()


@pytest.mark.parametrize("n", [1, 20, 1000, 5000])
def test_a_small_sample_is_the_smallest_keys(n):
    ids = np.arange(1, 300_000, dtype=np.int64)
    smallest = np.sort(np.argsort(keys(ids, 4))[:n])
    assert sample(ids, n, 4).tolist() == ids[smallest].tolist()


def test_keys_of_many_ids_are_those_of_each():
    ids = np.arange(70_000) * 3
    some = [0, 1, 32_767, 32_768, 65_536, 69_999]
    assert keys(ids, seed=5)[some].tolist() == [plain_key(int(ids[place]), 5) for place in some]


def test_a_selection_shuffles(db):
    shuffled = db.posts.score(min=5).shuffle(seed=3)
    assert shuffled.limit(7).to_ids().tolist() == shuffle(db.posts.score(min=5).to_ids(), 3)[:7].tolist()
    assert shuffled.to_ids().tolist() == shuffle(db.posts.score(min=5).to_ids(), 3).tolist()
    assert set(shuffled.limit(10).to_ids()) == set(db.posts.score(min=5).sample(10, seed=3).to_ids())
    assert shuffled != db.posts.score(min=5).shuffle(seed=4)


def arrival(post_id: int, seed: int, weight: int) -> tuple[float, int]:
    """The documented function in plain Python."""
    key = plain_key(post_id, seed)
    rest = 1.0 - ((key >> 12) + 0.5) * 2.0**-52
    m, e = math.frexp(rest)
    if m < 0.7071067811865476:
        m, e = m * 2, e - 1
    s = (m - 1) / (m + 1)
    z = s * s
    series = 0.0
    for divisor in range(21, 0, -2):
        series = z * series + 1 / divisor
    return -(e * 0.6931471805599453 + 2 * s * series) / weight, key


@given(
    st.dictionaries(st.integers(0, 2**40), st.integers(0, 10**6), max_size=60), st.integers(0, 9), st.data()
)
def test_a_weighted_sample_is_the_first_to_arrive(weights, seed, data):
    ids = np.array(list(weights), np.int64)
    positive = [post_id for post_id in weights if weights[post_id]]
    n = data.draw(st.integers(0, len(positive)))
    first = set(sorted(positive, key=lambda i: arrival(i, seed, weights[i]))[:n])
    sample = sample_weighted(ids, np.array(list(weights.values()), np.int64), n, seed)
    assert sample.tolist() == [post_id for post_id in weights if post_id in first]


@given(st.sets(st.integers(0, 2**40), max_size=60), st.integers(1, 1000), st.integers(0, 9), st.data())
def test_equal_weights_give_the_plain_sample(ids, weight, seed, data):
    ids = np.array(sorted(ids), np.int64)
    n = data.draw(st.integers(0, len(ids)))
    weighted = sample_weighted(ids, np.full(len(ids), weight), n, seed)
    assert weighted.tolist() == sample(ids, n, seed).tolist()


def test_the_logarithm_is_one():
    by_id = np.concatenate(
        [keys(np.arange(100_000), 1), np.array([0, 1, 2**64 - 1, 2**63, 2**12], np.uint64)]
    )
    logarithms = _minus_log_of_rest(by_id)
    exact = [-math.log1p(-((key >> 12) + 0.5) * 2.0**-52) for key in by_id.tolist()]
    assert np.abs(logarithms / exact - 1).max() < 1e-15


def test_golden_weighted_sample():
    """Pinned: the same on every platform and with every version."""
    ids = np.arange(1, 101)
    assert sample_weighted(ids, ids, 8, 1).tolist() == [28, 31, 51, 68, 71, 84, 90, 92]
    assert [value.hex() for value in _minus_log_of_rest(keys(ids[:3], 1)).tolist()] == [
        "0x1.3a11d5308bac0p+1",
        "0x1.56987086d1d41p+0",
        "0x1.7f023a10d6be9p-1",
    ]


@pytest.mark.slow
def test_weights_are_weights():
    """From a post of weight 3 and one of weight 1, the first is drawn in three of four samples."""
    first = sum(
        sample_weighted(np.array([2 * pair, 2 * pair + 1]), np.array([3, 1]), 1, 5)[0] % 2 == 0
        for pair in range(4000)
    )
    assert abs(first / 4000 - 0.75) < 0.03


def test_what_weights_cannot_be():
    ids = np.arange(5)
    with pytest.raises(
        SampleError, match=r"2 posts have a negative weight; .* the search score:>=0, in Python"
    ):
        sample_weighted(ids, np.array([1, -1, 2, -5, 0]), 2, 1)
    with pytest.raises(SampleError, match="2 of 5 posts have a weight above 0; ask for at most 2"):
        sample_weighted(ids, np.array([1, 0, 2, 0, 0]), 3, 1)
