"""Pictures on the page out of every kind of archive, on this machine and on others."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import hakubooru as hb
from booru import post_row, write
from gallery import ask
from hakubooru.browse import Browser
from image_sets import write_archive
from pictures import picture
from serving import HubHandler, serving, write_published


@pytest.fixture
def db(tmp_path):
    write(tmp_path / "posts.db", [post_row(number) for number in range(1, 6)])
    with hb.open(tmp_path / "posts.db") as db:
        yield db


def fetch_pictures(database, images, numbers):
    """The size of the thumbnail that the page has of each post, and the large picture."""
    with Browser(database, images=images) as browser:
        assert 'src="/thumbnail/5"' in ask(browser.url, "/").text
        pictures = []
        for number in numbers:
            small, large = (ask(browser.url, f"/{kind}/{number}") for kind in ("thumbnail", "view"))
            assert (small.status, small.headers["content-type"]) == (200, "image/webp")
            pictures.append((Image.open(io.BytesIO(small.body)).size, large.body))
        missing = ask(browser.url, "/thumbnail/1")
        assert missing.status == 200 or "no archive holds it" in missing.text
        return pictures


@pytest.mark.slow
def test_pictures_come_out_of_containers(db, tmp_path):
    images = {number: picture(number, "png", (40 * number, 60)) for number in range(2, 6)}
    for number, name in zip(images, ["0.zip", "1.parquet", "2.tar.gz", "loose"], strict=True):
        write_archive(tmp_path / "images" / name, [(f"{number}.png", images[number])])
    pictures = fetch_pictures(db, tmp_path / "images", images)
    assert pictures == [((40 * number, 60), data) for number, data in images.items()]


@pytest.mark.slow
def test_pictures_come_from_a_web_server_one_by_one(db, tmp_path):
    write_published(tmp_path / "set")
    with serving(tmp_path) as server:
        pictures = fetch_pictures(db, f"{server.url}/set", [2, 5])
        check_published(pictures, server.sent)


def check_published(pictures, bytes_sent):
    # The update's picture of post 5 is wider.
    assert pictures == [((60, 60), picture(2, "png", (60, 60))), ((100, 60), picture(5, "png", (100, 60)))]
    each = [*(data for _, data in pictures for _ in range(2)), picture(1, "png", (60, 60))]
    read = sum(512 + len(data) for data in each)  # each twice, with the header of its member
    assert read <= bytes_sent <= read + 10


@pytest.mark.slow
def test_pictures_come_from_the_hub_one_by_one(db, tmp_path):
    write_published(tmp_path / "some" / "set")
    with serving(tmp_path, HubHandler) as server:
        # The address of the hub is read once in a process, so this is another one.
        hub = {"HF_ENDPOINT": server.url, "HF_TOKEN": "none", "HF_HOME": str(tmp_path / "hub")}
        script = f"""
import hakubooru as hb
from test_archives import fetch_pictures
with hb.open({str(db.path)!r}) as db:
    print(fetch_pictures(db, "hf://datasets/some/set", [2, 5]))
"""
        here = Path(__file__).parent
        paths = os.pathsep.join([*sys.path, str(here)])
        printed = subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | hub | {"PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        check_published(ast.literal_eval(printed), server.sent)
