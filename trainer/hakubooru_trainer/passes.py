"""The forward and backward pass of a batch: as it comes, or replayed from a CUDA graph.

A pass of SDXL with a LoKr launches some 20,000 kernels. Launching them takes the processor longer than the GPU needs
to run them. A CUDA graph records them once for each shape of batch, and then a single call runs them all. The same kernels run, on
the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from hakubooru_trainer.data.batches import Batch
    from hakubooru_trainer.loss import Objective
    from hakubooru_trainer.model.load import Sdxl


class Passes:
    """Adds the gradients of a batch's loss to those of the weights.

    Args:
        model: UNet and text encoders, with the adapter applied.
        objective: the loss.
        weights: the tensors that are trained.
        precision: what is computed in.
        scaler: of the loss.
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

    def __call__(self, batch: Batch, images: int) -> Tensor:
        """Run forward and backward.

        Args:
            batch: on the device of the model.
            images: of the whole update; each weighs the same, however many share its batch.

        Returns:
            The batch's part of the update's loss, a float32 scalar that may lie on the GPU.
        """
        with self.precision:
            losses = self.objective.losses(self.model, batch)
        part = losses.sum() / images
        torch.autograd.backward(self.scaler.scale(part))
        return part.detach()

    def clear(self) -> None:
        """Forget the gradients, once the weights were moved."""
        for weight in self.weights:
            weight.grad = None


class GraphedPasses(Passes):
    """The same, by a CUDA graph for each shape of batch: recorded when the shape is first met, replayed from then on."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._graphs: dict[tuple[Any, ...], _Recorded] = {}
        self._pool: Any = None

    def __call__(self, batch: Batch, images: int) -> Tensor:
        """Run forward and backward, as `Passes` does."""
        batch = replace(batch, weights=batch.weights / images)
        shape = (tuple(batch.noise.shape), batch.pixels is not None, batch.contexts is not None)
        recorded = self._graphs.get(shape)
        if recorded is None:
            recorded = self._graphs[shape] = self._record(batch)
        recorded.batch.copy_(batch)
        recorded.graph.replay()
        return recorded.part.clone()

    def clear(self) -> None:
        """Set the gradients to zero where they lie, since the graphs add to them there."""
        torch._foreach_zero_([weight.grad for weight in self.weights if weight.grad is not None])

    def _record(self, batch: Batch) -> _Recorded:
        """Record the graph of a batch's shape; the gradients stay as they are."""
        static = batch.clone()
        gradients = [
            torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in self.weights
        ]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # libraries make ready what they need for these shapes
            super().clear()
            super().__call__(static, 1)
            super().clear()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        for weight, gradient in zip(self.weights, gradients, strict=True):
            weight.grad = gradient
        graph = torch.cuda.CUDAGraph()
        # Other threads pin memory meanwhile, which is no part of the graph.
        with torch.cuda.graph(graph, pool=self._pool, stream=side, capture_error_mode="thread_local"):
            part = super().__call__(static, 1)
        self._pool = graph.pool()
        return _Recorded(graph, static, part)


@dataclass(frozen=True)
class _Recorded:
    graph: torch.cuda.CUDAGraph
    batch: Batch
    """What the graph reads."""
    part: Tensor
    """What the graph writes: the batch's part of the loss."""
