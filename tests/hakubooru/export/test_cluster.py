"""Exports on Ray clusters of several nodes, which all are this machine."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

import hakubooru
from cluster_captions import Deadly, Gated
from exports import Plain, run, write_database, write_set
from hakubooru.errors import IncompleteError, InputError
from hakubooru.export.cluster import ClusterEngine, _looking_around
from hakubooru.export.pairs import STATE
from pictures import files_of, picture, write_tar
from whole_command import call

pytestmark = [
    pytest.mark.skipif(not find_spec("ray"), reason="Ray is not installed"),
    pytest.mark.slow,
    pytest.mark.xdist_group("ray"),  # one process starts the cluster
    # Of Ray itself: files and processes that it leaves to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:.*:FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:ray"),
]

ROOT = Path(__file__).parents[3]
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


@pytest.fixture(scope="module")
def booru(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    ids = [1000 * thousand + rest for rest in range(12) for thousand in range(1, 41)]
    write_database(folder / "posts.db", ids)
    write_set(folder / "images", ids)
    return folder


@pytest.fixture(scope="module")
def local(booru, tmp_path_factory):
    out = tmp_path_factory.mktemp("local") / "out"
    assert call("export", booru / "posts.db", "--images", booru / "images", "--out", out)[0] == 0
    return files_of(out)


@pytest.fixture(scope="module")
def cluster():
    """A cluster of one node with one processor, without the processes that watch its load and its logs."""
    from ray.cluster_utils import Cluster

    environment = dict(os.environ)
    os.environ |= {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    os.environ["PYTHONPATH"] = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    unwatched = {"no_monitor": True, "include_log_monitor": False, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=NODE | unwatched)
    try:
        yield cluster
    finally:
        cluster.shutdown()
        os.environ.clear()
        os.environ.update(environment)


def export(booru, out, cluster, *options):
    return call(
        *("export", booru / "posts.db", "--images", booru / "images", "--out", out),
        *("--engine", "ray", "--address", cluster.address, *options),
    )


def test_the_same_bytes_as_by_this_machine_alone(booru, local, cluster, tmp_path):
    code, stdout, stderr = export(booru, tmp_path / "out", cluster)
    assert (code, stderr) == (0, "")
    assert "437 of 480 posts" in stdout
    assert files_of(tmp_path / "out") == local


def run_on(cluster, booru, out, captions, needs=()):
    start = partial(ClusterEngine, address=cluster.address, state=out / STATE, needs=[*map(str, needs)])
    return run(booru, out, captions=captions, start=start)


def wait_for(path):
    while not path.exists():
        time.sleep(0.01)


DRIVER = """
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from cluster_captions import Gated
from exports import run
from hakubooru.export.cluster import ClusterEngine

address, booru, out, gate = sys.argv[1:]
start = partial(ClusterEngine, address=address, state=Path(out, ".hakubooru"), needs=[])
run(Path(booru), Path(out), captions=Gated(gate=Path(gate)), start=start)
"""


@pytest.mark.kill
def test_a_driver_that_dies_is_taken_up(booru, cluster, tmp_path):
    run(booru, tmp_path / "local")
    out = tmp_path / "out"
    arguments = [cluster.address, booru, out, tmp_path / "gate"]
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, *map(str, arguments)], stderr=subprocess.PIPE)
    wait_for(tmp_path / cluster.head_node.node_id)
    driver.kill()
    driver.communicate()
    (tmp_path / "gate").touch()

    run_on(cluster, booru, out, Plain())
    assert files_of(out) == files_of(tmp_path / "local")


@pytest.mark.kill
def test_an_archive_that_kills_its_worker_is_done_again_once(booru, cluster, tmp_path):
    with pytest.raises(IncompleteError, match=r"5\.tar: the worker was lost twice"):
        run_on(cluster, booru, tmp_path / "out", Deadly())
    assert run_on(cluster, booru, tmp_path / "out", Plain()).exported == 437


def test_errors_name_their_node(booru, cluster, tmp_path):
    write_database(tmp_path / "posts.db", [1005, 2005])
    tar = write_tar(tmp_path / "images" / "data-0005.tar", {"1005.webp": picture(1005)})

    class Vanishing(ClusterEngine):
        def run(self, tasks):
            tar.unlink(missing_ok=True)
            return super().run(tasks)

    start = partial(Vanishing, address=cluster.address, state=tmp_path / "out" / STATE, needs=[])
    with pytest.raises(IncompleteError, match=rf"{tar.name} \(No such file.*, on node .*\d\)"):
        run(tmp_path, tmp_path / "out", start=start)


def test_a_node_without_the_package_or_the_storage(booru, cluster, tmp_path):
    with pytest.raises(InputError, match=r"not every node .*\(.*\) does not see /nowhere; mount"):
        run_on(cluster, booru, tmp_path / "out", Plain(), needs=[booru / "posts.db", "/nowhere"])
    look = _looking_around()
    assert look("0.0", str(tmp_path), []).startswith("has hakubooru 0.")
    assert "does not see the files written to" in look(hakubooru.__version__, str(tmp_path / "driver-1"), [])


def test_what_looks_around_runs_where_the_package_is_missing():
    code = (
        "import marshal, sys, types; look = types.FunctionType(marshal.load(sys.stdin.buffer), {}); "
        "print(look('0.1', '', []))"
    )
    process = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        input=marshal.dumps(_looking_around().__code__),
        capture_output=True,
        check=True,
    )
    assert process.stdout.startswith(
        b"cannot import hakubooru (No module named 'hakubooru'); install it there"
    )


@pytest.mark.kill
def test_a_node_that_dies_midway(booru, cluster, tmp_path):
    run(booru, tmp_path / "local")
    node = cluster.add_node(**NODE)

    def kill():
        wait_for(tmp_path / node.node_id)
        cluster.remove_node(node, allow_graceful=False)
        (tmp_path / "gate").touch()

    with ThreadPoolExecutor(1) as thread:
        killing = thread.submit(kill)
        report = run_on(cluster, booru, tmp_path / "out", Gated(gate=tmp_path / "gate"))
        killing.result()
    assert report.exported == 437
    assert files_of(tmp_path / "out") == files_of(tmp_path / "local")
    assert not list((tmp_path / "out" / STATE / "part").iterdir())


def test_where_no_cluster_is(booru, tmp_path):
    code, _, stderr = export(booru, tmp_path / "out", SimpleNamespace(address="127.0.0.1:1"))
    assert code == 2
    assert "the Ray cluster at 127.0.0.1:1 cannot be used" in stderr
    code, _, stderr = call("export", booru / "posts.db", "--out", tmp_path / "out", "--address", "auto")
    assert code == 2
    assert "the address auto is for the engine `ray` only" in stderr


def test_a_cluster_of_this_machine_alone(booru, local, tmp_path):
    import ray

    command = ("export", booru / "posts.db", "--images", booru / "images", "--out", tmp_path / "out")
    assert call(*command, "--engine", "ray", "--workers", 2)[0] == 0
    assert files_of(tmp_path / "out") == local
    assert not ray.is_initialized()
