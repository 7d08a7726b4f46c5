"""The options of a training run's data: what is trained on, and what is made of images and captions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from hakubooru.caption import CaptionChange
from hakubooru.errors import ConfigError, InputError


def at_least(section: str, options: object, limits: dict[str, int]) -> None:
    """Check that some options are no less than a limit each.

    Raises:
        ConfigError: one is.
    """
    for name, least in limits.items():
        value = getattr(options, name)
        if not value >= least:  # NaN is not
            raise ConfigError(f"{section}.{name} is {value}; it is {least} or more")


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """A data set; write [[data]], once for each."""

    path: str
    """What `hakubooru export` wrote, pairs or shards; or a folder of images with a caption of the same name in .txt beside each,
    or all in a metadata.jsonl; or of webdataset's shards. What has no manifest is looked at once and remembered."""
    weight: float = 1.0
    """How much of the data set an epoch draws: with 0.5 half of its images, and the next epoch the other half; with 2.5 each
    image twice or three times."""
    repeats: int = 0
    """How often each image stands in an epoch; multiplies the weight. 0 is once, or as often as kohya's folders say: where the path
    is called 10_name, or all folders in it are."""
    loss_weight: float = 1.0
    """What the loss of each image is multiplied by."""

    def __post_init__(self) -> None:
        at_least("data", self, {"repeats": 0})
        for name in ("weight", "loss_weight"):
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"data.{name} is {getattr(self, name)}; it is above 0. Leave a data set out by taking its [[data]] away"
                )


@dataclass(frozen=True, kw_only=True)
class BucketOptions:
    """The sizes that images are brought to, so that those of like shape can share a batch."""

    area: int = 1024 * 1024
    """Pixels at the most."""
    step: int = 64
    """What sides are multiples of; itself a multiple of 8."""
    min_side: int = 256
    """The shortest side, in pixels."""
    max_side: int = 4096
    """The longest side, in pixels."""
    nearest: Literal["ratio", "log"] = "ratio"
    """How the nearest shape is found: by the ratio of the sides, as sd-scripts does, or by its logarithm, which treats
    portraits as it treats landscapes."""
    upscale: bool = True
    """Enlarge images that are smaller than their bucket; else they get buckets of their own size, rounded down to a step."""
    incomplete: Literal["weight", "fill"] = "weight"
    """What becomes of a batch that its bucket cannot fill: it stays short, and each image still weighs the same; or it is
    filled with images of its bucket, which are seen twice in that epoch."""
    crop: Literal["true", "kohya"] = "true"
    """What the model is told of the crop: the one that was made; or sd-scripts' figures, which are of another one."""

    def __post_init__(self) -> None:
        if self.step % 8:
            raise ConfigError(f"buckets.step is {self.step}; the VAE needs multiples of 8, such as 64")
        if not 0 < self.step <= self.min_side <= self.max_side or self.area < self.step**2:
            raise ConfigError(
                f"buckets of area {self.area}, step {self.step}, sides {self.min_side} to {self.max_side} hold nothing; "
                "0 < step <= min_side <= max_side, and step * step <= area"
            )


@dataclass(frozen=True, kw_only=True)
class CaptionOptions:
    """What is done to captions at each step; what stands before the keep separator is never shuffled, and none of its tags dropped."""

    tags: Literal["tail", "general"] = "tail"
    """Which tags are shuffled and dropped: all behind the keep separator, as in sd-scripts; or of these the general ones alone, so
    that quality, date, meta tags and rating stay. The latter needs the `parts` of the export's manifest; captions of your
    own images in it have none, and are treated as `tail`."""
    shuffle: bool = True
    """Put the tags in a random order."""
    drop_tags: float = 0.0
    """The chance of each tag to be dropped."""
    exact: bool = False
    """Drop exactly that share of a caption's tags, rounded to a whole number, in place of each by chance."""
    drop_parts: dict[str, float] = field(default_factory=dict)
    """The chance that a part is dropped as a whole, also before the keep separator: {artist = 0.1, quality = 0.05}; needs
    tags = "general"."""
    drop_caption: float = 0.0
    """The chance that nothing of a caption stays."""
    separator: str = ", "
    """What stands between two tags."""
    keep_separator: str = "|||"
    """What stands before the tags that may be changed."""

    def __post_init__(self) -> None:
        for part, rate in self.drop_parts.items():
            if type(rate) not in {int, float}:
                raise ConfigError(f"captions.drop_parts.{part} is {rate!r}; a rate lies from 0 to 1")
        if self.drop_parts and self.tags == "tail":
            raise ConfigError(
                'captions.drop_parts needs to know which tags are of which part; set captions.tags = "general"'
            )
        try:
            self.change()
        except InputError as error:
            raise ConfigError(f"[captions]: {error}") from error

    def change(self) -> CaptionChange:
        """What is done to a caption at a step."""
        return CaptionChange(
            shuffle=self.shuffle,
            drop_tags=self.drop_tags,
            exact=self.exact,
            drop_parts=self.drop_parts,
            drop_caption=self.drop_caption,
            separator=self.separator,
            keep_separator=self.keep_separator,
        )

    def unchanged(self) -> CaptionChange:
        """What is done to one that is not to change: no more than that the keep separator is taken out."""
        return replace(self.change(), shuffle=False, drop_tags=0.0, drop_parts={}, drop_caption=0.0)


@dataclass(frozen=True, kw_only=True)
class CacheOptions:
    """Work that is done once and kept."""

    latents: str = ""
    """A folder for encoded images (mean and deviation); empty: images are encoded at every step."""
    text: str = ""
    """A folder for encoded captions, for text encoders that are not trained and captions that are not shuffled and none of their
    tags dropped; empty: captions are encoded at every step."""
