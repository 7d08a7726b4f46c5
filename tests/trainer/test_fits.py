"""Which settings fit which cards: true SDXL, counted on the meta device."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from hakubooru_trainer import fits
from hakubooru_trainer.config.data import CaptionOptions
from hakubooru_trainer.config.learning import OptimizerOptions
from hakubooru_trainer.config.options import (
    BatchOptions,
    CacheOptions,
    DataOptions,
    ModelOptions,
    Options,
    RunOptions,
    TextOptions,
)
from hakubooru_trainer.lokr.adapter import Adapter
from hakubooru_trainer.lokr.preset import targets
from hakubooru_trainer.model.load import CLASSES, skeleton
from hakubooru_trainer.setup import trained_parts

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sdxl")]  # one worker counts it


@pytest.fixture(scope="module")
def sdxl():
    """A run of true SDXL at 1024 by 1024 in batches of 4, and what it holds."""
    options = Options(
        run=RunOptions(out="out"),
        model=ModelOptions(path="sdxl.safetensors"),
        data=(DataOptions(path="data"),),
        batch=BatchOptions(size=4, accumulation=16),
        cache=CacheOptions(latents="latents"),
    )
    parts = {part: skeleton(part, options.model).requires_grad_(requires_grad=False) for part in CLASSES}
    adapter = Adapter(targets(trained_parts(parts, options), options.lokr))
    return options, fits.count(options, parts, adapter, (1024, 1024))


def test_the_weights_of_sdxl(sdxl):
    options, counts = sdxl
    numbers = sum(counts.whole.values()) + sum(o * i for shapes in counts.linear.values() for o, i in shapes)
    # 2,567,463,684 of the UNet, 123,060,480 and 694,659,840 of the encoders, 83,653,863 of the VAE
    assert numbers == 2_567_463_684 + 123_060_480 + 694_659_840 + 83_653_863
    assert counts.memory(options)["frozen weights"] == 2 * (numbers - 83_653_863)
    assert len(counts.activations.unet) == 87


def test_the_count_is_that_of_an_h200(sdxl):
    """Its memory as torch reserved it, CUDA's own with it, in GiB."""
    options, counts = sdxl
    for changes, measured in (
        ({}, 15.5),
        ({"graphs": True}, 17.0),
        ({"graphs": True, "keep_blocks": 15}, 21.4),
        ({"graphs": True, "checkpointing": False}, 41.4),
    ):
        run = replace(options.run, **changes)
        assert counts.needed(replace(options, run=run)) / fits.GIB == pytest.approx(measured, rel=0.1)


def test_each_setting_is_smaller_than_the_one_before(sdxl):
    options, counts = sdxl
    settings = fits.table(options, counts)
    needed = [setting.needed for setting in settings]
    assert len(settings) == 6
    assert needed == sorted(needed, reverse=True)
    whole, int8, nf4 = (settings[place].needed for place in (2, 3, 4))
    linear = sum(o * i for shapes in counts.linear.values() for o, i in shapes)
    unpacking = 1280 * 10240 * 8  # the largest linear layer, twice in float32
    assert whole - int8 == pytest.approx((linear - unpacking) * fits._GAPS, rel=0.01)
    assert whole - nf4 == pytest.approx((linear * (2 - 9 / 16) - unpacking) * fits._GAPS, rel=0.01)


def test_a_run_that_is_compiled_has_settings_too(sdxl):
    """Packed weights cannot be compiled: settings with them say so."""
    options, counts = sdxl
    compiled = replace(options, run=replace(options.run, compile=True))
    assert [row.needed for row in fits.table(compiled, counts)] == [
        row.needed for row in fits.table(options, counts)
    ]
    assert [fits.changed(compiled, row.changes).run.compile for row in fits.table(compiled, counts)] == [
        True, True, True, False, False, False,
    ]  # fmt: skip


def test_the_fastest_that_fits(sdxl):
    options, counts = sdxl
    big, home, small = (fits.fastest(options, counts, card) for card in (80, 12, 9))
    assert not big.changes["run.checkpointing"]
    assert home.changes["run.checkpointing"]
    assert home.needed <= 12 * fits.GIB < fits.table(options, counts)[2].needed
    assert small.changes["batch.size"] * small.changes["batch.accumulation"] == 4 * 16
    assert fits.fastest(options, counts, 8) is None
    result = fits.changed(options, home.changes)
    assert result.run.weights == home.changes["run.weights"]
    assert counts.needed(result) == home.needed


def test_keeping_one_block_more_needs_more(sdxl):
    _, counts = sdxl
    needed = [counts.activations.bytes(checkpointing=True, keep_blocks=keep) for keep in range(88)]
    assert all(one <= other for one, other in pairwise(needed))
    assert needed[-1] <= counts.activations.bytes(checkpointing=False, keep_blocks=0)


def test_what_is_away_is_not_counted(sdxl):
    options, counts = sdxl
    cached = replace(
        options,
        text=TextOptions(train=False),
        captions=CaptionOptions(shuffle=False),
        cache=CacheOptions(latents="latents", text="text"),
    )
    frozen = counts.memory(cached)["frozen weights"]
    assert frozen == 2 * 2_567_463_684  # the UNet alone
    assert (
        counts.memory(replace(cached, cache=CacheOptions()))["frozen weights"]
        == 2 * (2_567_463_684 + 123_060_480 + 694_659_840) + 4 * 83_653_863
    )
    paged = replace(options, optimizer=OptimizerOptions(paged=True))
    purpose = "adapter, its gradients and the optimiser's state"
    assert counts.memory(options)[purpose] - counts.memory(paged)[purpose] == counts.trained


def test_weights_in_single_precision_are_kept_rounded_too(sdxl):
    options, counts = sdxl
    plain = replace(options, run=replace(options.run, weights="fp32", checkpointing=False))
    frozen = replace(plain, text=TextOptions(train=False))
    rounded = [counts.memory(one).get("the weights, rounded") for one in (options, plain, frozen)]
    assert rounded == [None, 2 * (2_567_463_684 + 123_060_480 + 694_659_840), 2 * 2_567_463_684]


def test_blocks_that_are_kept_keep_their_weights_rounded_too(sdxl):
    options, counts = sdxl
    rounded = [
        counts.memory(replace(options, run=replace(options.run, weights="fp32", keep_blocks=keep)))[
            "the weights, rounded"
        ]
        for keep in (0, 1, 87)
    ]
    wide, context = 1280, 2048  # the first block is one of the wide transformers'
    attention = 6 * wide * wide + 2 * wide * context + 2 * wide
    feed_forward = wide * 8 * wide + 8 * wide + 4 * wide * wide + wide
    assert rounded[1] - rounded[0] == 2 * (attention + feed_forward + 3 * 2 * wide)
    assert rounded[2] == 2 * 2_567_463_684


def test_the_activations_are_those_of_a_whole_pass(sdxl):
    """A pass of true SDXL with its backward took 26.5 GiB on the meta device, and 3.1 GiB with checkpointing."""
    _, counts = sdxl
    whole, less = (
        counts.activations.bytes(checkpointing=checkpointing, keep_blocks=0)
        for checkpointing in (False, True)
    )
    assert whole == pytest.approx(26.5 * fits.GIB, rel=0.1)
    assert less == pytest.approx(3.1 * fits.GIB, rel=0.1)
