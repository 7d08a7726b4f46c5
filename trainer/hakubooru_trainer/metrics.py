"""The records of a run: a line of JSON for each update and measurement, and TensorBoard's files.

OUT/metrics.jsonl has a line for each update, and one for each measurement of the held-out images. `FIELDS` says what its keys
are. The lines of a resumed run are those of one that was not interrupted, up to `seconds`. TensorBoard has the same values, those
of an object as NAME/KEY, and the sheets of samples.
"""

from __future__ import annotations

import json
import math
import mmap
import os
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from hakubooru.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from PIL import Image


FIELDS: Final = {
    "update": "the number of the update, from 1; 0 before the first",
    "loss": "the mean loss of the update's images, weighed as the options say; null if it was not finite",
    "lr": "the learning rate of the UNet",
    "text_lr": "the learning rate of the text encoders",
    "d": "the distance to its aim that an optimiser such as Prodigy estimates; it multiplies the rates",
    "grad_norm": "the norm of the gradient, before it was clipped",
    "images": "the images of the update",
    "seconds": "how long the update took",
    "skipped": "true if the update left the weights alone, because loss or gradient was not finite",
    "left_out": "how many of the images could not be decoded; only where there were such",
    "by_timestep": "the mean loss of the images in each range of timesteps, such as 0-249; ranges without images are missing",
    "by_data": "the mean loss of each data set's images, by its number and path; only if there are several",
    "validation": "the mean plain squared error of the held-out images at fixed timesteps with fixed noise",
}
"""The keys of the lines in metrics.jsonl, and what they are."""


class Metrics:
    """Writes `metrics.jsonl`, and the same values for TensorBoard if it is installed; for use in a `with` statement.

    Args:
        folder: the run's folder. None, as on all ranks but the first, writes nothing.
        from_update: the update that the run resumes from; later lines of an earlier attempt are removed.
    """

    def __init__(self, folder: Path | None, *, from_update: int) -> None:
        self._file = self._board = None
        self._folder = folder
        if folder is None:
            return
        path = folder / "metrics.jsonl"
        if path.exists():
            _cut(path, from_update)
        self._file = path.open("a", encoding="utf-8", newline="\n", buffering=1)
        self._board = _board(folder, from_update)

    def write(self, update: int, **values: Any) -> None:
        """Write a line. A number that is not finite becomes null, since JSON cannot write it."""
        with self._writing():
            if self._file is not None:
                self._file.write(json.dumps({"update": update, **_finite(values)}) + "\n")
            if self._board is not None:
                for name, value in values.items():
                    inner = value if isinstance(value, dict) else {"": value}
                    for key, number in inner.items():
                        self._board.add_scalar(f"{name}/{key}" if key else name, number, update)

    def picture(self, update: int, picture: Image.Image) -> None:
        """Show a sheet of samples in TensorBoard."""
        with self._writing():
            if self._board is not None:
                self._board.add_image("samples", np.asarray(picture), update, dataformats="HWC")
                self._board.flush()

    def sync(self) -> None:
        """Flush all lines to the disk, so that a state written afterwards never knows more than they do."""
        with self._writing():
            if self._file is not None:
                os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        first = (
            suppress(TrainingError) if error else nullcontext()
        )  # an error of the block is the reason of others
        with first, self._writing():
            try:
                if self._file is not None:
                    self._file.close()
            finally:
                if self._board is not None:
                    self._board.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Name the folder in an error of the block; neither a line nor TensorBoard's thread does.

        Raises:
            TrainingError: the records could not be written.
        """
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"metrics.jsonl or TensorBoard's files in {self._folder} could not be written ({error.strerror or error}); free some "
                "disk space and run the same command again"
            ) from error


def _finite(value: Any) -> Any:
    """A value with null in place of numbers that are not finite."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cut(path: Path, last: int) -> None:
    """Remove the lines of updates after the one that a run resumes from; the run writes them again."""
    with path.open("rb+") as file:
        if not path.stat().st_size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            keep = text.rfind(b"\n") + 1  # a line without its end was not written whole
            while keep:
                start = text.rfind(b"\n", 0, keep - 1) + 1
                if _update_of(text[start:keep]) <= last:
                    break
                keep = start
        file.truncate(keep)


def _update_of(line: bytes) -> float:
    """The update of a line; infinity for a damaged line, so that it is removed."""
    try:
        return int(json.loads(line)["update"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _board(folder: Path, from_update: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - optional, and slow to import
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=from_update + 1)
