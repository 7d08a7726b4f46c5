"""A caption format says which parts of a post a caption has, in which order, and how each is written."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, Self, TypeAlias

from hakubooru.caption.measuring import Within  # noqa: TC001 - settings are read by their hints
from hakubooru.caption.scale import Grades, Labels, Scale, check_column, parse_labels
from hakubooru.engine.posts import COUNTS
from hakubooru.errors import CaptionFormatError, InputError
from hakubooru.nearest import nearest
from hakubooru.settings import Bounds, Parse, check, plain, toml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hakubooru.store.sites import Site
    from hakubooru.store.store import Store

TAG_PARTS: Final = ("people", "character", "copyright", "artist", "general", "meta", "species", "lore")
"""Parts that hold tags; only e621 has species and lore."""
LABEL_PARTS: Final = ("quality", "aesthetic", "date", "year", "rating", "text")
"""Parts that hold labels, or free text of a joined column; they are no tags."""
_AS_GENERAL: Final = ("species", "unknown")
"""Types of tags that are written with the general ones where they have no part."""
_NEVER_WRITTEN: Final = ("contributor", "invalid")
"""Types of e621 that have no part in any format."""
KEEP: Final = "keep"
"""The entry of an order that stands for the keep separator."""
ALL_TAGS: Final = "tags"
"""The entry of an order that stands for every tag, of any part, in one list."""

Underscores: TypeAlias = Literal["short", "kaomoji", "keep"]
"""The names that keep underscores: those of three characters or fewer, kaomoji only, or all."""


YearLabels: TypeAlias = tuple[tuple[str, int], ...]
"""Labels, each with the last upload year that it stands for, ascending."""


class RatingLabels(NamedTuple):
    """The labels of each rating: one word, several, or none."""

    general: tuple[str, ...] = ("safe",)
    sensitive: tuple[str, ...] = ("sensitive",)
    questionable: tuple[str, ...] = ("nsfw",)
    explicit: tuple[str, ...] = ("nsfw", "explicit")


class TagLists(NamedTuple):
    """Lists of tags for each part, and for `any` part: names, or patterns in which `*` stands for any characters."""

    people: tuple[str, ...] = ()
    character: tuple[str, ...] = ()
    copyright: tuple[str, ...] = ()
    artist: tuple[str, ...] = ()
    general: tuple[str, ...] = ()
    meta: tuple[str, ...] = ()
    species: tuple[str, ...] = ()
    lore: tuple[str, ...] = ()
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


def _years(value: Any, place: str) -> YearLabels:
    pairs = parse_labels(value, place, "labels and last years, such as {old = 2010, newest = 2024}")
    for label, year in pairs:
        if not isinstance(year, int):
            raise InputError(f"{place}.{label} = {toml(year)}; write a whole number, the last year")
    return tuple(sorted(pairs, key=lambda pair: pair[1]))


class Prefixes(NamedTuple):
    """What is written before each tag of a part, such as `@` before artists."""

    people: str = ""
    character: str = ""
    copyright: str = ""
    artist: str = ""
    general: str = ""
    meta: str = ""
    species: str = ""
    lore: str = ""


_PREFIXES: Final = {"quality": "caption.quality_", "aesthetic": "caption.aesthetic."}
"""How the names of the fields begin by which a part judges posts."""
LATER_FIELDS: Final = (
    *("group_separator", "prefix", "year", "quality_within", "quality_months", "quality_half_life"),
    *("aesthetic", "text", "text_replaces"),
)
"""Fields that tables leave out at their defaults, so that exports and locks from before them still compare equal."""
_NO_TAGS: Final = TagLists()
_NO_PREFIXES: Final = Prefixes()
_KOHAKU_RATINGS: Final = RatingLabels()


@dataclass(frozen=True, kw_only=True)
class CaptionFormat:
    """The parts of a caption, their order, and how each is written.

    Change a format with `base` in a table, `{"base": "kohaku-epsilon", "max_tags": 60}`, or with `dataclasses.replace`. The
    page Caption formats of the reference says what each field means.

    A tag belongs to the part of its type. Tags that count people (`1girl`, `2boys`, `male_focus`, …) are the part
    `people`; if the order has no `people`, they are general tags, and so are those of `species`. Other parts that are not
    in the order are left out.

    Raises:
        CaptionFormatError: a field has an invalid value; the message names the field.
    """

    order: Annotated[tuple[str, ...], Parse(_order)]
    """The parts from first to last: people, character, copyright, artist, general, meta, species, lore, and the labels quality,
    aesthetic, date, year, rating and text. `keep` stands for the keep separator. `tags`, in place of all tag parts, puts all
    tags in one list."""
    separator: str = ", "
    """The text between two tags."""
    keep_separator: str = " ||| "
    """The text in the place of `keep`. sd-scripts cuts a caption at its `--keep_tokens_separator`, cuts each side at
    commas, and trims. With blanks instead of a comma around `|||`, this leaves clean text."""
    group_separator: str = ""
    """The text between two parts after the keep separator, or between all parts if the order has no `keep`; "" for
    `separator`."""
    layout: Literal["text", "json"] = "text"
    """`text` writes one line of text, `json` a JSON object of the parts."""
    before: str = ""
    """Free text that every caption begins with, such as a trigger word; the separator after it is added."""
    after: str = ""
    """Free text that every caption ends with; the separator before it is added."""
    underscores: Underscores = "short"
    """The underscores that stay: in names of three characters or fewer (`short`), in kaomoji (`kaomoji`), all (`keep`)."""
    escape: bool = False
    r"""Write `\(` for `(`, as prompts of the sd-webui need it; not for training."""
    prefix: Prefixes = _NO_PREFIXES
    """What is written before each tag of a part, such as {artist = "@"}."""
    tag_order: Literal["stored", "alphabetical", "popularity"] = "stored"
    """The order of tags within a part: as the file stores them, by name, or the most popular first."""
    repeats: bool = False
    """Whether a tag that a file gives a post twice is written twice, as HakuBooru does."""
    only: TagLists = _NO_TAGS
    """The tags that may be written, by part: names, or patterns with `*`. An empty list allows all tags."""
    without: TagLists = _NO_TAGS
    """The tags that are left out, by part: names, or patterns with `*`. With a `base`, the list of a part takes the place of the
    base's list for it; `any` is for all parts, and empty in every preset."""
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
    year: str = "year "
    """The text before the upload year, in the part `year`; a post whose date cannot be read has none."""
    quality: Labels = (
        ("masterpiece", 90),
        ("best quality", 75),
        ("great quality", 60),
        ("good quality", 45),
        ("normal quality", 30),
        ("low quality", 10),
        ("worst quality", 0),
    )
    """Labels, each with the percentile that a post must exceed; the label at 0 is for all other posts. With the scale
    `values`, each has the number itself."""
    quality_by: str = "fav_count"
    """The number that quality is judged by: `fav_count`, `score`, or a joined column. A post that has none has no label."""
    quality_scale: Scale = "published"
    """Where the numbers at the percentiles come from: `published` for Danbooru's 2023 set, measured in the `database`, or
    `values`: `quality` names the numbers themselves."""
    quality_within: Within = "rating"
    """The posts that a post is compared with: those of its `rating`, or `all`."""
    quality_months: Annotated[int | None, Bounds(1)] = None
    """The width in months of a window of time around a post: it is compared with the posts uploaded in it. Needs the scale
    `database`."""
    quality_half_life: Annotated[float | None, Bounds(0.01)] = None
    """The years in which a post's rank fades to half; the percentiles are those of the faded ranks of all posts. Needs the
    scale `database`."""
    quality_last_id: Annotated[int | None, Bounds(1)] = None
    """Posts above this id are too young to be judged; they have no quality label."""
    aesthetic: Grades | None = None
    """How the part `aesthetic` judges posts, a second word of quality: `labels`, and by, scale, within, months, half_life and
    last_id, which mean what the fields of quality mean."""
    text: str = "text"
    """The joined column whose text is the part `text`; line ends become blanks, and a post may have none."""
    text_replaces: bool = False
    """Whether a post that has a text is written without its general tags."""
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
        if KEEP in self.order and not self.keep_separator:
            raise CaptionFormatError(
                f'caption.keep_separator is empty, and would join two tags; take "{KEEP}" out of caption.order, which has it'
            )
        if "aesthetic" in self.order and self.aesthetic is None:
            raise CaptionFormatError(
                'caption.order has "aesthetic", but nothing says how posts are judged; write [caption.aesthetic] '
                "with `labels` and `by`"
            )
        for part, grades in self.grades.items():
            grades.check(_PREFIXES[part])
            if grades.scale != "database":
                grades.thresholds()
        if (self.max_tokens is None) != (self.tokenizer is None):
            raise CaptionFormatError(
                "caption.max_tokens and caption.tokenizer go together: give both, or neither "
                "(tokenizer = the `tokenizer` folder of an SDXL model)"
            )
        if self.layout == "json" and self.max_tokens is not None:
            raise CaptionFormatError(
                'caption.max_tokens counts the tokens of text: leave it out, or set layout = "text"'
            )

    @cached_property
    def grades(self) -> dict[str, Grades]:
        """How each part of the order judges posts, for the parts that do: `quality` and `aesthetic`."""
        parts = {"quality": self._quality(), "aesthetic": self.aesthetic}
        return {part: grades for part, grades in parts.items() if grades and part in self.order}

    def _quality(self) -> Grades:
        return Grades(
            labels=self.quality, by=self.quality_by, scale=self.quality_scale, within=self.quality_within,
            months=self.quality_months, half_life=self.quality_half_life, last_id=self.quality_last_id,
        )  # fmt: skip

    def thresholds(self) -> tuple[tuple[float, ...], ...]:
        """Return the counts that a post must exceed for each quality label, ascending, (ratings, labels - 1).

        The scale must not be `database`; `resolved` replaces it. With months, there is a row for each rating and month.

        Raises:
            CaptionFormatError: the scale lacks a percentile of `quality`.
        """
        return self._quality().thresholds()

    def resolved(self, database: Store) -> Self:
        """Return this format for the posts of a database, as locks keep it.

        Measured scales take the place of `database`, and of the published one if that was measured on another site. A
        rating that the site calls safe has the labels of general.

        Raises:
            CaptionFormatError: a column that the format names is not joined, or no post of the database has the count that
                quality is judged by.
        """
        if "text" in self.order:
            check_column(database, "caption.text", self.text, number=False)
        scales = {part: one.measured(database, _PREFIXES[part]) for part, one in self.grades.items()}
        own = {name: getattr(self.rating, label) for name, label in database.about.site.rating_labels.items()}
        resolved = dataclasses.replace(self, rating=self.rating._replace(**own)) if own else self
        return resolved.with_scales(scales)

    def without_part(self, site: Site) -> str:
        """Say what becomes of the types of tags that a site has beside Danbooru's, if they have no part in this format.

        Returns "" if all have one, or the site has no such types.
        """
        types = [] if ALL_TAGS in self.order else [kind for kind in site.tag_types if kind not in self.order]
        general = [kind for kind in types if kind in _AS_GENERAL]
        silent = [kind for kind in types if kind == "lore"]
        silent += [kind for kind in site.tag_types if kind in _NEVER_WRITTEN]
        pieces = [
            f"tags of the type {' or '.join(general)} are written with the general ones" if general else "",
            f"tags of the type {' or '.join(silent)} are left out" if silent else "",
        ]
        return ", ".join(filter(None, pieces))

    def columns(self) -> dict[str, str]:
        """The columns that captions are made of beside rating, date and tags, by part: what posts are judged by, and the text."""
        text = {"text": self.text} if "text" in self.order else {}
        return {part: grades.by for part, grades in self.grades.items()} | text

    def joined(self) -> set[str]:
        """The columns of joined files that captions are made of."""
        return set(self.columns().values()).difference(COUNTS)

    def with_scales(self, scales: Mapping[str, Scale]) -> Self:
        """Return this format with other scales for the parts that judge posts."""
        changed: dict[str, Any] = {}
        if scales.get("quality", self.quality_scale) is not self.quality_scale:
            changed["quality_scale"] = scales["quality"]
        if self.aesthetic and scales.get("aesthetic", self.aesthetic.scale) is not self.aesthetic.scale:
            changed["aesthetic"] = dataclasses.replace(self.aesthetic, scale=scales["aesthetic"])
        return dataclasses.replace(self, **changed) if changed else self

    def to_dict(self) -> dict[str, Any]:
        """Return the format as a table that TOML can hold; `caption_format` reads it back."""
        table = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None or (field.name in LATER_FIELDS and value == field.default):
                continue
            table[field.name] = plain(value)
        for lists in (table["only"], table["without"]):
            for part in ("species", "lore"):  # as tables were before other sites
                lists.update({part: words} if (words := lists.pop(part)) else {})
        for name in ("date", "quality"):
            table[name] = dict(getattr(self, name))
        if self.aesthetic is not None:
            table["aesthetic"]["labels"] = dict(self.aesthetic.labels)
        return table
