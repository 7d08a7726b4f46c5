"""Evaluate predicates over numeric columns, or over lists of the posts of tags, with NumPy instead of a scan.

Peewee expressions are evaluated by the rules of SQL, NULL included. An expression is left to SQLite if any part of it
may mean something else in NumPy.
"""

from __future__ import annotations

import json
import operator
import re
from dataclasses import dataclass
from functools import cache, reduce
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from peewee import Cast, Context, Expression, Field, Function, Negated, NodeList, Value

from hakubooru.engine.columns import COUNTS, MISSING, NO_DATE
from hakubooru.select.predicates import And, Condition, Not, Or, Tagged
from hakubooru.select.values import SECONDS, tag_count
from hakubooru.store.schema import EXTENSIONS, TAG_TYPES, Post

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from hakubooru.arrays import Ids, Values
    from hakubooru.engine.columns import Columns
    from hakubooru.store.store import Store


Mask: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.bool_]]"
"""A boolean for each post of a file, (N,)."""


class LeftToSQLiteError(Exception):
    """An expression has a part that only SQLite can evaluate."""


@dataclass(frozen=True)
class Truth:
    """A value of SQL's three-valued logic for each post: true, false, or unknown where neither mask is set."""

    true: Mask
    false: Mask

    def __and__(self, other: Truth) -> Truth:
        return Truth(self.true & other.true, self.false | other.false)

    def __or__(self, other: Truth) -> Truth:
        return Truth(self.true | other.true, self.false & other.false)

    def __invert__(self) -> Truth:
        return Truth(self.false, self.true)


_COMPARISONS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ARITHMETIC: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "&": operator.and_,
}
_NAMED: Final = "SELECT id, name FROM tag WHERE name IN (SELECT value FROM json_each(?))"
_POSTS_OF_TAG: Final = "SELECT post_id FROM posttagrelation WHERE tag_id = ? AND id > ? AND id <= ?"
_FEW: Final = 8
"""Lists of this many values at most are compared value by value."""
_LACKING: Final = {"md5": "lacks_md5", "file_url": "lacks_file_url"}
_NULLABLE: Final = ("parent_id", "pixiv_id")
_NOT_FIELDS: Final = {"created_at", "extension", *_LACKING.values(), *COUNTS}
"""The columns that are not the column of the file with their name."""


def truth(node: Any, columns: Columns) -> Truth:
    """Evaluate a predicate or a peewee expression for each post.

    Raises:
        LeftToSQLiteError: the expression needs more than numeric columns.
    """
    match node:
        case And(parts):
            return _joined(operator.and_, parts, columns)
        case Or(parts):
            return _joined(operator.or_, parts, columns)
        case Not(part):
            inside = truth(part, columns).true
            return Truth(~inside, inside)
        case Condition(inner):
            return truth(inner, columns)
        case Tagged(name):
            if not columns.know_tags:
                raise LeftToSQLiteError(name)
            bears = columns.bearing(name)
            return Truth(bears, ~bears)
        case Negated():
            return ~truth(node.node, columns)
        case Expression():
            return _expression(node, columns)
    raise LeftToSQLiteError(repr(node))


class TagLists:
    """The posts of some tags, read from the relations: columns over a range of ids that know only tags."""

    names: frozenset[str] = frozenset()
    know_tags = True

    def __init__(self, store: Store, tags: Collection[str], span: tuple[int, int]) -> None:
        """Read the posts of the tags, tag by tag, and each half of the relations in a thread of its own.

        Args:
            store: the file.
            tags: names of tags, each once; one that the file does not have has no posts.
            span: the smallest id, and the largest plus one.
        """
        self.first, self._end = span
        self._masks = {name: np.zeros(self._end - self.first, bool) for name in tags}
        rows = store.rows(_NAMED, [json.dumps(sorted(tags))])
        halves, reader = store.halves("posttagrelation"), store.reader

        def posts_in(half: tuple[int, int]) -> Iterator[tuple[str, Ids]]:
            for tag_id, name in rows:
                yield name, reader.column(_POSTS_OF_TAG, [tag_id, *half], table="posttagrelation")

        for name, posts in reader.in_parallel([*map(posts_in, halves)]):
            is_in_range = (posts >= self.first) & (posts < self._end)
            self._masks[name][posts[is_in_range] - self.first] = True

    @property
    def ids(self) -> Ids:
        """All ids of the range, (N,) int64."""
        return np.arange(self.first, self._end)

    def __getitem__(self, name: str) -> Values:
        raise KeyError(name)

    def bearing(self, tag: str) -> Values:
        """Whether each post has a tag, (N,) bool."""
        return self._masks[tag]


class _Unread:
    """Empty columns, to find out whether columns can answer an expression, and which it uses, without reading any."""

    ids: Ids = np.empty(0, np.int64)

    def __init__(self, columns: Columns) -> None:
        self.names = columns.names
        self.know_tags = columns.know_tags
        self.used: set[str] = set()

    def __getitem__(self, name: str) -> Values:
        self.used.add(name)
        return self.ids

    def bearing(self, tag: str) -> Values:  # noqa: ARG002 - any tag
        return np.empty(0, np.bool_)


def are_answered(nodes: Sequence[Any], columns: Columns) -> list[bool]:
    """Whether columns can answer each of some predicates or peewee expressions; no column is read."""
    unread = _Unread(columns)
    answers = []
    for node in nodes:
        try:
            truth(node, unread)
        except LeftToSQLiteError:
            answers.append(False)
        else:
            answers.append(True)
    return answers


def names_in(node: Any, columns: Columns) -> set[str]:
    """The columns that a peewee expression of numbers uses; no column is read.

    Raises:
        LeftToSQLiteError: the expression needs more than numeric columns.
    """
    unread = _Unread(columns)
    numbers(node, unread)
    return unread.used


def _joined(join: Callable[[Truth, Truth], Truth], nodes: Iterable[Any], columns: Columns) -> Truth:
    """Evaluate predicates or expressions one after the other, so that few masks are in memory, and join their truth."""
    return reduce(join, (truth(node, columns) for node in nodes))


def _expression(node: Expression, columns: Columns) -> Truth:
    if node.op == "AND":
        return truth(node.lhs, columns) & truth(node.rhs, columns)
    if node.op == "OR":
        return truth(node.lhs, columns) | truth(node.rhs, columns)
    if node.op in {"IS", "IS NOT"} and node.rhs is None:
        missing = _missing(node.lhs, columns)
        return Truth(missing, ~missing) if node.op == "IS" else Truth(~missing, missing)
    if node.lhs is Post.file_ext:
        return _extension(node, columns)
    if node.lhs is Post.created_at:
        return _date(node, columns)
    values, unknown = numbers(node.lhs, columns)
    if node.op in _COMPARISONS:
        other, also_unknown = _operand(node.lhs, node.rhs, columns)
        holds = _COMPARISONS[node.op](values, other)
        return _known(holds, _either(unknown, also_unknown))
    if node.op == "BETWEEN" and isinstance(node.rhs, NodeList):
        low, _, high = node.rhs.nodes
        return _known((values >= _constant(node.lhs, low)) & (values <= _constant(node.lhs, high)), unknown)
    if node.op in {"IN", "NOT IN"}:
        listed = _list(node.lhs, node.rhs)
        inside = _is_in(values, listed)
        # In SQL, NULL IN () is false, not NULL.
        return _known(inside if node.op == "IN" else ~inside, unknown if listed else None)
    raise LeftToSQLiteError(node.op)


def _extension(node: Expression, columns: Columns) -> Truth:
    names = _list(node.lhs, node.rhs) if node.op in {"IN", "NOT IN"} else [_constant(node.lhs, node.rhs)]
    if (
        "extension" not in columns.names
        or node.op not in {"=", "!=", "IN", "NOT IN"}
        or not set(names) <= set(EXTENSIONS)
    ):
        raise LeftToSQLiteError(f"file_ext {node.op} {names}")
    inside = _is_in(columns["extension"], [EXTENSIONS.index(name) for name in names])
    return _known(inside if node.op in {"=", "IN"} else ~inside, None)


def _date(node: Expression, columns: Columns) -> Truth:
    """Compare dates with a day, as the texts that they are."""
    day = _day_of(node.rhs.value if isinstance(node.rhs, Value) else node.rhs)
    if node.op not in {"<", ">="} or day is None or "day" not in columns.names:
        raise LeftToSQLiteError(repr(node))
    days = columns["day"]
    return _known(_COMPARISONS[node.op](days, day), days == NO_DATE)


def _day_of(text: Any) -> int | None:
    """The value of the column `day` for a day such as 2024-05-31; None for any other text."""
    is_date = isinstance(text, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text)
    return 2 * int(text.replace("-", "")) if is_date else None


def _missing(node: Any, columns: Columns) -> Mask:
    """The mask of the posts in which a column is NULL."""
    if isinstance(node, Field) and node.model is Post:
        if node.name in _LACKING:
            return columns[_LACKING[node.name]].astype(bool)
        if node.name in _NULLABLE:
            return np.equal(columns[node.name], MISSING)
    raise LeftToSQLiteError(repr(node))


def numbers(node: Any, columns: Columns) -> tuple[Values, Mask | None]:
    """Evaluate an expression to numbers, (N,), and a mask of those that are NULL; None if no number is NULL.

    Raises:
        LeftToSQLiteError: the expression needs more than numeric columns.
    """
    if (
        isinstance(node, Field)
        and node.model is Post
        and node.name in columns.names
        and node.name not in _NOT_FIELDS
    ):
        values = columns[node.name]
        return values, (values == MISSING) if node.name in _NULLABLE else None
    if isinstance(node, Expression) and node.op in _ARITHMETIC:
        left, left_unknown = numbers(node.lhs, columns)
        right, right_unknown = _operand(node.lhs, node.rhs, columns)
        # Columns may have 4 bytes; SQLite calculates with 8.
        if node.op == "&" and "f" in (left.dtype.kind, np.result_type(right).kind):
            raise LeftToSQLiteError(repr(node))
        return _ARITHMETIC[node.op](_wide(left), right), _either(left_unknown, right_unknown)
    if isinstance(node, Function) and node.name == "ABS" and node.arguments:
        values, unknown = numbers(node.arguments[0], columns)
        return np.abs(_wide(values)), unknown
    name = _calculated().get(_sql(node)) if isinstance(node, Function | Cast) else None
    if name is None or name not in columns.names:
        raise LeftToSQLiteError(repr(node))
    values = columns[name]
    return values, (values == NO_DATE) if name == "created_at" else None


@cache
def _calculated() -> dict[str, str]:
    """The columns that stand for expressions over other tables or dates, by the SQL of the expression."""
    counts = {_sql(tag_count(kind)): name for kind, name in zip((None, *TAG_TYPES), COUNTS, strict=True)}
    return {_sql(SECONDS): "created_at", **counts}


def _sql(node: Any) -> str:
    sql, parameters = Context().sql(node).query()
    return f"{sql} {parameters}"


def _operand(lhs: Any, rhs: Any, columns: Columns) -> tuple[Any, Mask | None]:
    if isinstance(rhs, Field | Expression | Function):
        values, unknown = numbers(rhs, columns)
        return _wide(values), unknown
    return _constant(lhs, rhs), None


def _wide(values: Values) -> Values:
    """Convert whole numbers to 8 bytes; floats already have 8."""
    return values if values.dtype.kind == "f" else values.astype(np.int64)


def _constant(lhs: Any, value: Any) -> Any:
    """Convert a constant to the value that its column has in the file."""
    if isinstance(value, Value) and not value.multi:
        value = value.value
    if isinstance(lhs, Field):
        value = lhs.db_value(value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and lhs is Post.file_ext:
        return value
    if isinstance(value, int | float) and abs(value) < 2**62:
        return value
    raise LeftToSQLiteError(repr(value))


def _list(lhs: Any, values: Any) -> list[Any]:
    if isinstance(values, Value) and values.multi:
        values = values.value
    if not isinstance(values, list | tuple | set | frozenset):
        raise LeftToSQLiteError(repr(values))
    return [_constant(lhs, value) for value in values]


def _is_in(values: Values, listed: Sequence[Any]) -> Mask:
    """Whether each value is in a list. A few comparisons take less than a search."""
    if 0 < len(listed) <= _FEW:
        return reduce(operator.or_, (np.equal(values, one) for one in listed))
    return np.isin(values, listed)


def _known(holds: Mask, unknown: Mask | None) -> Truth:
    return Truth(holds, ~holds) if unknown is None else Truth(holds & ~unknown, ~holds & ~unknown)


def _either(left: Mask | None, right: Mask | None) -> Mask | None:
    if left is None or right is None:
        return right if left is None else left
    return left | right
