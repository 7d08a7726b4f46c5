"""Sorting by columns in memory; `test_plan` compares whole selections with SQLite."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hakubooru.engine.sorting import _order

NUMBERS = st.one_of(
    st.integers(-3, 3), st.sampled_from([-(2**40), -(2**15), 2**15 - 1, 2**16 - 4, 2**16, 2**40])
)


@given(st.lists(st.tuples(NUMBERS, NUMBERS, st.floats(allow_nan=False)), max_size=30))
def test_the_first_key_counts_most_and_equals_stay_in_their_order(rows):
    keys = [np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], np.int64)]
    keys.append(np.array([row[2] for row in rows], np.float64))
    expected = sorted(range(len(rows)), key=lambda place: rows[place])
    assert _order(keys).tolist() == expected


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.sampled_from([1, -1]))
def test_a_last_key_in_order_takes_no_sort(numbers, step):
    ids = np.arange(len(numbers))[::step]
    expected = sorted(range(len(numbers)), key=lambda place: (numbers[place], ids[place]))
    assert _order([np.array(numbers, np.int64), ids]).tolist() == expected
