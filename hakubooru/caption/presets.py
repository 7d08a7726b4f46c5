"""Caption formats by name; `hakubooru caption --list` shows each with its source and an example."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from hakubooru.caption.format import KEEP, CaptionFormat, Prefixes, RatingLabels, TagLists
from hakubooru.caption.scale import Grades
from hakubooru.errors import CaptionFormatError
from hakubooru.nearest import nearest
from hakubooru.settings import read, read_toml, toml
from hakubooru.store.sites import SITES

_SILENT: Final = "(medium) commentary bad translat request mismatch revision audio video"
_SILENT_META: Final = tuple(f"*{word}*" for word in _SILENT.split())
"""Patterns of meta tags that do not describe the picture."""

_DELTA_QUALITY: Final = (
    ("masterpiece", 95),
    ("best quality", 85),
    ("great quality", 75),
    ("good quality", 50),
    ("normal quality", 25),
    ("low quality", 10),
    ("worst quality", 0),
)
_WITH_TEXT: Final = ("general", "text", "quality", "date", "meta", "rating")
_WITH_ARTIST: Final = ("people", "character", "copyright", "artist", "keep")
_WITHOUT_ARTIST: Final = ("people", "character", "copyright", "keep")
_EXPLICIT_FIRST: Final = RatingLabels(explicit=("explicit", "nsfw"))

_EPSILON: Final = CaptionFormat(
    order=(*_WITH_ARTIST, "general", "quality", "date", "meta", "rating"),
    without=TagLists(meta=_SILENT_META, artist=("banned_artist",)),
)


class Preset(NamedTuple):
    """A caption format by name, and the source that it follows."""

    source: str
    """A sentence for `caption --list`: the model, where its format is published, and what differs."""
    format: CaptionFormat
    """The format."""
    unpublished: tuple[str, ...] = ()
    """The fields whose numbers nobody published. Their words are the model's, their numbers only an example: a table that
    changes the preset must give them."""


_PRESETS: Final = {
    "kohaku-epsilon": Preset(
        "Kohaku-XL Epsilon: the prompt format and labels of huggingface.co/KBlueLeaf/Kohaku-XL-Epsilon",
        _EPSILON,
    ),
    "kohaku-delta": Preset(
        "Kohaku-XL Delta: huggingface.co/KBlueLeaf/Kohaku-XL-Delta; labels before the general tags, "
        "percentiles 95, 85, 75, 50, 25, 10",
        replace(
            _EPSILON,
            order=(*_WITH_ARTIST, "quality", "rating", "date", "general", "meta"),
            quality=_DELTA_QUALITY,
        ),
    ),
    "kohaku-gamma": Preset(
        "Kohaku-XL Gamma: huggingface.co/KBlueLeaf/Kohaku-XL-gamma, whose prompts are Animagine XL 3.0's; "
        "it names no percentiles, these are Delta's",
        replace(
            _EPSILON,
            order=(*_WITHOUT_ARTIST, "artist", "general", "meta", "date", "rating", "quality"),
            quality=_DELTA_QUALITY,
            rating=_EXPLICIT_FIRST,
        ),
    ),
    "hakubooru": Preset(
        "what KohakuCaptioner() of HakuBooru 0.0.3 (pypi.org/project/hakubooru/0.0.3) writes, byte for byte",
        replace(
            _EPSILON,
            order=(*_WITH_ARTIST, "general", "meta", "date", "rating", "quality"),
            keep_separator=", |||",
            without=TagLists(meta=_SILENT_META, artist=("*banned*",)),
            rating=_EXPLICIT_FIRST,
            undated="early",
            repeats=True,
            quality_last_id=7_100_000,
        ),
    ),
    "animagine-xl-3": Preset(
        "Animagine XL 3.x: huggingface.co/cagliostrolab/animagine-xl-3.1; quality by score, and without "
        "its aesthetic labels, which a model gave to the pictures",
        replace(
            _EPSILON,
            order=(*_WITHOUT_ARTIST, "general", "artist", "meta", "rating", "date", "quality"),
            date=(("oldest", 2010), ("early", 2014), ("mid", 2017), ("recent", 2020), ("newest", 2024)),
            quality=_DELTA_QUALITY,
            quality_by="score",
            rating=_EXPLICIT_FIRST,
        ),
    ),
    "danbooru": Preset(
        "Danbooru's own tag_string: every tag, by name, underscores and all",
        CaptionFormat(order=("tags",), separator=" ", underscores="keep", tag_order="alphabetical"),
    ),
    "webui": Preset(
        "the caption of kohaku-epsilon as a prompt for the sd-webui: one list, parentheses escaped",
        replace(_EPSILON, order=tuple(part for part in _EPSILON.order if part != KEEP), escape=True),
    ),
    "json": Preset(
        "the parts as a record, in the order of huggingface.co/KBlueLeaf/DanTagGen-delta-rev2, "
        "for training prompt models",
        replace(
            _EPSILON,
            order=(
                "quality",
                "rating",
                "date",
                "artist",
                "character",
                "copyright",
                "people",
                "general",
                "meta",
            ),
            layout="json",
        ),
    ),
    "illustrious": Preset(
        "Illustrious 0.1 to 2.0: arxiv.org/abs/2409.19946; percentiles of the score within the rating and a moving window of "
        "time, whose width the paper does not say: 12 months here. The paper names no part for series. It does not spell out "
        "the words of the ratings; these are Danbooru's",
        CaptionFormat(
            order=("people", "character", "rating", "general", "artist", "quality", "date"),
            rating=RatingLabels(("general",), ("sensitive",), ("questionable",), ("explicit",)),
            date=(("oldest", 2017), ("old", 2019), ("modern", 2020), ("recent", 2022), ("newest", 2023)),
            quality=(
                *(("masterpiece", 92), ("best quality", 82), ("good quality", 60), ("average quality", 20)),
                *(("bad quality", 8), ("worst quality", 0)),
            ),
            quality_by="score",
            quality_scale="database",
            quality_months=12,
            without=TagLists(artist=("banned_artist",)),
        ),
    ),
    "noobai": Preset(
        "NoobAI-XL 1.x: huggingface.co/Laxhar/noobai-XL-1.0; its special tags are read as quality, date and rating. Its ranks "
        "fade with age, at a rate that nobody published: set quality_half_life, in years, or ranks do not fade. `aesthetic` "
        "in the order adds its words by waifu-scorer, from a joined column of that name",
        CaptionFormat(
            order=(
                *("people", "character", "copyright", "artist", "quality", "date", "rating"),
                *("species", "general", "meta"),
            ),
            without=TagLists(meta=_SILENT_META, artist=("banned_artist",)),
            quality=(
                *(("masterpiece", 95), ("best quality", 85), ("good quality", 60), ("normal quality", 30)),
                ("worst quality", 0),
            ),
            quality_scale="database",
            aesthetic=Grades(
                labels=(("very awa", 95), ("", 5), ("worst aesthetic", 0)),
                by="waifu_scorer",
                scale="database",
                within="all",
            ),
        ),
    ),
    "animagine-xl-4": Preset(
        "Animagine XL 4.0: huggingface.co/cagliostrolab/animagine-xl-4.0. Nobody published the percentiles of its quality "
        "words and of its score words; they must be given, those shown are an example",
        CaptionFormat(
            order=(
                *("people", "character", "copyright", "rating", "general", "artist", "meta", "year"),
                *("quality", "aesthetic"),
            ),
            without=TagLists(meta=_SILENT_META, artist=("banned_artist",)),
            rating=RatingLabels(explicit=("explicit",)),
            quality=(
                *(("masterpiece", 95), ("best quality", 85), ("", 25)),
                *(("low quality", 10), ("worst quality", 0)),
            ),
            quality_scale="database",
            aesthetic=Grades(
                labels=(
                    *(("high score", 95), ("great score", 85), ("good score", 60)),
                    *(("average score", 25), ("bad score", 10), ("low score", 0)),
                ),
                by="score",
                scale="database",
            ),
        ),
        unpublished=("quality", "aesthetic"),
    ),
    "anima": Preset(
        "Anima: huggingface.co/circlestone-labs/Anima; two scales of quality, people's and a model's, whose score is the "
        "joined column `aesthetic`. Nobody published the percentiles of either; they must be given, those shown are an "
        "example. Its words for the date have no published years, and are left out",
        CaptionFormat(
            order=(
                *("quality", "aesthetic", "meta", "year", "rating"),
                *("people", "character", "copyright", "artist", "general"),
            ),
            prefix=Prefixes(artist="@"),
            without=TagLists(meta=_SILENT_META, artist=("banned_artist",)),
            rating=RatingLabels(explicit=("explicit",)),
            quality=(
                *(("masterpiece", 95), ("best quality", 85), ("good quality", 60)),
                *(("normal quality", 30), ("low quality", 10), ("worst quality", 0)),
            ),
            quality_by="score",
            quality_scale="database",
            aesthetic=Grades(
                labels=tuple((f"score_{n}", 10.0 * n if n > 1 else 0.0) for n in range(9, 0, -1)),
                by="aesthetic",
                scale="database",
                within="all",
            ),
        ),
        unpublished=("quality", "aesthetic"),
    ),
    "kohaku-zeta": Preset(
        "Kohaku XL Zeta: huggingface.co/KBlueLeaf/Kohaku-XL-Zeta; as Epsilon, with a sentence beside the general tags from "
        "the joined column `text`. Training chose between them: text_only and tags_only of a run, and drop_tags = 0.2",
        replace(_EPSILON, order=(*_WITH_ARTIST, *_WITH_TEXT)),
    ),
    "kohaku-hdm": Preset(
        "Kohaku HDM: github.com/KohakuBlueleaf/HDM; `$$` between tags and `%%` between the groups that its trainer shuffles "
        'and drops, after `|||`; the labels are Epsilon\'s. To train with it, a run has in [captions] separator = "$$", '
        'group_separator = "%%", written_separator = ", ", and as HDM\'s own: shuffle_groups = true, drop_tags = 0.25, '
        "drop_groups = 0.3",
        replace(_EPSILON, separator=" $$ ", group_separator=" %% "),
    ),
}
PRESETS: Final = {name: preset.format for name, preset in _PRESETS.items()}
"""Caption formats by name."""
SOURCES: Final = {name: preset.source for name, preset in _PRESETS.items()}
"""The source that each preset follows."""


def types_without_part() -> list[str]:
    """Say for each site what becomes of its types of tags that the presets have no part for; presets alike share a line."""
    lines = []
    for site in SITES.values():
        presets: dict[str, list[str]] = {}
        for name, preset in PRESETS.items():
            presets.setdefault(preset.without_part(site), []).append(name)
        lines += [f"{site.title} in {_listed(names)}: {note}" for note, names in presets.items() if note]
    return lines


def _listed(names: Collection[str]) -> str:
    """List presets, or if they are most of them, the others."""
    others = [name for name in PRESETS if name not in names]
    most = f"all but {', '.join(others)}" if others else "all"
    return most if len(others) < len(names) else ", ".join(names)


def caption_format(value: str | os.PathLike[str] | CaptionFormat | Mapping[str, Any]) -> CaptionFormat:
    """Return a caption format from a preset's name, a format, a table, or the path of a TOML file.

    A table's keys are the fields of `CaptionFormat`. `base`, the name of a preset, gives the fields that the table
    leaves out; `rating`, `only` and `without` then change only the entries that they name. A TOML file has the table
    as `[caption]`, or a preset's name as `caption`.

    Raises:
        CaptionFormatError: there is no such preset or field, or a field's value is not valid.
    """
    if isinstance(value, CaptionFormat):
        return value
    if isinstance(value, str | os.PathLike):
        value = os.fspath(value)
        if value.endswith(".toml"):
            return _from_file(Path(value))
        if value not in PRESETS:
            raise CaptionFormatError(f"there is no caption format {value!r}; {nearest(value, PRESETS)}")
        _check_numbers(value, PRESETS[value], ())
        return PRESETS[value]
    if not isinstance(value, Mapping):
        raise CaptionFormatError(
            f"{value!r} is not a caption format; give a preset's name or a table of fields"
        )
    return _from_table(value)


def _from_file(path: Path) -> CaptionFormat:
    table = read_toml(path, CaptionFormatError, "a preset, or a TOML file")
    if "caption" not in table:
        raise CaptionFormatError(
            f'{path} has no [caption]; add a table [caption], or a preset\'s name, such as caption = "kohaku-epsilon"'
        )
    try:
        return caption_format(table["caption"])
    except CaptionFormatError as error:
        raise CaptionFormatError(f"{path}: {error}") from error


def _from_table(table: Mapping[str, Any]) -> CaptionFormat:
    fields = {key: value for key, value in table.items() if key != "base"}
    if "base" not in table:
        if "order" not in fields:
            raise CaptionFormatError(
                "a caption format needs `base`, the name of a preset, or `order`, its parts"
            )
        return read(CaptionFormat, fields, "caption", CaptionFormatError)
    name = table["base"]
    base = PRESETS[name] if isinstance(name, str) and name in PRESETS else caption_format(name)
    for key in ("rating", "only", "without", "prefix"):
        if isinstance(fields.get(key), Mapping):
            fields[key] = {**getattr(base, key)._asdict(), **fields[key]}
    keys = set(fields)
    if isinstance(aesthetic := fields.get("aesthetic"), Mapping):
        if "labels" not in aesthetic:
            keys.remove("aesthetic")
        fields["aesthetic"] = (vars(base.aesthetic) if base.aesthetic else {}) | dict(aesthetic)
    of_base = {field.name: getattr(base, field.name) for field in dataclasses.fields(base)}
    shape = read(CaptionFormat, of_base | fields, "caption", CaptionFormatError)
    _check_numbers(name, shape, keys)
    return shape


def _check_numbers(name: object, format: CaptionFormat, keys: Collection[str]) -> None:
    """Check that the numbers of a preset that nobody published are given, where the format needs them."""
    preset = _PRESETS.get(name) if isinstance(name, str) else None
    missing = [
        field
        for field in (preset.unpublished if preset else ())
        if field in format.order and field not in keys
    ]
    if missing:
        grades = format.grades
        raise CaptionFormatError(
            f"nobody published the percentiles of {name}'s words; give them in a TOML file: [caption] with "
            f'base = "{name}", {" and ".join(_labels_to_fill(field, grades[field]) for field in missing)}, each the '
            f"percentile that a post must exceed, or write an order without {' and '.join(map(toml, missing))}"
        )


def _labels_to_fill(field: str, grades: Grades) -> str:
    """Return a field's key and table of labels, with an ellipsis in the place of each number."""
    key = field if field == "quality" else f"{field}.labels"
    return f"{key} = {{{', '.join(f'{toml(label)} = …' for label, _ in grades.labels)}}}"
