"""Whether what a run names is there: looked at before torch is imported, which takes seconds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hakubooru_trainer.model.extras import check_names
from hakubooru_trainer.model.folder import check_part
from hakubooru_trainer.model.header import read_header
from hakubooru_trainer.model.names import PREFIXES
from hakubooru_trainer.prompts import read_prompts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hakubooru_trainer.config.options import ModelOptions
    from hakubooru_trainer.config.problems import Problems

NO_FOLDER: Final = "is no folder; name what `hakubooru export` wrote, or a folder of images or shards"


def check_sections(sections: Mapping[str, Any], problems: Problems) -> None:
    """Note what the sections of a configuration name and is not there.

    Args:
        sections: those that could be read, by name.
        problems: where to note it.
    """
    for data in sections.get("data", ()):
        if not Path(data.path).is_dir():
            problems.add(f"{data.path} {NO_FOLDER}")
    if model := sections.get("model"):
        check_model(model, problems)
    if (lokr := sections.get("lokr")) and lokr.start:
        check_file(Path(lokr.start), problems)
    if (samples := sections.get("samples")) and samples.prompts:
        check_prompts(Path(samples.prompts), problems)
    if run := sections.get("run"):
        check_folder("run.out", run.out, problems)
    if cache := sections.get("cache"):
        check_folder("cache.latents", cache.latents, problems)
        check_folder("cache.text", cache.text, problems)


def check_model(options: ModelOptions, problems: Problems) -> None:
    """Note what is wrong with a model's files, by their names and headers."""
    path = Path(options.path)
    if path.is_dir():
        with problems.collecting():
            for part in PREFIXES:
                if part != "vae" or not options.vae:
                    check_part(path, part)
    else:
        with problems.collecting():
            check_names(path)
    if options.vae:
        with problems.collecting():
            _check_vae(Path(options.vae))
    for key, folder in (("config", options.config), ("tokenizers", options.tokenizers)):
        if folder and not Path(folder).is_dir():
            problems.add(f"model.{key} is {folder}, which is no folder; name one in diffusers' layout")


def check_file(path: Path, problems: Problems) -> None:
    """Note what is wrong with a safetensors file, by its header."""
    with problems.collecting():
        read_header(path)


def check_prompts(path: Path, problems: Problems) -> None:
    """Note what is wrong with a file of prompts."""
    with problems.collecting():
        read_prompts(path)


def check_folder(key: str, folder: str, problems: Problems) -> None:
    """Note that what is to be a folder is a file, or cannot be made."""
    path = Path(folder)
    if not folder or path.is_dir():
        return
    there = next((place for place in (path, *path.absolute().parents) if place.exists()), path)
    if there == path and path.exists():
        problems.add(f"{key} is {folder}, which is a file; name a folder")
    elif not there.is_dir() or not os.access(there, os.W_OK):
        problems.add(f"{key} is {folder}, and {there} is no folder that can be written; name another")


def check_new_folder(folder: Path, problems: Problems) -> None:
    """Note that a folder is there already and holds something."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        problems.add(f"{folder} is there already; name a new folder")
    else:
        check_folder("DIR", str(folder), problems)


def check_out(path: Path, problems: Problems) -> None:
    """Note that a file cannot be written where it is to be."""
    if path.is_dir():
        problems.add(f"--out {path} is a folder; name a file in it")
    elif not path.parent.is_dir():
        problems.add(f"--out {path}: the folder {path.parent} does not exist; make it first")


def _check_vae(path: Path) -> None:
    if path.is_dir():
        check_part(path, "vae")
    else:
        read_header(path)
