"""Several processes that train as one."""

from __future__ import annotations

import signal
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from PIL import Image

import torchrun
import training_ranks
from hakubooru.errors import ConfigError, InputError, TrainingError
from hakubooru_trainer import loop
from hakubooru_trainer.config import dump
from hakubooru_trainer.config.options import BatchOptions, DataOptions
from hakubooru_trainer.data.scan import scan
from hakubooru_trainer.distributed import Ranks, launch
from training_ranks import apart, gradients, launched, metrics, record_run, records, small, weights

pytestmark = pytest.mark.xdist_group("ranks")

UPDATES = 4


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_batches_are_dealt_out_by_their_numbers(monkeypatch, world):
    """Every update's batches are shared among the ranks, wherever a run is taken up, and in their order."""
    every = []
    for rank in range(world):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(world))
        every.append(Ranks(torch.device("cpu")))
    for first in range(9):
        shares = [ranks.mine(range(first, 50)) for ranks in every]
        assert sorted(number for share in shares for number in share) == [*range(first, 50)]
        for start in range(first, 50, 7):
            update = range(start, min(start + 7, 50))
            for ranks, share in zip(every, shares, strict=True):
                assert [*ranks.mine(update)] == [number for number in share if number in update]


def test_each_rank_needs_a_batch(options, monkeypatch):
    settings = options(batch=BatchOptions(accumulation=4))
    data = loop.data_set(settings, Ranks(torch.device("cpu")))
    monkeypatch.setenv("WORLD_SIZE", "5")
    with pytest.raises(
        ConfigError, match=r"4 batches \(batch\.accumulation\) and there are 5 ranks; each rank needs"
    ):
        loop.prepare(settings, Ranks(torch.device("cpu")), data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ranks")


@pytest.mark.slow
def test_any_number_of_ranks_trains_the_same(options, folder):
    """The order of images, the gradients and the weights, but for rounding; and what is not finite on one rank."""
    for world, optimizer, name in ((2, "adamw", "lokr"), (4, "lion", "nan")):
        alone = small(options(), folder / f"1 {optimizer}", optimizer, UPDATES, name=name)
        settings = small(options(), folder / f"{world} {optimizer}", optimizer, UPDATES, name=name)
        record_run(alone)
        launched([settings], world)
        every = records(settings, world)
        assert sorted(entry for rank in every for entry in rank["ids"]) == records(alone, 1)[0]["ids"]
        assert all(rank["weights"] == every[0]["weights"] for rank in every)
        assert apart(gradients(settings), gradients(alone)).max() <= 1e-6
        apart_by = apart(weights(settings), weights(alone))
        if optimizer == "adamw":
            assert apart_by.max() <= 1e-6
        else:  # of a gradient that is nearly zero a rounding turns the sign, which is all that Lion sees
            assert (apart_by > 1e-6).float().mean() < 1e-4
            assert apart_by.max() <= 2 * UPDATES * settings.optimizer.lr + 1e-6

    # What is not finite on the last rank leaves the weights of all as they were.
    for bad in (settings, alone):
        assert [line["update"] for line in metrics(bad) if line.get("skipped")] == [3]
    assert len(set(every[0]["weights"])) == 3  # before each of the four


@pytest.mark.kill
def test_lost_ranks_are_started_again_and_end_with_the_same_bits(options, folder):
    """Rank 0 dies in the middle of a state, then rank 1 is told to stop: torchrun starts both again each time."""
    whole = small(options(), folder / "2 adamw", "adamw", UPDATES)
    if not Path(whole.run.out).exists():
        launched([whole], 2)
    settings = small(options(), folder / "lost", "adamw", UPDATES)
    path = folder / "lost.toml"
    path.write_text(dump(settings), encoding="utf-8")
    kills = "0 FILE 3 9,1 UPDATE 1 15"
    process = torchrun.start(2, folder / "output", training_ranks.main, path, KILLS=kills)
    assert process.wait() == 0, (folder / "output").read_text()
    states = sorted(state.name for state in Path(settings.run.out, "state").iterdir())
    assert states == ["000002", "000003", "000004"]  # the second: all saved when one was told to stop
    assert apart(weights(settings), weights(whole)).max() == 0
    assert [line["update"] for line in metrics(settings)] == [line["update"] for line in metrics(whole)]


@pytest.mark.slow
def test_ranks_with_unlike_data_sets_do_not_train_as_one(options, folder):
    for rank, ids in enumerate([(1, 2, 3), (1, 2, 4)]):
        for number in ids:
            path = folder / f"rank{rank}" / "mine" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (number, 0, 0)).save(path)
            path.with_suffix(".txt").write_text("1girl")
        scan(
            folder / f"rank{rank}" / "mine", Ranks(torch.device("cpu"))
        )  # as a run on that machine alone did
    settings = small(options(), folder / "unlike", "adamw", 2, name="unlike")
    settings = replace(settings, data=(DataOptions(path="mine"),))
    with pytest.raises(
        TrainingError,
        match=r"the ranks of this run are not alike: on rank \d, data is 'sha256:\w+', and not so",
    ):
        launched([settings], 2)
    assert not (folder / "unlike" / "metrics.jsonl").exists()


@pytest.mark.kill
@pytest.mark.parametrize(
    ("end", "kind", "text"),
    [
        (
            "os.kill(os.getpid(), 9)",
            TrainingError,
            "rank 1 ended the run: it was killed by SIGKILL, as the system",
        ),
        ("sys.exit(2)", InputError, "rank 1 ended the run: it ended with exit code 2"),
        ("sys.exit(130)", KeyboardInterrupt, None),
    ],
)
def test_who_ended_a_run_is_told(options, end, kind, text):
    """The other one, which finds that it cannot reach it, only leaves when it is ended."""
    code = f"import os, sys, time; {end} if os.environ['RANK'] == '1' else time.sleep(60)"
    with pytest.raises(kind, match=text):
        launch([sys.executable, "-c", code], 2, options().run)


@pytest.mark.kill
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no terminals that hang up")
def test_nohup_keeps_ranks_from_stopping_with_their_terminal(options):
    """torch's launcher ends its ranks at SIGHUP, even where `nohup` had it ignored."""
    from torch.distributed.launcher.api import LaunchConfig

    if not any(field.name == "signals_to_handle" for field in fields(LaunchConfig)):
        pytest.skip("this torch chooses the signals itself")
    code = "import os, signal, time; os.kill(os.getppid(), signal.SIGHUP); time.sleep(0.5)"
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        launch([sys.executable, "-c", code], 2, options().run)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    except KeyboardInterrupt:
        pytest.fail("the ranks were ended")
    finally:
        signal.signal(signal.SIGHUP, handler)
