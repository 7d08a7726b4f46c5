"""Conversions that are stopped, or find no room: what is there afterwards is whole."""

from __future__ import annotations

import signal
import sys

import pytest
from safetensors.torch import load_file

import conversion_stops
from disks import enlarge, small_disk
from hakubooru.errors import InputError
from hakubooru_cli.shell import run
from hakubooru_cli.train import cli
from hakubooru_trainer.config.options import ModelOptions
from hakubooru_trainer.convert import Converted, convert
from pictures import files_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("forks")]

FORMS = {"lora": ("--rank", 4), "peft": ()}


def arguments(source, shallow, to, out):
    return [source, "--to", to, *FORMS[to], "--config", shallow, "--out", out]


def state(out):
    """What lies at a path: a file's bytes, those of a folder's files, or None."""
    return files_of(out) if out.is_dir() else out.read_bytes() if out.exists() else None


@pytest.mark.kill
@pytest.mark.parametrize("to", FORMS)
def test_a_stopped_conversion_leaves_nothing_half_written(short_lokr, shallow, tmp_path, to):
    """At the first and the last moment, and between them; a file that was there before stays until the new one is whole."""
    whole, moments = tmp_path / "whole", tmp_path / "moments"
    assert conversion_stops.convert(arguments(short_lokr, shallow, to, whole), moments=moments) == 0
    count = int(moments.read_text())
    out = tmp_path / "folder" / "out"
    out.parent.mkdir()
    if to == "lora":
        out.write_bytes(b"before")
    original = state(out)
    for stop, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        for at in (1, count // 2, count):
            assert conversion_stops.convert(arguments(short_lokr, shallow, to, out), stop, at) == code
            assert state(out) == original
    assert [*out.parent.iterdir()] == ([] if original is None else [out])  # Ctrl-C leaves nothing beside
    assert conversion_stops.convert(arguments(short_lokr, shallow, to, out), signal.SIGKILL, count) < 0
    assert conversion_stops.convert(arguments(short_lokr, shallow, to, out)) == 0
    assert state(out) == state(whole)
    assert [*out.parent.iterdir()] == [out]  # nor does what a killed one left stay


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", "256k") as folder:
        yield folder


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command in this process: its exit code, and what it prints of errors."""

    def run_convert(command):
        monkeypatch.setattr(sys, "argv", ["hakubooru-train", "convert", *map(str, command)])
        return run(cli, "hakubooru-train"), capsys.readouterr().err

    return run_convert


@pytest.mark.parametrize("to", FORMS)
def test_a_full_disk_is_named_and_with_room_it_is_done(call, trained_lokr, shallow, disk, to):
    command = arguments(trained_lokr, shallow, to, disk / "out")
    code, error = call(command)
    assert code == 1
    assert f"No space left on device ({disk}" in error
    assert "; make room and run the same command again" in error
    assert list(disk.iterdir()) == []
    enlarge(disk)
    assert call(command)[0] == 0
    assert [path.name for path in disk.iterdir()] == ["out"]


def test_what_is_there_is_replaced_but_not_the_source(trained_lokr, shallow, tmp_path):
    model = ModelOptions(path=str(shallow))
    out, link = tmp_path / "out.safetensors", tmp_path / "link"
    out.write_bytes(b"before")
    convert(trained_lokr, out, model, to="lokr")
    assert load_file(out).keys() == load_file(trained_lokr).keys()
    link.symlink_to(out)
    with pytest.raises(InputError, match="is the adapter itself; name a new file"):
        convert(out, link, model, to="lora", rank=2)


def test_one_is_told_as_one():
    assert str(Converted(layers=1, rank=4, norms=1)) == (
        "1 layer of rank 4 or less, only names changed; 1 norm is left out, which a LoRA cannot change"
    )
    assert str(Converted(layers=2, norms=2)) == (
        "2 layers of LoKr, only names changed; 2 norms are left out, which PEFT cannot change"
    )
