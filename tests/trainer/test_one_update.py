"""One update of a run beside the same update by autograd alone, on a model whose weights are the merged ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch.func import functional_call

from hakubooru_trainer import loop
from hakubooru_trainer.checkpoint import Counters
from hakubooru_trainer.config.data import DataOptions
from hakubooru_trainer.config.learning import LossOptions, OptimizerOptions
from hakubooru_trainer.config.options import BatchOptions
from hakubooru_trainer.distributed import Ranks
from hakubooru_trainer.setup import data_set, prepare
from tiny_runs import SOME_LAYERS
from training_pairs import write_pairs

pytestmark = pytest.mark.slow


def merged(training, model):
    """The adapter's weights as leaves, and for each part of a model the tensors that they change."""
    leaves = {name: weight.detach().clone().requires_grad_() for name, weight in training.adapter.weights()}
    parts = {part: getattr(model, part) for part in ("unet", "text_encoder", "text_encoder_2")}
    own = {
        id(module): name for part in parts for name, module in getattr(training.model, part).named_modules()
    }
    tensors = {part: {} for part in parts}
    for target in training.adapter.targets:
        name = own[id(target.module)]
        plain = parts[target.part].get_submodule(name)
        if target.factor:
            left, right = leaves[f"{target.name}.lokr_w1"], leaves[f"{target.name}.lokr_w2"]
            left = left.reshape(*left.shape, *[1] * (right.dim() - 2))
            tensors[target.part][f"{name}.weight"] = plain.weight.detach() + torch.kron(left, right)
        else:
            for kind, key in (("weight", "w_norm"), ("bias", "b_norm")):
                difference = leaves[f"{target.name}.{key}"]
                tensors[target.part][f"{name}.{kind}"] = getattr(plain, kind).detach() + difference
    return leaves, tensors


def plain_loss(model, tensors, batch, prediction, weights):
    """The sum of a batch's losses: masked squared errors by min-SNR 5, with a noise offset of 0.05."""
    spread = [model.vae.encode(image[None]).latent_dist for image in batch.pixels]
    latents = (
        torch.cat([distribution.mean for distribution in spread])
        + torch.cat([distribution.std for distribution in spread]) * batch.spread
    )
    latents = (latents * model.vae.config.scaling_factor).detach()
    noise = batch.noise + 0.05 * batch.offset
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    alphas = (1 - betas).cumprod(0)[batch.timesteps]
    signal, rest = (root.float()[:, None, None, None] for root in (alphas.sqrt(), (1 - alphas).sqrt()))
    first, second = (
        functional_call(getattr(model, part), tensors[part], (tokens[:, 0],), {"output_hidden_states": True})
        for part, tokens in (("text_encoder", batch.tokens), ("text_encoder_2", batch.tokens_2))
    )
    conditions = {
        "encoder_hidden_states": torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1),
        "added_cond_kwargs": {"text_embeds": second[0], "time_ids": batch.conditioning},
    }
    noisy = signal * latents + rest * noise
    predicted = functional_call(model.unet, tensors["unet"], (noisy, batch.timesteps), conditions).sample
    target = noise if prediction == "epsilon" else signal * noise - rest * latents
    snr = alphas / (1 - alphas)
    by_time = snr.clamp(max=5) / (snr if prediction == "epsilon" else snr + 1)
    by_data = torch.tensor([weights[source] for source in batch.sources.tolist()])
    return (((predicted - target) ** 2 * batch.masks).mean((1, 2, 3)) * by_time.float() * by_data).sum()


@pytest.mark.parametrize(("forward", "prediction"), [("merged", "epsilon"), ("factored", "v")])
def test_an_update_is_what_autograd_makes_of_its_batches(
    options, shallow_parts, tmp_path, forward, prediction
):
    """Four batches of two buckets, one of them short, of data sets with other weights; SGD shows the gradient."""
    first = write_pairs(tmp_path / "one", [(96, 64)] * 2 + [(64, 96)] * 2)
    second = write_pairs(tmp_path / "two", [(96, 64)] * 2 + [(64, 96)])
    Image.linear_gradient("L").resize((48, 32)).save(first / "x001" / "1-mask.png")
    settings = options(
        data=(
            DataOptions(path=str(first), masks="-mask.png", loss_weight=2.0),
            DataOptions(path=str(second), loss_weight=0.5),
        ),
        loss=LossOptions(min_snr_gamma=5, noise_offset=0.05),
        lokr=replace(SOME_LAYERS, forward=forward),
        batch=BatchOptions(size=2, accumulation=4),
        optimizer=OptimizerOptions(name="torch.optim:SGD", lr=1.0, text_lr=1.0, clip=0.0),
    )
    settings = replace(settings, model=replace(settings.model, prediction=prediction))
    alone = Ranks(torch.device("cpu"))
    training = prepare(settings, alone, data_set(settings, alone))
    for _, weight in training.adapter.weights():
        weight.data.add_(torch.randn(weight.shape) * 0.02)
    training.adapter.changed()
    batches = [training.batches.batch(training.data.order[number], number) for number in range(4)]
    assert sorted(len(batch.ids) for batch in batches) == [1, 2, 2, 2]
    assert len({batch.noise.shape[2:] for batch in batches}) == 2

    model = shallow_parts()
    leaves, tensors = merged(training, model)
    loss = sum(plain_loss(model, tensors, batch, prediction, (2.0, 0.5)) for batch in batches) / 7
    loss.backward()
    update = loop._update(training, iter(batches), Counters())
    assert update.loss == pytest.approx(loss.item(), rel=1e-5)
    norm = torch.stack([leaf.grad.norm() for leaf in leaves.values() if leaf.grad is not None]).norm()
    assert update.norm == pytest.approx(norm.item(), rel=1e-4)
    for name, weight in training.adapter.weights():
        gradient = leaves[name].grad
        difference = leaves[name].detach() - weight.detach()
        assert torch.allclose(
            difference, torch.zeros_like(difference) if gradient is None else gradient, 1e-3, 2e-6
        ), name
