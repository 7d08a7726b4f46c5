"""`hf://` and `s3://`: the whole command, beside servers of both kinds on loopback."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from image_sets import SETS
from pictures import files_of
from serving import BucketHandler, HubHandler, serving, write_published


def export(folder, out, images, **environment):
    code = "from hakubooru_cli.main import main; main()"
    command = ["export", folder / "posts.db", "id:1,5,7", "--images", images, "--out", folder / out]
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, command)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return files_of(folder / out)


@pytest.fixture
def local(small):
    """What comes out of the same archives on this disk."""
    write_published(small / "some" / "set")
    return export(small, "local", small / "some" / "set")


@pytest.mark.slow
def test_a_data_set_of_the_hub_gives_the_same_as_a_disk(small, local):
    with serving(small, HubHandler) as server:
        environment = {"HF_ENDPOINT": server.url, "HF_HOME": str(small / "hub"), "HF_TOKEN": "none"}
        assert export(small, "out", "hf://datasets/some/set", **environment) == local
        images = [data for name, data in local.items() if name.endswith(".png")]
        assert server.sent == sum(512 + len(data) for data in images)


PARTS = """
import sys
import hakubooru as hb
folder, *sets = sys.argv[1:]
with hb.open(f"{folder}/posts.db") as db:
    for number, name in enumerate(sets):
        db.posts.among([2, 5, 33]).export(f"{folder}/out{number}", images=f"hf://datasets/{name}")
"""


@pytest.mark.slow
def test_parts_of_published_sets_are_read_from_the_hub(small):
    """With indexes beside tars, in a folder, and in repositories that are known: all in one process, which starts once."""
    names = [name for name, image_set in SETS.items() if image_set.index is not None and "/" in name]
    images = {name: SETS[name].write(small / "hub", name, [2, 5, 33, 30, 31]) for name in names}
    with serving(small / "hub", HubHandler) as server:
        environment = {"HF_ENDPOINT": server.url, "HF_HOME": str(small / "home"), "HF_TOKEN": "none"}
        subprocess.run(
            [sys.executable, "-W", "error", "-c", PARTS, small, *names],
            env=os.environ | environment,
            check=True,
        )
        fetched = sum(512 + len(images[name][post]) for name in names for post in (2, 5, 33))
        assert fetched <= server.sent <= 1.1 * fetched + 1024 * len(names)
    assert len(names) == 10
    for number, name in enumerate(names):
        pairs = {int(path.stem): path.read_bytes() for path in (small / f"out{number}").glob("x*/*.webp")}
        assert pairs == {post: images[name][post] for post in (2, 5, 33)}, name


@pytest.mark.slow
def test_a_bucket_of_s3_gives_the_same_as_a_disk(small, local):
    with serving(small, BucketHandler) as server:
        environment = {
            "AWS_ENDPOINT_URL": server.url,
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": str(small / "none"),
        }
        assert export(small, "out", "s3://sets/some/set", **environment) == local
        images = [data for name, data in local.items() if name.endswith(".png")]
        assert server.sent == sum(512 + len(data) for data in images)
