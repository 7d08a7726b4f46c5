"""Archives on a real HTTP server with byte ranges, on loopback, that can fail, stall and cut short."""

from __future__ import annotations

import socket
import sys
import threading
from collections import Counter
from http.server import SimpleHTTPRequestHandler

import fsspec  # noqa: F401 - its registry is looked into
import pytest

from exports import run
from hakubooru.errors import IncompleteError, SourceError
from hakubooru.image import remote
from pictures import files_of, picture, write_tar
from serving import RangeHandler, serving, write_json, write_published

STALL = pytest.param("stall", marks=pytest.mark.slow)


class Handler(RangeHandler):
    """Spoils what the server's `spoil(path, range, times)` says, and counts what it is asked for."""

    def do_HEAD(self):  # noqa: N802 - the name that http.server calls
        if not self.spoilt("HEAD"):
            super().do_HEAD()

    def do_GET(self):  # noqa: N802 - the name that http.server calls
        fault = self.spoilt(self.headers.get("Range"))
        if not fault or fault == "cut":
            self.send(cut=fault == "cut")

    def spoilt(self, span):
        """What is to be wrong with the answer, which was given unless it is to be cut."""
        times = self.server.requests[self.path, span]
        self.server.requests[self.path, span] += 1
        fault = self.server.spoil(self.path, self.headers.get("Range"), times)
        if fault == "fail":
            self.send_error(503)
        elif fault == "stall":
            self.server.over.wait(60)
        elif fault == "drop":
            self.connection.shutdown(socket.SHUT_RDWR)
        return fault


class WholeHandler(SimpleHTTPRequestHandler):
    """Knows nothing of ranges, as `python -m http.server`; the server counts what it sends of archives."""

    def copyfile(self, source, outputfile):
        while data := source.read(2**16):
            outputfile.write(data)
            self.server.sent += len(data) * self.path.endswith(".tar")

    def log_message(self, *args):
        pass


@pytest.fixture
def server(small):
    with serving(small / "set", Handler) as server:
        server.requests = Counter()
        server.over = threading.Event()
        server.spoil = lambda path, span, times: None
        yield server
        server.over.set()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setenv(remote.WAIT, "0.001")
    remote._system_within.cache_clear()
    yield
    remote._system_within.cache_clear()


@pytest.fixture
def archives(small):
    return write_published(small / "set")


def test_only_the_wanted_bytes_are_fetched(small, server, archives):
    report = run(small, small / "out", images=[server.url], ids=[1, 5, 7])
    assert report.exported == 3
    assert files_of(small / "out")["x005/5.png"] == picture(5, "png", (100, 60))
    images = sum(512 + len(files_of(small / "out")[f"x00{i}/{i}.png"]) for i in (1, 5, 7))
    assert server.sent == 1 + images  # a byte to see whether ranges are served


def test_the_same_comes_out_as_from_a_disk(small, server, archives):
    run(small, small / "local", images=[archives])
    run(small, small / "remote", images=[server.url], workers=1)
    assert files_of(small / "local") == files_of(small / "remote")


def test_of_an_archive_of_which_most_is_wanted_many_images_come_in_one_request(small, server, archives):
    assert run(small, small / "out", images=[server.url]).exported == 30
    spans = [
        span for path, span in server.requests if path.endswith("whatever.tar") and span and span != "HEAD"
    ]
    assert len(spans) == 3  # but for 5 and 15, which are newer elsewhere


@pytest.mark.parametrize("fault", ["fail", STALL, "cut"])
def test_a_server_that_spoils_every_request_at_first_is_borne_with(
    small, server, archives, fault, monkeypatch
):
    if fault == "stall":
        monkeypatch.setenv(remote.TIMEOUT, "0.25")
    server.spoil = lambda path, span, times: fault if span and times == 0 else None
    run(small, small / "out", images=[server.url])
    server.spoil = lambda path, span, times: None
    run(small, small / "undisturbed", images=[server.url])
    assert files_of(small / "out") == files_of(small / "undisturbed")


def test_a_server_that_goes_away_stops_the_export_until_it_is_back(small, server, archives):
    server.spoil = lambda path, span, times: "fail" if span and "updates" in path else None
    with pytest.raises(IncompleteError, match=r"x-5\.tar \(.*after 6 attempts"):
        run(small, small / "out", images=[server.url])
    server.spoil = lambda path, span, times: None
    run(small, small / "out", images=[server.url])
    run(small, small / "undisturbed", images=[server.url])
    assert files_of(small / "out") == files_of(small / "undisturbed")


@pytest.mark.parametrize("name", [remote.WAIT, remote.TIMEOUT])
@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf"])
def test_a_time_that_is_none_is_told(server, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(SourceError, match=rf"{name} is '{value}' and must be a number of seconds above 0"):
        remote.list_tars(server.url)
    assert not server.requests


def test_an_index_of_another_archive_is_noticed(small, server, archives):
    index = archives / "images" / "whatever.json"
    index.write_text(index.read_text().replace('"7.png"', '"77.png"').replace('"8.png"', '"7.png"'))
    with pytest.raises(IncompleteError, match="its index is of another archive: post 7 is not at byte"):
        run(small, small / "out", images=[server.url], ids=[7])


def test_an_index_of_an_archive_of_another_size_is_told(small, server, archives):
    with (archives / "images" / "whatever.tar").open("ab") as file:
        file.write(bytes(10_240))
    with pytest.raises(
        IncompleteError,
        match=r"whatever\.json belongs to another archive than \S+whatever\.tar: its filesize is \d+, but the archive has \d+",
    ):
        run(small, small / "out", images=[server.url])


@pytest.mark.parametrize("length", [0, 1, 50])
def test_an_index_that_is_cut_short_is_told(small, server, archives, length):
    index = archives / "images" / "whatever.json"
    index.write_bytes(index.read_bytes()[:length])
    with pytest.raises(IncompleteError, match=r"whatever\.json is not an index, or is cut off"):
        run(small, small / "out", images=[server.url])


def test_what_cannot_be_listed_or_has_no_index_is_told(small, server, archives):
    (archives / "images" / "0001.json").unlink()
    with pytest.raises(SourceError, match=r"0001\.tar has no index \(0001\.json\) beside it"):
        run(small, small / "out", images=[server.url])
    with pytest.raises(SourceError, match="cannot be listed"):
        run(small, small / "out", images=["http://127.0.0.1:1"])
    with pytest.raises(SourceError, match="Protocol not known: nonsense"):
        run(small, small / "out", images=["nonsense://x"])


def test_a_server_that_ignores_ranges_is_refused_before_it_sends_archives(small, archives):
    large = archives / "images" / "0000.tar"
    with large.open("wb") as file:
        file.truncate(2**28)
    large.with_suffix(".json").write_text("{}")
    message = r"images/0000\.tar ignores byte ranges, which remote archives need; use a server that"
    with serving(small / "set", WholeHandler) as server, pytest.raises(SourceError, match=message):
        run(small, small / "out", images=[server.url])
    assert server.sent < 2**25  # what the buffers of the connection hold
    assert not (small / "out").exists()


def test_archives_are_listed_in_order_with_one_request_for_the_size_of_each(server, archives):
    for number in range(100, 130):
        path = write_tar(archives / "images" / f"{number:04}.tar", {f"{number}.png": b"x" * 1000 * number})
        path.with_suffix(".json").write_text("{}")
    tars = sorted(path.relative_to(archives).as_posix() for path in archives.rglob("*.tar"))
    listing = [(tar.url, tar.size) for tar in remote.list_tars(server.url)]
    assert listing == [(f"{server.url}/{name}", (archives / name).stat().st_size) for name in tars]
    heads = {path: times for (path, span), times in server.requests.items() if span == "HEAD"}
    assert heads == {f"/{name}": 1 for name in tars}


@pytest.mark.parametrize("fault", ["fail", STALL, "drop"])
@pytest.mark.parametrize("place", ["/", "/updates", "/images/0001.tar"])
def test_a_listing_that_fails_at_first_is_asked_for_again(server, archives, monkeypatch, fault, place):
    monkeypatch.setenv(remote.TIMEOUT, "0.25")
    undisturbed = list(remote.list_tars(server.url))
    server.requests.clear()
    server.spoil = lambda path, span, times: (
        fault if path.rstrip("/") == place.rstrip("/") and times == 0 else None
    )
    assert list(remote.list_tars(server.url)) == undisturbed


@pytest.mark.parametrize(
    ("url", "package"), [("s3://bucket/x", "s3fs"), ("hf://datasets/x/y", "huggingface_hub")]
)
def test_a_missing_package_is_named(small, monkeypatch, url, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, url.partition(":")[0], raising=False)
    with pytest.raises(SourceError, match=f"{url} needs a package that is not installed: .*{package}"):
        run(small, small / "out", images=[url])


def test_posts_that_names_do_not_tell_of_are_found_by_the_indexes(small, server):
    """While nothing is missing, only the indexes of what is read are fetched."""
    archives = {"0002.tar": [2, 20, 21], "data-3.tar": [3, 4], "0005.tar": [5]}
    for name, posts in archives.items():
        path = write_tar(small / "set" / name, {f"{post}.webp": picture(post) for post in posts})
        write_json(path)
    assert run(small, small / "some", images=[server.url], ids=[2, 3]).exported == 2
    assert not any(path.endswith("0005.json") and span != "HEAD" for path, span in server.requests)
    report = run(small, small / "out", images=[server.url], ids=range(1, 41))
    assert report.exported == 6
    assert report.left_out == {"no archive holds it": 34}
