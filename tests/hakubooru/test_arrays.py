"""Sets of post ids."""

from __future__ import annotations

from itertools import chain

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hakubooru.arrays import Least, by_id, distinct, is_among, narrow, union


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=8).map(lambda ids: [*ids, *ids[::2]]))
def test_distinct_ids_are_ascending_and_each_once(ids):
    assert distinct(np.array(ids, np.int64)).tolist() == sorted(set(ids))


@given(st.lists(st.lists(st.integers(0, 20), unique=True), min_size=1, max_size=4))
def test_a_union_is_ascending_and_has_each_id_once(sets):
    assert union([np.array(ids, np.int64) for ids in sets]).tolist() == sorted(set().union(*sets))


@given(
    st.dictionaries(st.integers(1, 60) | st.integers(2**40, 2**40 + 9) | st.just(2**62), st.integers(0, 99)),
    st.lists(st.integers(-9, 80) | st.integers(2**40, 2**40 + 20) | st.sampled_from([2**62, 2**63 - 1])),
)
def test_values_are_found_by_id(values, posts):
    value_of = by_id(np.array([*values], np.int64), np.array([*values.values()], np.int32), -1)
    assert value_of(np.array(posts, np.int64)).tolist() == [values.get(post, -1) for post in posts]


@given(st.lists(st.integers(-(2**40), 2**40)))
def test_narrow_numbers_stay_what_they_are(numbers):
    assert narrow(np.array(numbers, np.int64)).tolist() == numbers


@given(st.lists(st.integers(-5, 5)), st.sets(st.integers(-5, 5)))
def test_which_values_are_among_ascending_ids(values, ids):
    among = is_among(np.array(values, np.int64), np.array(sorted(ids), np.int64))
    assert among.tolist() == [value in ids for value in values]


@given(
    st.lists(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), max_size=8), max_size=12),
    st.integers(1, 9),
    st.booleans(),
)
def test_the_least_keys_and_their_equals_are_found_in_pieces(pieces, count, is_masked):
    least = Least(count)
    for piece in pieces:
        keys, mask = (
            np.array([row[place] for row in piece], kind) for place, kind in ((0, np.int64), (1, bool))
        )
        least.add(keys, mask if is_masked else None)
        keys[:] = -9  # a piece may be written over
    entries = [(key, place) for place, (key, is_in) in enumerate(chain(*pieces)) if is_in or not is_masked]
    last = sorted(entries)[:count][-1][0] if entries else 0
    assert least.places().tolist() == [place for key, place in entries if key <= last]
