"""The forward and backward pass of a batch: run directly, or replayed from a CUDA graph.

A pass of SDXL with a LoKr launches some 20,000 kernels, and launching them takes the processor longer than the GPU needs to
run them. A CUDA graph records them once for each shape of batch, and then one call runs them all. While a graph is recorded,
libraries may choose other kernels for a product, so that results differ from those without graphs by rounding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from hakubooru_trainer.data.batches import Batch
    from hakubooru_trainer.loss import Objective
    from hakubooru_trainer.model.load import Sdxl


class Part(NamedTuple):
    """What a batch adds to an update."""

    loss: Tensor
    """Its part of the update's loss, a float32 scalar that may lie on the GPU."""
    losses: Tensor
    """The loss of each image, (B,) float32."""


class Passes:
    """Adds the gradients of a batch's loss to those of the weights.

    Args:
        model: UNet and text encoders, with the adapter applied.
        objective: the loss.
        weights: the tensors that are trained.
        precision: the precision to compute in.
        scaler: the scaler of the loss.
    """

    def __init__(
        self,
        model: Sdxl,
        objective: Objective,
        weights: Sequence[Tensor],
        precision: torch.autocast,
        scaler: torch.amp.GradScaler,
    ) -> None:
        self.model = model
        self.objective = objective
        self.weights = weights
        self.precision = precision
        self.scaler = scaler

    def __call__(self, batch: Batch, images: int) -> Part:
        """Run forward and backward.

        Args:
            batch: the batch, on the device of the model.
            images: the number of images of the whole update; each weighs the same, whatever the size of its batch.
        """
        with self.precision:
            losses = self.objective.losses(self.model, batch)
        part = losses.sum() / images
        torch.autograd.backward(self.scaler.scale(part))
        return Part(part.detach(), losses.detach())

    def clear(self) -> None:
        """Remove the gradients after the weights were moved."""
        for weight in self.weights:
            weight.grad = None


class GraphedPasses(Passes):
    """Runs passes by a CUDA graph for each shape of batch, recorded at the shape's first batch and replayed later.

    The arguments are those of `Passes`.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._graphs: dict[tuple[Any, ...], _Recorded] = {}
        self._pool: Any = None
        self._stream: Any = None

    def __call__(self, batch: Batch, images: int) -> Part:
        """Run forward and backward, as `Passes` does."""
        batch = replace(batch, weights=batch.weights / images)
        shape = (tuple(batch.noise.shape), *(part is not None for part in (batch.pixels, batch.contexts)))
        recorded = self._graphs.get(shape)
        if recorded is None:
            recorded = self._graphs[shape] = self._record(batch)
        recorded.batch.copy_(batch)
        recorded.graph.replay()
        return Part(recorded.part.loss.clone(), recorded.part.losses * images)

    def clear(self) -> None:
        """Set the gradients to zero in place, since the graphs add to them at their addresses."""
        torch._foreach_zero_([weight.grad for weight in self.weights if weight.grad is not None])

    def _record(self, batch: Batch) -> _Recorded:
        """Record the graph of a batch's shape; the gradients stay as they are."""
        static = batch.clone()
        gradients = [
            torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in self.weights
        ]
        # Memory of the pool that one recording leaves free serves the next one on the same stream alone.
        side = self._stream = self._stream or torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # a first run lets libraries prepare for these shapes
            super().clear()
            super().__call__(static, 1)
            super().clear()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        for weight, gradient in zip(self.weights, gradients, strict=True):
            weight.grad = gradient
        graph = torch.cuda.CUDAGraph()
        # thread_local: other threads pin memory meanwhile, which must not disturb the capture.
        with torch.cuda.graph(graph, pool=self._pool, stream=side, capture_error_mode="thread_local"):
            part = super().__call__(static, 1)
        self._pool = graph.pool()
        return _Recorded(graph, static, part)


@dataclass(frozen=True)
class _Recorded:
    graph: torch.cuda.CUDAGraph
    batch: Batch
    """The batch that the graph reads."""
    part: Part
    """The tensors that the graph writes."""
