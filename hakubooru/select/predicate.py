"""Predicates: what is asked of a post, as frozen values joined by `&`, `|` and `~`; `hakubooru.select.ask` makes them.

They mix with peewee's own expressions (`hb.rating("general") & (Post.score > 10)`), and stand in a peewee
query where an expression may stand. Two predicates are equal exactly when they ask the same in SQL.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from peewee import SQL, Case, Context, Expression, Field, Function, Negated, Node, NodeList, WrappedNode, fn

from hakubooru.errors import InputError
from hakubooru.store.expressions import Question, check_join, is_question
from hakubooru.store.schema import Post, PostTagRelation, Tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_LONGEST_CHAIN: Final = 500


class Predicate(Question):
    """Something asked of a post."""

    def _node(self) -> Node:
        """The same in peewee's terms."""
        raise NotImplementedError

    def __sql__(self, context: Context) -> Context:
        context.sql(self._node())
        return context

    def __and__(self, other: object) -> Predicate:  # type: ignore[override] # narrower than peewee's on purpose
        return And(_parts(And, self) + _parts(And, _operand(self, other)))

    def __or__(self, other: object) -> Predicate:  # type: ignore[override]
        return Or(_parts(Or, self) + _parts(Or, _operand(self, other)))

    def __ne__(self, other: object) -> bool:  # type: ignore[override]
        return not self == other

    def __invert__(self) -> Predicate:
        return self.part if isinstance(self, Not) else Not(self)


@dataclass(frozen=True)
class Condition(Predicate):
    """A peewee expression, with words for people; equal by its SQL.

    peewee's own `==` builds an expression, which is always true: its values cannot be compared themselves.
    """

    node: Node = field(compare=False, repr=False)
    words: str = field(compare=False)
    sql: str = field(init=False, repr=False)
    parameters: tuple[Any, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        sql, parameters = Context().sql(self.node).query()
        object.__setattr__(self, "sql", sql)
        object.__setattr__(self, "parameters", tuple(parameters))

    def _node(self) -> Node:
        return self.node

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True)
class IdRange(Condition):
    """That the id is at least `low` and, where there is a `high`, below it."""

    low: int = field(compare=False, kw_only=True)
    high: int | None = field(compare=False, kw_only=True)


@dataclass(frozen=True)
class Tagged(Predicate):
    """That a post bears a tag."""

    name: str
    type: str | None = field(default=None, compare=False)
    """What the tag has to be, where that is said: a result is refused where it is of another type."""

    def _node(self) -> Node:
        tag_id = Tag.select(Tag.id).where(Tag.name == self.name)
        return _bearing(PostTagRelation.tag == tag_id)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class And(Predicate):
    """That all of these hold; of none, that everything does."""

    parts: tuple[Predicate, ...]

    def _node(self) -> Node:
        names = [part.part for part in self.parts if isinstance(part, Not) and isinstance(part.part, Tagged)]
        if len(names) < 2:
            return _chain(" AND ", self.parts)
        # In the place of the first of them: the parameters keep their order.
        others = [part for part in self.parts if not isinstance(part, Not) or part.part not in names]
        place = next(
            place for place, part in enumerate(self.parts) if isinstance(part, Not) and part.part in names
        )
        return _chain(" AND ", [*others[:place], Not(Or(tuple(names))), *others[place:]])

    def __str__(self) -> str:
        return " ".join(f"({part})" if isinstance(part, Or) else str(part) for part in self.parts)


@dataclass(frozen=True)
class Or(Predicate):
    """That one of these holds."""

    parts: tuple[Predicate, ...]

    def _node(self) -> Node:
        names = [part.name for part in self.parts if isinstance(part, Tagged)]
        if len(names) < 2:
            return _chain(" OR ", self.parts)
        # One walk over the relations of all the tags, and one look into it for a post.
        listed = SQL("(SELECT value FROM json_each(?))", [json.dumps(names)])
        tagged = _bearing(PostTagRelation.tag.in_(Tag.select(Tag.id).where(Tag.name.in_(listed))))
        return _chain(" OR ", (tagged, *(part for part in self.parts if not isinstance(part, Tagged))))

    def __str__(self) -> str:
        return " or ".join(str(part) for part in self.parts)


@dataclass(frozen=True)
class Not(Predicate):
    """That this does not hold."""

    part: Predicate

    def _node(self) -> Node:
        # `NOT` of an unknown value is unknown: without COALESCE a post that lacks the value would
        # stand in neither of the two sets.
        return Negated(fn.COALESCE(self.part, 0))

    def __str__(self) -> str:
        return f"-({self.part})" if isinstance(self.part, And | Or) else f"-{self.part}"


def predicate(value: object) -> Predicate:
    """A predicate as it is, or a peewee expression over `Post` as one.

    Raises:
        InputError: the value is neither; a comparison that Python decided itself is not an expression.
    """
    if isinstance(value, Predicate):
        return value
    if isinstance(value, Node) and is_question(value):
        return condition(value)
    shown = "a value, an order or a query" if isinstance(value, Node) else repr(value)
    raise InputError(f"{shown[:100]} asks nothing of a post; write an expression such as Post.score > 10")


def condition(node: Node) -> Condition:
    """A peewee expression over `Post` as a predicate, in the words of its SQL."""
    sql, parameters = Context().sql(node).query()
    words = sql.replace('"t1".', "").replace('"', "").replace("?", "{}")
    return Condition(node, words.format(*map(repr, parameters)))


def conjuncts(wanted: Predicate) -> tuple[Predicate, ...]:
    """The predicates that all have to hold for this one to hold."""
    return _parts(And, wanted)


def check_columns(value: object, step: str) -> None:
    """Check that an expression asks of the columns of posts alone; queries inside it may ask of others.

    Args:
        value: a predicate or a peewee expression.
        step: what it is given to.

    Raises:
        InputError: it names a column of another table.
    """
    if isinstance(value, Field) and value.model is not Post:
        raise InputError(
            f"{step} takes columns of Post, and {value.name!r} is one of another table: for a tag write "
            "hb.tagged('solo'), for more Post.id.in_(PostTagRelation.select(PostTagRelation.post).where(…))"
        )
    for part in _inside(value):
        check_columns(part, step)


def tags_asked(value: object) -> Iterator[Tagged]:
    """All tags that a predicate, or a peewee expression with predicates in it, asks for."""
    if isinstance(value, Tagged):
        yield value
    for part in _inside(value):
        yield from tags_asked(part)


def _operand(self: Predicate, other: object) -> Predicate:
    check_join((self, other))
    return predicate(other)


def _inside(value: object) -> Iterable[object]:
    """What a predicate or an expression is made of; nothing of the queries in it."""
    match value:
        case And(parts) | Or(parts):
            return parts
        case Not(part):
            return (part,)
        case Condition(node):
            return (node,)
        case Expression():
            return value.lhs, value.rhs
        case WrappedNode():
            return (value.node,)
        case Function():
            return value.arguments or ()
        case NodeList():
            nodes: Iterable[object] = value.nodes
            return nodes
        case Case():
            return value.predicate, value.default, *chain.from_iterable(value.expression_tuples)
    return ()


def _bearing(tags: Node) -> Node:
    return Post.id.in_(PostTagRelation.select(PostTagRelation.post).where(tags))


def _chain(glue: str, parts: Sequence[Node]) -> Node:
    # SQLite's parser stops at a hundred parentheses in each other, and at a thousand links of a chain.
    while len(parts) > _LONGEST_CHAIN:
        parts = [
            _chain(glue, parts[start : start + _LONGEST_CHAIN])
            for start in range(0, len(parts), _LONGEST_CHAIN)
        ]
    return parts[0] if len(parts) == 1 else NodeList(list(parts), glue=glue, parens=True)


def _parts(kind: type[And | Or], value: Predicate) -> tuple[Predicate, ...]:
    return value.parts if isinstance(value, kind) else (value,)
