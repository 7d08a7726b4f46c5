"""Exports, kills, prunes, damages and repairs in any order: what stands there in the end is what one export gives."""

from __future__ import annotations

import os
import random
import signal
import sys

import pytest

import hakubooru as hb
from exports import write_database
from fork_server import fork_server
from hakubooru import repair, verify
from pictures import files_of, picture, write_tar

IDS = [1000 * thousand + rest for rest in range(4) for thousand in range(1, 7)]
CALLS = {"unlink", "rename", "replace", "open", "write", "execute", "executemany", "mkdir", "rmdir"}
"""A killed process ends after one of these calls."""

HOW = [
    (sink, duplicates) for sink in ("folder", "webdataset", "kohya-json") for duplicates in ("keep", "drop")
]


@pytest.fixture(scope="module")
def set_of_images(tmp_path_factory):
    """Originals, a newer update of some, images that are the same, and broken ones."""
    folder = tmp_path_factory.mktemp("set")
    write_database(folder / "posts.db", IDS)
    for rest in range(4):
        members = {f"{i}.webp": picture(i % 9) for i in IDS if i % 1000 == rest}
        members[f"{3000 + rest}.webp"] = b""
        write_tar(folder / "images" / f"data-0{rest:03d}.tar", members)
    for digit in (1, 2):
        members = {f"{i}.webp": picture(i) for i in (1000 + digit, 3000 + digit)}
        write_tar(folder / "images" / "updates/20240601" / f"data-{digit}.tar", members)
    return folder


@pytest.fixture(scope="module")
def forks(set_of_images, tmp_path_factory):
    """Processes that begin with all that they need: what they import themselves is slow while their calls are counted."""
    with fork_server(__name__) as server:
        for sink, duplicates in HOW:
            out = tmp_path_factory.mktemp(sink)
            server.learn(export, set_of_images, out, IDS, options_of(sink, duplicates))
            spoil(random.Random(1), out)
            server.learn(repair, out)
        yield server


def options_of(sink, duplicates):
    return {"sink": sink, "image": {"duplicates": duplicates}, "output": {"shard_images": 2}}


def export(folder, out, ids, options):
    with hb.open(folder / "posts.db") as database:
        database.posts.among(ids).export(out, images=folder / "images", workers=1, **options)


def work(kill_at, do, *arguments):
    """What a process does, which is killed at one of its calls."""
    calls = 0

    def count(_frame, event, function):
        nonlocal calls
        if event == "c_call" and getattr(function, "__name__", "") in CALLS:
            calls += 1
            if calls == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
    do(*arguments)


def ends(forks, draw, do, *arguments):
    """Whether a process came to its end; three of five are killed, each at a random call that it makes."""
    code = forks.run(work, draw.randrange(1, 420), do, *arguments)
    assert code in (0, -signal.SIGKILL)
    return code == 0


def spoil(draw, out):
    """Remove, cut or change a file that a pair has."""
    path = draw.choice([*out.glob("x*/*"), *out.glob("shards/*"), *out.glob("meta*.json*")])
    data = bytearray(path.read_bytes())
    how = draw.choice(["remove", "cut", "change"])
    if how == "remove":
        path.unlink()
    elif how == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        data[draw.randrange(len(data))] ^= 1
        path.write_bytes(data)


@pytest.mark.kill
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("how", HOW, ids="-".join)
def test_any_sequence_ends_as_one_export(forks, set_of_images, tmp_path, how, seed):
    sink, duplicates = how
    draw = random.Random(f"{seed} {sink} {duplicates}")
    options = options_of(sink, duplicates)
    out = tmp_path / "out"
    ids = sorted(draw.sample(IDS, 12))
    export(set_of_images, out, ids, options)
    for _ in range(4):
        if draw.random() < 0.4:
            spoil(draw, out)
            while not ends(forks, draw, repair, out):
                pass
        else:
            while True:
                # Also the run after one that was killed may ask for other posts.
                ids = sorted(draw.sample(IDS, draw.randrange(6, 24)))
                if ends(forks, draw, export, set_of_images, out, ids, {"prune": True} | options):
                    break
        assert verify(out).is_good
    export(set_of_images, tmp_path / "whole", ids, options)
    assert files_of(out) == files_of(tmp_path / "whole")
    assert not list((out / ".hakubooru" / "part").iterdir())
