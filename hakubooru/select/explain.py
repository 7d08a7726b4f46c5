"""Describe how a selection would run, without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hakubooru.select.steps import (
    Among,
    BestOfFamily,
    Combined,
    Everything,
    Filtered,
    Limited,
    Ordered,
    Sampled,
    SampledPer,
    SampledWeighted,
    Shuffled,
    Step,
)
from hakubooru.select.vector import is_answered
from hakubooru.store.schema import TAG_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.select.memory import CachedStore

_WIDTH: Final = 60


def explain(database: CachedStore, step: Step) -> str:
    """Describe the steps of a selection, one on each line, with the part of the program that evaluates each."""
    columns = database.memory.columns
    if columns.know_tags():
        state = "numbers, flags and tags of the posts come from the sidecar that `db optimize` made"
    elif columns.are_read():
        state = "flags of the posts are in memory"
    else:
        state = "columns of the posts are read when they are first used, in one or two scans"
    lines = [f"{database.path.name}: {state}"]
    for depth, words, how in _lines(database, step, 0):
        lines.append(f"{'  ' * depth + words:<{_WIDTH}}  {how}".rstrip())
    return "\n".join(lines)


def _lines(database: CachedStore, step: Step, depth: int) -> Iterator[tuple[int, str, str]]:
    cached = database.memory.get(step)
    if cached is not None:
        yield depth, str(step), f"known from before: {len(cached):,} posts"
        return
    match step:
        case Everything():
            yield depth, str(step), "the ids of the file"
            return
        case Combined(_, left, right):
            yield from _lines(database, left, depth + 1)
            yield from _lines(database, right, depth + 1)
        case Filtered(source) if source == Everything():
            pass  # the line of the first filter stands for the start too
        case _:
            yield from _lines(database, step.source, depth)
    yield depth, str(step), _how(database, step)


def _how(database: CachedStore, step: Step) -> str:
    columns = database.memory.columns
    match step:
        case Filtered(_, predicate) if is_answered(predicate, columns):
            alone = "NumPy, over columns"
            return alone if columns.are_read() else f"{alone}; SQLite, if it is about few posts"
        case Filtered():
            return "SQLite, in one statement with the filters around it"
        case Among():
            return "the list of ids, intersected with the step before"
        case Sampled() | Shuffled():
            return "keys of ids, by NumPy"
        case SampledPer(_, by):
            return f"keys of ids, by NumPy, over {_groups(by, know_tags=columns.know_tags())}"
        case SampledWeighted(_, column):
            return f"keys of ids and {column}, by NumPy"
        case BestOfFamily(_, by):
            return f"parents and {by}, by NumPy"
        case Ordered():
            return "SQLite orders"
        case Limited():
            return "the first posts of the step before"
        case _:
            return "sets of ids, by NumPy"


def _groups(by: str, *, know_tags: bool) -> str:
    if by not in TAG_TYPES:
        return "ratings" if by == "rating" else "dates, which a scan of the posts reads"
    return f"the posts of every {by}" if know_tags else "a scan of the relations"
