"""peewee's expressions over our columns, which refuse what Python reads otherwise than it looks.

Python cannot tell peewee of `and`, `or`, `not` and `10 < x < 20`: it asks a value whether it is true, and goes on
with one half. And `&` binds more tightly than `>`: `Post.score > 20 & x` is `Post.score > (20 & x)`. Both would give
a query that runs and finds something else, so here they raise.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Final, NoReturn

from peewee import (
    OP,
    Alias,
    BaseQuery,
    BooleanField,
    Cast,
    CharField,
    ColumnBase,
    Expression,
    Field,
    ForeignKeyField,
    IntegerField,
    Negated,
    Node,
    Ordering,
    StringExpression,
    Value,
)

from hakubooru.errors import ExpressionError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

_NO_TRUTH: Final = (
    "an expression is neither true nor false before a database answers it: write (Post.score > 10) & (Post.score < 20), "
    "with & for `and`, | for `or`, ~ for `not`, and each comparison in parentheses; 10 < Post.score < 20 is two of them; "
    "for membership in a list write Post.score.in_([1, 2])"
)
_PARENTHESES: Final = (
    "write each comparison in parentheses, (Post.score > 20) & (Post.fav_count > 5), since Python reads "
    "Post.score > 20 & x as Post.score > (20 & x); for bits write Post.bit_flags.bin_and(1) != 0"
)
_VALUE_OPERATORS: Final = {OP.ADD, OP.SUB, OP.MUL, OP.DIV, OP.MOD, OP.BIN_AND, OP.BIN_OR, OP.XOR, OP.CONCAT}


class Guarded(ColumnBase):
    """What columns and the expressions of them have in common; each operator gives such an expression again."""

    __array_ufunc__ = None  # NumPy's numbers leave their operators to ours

    def __bool__(self) -> NoReturn:
        raise ExpressionError(_NO_TRUTH)


class Question(Guarded):
    """What is true or false of a row, and no value that could be compared or reckoned with."""

    def __neg__(self) -> NoReturn:  # type: ignore[override] # peewee's is an order
        raise ExpressionError(f"- does not negate: write ~ before {self}, as in ~hb.tagged('comic')")


class Comparison(Guarded, Expression):
    """Two sides and an operator: a comparison, a join of two, or arithmetic."""


class Text(Guarded, StringExpression):
    """Texts set together."""


class Negation(Guarded, Negated):
    """That an expression does not hold."""


class Converted(Guarded, Cast):
    """An expression as another type."""


class Order(Guarded, Ordering):
    """By which column rows are ordered, and which way."""


class IntegerColumn(Guarded, IntegerField):
    """A column of whole numbers."""

    def db_value(self, value: Any) -> Any:
        """The number that SQLite compares with; one with a fraction keeps it, where peewee would cut it off.

        Raises:
            InputError: it is no number.
        """
        if value is None:
            return None
        try:
            number = float(value) if isinstance(value, float) and not value.is_integer() else int(value)
            # SQLite's integers have 64 bits; beyond, its doubles compare as well.
            return number if -(2**63) <= number < 2**63 else float(number)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{self.name} is compared with {value!r}, and takes a number") from error

    def __mod__(self, other: object) -> Any:
        # peewee takes % for LIKE, which says nothing of a number.
        return guarded(Expression(self, OP.MOD, other))

    def __pow__(self, other: object) -> NoReturn:
        raise ExpressionError(
            f"** is peewee's ILIKE, which {self.name}, a number, does not take; write * for a product"
        )


class FlagColumn(Guarded, BooleanField):
    """A column that is true or false, so that it stands beside `&`, `|` and `~` by itself."""


class TextColumn(Guarded, CharField):
    """A column of text."""


class ReferenceColumn(Guarded, ForeignKeyField):
    """A column that holds the id of another table's row."""


_GUARDED: Final[dict[type, type[Guarded]]] = {
    Expression: Comparison,
    StringExpression: Text,
    Negated: Negation,
    Cast: Converted,
    Ordering: Order,
}


def guarded(node: Any) -> Any:
    """A node as one of ours, where peewee made it."""
    if type(node) in _GUARDED:
        node.__class__ = _GUARDED[type(node)]
    return node


def is_question(node: object) -> bool:
    """Whether a node is true or false of a row, by its look: a comparison, a join, a flag, and no number or text."""
    if isinstance(node, Field):
        return isinstance(node, BooleanField)
    if isinstance(node, Expression):
        return node.op not in _VALUE_OPERATORS
    return isinstance(node, Node) and not isinstance(node, Alias | BaseQuery | Cast | Ordering | Value)


def _is_value(node: object) -> bool:
    return not isinstance(node, Question) and not (
        isinstance(node, Expression) and node.op in {OP.AND, OP.OR}
    )


def check_join(sides: tuple[Any, ...]) -> None:
    """Check that `&` or `|` joins what is true or false.

    Raises:
        ExpressionError: a side is something else.
    """
    for side in sides:
        if not is_question(side):
            raise ExpressionError(f"& and | join comparisons, and {_shown(side)} is not one: {_PARENTHESES}")


def _check_values(sides: tuple[Any, ...]) -> None:
    if any(isinstance(side, Ordering) for side in sides):
        raise ExpressionError(
            "-Post.score is an order, from the most down: for the number write 0 - Post.score"
        )
    if not all(map(_is_value, sides)):
        raise ExpressionError(
            f"what is true or false can only be joined, by &, | and ~, and not be compared or reckoned with; {_PARENTHESES}"
        )


def _check_negated(sides: tuple[Any, ...]) -> None:
    for side in sides:
        if not is_question(side):
            raise ExpressionError(
                f"~ negates comparisons, and {_shown(side)} is not one: write ~(Post.score > 20), since Python reads "
                "~Post.score > 20 as (~Post.score) > 20"
            )


def _check_xor(_: tuple[Any, ...]) -> NoReturn:
    raise ExpressionError("SQLite has no exclusive or: write (a & ~b) | (~a & b) for a ^ b")


def _check_nothing(_: tuple[Any, ...]) -> None:
    pass


def _shown(side: object) -> str:
    if isinstance(side, Field) and hasattr(side, "name"):
        return f"{side.model.__name__}.{side.name}"
    return "a number or text that is worked out" if isinstance(side, Node) else repr(side)


def _guard(name: str, check: Callable[[tuple[Any, ...]], None]) -> None:
    @wraps(getattr(ColumnBase, name))
    def method(self: Guarded, *sides: Any, **options: Any) -> Any:
        check((self, *sides))
        return guarded(getattr(super(Guarded, self), name)(*map(_plain, sides), **options))

    # Not in the class's body: an `__eq__` there would take away the hash of the columns.
    setattr(Guarded, name, method)


def _plain(side: Any) -> Any:
    """Python's list for an array or a pandas series, and Python's number for one of NumPy's."""
    return side.tolist() if not isinstance(side, Node) and hasattr(side, "tolist") else side


for _name in ("and", "or", "rand", "ror"):
    _guard(f"__{_name}__", check_join)
for _name in ("xor", "rxor"):
    _guard(f"__{_name}__", _check_xor)
for _name in (
    *("eq", "ne", "lt", "le", "gt", "ge", "lshift", "rshift", "mod", "pow"),
    *("add", "sub", "mul", "truediv", "radd", "rsub", "rmul", "rtruediv"),
):
    _guard(f"__{_name}__", _check_values)
_guard("__invert__", _check_negated)
for _name in (
    *("asc", "desc", "__pos__", "__neg__"),
    *(
        "__getitem__",
        "like",
        "ilike",
        "bin_and",
        "bin_or",
        "in_",
        "not_in",
        "regexp",
        "iregexp",
    ),
    *("is_null", "contains", "startswith", "endswith", "between", "concat", "cast"),
):
    _guard(_name, _check_nothing)
