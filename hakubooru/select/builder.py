"""The steps that narrow, sample and order a selection; each returns a new selection and runs nothing."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self

from peewee import Node, Ordering

from hakubooru.errors import ExpressionError, InputError
from hakubooru.nearest import nearest
from hakubooru.select.arguments import amount, explained, listed, share, whole
from hakubooru.select.arguments import column as column_name
from hakubooru.select.arguments import seed as whole_seed
from hakubooru.select.id_lists import packed
from hakubooru.select.predicates import Condition, check_columns, condition, predicate
from hakubooru.select.questions import PREDICATES, Questions, T
from hakubooru.select.steps import (
    Among,
    BestOfFamily,
    Combined,
    Everything,
    Filtered,
    Limited,
    Ordered,
    Sampled,
    SampledPer,
    SampledWeighted,
    Shuffled,
    Step,
)
from hakubooru.store.schema import Post

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from hakubooru.store.store import Store


@explained
class Builder(Questions[T]):
    """The steps of a selection; `Selection` adds the results."""

    def __init__(self, database: Store, step: Step | None = None) -> None:
        self.database = database
        self.step: Step = step or Everything()

    def among(self, ids: Iterable[int] | os.PathLike[str] | str) -> Self:
        """Keep posts whose ids are in a list, an array or a file. Ids without a post are ignored.

        Args:
            ids: a list of ids; a NumPy, pandas, Arrow or Polars array; a table with a column `id`; or the path of
                a text file with one id a line, or of a Parquet file with a column `id`.

        Raises:
            InputError: the file cannot be read, or an entry is not an id.
        """
        return self._with(Among(self.step, packed(ids)))

    def where(self, *conditions: Any) -> Self:
        """Keep posts that match every condition, a predicate or a peewee expression: `.where(Post.score > 10)`.

        Raises:
            InputError: a condition is neither of the two, or uses a column of another table.
        """
        if not conditions:
            raise InputError("where() needs a condition, such as where(Post.score > 10)")
        selection = self
        for value in conditions:
            if isinstance(value, list | tuple | set):
                raise InputError(
                    "where() takes conditions, not a list of them: write where(a & b) if both must hold, "
                    "where(a | b) if one must"
                )
            question = predicate(value)
            check_columns(question, "where()")
            selection = selection._with(Filtered(selection.step, question))
        return selection

    def only_parents(self) -> Self:
        """Keep posts that have children: other posts are versions of them."""
        return self.where(PREDICATES.parent())

    def only_children(self) -> Self:
        """Keep posts that have a parent: they are versions of another post."""
        return self.where(PREDICATES.child())

    def best_of_family(self, by: str = "score") -> Self:
        """Keep the best post of each family: the one with the highest `score` or `fav_count`.

        A family is all posts that parents and children connect in the whole file, also through posts that are not
        in this selection. If several are equally good, the oldest is kept.

        Raises:
            InputError: `by` is neither "score" nor "fav_count".
        """
        return self._with(BestOfFamily(self.step, column_name(by)))

    def without_deleted(self) -> Self:
        """Keep posts that are not deleted."""
        return self.where(~PREDICATES.deleted())

    def without_banned(self) -> Self:
        """Keep posts that are not banned (hidden at the request of their artist)."""
        return self.where(~PREDICATES.banned())

    def without_gold(self) -> Self:
        """Keep posts that are not limited to Gold accounts."""
        return self.where(~PREDICATES.gold())

    def sample(self, n: int | None = None, *, fraction: float | None = None, seed: int) -> Self:
        """Draw a random sample that depends only on ids and seed (see `hakubooru.select.sampling`).

        Args:
            n: how many posts to draw.
            fraction: in place of `n`, the part of the posts to draw, 0 to 1, rounded to the nearest post.
            seed: any whole number. Another seed gives another sample.

        Raises:
            InputError: both or neither of `n` and `fraction` are given, one is out of range, or `n` or `seed` is
                not a whole number.
        """
        if (n is None) == (fraction is None):
            raise InputError(
                "sample() takes either a number of posts or fraction=: write sample(100, seed=1) or "
                "sample(fraction=0.5, seed=1)"
            )
        if fraction is not None:
            return self._with(Sampled(self.step, share(fraction, "sample()"), whole_seed(seed, "sample()")))
        is_share = isinstance(n, Real) and not isinstance(n, bool) and 0 <= n <= 1
        mend = f"for a part of them write fraction={float(n or 0):g}" if is_share else "round it first"
        size = amount(n, "sample()", mend=mend)
        return self._with(Sampled(self.step, size, whole_seed(seed, "sample()")))

    def sample_per(self, by: str, *, at_most: int, seed: int, strict: bool = False) -> Self:
        """Draw at most `at_most` posts of each group: `.sample_per("character", at_most=200, seed=1)`.

        The sample depends only on ids and seed. A post with several characters is drawn for each of them; it is
        kept if one of these samples has it, so that a character can have more than `at_most` posts. With
        `strict=True` none has: a post counts for each of its characters, and is kept if all of them have room. A post
        without a character is left out.

        Args:
            by: what the groups are: character, artist, copyright, rating or year.
            at_most: how many posts to draw from a group.
            seed: any whole number. Another seed gives another sample.
            strict: whether a post counts for each of its groups.

        Raises:
            InputError: posts cannot be grouped by `by`, or `at_most` is negative.
        """
        most = whole(at_most, "sample_per(at_most=)")
        return self._with(SampledPer(self.step, by, most, whole_seed(seed, "sample_per()"), strict))

    def sample_weighted(self, column: str, n: int, *, seed: int) -> Self:
        """Draw a sample without replacement in which a column is the weight of a post.

        The sample depends only on ids, weights and seed (see `hakubooru.select.sampling`). Posts of weight 0 are
        never drawn. A negative weight raises `InputError` when you ask for a result.

        Args:
            column: the weight: score, fav_count, up_score, image_width, image_height or file_size.
            n: how many posts to draw.
            seed: any whole number. Another seed gives another sample.

        Raises:
            InputError: `column` cannot be a weight, or `n` is negative.
        """
        size = whole(n, "sample_weighted()", mend="it has no fraction=: multiply .count() yourself")
        return self._with(
            SampledWeighted(self.step, column_name(column), size, whole_seed(seed, "sample_weighted()"))
        )

    def order_by(self, *terms: str | Node | Iterable[str | Node]) -> Self:
        """Sort the posts by columns: `.order_by("rating", "-score")`, or `.order_by(Post.score.desc())`.

        `-` before a name means descending. Posts with equal values are sorted by id, descending if the last term is.

        Raises:
            InputError: no term is given, or posts have no column of that name.
        """
        return self._with(Ordered(self.step, _order_terms(terms, self.database.joined_columns)))

    def shuffle(self, *, seed: int) -> Self:
        """Put the posts in a random order that depends only on ids and seed; its first n posts are a sample of n."""
        return self._with(Shuffled(self.step, whole_seed(seed, "shuffle()")))

    def limit(self, count: int) -> Self:
        """Keep the first `count` posts, in the selection's order.

        Raises:
            InputError: `count` is negative, or not a whole number.
        """
        mend = "for a part of the posts write .sample(fraction=0.5, seed=1)"
        return self._with(Limited(self.step, amount(count, "limit()", mend=mend)))

    def __bool__(self) -> NoReturn:
        raise ExpressionError(
            "a selection is neither true nor false: write a & b for `a and b`, a | b for `a or b`, a - b for "
            "`a and not b`, and selection.count() > 0 to ask whether it has posts"
        )

    def __or__(self, other: Self) -> Self:
        return self._combined("|", other)

    def __and__(self, other: Self) -> Self:
        return self._combined("&", other)

    def __sub__(self, other: Self) -> Self:
        return self._combined("-", other)

    def _with(self, step: Step) -> Self:
        return type(self)(self.database, step)

    def _combined(self, operator: Literal["|", "&", "-"], other: Self) -> Self:
        if not isinstance(other, Builder):
            raise InputError(
                f"{operator} combines two selections, and {other!r} is not one: write a filter as .where(…)"
            )
        if other.database is not self.database:
            raise InputError(
                f"selections of two databases cannot be combined ({self.database.path} and {other.database.path}): "
                "take both from the same open database"
            )
        return self._with(Combined(operator, self.step, other.step))


def _order_terms(terms: tuple[Any, ...], joined: Mapping[str, Node]) -> tuple[Condition, ...]:
    """Make the terms of an order; a last term by id is added, descending if the last of `terms` is.

    Args:
        terms: names of columns, `-name` for descending, or expressions such as `Post.score.desc()`; or one list of them.
        joined: the columns of joined files, by their names in searches.

    Raises:
        InputError: no term is given, or a term is not a column of posts.
    """
    terms = listed(terms)
    if not terms:
        raise InputError("order_by() needs a column: write order_by('-score', 'id')")
    orders = [_order(term, joined) for term in terms]
    tie = Post.id.desc() if _is_descending(orders[-1]) else Post.id.asc()
    return tuple(condition(order) for order in (*orders, tie))


def _order(term: object, joined: Mapping[str, Node]) -> Node:
    if isinstance(term, Node):
        check_columns(term, "order_by()")
        return term
    if not isinstance(term, str):
        raise InputError(f"order_by() takes columns, not {term!r}: write order_by('-score', 'id')")
    name = term.removeprefix("-")
    fields = {**Post._meta.fields, **joined}  # noqa: SLF001 - peewee's documented name
    if name not in fields:
        raise InputError(f"posts have no column {name!r}; {nearest(name, fields)}")
    return Ordering(
        fields[name], "DESC" if term.startswith("-") else "ASC", nulls="last" if name in joined else None
    )


def _is_descending(order: Node) -> bool:
    return isinstance(order, Ordering) and order.direction == "DESC"
