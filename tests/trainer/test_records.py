"""What a run says of itself: lines of metrics, TensorBoard, run.json, metadata, the model card."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import suppress
from dataclasses import replace

import pytest
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from hakubooru.errors import TrainingError
from hakubooru_trainer import energy
from hakubooru_trainer.config.data import DataOptions
from hakubooru_trainer.config.learning import EmaOptions
from hakubooru_trainer.config.options import BatchOptions, SampleOptions, SaveOptions
from hakubooru_trainer.loop import run
from hakubooru_trainer.metrics import FIELDS, Metrics
from hakubooru_trainer.tally import Tally
from tiny_runs import SMALLEST, SOME_LAYERS
from training_pairs import write_pairs

CPU = torch.device("cpu")


class Images:
    """What a tally reads of a batch."""

    def __init__(self, timesteps, sources, decoded):
        self.timesteps, self.sources = torch.tensor(timesteps), torch.tensor(sources)
        self.decoded = torch.tensor(decoded)


def test_losses_are_counted_by_timestep_and_by_data_set():
    tally = Tally(["0 a", "1 b"], CPU)
    tally.add(Images([0, 249, 250], [0, 1, 1], [True] * 3), torch.tensor([1.0, 2.0, 4.0]))
    tally.add(Images([999, 0], [0, 0], [True, False]), torch.tensor([8.0, float("nan")]))
    assert tally.means() == {
        "by_timestep": {"0-249": 1.5, "250-499": 4.0, "750-999": 8.0},
        "by_data": {"0 a": 4.5, "1 b": 3.0},
    }
    alone = Tally(["0 a"], CPU)
    alone.add(Images([10], [0], [True]), torch.tensor([float("inf")]))
    assert alone.means() == {"by_timestep": {"0-249": float("inf")}}


def test_a_full_disk_is_named_and_hides_no_earlier_error(tmp_path):
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with (
        pytest.raises(
            TrainingError, match=r"metrics\.jsonl or .* could not be written \(No space left on device\)"
        ),
        Metrics(tmp_path, from_update=0) as metrics,
    ):
        metrics.write(1, loss=0.5)

    def interrupted():
        with Metrics(tmp_path, from_update=0) as metrics:
            with suppress(TrainingError):
                metrics.write(1, loss=0.5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()


def test_a_line_is_json_whatever_is_in_it(tmp_path):
    with Metrics(tmp_path, from_update=0) as metrics:
        metrics.write(1, loss=float("nan"), by_timestep={"0-249": float("inf"), "250-499": 1.0})
        metrics.picture(1, Image.new("RGB", (8, 8)))
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line, parse_constant=pytest.fail) == {
        "update": 1,
        "loss": None,
        "by_timestep": {"0-249": None, "250-499": 1.0},
    }
    with Metrics(None, from_update=0) as metrics:
        metrics.picture(1, Image.new("RGB", (8, 8)))


def test_without_a_driver_there_is_no_energy(monkeypatch):
    monkeypatch.setattr(energy, "_library", lambda: None)
    assert energy.joules(1) is None


@pytest.fixture
def settings(options, tmp_path):
    (tmp_path / "prompts.txt").write_text("1girl --ss euler_a\n")
    other = write_pairs(tmp_path / "regularisation", [(96, 96)] * 3)
    export = options().data[0]
    return options(
        data=(export, DataOptions(path=str(other), loss_weight=0.2, weight=0.5)),
        batch=BatchOptions(),
        ema=EmaOptions(decay=0.9),
        lokr=replace(SOME_LAYERS, preset="attention"),
        samples=SampleOptions(prompts=str(tmp_path / "prompts.txt"), every=9, width=64, height=64, steps=2),
        save=SaveOptions(every=2),
    )


@pytest.mark.slow
def test_a_run_records_itself(settings, tmp_path):
    out = tmp_path / "out"
    run(settings)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert {key for line in lines for key in line} <= FIELDS.keys()
    updates = [line for line in lines if "loss" in line]
    assert all((line["lr"], line["text_lr"]) == (1e-2, 1e-3) for line in updates)
    for line in updates:  # an update of one image: its range and its data set have its loss
        for means in (line["by_timestep"], line["by_data"]):
            assert [*means.values()] == pytest.approx([line["loss"]])
    names = {name for line in updates for name in line["by_data"]}
    assert names <= {f"{place} {data.path}" for place, data in enumerate(settings.data)}

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(out / "tensorboard"))
    board.Reload()
    assert board.Tags()["images"] == ["samples"]
    assert [event.step for event in board.Images("samples")] == [0, 4]
    assert any(tag.startswith("by_timestep/") for tag in board.Tags()["scalars"])

    record = json.loads((out / "run.json").read_text())
    assert record["about"]["ema.decay"] == 0.9
    assert record["about"]["version.torch"] == torch.__version__
    assert (record["updates"], record["kilowatt_hours"]) == (4, None)
    assert 0 < record["hours"] < 1
    (attempt,) = record["attempts"]
    assert (attempt["first_update"], attempt["last_update"], attempt["ranks"]) == (0, 4, 1)
    with safe_open(out / "lokr.safetensors", "pt") as file:
        about = file.metadata()
    assert about["hakubooru_recipe"] == record["recipe"]
    assert json.loads(about["hakubooru_config"])["optimizer.name"] == "adamw"
    assert json.loads(about["hakubooru_hours"]) <= record["hours"]

    card = (out / "README.md").read_text()
    _, head, body = card.split("---\n", 2)
    assert yaml.safe_load(head)["tags"][-1] == "hakubooru"
    assert "![samples](samples/000004.png)" in body
    assert "| average | decay 0.9, in `lokr-ema.safetensors` |" in body
    assert re.search(r"\| recipe \| sha256:[0-9a-f]{64} \|", body)

    # Taken up, it adds an attempt, and a card that was edited stays.
    (out / "README.md").write_text("mine")
    shutil.rmtree(out / "state" / "000004")
    run(settings)
    second = json.loads((out / "run.json").read_text())
    assert [attempt["first_update"] for attempt in second["attempts"]] == [0, 2]
    assert second["recipe"] == record["recipe"]
    assert second["hours"] > record["hours"]
    assert (out / "README.md").read_text() == "mine"

    average, plain = (load_file(out / f"lokr{name}.safetensors") for name in ("-ema", ""))
    assert average.keys() == plain.keys()
    assert not any(torch.equal(average[name], plain[name]) for name in plain if name.endswith("w2"))
    assert (out / "lokr-ema-000002.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("attempts", [[{"first_update": 0}], [{"hours": "2", "kilowatt_hours": 1}, 3]])
def test_hours_that_an_edited_record_lacks_are_not_known(options, tmp_path, attempts):
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.json").write_text(json.dumps({"attempts": attempts}))
    run(options(**SMALLEST, run=replace(options().run, updates=1)))
    record = json.loads((out / "run.json").read_text())
    assert record["hours"] is None
    assert record["attempts"][:-1] == attempts[:1]
    assert record["attempts"][-1]["hours"] > 0
    assert "| hours | not known |" in (out / "README.md").read_text()


@pytest.mark.slow
def test_two_recipes_have_two_fingerprints(settings, tmp_path):
    from hakubooru_trainer.checkpoint import States
    from hakubooru_trainer.distributed import Ranks
    from hakubooru_trainer.setup import data_set

    def recipe(options):
        return States(tmp_path, options, data_set(options, Ranks(CPU))).recipe

    first = recipe(settings)
    assert recipe(replace(settings, run=replace(settings.run, out="elsewhere", workers=4))) == first
    for other in (
        replace(settings, ema=EmaOptions(decay=0.99)),
        replace(settings, run=replace(settings.run, updates=5)),
        replace(settings, data=settings.data[:1]),
    ):
        assert recipe(other) != first
