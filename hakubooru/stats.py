"""What a selection is made of: ratings, years, qualities, sizes, shapes, and its commonest tags."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.image.bucket import Buckets
from hakubooru.select.columns import EXTENSIONS
from hakubooru.select.scan import years
from hakubooru.select.tag_counts import tag_counts
from hakubooru.store.schema import RATINGS, TAG_TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakubooru.arrays import Ids, Values
    from hakubooru.caption import CaptionFormat
    from hakubooru.select.memory import CachedStore

MEGAPIXELS: Final = (0.25, 0.5, 1, 2, 4, 8)
"""Where the classes of sizes end: each holds the posts below its number, and the last those from 8 up."""


@dataclass(frozen=True, kw_only=True)
class Stats:
    """How many posts of a selection are what; names without posts are left out, except of ratings."""

    posts: int
    ratings: dict[str, int]
    years: dict[str, int]
    """`none` for posts without a date."""
    quality: dict[str, int]
    """By the labels that captions write, from the best down; posts too young to be judged have none."""
    file_types: dict[str, int]
    megapixels: dict[str, int]
    """By area, in millions of pixels."""
    buckets: dict[str, int]
    """By the bucket of a training run (width x height), the commonest first."""
    tags: dict[str, dict[str, int]]
    """By type, the commonest first."""


def stats(database: CachedStore, ids: Ids, *, caption: CaptionFormat, top: int = 10) -> Stats:
    """Count a selection; the columns of its posts are read as for a filter, and the relations for its tags.

    Args:
        database: the file.
        ids: of the posts, (N,) int64.
        caption: the format whose quality labels are counted.
        top: how many tags of each type.
    """
    columns = database.memory.columns
    places = np.searchsorted(columns.ids, ids)
    ratings, extensions = columns["rating"][places], columns["extension"][places]
    widths, heights = columns["image_width"][places], columns["image_height"][places]
    made = np.unique(years(database, ids), return_counts=True)
    common = tag_counts(database, ids).groupby("type", observed=False).head(top)
    return Stats(
        posts=len(ids),
        ratings=_named(ratings, RATINGS, empty=True),
        years={str(year) if year else "none": int(count) for year, count in zip(*made, strict=True)},
        quality=_quality(ids, ratings, columns[caption.quality_by][places], caption.resolved(database)),
        file_types=_named(np.minimum(extensions, len(EXTENSIONS)), (*EXTENSIONS, "other")),
        megapixels=_megapixels(widths, heights),
        buckets=_buckets(widths, heights),
        tags={
            kind: dict(zip(rows["name"], map(int, rows["posts"]), strict=True))
            for kind in TAG_TYPES
            if len(rows := common[common["type"] == kind])
        },
    )


def _named(values: Values, names: Sequence[str], *, empty: bool = False) -> dict[str, int]:
    counts = np.bincount(values, minlength=len(names)).tolist()
    return {name: count for name, count in zip(names, counts, strict=False) if count or empty}


def _quality(ids: Ids, ratings: Values, counts: Values, caption: CaptionFormat) -> dict[str, int]:
    if "quality" not in caption.order:
        return {}
    labels = [label for label, _ in reversed(caption.quality)]
    if all(percentile for _, percentile in caption.quality):
        labels.insert(0, "")
    is_judged = ids <= (caption.quality_last_id or ids)
    found = np.zeros(len(labels), np.int64)
    for rating, limits in enumerate(caption.thresholds()):
        # A label stands for the counts above its threshold.
        ranks = np.searchsorted(limits, counts[is_judged & (ratings == rating)], side="left")
        found += np.bincount(ranks, minlength=len(labels))
    named = zip(reversed(labels), found[::-1].tolist(), strict=True)
    return {label: count for label, count in named if label and count}


def _megapixels(widths: Values, heights: Values) -> dict[str, int]:
    areas = widths.astype(np.int64) * heights
    places = np.searchsorted(np.array(MEGAPIXELS) * 1e6, areas, side="right")
    ends = [f"{end:g}" for end in MEGAPIXELS]
    names = [f"below {ends[0]}", *map(" to ".join, pairwise(ends)), f"from {ends[-1]}"]
    return _named(places, names)


def _buckets(widths: Values, heights: Values) -> dict[str, int]:
    buckets = Buckets()
    sizes = [f"{width}x{height}" for width, height in buckets.sizes().tolist()]
    drawn = (widths > 0) & (heights > 0)
    counts = _named(buckets.of(widths[drawn], heights[drawn]), sizes)
    return dict(sorted(counts.items(), key=lambda item: -item[1]))
