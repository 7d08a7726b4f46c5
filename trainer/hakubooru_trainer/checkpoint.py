"""The states that a run resumes from.

OUT/state/000200/    adapter.safetensors     the trained weights in their own precision
                     optimizer.safetensors   the tensors that the optimiser remembers, 8-bit ones as they are
                     average.safetensors     the running average of the weights, if there is one
                     state.json              counters, the rest of the optimiser, the scaler; configuration, data set and
                                             versions; checksums of these files, and of itself

A state is written to a temporary folder and made durable, state.json last: it is the mark that the state is complete. Then the
folder gets its name, and the oldest state is deleted.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from safetensors import SafetensorError
from safetensors.torch import load_file
from tqdm import tqdm

from hakubooru.errors import ConfigError, DestinationError, ModelError, TrainingError
from hakubooru.fingerprint import of_json
from hakubooru.nearest import nearest
from hakubooru.quantity import quantity
from hakubooru_trainer import durable, fingerprint, optim, trial
from hakubooru_trainer.config.read import defaults, flat
from hakubooru_trainer.durable import TornStateError
from hakubooru_trainer.model.finite import is_finite
from hakubooru_trainer.result_version import RESULT_VERSION, VERSION, brought_up, difference

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from hakubooru_trainer.config import Options
    from hakubooru_trainer.distributed import Ranks
    from hakubooru_trainer.setup import DataSet, Training

FREE: Final = (
    "run.out", "run.name", "run.device", "run.threads", "run.workers", "run.bad_updates", "model.path", "model.config",
    "model.tokenizers", "model.vae", "cache.", "save.", "samples.", "validation.every",
)  # fmt: skip
"""Options that may differ when a run resumes. They do not change the result, except by the rounding of another device. A name
that ends with a dot is a whole section. The model's paths are among them, since the model itself is compared; and so are the
paths of data sets and masks."""
_FIXED: Final = ("batch.size", "batch.accumulation")
"""Options that can never differ: a run's place in its order is counted in them."""
_LENGTH: Final = ("run.epochs", "run.updates")
_ADAPTER: Final = "adapter.safetensors"
_OPTIMIZER: Final = "optimizer.safetensors"
_MEMORY: Final = ("optimizer.name", "optimizer.rates")
"""Options without which the state of an optimiser cannot be read; --allow-change may change them."""
_AVERAGE: Final = "average.safetensors"
_MODEL: Final = "model.weights"
_TOKENS: Final = "model.tokens"
_SCHEDULE: Final = "model.schedule"
_OF_THE_MODEL: Final = (_MODEL, _TOKENS, _SCHEDULE)
"""What is known when the model is loaded."""
_REPEATS: Final = "data.repeats"
_STILL: Final = "version.still"
_OF_A_MACHINE: Final = (
    "run.out", "run.device", "run.threads", "run.workers", "model.path", "model.config", "model.tokenizers", "model.vae", "cache.",
)  # fmt: skip
"""Options that may differ between the ranks of a run, as may the paths of data sets and masks."""
_PACKAGES: Final = (
    "torch", "diffusers", "transformers", "lycoris-lora", "bitsandbytes", "numpy", "pillow", "pillow-avif-plugin",
)  # fmt: skip
_REASONS: Final = {
    "data": "data: the data set holds other images or captions",
    _REPEATS: "data.repeats: the names of kohya's folders ask for other repeats than before",
    _MODEL: "model.weights: the model at model.path, or its VAE, is another",
    _TOKENS: "model.tokens: the tokenizers at model.tokenizers, or those of the model, are others",
    _STILL: f"{_STILL}: layers whose learning rate is 0 now stay as they start, and the hakubooru that began the run may have moved them",
}
"""Messages for fingerprints that differ, which say more than two hashes."""


@dataclass
class Counters:
    """How far a run is, and how it went."""

    update: int = 0
    """Updates that are done."""
    skipped: int = 0
    """Updates that left the weights alone because a loss or gradient was not finite."""
    left_out: int = 0
    """How many times an image had no weight because it could not be decoded."""
    bad: int = 0
    """Updates in a row, up to the last one, that were not finite."""
    loss: float = math.nan
    """The loss of the last update."""
    validation: float | None = None
    """The loss of the held-out images when it was last measured."""


class States:
    """The states of one run.

    Args:
        folder: where they are stored.
        options: the options of the run.
        data: its data set.
        allowed: keys, or sections before the dot, that may differ from those of the run that wrote a state.
    """

    def __init__(self, folder: Path, options: Options, data: DataSet, allowed: Collection[str] = ()) -> None:
        self.folder = folder
        self.keep = options.save.states
        self.batches = data.batches
        self.accumulation = options.batch.accumulation
        self.about: dict[str, Any] = {
            "data": data.fingerprint,
            _REPEATS: data.repeats,
            **dict.fromkeys(_OF_THE_MODEL),  # `resume` sets them when the model is loaded
            **_plain(flat(options)),
            **{f"version.{package}": version(package) for package in _PACKAGES},
            **optim.package(options.optimizer),
            # Earlier versions did not keep them still, and say nothing of it.
            **({_STILL: 1} if optim.keeps_still(options) else {}),
            VERSION: RESULT_VERSION,
        }
        self.earlier = {"data": data.earlier_fingerprint}
        self.defaults = _plain(defaults(options))
        self.plain_repeats = [one.repeats or 1 for one in options.data]
        self.allowed = set(allowed)
        self.came_from: str | None = None
        self.torn: list[Path] = []
        keys = {word for key in self.about for word in (key, key.partition(".")[0])}
        for key in sorted(self.allowed - keys):
            raise ConfigError(f"--allow-change {key}: there is no such key; {nearest(key, sorted(keys))}")

    def save(self, counters: Counters, training: Training) -> None:
        """Write a state. When it is complete, delete the oldest ones, and those of a course that the run no longer follows.

        Raises:
            TrainingError: it could not be written; earlier states are unchanged.
        """
        part = self.folder / f".{counters.update:06d}.part"
        try:
            self._write(part, counters, training)
        except OSError as error:
            shutil.rmtree(part, ignore_errors=True)  # it takes room that the disk lacks
            raise TrainingError(
                f"the state of update {counters.update} could not be written to {self.folder} ({error.strerror or error}); "
                "free some disk space and run the same command again: it resumes from the state before"
            ) from error
        whole = self.folder / f"{counters.update:06d}"
        if whole.exists():  # a torn state, or one of another course
            shutil.rmtree(whole)
        part.replace(whole)
        self.torn = [torn for torn in self.torn if torn != whole]  # its place has a complete state now
        durable.sync_folder(self.folder)
        self._retire(counters)

    def _write(self, part: Path, counters: Counters, training: Training) -> None:
        for leftover in self.folder.glob(".*.part"):  # of a run that was killed
            shutil.rmtree(leftover)
        part.mkdir(parents=True)
        rest, tensors = durable.take_tensors(training.optimizer.state_dict())
        files = {_ADAPTER: dict(training.adapter.weights()), _OPTIMIZER: tensors}
        files |= {_AVERAGE: training.average.values} if training.average.values else {}
        # The next file is copied while the one before goes to the disk.
        with ThreadPoolExecutor(len(files)) as threads:
            written = threads.map(lambda name: durable.write_tensors(part / name, files[name]), files)
            checksums = dict(zip(files, written, strict=True))
        state = {
            "counters": vars(counters),
            "batches": self.batches,
            "checksums": checksums,
            "optimizer": rest,
            "scaler": training.scaler.state_dict(),
            "about": self.about,
            "from": self.came_from,
        }
        durable.write_mark(part, state)

    def _retire(self, counters: Counters) -> None:
        for state in self.all():
            if int(state.name) > counters.update or state in self.torn:
                shutil.rmtree(state)
        for old in self.all()[: -self.keep]:
            shutil.rmtree(old)

    def all(self) -> list[Path]:
        """List the states, oldest first."""
        if not self.folder.is_dir():
            return []
        named = (path for path in self.folder.iterdir() if path.name.isdecimal())
        return sorted(named, key=lambda path: int(path.name))

    def compare(self, chosen: Path | None) -> None:
        """Refuse what `resume` would refuse, before slow files are read. The model is not compared here.

        Args:
            chosen: the state that the user named, or None.

        Raises:
            DestinationError: `chosen` is not a state.
            ConfigError: the state belongs to another data set, or to options that give another result.
        """
        chosen = self._not_yet(chosen)
        if chosen is not None and not (chosen / durable.MARK).is_file():
            raise DestinationError(
                f"--resume {chosen}: that folder is not a state; name a folder in OUT/state"
            )
        for state in [chosen] if chosen else self.all()[::-1]:
            with suppress(TornStateError):  # `resume` reports it
                self._check(durable.read_mark(state), state)
                break

    def resume(self, chosen: Path | None, training: Training) -> Counters:
        """Load the chosen state, or else the last complete one; start at the beginning if there is none.

        Args:
            chosen: the state that the user named, or None.
            training: the training, whose adapter and optimiser receive the state.

        Raises:
            ModelError: the chosen state, or every state, is torn.
            ConfigError: the state belongs to another data set, or to options that give another result.
        """
        self.about |= {
            _MODEL: fingerprint.of_model(training.model),
            _TOKENS: fingerprint.of_tokenizers(training.model),
            _SCHEDULE: fingerprint.schedule(training.objective.marks),
        }
        if (chosen := self._not_yet(chosen)) is not None:
            counters = self._load(chosen, training)
            training.ranks.wait()  # the first rank changes the state below, when all have read it
            place = chosen.resolve()  # a state of this folder goes by its name, since the folder may be moved
            self.came_from = place.name if place.parent == self.folder.resolve() else str(place)
            if training.ranks.first:
                self._adopt(chosen, counters, training)
            return counters
        for state in self.all()[::-1]:
            try:
                return self._load(state, training)
            except TornStateError as error:
                self.torn.append(state)
                if training.ranks.first:
                    tqdm.write(f"{error}; trying the state before it")
        if self.torn:
            raise ModelError(
                f"no state in {self.folder} is complete; set run.out to another folder and start again"
            )
        return Counters()

    def agree(self, ranks: Ranks) -> None:
        """Refuse ranks that would train as one on different data sets, models or options.

        Raises:
            ConfigError: the ranks differ; the message says in what.
        """
        about = {key: value for key, value in self.about.items() if not _is_of(_OF_A_MACHINE, key)}
        is_one_list = ranks.same(" ".join(about)) == (True,)
        are_same = ranks.same(*(json.dumps(value) for value in about.values())) if is_one_list else ()
        differing = [
            f"{key} is {about[key]!r}" for key, same in zip(about, are_same, strict=False) if not same
        ]
        if differing or not is_one_list:
            raise ConfigError(
                f"the ranks of this run are not alike: on rank {ranks.rank}, {'; '.join(differing) or 'there are other options'}, "
                "and not so on another; give all machines the same configuration, images, captions, model and packages"
            )

    def _not_yet(self, chosen: Path | None) -> Path | None:
        """The chosen state, or None if an earlier call resumed from it: the run then goes on with its own newer states."""
        last = self.all()[-1:]
        if chosen is None or (last and _came_from(last[0]) == str(chosen.resolve())):
            return None
        return chosen

    def _adopt(self, chosen: Path, counters: Counters, training: Training) -> None:
        """Make a chosen state the last of the run's own states, so that later calls go on from it."""
        if chosen.resolve().parent != self.folder.resolve():
            self.save(counters, training)
            return
        durable.write_mark(chosen, durable.read_mark(chosen) | {"about": self.about, "from": self.came_from})
        self._retire(counters)

    def _load(self, state: Path, training: Training) -> Counters:
        mark = durable.read_mark(state)
        self._check(mark, state)
        for name, checksum in mark["checksums"].items():
            if durable.checksum(state / name) != checksum:
                raise TornStateError(f"{state} is torn ({name} does not have the checksum that was written)")
        try:
            adapter = load_file(state / _ADAPTER)
            tensors = load_file(state / _OPTIMIZER, device=str(training.device))
            average = load_file(state / _AVERAGE) if _AVERAGE in mark["checksums"] else {}
        except (OSError, SafetensorError) as error:
            raise TornStateError(f"{state} is torn ({error})") from error
        for name, tensor in (*adapter.items(), *tensors.items(), *average.items()):
            if not is_finite(tensor):
                raise TornStateError(f"{state} cannot be used ({name} holds NaN or infinity)")
        training.adapter.load(adapter, str(state))
        if average:
            training.average.load(average)
        else:
            training.average.restart()  # --allow-change may turn it on
        # Another optimiser, or one with other groups, starts without memory.
        then = brought_up(mark["about"], self.about, self.defaults, self.earlier)
        differing = [key for key in _MEMORY if then[key] != self.about[key]]
        section = training.options.optimizer
        differing = differing or trial.unlike(section, then["optimizer.args"], training.device)
        if not differing:
            memory = durable.give_tensors(mark["optimizer"], tensors)
            optim.load(training.optimizer, section, memory, then["optimizer.args"])
        elif training.ranks.first:
            words = f"the optimiser begins without its averages, since {differing[0]} differs from that of {state}"
            tqdm.write(f"warning: {words}", file=sys.stderr)
        if mark["scaler"]:  # only fp16 has one
            training.scaler.load_state_dict(mark["scaler"])
        self.came_from = mark["from"]
        return Counters(**mark["counters"])

    def _check(self, mark: Mapping[str, Any], state: Path) -> None:
        now = self.about
        then = brought_up(mark["about"], now, self.defaults, self.earlier)
        words = _REASONS | ({} if then[VERSION] == RESULT_VERSION else {VERSION: difference(then[VERSION])})
        changed = {
            key: words.get(key, f"{key} was {then.get(key)!r} and is {now.get(key)!r}")
            for key in sorted(now.keys() | then.keys())
            if now.get(key) != then.get(key) and not self._is_free(key)
        }
        for key in _OF_THE_MODEL:
            if now[key] is None:
                changed.pop(key, None)
        if changed:
            allow = " ".join(f"--allow-change {key}" for key in changed if key not in _FIXED)
            raise ConfigError(
                f"{state} cannot be resumed, since the result would be another run's: {'; '.join(changed.values())}. "
                f"Change it back, or set run.out to a new folder{allow and f', or accept another result: {allow}'}"
            )
        updates, end = mark["counters"]["update"], -(-self.batches // self.accumulation)
        full = updates * self.accumulation
        done = min(full, mark["batches"])
        if done > self.batches:
            raise ConfigError(
                f"{state} is {quantity(updates, 'update')} ({quantity(done, 'batch', 'batches')}) into a run that is to end after {end:,} ({self.batches:,}); "
                "let it end later, name an earlier state with --resume, or set run.out to a new folder"
            )
        if self.batches > done and full > done:
            raise ConfigError(
                f"{state} is the end of a run whose last update had fewer batches than the others; a longer run "
                "would leave some out: resume from an earlier state, or set run.out to a new folder"
            )

    @property
    def recipe(self) -> str:
        """A fingerprint of all that decides the result but the versions of packages: two runs of one recipe train alike."""
        fixed = {
            key: value
            for key, value in self.about.items()
            if key in (*_FIXED, *_LENGTH) or not (key.startswith("version.") or self._is_indifferent(key))
        }
        if fixed[_REPEATS] == self.plain_repeats:  # the options say it
            del fixed[_REPEATS]
        return of_json(fixed)

    def _is_free(self, key: str) -> bool:
        """Whether a key may differ from a state's."""
        if key in _FIXED:
            return False
        return key in self.allowed or key.partition(".")[0] in self.allowed or self._is_indifferent(key)

    def _is_indifferent(self, key: str) -> bool:
        """Whether a key does not change the result."""
        if key in _LENGTH:  # a constant rate does not depend on the length of the run
            return bool(self.about["optimizer.schedule"] == "constant")
        return _is_of(FREE, key)


def _is_of(names: Collection[str], key: str) -> bool:
    """Whether a key is one of some names, in one of some sections, or the path of a data set or of its masks."""
    return key.endswith(("].path", "].masks")) or any(
        key == name or (name.endswith(".") and key.startswith(name)) for name in names
    )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values as they come back from JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def _came_from(state: Path) -> str | None:
    """The state that --resume named when this state's run started; None if there is none or the state is torn."""
    with suppress(TornStateError):
        came_from: str | None = durable.read_mark(state)["from"]
        return came_from and str((state.parent / came_from).resolve())
    return None
