"""A micro-step: nothing in it waits for the device, and its blocks can be compiled."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch._dynamo import utils as dynamo
from torch.utils._python_dispatch import TorchDispatchMode

from hakubooru_trainer.config.options import BatchOptions, CacheOptions, LokrOptions, LossOptions
from hakubooru_trainer.distributed import Ranks
from hakubooru_trainer.setup import compile_blocks, data_set, prepare

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
WAITING = {
    "_local_scalar_dense",
    "nonzero",
    "equal",
    "item",
    "is_nonzero",
    "masked_select",
    "unique_consecutive",
}
"""Operations whose result the processor has to see, or whose shape it has to know: with a GPU it would wait for them."""


class Waits(TorchDispatchMode):
    """Notes which of them are called."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__.removeprefix("aten.") in WAITING:
            self.found.append(str(func))
        return func(*args, **kwargs or {})


def test_waiting_is_noticed():
    with Waits() as waits:
        float(torch.ones(1).sum())
    assert waits.found == ["aten._local_scalar_dense.default"]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_nothing_in_a_micro_step_waits_for_the_device(options, tmp_path, checkpointing):
    settings = options(
        batch=BatchOptions(size=2, accumulation=2),
        cache=CacheOptions(latents=str(tmp_path / "latents")),
        loss=LossOptions(min_snr_gamma=5, noise_offset=0.0357),
    )
    settings = replace(settings, run=replace(settings.run, checkpointing=checkpointing))
    alone = Ranks(CPU)
    training = prepare(settings, alone, data_set(settings, alone))
    batch = training.batches.batch(training.data.order[0], 0)
    with Waits() as waits, training.precision:
        torch.autograd.backward(training.scaler.scale(training.objective.losses(training.model, batch).sum()))
    training.adapter.fold()
    assert waits.found == []
    assert any(weight.grad is not None and weight.grad.any() for weight in training.weights)


@pytest.mark.filterwarnings(
    "ignore:The .grad attribute:UserWarning"
)  # dynamo looks at the gradient of any input
def test_compiled_blocks_of_one_width_are_compiled_once_for_all_sizes(options):
    settings = options()
    settings = replace(
        settings, buckets=replace(settings.buckets, incomplete="fill")
    )  # torch compiles for one image apart
    settings = replace(
        settings, lokr=LokrOptions(forward="merged")
    )  # all layers, so that blocks of one width are alike
    alone = Ranks(CPU)
    training = prepare(settings, alone, data_set(settings, alone))
    batches = [
        training.batches.batch(training.data.order[number], number)
        for number in range(training.data.order.batches(1))
    ]
    assert len({batch.noise.shape[2:] for batch in batches}) == 3

    def passes():
        per_batch = [training.objective.losses(training.model, batch).sum() for batch in batches]
        torch.autograd.backward(per_batch)
        training.adapter.fold()
        gradients = [weight.grad for weight in training.weights]
        training.optimizer.zero_grad()
        return [float(loss.detach()) for loss in per_batch], gradients

    losses, gradients = passes()
    torch._dynamo.reset()
    dynamo.counters.clear()
    compile_blocks(training.model.unet, "eager")
    second_losses, compiled = passes()
    assert second_losses == pytest.approx(losses, rel=1e-5)
    for one, two in zip(gradients, compiled, strict=True):
        assert torch.allclose(one, two, rtol=1e-3, atol=1e-6)
    widths = {
        block.norm1.weight.shape
        for block in training.model.unet.modules()
        if hasattr(block, "norm1") and hasattr(block, "attn1")
    }
    assert dynamo.counters["stats"]["unique_graphs"] == len(widths) == 2
