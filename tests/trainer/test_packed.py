"""Weights in 8 and 4 bits: what they stand for, their gradients, and what they take."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from lycoris.utils import quant
from safetensors.torch import load_file
from torch import nn

from hakubooru.errors import ConfigError
from hakubooru_trainer.checkpoint import States
from hakubooru_trainer.config import help_text
from hakubooru_trainer.config.learning import OptimizerOptions
from hakubooru_trainer.config.options import LokrOptions, RunOptions
from hakubooru_trainer.lokr.adapter import Adapter
from hakubooru_trainer.lokr.preset import Target
from hakubooru_trainer.loop import run
from hakubooru_trainer.model.packed import FORMATS, Packed, pack
from hakubooru_trainer.setup import device_of
from tiny_runs import SMALLEST

CPU = torch.device("cpu")
ERRORS = {"int8": 1 / 127, "fp8": 1 / 16, "nf4": 0.16}
"""The most that a number differs, by the largest of its row or block: half a step, or half the widest gap of nf4's levels."""


def linear(outs=96, ins=64, dtype=torch.float32):
    layer = nn.Linear(ins, outs).to(dtype).requires_grad_(requires_grad=False)
    nn.init.normal_(layer.weight, std=0.03, generator=torch.Generator().manual_seed(1))
    return layer


def packed(name, **how):
    layer = linear(**how)
    whole = layer.weight.clone()
    pack([nn.Sequential(layer)], name, CPU)
    return layer, whole


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_weight_is_nearly_the_whole_one(name, dtype):
    layer, whole = packed(name, dtype=dtype)
    assert isinstance(layer, Packed)
    assert layer.weight.dtype == dtype
    largest = whole.float().abs().amax(1, keepdim=True)
    difference = (layer.unpacked(torch.float32) - whole.float()).abs()
    assert (difference <= ERRORS[name] * largest).all()
    assert difference.max() > 0


@pytest.mark.parametrize("name", FORMATS)
def test_a_row_of_zeros_stays_zero(name):
    layer = linear()
    with torch.no_grad():
        layer.weight[3] = 0
    pack([nn.Sequential(layer)], name, CPU)
    assert layer.weight.isfinite().all()
    assert (layer.weight[3] == 0).all()


@pytest.mark.parametrize("name", FORMATS)
def test_it_takes_the_bytes_that_are_counted(name):
    layer, _ = packed(name, outs=640, ins=320)
    size = sum(buffer.nbytes for buffer in layer.buffers())
    assert size == FORMATS[name].bytes(640, 320)
    assert [parameter.shape for parameter in layer.parameters()] == [(640,)]  # the bias alone


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("factor", [0, 2, 8])
def test_gradients_are_those_of_the_unpacked_weight(name, factor):
    layer, _ = packed(name)
    definition = layer.weight.double()
    if factor:
        adapter = Adapter([Target("layer", "unet", layer, factor)])
        module = adapter.modules["layer"]
        nn.init.normal_(module.lokr_w2, std=0.02, generator=torch.Generator().manual_seed(2))
        adapter.apply("fused")
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(5, 7, 64, generator=generator).requires_grad_()
    dy = torch.randn(5, 7, 96, generator=generator)
    layer(x).backward(dy)

    wide = x.detach().double().requires_grad_()
    weight = definition
    factors = []
    if factor:
        factors = [w.detach().double().requires_grad_() for w in (module.lokr_w1, module.lokr_w2)]
        weight = definition + torch.kron(*factors)
    y = nn.functional.linear(wide, weight, layer.bias.double())
    y.backward(dy.double())
    assert torch.allclose(layer(x).double(), y, atol=1e-5)
    assert torch.allclose(x.grad.double(), wide.grad, atol=1e-5)
    for ours, exact in zip([module.lokr_w1, module.lokr_w2] if factor else [], factors, strict=True):
        assert torch.allclose(ours.grad.double(), exact.grad, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", FORMATS)
def test_lycoris_has_nothing_to_say_of_packed_layers(name):
    layer, _ = packed(name)
    remarks = []
    handler = logging.Handler()
    handler.emit = remarks.append
    quant.log_suspect.cache_clear()  # LyCORIS says it once in a process
    quant.logger.addHandler(handler)
    try:
        adapter = Adapter([Target("layer", "unet", layer, 4)])
    finally:
        quant.logger.removeHandler(handler)
    assert remarks == []
    assert adapter.modules["layer"].bypass_mode is False


def test_nothing_is_kept_for_the_backward_pass():
    layer, _ = packed("int8")
    tensors = []
    x = torch.randn(4, 64, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: tensors.append(tensor) or tensor, lambda t: t
    ):
        layer(x)
    assert tensors == []


@pytest.mark.parametrize(
    ("run_options", "lokr", "words"),
    [
        ({"weights": "int8", "compile": True}, {}, "run.compile = false"),
        ({"weights": "nf4"}, {"forward": "merged"}, 'lokr.forward = "auto"'),
        ({"keep_blocks": 3, "checkpointing": False}, {}, "run.checkpointing = true"),
    ],
)
def test_what_does_not_go_together_is_refused(options, run_options, lokr, words):
    with pytest.raises(ConfigError, match=words):
        options(run=RunOptions(out="out", updates=1, **run_options), lokr=LokrOptions(**lokr))


def test_paged_state_needs_a_gpu_and_an_8_bit_optimiser(options):
    with pytest.raises(ConfigError, match=r"on a CPU; set optimizer\.paged = false"):
        device_of(options(optimizer=OptimizerOptions(name="lion8bit", paged=True)))
    with pytest.raises(ConfigError, match=r'optimizer\.name is "lion"; set optimizer\.paged = false'):
        OptimizerOptions(name="lion", paged=True)


@pytest.mark.parametrize(
    "key", ["run.weights", "run.checkpointing", "run.keep_blocks", "run.graphs", "optimizer.paged", "lokr.forward",
            "cache.latents", "cache.text"]
)  # fmt: skip
def test_every_option_is_in_the_fingerprint_and_explained(options, tmp_path, key):
    about = States(
        tmp_path,
        options(),
        SimpleNamespace(batches=9, fingerprint="sha256:1", earlier_fingerprint="sha256:0", repeats=[1]),
    ).about
    assert key in about
    section, _, name = key.partition(".")
    lines = help_text().partition(f"[{section}]")[2].partition("\n[")[0]
    assert re.search(rf"^{name} = .*\n(# \w|.*#)", lines, re.MULTILINE) or re.search(
        rf"# .+\n{name} =", lines
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_a_run_stopped_halfway_ends_with_the_same_bits(options, tmp_path, name):
    whole = options(**SMALLEST)
    whole = replace(whole, run=replace(whole.run, weights=name, out=str(tmp_path / "whole"), updates=2))
    parts = replace(whole, run=replace(whole.run, out=str(tmp_path / "parts"), updates=1))
    expected = load_file(run(whole).file)
    run(parts)
    result = load_file(run(replace(parts, run=replace(parts.run, updates=2))).file)
    assert expected.keys() == result.keys()
    assert all(torch.equal(expected[key], result[key]) for key in expected)


@pytest.mark.slow
def test_kept_blocks_change_no_bit(options, tmp_path):
    results = []
    for keep in (0, 2, 100):
        settings = options(**SMALLEST)
        out = str(tmp_path / f"keep{keep}")
        settings = replace(
            settings, run=replace(settings.run, checkpointing=True, keep_blocks=keep, out=out, updates=2)
        )
        results.append(load_file(run(settings).file))
    assert all(torch.equal(results[0][key], other[key]) for other in results[1:] for key in results[0])
