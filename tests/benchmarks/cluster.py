"""An export on a Ray cluster: what an archive costs the driver, and how many a second are done by one node and by two.

    python tests/benchmarks/cluster.py [--archives 10 100 1000]

All nodes are this machine, with one processor each; archives hold 20 small images. Each row is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
IMAGES = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archives", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--row", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        folder, archives, nodes = options.row
        print(json.dumps(row(Path(folder), int(archives), int(nodes))))
        return
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    )
    os.environ |= {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    print("| archives | nodes | seconds | archives a second | driver, ms of CPU an archive | driver, MB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), max(options.archives))
        for archives in options.archives:
            for nodes in options.nodes:
                command = [sys.executable, __file__, "--row", folder, str(archives), str(nodes)]
                process = subprocess.run(command, capture_output=True, text=True, check=True)
                figures = json.loads(process.stdout.splitlines()[-1])
                print(
                    f"| {archives} | {nodes} | {figures['seconds']:.2f} | {archives / figures['seconds']:.1f} "
                    f"| {figures['cpu'] / archives * 1000:.2f} | {figures['memory'] / 1e6:.0f} |"
                )


def write(folder: Path, archives: int) -> None:
    """A database, and so many archives of its posts."""
    sys.path.insert(0, str(ROOT / "tests"))
    from exports import write_database
    from pictures import picture, write_tar

    pictures = [picture(number) for number in range(IMAGES)]
    for rest in range(archives):
        members = {f"{1000 * k + rest}.webp": pictures[k] for k in range(IMAGES)}
        write_tar(folder / "images" / f"data-0{rest:03d}.tar", members)
    write_database(
        folder / "posts.db", [1000 * k + rest for rest in range(archives) for k in range(IMAGES)][1:]
    )


def row(folder: Path, archives: int, nodes: int) -> dict[str, float]:
    """Export the first archives; the cost of the driver without that of connecting and of writing the manifest."""
    from ray.cluster_utils import Cluster

    import hakubooru as hb
    from hakubooru.export.cluster import ClusterEngine

    store = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args=store)
    for _ in range(1, nodes):
        cluster.add_node(**store)
    images = folder / f"images{archives}"
    shutil.rmtree(images, ignore_errors=True)
    images.mkdir()
    for rest in range(archives):
        os.link(folder / "images" / f"data-0{rest:03d}.tar", images / f"data-0{rest:03d}.tar")
    spent = {"seconds": 0.0, "cpu": 0.0}
    run, process = ClusterEngine.run, psutil.Process()

    def timed(engine, tasks):
        wall, cpu = time.perf_counter(), sum(process.cpu_times()[:2])
        yield from run(engine, tasks)
        spent["seconds"] += time.perf_counter() - wall
        spent["cpu"] += sum(process.cpu_times()[:2]) - cpu

    ClusterEngine.run = timed
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    with hb.open(folder / "posts.db") as database:
        posts = database.posts.where(hb.Post.id % 1000 < archives)
        posts.export(out, images=images, caption="danbooru", engine="ray", address=cluster.address)
    memory = process.memory_info().rss
    cluster.shutdown()
    return spent | {"memory": float(memory)}


if __name__ == "__main__":
    main()
