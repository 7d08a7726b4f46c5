"""A caption format says which parts of a post a caption has, in which order, and how each is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, Self, TypeAlias

from hakubooru.caption.labels import PUBLISHED, Measure, QualityLabels, QualityScale, RatingLabels, YearLabels
from hakubooru.errors import CaptionFormatError, InputError
from hakubooru.nearest import nearest
from hakubooru.settings import Bounds, Parse, check, plain, toml

if TYPE_CHECKING:
    from hakubooru.store.store import Store

TAG_PARTS: Final = ("people", "character", "copyright", "artist", "general", "meta")
"""Parts that hold tags."""
LABEL_PARTS: Final = ("quality", "date", "rating")
"""Parts that hold a label."""
KEEP: Final = "keep"
"""The entry of an order that stands for the keep separator."""
ALL_TAGS: Final = "tags"
"""The entry of an order that stands for every tag, of any part, in one list."""

Underscores: TypeAlias = Literal["short", "kaomoji", "keep"]
"""The names that keep underscores: those of three characters or fewer, kaomoji only, or all."""


class TagLists(NamedTuple):
    """Lists of tags for each part, and for `any` part: names, or patterns in which `*` stands for any characters."""

    people: tuple[str, ...] = ()
    character: tuple[str, ...] = ()
    copyright: tuple[str, ...] = ()
    artist: tuple[str, ...] = ()
    general: tuple[str, ...] = ()
    meta: tuple[str, ...] = ()
    any: tuple[str, ...] = ()


def _parts(value: Any, place: str, choices: tuple[str, ...]) -> tuple[str, ...]:
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)):
        raise InputError(f"{place} = {toml(value)} is not a list; write [ , ]")
    for i, part in enumerate(parts):
        if part not in choices:
            raise InputError(f"{place} has {toml(part)}, which is not a part; {nearest(part, choices)}")
        if part in parts[:i]:
            raise InputError(f"{place} has {toml(part)} twice; write each part once")
    return tuple(parts)


def _order(value: Any, place: str) -> tuple[str, ...]:
    order = _parts(value, place, (*TAG_PARTS, *LABEL_PARTS, KEEP, ALL_TAGS))
    if not set(order) - {KEEP}:
        raise InputError(f'{place} names no part; name at least one, such as "general"')
    both = [part for part in order if part in TAG_PARTS] if ALL_TAGS in order else []
    if both:
        raise InputError(
            f'{place} has "tags" and "{both[0]}", but "tags" stands for all tag parts; leave one of them out'
        )
    return order


def _trim(value: Any, place: str) -> tuple[str, ...]:
    return _parts(value, place, (*TAG_PARTS, ALL_TAGS))


def _labels(value: Any, place: str, words: str) -> list[tuple[str, Any]]:
    """The labels and numbers of a table, or of pairs; every number once."""
    pairs = list(value.items()) if isinstance(value, Mapping) else value
    try:
        pairs = [(str(label), number + 0) for label, number in pairs]
    except (TypeError, ValueError):
        raise InputError(f"{place} = {toml(value)}; write a table of {words}") from None
    numbers = [number for _, number in pairs]
    if len(set(numbers)) < len(numbers):
        raise InputError(f"{place} has a number twice ({toml(numbers)}); give each label a number of its own")
    return pairs


def _years(value: Any, place: str) -> YearLabels:
    pairs = _labels(value, place, "labels and last years, such as {old = 2010, newest = 2024}")
    for label, year in pairs:
        if not isinstance(year, int):
            raise InputError(f"{place}.{label} = {toml(year)}; write a whole number, the last year")
    return tuple(sorted(pairs, key=lambda pair: pair[1]))


def _quality(value: Any, place: str) -> QualityLabels:
    pairs = _labels(value, place, 'labels and percentiles, such as {masterpiece = 90, "worst quality" = 0}')
    for label, percentile in pairs:
        if not 0 <= percentile < 100:
            raise InputError(f"{place}.{label} = {toml(percentile)}; write a percentile from 0 up to 100")
    return tuple(sorted(pairs, key=lambda pair: -pair[1]))


def _scale(value: Any, place: str) -> str | QualityScale:
    if isinstance(value, Mapping):
        return QualityScale.from_dict(value)
    if isinstance(value, QualityScale) or (isinstance(value, str) and value in {"published", "database"}):
        return value
    raise InputError(
        f'{place} = {toml(value)}; write "published", "database", or a table of counts by rating'
    )


_NO_TAGS: Final = TagLists()
_KOHAKU_RATINGS: Final = RatingLabels()


@dataclass(frozen=True, kw_only=True)
class CaptionFormat:
    """The parts of a caption, their order, and how each is written.

    Change a format with `dataclasses.replace`, or with `base` in a table of a recipe.

    A tag belongs to the part of its type. Tags that count people (`1girl`, `2boys`, `male_focus`, …) are the part
    `people`; if the order has no `people`, they are general tags. Parts that are not in the order are left out.

    Raises:
        CaptionFormatError: a field has an invalid value; the message names the field.
    """

    order: Annotated[tuple[str, ...], Parse(_order)]
    """The parts from first to last: people, character, copyright, artist, general, meta, quality, date, rating.
    `keep` stands for the keep separator. `tags`, in place of all tag parts, puts all tags in one list."""
    separator: str = ", "
    """The text between two tags."""
    keep_separator: str = " ||| "
    """The text in the place of `keep`. sd-scripts cuts a caption at its `--keep_tokens_separator`, cuts each side at
    commas, and trims. With blanks instead of a comma around `|||`, this leaves clean text."""
    layout: Literal["text", "json"] = "text"
    """`text` writes one line of text, `json` a JSON object of the parts."""
    before: str = ""
    """Free text that every caption begins with."""
    after: str = ""
    """Free text that every caption ends with."""
    underscores: Underscores = "short"
    """The underscores that stay: in names of three characters or fewer (`short`), in kaomoji (`kaomoji`), all (`keep`)."""
    escape: bool = False
    r"""Write `\(` for `(`, as prompts of the sd-webui need it; not for training."""
    tag_order: Literal["stored", "alphabetical", "popularity"] = "stored"
    """The order of tags within a part: as the file stores them, by name, or the most popular first."""
    repeats: bool = False
    """Whether a tag that a file gives a post twice is written twice, as HakuBooru does."""
    only: TagLists = _NO_TAGS
    """The tags that may be written, by part: names, or patterns with `*`. An empty list allows all tags."""
    without: TagLists = _NO_TAGS
    """The tags that are left out, by part: names, or patterns with `*`."""
    min_popularity: Annotated[int, Bounds(0)] = 0
    """Tags of fewer posts than this are left out."""
    rating: RatingLabels = _KOHAKU_RATINGS
    """The labels of each rating."""
    date: Annotated[YearLabels, Parse(_years)] = (
        ("old", 2010),
        ("early", 2014),
        ("mid", 2017),
        ("recent", 2020),
        ("newest", 2024),
    )
    """Labels, each with the last upload year that it stands for; a later post has no label."""
    undated: str = ""
    """The label of a post whose date cannot be read, or lies before 2005."""
    quality: Annotated[QualityLabels, Parse(_quality)] = (
        ("masterpiece", 90),
        ("best quality", 75),
        ("great quality", 60),
        ("good quality", 45),
        ("normal quality", 30),
        ("low quality", 10),
        ("worst quality", 0),
    )
    """Labels, each with the percentile of its rating that a post must exceed; the label at 0 is for all other posts."""
    quality_by: Measure = "fav_count"
    """The count that quality is judged by: `fav_count` or `score`."""
    quality_scale: Annotated[Literal["published", "database"] | QualityScale, Parse(_scale)] = "published"
    """The counts at the percentiles: `published` for the 2023 set, or measured in the `database`."""
    quality_last_id: Annotated[int | None, Bounds(1)] = None
    """Posts above this id are too young to be judged; they have no quality label."""
    max_tags: Annotated[int | None, Bounds(1)] = None
    """The most tags of a caption; labels do not count."""
    max_tokens: Annotated[int | None, Bounds(1)] = None
    """The most CLIP tokens of a caption, without start and end marks (75 in a chunk); needs `tokenizer`."""
    tokenizer: str | None = None
    """The folder of a CLIP tokenizer (the `tokenizer` folder of any SDXL model in diffusers' layout)."""
    trim: Annotated[tuple[str, ...], Parse(_trim)] = (
        "tags",
        "meta",
        "general",
        "artist",
        "copyright",
        "character",
        "people",
    )
    """The order in which parts lose tags to a limit: the last tag of the first part here that has one goes first."""

    def __post_init__(self) -> None:
        check(self, "caption", CaptionFormatError)
        if not self.separator:
            raise CaptionFormatError(
                'caption.separator is empty; write the text between two tags, such as ", "'
            )
        if "quality" in self.order and self.quality_scale != "database":
            self.thresholds()
        if (self.max_tokens is None) != (self.tokenizer is None):
            raise CaptionFormatError(
                "caption.max_tokens and caption.tokenizer go together: give both, or neither "
                "(tokenizer = the `tokenizer` folder of an SDXL model)"
            )
        if self.layout == "json" and self.max_tokens is not None:
            raise CaptionFormatError(
                'caption.max_tokens counts the tokens of text: leave it out, or set layout = "text"'
            )

    def thresholds(self) -> tuple[tuple[int, ...], ...]:
        """Return the counts that a post must exceed for each quality label, ascending, (ratings, labels - 1).

        The scale must be `published` or a `QualityScale`; `resolved` replaces `database` by one.

        Raises:
            CaptionFormatError: the scale lacks a percentile of `quality`.
        """
        scale = PUBLISHED[self.quality_by] if self.quality_scale == "published" else self.quality_scale
        assert isinstance(scale, QualityScale)
        return scale.thresholds([p for _, p in reversed(self.quality) if p > 0])

    def resolved(self, database: Store) -> Self:
        """Return this format with a database's own scale in place of `quality_scale = "database"`, as locks keep it."""
        if self.quality_scale != "database" or "quality" not in self.order:
            return self
        percentiles = [p for _, p in self.quality if p > 0]
        scale = QualityScale.from_database(database, percentiles, by=self.quality_by)
        return dataclasses.replace(self, quality_scale=scale)

    def to_dict(self) -> dict[str, Any]:
        """Return the format as a table that TOML can hold; `caption_format` reads it back."""
        return {
            field.name: plain(value)
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) is not None
        }
