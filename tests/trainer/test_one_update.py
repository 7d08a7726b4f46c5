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


def merged(it, model):
    """The adapter's weights as leaves, and for each part of a model the tensors that they change."""
    leaves = {name: weight.detach().clone().requires_grad_() for name, weight in it.adapter.weights()}
    parts = {part: getattr(model, part) for part in ("unet", "text_encoder", "text_encoder_2")}
    own = {id(module): name for part in parts for name, module in getattr(it.model, part).named_modules()}
    changed = {part: {} for part in parts}
    for target in it.adapter.targets:
        name = own[id(target.module)]
        plain = parts[target.part].get_submodule(name)
        if target.factor:
            left, right = leaves[f"{target.name}.lokr_w1"], leaves[f"{target.name}.lokr_w2"]
            left = left.reshape(*left.shape, *[1] * (right.dim() - 2))
            changed[target.part][f"{name}.weight"] = plain.weight.detach() + torch.kron(left, right)
        else:
            for kind, key in (("weight", "w_norm"), ("bias", "b_norm")):
                difference = leaves[f"{target.name}.{key}"]
                changed[target.part][f"{name}.{kind}"] = getattr(plain, kind).detach() + difference
    return leaves, changed


def plain_loss(model, changed, batch, prediction, weights):
    """The sum of a batch's losses: masked squared errors by min-SNR 5, with a noise offset of 0.05."""
    spread = [model.vae.encode(image[None]).latent_dist for image in batch.pixels]
    latents = torch.cat([one.mean for one in spread]) + torch.cat([one.std for one in spread]) * batch.spread
    latents = (latents * model.vae.config.scaling_factor).detach()
    noise = batch.noise + 0.05 * batch.offset
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    alphas = (1 - betas).cumprod(0)[batch.timesteps]
    signal, rest = (root.float()[:, None, None, None] for root in (alphas.sqrt(), (1 - alphas).sqrt()))
    one, two = (
        functional_call(getattr(model, part), changed[part], (tokens[:, 0],), {"output_hidden_states": True})
        for part, tokens in (("text_encoder", batch.tokens), ("text_encoder_2", batch.tokens_2))
    )
    told = {
        "encoder_hidden_states": torch.cat([one.hidden_states[-2], two.hidden_states[-2]], -1),
        "added_cond_kwargs": {"text_embeds": two[0], "time_ids": batch.conditioning},
    }
    noisy = signal * latents + rest * noise
    predicted = functional_call(model.unet, changed["unet"], (noisy, batch.timesteps), told).sample
    wanted = noise if prediction == "epsilon" else signal * noise - rest * latents
    snr = alphas / (1 - alphas)
    by_time = snr.clamp(max=5) / (snr if prediction == "epsilon" else snr + 1)
    by_data = torch.tensor([weights[source] for source in batch.sources.tolist()])
    return (((predicted - wanted) ** 2 * batch.masks).mean((1, 2, 3)) * by_time.float() * by_data).sum()


@pytest.mark.parametrize(("forward", "prediction"), [("merged", "epsilon"), ("factored", "v")])
def test_an_update_is_what_autograd_makes_of_its_batches(
    options, shallow_parts, tmp_path, forward, prediction
):
    """Four batches of two buckets, one of them short, of data sets with other weights; SGD shows the gradient."""
    one = write_pairs(tmp_path / "one", [(96, 64)] * 2 + [(64, 96)] * 2)
    two = write_pairs(tmp_path / "two", [(96, 64)] * 2 + [(64, 96)])
    Image.linear_gradient("L").resize((48, 32)).save(one / "x001" / "1-mask.png")
    told = options(
        data=(
            DataOptions(path=str(one), masks="-mask.png", loss_weight=2.0),
            DataOptions(path=str(two), loss_weight=0.5),
        ),
        loss=LossOptions(min_snr_gamma=5, noise_offset=0.05),
        lokr=replace(SOME_LAYERS, forward=forward),
        batch=BatchOptions(size=2, accumulation=4),
        optimizer=OptimizerOptions(name="torch.optim:SGD", lr=1.0, text_lr=1.0, clip=0.0),
    )
    told = replace(told, model=replace(told.model, prediction=prediction))
    alone = Ranks(torch.device("cpu"))
    it = prepare(told, alone, data_set(told, alone))
    for _, weight in it.adapter.weights():
        weight.data.add_(torch.randn(weight.shape) * 0.02)
    it.adapter.changed()
    batches = [it.batches.batch(it.data.order[number], number) for number in range(4)]
    assert sorted(len(batch.ids) for batch in batches) == [1, 2, 2, 2]
    assert len({batch.noise.shape[2:] for batch in batches}) == 2

    model = shallow_parts()
    leaves, changed = merged(it, model)
    loss = sum(plain_loss(model, changed, batch, prediction, (2.0, 0.5)) for batch in batches) / 7
    loss.backward()
    update = loop._update(it, iter(batches), Counters())
    assert update.loss == pytest.approx(loss.item(), rel=1e-5)
    norm = torch.stack([leaf.grad.norm() for leaf in leaves.values() if leaf.grad is not None]).norm()
    assert update.norm == pytest.approx(norm.item(), rel=1e-4)
    for name, weight in it.adapter.weights():
        gradient = leaves[name].grad
        moved = leaves[name].detach() - weight.detach()
        assert torch.allclose(moved, torch.zeros_like(moved) if gradient is None else gradient, 1e-3, 2e-6), (
            name
        )
