"""Ranges of an archive on a real HTTP server, on loopback."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest

from hakubooru.image import remote
from serving import RangeHandler, serving

DATA = random.Random(1).randbytes(2**24)


class Handler(RangeHandler):
    """Takes down which ranges are asked for, and answers as late and as slowly as the server says."""

    def do_GET(self):  # noqa: N802 - the name that http.server calls
        self.server.asked[tuple(map(int, self.headers["Range"].removeprefix("bytes=").split("-")))] += 1
        time.sleep(self.server.latency)
        super().do_GET()


@pytest.fixture
def server(tmp_path, monkeypatch):
    (tmp_path / "0000.tar").write_bytes(DATA)
    monkeypatch.setattr(remote, "_gaps", {})
    with serving(tmp_path, Handler) as server:
        server.asked = Counter()
        server.latency = 0
        yield server


def read(server, ranges):
    """Read the ranges, and compare; gives how many requests there were of each range, its end not included."""
    found = list(remote.read_ranges(f"{server.url}/0000.tar", iter(ranges)))
    assert found == [DATA[start:end] for start, end in ranges]
    return Counter({(start, end + 1): times for (start, end), times in server.asked.items()})


def measured(start):
    """Requests by which it is measured what one is worth."""
    return Counter({(start, start + remote._SHORT): remote._SHORTS, (start, start + remote._LONG): 1})


def test_near_ranges_are_fetched_together_in_requests_of_a_bounded_size(server):
    ranges = [(start, start + 19_600) for start in range(1024, 2**24 - 20_000, 20_000)]
    fetched = read(server, ranges)
    assert fetched.total() == 2
    assert max(end - start for start, end in fetched) <= 2**23


def test_far_ranges_are_fetched_each_by_itself(server):
    ranges = [(start, start + 100) for start in range(0, 2**24, 2**20 + 101)]
    ranges = [*ranges[:-1], (2**24 - 5000, 2**24)]
    assert len(ranges) == 16
    assert read(server, ranges) == Counter(ranges) + measured(0)


def test_a_few_ranges_are_fetched_each_by_itself_and_nothing_is_measured(server):
    ranges = [(start, start + 1000) for start in range(0, 15_000, 1000)]
    assert read(server, ranges) == Counter(ranges)


def test_a_range_larger_than_a_request_is_fetched_whole(server):
    ranges = [
        *((start, start + 1000) for start in range(0, 20_000, 1000)),
        (20_000, 2**23 + 30_000),
        (2**24 - 9, 2**24),
    ]
    fetched = read(server, ranges)
    assert fetched == Counter([(0, 20_000), *ranges[-2:]])


def test_each_server_is_measured_once(server):
    ranges = [(start, start + 100_000) for start in range(0, 2_000_000, 100_000)]
    assert read(server, ranges) == Counter([(0, 2_000_000)]) + measured(0)
    server.asked.clear()
    assert read(server, ranges) == Counter([(0, 2_000_000)])


def test_too_little_to_measure_by_is_fetched_together_where_only_padding_is_between(server):
    ranges = [(start, start + 100) for start in range(0, 3200, 200)]
    assert read(server, ranges) == Counter([(0, 3100)])


def test_the_later_a_server_answers_the_more_is_fetched_in_one_request(server):
    server.latency = 0.5  # of which a request costs 60 ms; loopback sends what is between in less
    ranges = [(start, start + 1000) for start in range(0, 2**24, 900_000)]
    fetched = read(server, ranges) - measured(0)
    assert fetched.total() < len(ranges) / 2


@pytest.mark.parametrize(
    ("latency", "rate", "worth"),
    [(0.05, 12.5e6, 78_000), (0.1, 1e8, 2**20), (1e-3, 1e9, 125_000), (0.01, 1e4, 512)],
)
def test_what_a_request_is_worth_is_measured(monkeypatch, latency, rate, worth):
    now = 0.0

    def ask(start, end):
        nonlocal now
        now += latency + (end - start) / rate

    monkeypatch.setattr(remote.time, "perf_counter", lambda: now)
    assert remote._measured(ask, 0) == pytest.approx(worth, rel=0.2)
