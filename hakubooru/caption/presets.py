"""Caption formats by name; `hakubooru caption --list` shows each with its source and an example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from hakubooru.caption.format import KEEP, CaptionFormat, TagLists
from hakubooru.caption.labels import RatingLabels
from hakubooru.errors import CaptionFormatError
from hakubooru.nearest import nearest
from hakubooru.settings import read, read_toml

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
}
PRESETS: Final = {name: preset.format for name, preset in _PRESETS.items()}
"""Caption formats by name."""
SOURCES: Final = {name: preset.source for name, preset in _PRESETS.items()}
"""The source that each preset follows."""


def caption_format(value: str | CaptionFormat | Mapping[str, Any]) -> CaptionFormat:
    """Return a caption format from a preset's name, a format, a table, or the path of a TOML file.

    A table's keys are the fields of `CaptionFormat`. `base`, the name of a preset, gives the fields that the table
    leaves out; `rating`, `only` and `without` then change only the entries that they name. A TOML file has the table
    as `[caption]`, or a preset's name as `caption`.

    Raises:
        CaptionFormatError: there is no such preset or field, or a field's value is not valid.
    """
    if isinstance(value, CaptionFormat):
        return value
    if isinstance(value, str):
        if value.endswith(".toml"):
            return _from_file(Path(value))
        if value not in PRESETS:
            raise CaptionFormatError(f"there is no caption format {value!r}; {nearest(value, PRESETS)}")
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
    if "base" in table:
        base = caption_format(table["base"])
        for key in ("rating", "only", "without"):
            if isinstance(fields.get(key), Mapping):
                fields[key] = {**getattr(base, key)._asdict(), **fields[key]}
        fields = vars(base) | fields
    elif "order" not in fields:
        raise CaptionFormatError("a caption format needs `base`, the name of a preset, or `order`, its parts")
    return read(CaptionFormat, fields, "caption", CaptionFormatError)
