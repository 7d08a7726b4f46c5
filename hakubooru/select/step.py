"""The steps that a selection is made of: frozen values that form a tree, and the words for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from hakubooru.errors import InputError
from hakubooru.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.select.predicate import Condition, Predicate

MEASURES: Final = ("score", "fav_count")
"""The counts that say which post of a family is the best."""
GROUPINGS: Final = ("character", "artist", "copyright", "rating", "year")
"""What posts can be grouped by for a sample."""
WEIGHTS: Final = ("score", "fav_count", "up_score", "image_width", "image_height", "file_size")
"""The columns that posts can be weighed by."""


@dataclass(frozen=True)
class Everything:
    """All posts of the file."""

    def __str__(self) -> str:
        return "all posts"


@dataclass(frozen=True)
class Filtered:
    """The posts of a source for which a predicate holds."""

    source: Step
    predicate: Predicate

    def __str__(self) -> str:
        return str(self.predicate)


@dataclass(frozen=True)
class Among:
    """The posts of a source whose ids are in a list: little-endian int64, ascending."""

    source: Step
    ids: bytes

    def __str__(self) -> str:
        return f"among {len(self.ids) // 8:,} ids"


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
    """The posts of a source that a sample of at most so many takes from any of their groups."""

    source: Step
    by: str
    at_most: int
    seed: int

    def __post_init__(self) -> None:
        if self.by not in GROUPINGS:
            raise InputError(f"sample_per() knows no groups by {self.by!r}; {nearest(self.by, GROUPINGS)}")
        if self.at_most < 0:
            raise InputError(f"at most {self.at_most} of each {self.by} is none; ask for 0 or more")

    def __str__(self) -> str:
        return f"sample of at most {self.at_most:,} per {self.by}, seed {self.seed}"


@dataclass(frozen=True)
class SampledWeighted:
    """A sample of `size` posts of a source, in which a post's weight is a column."""

    source: Step
    column: str
    size: int
    seed: int

    def __post_init__(self) -> None:
        if self.column not in WEIGHTS:
            raise InputError(f"a post cannot be weighed by {self.column!r}; {nearest(self.column, WEIGHTS)}")
        if self.size < 0:
            raise InputError(f"a sample of {self.size} posts is none; ask for 0 or more")

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
    """The posts of a source in the order of SQL terms; ties in the order of ids."""

    source: Step
    terms: tuple[Condition, ...]

    def __str__(self) -> str:
        return f"in order of {', '.join(map(str, self.terms))}"


@dataclass(frozen=True)
class Shuffled:
    """The posts of a source in the order of their sampling keys."""

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
    """The posts of a source without those that a relative in it beats, by a count."""

    source: Step
    by: str

    def __post_init__(self) -> None:
        if self.by not in MEASURES:
            raise InputError(f"the best of a family is told by {' or '.join(MEASURES)}, not by {self.by!r}")

    def __str__(self) -> str:
        return f"best of each family by {self.by}"


Narrowing = Sampled | SampledPer | SampledWeighted | Shuffled | Limited | BestOfFamily
"""What takes from one source, by more than a question to each post."""
Step = Everything | Filtered | Among | Combined | Ordered | Narrowing


def sources(step: Step) -> tuple[Step, ...]:
    """The steps that a step takes its posts from."""
    match step:
        case Everything():
            return ()
        case Combined(_, left, right):
            return left, right
        case _:
            return (step.source,)


def walk(step: Step) -> Iterator[Step]:
    """A step and all that it rests on, the first of them first."""
    for source in sources(step):
        yield from walk(source)
    yield step


def describe(step: Step) -> str:
    """A selection's steps in words, on one line."""
    match step:
        case Everything():
            return str(step)
        case Combined(operator, left, right):
            return f"({describe(left)}) {operator} ({describe(right)})"
        case _:
            return f"{describe(step.source)}, {step}"
