"""The syntax tree of a search, as frozen values that print themselves.

`str()` gives the canonical form: what it gives is parsed into an equal tree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Place: TypeAlias = tuple[int, int]
"""Where something stands in the text: its first character, and the first after it."""

UNBALANCED: Final = frozenset({":)", ":(", ";)", ";(", ">:)", ">:("})
"""The tags whose parentheses need no partner; Danbooru allows no others."""


@dataclass(frozen=True)
class Name:
    """A tag."""

    name: str
    place: Place = field(default=(0, 0), compare=False, repr=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Wildcard:
    """Any of the tags that a pattern matches; `*` stands for any characters, or none."""

    pattern: str
    place: Place = field(default=(0, 0), compare=False, repr=False)

    def __str__(self) -> str:
        return self.pattern


@dataclass(frozen=True)
class Metatag:
    """A question that is not about a tag: `rating:g,s`."""

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
    """That all of the parts hold; of none, that everything does."""

    parts: tuple[Term, ...]

    def __str__(self) -> str:
        return " ".join(grouped(part, Either) for part in self.parts)


@dataclass(frozen=True)
class Either:
    """That one of the parts holds."""

    parts: tuple[Term, ...]

    def __str__(self) -> str:
        return " or ".join(grouped(part, All) for part in self.parts)


@dataclass(frozen=True)
class Except:
    """That the part does not hold."""

    part: Term

    def __str__(self) -> str:
        return f"-{grouped(self.part, All, Either)}"


Leaf: TypeAlias = Name | Wildcard | Metatag
Term: TypeAlias = Leaf | All | Either | Except


@dataclass(frozen=True)
class Query:
    """A search: what is asked of a post, and which posts come first."""

    condition: Term
    order: str | None = None
    """The value of `order:`, in lower case."""
    limit: int | None = None
    random: int | None = None
    text: str = field(default="", compare=False, repr=False)
    """What was parsed; the places of the terms are places in it."""

    def __str__(self) -> str:
        tail = {"order": self.order, "limit": self.limit, "random": self.random}
        metatags = [f"{name}:{value}" for name, value in tail.items() if value is not None]
        if not metatags:
            return str(self.condition)
        condition = [grouped(self.condition, Either)] if self.condition != All(()) else []
        return " ".join(condition + metatags)


def all_of(parts: Iterable[Term]) -> Term:
    """All of the parts, without nesting."""
    flat = tuple(inner for part in parts for inner in (part.parts if isinstance(part, All) else (part,)))
    return flat[0] if len(flat) == 1 else All(flat)


def either(parts: Iterable[Term]) -> Term:
    """One of the parts, without nesting."""
    flat = tuple(inner for part in parts for inner in (part.parts if isinstance(part, Either) else (part,)))
    return flat[0] if len(flat) == 1 else Either(flat)


def without(part: Term) -> Term:
    """Not the part; twice is the part itself."""
    return part.part if isinstance(part, Except) else Except(part)


def leaves(term: Term) -> Iterator[Leaf]:
    """The tags, wildcards and metatags of a tree, from left to right."""
    match term:
        case All(parts) | Either(parts):
            for part in parts:
                yield from leaves(part)
        case Except(part):
            yield from leaves(part)
        case _:
            yield term


def grouped(term: Term, *kinds: type[All | Either]) -> str:
    """A term's text, in parentheses where it is of one of these kinds."""
    if not isinstance(term, kinds):
        return str(term)
    inner = str(term)
    # After `saber_(*`, or in `:)`, the closing parenthesis would be taken for part of the tag.
    apart = not is_balanced(inner) or inner.endswith((":", ";"))
    return f"({inner} )" if apart else f"({inner})"


def is_balanced(text: str) -> bool:
    """Whether every parenthesis has its partner."""
    depth = 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if depth < 0:
            return False
    return depth == 0
