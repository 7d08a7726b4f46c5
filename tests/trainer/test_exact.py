"""A run that was killed, at any moment and however often, ends with the bits of one that was not."""

from __future__ import annotations

import json
import random
import resource
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import training_kills
from hakubooru.errors import ConfigError, DestinationError, ModelError, TrainingError
from hakubooru_trainer import durable, metrics
from hakubooru_trainer.checkpoint import States
from hakubooru_trainer.config.options import (
    CacheOptions,
    CaptionOptions,
    LokrOptions,
    LossOptions,
    ModelOptions,
    OptimizerOptions,
    SaveOptions,
    ValidationOptions,
)
from hakubooru_trainer.distributed import Ranks
from hakubooru_trainer.durable import TornStateError
from hakubooru_trainer.loop import run
from hakubooru_trainer.setup import data_set, prepare
from tiny_runs import SMALL, options_of
from training_pairs import SIZES, write_pairs

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("exact")]

MOMENTS = 20
"""About as many as lie between three updates, with the state that is saved after every second."""


def settings_of(options, out, **run_options):
    return replace(options, run=replace(options.run, **{"out": str(out), "updates": 6} | run_options))


def stopped(whole, out, update):
    """What a run that is done has left after one of its states."""
    shutil.copytree(whole.run.out, out)
    Path(out, "lokr.safetensors").unlink()
    for state in Path(out, "state").iterdir():
        if int(state.name) > update:
            shutil.rmtree(state)


def weights(options):
    return load_file(f"{options.run.out}/lokr.safetensors")


def lines(options):
    entries = [json.loads(line) for line in Path(options.run.out, "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in entries]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


SECTIONS = SMALL | {
    "captions": CaptionOptions(drop_tags=0.15, drop_caption=0.1),
    "loss": LossOptions(min_snr_gamma=5, noise_offset=0.0357),
    "optimizer": OptimizerOptions(name="adamw", lr=1e-3, text_lr=1e-4, warmup=3),
    "save": SaveOptions(every=2),
    "validation": ValidationOptions(images=1, every=3, timesteps=(500,)),
}


@pytest.fixture
def six(options):
    """A run of six updates with everything that is random switched on."""
    return options(**SECTIONS)


@pytest.fixture(scope="module")
def whole(shallow, tmp_path_factory):
    """The run of six updates, done without a break; not to be changed."""
    folder = tmp_path_factory.mktemp("whole")
    six = options_of(shallow, write_pairs(folder / "export", SIZES), folder / "out", **SECTIONS)
    settings = settings_of(six, folder / "out")
    run(settings)
    return settings


@pytest.mark.kill
@pytest.mark.parametrize(
    ("optimizer", "precision", "updates", "kills"),
    [("adamw", "fp32", 6, 5), ("lion8bit", "fp32", 4, 1), ("adamw", "fp16", 4, 2)],
)
def test_killed_it_ends_with_the_same_bits(six, whole, tmp_path, optimizer, precision, updates, kills):  # noqa: PLR0917 - fixtures
    settings = replace(six, optimizer=replace(six.optimizer, name=optimizer))
    killed = settings_of(settings, tmp_path / "killed", precision=precision, updates=updates)
    if (optimizer, precision) != (whole.optimizer.name, whole.run.precision):
        whole = settings_of(settings, tmp_path / "whole", precision=precision, updates=updates)
        run(whole)
    draw = random.Random(5)  # the first of whose moments lies behind a state
    for _ in range(kills):
        training_kills.kill(killed, draw, MOMENTS)
    assert training_kills.run(killed) == 0
    assert same(weights(killed), weights(whole))
    assert lines(killed) == lines(whole)


def test_a_torn_state_is_told_and_the_one_before_taken(six, whole, tmp_path, capfd):
    torn = settings_of(six, tmp_path / "torn")
    stopped(whole, torn.run.out, 6)
    state = tmp_path / "torn" / "state" / "000006"
    data = bytearray((state / "optimizer.safetensors").read_bytes())
    data[-9] ^= 1
    (state / "optimizer.safetensors").write_bytes(data)
    run(torn)
    assert (
        f"{state} is torn (optimizer.safetensors does not have the checksum that was written)"
        in capfd.readouterr().out
    )
    assert same(weights(torn), weights(whole))

    for state in (tmp_path / "torn" / "state").iterdir():
        (state / "state.json").unlink()
    with pytest.raises(ModelError, match=r"no state in .* is complete; set run\.out to another folder"):
        run(torn)


def test_whatever_is_torn_is_noticed(six, whole, tmp_path):
    """Each file of the last state cut short, with a bit flipped anywhere, or missing."""
    settings = settings_of(six, tmp_path / "out")
    stopped(whole, settings.run.out, 4)
    data = data_set(settings, Ranks(torch.device("cpu")))
    states = States(tmp_path / "out" / "state", settings, data)
    training = prepare(settings, Ranks(torch.device("cpu")), data)
    draw = random.Random(1)
    assert states.resume(None, training).update == 4
    for file in sorted((tmp_path / "out" / "state" / "000004").iterdir()):
        good = file.read_bytes()
        places = [0, 9, len(good) - 1, *(draw.randrange(len(good)) for _ in range(9))]
        flipped = [good[:at] + bytes([good[at] ^ 1 << draw.randrange(8)]) + good[at + 1 :] for at in places]
        for bad in (None, b"", *(good[:at] for at in places), *flipped):
            file.unlink() if bad is None else file.write_bytes(bad)
            with pytest.raises(TornStateError, match=rf"000004 is torn \({file.name}"):
                states._load(file.parent, training)
        file.write_bytes(good)
    assert states.resume(None, training).update == 4


def test_a_full_disk_leaves_the_states_before(six, whole, tmp_path):
    full = settings_of(replace(six, save=SaveOptions(every=1)), tmp_path / "full")
    stopped(whole, full.run.out, 4)
    size = Path(whole.run.out, "lokr.safetensors").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for most, name in ((size // 2, r"lokr-000005\.safetensors"), (size * 3 // 2, "the state of update 5")):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
        try:
            with pytest.raises(
                TrainingError, match=f"{name} could not be written .*free some disk space and run the same"
            ):
                run(full)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert [state.name for state in (tmp_path / "full" / "state").iterdir()] == ["000004"]
    run(full)
    assert same(weights(full), weights(whole))
    losses = [[line for line in lines(settings) if "loss" in line] for settings in (full, whole)]
    assert losses[0] == losses[1]


@pytest.mark.kill
def test_an_earlier_state_may_be_chosen(six, whole, tmp_path):
    settings = settings_of(six, tmp_path / "out")
    shutil.copytree(whole.run.out, settings.run.out)
    first = weights(settings)
    states = tmp_path / "out" / "state"
    assert sorted(state.name for state in states.iterdir()) == ["000004", "000006"]
    shutil.copytree(states / "000004", tmp_path / "000004")
    Path(settings.run.out, "lokr.safetensors").unlink()
    run(settings, resume=str(tmp_path / "000004"))
    assert same(weights(settings), first)
    with pytest.raises(DestinationError, match="has a run already; set run"):
        run(settings, resume="never")
    with pytest.raises(DestinationError, match="that folder is not a state"):
        run(settings, resume=str(tmp_path))

    # One of its own, and what comes after it no longer counts; killed and called again, the same command goes on.
    own = str(states / "000004")
    assert training_kills.run(settings, at=5, resume=own) == -signal.SIGKILL
    assert [state.name for state in sorted(states.iterdir()) if state.name.isdecimal()] == ["000004"]
    run(replace(settings, save=SaveOptions(every=1)), resume=own)
    assert sorted(state.name for state in states.iterdir()) == ["000005", "000006"]
    run(settings, resume=own)
    assert same(weights(settings), first)


def test_a_longer_run_goes_on(six, whole, tmp_path):
    longer = settings_of(six, tmp_path / "longer")
    run(replace(longer, run=replace(longer.run, updates=4)))
    run(longer)
    assert same(weights(longer), weights(whole))

    original = weights(longer)
    with pytest.raises(
        ConfigError, match=r"000006 is 6 updates \(12 batches\) into a run that is to end after 4 \(8\)"
    ):
        run(replace(longer, run=replace(longer.run, updates=4)))
    assert same(weights(longer), original)

    falling = replace(six, optimizer=replace(six.optimizer, schedule="cosine"))
    falling = settings_of(falling, tmp_path / "falling")
    run(replace(falling, run=replace(falling.run, updates=1)))
    with pytest.raises(ConfigError, match=r"run\.updates was 1 and is 6"):
        run(falling)


def test_what_alters_the_result_is_refused_unless_it_is_allowed(six, whole, tmp_path):
    settings = settings_of(six, tmp_path / "out")
    stopped(whole, settings.run.out, 4)
    state = tmp_path / "out" / "state" / "000004"
    mark = durable.read_mark(state)
    mark["about"]["version.torch"] = "0.1"
    durable.write_mark(state, mark)
    write_pairs(tmp_path / "other", [(96, 96)] * 9)
    other = replace(
        settings,
        optimizer=replace(settings.optimizer, lr=1e-4),
        data=(replace(settings.data[0], path=str(tmp_path / "other")),),
    )
    early = replace(other, model=ModelOptions(path=str(tmp_path / "nowhere")))
    with pytest.raises(ConfigError, match=r"optimizer\.lr was"):
        run(early)  # before the model is read
    with pytest.raises(ConfigError) as refusal:
        run(other)
    for part in (
        "data: the data set holds other images or captions",
        "optimizer.lr was 0.001 and is 0.0001",
        "version.torch was '0.1' and is ",
        "accept another result: --allow-change data --allow-change optimizer.lr --allow-change version.torch",
    ):
        assert part in str(refusal.value)
    with pytest.raises(ConfigError, match=r"optimizer\.lr was"):
        run(other, allow=["data", "version"])
    with pytest.raises(
        ConfigError, match=r"--allow-change optimiser.lr: there is no such key.*optimizer\.lr"
    ):
        run(other, allow=["optimiser.lr"])
    run(other, allow=["data", "version", "optimizer.lr"])
    assert lines(other)[-2]["lr"] == 1e-4


@pytest.mark.kill
def test_a_cache_of_latents_changes_nothing_and_is_taken_up(six, whole, tmp_path):
    cached = settings_of(
        replace(six, cache=CacheOptions(latents=str(tmp_path / "latents"))), tmp_path / "cached"
    )
    assert training_kills.run(cached, at=1) == -signal.SIGKILL
    assert [file for file in (tmp_path / "latents").rglob("*.safetensors") if file.stat().st_size] == []
    run(cached)
    assert same(weights(cached), weights(whole))


def test_states_are_written_by_the_clock_too(six, tmp_path):
    settings = replace(six, save=SaveOptions(every=1000, minutes=1e-9, states=9))
    settings = settings_of(settings, tmp_path / "out", updates=3)
    run(settings)
    names = sorted(state.name for state in (tmp_path / "out" / "state").iterdir())
    assert names == ["000001", "000002", "000003"]
    assert (tmp_path / "out" / "lokr.safetensors").stat().st_mode & 0o777 == (
        tmp_path / "out" / "config.toml"
    ).stat().st_mode & 0o777


@pytest.mark.parametrize("end", ["", '{"update": 5, "lo', "\0\0\0\0\n\0"])
def test_lines_are_dropped_that_will_come_again(tmp_path, end):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(f'{{"update": {n}, "loss": 1}}\n' for n in (1, 2, 2, 3, 4)) + end)
    with metrics.Metrics(tmp_path, from_update=2) as log:
        log.write(3, loss=0.5)
    assert [json.loads(line)["update"] for line in path.read_text().splitlines()] == [1, 2, 2, 3]
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_v_prediction_trains_and_goes_on(six, tmp_path, shallow):
    settings = replace(
        six,
        model=ModelOptions(path=str(shallow), prediction="v", zero_terminal_snr="yes"),
        lokr=LokrOptions(save="fp32"),
    )
    whole, resumed = (settings_of(settings, tmp_path / name, updates=3) for name in ("whole", "resumed"))
    run(whole)
    stopped(whole, resumed.run.out, 2)
    run(resumed)
    assert same(weights(resumed), weights(whole))
    assert all(torch.isfinite(tensor).all() for tensor in weights(whole).values())


def test_a_run_begins_with_what_another_learned(six, whole, tmp_path):
    start = f"{whole.run.out}/lokr.safetensors"
    second = settings_of(replace(six, lokr=replace(six.lokr, start=start)), tmp_path / "second")
    second = replace(second, run=replace(second.run, updates=1))
    run(replace(second, optimizer=OptimizerOptions(name="adamw", lr=1e-12, text_lr=1e-12, weight_decay=0)))
    for name, tensor in weights(whole).items():
        assert torch.allclose(weights(second)[name], tensor, atol=1e-6)
