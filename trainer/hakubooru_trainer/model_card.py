"""A model card for the Hub: what an adapter is, how it was trained, and how to use it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import hakubooru
from hakubooru.quantity import quantity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hakubooru_trainer.checkpoint import Counters
    from hakubooru_trainer.config import Options
    from hakubooru_trainer.setup import Training


def model_card(training: Training, record: Mapping[str, Any], counters: Counters, sheet: str) -> str:
    """Write a model card, as Markdown with the Hub's metadata in front.

    Args:
        training: the run.
        record: the summary of its record.
        counters: how far it is, and how it went.
        sheet: the path of a sheet of samples, or "".
    """
    options, validation = training.options, counters.validation
    name, base = options.run.name, options.model.name
    energy, hours = record["kilowatt_hours"], record["hours"]
    rows = {
        "base model": base,
        "images": f"{len(training.data.train):,}",
        "updates": f"{counters.update:,} of {quantity(options.batch.size * options.batch.accumulation, 'image')}",
        **_chosen(options),
        "prediction": training.objective.prediction,
        "precision": options.run.precision,
        "seed": options.run.seed,
        "card": record["card"],
        "hours": "not known" if hours is None else f"{hours:.2f}",
        "energy": "not measured" if energy is None else f"{energy:.2f} kWh",
        "loss on held-out images": "not measured" if validation is None else f"{validation:.4f}",
        "recipe": record["recipe"],
    }
    head = {
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image",
        "tags": ["text-to-image", "stable-diffusion-xl", "lokr", "lycoris", "hakubooru"],
    }
    introduction = (
        f"A LoKr for SDXL, trained on {base} with hakubooru {hakubooru.__version__}. `{name}.safetensors` is for ComfyUI, the sd-webui "
        "and other programs that read LyCORIS. For diffusers, convert it to a LoRA first: "
        f"`hakubooru-train convert {name}.safetensors --to diffusers --rank 64 --out {name}-lora.safetensors`."
    )
    lines = [
        "---",
        *(f"{key}: {json.dumps(value)}" for key, value in head.items()),
        "---",
        f"# {name}",
        "",
        introduction,
        "",
        *([f"![samples]({sheet})", ""] if sheet else []),
        "| | |",
        "|---|---|",
        *(f"| {key} | {value} |" for key, value in rows.items()),
        "",
        "`run.json` and `config.toml` have all options and the versions of the packages.",
        "",
    ]
    return "\n".join(lines)


def _chosen(options: Options) -> dict[str, str]:
    """The rows that say what the options chose: optimiser, learning rates, average and adapter."""
    optimizer, decay = options.optimizer, options.ema.decay
    text_rate = f" {optimizer.text_lr:g}" if options.text.train else " not trained"
    return {
        "optimiser": optimizer.name,
        "learning rate": f"{optimizer.lr:g}, text encoders{text_rate}",
        "schedule": f"{optimizer.schedule}, {quantity(optimizer.warmup, 'step')} of warm-up",
        **({"average": f"decay {decay:g}, in `{options.run.name}-ema.safetensors`"} if decay else {}),
        "adapter": f"LoKr of full matrices, preset {options.lokr.preset}",
    }
