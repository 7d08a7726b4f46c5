"""What drawing costs, beside a count by the layers of a model that runs."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn
from torch.nn import functional

from hakubooru_trainer.config.options import ModelOptions
from hakubooru_trainer.evaluate.cost import Operations, forecast
from hakubooru_trainer.evaluate.options import DrawingOptions
from hakubooru_trainer.evaluate.pictures import Picture

pytestmark = pytest.mark.slow


def operations_of(monkeypatch, model, run):
    """Twice the multiplications of every convolution, every linear layer and every attention, as a model runs."""
    counts = []

    def layer(module, inputs, output):
        each = module.weight[0].numel()
        counts.append(2 * output.numel() * each)

    def attention(query, key, value, **more):
        pairs = query.shape[0] * query.shape[1] * query.shape[2] * key.shape[2]
        counts.append(2 * pairs * (query.shape[3] + value.shape[3]))
        return plain(query, key, value, **more)

    plain = functional.scaled_dot_product_attention
    monkeypatch.setattr(functional, "scaled_dot_product_attention", attention)
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [module.register_forward_hook(layer) for module in layers]
    with torch.no_grad():
        run(model)
    for hook in hooks:
        hook.remove()
    monkeypatch.setattr(functional, "scaled_dot_product_attention", plain)
    return sum(counts)


@pytest.mark.parametrize("tokens", [75, 150])
def test_operations_are_those_of_a_models_layers(shallow, monkeypatch, tokens):
    from hakubooru_trainer.model.load import load

    options = ModelOptions(path=str(shallow))
    model = load(options, torch.float32)
    width = model.unet.config.cross_attention_dim
    latents, context = torch.zeros(1, 4, 12, 8), torch.zeros(1, tokens + 2, width)
    conditions = {"text_embeds": torch.zeros(1, 64), "time_ids": torch.zeros(1, 6)}
    step = operations_of(
        monkeypatch, model.unet, lambda unet: unet(latents, 1, context, added_cond_kwargs=conditions)
    )
    decoding = operations_of(monkeypatch, model.vae, lambda vae: vae.decode(latents))
    drawing = DrawingOptions(steps=7, tokens=tokens)
    assert Operations(options, drawing).of_picture(64, 96) == pytest.approx(14 * step + decoding, rel=1e-6)


def test_a_forecast_adds_up(shallow):
    drawing = DrawingOptions(steps=7)
    operations = Operations(ModelOptions(path=str(shallow)), drawing)
    operations.of_picture = functools.cache(operations.of_picture)
    pictures = [Picture("", 0, 0, "", (), 0, *size) for size in [(64, 96), (64, 96), (96, 96)]]
    total = 2 * operations.of_picture(64, 96) + operations.of_picture(96, 96)
    text = forecast(pictures, drawing, operations)
    assert "drawing 3 pictures, as counted and not measured: 42 passes of the UNet" in text
    assert f"{total / 1e18:.3g} EFLOP" in text
    assert f"{total / 300e12 / 3600:,.1f} hours on one H100 at 300 TFLOP/s" in text
