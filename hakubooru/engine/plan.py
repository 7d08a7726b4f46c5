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
from hakubooru.engine.families import best_of_family
from hakubooru.engine.filters import (
    LOOKUPS_A_QUERY,
    Route,
    ask_sqlite,
    can_sort,
    keep,
    members,
    routes,
    sort_by_columns,
    sort_ids,
    sort_in_sqlite,
)
from hakubooru.engine.groups import sample_per
from hakubooru.engine.unknown import check_known, unknown_last, unknown_notes
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
    walk,
)
from hakubooru.store.schema import TAG_TYPES
from hakubooru.store.tags import Tags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hakubooru.arrays import Ids
    from hakubooru.engine.cache import CachedStore
    from hakubooru.select.predicates import Predicate

_WIDTH: Final = 60


@dataclass(frozen=True)
class Part:
    """A part of a plan: neighbouring steps that run together."""

    steps: tuple[tuple[Step, str], ...]
    """The steps in their order, each with what evaluates it, in words."""
    compute: Callable[..., Ids]
    """Computes the ids of the part, (N,) int64, from the ids of each source."""
    sources: tuple[Part, ...] = ()
    """The parts that run before this one; none if it starts from the whole file."""

    def ids(self) -> Ids:
        """Run the part after its sources."""
        return self.compute(*[source.ids() for source in self.sources])

    def lines(self, depth: int = 0) -> Iterator[tuple[int, str, str]]:
        """Iterate over the steps, sources first: the depth of each in combinations of sets, its words, and its how."""
        for source in self.sources:
            yield from source.lines(depth + (len(self.sources) > 1))
        for step, how in self.steps:
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


def check_tags(store: CachedStore, step: Step) -> None:
    """Check that the database has every tag of a selection, with the type it must have; runs one or two queries.

    Raises:
        UnknownTagError: the database does not have a tag; the message names the nearest ones.
        InputError: a tag has another type.
    """
    filters = (part for part in walk(step) if isinstance(part, Filtered))
    tags = [tag for part in filters for tag in tags_asked(part.predicate)]
    if tags:
        reader = Tags(store)
        reader.check(tag.name for tag in tags)
        reader.check_types({tag.name: tag.type for tag in tags if tag.type is not None})


def evaluate(store: CachedStore, step: Step) -> Ids:
    """The ids of a selection, (N,) int64, in its order: ascending, unless a step ordered them.

    Raises:
        UnknownTagError: the database does not have one of the tags.
        InputError: a step needs a value that no post of the file has.
        SampleError: a sample asks for more posts than there are to draw from.
    """
    check_tags(store, step)
    check_known(store, step)
    ids = plan(store, step).ids()
    store.cache.put(step, ids)
    return ids


def count_steps(store: CachedStore, step: Step) -> list[FunnelRow]:
    """Run a selection and count its posts after each step.

    The steps of the sides of a combination have a greater depth, and their own counts.

    Raises:
        UnknownTagError: the database does not have one of the tags.
        InputError: a step needs a value that no post of the file has.
        SampleError: a sample asks for more posts than there are to draw from.
    """
    check_tags(store, step)
    check_known(store, step)
    ids, rows = _count(store, plan(store, step, apart=True))
    store.cache.put(step, ids)
    return rows


def explain(store: CachedStore, step: Step) -> str:
    """Describe the steps of a selection, one on each line, with the part of the program that evaluates each."""
    columns = store.cache.columns
    if columns.know_tags():
        state = "numbers, flags and tags of the posts come from the sidecar that `db optimize` made"
    elif columns.are_read():
        state = "flags of the posts are in memory"
    else:
        state = "columns of the posts are read when they are first used, in one or two scans"
    lines = [f"{store.path.name}: {state}"]
    for depth, words, how in plan(store, step).lines():
        lines.append(f"{'  ' * depth + words:<{_WIDTH}}  {how}".rstrip())
    return "\n".join([*lines, *unknown_notes(store, step)])


def plan(store: CachedStore, step: Step, *, apart: bool = False) -> Part:
    """Plan a selection.

    Args:
        store: the file.
        step: the last step of the selection.
        apart: whether each step is a part by itself, so that the posts after it can be counted. Else filters run
            together, a limit with its order, and a selection that the cache has is not computed again.
    """
    cached = None if apart else store.cache.get(step)
    if cached is not None:
        return Part(((step, f"known from before: {len(cached):,} posts"),), lambda: cached)
    match step:
        case Everything():
            return Part(((step, "the ids of the file"),), lambda: keep(store, None, []))
        case Filtered():
            return _filters(store, step, apart=apart)
        case Among(source, packed):
            ids = np.frombuffer(packed, "<i8").astype(np.int64)
            if source == Everything() and not apart:
                how = "the list of ids, looked up in the file"
                return Part(((step, how),), lambda: ask_sqlite(store, ids, []))
            how = "the list of ids, intersected with the step before"
            return Part(
                ((step, how),), lambda before: members(before, ids), (plan(store, source, apart=apart),)
            )
        case Combined():
            sides = tuple(plan(store, side, apart=apart) for side in _sides(store, step, apart=apart))
            return Part(((step, "sets of ids, by NumPy"),), partial(_combine, step.operator), sides)
        case Ordered():
            return _order(store, step, None, apart=apart)
        case Limited(Ordered() as order) if not apart and order not in store.cache:
            return _order(store, order, step, apart=apart)
        case Limited(Shuffled(source, seed) as order, count) if not apart and order not in store.cache:
            steps = (order, "keys of ids, by NumPy"), (step, "the first posts of the step before")
            return Part(steps, lambda ids: shuffle(ids, seed, count), (plan(store, source),))
        case _:
            how, compute = _narrowing(store, step)
            return Part(((step, how),), compute, (plan(store, step.source, apart=apart),))


def _filters(store: CachedStore, step: Filtered, *, apart: bool) -> Part:
    filters, base = _unwind(store, step, apart=apart)
    sources: tuple[Part, ...] = () if base == Everything() else (plan(store, base, apart=apart),)
    # The first filter stands for the start too, so that a range of ids does not scan the whole file.
    groups = [[one] for one in filters] if apart else [filters]
    for group in groups:
        predicates = [one.predicate for one in group]
        hows = [route.value for route in routes(store.cache.columns, predicates)]
        compute = partial(_keep, store, predicates)
        sources = (Part(tuple(zip(group, hows, strict=True)), compute, sources),)
    (part,) = sources
    return part


def _keep(store: CachedStore, predicates: Sequence[Predicate], before: Ids | None = None) -> Ids:
    return keep(store, before, predicates)


def _unwind(store: CachedStore, step: Step, *, apart: bool) -> tuple[list[Filtered], Step]:
    """Split a step into the filters at its end, as far as the cache does not have their posts, and what they filter."""
    filters: list[Filtered] = []
    while isinstance(step, Filtered) and (apart or step not in store.cache):
        filters.insert(0, step)
        step = step.source
    return filters, step


def _sides(store: CachedStore, step: Combined, *, apart: bool) -> tuple[Step, ...]:
    """The sides of a combination; a union of unions has all their sides, although they are nested pairs."""
    left = step.left
    if (
        isinstance(left, Combined)
        and left.operator == step.operator == "|"
        and (apart or left not in store.cache)
    ):
        return *_sides(store, left, apart=apart), step.right
    return left, step.right


def _combine(operator: str, *sides: Ids) -> Ids:
    """Combine sets of ids to their union, intersection or difference, ascending."""
    if operator == "|":
        return union(sides)
    left, right = sides
    inside = np.isin(left, right, assume_unique=True)
    return ascending(left[inside if operator == "&" else ~inside])


def _order(store: CachedStore, order: Ordered, limited: Limited | None, *, apart: bool) -> Part:
    """Plan an order, and the limit after it."""
    limit = None if limited is None else limited.count
    terms = unknown_last(store, order)
    columns = store.cache.columns
    by_columns = can_sort(columns, terms)
    steps: list[tuple[Step, str]] = [(order, Route.COLUMNS.value if by_columns else "SQLite orders")]
    if limited is not None:
        steps.append((limited, "the first posts of the step before"))
    filters, base = _unwind(store, order.source, apart=apart)
    predicates = [one.predicate for one in filters]
    is_of_file = not apart and base == Everything() and base not in store.cache
    are_answered = columns.are_read() and set(routes(columns, predicates)) <= {Route.COLUMNS}
    if is_of_file and not are_answered:
        # SQLite filters, sorts and limits in one scan.
        filtered = [(one, Route.SQLITE.value) for one in filters]
        steps[0] = order, "SQLite orders"
        return Part((*filtered, *steps), lambda: sort_in_sqlite(store, terms, limit, predicates))

    def compute(ids: Ids) -> Ids:
        if by_columns:
            return sort_by_columns(columns, ids, terms, limit)
        if is_of_file and len(ids) > LOOKUPS_A_QUERY:
            return sort_in_sqlite(store, terms, limit, predicates)
        return sort_ids(store, ids, terms, limit)

    return Part(tuple(steps), compute, (plan(store, order.source, apart=apart),))


def _narrowing(store: CachedStore, step: Narrowing) -> tuple[str, Callable[[Ids], Ids]]:
    """What evaluates a step that narrows or sorts its source, in words and as a function."""
    columns = store.cache.columns
    match step:
        case Sampled(_, _, seed):
            return "keys of ids, by NumPy", lambda ids: sample(ids, _sample_size(step, len(ids)), seed)
        case SampledPer(_, by, at_most, seed, strict):
            how = f"keys of ids, by NumPy, over {_groups(by, know_tags=columns.know_tags())}"
            return how, lambda ids: sample_per(store, ids, by, at_most, seed, strict=strict)
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


def _groups(by: str, *, know_tags: bool) -> str:
    if by not in TAG_TYPES:
        return "ratings" if by == "rating" else "dates, which a scan of the posts reads"
    return f"the posts of every {by}" if know_tags else "a scan of the relations"


def _sample_size(step: Sampled, population: int) -> int:
    """How many posts a sample draws; a fraction of the population is rounded to the nearest integer."""
    return step.size if isinstance(step.size, int) else floor(step.size * population + 0.5)


def _count(store: CachedStore, part: Part) -> tuple[Ids, list[FunnelRow]]:
    """Run a part and its sources, each of one step: the ids, (N,) int64, and a row for each step."""
    sources = [_count(store, source) for source in part.sources]
    ((step, _),) = part.steps
    cached = store.cache.get(step)
    ids = part.compute(*[before for before, _ in sources]) if cached is None else cached
    is_narrowing = len(sources) == 1
    depth = 0 if is_narrowing else 1
    rows = [replace(row, depth=row.depth + depth) for _, above in sources for row in above]
    removed = len(sources[0][0]) - len(ids) if is_narrowing else None
    words = (
        f"{step} ({len(ids):,})" if isinstance(step, Sampled) and isinstance(step.size, float) else str(step)
    )
    return ids, [*rows, FunnelRow(words, len(ids), removed)]
