"""The syntax tree of a search, as frozen values.

`str()` of a tree is its canonical form, which parses into an equal tree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Place: TypeAlias = tuple[int, int]
"""The place of a term in the text: the index of its first character, and of the first after it."""

UNBALANCED: Final = frozenset({":)", ":(", ";)", ";(", ">:)", ">:("})
"""The tags whose parenthesis has no partner; Danbooru allows no others."""


@dataclass(frozen=True)
class Name:
    """The name of a tag."""

    name: str
    place: Place = field(default=(0, 0), compare=False, repr=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Wildcard:
    """A pattern that matches several tags; `*` stands for any number of characters."""

    pattern: str
    place: Place = field(default=(0, 0), compare=False, repr=False)

    def __str__(self) -> str:
        return self.pattern


@dataclass(frozen=True)
class Metatag:
    """A metatag with its value, such as `rating:g,s`."""

    name: str
    value: str
    quoted: bool = False
    place: Place = field(default=(0, 0), compare=False, repr=False)

    def __str__(self) -> str:
        if not self.quoted:
            return f"{self.name}:{self.value}"
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.name}:"{escaped}"'


@dataclass(frozen=True)
class All:
    """A conjunction: all of its parts must hold; without parts, every post matches."""

    parts: tuple[Term, ...]

    def __str__(self) -> str:
        return " ".join(grouped(part, Either) for part in self.parts)


@dataclass(frozen=True)
class Either:
    """An alternative: at least one of its parts must hold."""

    parts: tuple[Term, ...]

    def __str__(self) -> str:
        return " or ".join(grouped(part, All) for part in self.parts)


@dataclass(frozen=True)
class Except:
    """A negation: its part must not hold."""

    part: Term

    def __str__(self) -> str:
        return f"-{grouped(self.part, All, Either)}"


Leaf: TypeAlias = Name | Wildcard | Metatag
Term: TypeAlias = Leaf | All | Either | Except


@dataclass(frozen=True)
class Query:
    """A parsed search: a condition on posts, their order, and their number."""

    condition: Term
    order: str | None = None
    """The value of `order:`, in lower case."""
    limit: int | None = None
    """The value of `limit:`."""
    random: int | None = None
    """The value of `random:`."""
    text: str = field(default="", compare=False, repr=False)
    """The text of the search, to which the places of its terms refer."""

    def __str__(self) -> str:
        tail = {"order": self.order, "limit": self.limit, "random": self.random}
        metatags = [f"{name}:{value}" for name, value in tail.items() if value is not None]
        if not metatags:
            return str(self.condition)
        condition = [grouped(self.condition, Either)] if self.condition != All(()) else []
        return " ".join(condition + metatags)


def all_of(parts: Iterable[Term]) -> Term:
    """Join terms into one conjunction, without nesting."""
    flat = tuple(inner for part in parts for inner in (part.parts if isinstance(part, All) else (part,)))
    return flat[0] if len(flat) == 1 else All(flat)


def either(parts: Iterable[Term]) -> Term:
    """Join terms into one alternative, without nesting."""
    flat = tuple(inner for part in parts for inner in (part.parts if isinstance(part, Either) else (part,)))
    return flat[0] if len(flat) == 1 else Either(flat)


def without(part: Term) -> Term:
    """Negate a term; a double negation gives the term itself."""
    return part.part if isinstance(part, Except) else Except(part)


def leaves(term: Term) -> Iterator[Leaf]:
    """Iterate over the tags, wildcards and metatags of a tree, from left to right."""
    match term:
        case All(parts) | Either(parts):
            for part in parts:
                yield from leaves(part)
        case Except(part):
            yield from leaves(part)
        case _:
            yield term


def grouped(term: Term, *kinds: type[All | Either]) -> str:
    """The text of a term, in parentheses if the term is of one of these kinds."""
    if not isinstance(term, kinds):
        return str(term)
    inner = str(term)
    # Right after `saber_(*` or `:`, the parser would read the closing parenthesis as a part of the tag.
    needs_space = not is_balanced(inner) or inner.endswith((":", ";"))
    return f"({inner} )" if needs_space else f"({inner})"


def is_balanced(text: str) -> bool:
    """Whether every parenthesis has its partner."""
    depth = 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if depth < 0:
            return False
    return depth == 0
