"""Reading and writing an adapter's file under SGM's names, as ComfyUI, the sd-webui and LyCORIS read it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save, save_file

from hakubooru.errors import ModelError
from hakubooru.files import replacing
from hakubooru_trainer.lokr.layers import by_layer
from hakubooru_trainer.model.finite import is_finite
from hakubooru_trainer.model.header import read_header
from hakubooru_trainer.model.single_file import open_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from hakubooru_trainer.config.options import ModelOptions
    from hakubooru_trainer.lokr.adapter import Adapter

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def tensors(
    adapter: Adapter, dtype: torch.dtype, weights: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """The tensors of an adapter's file: w1, w2 and alpha of each layer, and the differences of norms.

    Args:
        adapter: the adapter.
        dtype: the precision of the file.
        weights: values in place of the adapter's own, such as their average.
    """
    values = dict(adapter.weights()) if weights is None else weights
    named = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in values.items()}
    for target in adapter.targets:
        if target.factor:
            named[f"{target.name}.alpha"] = torch.tensor(1.0, dtype=dtype)
    return named


def write(
    path: Path,
    adapter: Adapter,
    dtype: torch.dtype,
    metadata: Mapping[str, str],
    weights: Mapping[str, Tensor] | None = None,
) -> None:
    """Write an adapter to a file, which appears whole or not at all.

    The metadata gets `sshs_model_hash`, the SHA-256 of the tensors by sd-scripts' rule; other tools identify files by it.

    Args:
        path: the file.
        adapter: the adapter.
        dtype: the precision of the file.
        metadata: the file's metadata.
        weights: values in place of the adapter's own, such as their average.
    """
    contents = tensors(adapter, dtype, weights)
    data = memoryview(save(contents))
    digest = hashlib.sha256(data[8 + int.from_bytes(data[:8], "little") :]).hexdigest()
    data.release()
    with replacing(path) as beside:
        save_file(contents, beside, dict(metadata) | {"sshs_model_hash": digest})


def read(path: Path) -> dict[str, Tensor]:
    """Read the tensors of an adapter's file, with `scalar` multiplied into w1.

    Raises:
        ModelError: the file is missing, not safetensors, another kind of adapter, or holds NaN or infinity.
    """
    with open_file(path) as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    for name, tensor in stored.items():
        if not name.endswith(".alpha") and not tensor.is_floating_point():
            raise ModelError(
                f"{path}: {name} is stored as {tensor.dtype}; use an adapter in fp16, bf16 or fp32"
            )
    check_finite(stored, str(path))
    layers = by_layer(stored, str(path))
    return {f"{layer}.{own}": tensor for layer, some in layers.items() for own, tensor in some.items()}


def options_of_run(path: Path, options: ModelOptions) -> ModelOptions:
    """The options of a model; where they say `auto`, what the configuration in an adapter's file says of the model.

    A run needs `model.prediction = "v"` where the checkpoint does not say what it predicts, and its adapter needs the same.

    Args:
        path: the adapter's file.
        options: the options of the model that the adapter is used with.

    Raises:
        ModelError: the file is missing, or has another format.
    """
    try:
        configuration = json.loads(read_header(path).metadata.get("hakubooru_config", "{}"))
        prediction, zero = (
            configuration.get(f"model.{name}") for name in ("prediction", "zero_terminal_snr")
        )
    except (ValueError, AttributeError):  # another program wrote it
        return options
    if options.prediction == "auto" and prediction in {"epsilon", "v"}:
        options = replace(options, prediction=prediction)
    if options.zero_terminal_snr == "auto" and zero in {"yes", "no"}:
        options = replace(options, zero_terminal_snr=zero)
    return options


def check_finite(tensors: Mapping[str, Tensor], where: str) -> None:
    """Refuse an adapter with numbers that are not finite.

    Raises:
        ModelError: there is one in a matrix; full matrices do not use alpha, and some files have infinity there.
    """
    for name, tensor in tensors.items():
        if not (name.endswith(".alpha") or is_finite(tensor)):
            raise ModelError(
                f"{where}: {name} holds NaN or infinity; the adapter is broken: use an earlier one"
            )
