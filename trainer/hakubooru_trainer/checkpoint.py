"""The state that a run resumes from: a folder that is either whole or not there.

OUT/state/000200/    adapter.safetensors   the trained weights as they are held
                     optimizer.pt          what the optimiser and the scaler remember
                     state.json            counters, and fingerprints of data set and configuration
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from safetensors.torch import load_file, save_file

from hakubooru.errors import ConfigError, ModelError
from hakubooru_trainer.config.read import flat

if TYPE_CHECKING:
    from pathlib import Path

    from hakubooru_trainer.config import Options
    from hakubooru_trainer.setup import Training

FREE: Final = (
    "run.out", "run.name", "run.epochs", "run.updates", "run.device", "run.threads", "run.workers", "run.bad_updates",
    "model.path", "model.config", "model.tokenizers", "cache.", "save.", "samples.", "validation.every",
)  # fmt: skip
"""Options that may differ when a run is taken up again; a name that ends with a dot is a whole section."""


@dataclass
class Counters:
    """How far a run is."""

    update: int = 0
    """Updates that are done."""
    skipped: int = 0
    """Of these, how many left the weights alone because a loss or gradient was not finite."""
    bad: int = 0
    """How many of the last ones in a row."""


class States:
    """The states of one run."""

    def __init__(self, folder: Path, options: Options, data: str) -> None:
        self.folder = folder
        self.options = options
        self.data = data

    def save(self, counters: Counters, it: Training) -> None:
        """Write a state, and only when it is whole, retire the oldest."""
        whole = self.folder / f"{counters.update:06d}"
        part = self.folder / f".{whole.name}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        save_file(
            {name: tensor.detach().cpu() for name, tensor in it.adapter.weights()},
            part / "adapter.safetensors",
        )
        torch.save(
            {"optimizer": it.optimizer.state_dict(), "scaler": it.scaler.state_dict()}, part / "optimizer.pt"
        )
        about = {"counters": vars(counters), "data": self.data, "options": flat(self.options)}
        (part / "state.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8", newline="\n")
        for file in part.iterdir():
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())
        if whole.exists():
            shutil.rmtree(whole)
        part.replace(whole)
        for old in self.all()[: -self.options.save.states]:
            shutil.rmtree(old)

    def all(self) -> list[Path]:
        """The states that are there, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(
            (path for path in self.folder.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name)
        )

    def load(self, state: Path, it: Training) -> Counters:
        """Take a state up.

        Raises:
            ModelError: it cannot be read.
            ConfigError: it belongs to another data set, or to options that give another result.
        """
        try:
            about = json.loads((state / "state.json").read_text(encoding="utf-8"))
            weights = load_file(state / "adapter.safetensors")
            held = torch.load(state / "optimizer.pt", map_location=it.device, weights_only=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"{state} is no state that can be resumed from ({error}); take an earlier one, or --resume never with a new run.out"
            ) from error
        self._check(about, state)
        it.adapter.load(weights, str(state))
        it.optimizer.load_state_dict(held["optimizer"])
        it.scaler.load_state_dict(held["scaler"])
        return Counters(**about["counters"])

    def _check(self, about: dict[str, Any], state: Path) -> None:
        now = json.loads(json.dumps(flat(self.options)))
        changed = [
            f"{key} was {about['options'].get(key)!r} and is {now.get(key)!r}"
            for key in sorted(now.keys() | about["options"].keys())
            if now.get(key) != about["options"].get(key) and not _free(key)
        ]
        if about["data"] != self.data:
            changed.append("the data set holds other images or captions")
        if changed:
            raise ConfigError(
                f"{state} cannot be taken up, since the result would be another run's: {'; '.join(changed)}. "
                "Set it back, or name a new run.out"
            )


def _free(key: str) -> bool:
    return any(key == name or (name.endswith(".") and key.startswith(name)) for name in FREE) or key.endswith(
        "].path"
    )
