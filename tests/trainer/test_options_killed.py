"""A run with an average, a plugged optimiser, mixed captions, masks, all that is random and weights of 4 bits, killed three times."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import training_kills
from hakubooru_trainer.config.data import AugmentOptions, CacheOptions, CaptionOptions, DataOptions
from hakubooru_trainer.config.learning import EmaOptions, LossOptions, OptimizerOptions
from hakubooru_trainer.config.options import BatchOptions, LokrOptions, SaveOptions
from hakubooru_trainer.loop import run
from tiny_runs import SMALL
from training_pairs import write_pairs

MOMENTS = 20
"""About as many as lie between three updates, with the state that is saved after every second."""


def result(settings):
    """The weights, the average, and the lines of a run."""
    out = Path(settings.run.out)
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    tensors = {
        f"{stem}/{name}": tensor
        for stem in ("lokr", "lokr-ema")
        for name, tensor in load_file(out / f"{stem}.safetensors").items()
    }
    return tensors, [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


@pytest.mark.slow
@pytest.mark.kill
def test_killed_three_times_it_ends_with_the_same_bits(options, tmp_path):
    folder = write_pairs(tmp_path / "pairs", [(96, 64)] * 3 + [(64, 128)] * 3)
    for number in (1, 4):
        Image.linear_gradient("L").save(folder / "x001" / f"{number}-masklabel.png")
        (folder / "x001" / f"{number}.txt").write_text(
            "1girl ||| stripes, blue\nStripes, and a girl.\nA girl."
        )
    settings = options(
        data=(DataOptions(path=str(folder), masks="-masklabel.png", prefix="style, "),),
        captions=CaptionOptions(drop_tags=0.2, drop_caption=0.1, mix={"caption": 0.5, "lines": 0.5}),
        augment=AugmentOptions(flip=0.5),
        cache=CacheOptions(latents=str(tmp_path / "latents")),
        loss=LossOptions(
            kind="huber", timesteps="logit_normal", pyramid_levels=4, min_snr_gamma=5, noise_offset=0.03
        ),
        optimizer=OptimizerOptions(
            name="pytorch_optimizer:Prodigy",
            lr=1.0,
            text_lr=1.0,
            args={"d0": 1e-3},
            schedule="cosine",
            floor=0.1,
            rates={"lora_unet_middle_block_*": 0},
        ),
        ema=EmaOptions(decay=0.9),
        batch=BatchOptions(size=2),
        buckets=SMALL["buckets"],
        lokr=LokrOptions(
            preset="attention", save="fp32", exclude=("lora_unet_input_*", "lora_unet_output_blocks_[0-3]_*")
        ),
        save=SaveOptions(every=2),
    )
    whole, killed = (
        replace(settings, run=replace(settings.run, out=str(tmp_path / name), updates=4, weights="nf4"))
        for name in ("whole", "killed")
    )
    run(whole)
    draw = random.Random(3)
    for _ in range(3):
        training_kills.kill(killed, draw, MOMENTS)
    assert training_kills.run(killed) == 0
    (tensors, lines), (others, other_lines) = result(whole), result(killed)
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)
    assert lines == other_lines
    assert all(line["d"] > 0 for line in lines)
