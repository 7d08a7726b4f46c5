"""Triton's kernels, run by its interpreter on the CPU, beside torch in float64."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

from hakubooru_trainer.lokr import device, geglu, mix, norms

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Triton is published for Linux alone")


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch):
    """The kernels run on the CPU: tests/conftest.py asks Triton for its interpreter."""
    kernels = importlib.import_module("hakubooru_trainer.lokr.kernels")
    for module in (device, geglu, mix, norms):
        monkeypatch.setattr(module, "kernels", lambda x: kernels)


def gradients(function, *inputs, seed=0):
    """What a function gives, and the gradients of a weighted sum of it."""
    inputs = [x.detach().requires_grad_() for x in inputs]
    y = function(*inputs)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed))
    return (y.detach(), *torch.autograd.grad(y, inputs, weights.to(y.dtype)))


def assert_like_float64(function, reference, *inputs):
    ours = gradients(function, *inputs)
    expected = gradients(reference, *(x.double() for x in inputs))
    for mine, exact in zip(ours, expected, strict=True):
        assert torch.allclose(mine.double(), exact, rtol=1e-4, atol=1e-4), (mine - exact).abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(2, 2, 5, 40), (8, 8, 3, 17), (4, 8, 2, 256), (8, 4, 9, 16)])
@pytest.mark.parametrize("adds", [False, True])
def test_the_mix_and_its_gradients(shape, adds):
    a, c, rows, width = shape
    x, w = torch.randn(rows, c, width), torch.randn(a, c)
    addend, back = torch.randn(rows, a, width), torch.randn(rows, c, width)
    dy = torch.randn(rows, a, width)

    y = mix.mix(x, w, into=addend.clone() if adds else None)
    assert torch.allclose(y, torch.einsum("ac,rck->rak", w, x) + adds * addend, atol=1e-5)

    dx, dw, product = mix.mix_backward(x, w, dy, back.clone() if adds else None, again=True)
    assert torch.allclose(dx, torch.einsum("ac,rak->rck", w, dy) + adds * back, atol=1e-5)
    assert torch.allclose(dw, torch.einsum("rak,rck->ac", dy, x), atol=1e-3)
    assert torch.allclose(product, torch.einsum("ac,rck->rak", w, x), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "programs"), [((2, 3, 24), []), ((11, 8), [4])])
def test_layer_norm(shape, programs):
    """With fewer programs than rows, each has several, and the last has fewer than the others."""
    x, w, b = 3 * torch.randn(shape) + 1, torch.randn(shape[-1]), torch.randn(shape[-1])
    assert_like_float64(
        lambda *inputs: norms.LayerNorm.apply(*inputs, 1e-5, *programs),
        lambda x, w, b: functional.layer_norm(x, x.shape[-1:], w, b, 1e-5),
        *(x, w, b),
    )


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(2, 12, 5, 7), (1, 8, 70, 60)])
def test_group_norm(shape):
    x, w, b = 3 * torch.randn(shape) + 1, torch.randn(shape[1]), torch.randn(shape[1])
    assert_like_float64(
        lambda *inputs: norms.GroupNorm.apply(*inputs, 4, 1e-6),
        lambda x, w, b: functional.group_norm(x, 4, w, b, 1e-6),
        *(x, w, b),
    )


def test_geglu():
    def plain(x):
        h, g = x.chunk(2, -1)
        return h * functional.gelu(g)

    layer = nn.Linear(6, 2 * 40)
    gate = geglu.GEGLU(6, 40)
    gate.proj = layer
    geglu.fuse(nn.ModuleList([gate]))
    x = torch.randn(2, 3, 6)
    with torch.no_grad():
        assert torch.allclose(gate(x), plain(layer(x)), atol=1e-6)
    assert_like_float64(geglu._Gate.apply, plain, torch.randn(2, 3, 80))
