"""The steps of a selection: frozen values that form a tree, each with its words as `str`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from peewee import Context

from hakubooru.errors import InputError
from hakubooru.nearest import nearest
from hakubooru.quantity import quantity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.select.predicates import Condition, Predicate

MEASURES: Final = ("score", "fav_count")
"""The columns that can decide which post of a family is the best."""
GROUPINGS: Final = ("character", "artist", "copyright", "rating", "year")
"""The groups that `sample_per` can draw from."""
WEIGHTS: Final = ("score", "fav_count", "up_score", "image_width", "image_height", "file_size")
"""The columns that can be the weight of a post."""


@dataclass(frozen=True)
class Everything:
    """All posts of the file."""

    def __str__(self) -> str:
        return "all posts"


@dataclass(frozen=True)
class Filtered:
    """The posts of a source that match a predicate."""

    source: Step
    predicate: Predicate

    def __str__(self) -> str:
        return str(self.predicate)


@dataclass(frozen=True)
class Among:
    """The posts of a source whose ids are in a list, stored as ascending little-endian int64."""

    source: Step
    ids: bytes

    def __str__(self) -> str:
        return f"among {quantity(len(self.ids) // 8, 'id')}"


@dataclass(frozen=True)
class Sampled:
    """A sample of `size` posts of a source, or of a fraction of them (0 to 1)."""

    source: Step
    size: int | float
    seed: int

    def __str__(self) -> str:
        size = f"{self.size:,}" if isinstance(self.size, int) else f"{self.size:.6g} of them"
        return f"sample of {size}, seed {self.seed}"


@dataclass(frozen=True)
class SampledPer:
    """A sample of at most `at_most` posts of each group of a source."""

    source: Step
    by: str
    at_most: int
    seed: int
    strict: bool = False

    def __post_init__(self) -> None:
        if self.by not in GROUPINGS:
            raise InputError(f"sample_per() cannot group by {self.by!r}; {nearest(self.by, GROUPINGS)}")
        if self.at_most < 0:
            raise InputError(f"sample_per() takes at_most= of 0 or more, not {self.at_most}")

    def __str__(self) -> str:
        bound = "strictly at most" if self.strict else "at most"
        return f"sample of {bound} {self.at_most:,} per {self.by}, seed {self.seed}"


@dataclass(frozen=True)
class SampledWeighted:
    """A sample of `size` posts of a source, in which a post's weight is a column."""

    source: Step
    column: str
    size: int
    seed: int

    def __post_init__(self) -> None:
        if self.column not in WEIGHTS:
            raise InputError(
                f"sample_weighted() cannot weigh posts by {self.column!r}; {nearest(self.column, WEIGHTS)}"
            )
        if self.size < 0:
            raise InputError(f"sample_weighted() takes 0 posts or more, not {self.size}")

    def __str__(self) -> str:
        return f"sample of {self.size:,} weighted by {self.column}, seed {self.seed}"


@dataclass(frozen=True)
class Combined:
    """The union, intersection or difference of two sets of posts."""

    operator: Literal["|", "&", "-"]
    left: Step
    right: Step

    def __str__(self) -> str:
        return {"|": "together", "&": "in both", "-": "without the second"}[self.operator]


@dataclass(frozen=True)
class Ordered:
    """The posts of a source, sorted by SQL terms."""

    source: Step
    terms: tuple[Condition, ...]

    def __str__(self) -> str:
        return f"in order of {', '.join(map(str, self.terms))}"


@dataclass(frozen=True)
class Shuffled:
    """The posts of a source, sorted by their sampling keys."""

    source: Step
    seed: int

    def __str__(self) -> str:
        return f"shuffled, seed {self.seed}"


@dataclass(frozen=True)
class Limited:
    """The first `count` posts of a source."""

    source: Step
    count: int

    def __str__(self) -> str:
        return f"the first {self.count:,}"


@dataclass(frozen=True)
class BestOfFamily:
    """The best post of each family in a source, by a column."""

    source: Step
    by: str

    def __post_init__(self) -> None:
        if self.by not in MEASURES:
            raise InputError(
                f"best_of_family() compares posts by {' or '.join(MEASURES)}, not by {self.by!r}"
            )

    def __str__(self) -> str:
        return f"best of each family by {self.by}"


Narrowing = Sampled | SampledPer | SampledWeighted | Shuffled | Limited | BestOfFamily
"""The steps with one source for which a post's own columns are not enough."""
Step = Everything | Filtered | Among | Combined | Ordered | Narrowing


def sources(step: Step) -> tuple[Step, ...]:
    """The source steps of a step: none, one, or the two sides of a combination."""
    match step:
        case Everything():
            return ()
        case Combined(_, left, right):
            return left, right
        case _:
            return (step.source,)


def walk(step: Step) -> Iterator[Step]:
    """Iterate over a step and all its sources, sources first."""
    for source in sources(step):
        yield from walk(source)
    yield step


def uses(step: Step, schema: str) -> bool:
    """Whether the SQL of a selection has a name in it, such as that of a joined file."""
    parts = [part.predicate for part in walk(step) if isinstance(part, Filtered)]
    orders = [term for part in walk(step) if isinstance(part, Ordered) for term in part.terms]
    return any(schema in Context().sql(part).query()[0] for part in (*parts, *orders))


def describe(step: Step) -> str:
    """Describe the steps of a selection in words, on one line."""
    match step:
        case Everything():
            return str(step)
        case Combined(operator, left, right):
            return f"({describe(left)}) {operator} ({describe(right)})"
        case _:
            return f"{describe(step.source)}, {step}"
