"""What posts have in common: counts by rating, year, quality, shape and so on, each with the term that narrows to it.

The count of an entry is the number of posts that the narrowed search finds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.arrays import id_text
from hakubooru.browse.answers import term_of
from hakubooru.caption import caption_format
from hakubooru.engine.groups import years
from hakubooru.engine.tag_counts import count_tags
from hakubooru.engine.unknown import knowing
from hakubooru.image.bucket import Buckets
from hakubooru.select.sampling import sample
from hakubooru.stats import MEGAPIXELS, SCORE_CLASSES, SCORES, SIZE_CLASSES, score_classes, size_classes
from hakubooru.store.schema import EXTENSIONS, RATINGS, TAG_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hakubooru.arrays import Ids, Values
    from hakubooru.caption import CaptionFormat
    from hakubooru.engine.cache import CachedStore
    from hakubooru.engine.columns import Columns

_YEARS: Final = 8
"""How many years are shown: those with most posts."""
_TOP: Final = {"character": 8, "copyright": 6, "artist": 6, "species": 6, "general": 14, "meta": 4, "lore": 4}
"""How many tags of each type are shown, in the order in which they are."""
_QUALITIES: Final = "kohaku-epsilon"
"""The caption format whose quality labels are counted."""


@dataclass(frozen=True)
class Entry:
    """A value that some of the posts have."""

    words: str
    term: str
    """The term of a search for these posts."""
    posts: int


@dataclass(frozen=True)
class Facet:
    """A property of posts with its values; values without posts are left out."""

    title: str
    entries: tuple[Entry, ...]
    kind: str = ""
    """The type of tags; "" for other properties."""

    @property
    def largest(self) -> int:
        """The posts of the most common value, at least 1."""
        return max([1, *(entry.posts for entry in self.entries)])


def labelled(database: CachedStore) -> CaptionFormat | None:
    """The caption format whose quality labels are counted; None if no post has favourites.

    For another site than Danbooru its scale is measured with a scan of the posts.
    """
    return None if "fav_count" in database.about.lacking else caption_format(_QUALITIES).resolved(database)


def facets(database: CachedStore, ids: Ids, quality: CaptionFormat | None) -> list[Facet]:
    """Count posts by rating, year, quality, aspect bucket and file type; posts that do not say are left out.

    Args:
        database: the file.
        ids: posts of the file, (N,) int64, ascending.
        quality: what `labelled` returns for the file.
    """
    names = database.about.site.rating_names
    known = _Known(database, ids)
    (ratings,) = known("rating")
    (extensions,) = known("extension")
    both = dict(zip(("ratings", "favourites"), known("rating", "fav_count"), strict=True))
    by_posts = sorted(_years(database, ids), key=lambda year: (year.posts, year.words), reverse=True)
    return [
        _facet("Rating", names, [f"rating:{name}" for name in names], np.bincount(ratings, minlength=4)),
        Facet("Year", tuple(sorted(by_posts[:_YEARS], key=lambda year: year.words, reverse=True))),
        *([_qualities(**both, quality=quality)] if quality else []),
        _shapes(*(values.astype(np.int64) for values in known("image_width", "image_height"))),
        _facet(
            "File type",
            EXTENSIONS,
            [f"filetype:{name}" for name in EXTENSIONS],
            np.bincount(extensions, minlength=len(EXTENSIONS)),
        ),
    ]


def charts(database: CachedStore, ids: Ids) -> list[Facet]:
    """Count posts by year, score and size, in the order of these."""
    known = _Known(database, ids)
    return [
        Facet("Year", tuple(_years(database, ids))),
        _facet(
            "Score",
            SCORE_CLASSES,
            ["score:<0", *(f"score:{low}...{high}" for low, high in pairwise(SCORES)), f"score:{SCORES[-1]}.."],
            np.bincount(score_classes(*known("score"))),
        ),
        _facet(
            "Megapixels",
            SIZE_CLASSES,
            ["mpixels:<0.25", *(f"mpixels:{low:g}...{high:g}" for low, high in pairwise(MEGAPIXELS)), "mpixels:8.."],
            np.bincount(size_classes(*known("image_width", "image_height"))),
        ),
    ]  # fmt: skip


def _years(database: CachedStore, ids: Ids) -> list[Entry]:
    """How many posts each year has, the oldest first; posts without a date are left out."""
    values, posts = np.unique(years(database, ids), return_counts=True)
    by_year = zip(values.tolist(), posts.tolist(), strict=True)
    return [Entry(str(year), f"date:{year}", count) for year, count in by_year if year]


def common_tags(
    database: CachedStore, ids: Ids, kinds: Values, *, most: int = 20_000
) -> tuple[list[Facet], bool]:
    """The most common tags of each type, and whether their counts are exact or estimated from a sample.

    Args:
        database: the file.
        ids: posts of the file, (N,) int64.
        kinds: the type of each tag, as `tag_kinds` reads it.
        most: without a sidecar, the tags of more posts than this are estimated from a sample of as many.
    """
    is_exact = len(ids) <= most or database.cache.columns.know_tags
    some = ids if is_exact else sample(np.sort(ids), most, 0)
    counts = count_tags(database, some)
    scale = 1 if is_exact else len(ids) / len(some)
    shown = []
    for kind, top in _TOP.items():
        of_kind = np.flatnonzero((kinds[: len(counts)] == TAG_TYPES.index(kind)) & (counts[: len(kinds)] > 0))
        best = of_kind[np.argsort(-counts[of_kind], kind="stable")[:top]]
        names = dict(
            database.rows(
                "SELECT id, name FROM tag WHERE id IN (SELECT value FROM json_each(?))", [id_text(best)]
            )
        )
        entries = [
            Entry(names[tag], term_of(names[tag]), round(int(counts[tag]) * scale)) for tag in best.tolist()
        ]
        shown.append(Facet(kind, tuple(entries), kind))
    return [facet for facet in shown if facet.entries], is_exact


class _Known:
    """The values that some posts have."""

    def __init__(self, database: CachedStore, ids: Ids) -> None:
        self._database = database
        self._ids = ids
        self._places = _places(database.cache.columns, ids)

    def __call__(self, *names: str) -> list[Values]:
        """Columns of the posts that have all of them, (M,) each."""
        has_all = knowing(
            self._database, self._ids, *({"extension": "file_ext"}.get(name, name) for name in names)
        )
        columns = self._database.cache.columns
        return [columns[name][self._places][has_all] for name in names]


def _places(columns: Columns, ids: Ids) -> Values | slice:
    """The places of posts in columns: all of them without looking, if they are all posts."""
    return slice(None) if len(ids) == len(columns.ids) else np.searchsorted(columns.ids, ids)


def _facet(title: str, words: Sequence[str], terms: Iterable[str], counts: Values) -> Facet:
    rows = zip(words, terms, counts.tolist(), strict=False)
    return Facet(title, tuple(Entry(word, term, posts) for word, term, posts in rows if posts))


def _qualities(ratings: Values, favourites: Values, quality: CaptionFormat) -> Facet:
    """The quality labels of captions; a label is for favourites above its threshold, which differs by rating."""
    labels = [label for label, _ in reversed(quality.quality)]
    limits = [np.asarray(values) for values in quality.thresholds()]
    totals = np.zeros(len(labels), np.int64)
    for rating, of_rating in enumerate(limits):
        ranks = np.searchsorted(of_rating, favourites[ratings == rating], side="left")
        totals += np.bincount(ranks, minlength=len(labels))[: len(labels)]
    terms = []
    for rank in range(len(labels)):
        alternatives = [
            f"rating:{name[0]} favcount:{_span(of_rating.tolist(), rank)}"
            for name, of_rating in zip(RATINGS, limits, strict=True)
        ]
        terms.append(f"({' or '.join(alternatives)})")
    return _facet("Quality", labels[::-1], terms[::-1], totals[::-1])


def _span(limits: list[float], rank: int) -> str:
    """The numbers of favourites of a rank: above the limit before it, up to its own."""
    low = "" if rank == 0 else f"{int(limits[rank - 1]) + 1}"
    high = "" if rank == len(limits) else f"{int(limits[rank])}"
    return f"{low}..{high}"


def _shapes(widths: Values, heights: Values) -> Facet:
    """The buckets of a training run, by the ratio of width to height in hundredths, as searches read it."""
    has_size = (widths > 0) & (heights > 0)
    widths, heights = widths[has_size], heights[has_size]
    hundredths = np.minimum((200 * widths + heights) // (2 * heights), _LARGEST_RATIO)
    names, terms, of_ratio = _buckets()
    counts = np.bincount(of_ratio[hundredths], minlength=len(names))
    shown = sorted(np.argsort(-counts, kind="stable")[:_SHAPES].tolist())
    return _facet(
        "Aspect bucket", [names[row] for row in shown], [terms[row] for row in shown], counts[shown]
    )


_LARGEST_RATIO: Final = 2_000
_SHAPES: Final = 9
"""How many buckets are shown."""


@lru_cache(1)
def _buckets() -> tuple[list[str], list[str], Values]:
    """The buckets in the order of their ratios: names, terms, and the bucket of each ratio in hundredths."""
    buckets = Buckets()
    sizes = buckets.sizes()
    order = np.argsort(sizes[:, 0] / sizes[:, 1], kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    ratios = np.arange(_LARGEST_RATIO + 1)
    of_ratio = rank[buckets.of(np.maximum(ratios, 1), np.full(len(ratios), 100))]
    names, terms = [], []
    for row, (width, height) in enumerate(sizes[order].tolist()):
        inside = np.flatnonzero(of_ratio == row)
        names.append(f"{width}x{height}")
        if not len(inside):
            terms.append("ratio:0")
            continue
        low = "" if inside[0] == 0 else f"{inside[0] / 100:.2f}"
        high = "" if inside[-1] == _LARGEST_RATIO else f"{inside[-1] / 100:.2f}"
        terms.append(f"ratio:{low}..{high}")
    return names, terms, of_ratio


def tag_kinds(database: CachedStore) -> Values:
    """The type of each tag, by the tag's id, (T,) int8; -1 where there is none."""
    kinds = np.full(database.ends("tag")[1] + 1, -1, np.int8)
    tags, of_tags = database.reader.table(
        "SELECT id, CAST(type AS INTEGER) AS type FROM tag", columns=2, table="tag"
    )
    kinds[tags] = of_tags
    return kinds
