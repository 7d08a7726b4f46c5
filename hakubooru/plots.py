"""Charts of statistics, drawn with matplotlib: one selection, or two side by side. The extra `plot` has matplotlib."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hakubooru.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Sections = Mapping[str, Mapping[str, int]]

_COLUMNS: Final = 3
_MOST: Final = 15
"""How many names a chart has; the most common are kept."""
_ROW: Final = 5
"""How many names are read in a row; more are turned."""
_COLOURS: Final = ("#2f6fde", "#e08a2c")
_LYING: Final = ("buckets", "tags")
"""The charts whose bars lie, so that their names can be read."""


def draw(sections: Sequence[Sections], posts: Sequence[int], labels: Sequence[str]) -> Figure:
    """Draw a chart for each section: bars for each name, as a share of the posts where two are compared.

    Args:
        sections: the counts of one or two selections, by section and name.
        posts: how many posts each selection has.
        labels: the names of the selections, for the legend.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        figure_type = _figure_type()
    except ImportError as error:
        raise InputError(
            "plots need the extra `plot`: pip install '.[plot]' in the folder of hakubooru"
        ) from error
    titles = [title for title in sections[0] if any(some.get(title) for some in sections)]
    rows = -(-len(titles) // _COLUMNS)
    figure = figure_type(figsize=(5 * _COLUMNS, 3.4 * max(1, rows)), layout="constrained")
    for place, title in enumerate(titles, 1):
        axes = figure.add_subplot(rows, _COLUMNS, place)
        _chart(axes, title, [some.get(title, {}) for some in sections], posts)
    if len(labels) > 1:
        handles = [_patch(colour) for colour in _COLOURS[: len(labels)]]
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return figure


@cache
def _figure_type() -> type[Figure]:
    """The type of the figures, which a notebook shows; the class is made here, because matplotlib is an extra."""
    from matplotlib.figure import Figure as Plain  # noqa: PLC0415

    class Charts(Plain):
        """A figure that a notebook shows, whether or not pyplot is imported there."""

        def _repr_png_(self) -> bytes:
            file = BytesIO()
            self.savefig(file, format="png", dpi=80)
            return file.getvalue()

    return Charts


def _chart(axes: Axes, title: str, counts: Sequence[Mapping[str, int]], posts: Sequence[int]) -> None:
    names = list(dict.fromkeys(name for some in counts for name in some))
    if title == "years":
        names.sort()
    elif len(names) > _MOST:
        names = sorted(names, key=lambda name: -max(some.get(name, 0) for some in counts))[:_MOST]
    is_lying = any(word in title for word in _LYING)
    places = np.arange(len(names))
    width = 0.8 / len(counts)
    for number, some in enumerate(counts):
        # Two selections differ in size, so they are compared by shares.
        scale = 1 if len(counts) == 1 else 100 / max(1, posts[number])
        values = [some.get(name, 0) * scale for name in names]
        at = places + (number - (len(counts) - 1) / 2) * width
        bars: Any = axes.barh if is_lying else axes.bar
        bars(at, values, width, color=_COLOURS[number])
    if is_lying:
        axes.set_yticks(places, [name.replace("_", " ") for name in names], fontsize=8, parse_math=False)
        axes.invert_yaxis()
    else:
        turned: dict[str, Any] = {"rotation": 45, "ha": "right"} if len(names) > _ROW else {}
        axes.set_xticks(places, names, fontsize=8, parse_math=False, **turned)
    axes.set_title(title if len(counts) == 1 else f"{title}, % of posts", fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def _patch(colour: str) -> Any:
    from matplotlib.patches import Patch  # noqa: PLC0415

    return Patch(color=colour)
