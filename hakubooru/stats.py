"""Statistics of a selection: ratings, years, qualities, sizes, buckets, and the most common tags."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields, replace
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.caption.captioner import Captioner
from hakubooru.caption.words import Judge
from hakubooru.engine.groups import years
from hakubooru.engine.posts import COUNTS
from hakubooru.engine.tag_counts import tag_counts
from hakubooru.engine.unknown import knowing
from hakubooru.errors import DestinationError, InputError
from hakubooru.files import replacing
from hakubooru.image.bucket import Buckets
from hakubooru.plots import draw
from hakubooru.quantity import quantity
from hakubooru.store.schema import EXTENSIONS, RATINGS

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from hakubooru.arrays import Ids, Values
    from hakubooru.caption import CaptionFormat
    from hakubooru.engine.cache import CachedStore

MEGAPIXELS: Final = (0.25, 0.5, 1, 2, 4, 8)
"""The upper ends of the size classes, in megapixels; the last class has all larger posts."""
SIZE_CLASSES: Final = (
    f"below {MEGAPIXELS[0]:g}",
    *(f"{low:g} to {high:g}" for low, high in pairwise(MEGAPIXELS)),
    f"from {MEGAPIXELS[-1]:g}",
)
"""The names of the size classes."""
SCORES: Final = (0, 5, 10, 20, 35, 50, 100, 200)
"""The lower ends of the classes of scores; a class before them has all lower scores."""
SCORE_CLASSES: Final = (
    f"below {SCORES[0]}",
    *(f"{low} to {high - 1}" for low, high in pairwise(SCORES)),
    f"from {SCORES[-1]}",
)
"""The names of the classes of scores."""
_PLOTS: Final = (".png", ".svg", ".pdf")
_BAR: Final = 30
"""The characters of a bar that stands for all posts."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Stats:
    """Counts of a selection's posts by name. Names without posts are left out, except for ratings."""

    posts: int
    """How many posts the selection has."""
    ratings: dict[str, int]
    """The number of posts of each rating."""
    years: dict[str, int]
    """The number of posts of each year; `none` counts posts without a date."""
    quality: dict[str, int]
    """The number of posts of each quality label of captions, best first; posts too new for a label are not counted."""
    file_types: dict[str, int]
    """The number of posts of each file extension."""
    megapixels: dict[str, int]
    """The number of posts of each size class, in millions of pixels."""
    buckets: dict[str, int]
    """The number of posts in each bucket of a training run (width x height), the most common first."""
    scores: dict[str, int]
    """The number of posts of each class of scores, the lowest first."""
    tags: dict[str, dict[str, int]]
    """The number of posts of the most common tags of each type, the most common first."""

    def sections(self) -> dict[str, dict[str, int]]:
        """The counts by section and name: ratings, years, …, and the tags of each type; empty ones are left out."""
        named = {
            field.name.replace("_", " "): getattr(self, field.name)
            for field in fields(self)
            if field.name not in ("posts", "tags")
        }
        named |= {f"{kind} tags": counts for kind, counts in self.tags.items()}
        return {title: counts for title, counts in named.items() if counts}

    def plot(self, other: Stats | None = None, *, labels: Sequence[str] = ("these", "those")) -> Figure:
        """Draw the counts as charts, alone or beside those of another selection as shares of the posts.

        A notebook shows the figure; `.savefig("out.png")` writes it.

        Args:
            other: the statistics of the other selection.
            labels: the names of the two.

        Raises:
            InputError: matplotlib is not installed; the extra `plot` has it.
        """
        some = [self] if other is None else [self, other]
        return draw([each.sections() for each in some], [each.posts for each in some], labels[: len(some)])

    def save_plot(self, path: str | os.PathLike[str]) -> None:
        """Draw the counts into a file: .png, .svg or .pdf, by the suffix.

        Raises:
            InputError: matplotlib is not installed, or the suffix is another.
            DestinationError: the file cannot be written.
        """
        path = Path(path)
        if path.suffix not in _PLOTS:
            raise InputError(f"{path}: a plot must end in {', '.join(_PLOTS[:-1])} or {_PLOTS[-1]}")
        figure = self.plot()
        try:
            with replacing(path) as beside:
                figure.savefig(beside, format=path.suffix[1:], dpi=120)
        except OSError as error:
            raise DestinationError(
                f"{path} cannot be written: {error.strerror}; choose another path"
            ) from error

    def __str__(self) -> str:
        lines = [quantity(self.posts, "post")]
        for title, counts in self.sections().items():
            lines += ["", title]
            width = max(map(len, counts))
            for name, count in counts.items():
                share = count / max(1, self.posts)
                bar = "#" * round(_BAR * share)
                lines.append(f"  {name:<{width}}  {count:>12,}  {share:>6.1%}  {bar}".rstrip())
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        columns = "".join(
            f'<table style="vertical-align:top;display:inline-block;margin-right:2em"><tr><th colspan="3">{escape(title)}</th></tr>'
            + "".join(
                f"<tr><td>{escape(name)}</td><td>{count:,}</td><td>{count / max(1, self.posts):.1%}</td></tr>"
                for name, count in counts.items()
            )
            + "</table>"
            for title, counts in self.sections().items()
        )
        return f"<div><b>{quantity(self.posts, 'post')}</b></div><div>{columns}</div>"


def stats(database: CachedStore, ids: Ids, *, caption: CaptionFormat, top: int = 10) -> Stats:
    """Count posts by rating, year, quality, size and bucket, and their most common tags.

    Args:
        database: the file.
        ids: the posts to count, (N,) int64.
        caption: the caption format whose quality labels are counted.
        top: how many tags of each type to list.
    """
    columns = database.cache.columns
    places = columns.indices(ids)

    def known(name: str, *by: str) -> Values:
        return columns[name][places][knowing(database, ids, *by or (name,))]

    extensions = known("extension", "file_ext")
    widths, heights = (known(name, "image_width", "image_height") for name in ("image_width", "image_height"))
    by_year = np.unique(years(database, ids), return_counts=True)
    common = tag_counts(database, ids).groupby("type", observed=False).head(top)
    return Stats(
        posts=len(ids),
        ratings=_by_rating(database, known("rating")),
        years={str(year) if year else "none": int(count) for year, count in zip(*by_year, strict=True)},
        quality=_quality(database, ids, caption),
        file_types=_named(np.minimum(extensions, len(EXTENSIONS)), (*EXTENSIONS, "other")),
        megapixels=_named(size_classes(widths, heights), SIZE_CLASSES),
        buckets=_buckets(widths, heights),
        scores=_named(score_classes(known("score")), SCORE_CLASSES),
        tags={
            kind: dict(zip(rows["name"], map(int, rows["posts"]), strict=True))
            for kind in database.about.site.tag_types
            if len(rows := common[common["type"] == kind])
        },
    )


def _by_rating(database: CachedStore, ratings: Values) -> dict[str, int]:
    site = database.about.site
    counts = np.bincount(ratings, minlength=len(RATINGS)).tolist()
    own = zip(site.ratings, site.rating_names, counts, strict=False)
    return {name: count for is_own, name, count in own if is_own or count}


def _named(values: Values, names: Sequence[str]) -> dict[str, int]:
    counts = np.bincount(values, minlength=len(names)).tolist()
    return {name: count for name, count in zip(names, counts, strict=False) if count}


def _quality(database: CachedStore, ids: Ids, caption: CaptionFormat) -> dict[str, int]:
    """Count posts by quality label; nothing if no post has the count that labels go by."""
    grades = caption.grades.get("quality")
    if grades is None or grades.by in database.about.lacking:
        return {}
    caption = caption.resolved(database)
    judge = Judge(caption.grades["quality"])
    if judge.months or grades.by not in COUNTS:
        # Months and joined columns are read as captions read them.
        words = replace(
            caption, order=("quality",), before="", after="", layout="text", max_tokens=None, tokenizer=None
        )
        counts = Counter(text for _, text in Captioner(database, words).captions(ids))
    else:
        columns = database.cache.columns
        ids = ids[knowing(database, ids, grades.by, "rating")]
        places = columns.indices(ids)
        judged = judge(ids, columns["rating"][places], columns[grades.by][places], None)
        totals = np.bincount(judged[judged >= 0], minlength=len(judge.words)).tolist()
        counts = Counter(dict(zip(judge.words, totals, strict=True)))
    return {word: counts[word] for word in reversed(judge.words) if word and counts[word]}


def size_classes(widths: Values, heights: Values) -> Values:
    """The place of each post's class in `SIZE_CLASSES`, (N,), by the sides of its image in pixels."""
    areas = widths.astype(np.int64) * heights
    return np.searchsorted(np.array(MEGAPIXELS) * 1e6, areas, side="right")


def score_classes(scores: Values) -> Values:
    """The place of each post's class in `SCORE_CLASSES`, (N,)."""
    return np.searchsorted(SCORES, scores, side="right")


def _buckets(widths: Values, heights: Values) -> dict[str, int]:
    buckets = Buckets()
    sizes = [f"{width}x{height}" for width, height in buckets.sizes().tolist()]
    has_size = (widths > 0) & (heights > 0)
    counts = _named(buckets.of(widths[has_size], heights[has_size]), sizes)
    return dict(sorted(counts.items(), key=lambda item: -item[1]))
