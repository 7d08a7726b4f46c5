from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hakubooru.image.ranges import read_parts, runs

DATA = bytes(i * 37 % 251 for i in range(5000))


@given(
    st.lists(st.integers(0, 5000), max_size=40),
    st.integers(0, 3000),
    st.integers(1, 4000),
    st.integers(0, 5000),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_the_same_bytes_whatever_is_read_together(tmp_path, cuts, gap, most, end):
    path = tmp_path / "file"
    path.write_bytes(DATA[:end])
    ends = sorted(cuts)
    parts = list(zip(ends[::2], ends[1::2], strict=False))
    read = [bytes(part) for part in read_parts(str(path), iter(parts), gap=gap, most=most)]
    assert read == [DATA[:end][low:high] for low, high in parts]


def test_near_parts_are_read_together_up_to_a_size():
    parts = [(0, 10), (60, 80), (141, 150)]
    assert list(runs(iter(parts), 1000, gap=60)) == [parts[:2], parts[2:]]
    assert list(runs(iter(parts), 1000, gap=100)) == [parts]
    assert list(runs(iter(parts), 100, gap=100)) == [parts[:2], parts[2:]]


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(513, 3000)), min_size=1, max_size=40))
def test_a_share_bounds_the_bytes_that_nobody_wanted(gaps_and_sizes):
    parts, at = [], 0
    for gap, size in gaps_and_sizes:
        parts.append((at + gap, at + gap + size))
        at += gap + size
    together = list(runs(iter(parts), 10**6, gap=0, share=0.1))
    assert [part for run in together for part in run] == parts
    assert sum(run[-1][1] - run[0][0] for run in together) <= 1.1 * sum(size for _, size in gaps_and_sizes)
