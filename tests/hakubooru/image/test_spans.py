from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hakubooru.image import spans

DATA = bytes(i * 37 % 251 for i in range(5000))


@given(
    st.lists(st.integers(0, 5000), max_size=40),
    st.integers(0, 3000),
    st.integers(1, 4000),
    st.integers(0, 5000),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_the_same_bytes_whatever_a_jump_is_worth(tmp_path, cuts, gap, buffer, end):
    path = tmp_path / "file"
    path.write_bytes(DATA[:end])
    ends = sorted(cuts)
    wanted = list(zip(ends[::2], ends[1::2], strict=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spans, "_gap", lambda _: gap)
        patch.setattr(spans, "_BUFFER", buffer)
        found = [bytes(part) for part in spans.read_spans(str(path), iter(wanted))]
    assert found == [DATA[:end][low:high] for low, high in wanted]


class Disk:
    """A file on a disk whose jumps and bytes take a time of their own, by a clock of its own."""

    def __init__(self, size, jump, byte):
        self.size, self.jump, self.byte = size, jump, byte
        self.at = self.now = 0.0

    def seek(self, at):
        self.now += self.jump * (at != self.at)
        self.at = at

    def readinto(self, buffer):
        self.now += self.byte * len(buffer)
        self.at += len(buffer)
        return len(buffer)


@pytest.mark.parametrize(
    ("jump", "rate", "worth"),
    [
        (8e-3, 150e6, 1_200_000),
        (1e-4, 500e6, 50_000),
        (1e-6, 5e9, 5_000),
        (1.0, 1e9, 4 * 2**20),
        (0, 1e9, 4096),
    ],
)
def test_what_a_jump_is_worth_is_measured(monkeypatch, jump, rate, worth):
    disk = Disk(2**30, jump, 1 / rate)
    monkeypatch.setattr(spans.time, "perf_counter", lambda: disk.now)
    assert spans._measured(disk, disk.size) == pytest.approx(worth, rel=0.2, abs=5000)


def test_near_parts_are_read_together_and_far_ones_by_themselves():
    parts = [(0, 100), (150, 300), (900, 1000), (1010, 1020)]
    assert list(spans._runs(iter(parts), 60)) == [parts[:2], parts[2:]]
    assert list(spans._runs(iter(parts), 10_000)) == [parts]
    assert list(spans._runs(iter(parts), 0)) == [[part] for part in parts]
