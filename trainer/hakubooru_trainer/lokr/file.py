"""Reading and writing an adapter's file as ComfyUI, the sd-webui and LyCORIS read it: SGM's names, and the metadata they use."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save, save_file

import hakubooru
from hakubooru.errors import ModelError
from hakubooru.files import replacing
from hakubooru_trainer.config.read import flat
from hakubooru_trainer.data.captions import StepCaptions
from hakubooru_trainer.lokr.layers import by_layer
from hakubooru_trainer.lokr.preset import PRESETS
from hakubooru_trainer.model.finite import is_finite
from hakubooru_trainer.model.single_file import open_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from hakubooru_trainer.config import Options
    from hakubooru_trainer.data.order import Sizes
    from hakubooru_trainer.data.samples import Samples
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


def metadata(
    options: Options,
    samples: Samples,
    sizes: Sizes,
    *,
    tags: Mapping[str, int],
    update: int,
    epoch: float,
    v: bool,
    fingerprint: str,
    record: Mapping[str, Any],
) -> dict[str, str]:
    """The metadata of an adapter's file, in sd-scripts' words (`ss_…`) and in modelspec's.

    Args:
        options: the options of the run.
        samples: the images that were trained on.
        sizes: the sizes of their buckets.
        tags: how many captions have each tag, from `tag_counts`.
        update: the number of updates so far.
        epoch: the number of epochs so far.
        v: whether the model predicts v.
        fingerprint: the fingerprint of the data set.
        record: what the run says of itself: its recipe, card, hours and energy.
    """
    now = datetime.now(UTC)
    values = {
        **_settings(options),
        "ss_steps": update,
        "ss_epoch": round(epoch, 4),
        "ss_num_train_images": len(samples),
        "ss_bucket_info": _bucket_info(sizes),
        "ss_tag_frequency": {"train": dict(tags)},
        "ss_training_finished_at": now.timestamp(),
        "hakubooru_version": hakubooru.__version__,
        "hakubooru_dataset": fingerprint,
        "hakubooru_config": flat(options),
        **{f"hakubooru_{name}": value for name, value in record.items()},
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": options.run.name,
        "modelspec.date": now.isoformat(timespec="seconds"),
        "modelspec.resolution": "{0}x{0}".format(int(options.buckets.area**0.5)),
        "modelspec.prediction_type": "v" if v else "epsilon",
    }
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in values.items()
    }


def _settings(options: Options) -> dict[str, Any]:
    """The options of a run in sd-scripts' words."""
    preset = PRESETS[options.lokr.preset]
    arguments = {
        "algo": "lokr",
        "full_matrix": True,
        "factor": preset.factor,
        "factors": dict(preset.factors) | options.lokr.factors,
        "train_norm": preset.norms and options.lokr.norms,
    }
    return {
        "ss_base_model_version": "sdxl_base_v1-0",
        "ss_sd_model_name": options.model.name,
        "ss_v2": False,
        "ss_network_module": "lycoris.kohya",
        "ss_network_dim": 1,
        "ss_network_alpha": 1.0,
        "ss_network_args": arguments,
        "ss_output_name": options.run.name,
        "ss_learning_rate": options.optimizer.lr,
        "ss_unet_lr": options.optimizer.lr,
        "ss_text_encoder_lr": options.optimizer.text_lr if options.text.train else None,
        "ss_optimizer": options.optimizer.name,
        "ss_lr_scheduler": options.optimizer.schedule,
        "ss_lr_warmup_steps": options.optimizer.warmup,
        "ss_total_batch_size": options.batch.size,
        "ss_gradient_accumulation_steps": options.batch.accumulation,
        "ss_seed": options.run.seed,
        "ss_mixed_precision": options.run.precision,
        "ss_max_token_length": options.text.tokens,
        "ss_min_snr_gamma": options.loss.min_snr_gamma or None,
        "ss_noise_offset": options.loss.noise_offset or None,
        "ss_caption_tag_dropout_rate": options.captions.drop_tags,
        "ss_shuffle_caption": options.captions.shuffle,
        "ss_keep_tokens_separator": options.captions.keep_separator,
        "ss_resolution": "({0}, {0})".format(int(options.buckets.area**0.5)),
    }


def tag_counts(samples: Samples, options: Options, most: int = 5000) -> dict[str, int]:
    """How many captions have each tag, for the most frequent tags."""
    sides, captions = options.captions.unchanged().sides, StepCaptions(options.captions)
    counts: Counter[str] = Counter()
    for texts in samples.texts():
        for text in texts:
            counts.update({tag for side in sides(captions.tags(text)) for tag in side})
    return dict(counts.most_common(most))


def _bucket_info(sizes: Sizes) -> dict[str, Any]:
    counts = torch.from_numpy(sizes.of).bincount(minlength=len(sizes.sizes)).tolist()
    return {
        "buckets": {
            str(place): {"resolution": size, "count": count}
            for place, (size, count) in enumerate(zip(sizes.sizes.tolist(), counts, strict=True))
        }
    }
