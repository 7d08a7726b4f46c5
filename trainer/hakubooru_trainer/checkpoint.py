"""The states that a run resumes from.

OUT/state/000200/    adapter.safetensors     the trained weights as they are held
                     optimizer.safetensors   what the optimiser remembers: its tensors, 8-bit ones as they are
                     state.json              counters, the rest of the optimiser, the scaler; configuration, data set and
                                             versions; checksums of the two files, and of itself

A state is written beside the others and made durable, state.json last: it is the mark that all is there. Then the folder takes its
name, and the oldest is retired.
"""

from __future__ import annotations

import json
import math
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from safetensors import SafetensorError
from safetensors.torch import load_file
from tqdm import tqdm

from hakubooru.errors import ConfigError, DestinationError, ModelError, TrainingError
from hakubooru.nearest import nearest
from hakubooru_trainer import durable, fingerprint
from hakubooru_trainer.config.read import defaults, flat
from hakubooru_trainer.durable import TornStateError
from hakubooru_trainer.model.finite import is_finite
from hakubooru_trainer.result_version import RESULT_VERSION, VERSION, brought_up, difference

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from torch import Tensor

    from hakubooru_trainer.config import Options
    from hakubooru_trainer.setup import DataSet, Training

FREE: Final = (
    "run.out", "run.name", "run.device", "run.threads", "run.workers", "run.bad_updates", "model.path", "model.config",
    "model.tokenizers", "model.vae", "cache.", "save.", "samples.", "validation.every",
)  # fmt: skip
"""Options that do not change the result, or, as another device does, no more than its rounding; a name that ends with a dot
is a whole section. What lies at the model's paths is compared itself."""
_FIXED: Final = ("batch.size", "batch.accumulation")
"""What cannot be allowed to differ: a run's place in its order is counted in them."""
_LENGTH: Final = ("run.epochs", "run.updates")
_ADAPTER: Final = "adapter.safetensors"
_OPTIMIZER: Final = "optimizer.safetensors"
_MODEL: Final = "model.weights"
_PACKAGES: Final = (
    "torch", "diffusers", "transformers", "lycoris-lora", "bitsandbytes", "numpy", "pillow", "pillow-avif-plugin",
)  # fmt: skip
_TOLD: Final = {
    "data": "data: the data set holds other images or captions",
    _MODEL: "model.weights: the model at model.path, or its VAE, is another",
}
"""What fingerprints say better in words."""


@dataclass
class Counters:
    """How far a run is."""

    update: int = 0
    """Updates that are done."""
    skipped: int = 0
    """Of these, how many left the weights alone because a loss or gradient was not finite."""
    left_out: int = 0
    """Times that an image had no weight because it could not be decoded."""
    bad: int = 0
    """How many of the last ones in a row."""
    loss: float = math.nan
    """Of the last update."""
    validation: float | None = None
    """Of the held-out images, when it was last measured."""


class States:
    """The states of one run.

    Args:
        folder: where they are kept.
        options: of the run.
        data: its data set.
        allowed: what may differ from the run that wrote a state, by its key, or by the section before the dot.
    """

    def __init__(self, folder: Path, options: Options, data: DataSet, allowed: Collection[str] = ()) -> None:
        self.folder = folder
        self.keep = options.save.states
        self.batches = data.batches
        self.accumulation = options.batch.accumulation
        self.about: dict[str, Any] = {
            "data": data.fingerprint,
            _MODEL: None,  # known once it is loaded
            **_plain(flat(options)),
            **{f"version.{package}": version(package) for package in _PACKAGES},
            VERSION: RESULT_VERSION,
        }
        self.defaults = _plain(defaults(options))
        self.allowed = set(allowed)
        self.came_from: str | None = None
        self.torn: list[Path] = []
        known = {word for key in self.about for word in (key, key.partition(".")[0])}
        for key in sorted(self.allowed - known):
            raise ConfigError(f"--allow-change {key}: there is no such key; {nearest(key, sorted(known))}")

    def save(self, counters: Counters, it: Training) -> None:
        """Write a state, and when it is whole, retire the oldest, and those of a course that was left.

        Raises:
            TrainingError: it could not be written; the states before it are as they were.
        """
        part = self.folder / f".{counters.update:06d}.part"
        try:
            self._write(part, counters, it)
        except OSError as error:
            shutil.rmtree(part, ignore_errors=True)  # it takes room that is missing
            raise TrainingError(
                f"the state of update {counters.update} could not be written to {self.folder} ({error.strerror or error}); "
                "make room and run the same command again: it goes on from the state before"
            ) from error
        whole = self.folder / f"{counters.update:06d}"
        if whole.exists():  # torn, or of another course
            shutil.rmtree(whole)
        part.replace(whole)
        self.torn = [torn for torn in self.torn if torn != whole]  # it is whole now
        durable.sync_folder(self.folder)
        self._retire(counters)

    def _write(self, part: Path, counters: Counters, it: Training) -> None:
        for left in self.folder.glob(".*.part"):  # by a run that was killed
            shutil.rmtree(left)
        part.mkdir(parents=True)
        tensors: dict[str, Tensor] = {}
        rest = durable.take_tensors(it.optimizer.state_dict(), "", tensors, {})
        files = {_ADAPTER: dict(it.adapter.weights()), _OPTIMIZER: tensors}
        # While one is on its way to the disk, the other is copied.
        with ThreadPoolExecutor(len(files)) as threads:
            written = threads.map(lambda name: durable.write_tensors(part / name, files[name]), files)
            checksums = dict(zip(files, written, strict=True))
        told = {
            "counters": vars(counters),
            "batches": self.batches,
            "checksums": checksums,
            "optimizer": rest,
            "scaler": it.scaler.state_dict(),
            "about": self.about,
            "from": self.came_from,
        }
        durable.write_mark(part, told)

    def _retire(self, counters: Counters) -> None:
        for left in self.all():
            if int(left.name) > counters.update or left in self.torn:
                shutil.rmtree(left)
        for old in self.all()[: -self.keep]:
            shutil.rmtree(old)

    def all(self) -> list[Path]:
        """The states that are there, oldest first."""
        if not self.folder.is_dir():
            return []
        named = (path for path in self.folder.iterdir() if path.name.isdecimal())
        return sorted(named, key=lambda path: int(path.name))

    def compare(self, chosen: Path | None) -> None:
        """Refuse what `resume` would refuse, before anything that takes long is read; the model is not known yet.

        Raises:
            DestinationError: what was chosen is no state.
            ConfigError: the state belongs to another data set, or to options that give another result.
        """
        chosen = self._not_yet(chosen)
        if chosen is not None and not (chosen / durable.MARK).is_file():
            raise DestinationError(f"--resume {chosen}: that folder is no state; states are in OUT/state")
        for state in [chosen] if chosen else self.all()[::-1]:
            with suppress(TornStateError):  # which is told where it is taken up
                self._check(durable.read_mark(state), state)
                break

    def resume(self, chosen: Path | None, it: Training) -> Counters:
        """Take up a state: the one that was chosen, or the last that is whole; begin where there is none.

        Raises:
            ModelError: the state, or every one, is torn.
            ConfigError: it belongs to another data set, or to options that give another result.
        """
        self.about[_MODEL] = fingerprint.of_model(it.model)
        chosen = self._not_yet(chosen)
        if chosen is not None:
            counters = self._load(chosen, it)
            it.ranks.wait()  # until all have read it
            self.came_from = str(chosen.resolve())
            if it.ranks.first:
                self._adopt(chosen, counters, it)
            return counters
        for state in self.all()[::-1]:
            try:
                return self._load(state, it)
            except TornStateError as error:
                self.torn.append(state)
                if it.ranks.first:
                    tqdm.write(f"{error}; trying the one before")
        if self.torn:
            raise ModelError(f"no state in {self.folder} is whole; begin anew, with another run.out")
        return Counters()

    def _not_yet(self, chosen: Path | None) -> Path | None:
        """A chosen state, unless an earlier call took it up: then the run goes on with what came of it."""
        last = self.all()[-1:]
        if chosen is None or (last and _came_from(last[0]) == str(chosen.resolve())):
            return None
        return chosen

    def _adopt(self, chosen: Path, counters: Counters, it: Training) -> None:
        """Make a chosen state the last of the run's own, so that its course is the one that is taken up from now on."""
        if chosen.resolve().parent != self.folder.resolve():
            self.save(counters, it)
            return
        durable.write_mark(chosen, durable.read_mark(chosen) | {"about": self.about, "from": self.came_from})
        self._retire(counters)

    def _load(self, state: Path, it: Training) -> Counters:
        told = durable.read_mark(state)
        self._check(told, state)
        for name, checksum in told["checksums"].items():
            if durable.checksum(state / name) != checksum:
                raise TornStateError(f"{state} is torn ({name} is not what was written)")
        try:
            adapter = load_file(state / _ADAPTER)
            tensors = load_file(state / _OPTIMIZER, device=str(it.device))
        except (OSError, SafetensorError) as error:
            raise TornStateError(f"{state} is torn ({error})") from error
        for name, tensor in (*adapter.items(), *tensors.items()):
            if not is_finite(tensor):
                raise TornStateError(f"{state} is of no use ({name} holds NaN or infinity)")
        it.adapter.load(adapter, str(state))
        told_now = [{k: v for k, v in group.items() if k != "params"} for group in it.optimizer.param_groups]
        if told["about"]["optimizer.name"] == it.options.optimizer.name:  # another one begins without memory
            it.optimizer.load_state_dict(durable.give_tensors(told["optimizer"], tensors))
        for group, values in zip(it.optimizer.param_groups, told_now, strict=True):
            group.update(values)  # the options count, where --allow-change let them differ
        if told["scaler"]:  # nothing but for fp16
            it.scaler.load_state_dict(told["scaler"])
        self.came_from = told["from"]
        return Counters(**told["counters"])

    def _check(self, told: Mapping[str, Any], state: Path) -> None:
        now = self.about
        then = brought_up(told["about"], now, self.defaults)
        words = _TOLD | ({} if then[VERSION] == RESULT_VERSION else {VERSION: difference(then[VERSION])})
        changed = {
            key: words.get(key, f"{key} was {then.get(key)!r} and is {now.get(key)!r}")
            for key in sorted(now.keys() | then.keys())
            if now.get(key) != then.get(key) and not self._is_free(key)
        }
        if self.about[_MODEL] is None:
            changed.pop(_MODEL, None)
        if changed:
            allow = " ".join(f"--allow-change {key}" for key in changed if key not in _FIXED)
            raise ConfigError(
                f"{state} cannot be taken up, since the result would be another run's: {'; '.join(changed.values())}. "
                f"Set it back, or name a new run.out{allow and f', or accept it knowingly: {allow}'}"
            )
        done = told["counters"]["update"] * self.accumulation
        if self.batches > told["batches"] and done > told["batches"]:
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


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values as they come back from JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def _came_from(state: Path) -> str | None:
    """The state that was chosen by --resume, and from which this one came; None where it is not known."""
    try:
        came_from: str | None = durable.read_mark(state)["from"]
    except TornStateError:
        return None
    return came_from
