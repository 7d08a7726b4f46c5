"""Ranges of an archive on a real HTTP server, on loopback."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from http.server import SimpleHTTPRequestHandler
from types import SimpleNamespace

import pytest

from hakubooru.errors import SourceError
from hakubooru.image import remote
from serving import RangeHandler, serving

DATA = random.Random(1).randbytes(2**24)


class Handler(RangeHandler):
    """Takes down which ranges are asked for."""

    def do_GET(self):  # noqa: N802 - the name that http.server calls
        self.server.requests[tuple(map(int, self.headers["Range"].removeprefix("bytes=").split("-")))] += 1
        super().do_GET()


@pytest.fixture
def server(tmp_path):
    (tmp_path / "0000.tar").write_bytes(DATA)
    with serving(tmp_path, Handler) as server:
        server.requests = Counter()
        yield server


def read(server, ranges):
    """Read the ranges, and compare; gives how many requests there were of each range, its end not included."""
    data = list(remote.read_ranges(f"{server.url}/0000.tar", iter(ranges)))
    assert data == [DATA[start:end] for start, end in ranges]
    return Counter({(start, end + 1): times for (start, end), times in server.requests.items()})


def test_ranges_side_by_side_are_fetched_in_requests_of_a_bounded_size(server):
    ranges = [(start, start + 19_600) for start in range(1024, 2**24 - 20_000, 20_000)]
    fetched = read(server, ranges)
    assert fetched.total() == 9
    assert max(end - start for start, end in fetched) <= 2**21


def test_ranges_with_much_between_them_are_fetched_each_by_itself(server):
    ranges = [(start, start + 19_600) for start in range(0, 2**20, 22_000)]
    assert read(server, ranges) == Counter(ranges)


def test_small_ranges_with_only_padding_between_them_are_fetched_together(server):
    ranges = [(start, start + 100) for start in range(0, 3200, 200)]
    assert read(server, ranges) == Counter([(0, 3100)])


def test_a_range_larger_than_a_request_is_fetched_whole(server):
    ranges = [
        *((start, start + 1000) for start in range(0, 20_000, 1000)),
        (20_000, 2**23 + 30_000),
        (2**24 - 9, 2**24),
    ]
    fetched = read(server, ranges)
    assert fetched == Counter([(0, 20_000), *ranges[-2:]])


@pytest.mark.slow
@pytest.mark.parametrize("url", ["hf://datasets/o", "https:///x/", "http://[::1/", "hf://o/", "zzz://x"])
def test_a_malformed_address_is_tried_once(monkeypatch, url):
    monkeypatch.setenv(remote.WAIT, "60")  # a second attempt would come too late
    with pytest.raises(SourceError, match=f"^{re.escape(url)} cannot be (listed|read): ") as caught:
        remote.list_tars(url)
    assert "attempts" not in str(caught.value)


class Refusing(SimpleHTTPRequestHandler):
    """Answers every request by 403."""

    def do_GET(self):
        self.server.sent += 1
        self.send_error(403)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *args):
        pass


def test_a_server_that_refuses_access_is_asked_once(monkeypatch, tmp_path):
    monkeypatch.setenv(remote.WAIT, "60")
    with serving(tmp_path, Refusing) as server:
        with pytest.raises(OSError, match=r"^access is refused: 403.*; log in"):
            remote.read_url(f"{server.url}/0000.json")
        assert server.sent == 1


def test_stores_refuse_access_in_their_own_ways(monkeypatch):
    monkeypatch.setenv(remote.WAIT, "60")
    of_the_hub = OSError("401 Client Error")
    of_the_hub.response = SimpleNamespace(status_code=401)
    for error in (of_the_hub, PermissionError("Access Denied")):
        with pytest.raises(OSError, match=f"^access is refused: {error}; log in"):
            remote.with_retries(lambda error=error: (_ for _ in ()).throw(error))


def test_an_answer_that_is_no_json_is_asked_for_again(monkeypatch):
    monkeypatch.setenv(remote.WAIT, "0.001")
    answers = iter(["{", "{}"])
    assert remote.with_retries(lambda: json.loads(next(answers))) == {}


def test_no_index_is_looked_for_on_another_server(monkeypatch, server):
    monkeypatch.setenv(remote.WAIT, "60")
    with pytest.raises(SourceError, match=r"0000\.tar has no index \(0000\.json\) beside it"):
        remote.list_tars(f"{server.url}/0000.tar")
