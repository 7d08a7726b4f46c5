"""Checks that the files a configuration names exist; they run before torch is imported, which takes seconds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hakubooru_trainer.config.data import ENDING
from hakubooru_trainer.model.extras import check_names
from hakubooru_trainer.model.folder import check_part
from hakubooru_trainer.model.header import read_header
from hakubooru_trainer.model.names import PREFIXES
from hakubooru_trainer.prompts import read_prompts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hakubooru.settings import Problems
    from hakubooru_trainer.config.data import DataOptions
    from hakubooru_trainer.config.options import ModelOptions

NO_FOLDER: Final = "is not a folder; name an export of `hakubooru export`, or a folder of images or shards"


def check_sections(sections: Mapping[str, Any], problems: Problems) -> None:
    """Note the files and folders that a configuration names and that are missing.

    Args:
        sections: the sections that could be read, by name.
        problems: where to note them.
    """
    for data in sections.get("data", ()):
        _check_data(data, problems)
    if model := sections.get("model"):
        check_model(model, problems)
    if (lokr := sections.get("lokr")) and lokr.start:
        check_file(Path(lokr.start), problems, "lokr.start: ")
    if (samples := sections.get("samples")) and samples.prompts:
        check_prompts(Path(samples.prompts), problems)
    if run := sections.get("run"):
        if not run.out:
            problems.add('run.out = ""; name a folder, or "." for the current one')
        check_folder("run.out", run.out, problems)
    if cache := sections.get("cache"):
        check_folder("cache.latents", cache.latents, problems)
        check_folder("cache.text", cache.text, problems)


def check_model(options: ModelOptions, problems: Problems) -> None:
    """Note what is wrong with a model's files, as their names and headers tell."""
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
            problems.add(
                f"model.{key} is {folder}, which is not a folder; name a folder in diffusers' layout"
            )


def check_file(path: Path, problems: Problems, where: str = "") -> None:
    """Note what is wrong with a safetensors file, as its header tells.

    Args:
        path: the file.
        problems: where to note it.
        where: what names the file, such as `lokr.start: `, for the message.
    """
    if not path.exists():
        problems.add(f"{where}{path} does not exist; name a .safetensors file")
        return
    with problems.collecting(where):
        read_header(path)


def check_prompts(path: Path, problems: Problems) -> None:
    """Note what is wrong with a file of prompts."""
    with problems.collecting():
        read_prompts(path)


def check_folder(key: str, folder: str, problems: Problems) -> None:
    """Note that a path that must be a folder is a file, or that the folder cannot be created."""
    path = Path(folder)
    if not folder or path.is_dir():
        return
    # A link to what is not there is in the way of a new folder.
    places = (place for place in (path, *path.absolute().parents) if place.exists() or place.is_symlink())
    nearest = next(places, path)
    if nearest == path and path.exists():
        problems.add(f"{key} is {folder}, which is a file; name a folder")
    elif not nearest.is_dir() or not os.access(nearest, os.W_OK):
        problems.add(
            f"{key} is {folder}, and {nearest} is not a folder that can be written; name another folder"
        )


def check_new_folder(folder: Path, problems: Problems) -> None:
    """Note that a folder exists already and is not empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        problems.add(f"{folder} exists already; name a new folder")
    else:
        check_folder("DIR", str(folder), problems)


def check_out(path: Path, problems: Problems) -> None:
    """Note that an output file cannot be written at its path."""
    if path.is_dir():
        problems.add(f"--out {path} is a folder; name a file in it")
    elif not path.parent.is_dir():
        problems.add(f"--out {path}: the folder {path.parent} does not exist; create it first")


def _check_data(data: DataOptions, problems: Problems) -> None:
    if not data.path:  # pathlib takes it for the current folder
        problems.add('data.path = ""; name a folder, or "." for the current one')
    elif not Path(data.path).is_dir():
        problems.add(f"{data.path} {NO_FOLDER}")
    if data.masks and not data.masks.startswith(ENDING) and not Path(data.masks).is_dir():
        problems.add(
            f"data.masks is {data.masks}, which is neither a folder nor the ending of files, such as -masklabel.png"
        )


def _check_vae(path: Path) -> None:
    if path.is_dir():
        check_part(path, "vae")
    else:
        read_header(path)
