"""Plan how a selection runs: which part of the program evaluates each of its steps.

A plan is made without running anything. `evaluate` runs it, `count_steps` runs it and counts the posts after each
step, and `explain` prints it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from math import floor
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.arrays import ascending, union
from hakubooru.engine.filters import (
    FEW_POSTS,
    LOOKUPS_A_QUERY,
    Filters,
    Route,
    ask_sqlite,
    members,
    sort_ids,
    sort_in_sqlite,
)
from hakubooru.engine.groups import best_of_family, sample_per
from hakubooru.engine.sorting import can_sort, sort_by_columns
from hakubooru.engine.unknown import check_known, unknown_last, unknown_notes
from hakubooru.quantity import quantity
from hakubooru.select.predicates import tags_asked
from hakubooru.select.sampling import sample, sample_weighted, shuffle
from hakubooru.select.steps import (
    Among,
    BestOfFamily,
    Combined,
    Everything,
    Filtered,
    Limited,
    Narrowing,
    Ordered,
    Sampled,
    SampledPer,
    SampledWeighted,
    Shuffled,
    Step,
)
from hakubooru.store.schema import TAG_TYPES
from hakubooru.store.tags import Tags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hakubooru.arrays import Ids
    from hakubooru.engine.cache import CachedStore
    from hakubooru.engine.columns import FileColumns
    from hakubooru.store.store import Store

_WIDTH: Final = 60


@dataclass(frozen=True)
class Part:
    """A part of a plan: neighbouring steps that run together."""

    steps: tuple[Step, ...]
    """The steps in their order."""
    hows: tuple[str, ...] | Filters
    """What evaluates each step, in words; filters find it out when it is to be shown."""
    compute: Callable[..., Ids]
    """Computes the ids of the part, (N,) int64, from the ids of each source."""
    sources: tuple[Part, ...] = ()
    """The parts that run before this one; none if it starts from the whole file."""

    def ids(self) -> Ids:
        """Run the part after its sources."""
        return self.compute(*[source.ids() for source in self.sources])

    def all_steps(self) -> list[Step]:
        """The steps of the part and of its sources, sources first."""
        before = [step for source in self.sources for step in source.all_steps()]
        return [*before, *self.steps]

    def lines(self, depth: int = 0) -> Iterator[tuple[int, str, str]]:
        """Iterate over the steps, sources first: the depth of each in combinations of sets, its words, and its how."""
        for source in self.sources:
            yield from source.lines(depth + (len(self.sources) > 1))
        hows = self.hows if isinstance(self.hows, tuple) else [route.value for route in self.hows.routes()]
        for step, how in zip(self.steps, hows, strict=True):
            yield depth, str(step), how


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


def evaluate(store: CachedStore, step: Step) -> Ids:
    """The ids of a selection, (N,) int64, in its order: ascending, unless a step ordered them.

    Raises:
        UnknownTagError: the database does not have one of the tags.
        InputError: a tag has another type, or a step needs a value that no post of the file has.
        SampleError: a sample asks for more posts than there are to draw from.
    """
    cache = store.cache
    part = _Planner(store, cache.columns, cache.selections).plan(step)
    _check(store, part.all_steps())
    ids = part.ids()
    cache.put(step, ids)
    return ids


def count_steps(store: CachedStore, step: Step) -> list[FunnelRow]:
    """Run a selection and count its posts after each step.

    The steps of the sides of a combination have a greater depth, and their own counts.

    Raises:
        UnknownTagError: the database does not have one of the tags.
        InputError: a tag has another type, or a step needs a value that no post of the file has.
        SampleError: a sample asks for more posts than there are to draw from.
    """
    cache = store.cache
    part = _Planner(store, cache.columns, {}, apart=True).plan(step)
    _check(store, part.all_steps())
    ids, rows = _count(cache.selections, part)
    cache.put(step, ids)
    return rows


def explain(store: CachedStore, step: Step) -> str:
    """Describe the steps of a selection, one on each line, with the part of the program that evaluates each."""
    columns = store.cache.columns
    if columns.know_tags:
        state = "numbers, flags and tags of the posts come from the sidecar that `db optimize` made"
    elif columns.are_read():
        state = "flags of the posts are in memory"
    else:
        state = "columns of the posts are read when they are first used, in one or two scans"
    lines = [f"{store.path.name}: {state}"]
    for depth, words, how in _Planner(store, columns, store.cache.selections).plan(step).lines():
        lines.append(f"{'  ' * depth + words:<{_WIDTH}}  {how}".rstrip())
    return "\n".join([*lines, *unknown_notes(store, step)])


def _check(store: Store, steps: Sequence[Step]) -> None:
    """Check that the database has the tags of steps, with the types they must have, and some post each value."""
    tags = [tag for step in steps if isinstance(step, Filtered) for tag in tags_asked(step.predicate)]
    if tags:
        reader = Tags(store)
        reader.check(tag.name for tag in tags)
        reader.check_types({tag.name: tag.type for tag in tags if tag.type is not None})
    if store.about.lacking or store.about.unknown:
        check_known(store, steps)


@dataclass(frozen=True)
class _Planner:
    """Plans a selection: decides which part of the program evaluates each of its steps, and reads nothing."""

    store: CachedStore
    columns: FileColumns
    known: Mapping[Step, Ids]
    """The ids of selections that are not computed again."""
    apart: bool = False
    """Whether each step is a part by itself, so that the posts after it can be counted. Else filters run together, and
    a limit with its order."""

    def plan(self, step: Step) -> Part:
        """Plan a selection, given by its last step."""
        known = self.known.get(step)
        if known is not None:
            return Part((step,), (f"known from before: {quantity(len(known), 'post')}",), lambda: known)
        match step:
            case Everything():
                return Part((step,), ("the ids of the file",), Filters(self.store, self.columns, []).keep)
            case Filtered():
                return self._filters(step)
            case Among(source, packed):
                ids = np.frombuffer(packed, "<i8").astype(np.int64)
                filters, base = self._unwind(source)
                are_looked_up = not filters or (len(ids) <= FEW_POSTS and not self.columns.are_read())
                if base == Everything() and not self.apart and are_looked_up:
                    how = "the list of ids, looked up in the file"
                    listed = Part((step,), (how,), lambda: ask_sqlite(self.store, ids, []))
                    return self._filtered(filters, (listed,)) if filters else listed
                how = "the list of ids, intersected with the step before"
                return Part((step,), (how,), lambda before: members(before, ids), (self.plan(source),))
            case Combined():
                sides = tuple(map(self.plan, self._sides(step)))
                return Part((step,), ("sets of ids, by NumPy",), partial(_combine, step.operator), sides)
            case Ordered():
                return self._order(step)
            case Limited(Ordered() as order) if not self.apart and order not in self.known:
                return self._order(order, step)
            case Limited(Shuffled(source, seed) as order, count) if (
                not self.apart and order not in self.known
            ):
                hows = "keys of ids, by NumPy", "the first posts of the step before"
                return Part((order, step), hows, lambda ids: shuffle(ids, seed, count), (self.plan(source),))
            case _:
                how, compute = self._narrowing(step)
                return Part((step,), (how,), compute, (self.plan(step.source),))

    def _filters(self, step: Filtered) -> Part:
        filters, base = self._unwind(step)
        # The first filter stands for the start too, so that a range of ids does not scan the whole file.
        return self._filtered(filters, () if base == Everything() else (self.plan(base),))

    def _filtered(self, filters: Sequence[Filtered], sources: tuple[Part, ...]) -> Part:
        """Plan filters of one source, or of the whole file."""
        for group in [[one] for one in filters] if self.apart else [filters]:
            together = Filters(self.store, self.columns, [one.predicate for one in group])
            sources = (Part(tuple(group), together, together.keep, sources),)
        (part,) = sources
        return part

    def _unwind(self, step: Step) -> tuple[list[Filtered], Step]:
        """Split a step into the filters at its end, as far as their posts are not known, and what they filter."""
        filters: list[Filtered] = []
        while isinstance(step, Filtered) and step not in self.known:
            filters.insert(0, step)
            step = step.source
        return filters, step

    def _sides(self, step: Combined) -> tuple[Step, ...]:
        """The sides of a combination; a union of unions has all their sides, although they are nested pairs."""
        left = step.left
        if isinstance(left, Combined) and left.operator == step.operator == "|" and left not in self.known:
            return *self._sides(left), step.right
        return left, step.right

    def _order(self, order: Ordered, limited: Limited | None = None) -> Part:
        """Plan an order, and the limit after it."""
        store, columns = self.store, self.columns
        limit = None if limited is None else limited.count
        terms = unknown_last(store, order)
        by_columns = can_sort(columns, terms)
        steps: tuple[Step, ...] = (order,) if limited is None else (order, limited)
        after = () if limited is None else ("the first posts of the step before",)
        filters, base = self._unwind(order.source)
        predicates = [one.predicate for one in filters]
        is_of_file = not self.apart and base == Everything() and base not in self.known
        together = Filters(store, columns, predicates)
        if is_of_file and not (columns.are_read() and set(together.routes()) <= {Route.COLUMNS}):

            def scan() -> Ids:
                if together.are_narrow():
                    return sort_ids(store, together.keep(), terms, limit)
                # SQLite filters, sorts and limits in one scan.
                return sort_in_sqlite(store, terms, limit, predicates)

            hows = (*[Route.SQLITE.value] * len(filters), "SQLite orders", *after)
            return Part((*filters, *steps), hows, scan)

        if is_of_file and by_columns:
            hows = (*[Route.COLUMNS.value] * len(filters), Route.COLUMNS.value, *after)
            return Part((*filters, *steps), hows, lambda: together.first(terms, limit))

        def compute(ids: Ids) -> Ids:
            if by_columns:
                return sort_by_columns(columns.some(columns.indices(ids)), terms, limit)
            if is_of_file and len(ids) > LOOKUPS_A_QUERY:
                return sort_in_sqlite(store, terms, limit, predicates)
            return sort_ids(store, ids, terms, limit)

        hows = (Route.COLUMNS.value if by_columns else "SQLite orders", *after)
        return Part(steps, hows, compute, (self.plan(order.source),))

    def _narrowing(self, step: Narrowing) -> tuple[str, Callable[[Ids], Ids]]:
        """What evaluates a step that narrows or sorts its source, in words and as a function."""
        columns = self.columns
        match step:
            case Sampled(_, _, seed):
                return "keys of ids, by NumPy", lambda ids: sample(ids, _sample_size(step, len(ids)), seed)
            case SampledPer(_, by, at_most, seed, strict):
                how = f"keys of ids, by NumPy, over {_groups(by, know_tags=columns.know_tags)}"
                return how, lambda ids: sample_per(self.store, ids, by, at_most, seed, strict=strict)
            case SampledWeighted(_, column, size, seed):

                def draw(ids: Ids) -> Ids:
                    weights = columns.at(columns[column], ids)
                    return sample_weighted(ids, weights, size, seed)

                return f"keys of ids and {column}, by NumPy", draw
            case Shuffled(_, seed):
                return "keys of ids, by NumPy", lambda ids: shuffle(ids, seed)
            case Limited(_, count):
                return "the first posts of the step before", lambda ids: ids[:count]
            case BestOfFamily(_, by):
                return f"parents and {by}, by NumPy", lambda ids: best_of_family(ids, columns, by)


def _combine(operator: str, *sides: Ids) -> Ids:
    """Combine sets of ids to their union, intersection or difference, ascending."""
    if operator == "|":
        return union(sides)
    left, right = sides
    inside = np.isin(left, right, assume_unique=True)
    return ascending(left[inside if operator == "&" else ~inside])


def _groups(by: str, *, know_tags: bool) -> str:
    if by not in TAG_TYPES:
        return "ratings" if by == "rating" else "dates, which a scan of the posts reads"
    return f"the posts of every {by}" if know_tags else "a scan of the relations"


def _sample_size(step: Sampled, population: int) -> int:
    """How many posts a sample draws; a fraction of the population is rounded to the nearest integer."""
    return step.size if isinstance(step.size, int) else floor(step.size * population + 0.5)


def _count(known: Mapping[Step, Ids], part: Part) -> tuple[Ids, list[FunnelRow]]:
    """Run a part and its sources, each of one step: the ids, (N,) int64, and a row for each step."""
    sources = [_count(known, source) for source in part.sources]
    (step,) = part.steps
    ids = known[step] if step in known else part.compute(*[before for before, _ in sources])
    is_narrowing = len(sources) == 1
    depth = 0 if is_narrowing else 1
    rows = [replace(row, depth=row.depth + depth) for _, above in sources for row in above]
    removed = len(sources[0][0]) - len(ids) if is_narrowing else None
    words = (
        f"{step} ({len(ids):,})" if isinstance(step, Sampled) and isinstance(step.size, float) else str(step)
    )
    return ids, [*rows, FunnelRow(words, len(ids), removed)]
