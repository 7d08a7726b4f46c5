"""Count the posts after each step of a selection."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hakubooru.select.evaluate import check_tags, combine, evaluate, keep, unwind
from hakubooru.select.steps import Combined, Everything, Filtered, Sampled, Step

if TYPE_CHECKING:
    from hakubooru.arrays import Ids
    from hakubooru.select.memory import CachedStore


@dataclass(frozen=True)
class FunnelRow:
    """A step of a selection with its counts."""

    step: str
    """The step in words."""
    posts: int
    """How many posts there are after the step."""
    removed: int | None = None
    """How many posts the step removed; None for a step that only adds posts."""
    depth: int = 0
    """How deep the step is nested in combinations of sets."""


def rows(database: CachedStore, step: Step) -> list[FunnelRow]:
    """Run a selection and count its posts after each step.

    The steps of the two sides of a combination have a greater depth, and their own counts.

    Raises:
        UnknownTagError: the database does not have one of the tags.
        SampleError: a sample asks for more posts than there are to draw from.
    """
    check_tags(database, step)
    ids, rows = trace(database, step)
    database.memory.put(step, ids)
    return rows


def trace(database: CachedStore, step: Step) -> tuple[Ids, list[FunnelRow]]:
    """Evaluate a step to ids, (N,) int64, and a row for it and each of its sources."""
    match step:
        case Everything():
            ids = evaluate(database, step)
            return ids, [FunnelRow(str(step), len(ids))]
        case Filtered():
            return _filtered(database, step)
        case Combined(_, left, right):
            return _combined(database, step, left, right)
        case _:
            before, rows = trace(database, step.source)
            # Only the last step runs: the cache has its source.
            database.memory.put(step.source, before)
            ids = evaluate(database, step)
            words = _sample_words(step, len(ids)) if isinstance(step, Sampled) else str(step)
            return ids, [*rows, FunnelRow(words, len(ids), len(before) - len(ids))]


def _filtered(database: CachedStore, step: Filtered) -> tuple[Ids, list[FunnelRow]]:
    predicates, base = unwind(step, until=lambda _: False)
    if isinstance(base, Everything):
        # The row of the first filter stands for the start too, so that a range of ids does not scan the whole file.
        first, *predicates = predicates
        ids = keep(database, None, [first])
        rows = [FunnelRow(str(first), len(ids))]
    else:
        ids, rows = trace(database, base)
    for predicate in predicates:
        before, ids = ids, keep(database, ids, [predicate])
        rows.append(FunnelRow(str(predicate), len(ids), len(before) - len(ids)))
    return ids, rows


def _combined(database: CachedStore, step: Combined, left: Step, right: Step) -> tuple[Ids, list[FunnelRow]]:
    left_ids, left_rows = trace(database, left)
    right_ids, right_rows = trace(database, right)
    ids = combine(step, left_ids, right_ids)
    if isinstance(left, Combined) and left.operator == step.operator == "|":
        # The sides of a | b | c have one depth, although they are nested pairs.
        left_rows = [replace(row, depth=row.depth - 1) for row in left_rows[:-1]]
    branches = [replace(row, depth=row.depth + 1) for row in (*left_rows, *right_rows)]
    return ids, [*branches, FunnelRow(str(step), len(ids))]


def _sample_words(step: Sampled, size: int) -> str:
    return str(step) if isinstance(step.size, int) else f"{step} ({size:,})"
