"""Sets by their address: the Hub and the web, imitated on loopback, and the cache of what was downloaded."""

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs
import pytest
from huggingface_hub import constants

from danbooru import api_post, contents, write_lines
from hakubooru.errors import DumpError
from hakubooru.ingest import build
from published_sets import posts
from serving import HubHandler, serving
from set_files import sharded
from set_records import shio_koube


class WholeFiles(HubHandler):
    """Serves whole files of the Hub's data set `some/set` with what its library asks for, and counts the downloads."""

    def do_HEAD(self):  # noqa: N802 - http.server's name
        self._send(body=False)

    def do_GET(self):  # noqa: N802
        if "/resolve/" in self.path:
            self._send(body=True)
        else:
            super().do_GET()

    def _send(self, *, body):
        path = urlsplit(self.path).path.strip("/")
        folder, resolved, below = path.removeprefix("datasets/").partition("/resolve/")
        path = (
            Path(self.directory, folder, below.partition("/")[2]) if resolved else Path(self.directory, path)
        )
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()
        if body:
            self.server.sent += 1
            self.wfile.write(data)


class Web(WholeFiles):
    def do_GET(self):  # noqa: N802
        self._send(body=True)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    sharded(tmp_path / "some" / "set" / "data", "output_part_{:02}.parquet", shio_koube(posts()))
    (tmp_path / "some" / "set" / "README.md").write_text("The set.")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with serving(tmp_path, WholeFiles) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", "none")
        yield server


@pytest.mark.parametrize("address", ["hf://datasets/some/set", "hf://datasets/some/set@main/data"])
def test_a_set_of_the_hub_is_downloaded_once(tmp_path, hub, address):
    report = build([address], tmp_path / "some.db")
    assert (report.new, report.rejected, hub.sent) == (12, 0, 2)
    build([tmp_path / "some" / "set" / "data"], tmp_path / "local.db")
    assert contents(tmp_path / "some.db") == contents(tmp_path / "local.db")
    assert build([address], tmp_path / "again.db").new == 12
    assert hub.sent == 2


def test_one_file_of_a_set_of_the_hub(tmp_path, hub):
    assert build(["hf://datasets/some/set/data/output_part_01.parquet"], tmp_path / "some.db").new == 7
    assert hub.sent == 1


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "hf://datasets/some/set/nothing",
            "holds no file of records; its files: README.md, data/output_part_00.parquet",
        ),
        ("hf://datasets/other/set", "cannot be downloaded: .*404"),
        ("hf://some/set", "is no data set of the Hub: write hf://datasets/OWNER/NAME/PATH"),
    ],
)
def test_a_wrong_address_of_the_hub_is_told(tmp_path, hub, address, message):
    with pytest.raises(DumpError, match=message):
        build([address], tmp_path / "some.db")
    assert hub.sent == 0
    assert not (tmp_path / "some.db").exists()


def test_a_file_of_the_web_is_downloaded_once_and_again_when_it_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _: tmp_path / "cache")
    (tmp_path / "web").mkdir()
    write_lines(tmp_path / "web" / "posts.json", [api_post(1)])
    with serving(tmp_path / "web", Web) as server:
        address = f"{server.url}/posts.json"
        assert build([address], tmp_path / "some.db").new == 1
        assert (build([address], tmp_path / "some.db").unchanged, server.sent) == (1, 1)
        write_lines(tmp_path / "web" / "posts.json", [api_post(1), api_post(2)])
        assert (build([address], tmp_path / "some.db").new, server.sent) == (1, 2)
        with pytest.raises(DumpError, match=r"no\.json cannot be downloaded"):
            build([f"{server.url}/no.json"], tmp_path / "some.db")
