"""The options of an evaluation, with their defaults; `evaluate --help-config` prints the text below each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from hakubooru import settings
from hakubooru.errors import ConfigError
from hakubooru.settings import Bounds, check
from hakubooru_trainer.config.data import buckets_of
from hakubooru_trainer.config.options import ModelOptions

if TYPE_CHECKING:
    from pathlib import Path

CCIP = "deepghs/ccip_onnx/ccip-caformer-24-randaug-pruned"
"""The model that the score of Kohaku-XL Epsilon's page is of."""


@dataclass(frozen=True, kw_only=True)
class CharacterOptions:
    """The characters that are asked for."""

    count: Annotated[int, Bounds(1)] = 3600
    """How many characters: those with the most solo posts in the database."""
    images: Annotated[int, Bounds(1)] = 20
    """A character needs this many posts that match references.query and have an image."""
    seed: Annotated[int, Bounds(0)] = 0
    """The seed of the choice of references, and of the bootstrap."""

    def __post_init__(self) -> None:
        check(self, "characters", ConfigError)


@dataclass(frozen=True, kw_only=True)
class ReferenceOptions:
    """The images that a character is known by."""

    query: str = "solo rating:g,s"
    """The posts that references are chosen from, as a search in Danbooru's syntax. `chartags:1` leaves out posts that have
    a second character's tag."""
    count: Annotated[int, Bounds(1)] = 16
    """The most references of a character."""
    cache: str = ""
    """The folder that features of references are kept in. Empty: hakubooru's folder in the user's cache."""

    def __post_init__(self) -> None:
        check(self, "references", ConfigError)
        if not self.query.strip():
            raise ConfigError('references.query is empty; write a search, such as "solo rating:g,s"')


@dataclass(frozen=True, kw_only=True)
class PromptOptions:
    """The prompts: people, character, series and quality, as the caption format writes them."""

    caption: str = "kohaku-epsilon"
    """The caption format that the model was trained with: a preset of `hakubooru caption --list`, or a TOML file."""
    tags: tuple[str, ...] = ()
    """General tags that every prompt has too, by their names on Danbooru: ["solo", "looking_at_viewer"]."""

    def __post_init__(self) -> None:
        check(self, "prompts", ConfigError)


@dataclass(frozen=True, kw_only=True)
class DrawingOptions:
    """The pictures that are drawn of each character."""

    images: Annotated[int, Bounds(1)] = 4
    """How many pictures of each character."""
    shapes: tuple[str, ...] = ("2:3", "3:4", "1:1", "3:4")
    """Width to height of the first picture, of the second, and so on, from the beginning again after the last. A picture has the
    size of the bucket that is nearest."""
    area: int = 1024 * 1024
    """The most pixels of a picture."""
    step: int = 64
    """Sides are multiples of this; it is itself a multiple of 8."""
    min_side: int = 256
    """The shortest side of a bucket, in pixels."""
    steps: Annotated[int, Bounds(1, 1000)] = 24
    """Steps of the sampler."""
    sampler: Literal["ddim", "euler_a", "dpmpp_2m"] = "ddim"
    """The sampler: DDIM without noise, Euler's method with fresh noise (Euler a), or DPM-Solver++ (DPM++ 2M)."""
    guidance: float = 6.0
    """How strongly the prompt counts (classifier-free guidance)."""
    negative: str = ""
    """The negative prompt: what not to draw."""
    tokens: Literal[75, 150, 225] = 75
    """How many tokens of a prompt are read, in chunks of 75."""
    batch: Annotated[int, Bounds(1)] = 4
    """Pictures that are drawn together. Another number may round otherwise, so that pictures differ in their last bits."""

    def __post_init__(self) -> None:
        check(self, "drawing", ConfigError)
        if not self.shapes:
            raise ConfigError('drawing.shapes is empty; write at least one, such as ["2:3"]')
        self.sizes()

    def sizes(self) -> list[tuple[int, int]]:
        """Width and height of each shape's pictures, in pixels: the bucket that is nearest.

        Raises:
            ConfigError: there are no such buckets, or a shape cannot be read.
        """
        buckets = buckets_of("drawing", area=self.area, step=self.step, min_side=self.min_side)
        widths, heights = zip(*map(_ratio, self.shapes), strict=True)
        return [(width, height) for width, height in buckets.sizes()[buckets.of(widths, heights)].tolist()]


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """The model that judges whether two images show one character."""

    model: str = CCIP
    """A folder with model_feat.onnx, model_metrics.onnx and metrics.json, or a folder on the Hub: owner/name/folder."""
    batch: Annotated[int, Bounds(1)] = 16
    """Images that it is given at a time."""
    resamples: Annotated[int, Bounds(100)] = 2000
    """How often the characters are drawn anew for an interval (bootstrap)."""

    def __post_init__(self) -> None:
        check(self, "score", ConfigError)


@dataclass(frozen=True, kw_only=True)
class TagOptions:
    """A tagger that says which tags of a prompt are in the picture."""

    model: str = ""
    """A folder with model.onnx and selected_tags.csv, or a model on the Hub: "SmilingWolf/wd-swinv2-tagger-v3". Empty: tags are
    not looked at."""
    threshold: Annotated[float, Bounds(0, 1)] = 0.35
    """A general tag is in a picture from this probability on."""
    character_threshold: Annotated[float, Bounds(0, 1)] = 0.85
    """A character is in a picture from this probability on."""

    def __post_init__(self) -> None:
        check(self, "tags", ConfigError)


@dataclass(frozen=True, kw_only=True)
class ModelFiles(ModelOptions):
    """The files of the model, beside the one that the command names. Nothing is ever downloaded."""

    path: str = ""
    """The model; the command's argument MODEL takes its place."""


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """The options of an evaluation, by section."""

    characters: CharacterOptions = CharacterOptions()
    references: ReferenceOptions = ReferenceOptions()
    prompts: PromptOptions = PromptOptions()
    drawing: DrawingOptions = field(default_factory=DrawingOptions)
    score: ScoreOptions = ScoreOptions()
    tags: TagOptions = TagOptions()
    model: ModelFiles = ModelFiles()


def load(path: Path) -> EvaluationOptions:
    """Read the options in a TOML file.

    Raises:
        ConfigError: an option is wrong; the message names the file, and every key that is.
    """
    table = settings.read_toml(path, ConfigError, "a TOML file with options of `evaluate`")
    try:
        return settings.read(EvaluationOptions, table, "", ConfigError)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def help_text() -> str:
    """List every key with its documentation and default, as TOML that can be copied."""
    return settings.help_text(EvaluationOptions)


def _ratio(shape: str) -> tuple[int, int]:
    """The two numbers of a shape, such as `2:3`.

    Raises:
        ConfigError: the text is not a shape.
    """
    width, mark, height = shape.partition(":")
    if not (mark and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise ConfigError(f'drawing.shapes has {shape!r}; write width:height, such as "2:3"')
    return int(width), int(height)
