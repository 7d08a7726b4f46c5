"""Whole runs of the tiny model."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save

from hakubooru.errors import ConfigError, DestinationError, TrainingError
from hakubooru_trainer import loop
from hakubooru_trainer.checkpoint import Counters
from hakubooru_trainer.config.options import (
    BatchOptions,
    CacheOptions,
    CaptionOptions,
    LossOptions,
    OptimizerOptions,
    SampleOptions,
    SaveOptions,
    TextOptions,
    ValidationOptions,
)
from hakubooru_trainer.distributed import Ranks
from hakubooru_trainer.loop import run
from tiny_runs import SMALL, SMALLEST, SOME_LAYERS, options_of
from training_pairs import SIZES, write_pairs

pytestmark = pytest.mark.slow


def lines(options):
    with open(f"{options.run.out}/metrics.jsonl", encoding="utf-8") as file:  # noqa: PTH123
        return [json.loads(line) for line in file]


def weights(options):
    return load_file(f"{options.run.out}/lokr.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_leaves_what_other_tools_need(options, tmp_path):
    (tmp_path / "prompts.txt").write_text("1girl, stripes\n\nsolo\n")
    settings = options(
        captions=CaptionOptions(drop_tags=0.15),
        loss=LossOptions(min_snr_gamma=5, noise_offset=0.0357),
        validation=ValidationOptions(images=2, every=2, timesteps=(200, 800)),
        samples=SampleOptions(prompts=str(tmp_path / "prompts.txt"), every=4, width=64, height=64, steps=1),
        save=SaveOptions(every=1, keep=2),
        cache=CacheOptions(latents=str(tmp_path / "latents")),
    )
    report = run(settings)
    out = tmp_path / "out"
    assert report.file == out / "lokr.safetensors"
    assert sorted(path.name for path in out.glob("*.safetensors")) == [
        "lokr-000002.safetensors",
        "lokr-000003.safetensors",
        "lokr.safetensors",
    ]
    assert [line["update"] for line in lines(settings) if "loss" in line] == [1, 2, 3, 4]
    assert [line["update"] for line in lines(settings) if "validation" in line] == [0, 2, 4]
    assert report.validation == lines(settings)[-1]["validation"]
    first_sample, last_sample = ((out / "samples" / f"{n:06d}.png").read_bytes() for n in (0, 4))
    assert first_sample != last_sample
    with safe_open(report.file, "pt") as file:
        about = file.metadata()
        names = set(file.keys())
    assert about["ss_base_model_version"] == "sdxl_base_v1-0"
    assert json.loads(about["ss_tag_frequency"])["train"]["solo"] == 6
    assert sum(b["count"] for b in json.loads(about["ss_bucket_info"])["buckets"].values()) == 6
    assert about["hakubooru_dataset"].startswith("sha256:")
    assert about["ss_resolution"] == "(64, 64)"
    # sd-scripts' rule: SHA-256 of what follows the header of the tensors saved with the metadata of training alone.
    plain = save(
        load_file(report.file), {name: value for name, value in about.items() if name.startswith("ss_")}
    )
    assert about["sshs_model_hash"] == sha256(plain[8 + int.from_bytes(plain[:8], "little") :]).hexdigest()
    assert {name.rpartition(".")[2] for name in names} == {"lokr_w1", "lokr_w2", "alpha", "w_norm", "b_norm"}


@pytest.fixture(scope="module")
def plain(shallow, tmp_path_factory):
    """A run of an epoch with options that are all default, by one worker; not to be changed."""
    folder = tmp_path_factory.mktemp("plain")
    settings = options_of(shallow, write_pairs(folder / "export", SIZES), folder / "out")
    settings = replace(settings, run=replace(settings.run, workers=1, updates=2))
    run(settings)
    return settings


def test_a_cold_cache_a_warm_cache_and_none_give_the_same(plain, options, tmp_path):
    for name in ("cold", "warm"):
        settings = options(cache=CacheOptions(latents=str(tmp_path / "latents")))
        settings = replace(settings, run=replace(settings.run, out=str(tmp_path / name), updates=2))
        run(settings)
        assert same(weights(settings), weights(plain))


def test_more_workers_change_nothing(plain, options):
    settings = options()
    settings = replace(settings, run=replace(settings.run, workers=4, updates=2))
    run(settings)
    assert same(weights(settings), weights(plain))


@pytest.mark.parametrize("name", ["adamw", "lion", "lion8bit", "adamw8bit"])
def test_a_stopped_run_ends_as_one_that_was_not(options, tmp_path, monkeypatch, name):
    settings = options(
        **SMALLEST,
        optimizer=OptimizerOptions(name=name, lr=1e-2, warmup=3),
        text=TextOptions(train=False, tokens=75),
    )
    whole = replace(settings, run=replace(settings.run, out=str(tmp_path / "whole")))
    run(whole)
    settings = replace(settings, save=SaveOptions(every=2))
    update = loop._update

    def stopping(training, ahead, counters):
        if counters.update == 3:
            raise KeyboardInterrupt  # after the state of update 2
        return update(training, ahead, counters)

    monkeypatch.setattr(loop, "_update", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(settings)
    monkeypatch.undo()
    with pytest.raises(DestinationError, match="has a run already; set run"):
        run(settings, resume="never")
    run(settings)
    assert same(weights(settings), weights(whole))
    entries = [{k: v for k, v in line.items() if k != "seconds"} for line in lines(settings)]
    assert entries == [{k: v for k, v in line.items() if k != "seconds"} for line in lines(whole)]


def test_another_run_is_not_resumed(plain):
    other = replace(plain, batch=BatchOptions(size=1, accumulation=4))
    with pytest.raises(ConfigError, match=r"batch\.accumulation was 2 and is 4; batch\.size was 2 and is 1"):
        run(other)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_eight_images_are_learned_by_heart(options, tmp_path, seed):
    """The plain loss over all timesteps, from about 1, what a random model owes on noise, to below 0.5.

    tests/benchmarks/overfit.py goes on to 0.15.
    """
    settings = options(
        optimizer=OptimizerOptions(
            name="adamw", lr=5e-2, betas=(0.9, 0.99), weight_decay=0, warmup=3, schedule="cosine"
        ),
        text=TextOptions(train=False, tokens=75),
        batch=BatchOptions(size=8),
        cache=CacheOptions(latents=str(tmp_path / "latents")),
    )
    settings = replace(
        settings,
        run=replace(settings.run, updates=30, seed=seed),
        buckets=replace(settings.buckets, min_side=64, max_side=64),
    )
    run(settings)
    losses = [line["loss"] for line in lines(settings)]
    assert np.mean(losses[:3]) > 0.9
    assert np.mean(losses[-15:]) < 0.5  # 120 draws of timestep and noise


def test_what_is_not_finite_never_reaches_the_weights(options, monkeypatch):
    from hakubooru_trainer.loss import Objective

    settings = options(**SMALL)
    settings = replace(settings, run=replace(settings.run, bad_updates=3))
    losses = Objective.losses
    monkeypatch.setattr(Objective, "losses", lambda self, *a, **k: losses(self, *a, **k) * float("nan"))
    training = loop.prepare(
        settings, Ranks(torch.device("cpu")), loop.data_set(settings, Ranks(torch.device("cpu")))
    )
    copies = [weight.clone() for weight in training.weights]
    ahead = training.batches.training(training.data.order, range(training.data.batches))
    counters = Counters()
    assert not loop._update(training, ahead, counters).is_finite
    assert not loop._update(training, ahead, counters).is_finite
    with pytest.raises(TrainingError, match="Try a lower"):
        loop._update(training, ahead, counters)
    assert counters.skipped == 3
    # No running average either.
    assert all(not training.optimizer.state[weight] for weight in training.weights)
    assert all(torch.equal(one, other) for one, other in zip(copies, training.weights, strict=True))


def test_one_bad_update_is_skipped_and_counted(options, monkeypatch):
    """The line of the update has null, which every reader of JSON knows, and the run goes on."""
    from hakubooru_trainer.loss import Objective

    settings, losses, calls = options(**SMALL), Objective.losses, []

    def sometimes(self, *arguments, **keywords):
        calls.append(1)
        return losses(self, *arguments, **keywords) * (float("inf") if len(calls) == 3 else 1)

    monkeypatch.setattr(Objective, "losses", sometimes)
    report = run(settings)
    assert (report.updates, report.skipped) == (4, 1)
    assert np.isfinite(report.loss)
    assert [(line["loss"] is None, line["skipped"]) for line in lines(settings)] == [
        (number == 1, number == 1) for number in range(4)
    ]
    assert all(tensor.isfinite().all() for tensor in weights(settings).values())


def test_a_run_that_learned_nothing_fails(options, monkeypatch):
    """Short runs end before `bad_updates`; their adapter would be the one that they began with."""
    from hakubooru_trainer.loss import Objective

    settings, losses = options(**SMALLEST), Objective.losses
    monkeypatch.setattr(Objective, "losses", lambda self, *a, **k: losses(self, *a, **k) * float("nan"))
    for _ in range(2):  # also when the same command is run again
        with pytest.raises(
            TrainingError,
            match=r"in all of the run's 4 updates, so that nothing was learned, and lokr.safetensors is not written",
        ):
            run(settings)
    assert not Path(settings.run.out, "lokr.safetensors").exists()


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_the_vae_keeps_its_precision(shallow_parts, precision):
    """Whatever the rest computes in: SDXL's own VAE overflows in fp16."""
    from hakubooru_trainer import sample
    from hakubooru_trainer.data.latents import encode

    model = shallow_parts()
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(7)) * 2 - 1
    with torch.no_grad():
        mean, deviation = encode(model.vae, pixels)
        picture = sample._decoded(model, mean)
        with torch.autocast("cpu", precision):
            assert all(
                torch.equal(*pair) for pair in zip((mean, deviation), encode(model.vae, pixels), strict=True)
            )
            assert sample._decoded(model, mean) == picture


@pytest.mark.parametrize(("precision", "masters"), [("bf16", "fp32"), ("fp16", "fp32"), ("fp16", "fp16")])
def test_half_precision(options, precision, masters):
    settings = options(
        **SMALLEST,
        lokr=replace(SOME_LAYERS, masters=masters),
        optimizer=OptimizerOptions(name="lion8bit", lr=1e-2),
    )
    settings = replace(
        settings,
        run=replace(settings.run, precision=precision, weights=precision, checkpointing=True, updates=2),
    )
    report = run(settings)
    assert np.isfinite(report.loss)
    assert any(
        tensor.abs().max() > 0 for name, tensor in weights(settings).items() if name.endswith("lokr_w2")
    )


def test_accumulation_sums_to_the_whole_batch(options, tmp_path):
    """Images weigh the same however they are cut into batches: here one bucket's batches of 1 and of 2."""
    ids = []
    for size, accumulation in ((1, 8), (8, 1)):
        settings = options(
            batch=BatchOptions(size=size, accumulation=accumulation), loss=LossOptions(min_snr_gamma=5)
        )
        settings = replace(
            settings,
            run=replace(settings.run, out=str(tmp_path / str(size)), updates=1),
            buckets=replace(settings.buckets, min_side=64, max_side=64),
        )
        training = loop.prepare(
            settings, Ranks(torch.device("cpu")), loop.data_set(settings, Ranks(torch.device("cpu")))
        )
        batches = [training.batches.batch(training.data.order[n], n) for n in range(training.data.batches)]
        assert (
            sum(len(batch.ids) for batch in batches)
            == training.data.order.images(0, training.data.batches)
            == 8
        )
        ids.append(sorted(i for batch in batches for i in batch.ids))
    assert ids[0] == ids[1] == list(range(1, 9))
