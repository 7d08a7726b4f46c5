"""What a run writes for people and other programs: adapters, sheets of samples, and a model card."""

from __future__ import annotations

import json
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError

import hakubooru
from hakubooru.errors import ModelError, TrainingError
from hakubooru.files import write_text
from hakubooru_trainer import sample
from hakubooru_trainer.config.read import flat
from hakubooru_trainer.lokr import file
from hakubooru_trainer.lokr.file import DTYPES
from hakubooru_trainer.lokr.preset import PRESETS
from hakubooru_trainer.model_card import model_card

if TYPE_CHECKING:
    from hakubooru_trainer.checkpoint import Counters
    from hakubooru_trainer.config import Options
    from hakubooru_trainer.data.order import Sizes
    from hakubooru_trainer.metrics import Metrics
    from hakubooru_trainer.record import Record
    from hakubooru_trainer.setup import Training

AVERAGE = "-ema"
"""What stands behind a run's name in the files of the average."""


def draw(training: Training, metrics: Metrics, update: int) -> None:
    """Draw the sheet of samples into OUT/samples and TensorBoard, if there are prompts.

    The sheet of an update that was drawn before stays; if this one differs, it is written beside it.
    """
    if not training.prompts or not training.ranks.first:
        return
    options = training.options.samples
    how = sample.Drawing(
        width=options.width,
        height=options.height,
        steps=options.steps,
        sampler=options.sampler,
        guidance=options.guidance,
        negative=options.negative,
        tokens=training.options.text.tokens,
        seed=training.options.run.seed,
    )
    try:
        with training.precision, training.evaluated():
            pictures = [*sample.draw(training.model, training.prompts, how, marks=training.objective.marks)]
    except ModelError as error:  # a picture is no reason to end a run
        warnings.warn(f"no samples of update {update:,}: {error}", stacklevel=2)
        return
    sheet = sample.sheet(pictures)
    (training.out / "samples").mkdir(exist_ok=True)
    sample.save(sheet, training.out / "samples" / f"{update:06d}.png")
    metrics.picture(update, sheet)


def save(training: Training, record: Record, ending: str, update: int) -> None:
    """Write the adapter to OUT/NAME<ending>.safetensors, and its average beside it if there is one.

    Raises:
        TrainingError: a file could not be written.
    """
    name, dtype = training.options.run.name, DTYPES[training.options.lokr.save]
    about = _metadata(training, record, update)
    path = training.out / f"{name}{ending}.safetensors"
    try:
        with training.evaluated():
            file.write(path, training.adapter, dtype, about)
        if training.average.values:
            path = training.out / f"{name}{AVERAGE}{ending}.safetensors"
            file.write(path, training.adapter, dtype, about, training.average.values)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"{path} could not be written ({error}); free some disk space and run the same command again"
        ) from error


def card(training: Training, record: Record, counters: Counters) -> None:
    """Write OUT/README.md, the model card for the Hub, if there is none; one that you edited stays."""
    path = training.out / "README.md"
    if path.exists():
        return
    sheets = sorted((training.out / "samples").glob("*.png"))
    sheet = f"samples/{sheets[-1].name}" if sheets else ""
    write_text(path, model_card(training, record.summary(), counters, sheet))


def retire(training: Training, update: int) -> None:
    """Delete the oldest adapters, and the oldest averages, beyond the number to keep.

    Those of later updates, which a run has that went on from an earlier state, do not count: it writes them anew.
    """
    name, keep = training.options.run.name, training.options.save.keep
    for stem in (f"{name}-", f"{name}{AVERAGE}-"):
        saved = {
            int(path.stem.removeprefix(stem)): path
            for path in training.out.glob("*.safetensors")
            if path.stem.startswith(stem) and path.stem.removeprefix(stem).isdecimal()
        }
        so_far = sorted(number for number in saved if number <= update)
        for number in so_far[:-keep] if keep else []:
            saved[number].unlink()


def _metadata(training: Training, record: Record, update: int) -> dict[str, str]:
    """The metadata of an adapter's file, in sd-scripts' words (`ss_…`) and in modelspec's.

    Args:
        training: the run.
        record: what the run says of itself: its recipe, card, hours and energy.
        update: the number of updates so far.
    """
    options, data, now = training.options, training.data, datetime.now(UTC)
    batches = min(update * options.batch.accumulation, data.batches)
    values = {
        **_settings(options),
        "ss_steps": update,
        "ss_epoch": round(data.order.epochs(batches), 4),
        "ss_num_train_images": len(data.train),
        "ss_bucket_info": _bucket_info(data.sizes),
        "ss_tag_frequency": {"train": training.tag_counts},
        "ss_training_finished_at": now.timestamp(),
        "hakubooru_version": hakubooru.__version__,
        "hakubooru_dataset": data.fingerprint,
        "hakubooru_config": flat(options),
        **{f"hakubooru_{name}": value for name, value in record.summary().items()},
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": options.run.name,
        "modelspec.date": now.isoformat(timespec="seconds"),
        "modelspec.resolution": "{0}x{0}".format(int(options.buckets.area**0.5)),
        "modelspec.prediction_type": training.objective.prediction,
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


def _bucket_info(sizes: Sizes) -> dict[str, Any]:
    counts = np.bincount(sizes.of, minlength=len(sizes.sizes)).tolist()
    return {
        "buckets": {
            str(place): {"resolution": size, "count": count}
            for place, (size, count) in enumerate(zip(sizes.sizes.tolist(), counts, strict=True))
        }
    }
