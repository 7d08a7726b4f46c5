"""Predicates: conditions on posts as frozen values, which combine with `&`, `|` and `~`.

The methods of `hakubooru.select.questions.Questions` make them. They combine with peewee's own expressions (`hb.rating("general") &
(Post.score > 10)`), and can be used in a peewee query like any expression. Two predicates are equal if their SQL is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from peewee import SQL, Case, Context, Expression, Field, Function, Negated, Node, NodeList, WrappedNode, fn

from hakubooru.errors import InputError
from hakubooru.store.expressions import Question, check_join, is_question
from hakubooru.store.schema import Post

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_LONGEST_CHAIN: Final = 500


class Predicate(Question):
    """A condition that a post matches or does not match; predicates combine with `&`, `|` and `~`."""

    def _node(self) -> Node:
        """The predicate as a peewee expression."""
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
    """A peewee expression with words that describe it. Two conditions are equal if their SQL is.

    Peewee's expressions cannot be compared themselves: their `==` builds a new expression, which is always true.
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
    """A range of ids: `low` <= id < `high`; without `high`, all ids from `low` on."""

    low: int = field(compare=False, kw_only=True)
    high: int | None = field(compare=False, kw_only=True)


@dataclass(frozen=True)
class Tagged(Predicate):
    """The condition that a post has a tag."""

    name: str
    type: str | None = field(default=None, compare=False)
    """The type that the tag must have; results raise `InputError` if it has another. None allows any type."""
    is_known: bool = field(default=False, compare=False, kw_only=True)
    """Whether the database is known to have the tag, because a search has looked it up."""

    def _node(self) -> Node:
        return Bearing(SQL("= (SELECT id FROM tag WHERE name = ?)", [self.name]))

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class And(Predicate):
    """The conjunction of predicates: a post must match all of them; without parts, every post matches."""

    parts: tuple[Predicate, ...]

    def _node(self) -> Node:
        names = [part.part for part in self.parts if isinstance(part, Not) and isinstance(part.part, Tagged)]
        if len(names) < 2:
            return _chain(" AND ", self.parts)
        # They stand in the place of the first one, so that the parameters keep their order.
        others = [part for part in self.parts if not isinstance(part, Not) or part.part not in names]
        place = next(
            place for place, part in enumerate(self.parts) if isinstance(part, Not) and part.part in names
        )
        return _chain(" AND ", [*others[:place], Not(Or(tuple(names))), *others[place:]])

    def __str__(self) -> str:
        return " ".join(f"({part})" if isinstance(part, Or) else str(part) for part in self.parts)


@dataclass(frozen=True)
class Or(Predicate):
    """The alternative of predicates: a post must match at least one of them."""

    parts: tuple[Predicate, ...]

    def _node(self) -> Node:
        names = [part.name for part in self.parts if isinstance(part, Tagged)]
        if len(names) < 2:
            return _chain(" OR ", self.parts)
        # One subquery collects the posts of all the tags; each post is then looked up once, not once a tag.
        listed = "IN (SELECT id FROM tag WHERE name IN (SELECT value FROM json_each(?)))"
        tagged = Bearing(SQL(listed, [json.dumps(names)]))
        return _chain(" OR ", (tagged, *(part for part in self.parts if not isinstance(part, Tagged))))

    def __str__(self) -> str:
        return " or ".join(str(part) for part in self.parts)


@dataclass(frozen=True)
class Not(Predicate):
    """The negation of a predicate: a post must not match it."""

    part: Predicate

    def _node(self) -> Node:
        # In SQL, NOT of NULL is NULL: without COALESCE a post without the value would match neither the
        # predicate nor its negation.
        return Negated(fn.COALESCE(self.part, 0))

    def __str__(self) -> str:
        return f"-({self.part})" if isinstance(self.part, And | Or) else f"-{self.part}"


def predicate(value: object) -> Predicate:
    """Convert a peewee expression over `Post` to a predicate; a predicate is returned unchanged.

    Raises:
        InputError: the value is neither of the two; the result of a Python comparison is not an expression.
    """
    if isinstance(value, Predicate):
        return value
    if isinstance(value, Node) and is_question(value):
        return condition(value)
    shown = "a value, an order or a query" if isinstance(value, Node) else repr(value)
    raise InputError(f"{shown[:100]} is not a condition on posts: write one, such as Post.score > 10")


def condition(node: Node) -> Condition:
    """Convert a peewee expression over `Post` to a predicate that is described by its SQL."""
    sql, parameters = Context().sql(node).query()
    words = sql.replace('"t1".', "").replace('"', "").replace("?", "{}")
    return Condition(node, words.format(*map(repr, parameters)))


def joined(kind: type[And | Or], parts: Sequence[Predicate]) -> Predicate:
    """Combine predicates; a single one is returned unchanged."""
    return parts[0] if len(parts) == 1 else kind(tuple(parts))


def check_columns(value: object, step: str) -> None:
    """Check that an expression uses only columns of posts; subqueries may use other tables.

    Args:
        value: a predicate or a peewee expression.
        step: the call that takes it, for the message.

    Raises:
        InputError: the expression uses a column of another table.
    """
    if isinstance(value, Field) and value.model is not Post:
        raise InputError(
            f"{step} takes columns of Post, and {value.name!r} is a column of another table: for a tag write "
            "hb.tagged('solo'), else Post.id.in_(PostTagRelation.select(PostTagRelation.post).where(…))"
        )
    for part in _inside(value):
        check_columns(part, step)


def tags_asked(value: object) -> Iterator[Tagged]:
    """Iterate over the tags in a predicate, or in an expression with predicates in it, that results must look up."""
    if isinstance(value, Tagged) and not value.is_known:
        yield value
    for part in _inside(value):
        yield from tags_asked(part)


def _operand(self: Predicate, other: object) -> Predicate:
    check_join((self, other))
    return predicate(other)


def _inside(value: object) -> Iterable[object]:
    """The direct parts of a predicate or an expression, without subqueries."""
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


class Bearing(Node):
    """The expression that a post has one of some tags, given by the SQL after `tag_id`, such as `= 1`.

    SQLite lists all posts of the tags. If the setting `among` of the context has the only posts that count, as JSON, it
    looks up the tags of these.
    """

    def __init__(self, tags: Node) -> None:
        self._tags = tags

    def __sql__(self, context: Context) -> Context:
        """Write the expression."""
        context.sql(Post.id).literal(" IN (SELECT post_id FROM posttagrelation WHERE ")
        among = context.state.among
        if among is not None:
            # By the plus, SQLite takes the index of posts, although it believes that of tags to be better.
            context.sql(SQL("post_id IN (SELECT value FROM json_each(?)) AND +", [among]))
        context.literal("tag_id ").sql(self._tags).literal(")")
        return context


def _chain(glue: str, parts: Sequence[Node]) -> Node:
    # SQLite's parser takes at most 100 nested parentheses, and chains of at most 1,000 operators.
    while len(parts) > _LONGEST_CHAIN:
        parts = [
            _chain(glue, parts[start : start + _LONGEST_CHAIN])
            for start in range(0, len(parts), _LONGEST_CHAIN)
        ]
    return parts[0] if len(parts) == 1 else NodeList(list(parts), glue=glue, parens=True)


def _parts(kind: type[And | Or], value: Predicate) -> tuple[Predicate, ...]:
    return value.parts if isinstance(value, kind) else (value,)
