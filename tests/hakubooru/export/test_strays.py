"""Files in an export that no export wrote: what could be trained on is a fault, what systems leave is not."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from hakubooru import repair, verify
from hakubooru.errors import IncompleteError
from hakubooru_cli.main import cli
from pictures import files_of

STRAYS = [
    "copy.png",
    "x001/1 (2).webp",
    "x001/1.caption",
    "x001/01.webp",
    "x001/1.JPG",
    "x1001/1001.webp",
    "mine/cat.jpeg",
    "mine/deep/cat.txt",
    "own/cat.png",
    "metadata.jsonl",
    "extra/shard.tar",
]
OTHERS = ["notes.md", "x001/1.npz", "x001/1_0032x0032_sdxl.npz", "meta_lat.json", "mine/model.safetensors"]
SYSTEM = [
    ".DS_Store",
    "x001/Thumbs.db",
    "desktop.ini",
    "x001/._1.webp",
    ".hakubooru-scan.parquet",
    ".git/a.txt",
]


def put(out, *names):
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(b"from elsewhere")


@pytest.mark.slow
@pytest.mark.parametrize("name", STRAYS)
def test_what_could_be_trained_on_is_a_fault(out, name):
    put(out, name)
    report = verify(out)
    assert not report.is_good
    assert report.strays == [name]
    assert f"file that no export wrote (1: {name})" in str(report)
    assert not repair(out).is_good
    assert (out / name).exists()


def test_other_files_are_told_and_no_fault(out):
    put(out, *OTHERS)
    report = verify(out)
    assert report.is_good
    assert report.others == sorted(OTHERS)
    assert "Other files (5: meta_lat.json, mine/model.safetensors, notes.md, …)." in str(report)
    result = CliRunner().invoke(cli, ["verify", str(out)])
    assert (result.exit_code, "Other files" in result.stdout) == (0, True)


def test_what_systems_leave_is_passed_over(out):
    put(out, *SYSTEM)
    report = verify(out)
    assert str(report).endswith("and there are no other files.")


def test_the_command_fails_over_a_stray(out):
    put(out, "copy.png")
    result = CliRunner().invoke(cli, ["verify", str(out)])
    assert isinstance(result.exception, IncompleteError)


def test_beside_shards_strays_are_told_too(shards):
    files = files_of(shards)
    put(shards, "shards/more.tar", "1.webp", "shards/1.txt")
    assert verify(shards).strays == ["1.webp", "shards/1.txt", "shards/more.tar"]
    assert not repair(shards).is_good
    for name in verify(shards).strays:
        (shards / name).unlink()
    assert verify(shards).is_good
    assert files_of(shards) == files
