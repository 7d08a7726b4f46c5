"""A tagger in WD14's layout, which says which tags of a prompt are in its picture."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from hakubooru.errors import ModelError
from hakubooru_trainer.evaluate.networks import Network, network_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hakubooru_trainer.evaluate.options import TagOptions
    from hakubooru_trainer.evaluate.pictures import Picture
    from hakubooru_trainer.randomness import Floats

FILES: Final = ("model.onnx", "selected_tags.csv")
_CHARACTER: Final = "4"
"""Danbooru's number of the category of characters."""


class Tagger:
    """A tagger with its tags; a judge of pictures.

    Args:
        options: the name of the tagger and its thresholds.
        say: is called with a sentence before something is downloaded.

    Raises:
        ModelError: a file is missing, or is not of WD14's form.
    """

    def __init__(self, options: TagOptions, say: Callable[[str], None]) -> None:
        self.files = network_files(options.model, FILES, "tags.model", say)
        self.fingerprint = self.files.fingerprint
        self._network = Network(self.files.paths["model.onnx"])
        shape = self._network.shape
        if len(shape) != 4 or shape[3] != 3 or not isinstance(shape[1], int):
            raise ModelError(
                f"{self.files.name} takes an array of the shape {shape}, and WD14's taggers (N, side, side, 3); name another "
                "model in tags.model"
            )
        self._side = shape[1]
        names, categories = _read_tags(self.files.paths["selected_tags.csv"])
        self._places = {name: place for place, name in enumerate(names)}
        is_character = np.array([category == _CHARACTER for category in categories])
        self._thresholds = np.where(is_character, options.character_threshold, options.threshold)

    def prepared(self, picture: Image.Image) -> Floats:
        """A picture in RGB as WD14's taggers take it, (side, side, 3): on a white square, blue first, from 0 to 255."""
        longest = max(picture.size)
        square = Image.new("RGB", (longest, longest), "white")
        square.paste(picture, ((longest - picture.width) // 2, (longest - picture.height) // 2))
        small = square.resize((self._side, self._side), Image.Resampling.BICUBIC)
        return np.ascontiguousarray(np.asarray(small, np.float32)[:, :, ::-1])

    def features(self, pictures: Floats) -> Floats:
        """The probability of each of the tagger's tags in prepared pictures, (N, T).

        Raises:
            ModelError: the network's output does not fit its list of tags, or is not finite.
        """
        values: Floats = self._network(pictures)
        if values.shape != (len(pictures), len(self._places)):
            raise ModelError(
                f"{self.files.name} gives an array of the shape {values.shape} for {len(self._places)} tags; its files do not "
                "belong together: download them again"
            )
        if not np.isfinite(values).all():
            raise ModelError(
                f"{self.files.name} gives numbers that are not finite; name another model in tags.model"
            )
        return values

    def kept(self, key: Picture, row: Floats) -> Floats:
        """The probabilities of a picture's tags, in their order; NaN for those that the tagger does not know."""
        places = [self._places.get(tag, -1) for tag in key.tags]
        return np.array([row[place] if place >= 0 else np.nan for place in places], np.float32)

    def asked(self, key: Picture) -> bytes:
        """The tags whose probabilities are kept of a picture."""
        return " ".join(key.tags).encode()

    def seen(self, picture: Picture, probabilities: Floats) -> dict[str, bool]:
        """Say of each of a picture's tags whether it is seen; tags that the tagger does not know are left out."""
        return {
            tag: bool(probability >= self._thresholds[self._places[tag]])
            for tag, probability in zip(picture.tags, probabilities.tolist(), strict=True)
            if tag in self._places
        }


def _read_tags(path: Path) -> tuple[list[str], list[str]]:
    """The names and the categories of a tagger's tags, in the order of its output."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [(row["name"], row["category"]) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise ModelError(
            f"{path} is no list of tags with the columns name and category ({error!r}); download it again"
        ) from error
    if not rows:
        raise ModelError(f"{path} lists no tags; download it again")
    names, categories = zip(*rows, strict=True)
    return list(names), list(categories)
