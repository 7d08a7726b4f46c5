"""CCIP: whether two pictures show one character (deepghs, `ccip_onnx`).

A feature network turns a picture into 768 numbers; a metric network turns the numbers of several pictures into their
differences, each of each. Two pictures show one character where the difference is at most the model's threshold.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from hakubooru.errors import ModelError
from hakubooru_trainer.evaluate.networks import Network, NetworkFiles, network_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakubooru_trainer.randomness import Floats

FILES: Final = ("model_feat.onnx", "model_metrics.onnx", "metrics.json")
SIZE: Final = 384
"""The sides of the picture that the feature network sees, in pixels."""
MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
DEVIATION: Final = (0.26862954, 0.26130258, 0.27577711)
"""Mean and deviation of the channels of CLIP's training images, by which pictures are normalised."""

_SCALE: Final[Floats] = (1 / 255 / np.array(DEVIATION)[:, None, None]).astype(np.float32)
_SHIFT: Final[Floats] = (np.array(MEAN) / np.array(DEVIATION))[:, None, None].astype(np.float32)
"""A channel's value from 0 to 255, times its scale, less its shift, is normalised."""


class Ccip:
    """The two networks and their threshold.

    Args:
        name: a folder, or a folder on the Hub.
        say: is called with a sentence before something is downloaded.

    Raises:
        ModelError: a file is missing, or is not of CCIP's form.
    """

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self.files: NetworkFiles = network_files(name, FILES, "score.model", say)
        self.fingerprint = self.files.fingerprint
        self.threshold = _threshold(self.files)
        """The largest difference of two pictures of one character."""
        self._features = Network(self.files.paths["model_feat.onnx"], "input", "output")
        self._metric = Network(self.files.paths["model_metrics.onnx"], "input", "output")

    def prepared(self, picture: Image.Image) -> Floats:
        """Prepare a picture in RGB for the feature network: (3, 384, 384) float32, normalised."""
        small = picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        values = np.asarray(small, np.float32).transpose(2, 0, 1)
        return values * _SCALE - _SHIFT

    def features(self, pictures: Floats) -> Floats:
        """Compute the features of prepared pictures, (N, 3, 384, 384), as (N, D) float32.

        Raises:
            ModelError: the network gives something else, or numbers that are not finite.
        """
        features: Floats = self._features(pictures)
        if features.ndim != 2 or len(features) != len(pictures) or not np.isfinite(features).all():
            raise ModelError(
                f"{self.files.name} gives features of the shape {features.shape} for {len(pictures)} pictures, or numbers "
                "that are not finite; name another model in score.model"
            )
        return features.astype(np.float32, copy=False)

    def kept(self, key: object, row: Floats) -> Floats:
        """The features of an image that are kept: all."""
        del key
        return row

    def asked(self, key: object) -> bytes:
        """The features of an image depend on its file alone."""
        del key
        return b""

    def differences(self, features: Floats) -> Floats:
        """Compute the differences of each picture of each, (N, N) float32, from features, (N, D).

        Raises:
            ModelError: the network gives something else, or numbers that are not finite.
        """
        differences: Floats = self._metric(features)
        if differences.shape != (len(features), len(features)) or not np.isfinite(differences).all():
            raise ModelError(
                f"{self.files.name} gives differences of the shape {differences.shape} for {len(features)} pictures, or "
                "numbers that are not finite; name another model in score.model"
            )
        return differences


def _threshold(files: NetworkFiles) -> float:
    path = files.paths["metrics.json"]
    try:
        threshold = float(json.loads(path.read_text(encoding="utf-8"))["threshold"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} gives no threshold ({error!r}); download it again") from error
    if not 0 < threshold < 1:
        raise ModelError(
            f"{path} gives the threshold {threshold}, which is not between 0 and 1; download it again"
        )
    return threshold
