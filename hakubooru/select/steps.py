"""The steps of a selection: each gives a new one, and nothing runs."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self

from hakubooru.errors import ExpressionError, InputError
from hakubooru.select import ask
from hakubooru.select.arguments import column as column_name
from hakubooru.select.arguments import seed as whole_seed
from hakubooru.select.arguments import share, whole
from hakubooru.select.idfile import packed
from hakubooru.select.orders import order_terms
from hakubooru.select.predicate import check_columns, predicate
from hakubooru.select.step import (
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

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from peewee import Node

    from hakubooru.select.ask import Day, Ratio
    from hakubooru.select.memory import CachedStore


class Steps:
    """What posts are narrowed by; `Selection` adds what can be asked of them."""

    def __init__(self, database: CachedStore, step: Step | None = None) -> None:
        self.database = database
        self.step: Step = step or Everything()

    def ids(self, low: int, high: int | None = None) -> Self:
        """Posts with ids from `low` up to, and without, `high`."""
        return self.where(ask.ids(low, high))

    def among(self, ids: Iterable[int] | os.PathLike[str] | str) -> Self:
        """Posts whose ids are in a list, an array, or a file; ids of no post are passed over.

        Args:
            ids: a list; an array of NumPy, pandas, Arrow or Polars, or a table with a column `id`; a text file with
                one id a line, or a Parquet file with a column `id`.

        Raises:
            InputError: the file cannot be read, or an entry is not an id.
        """
        return self._with(Among(self.step, packed(ids)))

    def where(self, *wanted: Any) -> Self:
        """Posts for which all of some predicates or peewee expressions hold: `.where(Post.score > 10)`.

        Raises:
            InputError: one is neither, or asks of another table.
        """
        if not wanted:
            raise InputError("where() needs a question; such as Post.score > 10")
        selection = self
        for one in wanted:
            if isinstance(one, list | tuple | set):
                raise InputError(
                    "where() takes no list: write where(a & b), or where(a | b), for what is in it"
                )
            asked = predicate(one)
            check_columns(asked, "where()")
            selection = selection._with(Filtered(selection.step, asked))
        return selection

    def tagged(
        self,
        *tags: str | Iterable[str],
        all: Iterable[str] = (),
        any: Iterable[str] = (),
        none: Iterable[str] = (),
    ) -> Self:
        """Posts that bear all of `tags` and `all`, one of `any` where any are given, and none of `none`."""
        return self.where(ask.tagged(*tags, all=all, any=any, none=none))

    def rating(self, *ratings: str | Iterable[str]) -> Self:
        """Posts of these ratings, by name or first letter."""
        return self.where(ask.rating(*ratings))

    def score(self, *, min: int | None = None, max: int | None = None) -> Self:
        """Posts with a score in a range, both ends inclusive."""
        return self.where(ask.score(min=min, max=max))

    def fav_count(self, *, min: int | None = None, max: int | None = None) -> Self:
        """Posts with a number of favourites in a range, both ends inclusive."""
        return self.where(ask.fav_count(min=min, max=max))

    def date(self, *, min: Day | None = None, max: Day | None = None) -> Self:
        """Posts made in a range of years, months or days, both ends inclusive: `.date(min=2019, max="2023-05")`."""
        return self.where(ask.date(min=min, max=max))

    def size(
        self,
        *,
        min_width: int | None = None,
        max_width: int | None = None,
        min_height: int | None = None,
        max_height: int | None = None,
        min_area: int | None = None,
        max_area: int | None = None,
        min_ratio: Ratio | None = None,
        max_ratio: Ratio | None = None,
    ) -> Self:
        """Posts with width, height, area (pixels) and ratio of width to height in ranges, both ends inclusive."""
        ranges = {name: value for name, value in locals().items() if name != "self"}
        return self.where(ask.size(**ranges))

    def file_type(self, *types: str | Iterable[str]) -> Self:
        """Posts whose file has one of these extensions."""
        return self.where(ask.file_type(*types))

    def tag_count(self, type: str | None = None, *, min: int | None = None, max: int | None = None) -> Self:
        """Posts with a number of tags, altogether or of one type, in a range, both ends inclusive."""
        return self.where(ask.tag_count(type, min=min, max=max))

    def tag_popularity(
        self, type: str | None = None, *, min: int | None = None, max: int | None = None
    ) -> Self:
        """Posts that bear a tag (of a type) which a number of posts of the file bear: `("artist", min=50)`."""
        return self.where(ask.tag_popularity(type, min=min, max=max))

    def artist(self, *tags: str | Iterable[str]) -> Self:
        """Posts by one of these artists; a result is refused where a tag is of another type."""
        return self.where(ask.artist(*tags))

    def character(self, *tags: str | Iterable[str]) -> Self:
        """Posts that show one of these characters; a result is refused where a tag is of another type."""
        return self.where(ask.character(*tags))

    def copyright(self, *tags: str | Iterable[str]) -> Self:
        """Posts that belong to one of these works; a result is refused where a tag is of another type."""
        return self.where(ask.copyright(*tags))

    def only_parents(self) -> Self:
        """Posts of which others are versions."""
        return self.where(ask.parent())

    def only_children(self) -> Self:
        """Posts that are versions of others."""
        return self.where(ask.child())

    def best_of_family(self, by: str = "score") -> Self:
        """Posts without those that a relative here (parent, child, sibling, …) beats by `score` or `fav_count`.

        Of equals the oldest stays. Relatives are those of the whole file, also where what joins them is not here.

        Raises:
            InputError: `by` is another column.
        """
        return self._with(BestOfFamily(self.step, column_name(by)))

    def without_deleted(self) -> Self:
        """Posts that were not deleted."""
        return self.where(~ask.deleted())

    def without_banned(self) -> Self:
        """Posts that are not hidden at their artist's wish."""
        return self.where(~ask.banned())

    def without_gold(self) -> Self:
        """Posts that are not shown to Gold accounts only."""
        return self.where(~ask.gold())

    def with_image(self, *, gif: bool = False) -> Self:
        """Posts that are a jpg, png, webp or avif (with `gif=True` a gif too) and not hidden."""
        return self.where(ask.with_image(gif=gif))

    def sample(self, n: int | None = None, *, fraction: float | None = None, seed: int) -> Self:
        """A sample that depends on nothing but ids and seed (see `hakubooru.select.sampling`).

        Args:
            n: how many posts.
            fraction: or which part of them, 0 to 1, rounded to the nearest post.
            seed: another seed gives another sample; any whole number.

        Raises:
            InputError: not exactly one of `n` and `fraction` is given, it is out of range, or a number
                is not whole.
        """
        if (n is None) == (fraction is None):
            raise InputError("sample() takes a number of posts or fraction=, one of the two")
        if fraction is not None:
            return self._with(Sampled(self.step, share(fraction, "sample()"), whole_seed(seed, "sample()")))
        is_share = isinstance(n, Real) and not isinstance(n, bool) and 0 <= n <= 1
        mend = f"for a part of them write fraction={float(n or 0):g}" if is_share else "round it first"
        size = whole(n, "sample()", mend=mend)
        if size < 0:
            raise InputError(f"a sample of {size} posts is none; ask for 0 or more")
        return self._with(Sampled(self.step, size, whole_seed(seed, "sample()")))

    def sample_per(self, by: str, *, at_most: int, seed: int) -> Self:
        """A sample of at most so many posts of each group, which depends on nothing but ids and seed.

        A post that bears several tags of a type counts for each of them, and is in if it is in the sample of any;
        one that bears none is left out. `db.posts.sample_per("character", at_most=200, seed=1)`

        Args:
            by: character, artist, copyright, rating or year.
            at_most: how many of a group.
            seed: another seed gives another sample.

        Raises:
            InputError: there are no such groups, or `at_most` is negative.
        """
        most = whole(at_most, "sample_per(at_most=)")
        return self._with(SampledPer(self.step, by, most, whole_seed(seed, "sample_per()")))

    def sample_weighted(self, column: str, n: int, *, seed: int) -> Self:
        """A sample without replacement in which a post's weight is one of its columns.

        Depends on nothing but ids, weights and seed (see `hakubooru.select.sampling`). Posts of weight 0 are never
        drawn, and a weight below 0 is refused when a result is asked for.

        Args:
            column: score, fav_count, up_score, image_width, image_height or file_size.
            n: how many posts.
            seed: another seed gives another sample.

        Raises:
            InputError: posts cannot be weighed by that column, or `n` is negative.
        """
        size = whole(n, "sample_weighted()", mend="it has no fraction=: multiply .count() yourself")
        return self._with(
            SampledWeighted(self.step, column_name(column), size, whole_seed(seed, "sample_weighted()"))
        )

    def order_by(self, *terms: str | Node | Iterable[str | Node]) -> Self:
        """The same posts in an order: a column's name, `-name` for descending, or `Post.score.desc()`.

        Ties stand in the order of ids: descending where the last term is.

        Raises:
            InputError: there is no term, or no such column.
        """
        return self._with(Ordered(self.step, order_terms(terms)))

    def shuffle(self, *, seed: int) -> Self:
        """The same posts in an order that depends on nothing but ids and seed; its beginning is a sample."""
        return self._with(Shuffled(self.step, whole_seed(seed, "shuffle()")))

    def limit(self, count: int) -> Self:
        """The first `count` posts, in the selection's order.

        Raises:
            InputError: `count` is negative or no whole number.
        """
        count = whole(count, "limit()", mend="for a part of the posts write .sample(fraction=0.5, seed=1)")
        if count < 0:
            raise InputError(f"limit({count}) is none; ask for 0 or more")
        return self._with(Limited(self.step, count))

    def __bool__(self) -> NoReturn:
        raise ExpressionError(
            "a selection is neither true nor false: write a & b for `a and b`, a | b for `a or b`, a - b for `a and not b`, "
            "and .count() > 0 for whether there are posts in it"
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
        if not isinstance(other, Steps):
            raise InputError(
                f"{operator} joins two selections, and {other!r} is none; filters go into .where(…)"
            )
        if other.database is not self.database:
            raise InputError(
                f"a selection of {self.database.path} and one of {other.database.path} cannot be joined; "
                "take both from one open database"
            )
        return self._with(Combined(operator, self.step, other.step))
