"""What a run writes for people and other programs: adapters, sheets of samples, and a model card."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from hakubooru.errors import ModelError, TrainingError
from hakubooru.files import write_text
from hakubooru_trainer import sample
from hakubooru_trainer.lokr import file
from hakubooru_trainer.lokr.file import DTYPES
from hakubooru_trainer.model.single_file import Marks
from hakubooru_trainer.model_card import model_card

if TYPE_CHECKING:
    from hakubooru_trainer.checkpoint import Counters
    from hakubooru_trainer.metrics import Metrics
    from hakubooru_trainer.record import Record
    from hakubooru_trainer.setup import Training

AVERAGE = "-ema"
"""What stands behind a run's name in the files of the average."""


def draw(it: Training, metrics: Metrics, update: int) -> None:
    """Draw the sheet of samples into OUT/samples and TensorBoard, if there are prompts.

    The sheet of an update that was drawn before stays; if this one differs, it is written beside it.
    """
    if not it.prompts or not it.ranks.first:
        return
    options = it.options.samples
    how = sample.Drawing(
        width=options.width,
        height=options.height,
        steps=options.steps,
        sampler=options.sampler,
        guidance=options.guidance,
        negative=options.negative,
        tokens=it.options.text.tokens,
        seed=it.options.run.seed,
    )
    objective = it.objective
    marks = Marks(objective.prediction == "v", objective.zero_terminal_snr)
    try:
        with it.precision, it.evaluated():
            pictures = [*sample.draw(it.model, it.prompts, how, marks=marks)]
    except ModelError as error:  # a picture is no reason to end a run
        warnings.warn(f"no samples of update {update:,}: {error}", stacklevel=2)
        return
    sheet = sample.sheet(pictures)
    (it.out / "samples").mkdir(exist_ok=True)
    sample.save(sheet, it.out / "samples" / f"{update:06d}.png")
    metrics.picture(update, sheet)


def save(it: Training, record: Record, ending: str, update: int) -> None:
    """Write the adapter to OUT/NAME<ending>.safetensors, and its average beside it if there is one.

    Raises:
        TrainingError: a file could not be written.
    """
    name, dtype = it.options.run.name, DTYPES[it.options.lokr.save]
    about = file.metadata(
        it.options,
        it.data.train,
        it.data.sizes,
        tags=it.tag_counts,
        update=update,
        epoch=it.data.order.epochs(min(update * it.options.batch.accumulation, it.data.batches)),
        v=it.objective.prediction == "v",
        fingerprint=it.data.fingerprint,
        record=record.summary(),
    )
    path = it.out / f"{name}{ending}.safetensors"
    try:
        with it.evaluated():
            file.write(path, it.adapter, dtype, about)
        if it.average.values:
            path = it.out / f"{name}{AVERAGE}{ending}.safetensors"
            file.write(path, it.adapter, dtype, about, it.average.values)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"{path} could not be written ({error}); free some disk space and run the same command again"
        ) from error


def card(it: Training, record: Record, counters: Counters) -> None:
    """Write OUT/README.md, the model card for the Hub, if there is none; one that you edited stays."""
    path = it.out / "README.md"
    if path.exists():
        return
    sheets = sorted((it.out / "samples").glob("*.png"))
    text = model_card(
        it.options,
        record.summary(),
        images=len(it.data.train),
        updates=counters.update,
        validation=counters.validation,
        v=it.objective.prediction == "v",
        sheet=f"samples/{sheets[-1].name}" if sheets else "",
    )
    write_text(path, text)


def retire(it: Training, update: int) -> None:
    """Delete the oldest adapters, and the oldest averages, beyond the number to keep.

    Those of later updates, which a run has that went on from an earlier state, do not count: it writes them anew.
    """
    name, keep = it.options.run.name, it.options.save.keep
    for stem in (f"{name}-", f"{name}{AVERAGE}-"):
        saved = {
            int(path.stem.removeprefix(stem)): path
            for path in it.out.glob("*.safetensors")
            if path.stem.startswith(stem) and path.stem.removeprefix(stem).isdecimal()
        }
        so_far = sorted(number for number in saved if number <= update)
        for number in so_far[:-keep] if keep else []:
            saved[number].unlink()
