"""Sets of post ids."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hakubooru.arrays import distinct, union


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=8).map(lambda ids: [*ids, *ids[::2]]))
def test_distinct_ids_are_ascending_and_each_once(ids):
    assert distinct(np.array(ids, np.int64)).tolist() == sorted(set(ids))


@given(st.lists(st.lists(st.integers(0, 20), unique=True), min_size=1, max_size=4))
def test_a_union_is_ascending_and_has_each_id_once(sets):
    assert union([np.array(ids, np.int64) for ids in sets]).tolist() == sorted(set().union(*sets))
