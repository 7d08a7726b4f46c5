"""The files that hold a part's weights in a folder of diffusers' layout."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hakubooru.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path


def part_folder(path: Path, part: str) -> Path:
    """The folder of a part: `path/part`, or `path` itself if it holds that part alone."""
    return path / part if (path / part).is_dir() else path


def check_part(path: Path, part: str) -> None:
    """Refuse a model's folder that lacks a part's configuration or weights.

    Raises:
        ModelError: the configuration or a file of weights is missing.
    """
    folder = part_folder(path, part)
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{path} does not hold the {part} of an SDXL in diffusers' layout: {folder / 'config.json'} is missing"
        )
    weight_files(folder, part)


def weight_files(folder: Path, part: str) -> list[Path]:
    """The files of a part's weights: the plain ones, or else those of the variant fp16.

    Raises:
        ModelError: there are none, or some are missing.
    """
    stem = "model" if part.startswith("text") else "diffusion_pytorch_model"
    shard = r"-(\d+)-of-(\d+)"
    for kind in (rf"{stem}({shard})?", rf"{stem}\.fp16({shard})?|{stem}({shard})\.fp16"):
        files = sorted(path for path in folder.glob("*.safetensors") if re.fullmatch(kind, path.stem))
        whole = [path for path in files if not re.search(shard, path.stem)]
        if whole:
            return whole
        if files:
            count = int(re.findall(shard, files[0].stem)[0][1])
            if len(files) != count:
                raise ModelError(
                    f"{folder} has {len(files)} of the {count} files of the {part}; download the rest"
                )
            return files
    if pickles := sorted(folder.glob(f"{stem}*.bin")):
        raise ModelError(
            f"{folder} has the {part}'s weights only as {pickles[0].name}, a pickle, which may run code when it is opened; "
            "convert the model where you trust it: DiffusionPipeline.from_pretrained(DIR).save_pretrained(NEW) of diffusers "
            "writes .safetensors"
        )
    raise ModelError(
        f"{folder} has no {stem}.safetensors, which the {part} of an SDXL needs; name a folder in diffusers' layout"
    )
