from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakubooru.errors import InputError
from hakubooru.image.bucket import Buckets

sides = st.integers(1, 8000)


def test_epsilon_has_97():
    sizes = Buckets().sizes()
    assert len(sizes) == 97
    assert [1024, 1024] in sizes.tolist()
    assert [256, 4096] in sizes.tolist()
    assert sizes.min() == 256
    assert sizes.max() == 4096


@given(
    st.integers(1, 20).map(lambda n: n * 8),
    st.integers(1, 30),
    st.integers(1, 60),
    st.integers(64, 2048),
)
def test_sizes_keep_their_bounds(step, low, more, side):
    buckets = Buckets(area=max(side, step) ** 2, step=step, min_side=low * step, max_side=(low + more) * step)
    sizes = buckets.sizes()
    assert (sizes % step == 0).all()
    assert (sizes.prod(axis=1) <= buckets.area).all()
    assert sorted(map(tuple, sizes)) == sorted(map(tuple, sizes[:, ::-1]))
    assert len(set(map(tuple, sizes))) == len(sizes)


@pytest.mark.parametrize("by", ["ratio", "log"])
@given(width=sides, height=sides)
def test_nearest_is_nearest(by, width, height):
    sizes = Buckets().sizes()
    (place,) = Buckets().of([width], [height], by=by)
    measure = np.log if by == "log" else np.asarray
    distances = np.abs(measure(sizes[:, 0] / sizes[:, 1]) - measure(width / height))
    assert distances[place] == pytest.approx(distances.min(), abs=1e-12)


@given(width=sides, height=sides)
def test_logarithms_treat_portraits_as_landscapes(width, height):
    sizes = Buckets().sizes()
    places = Buckets().of([width, height], [height, width], by="log")
    ratios = np.log(sizes[places, 0] / sizes[places, 1])
    assert ratios[0] == pytest.approx(-ratios[1], abs=0.15)


@pytest.mark.parametrize("options", [{"step": 0}, {"min_side": 32}, {"max_side": 128}, {"area": 100}])
def test_sizes_that_hold_nothing(options):
    with pytest.raises(InputError, match="there are no buckets of area"):
        Buckets(**options)
