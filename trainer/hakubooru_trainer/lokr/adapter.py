"""An adapter on a model: LyCORIS's LoKr and norm modules, in full matrices, under the names that other tools use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from lycoris.functional import factorization
from lycoris.modules.lokr import LokrModule
from lycoris.modules.norms import NormModule

from hakubooru.errors import ModelError
from hakubooru.nearest import nearest
from hakubooru_trainer import randomness
from hakubooru_trainer.lokr.layers import NORM, check_names, fitting_layers
from hakubooru_trainer.lokr.preset import Target, layers
from hakubooru_trainer.lokr.ways import ways

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from hakubooru_trainer.lokr.changed import Changed


class Adapter:
    """The trained weights of an adapter, one module for each target.

    For a layer with weight W it adds x · (w1 ⊗ w2) to what the frozen layer gives; `lokr.ways` chooses how. w2 begins at 0
    and w1 at Kaiming's uniform distribution, drawn for each layer from the seed and its name.

    Args:
        targets: the layers to change.
        seed: the seed of w1.
        dtype: the precision of the trained weights.
    """

    def __init__(
        self, targets: Sequence[Target], *, seed: int = 0, dtype: torch.dtype = torch.float32
    ) -> None:
        self.targets = list(targets)
        self._changed: dict[str, Changed] = {}
        self.modules: dict[str, Any] = {target.name: _module(target, dtype) for target in targets}
        with torch.no_grad():
            for name, module in self.modules.items():
                if isinstance(module, LokrModule) and not module.lokr_w1.is_meta:
                    module.lokr_w1.copy_(_start(module.lokr_w1, name, seed))

    def apply(self, forward: str = "auto", *, half: bool = True) -> None:
        """Put the adapter into the model: its layers then give changed outputs.

        Args:
            forward: how the change is computed: `auto`, `merged`, `factored`, `fused`, or `lycoris`, which is LyCORIS's own way.
            half: whether the model computes in half precision.
        """
        if forward != "lycoris" and self.targets:
            device = self.targets[0].module.weight.device
            chosen = ways(self.targets, forward=forward, half=half, device=device)
            modules = {target.name: target.module for target in self.targets}
            self._changed = {name: way(self.modules[name], modules[name]) for name, way in chosen.items()}
        for target in self.targets:
            if target.name in self._changed:
                self._changed[target.name].apply()
            else:
                self.modules[target.name].apply_to()

    def remove(self) -> None:
        """Take the adapter out of the model: its layers give again what they gave without it."""
        for target in self.targets:
            if target.name in self._changed:
                self._changed[target.name].remove()
            else:
                self.modules[target.name].restore()
        self._changed = {}

    def fold(self) -> None:
        """Complete the weights' gradients after the last backward pass of an update."""
        for changed in self._changed.values():
            changed.fold()

    def changed(self) -> None:
        """Notify the layers that the weights have changed, so that they rebuild what follows from them."""
        for changed in self._changed.values():
            changed.changed()

    def to(self, device: torch.device) -> None:
        """Move the weights to a device."""
        for module in self.modules.values():
            module.to(device)

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """The names of the weights in a file, with the tensors themselves."""
        for name, module in self.modules.items():
            for own, tensor in module.named_parameters():
                yield f"{name}.{own}", tensor

    def parameters(self, *parts: str) -> list[Tensor]:
        """The trained tensors of some parts of the model, such as `unet`."""
        return [
            tensor
            for target in self.targets
            if target.part in parts
            for tensor in self.modules[target.name].parameters()
        ]

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor], where: str) -> None:
        """Copy weights in, by their names in a file.

        Args:
            tensors: the weights, as `read` of a file gives them.
            where: the file, for messages.

        Raises:
            ModelError: layers or factors differ from this adapter's, or there is weight decomposition.
        """
        own = dict(self.weights())
        names = {name for name in tensors if not name.endswith(".alpha")}
        check_names({name.rpartition(".")[0] for name in names}, where)
        for name in sorted(name for name in names if name.endswith(".dora_scale")):
            raise ModelError(
                f"{where}: {name} decomposes the weight, which is not trained here; start from an adapter without dora_scale"
            )
        for name in sorted(names - own.keys()):
            raise ModelError(f"{where} has {name}, which this adapter does not have; {nearest(name, own)}")
        for name, tensor in own.items():
            if name not in names:
                raise ModelError(
                    f"{where} does not have {name}; it was made with another preset or without norms: set lokr.preset and lokr.norms as they were then"
                )
            if tensors[name].shape != tensor.shape:
                raise ModelError(
                    f"{where}: {name} is of shape {tuple(tensors[name].shape)}, but this adapter needs {tuple(tensor.shape)}; "
                    "set lokr.factors as they were when it was made"
                )
            tensor.copy_(tensors[name])
        self.changed()


def adapter_of(
    tensors: Mapping[str, Tensor], parts: Mapping[str, Any], where: str, scale: float = 1.0
) -> Adapter:
    """The adapter of a file, on a model. The layers and factors are the file's own.

    Args:
        tensors: the tensors that were read from the file.
        parts: the UNet and the text encoders, by the names of their folders.
        where: the file, for messages.
        scale: the share of the adapter's change.

    Raises:
        ModelError: it changes layers that the model does not have, or in another way than by full matrices and norms.
    """
    modules = layers({name: parts[name] for name in ("unet", "text_encoder", "text_encoder_2")})
    targets = []
    weights: dict[str, Tensor] = {}
    instead = "; merge the adapter into the checkpoint and draw with that"
    for layer, own in fitting_layers(tensors, modules, where, instead).items():
        part, module = modules[layer]
        w1 = own.get("lokr_w1")
        targets.append(Target(layer, part, module, 0 if w1 is None else _factor(w1, module, where)))
        if w1 is None:  # LyCORIS saves both w_norm and b_norm; other programs only the one that they train
            weights |= {f"{layer}.{kind}": torch.zeros_like(module.weight) for kind in NORM}
        weights |= {
            f"{layer}.{kind}": tensor.float() * scale if kind in {"lokr_w1", *NORM} else tensor
            for kind, tensor in own.items()
        }
    adapter = Adapter(targets)
    adapter.load(weights, where)
    return adapter


def _factor(w1: Tensor, module: Any, where: str) -> int:
    """The factor for which LyCORIS divides a layer into this shape of w1."""
    outs, ins = module.weight.shape[:2]
    for factor in range(1, max(outs, ins) + 1):
        if (factorization(outs, factor)[0], factorization(ins, factor)[0]) == tuple(w1.shape):
            return factor
    raise ModelError(
        f"{where} has a w1 of shape {tuple(w1.shape)}, and no factor divides a layer of {outs} by {ins} so; merge the adapter "
        "into the checkpoint and draw with that"
    )


def _module(target: Target, dtype: torch.dtype) -> Any:
    device = target.module.weight.device if target.module.weight.is_meta else torch.device("cpu")
    with device:
        if target.factor == 0:
            module: Any = NormModule(target.name, target.module)
        else:
            module = LokrModule(
                target.name,
                target.module,
                lora_dim=1,  # has no effect on full matrices, but stands in the file, as alpha does
                alpha=1,
                factor=target.factor,
                full_matrix=True,
                bypass_mode=False,  # else LyCORIS warns of packed layers, which never go through its forward pass
            )
    return module.to(dtype)


def _start(w1: Tensor, name: str, seed: int) -> Tensor:
    bound = w1.shape[1] ** -0.5  # torch's kaiming_uniform_ with a = √5
    return torch.from_numpy((randomness.uniform(w1.shape, f"w1 of {name}", seed) * 2 - 1) * bound)
