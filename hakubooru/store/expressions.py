"""Columns and expressions of peewee that raise an error for mistakes which Python would pass over silently.

For `a and b`, `a or b`, `not a` and `10 < x < 20`, Python asks whether a value is true and drops one half of the
expression. The operator `&` binds more tightly than `>`, so `Post.score > 20 & x` means `Post.score > (20 & x)`. Peewee
would run both and give wrong posts. Here they raise `ExpressionError`.
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
    "an expression has no truth value in Python: write & for `and`, | for `or`, ~ for `not`, and each comparison in "
    "parentheses, as in (Post.score > 10) & (Post.score < 20); write 10 < Post.score < 20 as two comparisons; for "
    "membership in a list write Post.score.in_([1, 2])"
)
_PARENTHESES: Final = (
    "write each comparison in parentheses, as in (Post.score > 20) & (Post.fav_count > 5), because Python reads "
    "Post.score > 20 & x as Post.score > (20 & x); for bits write Post.bit_flags.bin_and(1) != 0"
)
_VALUE_OPERATORS: Final = {OP.ADD, OP.SUB, OP.MUL, OP.DIV, OP.MOD, OP.BIN_AND, OP.BIN_OR, OP.XOR, OP.CONCAT}


class Guarded(ColumnBase):
    """The base of the columns and expressions here; each of its operators gives such an expression again."""

    __array_ufunc__ = None  # so that NumPy's numbers leave operators to these classes

    def __bool__(self) -> NoReturn:
        raise ExpressionError(_NO_TRUTH)


class Question(Guarded):
    """A condition on a row: it is true or false, and cannot be compared or calculated with."""

    def __neg__(self) -> NoReturn:  # type: ignore[override] # peewee's is an order
        raise ExpressionError(f"- does not negate {self}: write ~ instead, as in ~hb.tagged('comic')")


class Comparison(Guarded, Expression):
    """An expression of two sides and an operator: a comparison, a conjunction, or arithmetic."""


class Text(Guarded, StringExpression):
    """A concatenation of strings."""


class Negation(Guarded, Negated):
    """The negation of an expression."""


class Converted(Guarded, Cast):
    """An expression cast to another type."""


class Order(Guarded, Ordering):
    """By which column rows are ordered, and which way."""


class IntegerColumn(Guarded, IntegerField):
    """A column of whole numbers."""

    def db_value(self, value: Any) -> Any:
        """Convert a value to the number that SQLite compares with; fractions are kept, which peewee cuts off.

        Raises:
            InputError: the value is not a number.
        """
        if value is None:
            return None
        try:
            number = float(value) if isinstance(value, float) and not value.is_integer() else int(value)
            # SQLite's integers have 64 bits; beyond, its doubles compare as well.
            return number if -(2**63) <= number < 2**63 else float(number)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{self.name} must be compared with a number, not {value!r}") from error

    def __mod__(self, other: object) -> Any:
        # In peewee % means LIKE, which is useless for numbers.
        return guarded(Expression(self, OP.MOD, other))

    def __pow__(self, other: object) -> NoReturn:
        raise ExpressionError(
            f"{self.name} is a number, and ** means ILIKE in peewee, which is for text; write * for a product"
        )


class FlagColumn(Guarded, BooleanField):
    """A column that is true or false; `&`, `|` and `~` take it without a comparison."""


class TextColumn(Guarded, CharField):
    """A column of text."""


class ReferenceColumn(Guarded, ForeignKeyField):
    """A column with the id of a row of another table."""


_GUARDED: Final[dict[type, type[Guarded]]] = {
    Expression: Comparison,
    StringExpression: Text,
    Negated: Negation,
    Cast: Converted,
    Ordering: Order,
}


def guarded(node: Any) -> Any:
    """Give an expression that peewee made the class of this module; return any other node unchanged."""
    if type(node) in _GUARDED:
        node.__class__ = _GUARDED[type(node)]
    return node


def is_question(node: object) -> bool:
    """Whether a node is a condition, judged by its form: a comparison, a conjunction or a flag, not a number or text."""
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
    """Check that both sides of `&` or `|` are conditions.

    Raises:
        ExpressionError: a side is not a condition.
    """
    for side in sides:
        if not is_question(side):
            raise ExpressionError(
                f"& and | combine comparisons, and {_shown(side)} is not one: {_PARENTHESES}"
            )


def _check_values(sides: tuple[Any, ...]) -> None:
    if any(isinstance(side, Ordering) for side in sides):
        raise ExpressionError(
            "-Post.score is an order, from the most down: for the number write 0 - Post.score"
        )
    if not all(map(_is_value, sides)):
        raise ExpressionError(
            f"conditions combine only with &, | and ~, and cannot be compared or calculated with: {_PARENTHESES}"
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
    return "a calculated number or text" if isinstance(side, Node) else repr(side)


def _guard(name: str, check: Callable[[tuple[Any, ...]], None]) -> None:
    @wraps(getattr(ColumnBase, name))
    def method(self: Guarded, *sides: Any, **options: Any) -> Any:
        check((self, *sides))
        return guarded(getattr(super(Guarded, self), name)(*map(_plain, sides), **options))

    # Set here and not in the class body, where `__eq__` would remove the hash of columns.
    setattr(Guarded, name, method)


def _plain(side: Any) -> Any:
    """Convert an array or a pandas series to a list, and a NumPy number to a Python number."""
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
