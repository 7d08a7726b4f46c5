"""The weights in safetensors files: restored if they were quantised, checked to be finite, and tracked as they are used."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from safetensors import SafetensorError, safe_open

from hakubooru.errors import ModelError
from hakubooru_trainer.model import quantised
from hakubooru_trainer.model.finite import is_finite
from hakubooru_trainer.model.header import read_header

if TYPE_CHECKING:
    from pathlib import Path

    import torch


class Weights:
    """The tensors of one file, or of several files that together hold a part of a model; for use in a `with` statement.

    Args:
        paths: the files.

    Raises:
        ModelError: a file cannot be read, or holds weights whose quantisation cannot be undone.
    """

    def __init__(self, *paths: Path) -> None:
        self.path = paths[0]
        """The first file, for messages."""
        self.names: dict[str, Path] = {}
        """The file of every tensor, by the tensor's name."""
        self._used: set[str] = set()
        self._files: dict[Path, Any] = {}
        self._closing = ExitStack()
        for path in paths:
            header = read_header(path)
            quantised.refuse_packed(header.tensors, header.metadata, path)
            self.names |= dict.fromkeys(header.tensors, path)
        try:
            for path in paths:
                self._files[path] = self._closing.enter_context(safe_open(path, framework="pt"))
        except (SafetensorError, OSError) as error:
            self._closing.close()
            raise ModelError(f"{path} cannot be read as safetensors ({error}); download it again") from error

    def take(self, name: str, dtype: torch.dtype) -> torch.Tensor:
        """Read a tensor, and restore it if it was quantised.

        Raises:
            ModelError: its quantisation cannot be undone, or a number is not finite.
        """
        path = self.names[name]
        beside = quantised.companions(name, self.names)
        self._used.update(beside)
        tensor = quantised.restore(name, self._get(name), beside, self._get, path)
        cast = tensor.to(dtype)
        if not is_finite(cast):
            raise _not_finite(path, name, tensor, dtype)
        return cast

    def unused(self, prefix: str = "") -> list[str]:
        """The names with a prefix that were not taken, without marks of quantised weights."""
        return sorted(
            name
            for name in self.names.keys() - self._used
            if name.startswith(prefix) and not quantised.is_marker(name)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing.close()

    def _get(self, name: str) -> torch.Tensor:
        self._used.add(name)
        path = self.names[name]
        try:
            tensor: torch.Tensor = self._files[path].get_tensor(name)
        except SafetensorError as error:
            raise ModelError(
                f"{path}: {name} cannot be read ({error}); use the checkpoint in fp16"
            ) from error
        return tensor


def _not_finite(path: Path, name: str, tensor: torch.Tensor, dtype: torch.dtype) -> ModelError:
    if is_finite(tensor):
        return ModelError(
            f"{path}: {name} has numbers that {dtype} cannot hold; load the model in bf16 or fp32 (run.weights)"
        )
    return ModelError(
        f"{path}: {name} holds NaN or infinity; the checkpoint is broken: download it again, or use another"
    )
