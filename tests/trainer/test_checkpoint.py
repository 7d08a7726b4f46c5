"""What a state knows of its run, so that a run never goes on as another one."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hakubooru.errors import ConfigError
from hakubooru_trainer import durable, loop, outputs
from hakubooru_trainer.checkpoint import Counters, States
from hakubooru_trainer.config.options import ModelOptions, OptimizerOptions, SaveOptions
from hakubooru_trainer.distributed import Ranks
from hakubooru_trainer.setup import data_set, prepare
from tiny_runs import SMALLEST

CPU = torch.device("cpu")


@pytest.fixture
def resumed(tmp_path, shallow, options):
    """What resumes, with another model, from a state that `shallow` was trained to."""

    def states(model):
        settings, ranks = options(**SMALLEST, model=model), Ranks(CPU)
        data = data_set(settings, ranks)
        return States(tmp_path / "state", settings, data), prepare(settings, ranks, data)

    first, training = states(ModelOptions(path=str(shallow)))
    first.resume(None, training)
    first.save(Counters(update=1), training)

    def resume(model):
        second, trained = states(model)
        return second.resume(None, trained)

    return resume


def with_changed(file, change):
    file.write_text(json.dumps(change(json.loads(file.read_text(encoding="utf-8")))), encoding="utf-8")


def swapped(vocabulary):
    """A vocabulary in which two tokens have each other's number."""
    first, second = list(vocabulary)[100:102]
    return vocabulary | {first: vocabulary[second], second: vocabulary[first]}


@pytest.mark.slow
def test_other_tokenizers_are_another_run(resumed, shallow, tmp_path):
    folder = tmp_path / "tokenizers"
    for name in ("tokenizer", "tokenizer_2"):
        shutil.copytree(shallow / name, folder / name)
    model = ModelOptions(path=str(shallow), tokenizers=str(folder))
    assert resumed(model).update == 1
    with_changed(folder / "tokenizer_2" / "vocab.json", swapped)
    with pytest.raises(ConfigError, match=r"model\.tokens: the tokenizers at model\.tokenizers.* are others"):
        resumed(model)
    mark = durable.read_mark(tmp_path / "state" / "000001")
    del mark["about"]["model.tokens"], mark["about"]["model.schedule"]  # as earlier versions wrote it
    durable.write_mark(tmp_path / "state" / "000001", mark)
    assert resumed(model).update == 1


@pytest.mark.slow
def test_a_model_that_is_marked_otherwise_is_another_run(resumed, shallow, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(shallow, folder)
    with_changed(
        folder / "scheduler" / "scheduler_config.json",
        lambda table: table | {"prediction_type": "v_prediction"},
    )
    with pytest.raises(ConfigError, match=r"model\.schedule was 'epsilon' and is 'v'\. .* or accept another"):
        resumed(ModelOptions(path=str(folder)))


@pytest.mark.slow
def test_a_run_that_is_to_end_within_its_last_update_is_refused(resumed, tmp_path, shallow, options):
    """A state of twelve batches is not one of a run that ends after ten, though both have three updates of four."""
    mark = durable.read_mark(tmp_path / "state" / "000001")
    mark |= {"counters": vars(Counters(update=3)), "batches": 12}
    durable.write_mark(tmp_path / "state" / "000001", mark)
    settings = options(**SMALLEST)
    data = data_set(settings, Ranks(CPU))
    for batches in (10, 12):
        states = States(tmp_path / "state", settings, replace(data, batches=batches))
        states.accumulation = 4
        if batches == 12:
            states.compare(None)
            continue
        with pytest.raises(ConfigError, match=r"is 3 updates \(12 batches\) into a run .* after 3 \(10\)"):
            states.compare(None)


def test_adapters_of_a_course_that_was_left_do_not_push_out_new_ones(options, tmp_path):
    """A run that went on from its update 2 has adapters of later ones; it keeps what it writes itself."""
    run = SimpleNamespace(options=options(save=SaveOptions(keep=2)), out=tmp_path)
    for number in (1, 2, 3, 6, 9, 12):
        (tmp_path / f"lokr-{number:06d}.safetensors").touch()
    outputs.retire(run, 3)
    numbers = [int(Path(path).stem.removeprefix("lokr-")) for path in sorted(tmp_path.glob("*.safetensors"))]
    assert numbers == [2, 3, 6, 9, 12]


@pytest.mark.slow
def test_a_run_whose_optimiser_may_have_moved_layers_without_a_rate_is_another_run(options, tmp_path):
    ranks = Ranks(CPU)
    settings = options(
        **SMALLEST | {"optimizer": OptimizerOptions(name="torch.optim:SGD", rates={"lora_unet_*attn1*": 0})}
    )
    data = data_set(settings, ranks)
    states, training = States(tmp_path / "state", settings, data), prepare(settings, ranks, data)
    states.resume(None, training)
    states.save(Counters(update=1), training)
    assert states.resume(None, training).update == 1
    mark = durable.read_mark(tmp_path / "state" / "000001")
    del mark["about"]["version.still"]  # as earlier versions wrote it
    durable.write_mark(tmp_path / "state" / "000001", mark)
    with pytest.raises(ConfigError, match=r"learning rate is 0 now stay .* --allow-change version\.still"):
        states.resume(None, training)
    allowed = States(tmp_path / "state", settings, data, ["version.still"])
    assert allowed.resume(None, training).update == 1


@pytest.mark.slow
def test_a_moved_run_that_began_with_a_state_of_its_own_goes_on(options, tmp_path):
    settings, ranks = options(**SMALLEST), Ranks(CPU)
    data = data_set(settings, ranks)
    training = prepare(settings, ranks, data)

    def states(folder):
        return States(tmp_path / folder / "state", settings, data)

    first = states("out")
    first.resume(None, training)
    first.save(Counters(update=1), training)
    again = states("out")
    assert again.resume(tmp_path / "out" / "state" / "000001", training).update == 1
    again.save(Counters(update=2), training)
    (tmp_path / "out").rename(tmp_path / "moved")
    assert states("moved").resume(tmp_path / "moved" / "state" / "000001", training).update == 2


@pytest.mark.slow
def test_an_argument_of_the_optimiser_that_was_taken_out_has_its_default_again(options, tmp_path):
    def states(args, *allowed):
        settings, ranks = options(**SMALLEST, optimizer=OptimizerOptions(name="adamw", args=args)), Ranks(CPU)
        data = data_set(settings, ranks)
        return States(tmp_path / "state", settings, data, allowed), prepare(settings, ranks, data)

    first, training = states({"eps": 0.01, "foreach": False})
    first.resume(None, training)
    first.save(Counters(update=1), training)
    again, resumed = states({"amsgrad": False}, "optimizer.args")
    assert again.resume(None, resumed).update == 1
    groups = resumed.optimizer.param_groups
    assert {(group["eps"], group["foreach"]) for group in groups} == {(1e-8, None)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed", [{}, {"rates": {"lora_te1_*": 0.5}}, {"name": "lion"}, {"args": {"amsgrad": True}}]
)
def test_an_optimiser_that_begins_without_its_averages_is_warned_of(options, tmp_path, capsys, changed):
    section = OptimizerOptions(name="adamw", lr=1e-2)
    settings = options(**SMALLEST, optimizer=section, save=SaveOptions(every=1))
    loop.run(replace(settings, run=replace(settings.run, updates=1)))
    assert "warning" not in capsys.readouterr().err
    keys = [f"optimizer.{name}" for name in changed]
    loop.run(
        replace(settings, optimizer=replace(section, **changed), run=replace(settings.run, updates=2)),
        allow=keys,
    )
    warnings = [f"warning: the optimiser begins without its averages, since {key} differs" for key in keys]
    assert [
        line.partition(" from that of ")[0]
        for line in capsys.readouterr().err.splitlines()
        if "warning" in line
    ] == warnings
