"""The steps of a recipe, `[[steps]]`: they run in their order after the strata, the filters and the query.

[[steps]]
search = "1girl solo rating:g"            # keep what a search in Danbooru's syntax finds
[[steps]]
filter = "with_image"                     # a step without arguments
[[steps]]
sample = 10_000                           # a number of posts, or a fraction such as 0.5
[[steps]]
sample_per = "character"                  # at most so many posts of each group
at_most = 200
strict = true                             # optional: a post counts for each of its groups
[[steps]]
sample_weighted = "score"                 # a sample in which a column is the weight
sample = 1000
[[steps]]
best_of_family = "score"                  # of posts that are versions of each other, the best
[[steps]]
order = ["-score", "id"]                  # sort by columns; a minus means from the greatest down
[[steps]]
limit = 1000                              # the first posts
[[steps]]
keep = [123, 456]                         # these posts too, whatever the steps before say
[[steps]]
drop = [789]                              # without these posts
off = true                                # any step can be switched off
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import TYPE_CHECKING, Any, Final

from hakubooru.errors import InputError
from hakubooru.nearest import nearest
from hakubooru.select.danbooru import parse
from hakubooru.select.steps import GROUPINGS, MEASURES, WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hakubooru.selection import Selection

FILTERS: Final = ("without_deleted", "without_banned", "without_gold", "with_image")
"""The steps without arguments."""
CHOICES: Final = {
    "filter": FILTERS,
    "sample_per": GROUPINGS,
    "sample_weighted": WEIGHTS,
    "best_of_family": MEASURES,
}
"""The kinds of steps that are one of a few words."""
KINDS: Final = ("search", *CHOICES, "sample", "order", "limit", "keep", "drop")
"""The kinds of steps; `sample` is a number beside `sample_weighted`, and otherwise a kind."""
_NUMBERS: Final = {"sample_per": "at_most", "sample_weighted": "sample"}
"""The number that a kind of step needs beside it."""


@dataclass(frozen=True, kw_only=True)
class RecipeStep:
    """A step of a recipe, as its table says it."""

    kind: str
    """One of `KINDS`."""
    value: Any
    """What stands beside the kind: a text, a number, or ids."""
    number: int | None = None
    """`at_most` of a balanced sample, and `sample` of a weighted one."""
    strict: bool = False
    """Whether a post of a balanced sample counts for each of its groups."""
    off: bool = False
    """Whether the step is switched off."""

    @property
    def is_scaled(self) -> bool:
        """Whether a scale changes the step: it has a number of posts, and is not switched off."""
        has_number = self.number is not None or self.kind == "limit"
        return not self.off and (has_number or (self.kind == "sample" and isinstance(self.value, int)))

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> RecipeStep:
        """Read a step from its table.

        Raises:
            InputError: the table is no step; the message names the key.
        """
        if not isinstance(table, dict):
            raise InputError("each of the steps must be a table; write [[steps]]")
        kinds = [key for key in KINDS if key in table]
        # `sample` is the number of a weighted sample, not a second kind.
        kind = kinds[0] if kinds else next(iter(table), "")
        allowed = [kind, "off", *([_NUMBERS[kind]] if kind in _NUMBERS else [])]
        allowed += ["strict"] if kind == "sample_per" else []
        if not kinds:
            raise InputError(f"a step has no key {kind!r}; {nearest(kind, KINDS)}")
        for key in table:
            if key not in allowed:
                raise InputError(f"the step {kind} has no key {key!r}: each [[steps]] is one step")
        flags = {name: table.get(name, False) for name in ("off", "strict")}
        for name, flag in flags.items():
            if not isinstance(flag, bool):
                raise InputError(f"{name} of the step {kind} must be true or false, not {flag!r}")
        return cls(kind=kind, value=_value(kind, table[kind]), number=_number(kind, table), **flags)

    def table(self) -> dict[str, Any]:
        """The table of the step, from which `parse` reads an equal one."""
        value = list(self.value) if isinstance(self.value, tuple) else self.value
        number = {_NUMBERS[self.kind]: self.number} if self.kind in _NUMBERS else {}
        flags = {name: True for name in ("strict", "off") if getattr(self, name)}
        return {self.kind: value} | number | flags

    def apply(self, selection: Selection, *, seed: int, scale: float = 1) -> Selection:
        """Apply the step to a selection, unless it is off.

        Args:
            selection: the posts before the step.
            seed: the seed of samples, and of `random:` in a search.
            scale: a factor for the sizes of samples, rounded to the nearest integer.

        Raises:
            SearchError: the database does not have a tag of the search.
        """
        if self.off:
            return selection
        match self.kind:
            case "search":
                return selection.search(self.value, seed=seed)
            case "best_of_family":
                return selection.best_of_family(self.value)
            case "order":
                return selection.order_by(*self.value)
            case "limit":
                return selection.limit(scaled(self.value, scale))
            case "keep":
                return selection | type(selection)(selection.database).among(self.value)
            case "drop":
                return selection - type(selection)(selection.database).among(self.value)
            case "filter":
                step: Selection = getattr(selection, self.value)()
                return step
            case _:
                return self._sampled(selection, seed, scale)

    def _sampled(self, selection: Selection, seed: int, scale: float) -> Selection:
        if self.kind == "sample" and isinstance(self.value, float):
            return selection.sample(fraction=self.value, seed=seed)
        size = scaled(self.value if self.kind == "sample" else self.number or 0, scale)
        match self.kind:
            case "sample_per":
                return selection.sample_per(self.value, at_most=size, strict=self.strict, seed=seed)
            case "sample_weighted":
                return selection.sample_weighted(self.value, size, seed=seed)
            case _:
                return selection.sample(size, seed=seed)


def _value(kind: str, value: Any) -> Any:
    if kind in _READERS:
        return _READERS[kind](kind, value)
    if value not in CHOICES[kind]:
        raise InputError(f"{kind} cannot be {value!r}; {nearest(str(value), CHOICES[kind])}")
    return value


def _search(kind: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{kind} must be a text in quotes, not {value!r}")
    parse(value, None)
    return value


def _sample(kind: str, value: Any) -> int | float:
    is_number = type(value) is int and value >= 0
    if not is_number and not (type(value) is float and 0 <= value <= 1):
        raise InputError(f"{kind} must be a number of posts, or a fraction from 0.0 to 1.0, not {value!r}")
    size: int | float = value
    return size


def _order(kind: str, value: Any) -> tuple[str, ...]:
    terms = [value] if isinstance(value, str) else value
    if not isinstance(terms, list) or not terms or not all(isinstance(term, str) for term in terms):
        raise InputError(f'{kind} must be a list of columns, such as ["-score", "id"], not {value!r}')
    return tuple(terms)


def _limit(kind: str, value: Any) -> int:
    if type(value) is not int or value < 0:
        raise InputError(f"{kind} must be a number of posts, not {value!r}")
    return value


def _ids(kind: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(number) is int and number >= 0 for number in value):
        raise InputError(f"{kind} must be a list of post ids, such as [123, 456]")
    return tuple(value)


_READERS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "search": _search,
    "sample": _sample,
    "order": _order,
    "limit": _limit,
    "keep": _ids,
    "drop": _ids,
}
"""The readers of what stands beside a kind that is not one of a few words."""


def _number(kind: str, table: Mapping[str, Any]) -> int | None:
    if kind not in _NUMBERS:
        return None
    number = table.get(_NUMBERS[kind])
    if type(number) is not int or number < 0:
        raise InputError(
            f"the step {kind} needs {_NUMBERS[kind]} = a number of posts, such as {_NUMBERS[kind]} = 200"
        )
    return number


def scaled(size: int, scale: float) -> int:
    """Multiply a size or an id, rounded to the nearest integer."""
    return floor(size * scale + 0.5)
