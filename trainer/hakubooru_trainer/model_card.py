"""A model card for the Hub: what an adapter is, how it was trained, and how to use it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import hakubooru
from hakubooru.quantity import quantity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hakubooru_trainer.config import Options


def model_card(
    options: Options,
    record: Mapping[str, Any],
    *,
    images: int,
    updates: int,
    validation: float | None,
    v: bool,
    sheet: str,
) -> str:
    """Write a model card, as Markdown with the Hub's metadata in front.

    Args:
        options: the options of the run.
        record: the summary of the run's record.
        images: how many images were trained on.
        updates: how many updates were done.
        validation: the loss of the held-out images, or None.
        v: whether the model predicts v.
        sheet: the path of a sheet of samples, or "".
    """
    name, base = options.run.name, _base(options)
    rows = _rows(options, record, images=images, updates=updates, validation=validation, v=v)
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


def _base(options: Options) -> str:
    """The name of the model that was trained on."""
    return options.model.path.replace("\\", "/").rpartition("/")[2]


def _rows(
    options: Options,
    record: Mapping[str, Any],
    *,
    images: int,
    updates: int,
    validation: float | None,
    v: bool,
) -> dict[str, str]:
    """The rows of the table that says how an adapter was trained; the arguments are those of `model_card`."""
    optimizer, batch = options.optimizer, options.batch
    return {
        "base model": _base(options),
        "images": f"{images:,}",
        "updates": f"{updates:,} of {quantity(batch.size * batch.accumulation, 'image')}",
        "optimiser": optimizer.name,
        "learning rate": f"{optimizer.lr:g}"
        + (f", text encoders {optimizer.text_lr:g}" if options.text.train else ", text encoders not trained"),
        "schedule": f"{optimizer.schedule}, {quantity(optimizer.warmup, 'step')} of warm-up",
        **(
            {"average": f"decay {options.ema.decay:g}, in `{options.run.name}-ema.safetensors`"}
            if options.ema.decay
            else {}
        ),
        "adapter": f"LoKr of full matrices, preset {options.lokr.preset}",
        "prediction": "v" if v else "epsilon",
        "precision": options.run.precision,
        "seed": str(options.run.seed),
        "card": record["card"],
        "hours": f"{record['hours']:.2f}",
        "energy": "not measured"
        if record["kilowatt_hours"] is None
        else f"{record['kilowatt_hours']:.2f} kWh",
        "loss on held-out images": "not measured" if validation is None else f"{validation:.4f}",
        "recipe": record["recipe"],
    }
