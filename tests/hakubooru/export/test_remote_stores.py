"""`hf://` and `s3://`: the whole command, beside servers of both kinds on loopback."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pictures import files_of
from serving import BucketHandler, HubHandler, serving, write_published


def export(folder, out, images, **environment):
    code = "from hakubooru_cli.main import main; main()"
    command = ["export", folder / "posts.db", "id:1,5,7", "--images", images, "--out", folder / out]
    shown = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, command)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    return files_of(folder / out)


@pytest.fixture
def local(small):
    """What comes out of the same archives on this disk."""
    write_published(small / "some" / "set")
    return export(small, "local", small / "some" / "set")


@pytest.mark.slow
def test_a_data_set_of_the_hub_gives_the_same_as_a_disk(small, local):
    with serving(small, HubHandler) as server:
        told = {"HF_ENDPOINT": server.url, "HF_HOME": str(small / "hub"), "HF_TOKEN": "none"}
        assert export(small, "out", "hf://datasets/some/set", **told) == local
        images = [data for name, data in local.items() if name.endswith(".png")]
        assert server.sent == sum(512 + len(data) for data in images)


@pytest.mark.slow
def test_the_indexes_of_a_known_data_set_are_found_in_the_repository_that_has_them(small, local):
    images, indexes = small / "nyanko7" / "danbooru2023", small / "deepghs" / "danbooru2023_index"
    (small / "some" / "set").rename(images.parent.mkdir() or images)
    for path in list(images.rglob("*.json")):
        moved = indexes / path.relative_to(images)
        moved.parent.mkdir(parents=True, exist_ok=True)
        path.rename(moved)
    with serving(small, HubHandler) as server:
        told = {"HF_ENDPOINT": server.url, "HF_HOME": str(small / "hub"), "HF_TOKEN": "none"}
        assert export(small, "out", "hf://datasets/nyanko7/danbooru2023", **told) == local


@pytest.mark.slow
def test_a_bucket_of_s3_gives_the_same_as_a_disk(small, local):
    with serving(small, BucketHandler) as server:
        told = {
            "AWS_ENDPOINT_URL": server.url,
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": str(small / "none"),
        }
        assert export(small, "out", "s3://sets/some/set", **told) == local
        images = [data for name, data in local.items() if name.endswith(".png")]
        assert server.sent == sum(512 + len(data) for data in images)
