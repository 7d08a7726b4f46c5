"""`init`, `convert` and the new help, as a user calls them."""

from __future__ import annotations

import pytest
import torch
from click.testing import CliRunner

from hakubooru.errors import InputError
from hakubooru.settings import documentation
from hakubooru_cli.train import cli
from hakubooru_trainer.config import load
from hakubooru_trainer.config.learning import OptimizerOptions
from hakubooru_trainer.config.optimisers import OPTIMISERS
from hakubooru_trainer.config.options import BatchOptions
from hakubooru_trainer.config.read import flat
from hakubooru_trainer.distributed import Ranks
from hakubooru_trainer.first_config import Card, first_config
from hakubooru_trainer.metrics import FIELDS
from hakubooru_trainer.setup import data_set
from training_pairs import write_pairs

pytestmark = pytest.mark.slow


def call(*arguments):
    return CliRunner().invoke(cli, [*map(str, arguments)])


@pytest.fixture
def init(shallow, export):
    def write(memory, *, has_bf16=True):
        return first_config(str(shallow), [str(export)], Card("a card", memory, has_bf16))

    return write


def test_it_is_valid_and_can_be_planned(export, shallow, tmp_path):
    file = tmp_path / "train.toml"
    result = call("init", export, "--model", shallow, "--memory", 24, "--out", file)
    assert result.exit_code == 0, result.exception
    options = load(file, paths=True)
    assert options.data[0].path == str(export)
    assert options.captions.tags == "general"
    lines = file.read_text().splitlines()
    keys = [place for place, line in enumerate(lines) if " = " in line and not line.startswith("#")]
    assert all(lines[place - 1].startswith("#") for place in keys)
    planned = call(
        "plan", file, "--set", "buckets.area=4096", "--set", "buckets.min_side=32", "--set", "buckets.step=16"
    )
    assert planned.exit_code == 0, planned.exception
    error = call("init", export, "--model", shallow, "--out", file).exception
    assert isinstance(error, InputError)
    assert "exists already; name a new file" in str(error)


def test_what_fits_a_card_is_chosen(init, tmp_path):
    (tmp_path / "large.toml").write_text(init(80.0, has_bf16=False))
    large = load(tmp_path / "large.toml")
    assert (large.run.checkpointing, large.batch) == (False, BatchOptions(size=16, accumulation=2))
    assert (large.run.precision, large.run.weights) == ("fp16", "fp16")
    (tmp_path / "small.toml").write_text(text := init(0.01))
    small = load(tmp_path / "small.toml")
    assert (small.run.checkpointing, small.run.weights, small.batch.size) == (True, "nf4", 1)
    assert "Even this may not fit" in text


def test_a_short_run_is_measured_and_saved_along_its_way(shallow, tmp_path):
    write_pairs(tmp_path / "mine", [(64, 64)] * 80)
    text = first_config(str(shallow), [str(tmp_path / "mine")], Card("a card", 24, has_bf16=True))
    (tmp_path / "train.toml").write_text(text)
    options = load(tmp_path / "train.toml")
    updates = data_set(options, Ranks(torch.device("cpu"))).updates
    assert 20 <= updates < 500  # the default of a measurement
    assert f"{updates} updates in all." in text
    every = (options.validation.every, options.samples.every, options.save.every)
    assert every == (updates // 10,) * 3


def test_a_model_and_folders_that_are_not_there_are_named(tmp_path, shallow):
    error = call("init", tmp_path / "none", "--model", shallow, "--out", tmp_path / "t.toml").exception
    assert isinstance(error, InputError)
    assert "none is not a folder" in str(error)


def test_convert_says_what_is_lost(shallow_parts, shallow, tmp_path):
    from hakubooru_trainer.config.options import LokrOptions
    from hakubooru_trainer.lokr import file
    from hakubooru_trainer.lokr.adapter import Adapter
    from hakubooru_trainer.lokr.preset import targets

    adapter = Adapter(targets({"unet": shallow_parts().unet}, LokrOptions(preset="attention")))
    for name, tensor in adapter.weights():
        torch.nn.init.normal_(tensor) if name.endswith("w2") else None
    file.write(tmp_path / "a.safetensors", adapter, torch.float16, {})
    out = tmp_path / "b.safetensors"
    result = call("convert", tmp_path / "a.safetensors", "--rank", 8, "--config", shallow, "--out", out)
    assert result.exit_code == 0, result.exception
    assert "of rank 8 or less; " in result.output
    assert "% of the change is lost" in result.output
    assert call("convert", out, "--to", "peft", "--config", shallow, "--out", tmp_path / "p").exit_code == 0
    error = call("convert", tmp_path / "a.safetensors", "--config", shallow, "--out", out).exception
    assert isinstance(error, InputError)


def test_every_metric_can_be_shown():
    output = call("run", "--help-metrics").output
    assert all(text in output for text in FIELDS.values())


def test_every_option_has_a_line_and_every_optimiser_is_named(tmp_path, shallow, export):
    output = call("run", "--help-config").output
    (tmp_path / "c.toml").write_text(
        first_config(str(shallow), [str(export)], Card("a card", 24, has_bf16=True))
    )
    for key in flat(load(tmp_path / "c.toml")):
        assert f"\n{key.rpartition('.')[2]} = " in output
    assert all(name in documentation(OptimizerOptions)["name"] for name in OPTIMISERS)
