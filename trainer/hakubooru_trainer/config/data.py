"""The options of a training run's data: its folders, and what happens to images and captions."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple

from hakubooru.caption import CaptionChange
from hakubooru.errors import ConfigError, InputError
from hakubooru.image.bucket import Buckets
from hakubooru.settings import Bounds, check, toml

if TYPE_CHECKING:
    from collections.abc import Mapping

ENDING: Final = ("-", "_", ".")
"""How the ending of mask files begins. The name of a folder of masks begins otherwise."""


class Needs(NamedTuple):
    """What an option needs to have an effect."""

    other: str
    """The option of the same section that it depends on."""
    example: Any
    """A value of the other one with which it has an effect."""
    without: tuple[Any, ...]
    """The values of the other one with which it has none."""


def check_effects(section: str, options: Any, effects: Mapping[str, Needs]) -> None:
    """Check that options which differ from their defaults have an effect.

    Args:
        section: the name of their section, for the message.
        options: the dataclass that has them.
        effects: what options need, by their names.

    Raises:
        ConfigError: an option differs from its default, and has no effect.
    """
    defaults = {field.name: field.default for field in fields(options)}
    for name, needs in effects.items():
        value, other = getattr(options, needs.other), f"{section}.{needs.other}"
        if getattr(options, name) != defaults[name] and value in needs.without:
            raise ConfigError(
                f"{section}.{name} has no effect while {other} is {toml(value)}; set {other} = {toml(needs.example)}, "
                f"or remove {section}.{name}"
            )


def buckets_of(section: str, *, step: int, **others: int) -> Buckets:
    """The sizes of buckets that the VAE takes.

    Args:
        section: the name of their section, for the message.
        step: what sides are multiples of.
        others: the other fields of `Buckets`.

    Raises:
        ConfigError: there are no such buckets.
    """
    if step % 8:
        raise ConfigError(f"{section}.step is {step}; the VAE needs multiples of 8, such as 64")
    try:
        return Buckets(step=step, **others)
    except InputError as error:
        raise ConfigError(f"[{section}]: {error}") from error


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """A data set; write [[data]] once for each."""

    path: str
    """The folder: an export of `hakubooru export` (pairs or shards), a folder of images, or a folder of webdataset's shards.
    The caption of an image is in a .txt or .caption of the same name beside it, or in a metadata.jsonl. A folder without a
    manifest is scanned once; the scan is remembered."""
    weight: float = 1.0
    """How much of the data set an epoch draws. With 0.5 an epoch draws half of the images, and the next epoch the other
    half. With 2.5 it draws each image twice or three times."""
    repeats: Annotated[int, Bounds(0, 1_000_000)] = 0
    """How often each image is drawn in an epoch; multiplies the weight. 0 means once, or as often as kohya's folder names say:
    where the path is called 10_name, or all folders in it are. Folders called 0_name are left out."""
    loss_weight: float = 1.0
    """Multiplies the loss of each image. Regularisation images are a data set with a small `weight` or `loss_weight`."""
    prefix: str = ""
    """A text in front of each caption of the data set, such as "my style, ". It is not shuffled, and goes with a caption that is
    dropped."""
    masks: str = ""
    """Where the masks of the images are: the ending of files beside them, which replaces the image's extension, such as
    "-masklabel.png"; or a folder that has 1.png for x001/1.jpg at x001/1.png. White counts fully in the loss, black not at all.
    An image without a mask counts fully; one whose mask cannot be read, or has another shape, is left out. Crops and flips apply
    to masks too. An ending begins with -, _ or a dot."""

    def __post_init__(self) -> None:
        check(self, "data", ConfigError)
        for name in ("weight", "loss_weight"):
            if not 1e-6 <= getattr(self, name) <= 1e6:
                raise ConfigError(
                    f"data.{name} is {getattr(self, name)}; write a number from 0.000001 to 1000000, usually near 1. "
                    "To leave a data set out, remove its [[data]]"
                )


@dataclass(frozen=True, kw_only=True)
class AugmentOptions:
    """What is done to an image at each step. The model is told the crop that is made."""

    random_crop: bool = False
    """Crop an image that is larger than its bucket at a random place, and not at its centre. It needs an empty cache.latents, since
    each step has other pixels."""
    flip: Annotated[float, Bounds(0, 1)] = 0.0
    """The chance that an image is mirrored, before it is cropped. A cache of latents holds both sides."""

    def __post_init__(self) -> None:
        check(self, "augment", ConfigError)


@dataclass(frozen=True, kw_only=True)
class BucketOptions:
    """The sizes that images are resized and cropped to, so that images of like shape can share a batch."""

    area: int = 1024 * 1024
    """The most pixels of a bucket."""
    step: int = 64
    """Sides are multiples of this; it is itself a multiple of 8."""
    min_side: int = 256
    """The shortest side, in pixels."""
    max_side: Annotated[int, Bounds(1, 65_536)] = 4096
    """The longest side, in pixels."""
    nearest: Literal["ratio", "log"] = "ratio"
    """How the nearest bucket is chosen: by the ratio of the sides, as sd-scripts does, or by the logarithm of the ratio, which
    treats portraits and landscapes alike."""
    upscale: bool = True
    """Enlarge images that are smaller than their bucket. If false, they get buckets of their own size, rounded down to a step."""
    incomplete: Literal["weight", "fill"] = "weight"
    """What happens to a batch that its bucket cannot fill. `weight` leaves it short, and each image still weighs the same.
    `fill` fills it with images of its bucket, which are seen twice in that epoch."""
    crop: Literal["true", "kohya"] = "true"
    """Which crop the model is told: the real one, or the figures of sd-scripts, which belong to another crop."""

    def __post_init__(self) -> None:
        check(self, "buckets", ConfigError)
        self.sizes()

    def sizes(self) -> Buckets:
        """The sizes of the buckets."""
        return buckets_of(
            "buckets", area=self.area, step=self.step, min_side=self.min_side, max_side=self.max_side
        )


@dataclass(frozen=True, kw_only=True)
class CaptionOptions(CaptionChange):
    """How captions change at each step. Tags before the keep separator stay, except by drop_parts and drop_caption."""

    tags: Literal["tail", "general"] = "tail"
    """Which tags are shuffled and dropped. `tail` takes all tags behind the keep separator, as sd-scripts does. `general` takes
    only the general tags among them, so that quality, date, meta tags and rating stay. It needs the `parts` of the export's
    manifest; captions without them, such as those of your own images, are treated as `tail`.
    drop_parts, text_only and tags_only need `general`."""
    mix: dict[str, float] = field(default_factory=dict)
    """How often a step takes each of an image's captions: {caption = 0.7, lines = 0.2, nl = 0.1}. `caption` is the usual one, of tags;
    with `lines`, its first line. `lines` takes one of the lines below. Other names are columns of the export's manifest. Only
    `caption` is shuffled and loses tags. Where an image lacks one, the others share its chance; where it lacks all, it has its
    usual caption. Empty: always `caption`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the manifest that `mix` names."""
        return tuple(name for name in self.mix if name not in {"caption", "lines"})

    def __post_init__(self) -> None:
        check(self, "captions", ConfigError)
        for name, share in self.mix.items():
            if type(share) not in {int, float} or not 0 <= share < float("inf"):
                raise ConfigError(
                    f"captions.mix.{name} is {share!r}; write how often it is taken, such as 0.3"
                )
        if self.mix and not any(self.mix.values()):
            raise ConfigError("captions.mix takes no caption; give one of them a number above 0")
        for part, rate in self.drop_parts.items():
            if type(rate) not in {int, float}:
                raise ConfigError(
                    f"captions.drop_parts.{part} is {rate!r}; write a rate from 0 to 1, such as 0.1"
                )
        if self.needs_parts and self.tags == "tail":
            raise ConfigError(
                "captions.drop_parts, text_only and tags_only need to know the part of each tag; "
                'set captions.tags = "general"'
            )
        if self.group_separator and self.tags == "general":
            raise ConfigError(
                'captions.group_separator needs captions.tags = "tail": tags change within the groups that it makes'
            )
        try:
            super().__post_init__()
        except InputError as error:
            raise ConfigError(f"[captions]: {error}") from error

    def unchanged(self) -> CaptionChange:
        """The change that only takes the keep separator out; nothing is shuffled or dropped."""
        still = replace(
            self, shuffle=False, drop_tags=0.0, drop_parts={}, text_only=0.0, tags_only=0.0, drop_caption=0.0
        )
        return replace(still, shuffle_groups=False, drop_groups=0.0)


@dataclass(frozen=True, kw_only=True)
class CacheOptions:
    """Folders in which encoded images and captions are kept."""

    latents: str = ""
    """A folder for encoded images (mean and deviation). Empty: images are encoded at every step."""
    text: str = ""
    """A folder for encoded captions. Empty: captions are encoded at every step. It needs text encoders that are not trained, and
    captions that are not shuffled and lose no tags."""

    def __post_init__(self) -> None:
        check(self, "cache", ConfigError)
