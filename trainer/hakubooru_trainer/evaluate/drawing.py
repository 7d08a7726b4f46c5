"""Drawing the pictures of an evaluation, by any number of ranks; what is drawn already is not drawn again."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import torch

from hakubooru.files import replacing
from hakubooru.progress import progress
from hakubooru_trainer import fingerprint, sample
from hakubooru_trainer.evaluate.cost import Operations, forecast
from hakubooru_trainer.sample import Drawing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from PIL import Image

    from hakubooru_trainer.config.options import ModelOptions
    from hakubooru_trainer.distributed import Ranks
    from hakubooru_trainer.evaluate.options import DrawingOptions
    from hakubooru_trainer.evaluate.pictures import Picture


class Drawer(Protocol):
    """Whoever draws pictures: a model, or something that a test knows the truth of."""

    @property
    def identity(self) -> str:
        """A text that differs where the pictures do: model, adapter, and kind of device."""
        ...

    @property
    def tokens(self) -> str:
        """A text that differs where prompts become other tokens."""
        ...

    def draw(self, batch: Sequence[Picture]) -> list[Image.Image]:
        """Draw a batch of pictures, all of one size, in RGB."""
        ...

    def forecast(self, pictures: Sequence[Picture]) -> str:
        """Say in a sentence what drawing these pictures will take."""
        ...


class ModelDrawer:
    """Draws with a model from disk, by the sampler of `hakubooru-train sample`.

    A picture has the same bits whenever its batch is drawn by this kind of device.

    Args:
        model: where the model lies.
        lokr: the file of an adapter, or None.
        options: how pictures are drawn.
        device: the device to draw on.
        scale: the share of the adapter's change.

    Raises:
        InputError: a file is missing, or does not fit.
    """

    def __init__(
        self,
        model: ModelOptions,
        lokr: Path | None,
        options: DrawingOptions,
        device: torch.device,
        scale: float = 1.0,
    ) -> None:
        self._model = sample.load_for_drawing(model, lokr, device, scale)
        self._device = device
        self._files, self._options = model, options
        self._how = sampler_of(options)
        adapter = hashlib.sha256(lokr.read_bytes()).hexdigest() if lokr is not None else "no adapter"
        adapter += f" at {scale!r}" * (scale != 1)
        schedule = fingerprint.schedule(self._model.marks)
        self.tokens = fingerprint.of_tokenizers(self._model)
        self.identity = f"{fingerprint.of_model(self._model)}, {schedule}, {adapter}, {device.type}"

    def forecast(self, pictures: Sequence[Picture]) -> str:
        """Say in a sentence what drawing these pictures will take."""
        return forecast(pictures, self._options, Operations(self._files, self._options))

    def draw(self, batch: Sequence[Picture]) -> list[Image.Image]:
        """Draw a batch of pictures, all of one size, in RGB."""
        drawing = replace(self._how, width=batch[0].width, height=batch[0].height)
        on_gpu = self._device.type == "cuda"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=on_gpu):
            return sample.draw_batch(
                self._model,
                [picture.prompt for picture in batch],
                drawing,
                [(picture.seed,) for picture in batch],
                marks=self._model.marks,
            )


def sampler_of(options: DrawingOptions) -> Drawing:
    """The settings of the sampler."""
    return Drawing(
        steps=options.steps,
        sampler=options.sampler,
        guidance=options.guidance,
        negative=options.negative,
        tokens=options.tokens,
    )


def draw_missing(
    batches: Sequence[Sequence[Picture]],
    out: Path,
    drawer: Drawer,
    ranks: Ranks,
    say: Callable[[str], None],
) -> None:
    """Draw the batches that have a picture which is not in the folder yet; each rank draws its share.

    A file appears whole or not at all. A batch is drawn as a whole, so that its pictures have the same bits whenever they are
    drawn.

    Args:
        batches: the pictures of the evaluation.
        out: the evaluation's folder.
        drawer: draws.
        ranks: the processes that share the batches; all of them see the same ones as missing, whatever their disks say.
        say: is called on the first rank with a sentence on what is to come, unless nothing is missing.
    """
    flags = ranks.any(*(not all((out / one.path).exists() for one in batch) for batch in batches))
    missing = [batch for batch, is_missing in zip(batches, flags, strict=True) if is_missing]
    if missing and ranks.first:
        say(drawer.forecast([picture for batch in missing for picture in batch]))
    share = ranks.share(missing)
    total = sum(map(len, share))
    with progress(total=total, desc="drawing", unit=" pictures", position=ranks.rank) as bar:
        for batch in share:
            for picture, image in zip(batch, drawer.draw(batch), strict=True):
                path = out / picture.path
                path.parent.mkdir(parents=True, exist_ok=True)
                with replacing(path) as beside:
                    # The GPU waits meanwhile, and a smaller file takes several times as long.
                    image.save(beside, "PNG", compress_level=1)
            bar.update(len(batch))
