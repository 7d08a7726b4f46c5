"""Charts of scores as SVG, drawn without a library, so that a page holds them and a test reads them."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from hakubooru.quantity import quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakubooru_trainer.evaluate.scores import Interval

BINS: Final = 20
_WIDTH, _HEIGHT = 480, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 40, 44
_PLOT_WIDTH, _PLOT_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM


class Group(NamedTuple):
    """Characters of like popularity."""

    label: str
    low: int
    """The fewest posts."""
    high: int
    """The most posts."""
    characters: int
    score: Interval


class Point(NamedTuple):
    """A character in the chart of popularity."""

    name: str
    posts: int
    score: float


def histogram(scores: Sequence[float], floor: float, ceiling: float) -> str:
    """How many characters have which score: 20 bars from 0 to 1, with lines at the floor and the ceiling."""
    counts = np.histogram(scores, BINS, (0, 1))[0].tolist()
    most = max(counts)
    step = _PLOT_WIDTH / BINS
    marks = []
    for number, count in enumerate(counts):
        tall = _PLOT_HEIGHT * count / most
        low, high = number / BINS, (number + 1) / BINS
        marks.append(
            f'<rect class="bar" x="{_x(low) + 1:.1f}" y="{_TOP + _PLOT_HEIGHT - tall:.1f}" width="{step - 2:.1f}" '
            f'height="{tall:.1f}" rx="2"><title>{low:.2f} to {high:.2f}: {quantity(count, "character")}</title></rect>'
        )
    marks += [_upright("floor", floor, "start"), _upright("ceiling", ceiling, "end")]
    marks += [_below(_x(tick), f"{tick:.1f}") for tick in (0, 0.2, 0.4, 0.6, 0.8, 1)]
    marks += [_beside(_TOP + _PLOT_HEIGHT * (1 - tick / most), f"{tick:,}") for tick in _ticks(most)]
    return _chart("How many characters have which score", marks, "score", "characters")


def popularity(points: Sequence[Point], groups: Sequence[Group], label: str) -> str:
    """Score against posts, on a logarithmic scale: a dot for each character, a line for the mean of each group.

    Args:
        points: the characters.
        groups: the groups, by rising popularity.
        label: what the posts are.
    """
    powers = [math.log10(max(point.posts, 1)) for point in points]
    first = math.floor(min(powers))
    last = max(*powers, first + 1)

    def across(posts: float) -> float:
        share = (math.log10(max(posts, 1)) - first) / (last - first)
        return _LEFT + _PLOT_WIDTH * min(max(share, 0), 1)

    marks = [
        f'<circle class="dot" cx="{across(point.posts):.1f}" cy="{_y(point.score):.1f}" r="3">'
        f"<title>{html.escape(point.name)}: {quantity(point.posts, 'post')}, {point.score:.2f}</title></circle>"
        for point in points
    ]
    for group in groups:
        start, end = across(group.low), max(across(group.high), across(group.low) + 6)
        if not math.isnan(group.score.low):
            marks.append(
                f'<rect class="band" x="{start:.1f}" y="{_y(group.score.high):.1f}" width="{end - start:.1f}" '
                f'height="{max(_y(group.score.low) - _y(group.score.high), 1):.1f}"/>'
            )
        marks.append(
            f'<path class="mean" d="M{start:.1f} {_y(group.score.mean):.1f}H{end:.1f}"><title>'
            f"{html.escape(group.label)} posts: {group.score}</title></path>"
        )
    marks += [
        _below(across(10**power), f"{10**power:,}") for power in range(first, math.floor(last + 1e-9) + 1)
    ]
    marks += [_beside(_y(tick), f"{tick:.1f}") for tick in (0, 0.2, 0.4, 0.6, 0.8, 1)]
    return _chart("Score against popularity", marks, label, "score")


def scale(score: Interval, floor: Interval, ceiling: Interval) -> str:
    """The score with its interval on a line from 0 to 1, between the floor and the ceiling."""
    middle, length = 46, _WIDTH - 40

    def across(value: float) -> float:
        return 20 + length * value

    marks = [f'<path class="axis" d="M20 {middle}H{20 + length}"/>']
    bounds = [(name, bound.mean) for name, bound in (("floor", floor), ("ceiling", ceiling))]
    bounds = [(name, mean) for name, mean in bounds if not math.isnan(mean)]
    if len(bounds) == 2:
        start, end = sorted(across(mean) for _, mean in bounds)
        marks.append(
            f'<rect class="range" x="{start:.1f}" y="{middle - 6}" width="{end - start:.1f}" height="12" rx="6"/>'
        )
    for line, (name, mean) in enumerate(bounds):
        x = across(mean)
        # Each label grows away from its end of the line, and stands on a line of its own.
        anchor = "start" if mean < 0.5 else "end"
        marks.append(
            f'<path class="bound" d="M{x:.1f} {middle - 12}V{middle + 12}"/>'
            f'<text x="{x:.1f}" y="{78 + 18 * line}" text-anchor="{anchor}">{name} {mean:.3f}</text>'
        )
    if not math.isnan(score.low):
        marks.append(f'<path class="spread" d="M{across(score.low):.1f} {middle}H{across(score.high):.1f}"/>')
    marks.append(
        f'<circle class="score" cx="{across(score.mean):.1f}" cy="{middle}" r="8"/>'
        f'<text class="strong" x="{across(score.mean):.1f}" y="22" text-anchor="middle">{score.mean:.3f}</text>'
    )
    return f'<svg viewBox="0 0 {_WIDTH} 104" role="img"><title>Score {score}</title>{"".join(marks)}</svg>'


def _chart(title: str, marks: Sequence[str], across: str, upward: str) -> str:
    foot, right = _TOP + _PLOT_HEIGHT, _LEFT + _PLOT_WIDTH
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"><title>{html.escape(title)}</title>'
        f'<path class="axis" d="M{_LEFT} {_TOP}V{foot}H{right}"/>{"".join(marks)}'
        f'<text x="{_LEFT + _PLOT_WIDTH / 2}" y="{_HEIGHT - 4}" text-anchor="middle">{html.escape(across)}</text>'
        f'<text x="4" y="12">{html.escape(upward)}</text></svg>'
    )


def _x(value: float) -> float:
    return _LEFT + _PLOT_WIDTH * value


def _y(value: float) -> float:
    return _TOP + _PLOT_HEIGHT * (1 - value)


def _upright(name: str, value: float, anchor: str) -> str:
    if math.isnan(value):
        return ""
    return (
        f'<path class="bound" d="M{_x(value):.1f} {_TOP}V{_TOP + _PLOT_HEIGHT}"/>'
        f'<text x="{_x(value):.1f}" y="{_TOP - 6}" text-anchor="{anchor}">{name}</text>'
    )


def _below(x: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{_TOP + _PLOT_HEIGHT + 16}" text-anchor="middle">{text}</text>'


def _beside(y: float, text: str) -> str:
    return (
        f'<path class="grid" d="M{_LEFT} {y:.1f}H{_LEFT + _PLOT_WIDTH}"/>'
        f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    )


def _ticks(most: int) -> list[int]:
    """About four round numbers up to a count."""
    rough = max(most / 4, 1)
    size = 10 ** math.floor(math.log10(rough))
    step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= rough)
    return list(range(step, most + 1, step))
