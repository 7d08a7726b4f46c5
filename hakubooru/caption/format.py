"""A caption format: which parts of a post a caption has, in which order, and how each is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from hakubooru.caption.labels import RatingLabels
from hakubooru.caption.scale import PUBLISHED, Measure, QualityScale
from hakubooru.caption.tagwords import TagLists, Underscores
from hakubooru.errors import CaptionFormatError
from hakubooru.nearest import nearest

if TYPE_CHECKING:
    from hakubooru.caption.labels import QualityLabels, YearLabels
    from hakubooru.store.store import Store

TAG_PARTS: Final = ("people", "character", "copyright", "artist", "general", "meta")
"""Parts that hold tags."""
LABEL_PARTS: Final = ("quality", "date", "rating")
"""Parts that hold a label."""
KEEP: Final = "keep"
"""In an order: where the keep separator stands."""
ALL_TAGS: Final = "tags"
"""In an order: every tag, whatever its part, in one list."""

_NO_TAGS: Final = TagLists()
_KOHAKU_RATINGS: Final = RatingLabels()

_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "layout": ("text", "json"),
    "underscores": ("short", "kaomoji", "keep"),
    "tag_order": ("stored", "alphabetical", "popularity"),
    "quality_by": ("fav_count", "score"),
}
_TEXTS: Final = ("separator", "keep_separator", "before", "after", "undated")
_COUNTS: Final = {"min_popularity": 0, "quality_last_id": 1, "max_tags": 1, "max_tokens": 1}
_OPTIONAL: Final = ("quality_last_id", "max_tags", "max_tokens", "tokenizer")


@dataclass(frozen=True, kw_only=True)
class CaptionFormat:
    """What a caption is made of. Change one with `dataclasses.replace`, or begin from a preset in TOML.

    A tag goes to the part of its type; the people of a picture (`1girl`, `2boys`, `male_focus`, …) are a part
    of their own, or general tags where the order has no `people`. A part that is not in the order is left out.

    Raises:
        CaptionFormatError: a field does not have one of the values that it can have; the message names it.
    """

    order: tuple[str, ...]
    """The parts from first to last: people, character, copyright, artist, general, meta, quality, date, rating;
    `keep` where the keep separator stands; `tags` in place of all the tag parts puts them in one list."""
    separator: str = ", "
    """What stands between two tags."""
    keep_separator: str = " ||| "
    """What stands where the order says `keep`. sd-scripts cuts a caption at its `--keep_tokens_separator`, then each
    side at commas, and trims: with blanks in place of a comma, cutting at `|||` and trimming leaves clean text."""
    layout: Literal["text", "json"] = "text"
    """One line of text, or the parts as a JSON object."""
    before: str = ""
    """Free text that every caption begins with."""
    after: str = ""
    """Free text that every caption ends with."""
    underscores: Underscores = "short"
    """Which underscores stay: in names of three characters or fewer (`short`), in kaomoji (`kaomoji`), all (`keep`)."""
    escape: bool = False
    r"""Write `\(` for `(`, as prompts for the sd-webui need it. Not for training."""
    tag_order: Literal["stored", "alphabetical", "popularity"] = "stored"
    """Tags of a part as the file's relations have them, by name, or the most popular first."""
    repeats: bool = False
    """Whether a tag that stands in a post's relations twice is written twice, as HakuBooru does."""
    only: TagLists = _NO_TAGS
    """The tags that may be written, by part: names, or patterns with `*`. Empty: any."""
    without: TagLists = _NO_TAGS
    """The tags that are left out, by part."""
    min_popularity: int = 0
    """Leave out tags of fewer posts than this."""
    rating: RatingLabels = _KOHAKU_RATINGS
    """What is written for each rating."""
    date: YearLabels = (("old", 2010), ("early", 2014), ("mid", 2017), ("recent", 2020), ("newest", 2024))
    """Labels and the last upload year of each; a later post has none."""
    undated: str = ""
    """The label of a post whose date cannot be read, or lies before 2005."""
    quality: QualityLabels = (
        ("masterpiece", 90),
        ("best quality", 75),
        ("great quality", 60),
        ("good quality", 45),
        ("normal quality", 30),
        ("low quality", 10),
        ("worst quality", 0),
    )
    """Labels and the percentile of its rating that a post must be above; 0 for what is above none."""
    quality_by: Measure = "fav_count"
    """The count that quality is judged by: `fav_count`, or `score`."""
    quality_scale: Literal["published", "database"] | QualityScale = "published"
    """The counts at the percentiles: those published for the 2023 set, or of the file at hand."""
    quality_last_id: int | None = None
    """Posts above this id are too young to be judged, and have no quality label."""
    max_tags: int | None = None
    """How many tags (labels are none) a caption may have."""
    max_tokens: int | None = None
    """How many CLIP tokens a caption may have, start and end marks aside (75 to a chunk); needs `tokenizer`."""
    tokenizer: str | None = None
    """The folder of a CLIP tokenizer (the `tokenizer` folder of any SDXL model in diffusers' layout)."""
    trim: tuple[str, ...] = ("tags", "meta", "general", "artist", "copyright", "character", "people")
    """Where tags are taken from to keep within a limit: the last tag of the first part here that has one."""

    def __post_init__(self) -> None:
        for field, choices in _CHOICES.items():
            _check_choice(field, getattr(self, field), choices)
        for field in _TEXTS:
            _check_type(field, getattr(self, field), str, "text")
        if not self.separator:
            raise CaptionFormatError('`separator` is empty; tags need something between them, such as ", "')
        for field in ("escape", "repeats"):
            _check_type(field, getattr(self, field), bool, "true or false")
        for field, least in _COUNTS.items():
            _check_count(field, getattr(self, field), least, optional=field in _OPTIONAL)
        self._set("order", _checked_order(self.order))
        self._set("trim", _checked_parts("trim", self.trim, (*TAG_PARTS, ALL_TAGS)))
        self._set("rating", _checked_table("rating", self.rating, RatingLabels))
        self._set("only", _checked_table("only", self.only, TagLists))
        self._set("without", _checked_table("without", self.without, TagLists))
        self._set("date", _checked_years(self.date))
        self._set("quality", _checked_quality(self.quality))
        self._set("quality_scale", _checked_scale(self.quality_scale))
        if "quality" in self.order and self.quality_scale != "database":
            self.thresholds()
        if (self.max_tokens is None) != (self.tokenizer is None):
            raise CaptionFormatError(
                "`max_tokens` and `tokenizer` go together: give both, or neither "
                "(tokenizer = the `tokenizer` folder of an SDXL model)"
            )
        if self.layout == "json" and self.max_tokens is not None:
            raise CaptionFormatError(
                '`max_tokens` counts the tokens of text: leave it out, or set layout = "text"'
            )

    def thresholds(self) -> tuple[tuple[int, ...], ...]:
        """(ratings, labels - 1): the counts that a post must be above, ascending; for a known scale."""
        scale = PUBLISHED[self.quality_by] if self.quality_scale == "published" else self.quality_scale
        assert isinstance(scale, QualityScale)
        return scale.thresholds(p for _, p in reversed(self.quality) if p > 0)

    def resolved(self, database: Store) -> Self:
        """This format with the scale of that file in place of `quality_scale = "database"`: what a lock keeps."""
        if self.quality_scale != "database" or "quality" not in self.order:
            return self
        percentiles = [p for _, p in self.quality if p > 0]
        scale = QualityScale.from_database(database, percentiles, by=self.quality_by)
        return dataclasses.replace(self, quality_scale=scale)

    def to_dict(self) -> dict[str, Any]:
        """As a table that TOML can hold; `caption_format` reads it back."""
        table: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            table[field.name] = _plain(value)
        return table

    def _set(self, field: str, value: object) -> None:
        object.__setattr__(self, field, value)


def _plain(value: Any) -> Any:
    if isinstance(value, QualityScale):
        return value.to_dict()
    if isinstance(value, (RatingLabels, TagLists)):
        return {name: list(words) for name, words in value._asdict().items()}
    if isinstance(value, tuple):
        return dict(value) if value and isinstance(value[0], tuple) else list(value)
    return value


def _check_choice(field: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise CaptionFormatError(f"`{field}` is {value!r}; it can be {', '.join(choices)}")


def _check_type(field: str, value: object, wanted: type, words: str) -> None:
    if not isinstance(value, wanted):
        raise CaptionFormatError(f"`{field}` is {value!r}; it must be {words}")


def _check_count(field: str, value: object, least: int, *, optional: bool) -> None:
    if value is None and optional:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise CaptionFormatError(f"`{field}` is {value!r}; it must be a whole number of at least {least}")


def _words(field: str, value: object) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) for word in words):
        raise CaptionFormatError(f"`{field}` is {value!r}; it must be a list of words")
    return tuple(words)


def _checked_parts(field: str, value: object, known: tuple[str, ...]) -> tuple[str, ...]:
    parts = _words(field, value)
    for i, part in enumerate(parts):
        if part not in known:
            raise CaptionFormatError(f"`{field}` has {part!r}, which is no part; {nearest(part, known)}")
        if part in parts[:i]:
            raise CaptionFormatError(f"`{field}` has {part!r} twice; a part stands in one place")
    return parts


def _checked_order(value: object) -> tuple[str, ...]:
    order = _checked_parts("order", value, (*TAG_PARTS, *LABEL_PARTS, KEEP, ALL_TAGS))
    if not set(order) - {KEEP}:
        raise CaptionFormatError('`order` names no part; a caption needs at least one, such as "general"')
    both = [part for part in order if part in TAG_PARTS] if ALL_TAGS in order else []
    if both:
        raise CaptionFormatError(f"`order` has 'tags' and {both[0]!r}; 'tags' stands for all the tag parts")
    return order


def _checked_table(field: str, value: object, kind: type[RatingLabels | TagLists]) -> RatingLabels | TagLists:
    if isinstance(value, kind):
        value = value._asdict()
    if not isinstance(value, Mapping):
        raise CaptionFormatError(f"`{field}` is {value!r}; it must be a table of {', '.join(kind._fields)}")
    for name in value:
        if name not in kind._fields:
            raise CaptionFormatError(f"`{field}` has {name!r}; {nearest(str(name), kind._fields)}")
    return kind(**{name: _words(f"{field}.{name}", words) for name, words in value.items()})


def _pairs(field: str, value: object, words: str) -> list[tuple[str, Any]]:
    pairs = list(value.items()) if isinstance(value, Mapping) else value
    try:
        return [(str(label), number + 0) for label, number in pairs]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise CaptionFormatError(f"`{field}` is {value!r}; it must be a table of {words}") from None


def _checked_years(value: object) -> YearLabels:
    pairs = _pairs("date", value, "labels and last years, such as {old = 2010, newest = 2024}")
    for label, year in pairs:
        if not isinstance(year, int):
            raise CaptionFormatError(f"`date` gives {label!r} the year {year!r}; it must be a whole number")
    years = [year for _, year in pairs]
    if len(set(years)) < len(years):
        raise CaptionFormatError(
            f"`date` has a year twice ({years}); each label needs a last year of its own"
        )
    return tuple(sorted(pairs, key=lambda pair: pair[1]))


def _checked_quality(value: object) -> QualityLabels:
    pairs = _pairs(
        "quality", value, 'labels and percentiles, such as {masterpiece = 90, "worst quality" = 0}'
    )
    for label, percentile in pairs:
        if not 0 <= percentile < 100:
            raise CaptionFormatError(
                f"`quality` gives {label!r} the percentile {percentile!r}; it must be from 0 up to 100"
            )
    percentiles = [percentile for _, percentile in pairs]
    if len(set(percentiles)) < len(percentiles):
        raise CaptionFormatError(
            f"`quality` has a percentile twice ({percentiles}); each label needs one of its own"
        )
    return tuple(sorted(pairs, key=lambda pair: -pair[1]))


def _checked_scale(value: object) -> str | QualityScale:
    if isinstance(value, Mapping):
        return QualityScale.from_dict(value)
    if isinstance(value, QualityScale) or value in ("published", "database"):
        return value
    raise CaptionFormatError(
        f"`quality_scale` is {value!r}; it can be published, database, or a table of counts by rating"
    )
