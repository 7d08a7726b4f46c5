"""The training run, from start to end."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch
from tqdm import tqdm

from hakubooru.errors import TrainingError
from hakubooru.files import write_text
from hakubooru.progress import progress
from hakubooru.quantity import quantity
from hakubooru_trainer import distributed, optim, outputs
from hakubooru_trainer.checkpoint import States
from hakubooru_trainer.config import dump
from hakubooru_trainer.determinism import deterministic
from hakubooru_trainer.distributed import Ranks
from hakubooru_trainer.lock import locked
from hakubooru_trainer.metrics import Metrics
from hakubooru_trainer.record import Record
from hakubooru_trainer.setup import Training, data_set, device_of, out_folder, prepare
from hakubooru_trainer.stopping import stopping
from hakubooru_trainer.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from hakubooru_trainer.checkpoint import Counters
    from hakubooru_trainer.config import Options
    from hakubooru_trainer.data.batches import Batch

_NOT_FINITE: Final = (
    'Try a lower optimizer.lr, run.precision = "bf16" or "fp32", and model.vae_precision = "fp32"'
)


@dataclass(frozen=True)
class Report:
    """The result of a run."""

    file: Path
    updates: int
    skipped: int
    """Updates that left the weights alone because a loss or gradient was not finite."""
    left_out: int
    """How many times an image had no weight because it could not be decoded."""
    loss: float
    """The loss of the last update."""
    validation: float | None
    """The loss of the held-out images at the end; None without such images."""


def run(options: Options, *, resume: str = "auto", allow: Collection[str] = ()) -> Report:
    """Train an adapter, and return the result.

    OUT/NAME.safetensors is the adapter, OUT/NAME-000200.safetensors the adapter after 200 updates. OUT/config.toml has
    the options, OUT/metrics.jsonl a line for each update, and OUT/state what a run resumes from.

    If torchrun started several processes, each of them calls this, and they train as one.

    Args:
        options: all options of the run.
        resume: `auto` resumes where an earlier call with these options stopped. `never` refuses a folder that has a run. Any
            other text is the folder of a state to resume from.
        allow: keys of options, or `data` or `version`, that may differ from those of the state although they change
            the result.

    Raises:
        InputError: an option, the data set, or a model cannot be used; or another run is writing into the folder.
        TrainingError: losses or gradients were not finite for too many updates in a row, or for all updates.
        KeyboardInterrupt: the run was asked to stop; its state is saved.
    """
    if resume == "never" and distributed.restarted():
        resume = "auto"  # the folder's run is this one, before its restart
    with distributed.telling(), Ranks(device_of(options)) as ranks:
        return _run(options, resume, allow, ranks)


def _run(options: Options, resume: str, allow: Collection[str], ranks: Ranks) -> Report:
    with ExitStack() as stack:
        with ranks.first_alone():
            out, chosen = out_folder(options, resume)
            if ranks.first:  # the only rank that writes
                stack.enter_context(locked(out))
        stack.enter_context(deterministic(options.run, ranks.device))
        return _train(options, out, chosen, allow, ranks)


def _train(options: Options, out: Path, chosen: Path | None, allow: Collection[str], ranks: Ranks) -> Report:
    data = data_set(options, ranks)
    states = States(out / "state", options, data, allow)
    states.agree(ranks)
    states.compare(chosen)
    training = prepare(options, ranks, data)
    counters = states.resume(chosen, training)
    states.agree(ranks)  # of the model, too
    if ranks.first and data.train.left_out:
        reasons = ", ".join(f"{reason} ({count:,})" for reason, count in data.train.left_out.items())
        tqdm.write(f"left out of the data sets: {reasons}", file=sys.stderr)
    if ranks.first:
        write_text(out / "config.toml", dump(options))
    record = Record(out, states, counters.update, ranks)
    accumulation = options.batch.accumulation
    ahead = training.batches.training(
        data.order, ranks.mine(range(counters.update * accumulation, data.batches))
    )
    bar = progress(total=data.updates, initial=counters.update, unit="update", disable=not ranks.first)
    # Without a state the run starts again, and measures again what it measured before the first update.
    with (
        Metrics(out if ranks.first else None, from_update=counters.update or -1) as metrics,
        stopping() as stop,
        bar,
    ):
        saving = _Saving(training, states, record, metrics)
        if counters.update == 0:
            _measure(training, metrics, counters)
        while counters.update < data.updates:
            begun = time.perf_counter()
            last = _update(training, ahead, counters)
            seconds = time.perf_counter() - begun
            metrics.write(counters.update, **last.values(seconds))
            bar.set_postfix_str(f"loss {last.loss:.4f}, {last.images / seconds:.2f} images/s", refresh=False)
            bar.update()
            _measure(training, metrics, counters)
            # A signal may reach any rank. The others wait here while the first one draws or saves.
            (is_asked,) = ranks.any(stop.asked or ranks.orphaned)
            if ranks.first:
                saving(counters, is_asked=is_asked)
            if is_asked and counters.update < data.updates:
                ranks.wait()  # when one rank ends, the launcher ends the others
                raise KeyboardInterrupt
    if counters.skipped == data.updates:
        raise TrainingError(
            f"the loss or its gradient was not finite in all of the run's {quantity(data.updates, 'update')}, so that nothing was "
            f"learned, and {options.run.name}.safetensors is not written. {_NOT_FINITE}"
        )
    if ranks.first:
        record.write(data.updates)
        outputs.save(training, record, "", data.updates)
        outputs.card(training, record, counters)
    result = out / f"{options.run.name}.safetensors"
    return Report(
        result, data.updates, counters.skipped, counters.left_out, counters.loss, counters.validation
    )


def _measure(training: Training, metrics: Metrics, counters: Counters) -> None:
    """Validate and draw, at the start, at the end, and after as many updates as the options say."""
    update, options = counters.update, training.options
    is_end = update in {0, training.data.updates}
    if is_end or update % options.validation.every == 0:
        counters.validation = _validate(training, metrics, update)
    if is_end or update % options.samples.every == 0:
        outputs.draw(training, metrics, update)


class _Saving:
    """Saves adapters and states, after as many updates and minutes as the options say.

    Args:
        training: the training.
        states: its states.
        record: its record, which is saved with each state.
        metrics: its metrics, which a state must not be ahead of.
    """

    def __init__(self, training: Training, states: States, record: Record, metrics: Metrics) -> None:
        self.training, self.states, self.record, self.metrics = training, states, record, metrics
        self.saved = time.monotonic()
        """When the last state was saved."""

    def __call__(self, counters: Counters, *, is_asked: bool) -> None:
        """Save what is due after an update; at the end, and if the run is asked to stop, a state in any case."""
        update, options = counters.update, self.training.options.save
        is_done, is_due = update == self.training.data.updates, update % options.every == 0
        if is_due and not is_done:
            outputs.save(self.training, self.record, f"-{update:06d}", update)
            outputs.retire(self.training, update)
        is_time = 0 < options.minutes * 60 < time.monotonic() - self.saved
        if is_done or is_asked or is_due or is_time:
            self.metrics.sync()
            self.states.save(counters, self.training)
            self.record.write(update)
            self.saved = time.monotonic()


class Update(NamedTuple):
    """The result of one update."""

    loss: float
    norm: float
    """The norm of the gradient, before it was clipped."""
    images: int
    left_out: int
    """How many of the images could not be decoded."""
    is_finite: bool
    """Whether loss and gradient were finite, so that the weights were moved."""
    rates: dict[str, float]
    """The learning rates."""
    means: dict[str, dict[str, float]]
    """The mean losses by range of timesteps and by data set."""

    def values(self, seconds: float) -> dict[str, Any]:
        """The values of a line of metrics, whose keys `metrics.FIELDS` explains.

        Args:
            seconds: how long the update took.
        """
        return {
            "loss": self.loss,
            **self.rates,
            "grad_norm": self.norm,
            "images": self.images,
            "seconds": round(seconds, 4),
            "skipped": not self.is_finite,
            **({"left_out": self.left_out} if self.left_out else {}),
            **self.means,
        }


def _update(training: Training, ahead: Iterator[Batch], counters: Counters) -> Update:
    """Move the weights once, and count it."""
    options, optimizer, scaler = training.options, training.optimizer, training.scaler
    start = counters.update * options.batch.accumulation
    end = min(start + options.batch.accumulation, training.data.batches)
    images = training.data.order.images(start, end)
    factor = optim.rate(options.optimizer, counters.update, training.data.updates)
    optim.set_rate(optimizer, factor)

    total = torch.zeros((), device=training.device)
    left_out = torch.zeros((), device=training.device)
    tally = Tally(training.data.names, training.device)
    for _ in training.ranks.mine(range(start, end)):
        batch = next(ahead).to(training.device)
        part = training.passes(batch, images)
        total += part.loss
        tally.add(batch, part.losses)
        left_out += (~batch.decoded).sum()
    training.adapter.fold()
    training.ranks.sum_gradients(training.weights)
    training.ranks.sum([total, left_out, tally.sums])

    # A number that is not finite never reaches the weights.
    scaler.unscale_(optimizer)
    norm = torch.nn.utils.clip_grad_norm_(training.weights, options.optimizer.clip or float("inf"))
    is_finite = bool(torch.isfinite(norm + total))
    scale = scaler.get_scale()
    if is_finite:
        optim.step(optimizer, options.optimizer, options.run.seed, counters.update)
        training.moved(counters.update)
    scaler.update()
    training.passes.clear()

    counters.update += 1
    counters.loss = float(total)
    counters.skipped += not is_finite
    counters.left_out += int(left_out)
    # fp16 starts with a scale that is too high and lowers it: that is not a failure.
    counters.bad = 0 if is_finite else counters.bad + (scale <= 1)
    if counters.bad >= options.run.bad_updates:
        raise TrainingError(
            f"the loss or its gradient was not finite for {quantity(counters.bad, 'update')} in a row, up to update "
            f"{counters.update}; the weights are as they were before these updates. {_NOT_FINITE}"
        )
    rates = optim.rates(options, optimizer, factor)
    return Update(counters.loss, float(norm), images, int(left_out), is_finite, rates, tally.means())


@torch.no_grad()
def _validate(training: Training, metrics: Metrics, update: int) -> float | None:
    """The mean unweighted loss of the held-out images that decode; None if there are none."""
    if not len(training.held_out.samples):
        return None
    numbers = range(len(training.held_out.samples) * len(training.options.validation.timesteps))
    losses, decoded = torch.zeros(2, len(numbers), device=training.device)
    share = training.ranks.share(numbers)
    with training.evaluated():
        for number, batch in zip(share, training.held_out.validation(share), strict=True):
            with training.precision:
                losses[number] = training.objective.losses(
                    training.model, batch.to(training.device), weighted=False
                )[0]
            decoded[number] = batch.decoded[0]
    training.ranks.sum([losses, decoded])  # a sum of zeros and one loss: nothing is rounded
    if not decoded.any():
        return None
    mean = float(losses[decoded > 0].mean())
    metrics.write(update, validation=mean)
    return mean
