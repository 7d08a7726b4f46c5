"""`hf://` and `s3://`: the whole command, beside servers of both kinds on loopback.

The server for S3 is moto's, which is too much to install with every run of the tests. By hand:
`pip install -c constraints.txt '.[remote]' 'moto[s3]' flask flask-cors`.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pictures import files_of
from serving import HubHandler, serving, write_published


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
    write_published(small / "set")
    return export(small, "local", small / "set")


def test_a_data_set_of_the_hub_gives_the_same_as_a_disk(small, local):
    with serving(small / "set", HubHandler) as server:
        told = {"HF_ENDPOINT": server.url, "HF_HOME": str(small / "hub"), "HF_TOKEN": "none"}
        assert export(small, "out", "hf://datasets/some/set", **told) == local
        images = [data for name, data in local.items() if name.endswith(".png")]
        assert server.sent == sum(512 + len(data) for data in images)


def test_a_bucket_of_s3_gives_the_same_as_a_disk(small, local):
    moto = pytest.importorskip("moto.server", reason="moto is installed by hand")
    boto3 = pytest.importorskip("boto3")
    server = moto.ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        told = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
        store = boto3.client("s3", endpoint_url=url, **told)
        store.create_bucket(Bucket="sets")
        for path in (small / "set").rglob("*.*"):
            store.upload_file(str(path), "sets", path.relative_to(small).as_posix())
        store.close()
        told = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        assert export(small, "out", "s3://sets/set", **told) == local
    finally:
        server.stop()
