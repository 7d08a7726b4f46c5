"""Configurations: read, overridden, written back, documented; and what wrong ones are told."""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

from hakubooru.errors import ConfigError
from hakubooru.settings import default
from hakubooru_cli.train import main
from hakubooru_trainer.config import Options, dump, help_text, load
from hakubooru_trainer.config.options import DataOptions
from hakubooru_trainer.config.read import flat
from hakubooru_trainer.evaluate.options import EvaluationOptions
from training_pairs import write_pairs

EXAMPLES = Path(__file__).parents[2] / "examples"
GOOD = """
[run]
out = "out"
[model]
path = "model"
[[data]]
path = "one"
[[data]]
path = "two"
repeats = 3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def call_command(monkeypatch, capsys):
    """The exit code of a command line, and what it says of its errors."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["hakubooru-train", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            main()
        return exit_info.value.code, capsys.readouterr().err

    return call


def test_what_is_written_reads_back_the_same(file, tmp_path):
    options = load(file, ["lokr.factors={FeedForward=4}", "optimizer.lr=1e-4", "data.1.weight=2"])
    (tmp_path / "again.toml").write_text(dump(options), encoding="utf-8")
    assert load(tmp_path / "again.toml") == options
    assert options.optimizer.lr == 1e-4
    assert options.data[1].weight == 2.0
    assert options.lokr.factors == {"FeedForward": 4}


def test_a_bare_word_is_a_text(file):
    assert load(file, ["optimizer.name=adamw", "run.out = C:\\runs\\mine"]).run.out == "C:\\runs\\mine"


SECTIONS = [
    *(get_type_hints(Options) | {"data": DataOptions}).items(),
    *get_type_hints(EvaluationOptions).items(),
]


@pytest.mark.parametrize(
    ("section", "kind", "name"),
    [(section, kind, field.name) for section, kind in SECTIONS for field in dataclasses.fields(kind)],
)
def test_each_option_is_checked_where_it_is_made_in_python_too(section, kind, name):
    required = {
        field.name: "x" for field in dataclasses.fields(kind) if default(field) is dataclasses.MISSING
    }
    with pytest.raises(ConfigError, match=rf"{section}\.{name} = "):
        kind(**required | {name: {1, 2}})


@pytest.fixture
def trainable(tmp_path, shallow, monkeypatch):
    """A configuration that could be trained with, on a machine without a GPU."""
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    write_pairs(tmp_path / "pairs", [(64, 64)] * 4)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.txt").touch()
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "tiny").symlink_to(shallow)
    (tmp_path / "run.toml").write_text(
        GOOD.replace('"model"', '"tiny"')
        .replace('path = "one"', 'path = "pairs"')
        .partition('[[data]]\npath = "two"')[0]
        + "[buckets]\narea = 4096\nmin_side = 64\n"
    )
    return tmp_path / "run.toml"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_examples_can_be_read(path):
    if "[[data]]" in path.read_text(encoding="utf-8"):
        load(path)


def test_epsilon_is_the_published_run():
    epsilon = flat(load(EXAMPLES / "epsilon.toml"))
    published = {
        "optimizer.name": "lion8bit", "optimizer.lr": 2e-5, "optimizer.text_lr": 5e-6, "optimizer.warmup": 1000,
        "optimizer.schedule": "constant", "optimizer.weight_decay": 0.1, "optimizer.betas": (0.9, 0.95),
        "loss.min_snr_gamma": 5, "loss.noise_offset": 0.0357, "captions.drop_tags": 0.15, "run.precision": "fp16",
        "buckets.area": 1024**2, "buckets.min_side": 256, "buckets.max_side": 4096, "text.train": True, "run.epochs": 1,
        "captions.keep_separator": "|||", "captions.shuffle": True, "lokr.preset": "epsilon", "lokr.norms": True,
        "text.tokens": 225, "run.checkpointing": True, "optimizer.clip": 1, "buckets.step": 64,
        # The four switches, each as it should be; the original's values are in the comments.
        "optimizer.warmup_steps_an_update": 1, "loss.timesteps_alike": 1, "buckets.crop": "true", "lokr.masters": "fp32",
    }  # fmt: skip
    assert {key: epsilon[key] for key in published} == published
    assert epsilon["batch.size"] * epsilon["batch.accumulation"] == 256
    assert math.ceil(5_210_319 / 256) == 20_353  # and a few batches that are not full: 20,354
    delta = flat(load(EXAMPLES / "delta.toml"))
    assert delta["batch.size"] * delta["batch.accumulation"] == round(3_665_000 / 28_638) == 128


def test_to_the_letter_epsilon_can_be_repeated():
    """What the comments of the example say repeats the original is there, and goes together."""
    text = (EXAMPLES / "epsilon.toml").read_text(encoding="utf-8")
    original = [
        "optimizer.warmup_steps_an_update=4",
        "loss.timesteps_alike=4",
        "buckets.crop=kohya",
        "lokr.masters=fp16",
    ]
    for override in original:
        key, value = override.partition(".")[2].split("=")
        (line,) = (line for line in text.splitlines() if line.startswith(f"{key} = "))
        assert value in line.partition("#")[2]
    load(EXAMPLES / "epsilon.toml", original)


def test_every_key_is_documented(file):
    text = help_text()
    keys = [line.split(" =")[0] for line in text.splitlines() if " =" in line and not line.startswith("#")]
    assert sorted(keys) == sorted(
        key.rpartition(".")[2] for key in flat(load(file)) if not key.startswith("data[1]")
    )
    for previous, line in zip(text.splitlines(), text.splitlines()[1:], strict=False):
        assert not (" =" in line and not line.startswith("#")) or previous.startswith("#"), line


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.lrr=1", "[optimizer] has no key 'lrr'; did you mean 'lr'?"),
        ("optimiser.lr=1", "the file has no key 'optimiser'; did you mean 'optimizer'?"),
        ("optimizer.name=lion8bitt", "did you mean 'lion8bit'?"),
        ("optimizer.lr=0", "optimizer.lr is 0.0; write a learning rate above 0"),
        ("optimizer.lr=nan", "optimizer.lr = nan; write a number"),
        ("optimizer.lr=fast", 'optimizer.lr = "fast"; write a number'),
        ("optimizer.betas=[0.9]", "write a list of 2"),
        ("optimizer.betas=[0.9, 1.5]", "write two numbers from 0 up to 1"),
        ("optimizer.warmup=-1", "optimizer.warmup = -1; write a whole number of at least 0"),
        (
            "optimizer.warmup_steps_an_update=0",
            "optimizer.warmup_steps_an_update = 0; write a whole number of at least 1",
        ),
        ("run.epochs=0", "the run has no end; set one of them"),
        ("run.name=a/b", "it becomes part of file names"),
        ("run.name=Aux", "no name of a device on Windows, such as aux"),
        ("run.precision=fp8", "there are: fp32, bf16, fp16"),
        ("run.weights=fp16", 'set run.weights to "fp32" or to the same as run.precision'),
        ("run.seed=1.5", "run.seed = 1.5; write a whole number"),
        ("run.checkpointing=1", "run.checkpointing = 1; write true or false"),
        ("model.vae_precision=fp16", "overflows to black or NaN"),
        ("model.prediction=velocity", "model.prediction"),
        ("buckets.step=20", "the VAE needs multiples of 8"),
        ("buckets.min_side=5000", "sides from 5000 to 4096; choose 0 < step"),
        ("captions.drop_parts={artist=0.1}", 'set captions.tags = "general"'),
        ("captions.text_only=0.1", 'set captions.tags = "general"'),
        ("captions.drop_groups=0.1", "need captions.group_separator"),
        (
            "captions.drop_parts={artist='much'}",
            "captions.drop_parts.artist is 'much'; write a rate from 0 to 1",
        ),
        ("captions.tags=all", "there are: tail, general"),
        ("data.0.loss_weight=-1", "data.loss_weight is -1.0; write a number from 0.000001 to 1000000"),
        ("data.0.weight=1e300", "data.weight is 1e+300; write a number from 0.000001 to 1000000"),
        ("data.0.weight=1e-300", "data.weight is 1e-300; write a number from 0.000001 to 1000000"),
        ("loss.noise_offset=1e300", "loss.noise_offset = 1e+300; write a number from 0 to 100"),
        ("optimizer.text_lr=1e300", "optimizer.text_lr is 1e+300; write a learning rate far below 1"),
        ('optimizer.rates={"*"=1e300}', "optimizer.rates.* is 1e+300; write a factor of the learning rate"),
        (
            "optimizer.weight_decay=1e6",
            "optimizer.weight_decay is 1000000.0 and optimizer.lr is 2e-05, so that an update",
        ),
        ("cache.text=x", "set text.train = false"),
        ("captions.drop_tags=15", "captions.drop_tags = 15.0; write a number from 0 to 1"),
        ("text.tokens=77", "there are: 75, 150, 225"),
        ("lokr.factors={Attention=0}", "lokr.factors.Attention is 0; write a whole number from 1 on"),
        ("lokr.preset=full", "there are: epsilon, attention"),
        ("loss.max_timestep=2000", "write 0 <= min_timestep < max_timestep <= 1000"),
        ("batch.size=0", "batch.size = 0; write a whole number from 1 to 65536"),
        ("run.epochs=9223372036854775808", "write a number from 0 to 1000000"),
        ("data.0.repeats=9223372036854775808", "write a whole number from 0 to 1000000"),
        ("buckets.max_side=9223372036854775808", "write a whole number from 1 to 65536"),
        ("data.1.weight=0", "To leave a data set out, remove its [[data]]"),
        ("data.2.weight=1", "data is a list of 2; write data.0.weight=value"),
        ("data=x", "write section.key=value"),
        ("validation.timesteps=[1000]", "write timesteps from 0 to 999"),
        ("samples.steps=1001", "samples.steps = 1001; write a whole number from 1 to 1000"),
        ("samples.width=1001", "write multiples of 8, at most 8192"),
        ("run.out=3", "run.out = 3; write a text in quotes"),
        ('run.out="a\\u0000b"', 'run.out = "a\\u0000b"; write a text without NUL characters'),
        ('samples.prompts="a\\u0000b"', 'samples.prompts = "a\\u0000b"; write a text without NUL'),
        ('data.1.path="a\\u0000b"', 'data.path = "a\\u0000b"; write a text without NUL characters'),
        ("batch.accumulation=", 'batch.accumulation = ""; write a whole number'),
        ("save.every=0", "save.every = 0; write a whole number of at least 1"),
    ],
)
def test_what_is_wrong_is_named(file, call_command, override, message):
    code, stderr = call_command("run", file, "--set", override)
    assert code == 2
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1
    assert message in stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.path=none", "none does not exist"),
        ("model.path=pairs", "does not hold the unet of an SDXL"),
        ("model.path=pairs/manifest.parquet", "is not a .safetensors file"),
        ("model.tokenizers=pairs", "has no tokenizer; set model.tokenizers"),
        ("model.vae=none.safetensors", "none.safetensors does not exist"),
        ("model.zero_terminal_snr=yes", 'set model.prediction = "v"'),
        ("data.0.path=", 'data.path = ""; name a folder, or "." for the current one'),
        ("data.0.path=none", "none is not a folder"),
        ("data.0.path=empty", "nothing is in it"),
        ("validation.images=4", "hold out fewer"),
        ("samples.prompts=none.txt", "cannot be read as prompts"),
        ("samples.prompts=empty.txt", "has no prompts; write one a line"),
        ("lokr.factors={FeedForwad=4}", "did you mean 'FeedForward'"),
        ('lokr.exclude=["lora_unet_nothing*"]', "matches no layer"),
        (
            "lokr.start=none.safetensors",
            "lokr.start: none.safetensors does not exist; name a .safetensors file",
        ),
        ("lokr.start=tiny/tiny.safetensors", "names its layers as in a whole checkpoint"),
        ("run.out=", 'run.out = ""; name a folder, or "." for the current one'),
        ("run.out=empty.txt", "which is a file; name a folder"),
        ("run.out=gone", "gone is not a folder that can be written; name another folder"),
        ("cache.latents=gone/latents", "gone is not a folder that can be written; name another folder"),
        ("run.device=cuda", "torch sees no GPU"),
    ],
)
def test_what_does_not_fit_is_named(trainable, call_command, override, message):
    """Where only the files that a configuration names show that it is wrong: before the first update, and in one sentence."""
    code, stderr = call_command("run", trainable, "--set", override)
    assert code == 2
    assert stderr.startswith("error: ")
    assert "\n" not in stderr.strip()
    assert message in stderr
    assert not (trainable.parent / "out" / "metrics.jsonl").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[run", "is not TOML"),
        ('[run]\nout = "x"\n[model]\npath = "y"', "data is missing; write it, since it has no default"),
        ('[model]\npath = "y"\n[[data]]\npath = "z"', "run is missing; write it, since it has no default"),
        (GOOD.replace('path = "model"', ""), "model.path is missing; write it, since it has no default"),
        (GOOD.replace("[[data]]", "[data]", 1).replace('[[data]]\npath = "two"', ""), "write [[data]]"),
        (GOOD + "[loss]\nmin_snr_gamma = 5\ndebiased = true", "both weigh the timesteps"),
        (GOOD + '[loss]\ndebiased_v = "kohya"', "set loss.debiased = true"),
        (GOOD + '[lokr]\nmasters = "fp16"\n[optimizer]\nname = "adamw"', "divides by 0"),
        (GOOD + "[run]", "is not TOML"),
    ],
)
def test_what_is_missing_is_named(tmp_path, text, message):
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_everything_that_is_wrong_is_told_at_once(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(
        '[run]\nout = "run.toml"\nepoch = 3\n[model]\npath = "none.gguf"\nvae = "none.safetensors"\ntokenizers = "no"\n'
        '[[data]]\npath = "one"\n[[data]]\npath = "two"\nweight = "much"\n[lokr]\nstart = "a.safetensors"\n'
        '[samples]\nprompts = "prompts.txt"\n[los]\n'
    )
    with pytest.raises(ConfigError) as caught:
        load(path, ["batch.size=many", "nothing"], paths=True)
    error = str(caught.value)
    assert error.startswith(f"{path}: 12 things are wrong: (1) --set nothing: write section.key=value")
    for part in (
        "[run] has no key 'epoch'; did you mean 'epochs'?", "none.gguf does not exist", "none.safetensors does not exist",
        "model.tokenizers is no, which is not a folder", "one is not a folder", "two is not a folder", 'data.weight = "much"',
        "a.safetensors does not exist", "prompts.txt cannot be read as prompts", "no key 'los'; did you mean 'loss'?",
        'batch.size = "many"; write a whole number',
    ):  # fmt: skip
        assert part in error
    with pytest.raises(ConfigError, match=r"5 things are wrong") as caught:
        load(path, ["batch.size=many", "run.updates=1", "loss.gamma=1"])
    assert "does not exist" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[model_arguments]\npretrained_model_name_or_path = "a"', "is a configuration of sd-scripts; docs/how-to/sd-scripts.md"),
        ('train_data_dir = "a"', "is a configuration of sd-scripts"),
        ("[[datasets]]\nresolution = 1024", "is a configuration of sd-scripts"),
        ('query = "solo"', "is a recipe, which describes a data set"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_named(tmp_path, text, message):
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load(tmp_path / "a.toml")


def test_a_file_that_is_none_is_named(tmp_path):
    (tmp_path / "b.toml").write_bytes(b"\x80")
    for name, message in (("a.toml", "cannot be read"), ("b.toml", "is not text")):
        with pytest.raises(ConfigError, match=message):
            load(tmp_path / name)
