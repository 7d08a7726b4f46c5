"""Sets of post ids."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hakubooru.arrays import distinct, is_among


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=8).map(lambda ids: [*ids, *ids[::2]]))
def test_distinct_ids_are_ascending_and_each_once(ids):
    assert distinct(np.array(ids, np.int64)).tolist() == sorted(set(ids))


@given(st.lists(st.integers(-5, 5)), st.sets(st.integers(-5, 5)))
def test_which_values_are_among_ascending_ids(values, ids):
    among = is_among(np.array(values, np.int64), np.array(sorted(ids), np.int64))
    assert among.tolist() == [value in ids for value in values]
