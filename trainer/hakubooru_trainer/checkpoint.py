"""The states that a run resumes from.

OUT/state/000200/    adapter.safetensors     the trained weights as they are held
                     optimizer.safetensors   what the optimiser remembers: its tensors, 8-bit ones as they are
                     state.json              counters, the rest of the optimiser, the scaler; configuration, data set and
                                             versions; checksums of the two files

A state is written beside the others and made durable, state.json last: it is the mark that all is there. Then the folder takes its
name, and the oldest is retired.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from hakubooru.errors import ConfigError, ModelError
from hakubooru.nearest import nearest
from hakubooru_trainer.config.read import flat

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from torch import Tensor

    from hakubooru_trainer.config import Options
    from hakubooru_trainer.model.load import Sdxl
    from hakubooru_trainer.setup import Training

FREE: Final = (
    "run.out", "run.name", "run.device", "run.threads", "run.workers", "run.bad_updates", "model.path", "model.config",
    "model.tokenizers", "model.vae", "cache.", "save.", "samples.", "validation.every",
)  # fmt: skip
"""Options that do not change the result, or, as another device does, no more than its rounding; a name that ends with a dot
is a whole section. What lies at the model's paths is compared itself."""
_FIXED: Final = ("batch.size", "batch.accumulation")
"""What cannot be allowed to differ: a run's place in its order is counted in them."""
_LENGTH: Final = ("run.epochs", "run.updates")
_MARK: Final = "state.json"
_PACKAGES: Final = ("hakubooru", "torch", "diffusers", "transformers", "lycoris-lora", "bitsandbytes")


@dataclass
class Counters:
    """How far a run is."""

    update: int = 0
    """Updates that are done."""
    skipped: int = 0
    """Of these, how many left the weights alone because a loss or gradient was not finite."""
    bad: int = 0
    """How many of the last ones in a row."""
    loss: float = math.nan
    """Of the last update."""
    validation: float | None = None
    """Of the held-out images, when it was last measured."""


class TornStateError(ModelError):
    """A state that is not whole."""


class States:
    """The states of one run.

    Args:
        folder: where they are kept.
        options: of the run.
        data: the fingerprint of its data set.
        model: the fingerprint of its frozen model.
        allowed: what may differ from the run that wrote a state, by its key, or by the section before the dot.
    """

    def __init__(
        self, folder: Path, options: Options, data: str, model: str, allowed: Collection[str] = ()
    ) -> None:
        self.folder = folder
        self.keep = options.save.states
        self.about: dict[str, Any] = {
            "data": data,
            "model.weights": model,
            **json.loads(json.dumps(flat(options))),
            **{f"version.{package}": version(package) for package in _PACKAGES},
        }
        self.allowed = set(allowed)
        known = {word for key in self.about for word in (key, key.partition(".")[0])}
        for key in sorted(self.allowed - known):
            raise ConfigError(f"--allow-change {key}: there is no such key; {nearest(key, sorted(known))}")

    def save(self, counters: Counters, it: Training) -> None:
        """Write a state, and when it is whole, retire the oldest, and those of a course that was left."""
        whole = self.folder / f"{counters.update:06d}"
        part = self.folder / f".{whole.name}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        tensors: dict[str, Tensor] = {}
        rest = _take_tensors(it.optimizer.state_dict(), "", tensors, {})
        checksums = {
            "adapter.safetensors": _write(part / "adapter.safetensors", dict(it.adapter.weights())),
            "optimizer.safetensors": _write(part / "optimizer.safetensors", tensors),
        }
        told = {
            "counters": vars(counters),
            "batches": it.data.batches,
            "checksums": checksums,
            "optimizer": rest,
            "scaler": it.scaler.state_dict(),
            "about": self.about,
        }
        with (part / _MARK).open("w", encoding="utf-8", newline="\n") as file:
            json.dump(told, file)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(part)
        if whole.exists():
            shutil.rmtree(whole)
        part.replace(whole)
        _sync_folder(self.folder)
        for other in self.all():
            if int(other.name) > counters.update:
                shutil.rmtree(other)
        for old in self.all()[: -self.keep]:
            shutil.rmtree(old)

    def all(self) -> list[Path]:
        """The states that are there, oldest first."""
        if not self.folder.is_dir():
            return []
        named = (path for path in self.folder.iterdir() if path.name.isdecimal())
        return sorted(named, key=lambda path: int(path.name))

    def resume(self, chosen: Path | None, it: Training) -> Counters:
        """Take up a state: the one that was chosen, or the last that is whole; begin where there is none.

        Raises:
            ModelError: the state, or every one, is torn.
            ConfigError: it belongs to another data set, or to options that give another result.
        """
        if chosen is not None:
            return self._load(chosen, it)
        found = self.all()
        for state in reversed(found):
            try:
                return self._load(state, it)
            except TornStateError as error:
                if it.ranks.first:
                    tqdm.write(f"{error}; trying the one before")
        if found:
            raise ModelError(f"no state in {self.folder} is whole; begin anew, with another run.out")
        return Counters()

    def _load(self, state: Path, it: Training) -> Counters:
        try:
            told = json.loads((state / _MARK).read_text(encoding="utf-8"))
            adapter = load_file(state / "adapter.safetensors")
            tensors = load_file(state / "optimizer.safetensors", device=str(it.device))
        except (OSError, ValueError, SafetensorError) as error:
            raise TornStateError(f"{state} is torn ({error})") from error
        for name, held in (("adapter.safetensors", adapter), ("optimizer.safetensors", tensors)):
            if _checksum(held) != told["checksums"][name]:
                raise TornStateError(f"{state} is torn ({name} is not what was written)")
        self._check(told, state, it)
        it.adapter.load(adapter, str(state))
        told_now = [{k: v for k, v in group.items() if k != "params"} for group in it.optimizer.param_groups]
        if told["about"]["optimizer.name"] == it.options.optimizer.name:  # another one begins without memory
            it.optimizer.load_state_dict(_give_tensors(told["optimizer"], tensors))
        for group, values in zip(it.optimizer.param_groups, told_now, strict=True):
            group.update(values)  # the options count, where --allow-change let them differ
        if told["scaler"]:  # nothing but for fp16
            it.scaler.load_state_dict(told["scaler"])
        return Counters(**told["counters"])

    def _check(self, told: Mapping[str, Any], state: Path, it: Training) -> None:
        then, now = told["about"], self.about
        changed = {
            key: f"{key} was {then.get(key)!r} and is {now.get(key)!r}"
            for key in sorted(now.keys() | then.keys())
            if now.get(key) != then.get(key) and not self._is_free(key)
        }
        if "data" in changed:
            changed["data"] = "data: the data set holds other images or captions"
        if changed:
            raise ConfigError(
                f"{state} cannot be taken up, since the result would be another run's: {'; '.join(changed.values())}. "
                f"Set it back, name a new run.out, or accept it knowingly: --allow-change {next(iter(changed))}"
            )
        done = told["counters"]["update"] * it.options.batch.accumulation
        if it.data.batches > told["batches"] and done > told["batches"]:
            raise ConfigError(
                f"{state} is the end of a run whose last update had fewer batches than the others; a longer run "
                "would leave some out: go on from an earlier state, or name a new run.out"
            )

    def _is_free(self, key: str) -> bool:
        section = key.partition(".")[0]
        if key in _FIXED:
            return False
        if key in self.allowed or section in self.allowed:
            return True
        if key in _LENGTH:  # a rate that stays does not know how long the run is
            return bool(self.about["optimizer.schedule"] == "constant")
        return any(
            key == name or (name.endswith(".") and key.startswith(name)) for name in FREE
        ) or key.endswith("].path")


def model_fingerprint(model: Sdxl) -> str:
    """SHA-256 of names, shapes and the first numbers of every tensor: any fine-tune moves those."""
    digest = hashlib.sha256()
    for part in (model.unet, model.vae, model.text_encoder, model.text_encoder_2):
        for name, tensor in part.state_dict().items():
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            first = tensor.flatten()[:64].cpu().contiguous()
            digest.update(first.view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()}"


def _write(path: Path, tensors: Mapping[str, Tensor]) -> int:
    """Write tensors to the disk, and give their checksum, which is computed meanwhile."""
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with ThreadPoolExecutor(1) as thread:
        checksum = thread.submit(_checksum, held)
        save_file(held, path)
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        return checksum.result()


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    """CRC-32 of all tensors, in the order of their names."""
    found = 0
    for name in sorted(tensors):
        data: Any = tensors[name].cpu().reshape(-1).view(torch.uint8).numpy()
        found = zlib.crc32(data, zlib.crc32(name.encode(), found))
    return found


def _take_tensors(value: Any, name: str, tensors: dict[str, Tensor], known: dict[int, str]) -> Any:
    """A tree with names in the place of tensors, which go to `tensors`; those that share memory, once."""
    if isinstance(value, torch.Tensor):
        name = known.setdefault(value.data_ptr(), name) if value.numel() else name
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, dict):
        pairs = [[key, _take_tensors(inner, f"{name}/{key}", tensors, known)] for key, inner in value.items()]
        return {"pairs": pairs}
    return value


def _give_tensors(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        return {key: _give_tensors(inner, tensors) for key, inner in value["pairs"]}
    return value


def _sync_folder(folder: Path) -> None:
    """Make durable what names a folder has; Windows does so by itself."""
    if os.name == "posix":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
