"""Questions about a post. A selection keeps the posts that match; `hb.rating("general")` and the like are predicates."""

from __future__ import annotations

from fractions import Fraction
from numbers import Real
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

from peewee import SQL, NodeList, fn

from hakubooru.errors import InputError
from hakubooru.nearest import nearest
from hakubooru.select.arguments import date_span, explained, listed, names, number, whole
from hakubooru.select.predicates import And, Bearing, Condition, IdRange, Not, Or, Predicate, Tagged, joined
from hakubooru.select.values import PIXELS
from hakubooru.select.values import tag_count as counted
from hakubooru.store.schema import (
    EXTENSIONS,
    RATINGS,
    TAG_TYPES,
    Post,
    PostTagRelation,
    Tag,
    enum_number,
    rating_number,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date as day

    Day: TypeAlias = str | int | day
    """A year, a month or a day: `2019`, `"2019-05"`, `"2019-05-23"`, a `datetime.date`."""
    Ratio: TypeAlias = float | str | Fraction
    """Width to height: a number, or text such as `"3:2"`."""

T = TypeVar("T")

IMAGE_EXTENSIONS: Final = ("jpg", "png", "webp", "avif")
"""The extensions that count as an image. A gif counts only if you ask for it; its image is the first frame."""

_LARGEST_RATIO: Final = 10**9  # times the sides of an image, well within SQLite's integers


@explained
class Questions(Generic[T]):
    """The questions that can be asked about a post, each once: by a selection, or for a predicate."""

    def _matching(self, predicate: Predicate) -> T:
        """What a question gives: the posts that match, or the predicate itself."""
        raise NotImplementedError

    def tagged(
        self,
        *tags: str | Iterable[str],
        all: Iterable[str] = (),
        any: Iterable[str] = (),
        none: Iterable[str] = (),
    ) -> T:
        """Posts that have every tag of `tags` and `all`, at least one of `any`, and no tag of `none`.

        Raises:
            InputError: no tag is given, or one is not a string.
        """
        for words in (all, any, none):
            if isinstance(words, str):
                raise InputError(
                    f"all=, any= and none= take a list of tags: write [{words!r}], not {words!r}"
                )
        required, alternatives, excluded = (names((words,), "tagged") for words in (all, any, none))
        parts: list[Predicate] = [Tagged(name) for name in (*names(tags, "tagged"), *required)]
        if alternatives:
            parts.append(joined(Or, [Tagged(name) for name in alternatives]))
        parts += [Not(Tagged(name)) for name in excluded]
        if not parts:
            raise InputError(
                "tagged() needs a tag: write tagged('solo'), or give all=[…], any=[…] or none=[…]"
            )
        return self._matching(joined(And, parts))

    def rating(self, *ratings: str | Iterable[str]) -> T:
        """Posts with one of these ratings, by name or first letter: `rating("general", "s")`.

        Raises:
            InputError: no rating is given, or there is no such rating.
        """
        if not listed(ratings):
            raise InputError(f"rating() needs a rating, one or several of {', '.join(RATINGS)}")
        numbers = sorted({rating_number(name) for name in listed(ratings)})
        words = "rating:" + ",".join(RATINGS[number] for number in numbers)
        return self._matching(Condition(Post.rating.in_(numbers), words))

    def score(self, *, min: int | None = None, max: int | None = None) -> T:
        """Posts with a score from `min` to `max`, both included.

        Raises:
            InputError: no end is given, an end is not a number, or the range is empty.
        """
        return self._matching(between(Post.score, min, max, "score"))

    def fav_count(self, *, min: int | None = None, max: int | None = None) -> T:
        """Posts with `min` to `max` favourites, both included.

        Raises:
            InputError: no end is given, an end is not a number, or the range is empty.
        """
        return self._matching(between(Post.fav_count, min, max, "favcount"))

    def date(self, *, min: Day | None = None, max: Day | None = None) -> T:
        """Posts created in a range of days, both ends included: `date(min=2019, max="2023-05")`.

        An end is a year, a month or a day: `2019`, `"2019-05"`, `"2019-05-23"`, or a `datetime.date`. Days begin in
        the time zone of the file's dates.

        Args:
            min: the first year, month or day; it starts with its first day.
            max: the last year, month or day; it ends with its last day.

        Raises:
            InputError: no end is given, an end is not a date, or the range is empty.
        """
        low, high = (None if end is None else _days(end) for end in (min, max))
        _check_range(low and low[0], high and high[0], "date")
        if low is None or high is None:
            node = Post.created_at >= low[0] if low else Post.created_at < high[1]  # type: ignore[index]
            return self._matching(Condition(node, f"date:>={min}" if low else f"date:<={max}"))
        # Not BETWEEN: the upper end is the first day after the range.
        node = (Post.created_at >= low[0]) & (Post.created_at < high[1])
        return self._matching(Condition(node, f"date:{min}..{max}"))

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
    ) -> T:
        """Posts by width, height and area in pixels, and by aspect ratio; all ends of ranges are included.

        A ratio is width to height: a number, or text such as `"3:2"`. A portrait has a ratio below 1. Ratios are
        compared exactly: 0.1 means one tenth. A post with a width or height of 0 has no ratio.

        Raises:
            InputError: no end is given, an end is not a number or a ratio, or a range is empty.
        """
        parts = [
            between(value, low, high, words)
            for value, low, high, words in (
                (Post.image_width, min_width, max_width, "width"),
                (Post.image_height, min_height, max_height, "height"),
                (PIXELS, min_area, max_area, "area"),
            )
            if low is not None or high is not None
        ]
        low, high = (None if end is None else _fraction(end) for end in (min_ratio, max_ratio))
        if low is not None and high is not None:
            _check_range(low, high, "ratio")
        width, height = Post.image_width, Post.image_height
        if low is not None:
            wide = (width * low.denominator >= height * low.numerator) & (height > 0)
            parts.append(Condition(wide, f"ratio:>={min_ratio}"))
        if high is not None:
            narrow = (width * high.denominator <= height * high.numerator) & (width > 0)
            parts.append(Condition(narrow, f"ratio:<={max_ratio}"))
        if not parts:
            raise InputError("size() needs a range: write size(min_width=1024), or size(min_area=1_000_000)")
        return self._matching(joined(And, parts))

    def file_type(self, *types: str | Iterable[str]) -> T:
        """Posts whose file has one of these extensions: `file_type("jpg", "png")`.

        Raises:
            InputError: no extension is given, or Danbooru has no files of it.
        """
        extensions = names(types, "file_type")
        if not extensions:
            raise InputError(f"file_type() needs an extension, one or several of {', '.join(EXTENSIONS)}")
        for name in extensions:
            if name not in EXTENSIONS:
                raise InputError(f"unknown file type {name!r}; {nearest(name, EXTENSIONS)}")
        words = f"filetype:{','.join(extensions)}"
        return self._matching(Condition(Post.file_ext.in_(sorted(set(extensions))), words))

    def tag_count(self, type: str | None = None, *, min: int | None = None, max: int | None = None) -> T:
        """Posts with `min` to `max` tags, both included; with `type`, only tags of that type count.

        Args:
            type: general, artist, character, copyright or meta.
            min: the smallest number of tags.
            max: the largest number of tags.

        Raises:
            InputError: there is no such type, no end is given, or the range is empty.
        """
        name = _type(type) if type is not None else None
        return self._matching(between(counted(name), min, max, f"{name or ''}tags"))

    def tag_popularity(self, type: str | None = None, *, min: int | None = None, max: int | None = None) -> T:
        """Posts with at least one tag that `min` to `max` posts of the file have, both included.

        `tag_popularity("artist", min=50)` matches posts of artists with 50 or more posts in the file.
        `~hb.tag_popularity("character", max=9)` leaves out posts with a rare character.

        Args:
            type: general, artist, character, copyright or meta; by default, a tag of any type.
            min: the smallest number of posts.
            max: the largest number of posts.

        Raises:
            InputError: there is no such type, no end is given, or the range is empty.
        """
        # Published files lack the popularity of some or all tags: those are counted here.
        relations = PostTagRelation.select(fn.COUNT(fn.DISTINCT(PostTagRelation.post)))
        counted_posts = relations.where(PostTagRelation.tag == Tag.id)
        posts = fn.COALESCE(fn.NULLIF(Tag.popularity, 0), counted_posts)
        popular = between(posts, min, max, "popularity")
        tags = Tag.select(Tag.id).where(popular)
        if type is not None:
            tags = tags.where(Tag.type == _type(type))
        words = f"{_type(type) if type is not None else 'tag'} with {popular}"
        return self._matching(Condition(Bearing(NodeList((SQL("IN"), tags))), words))

    def artist(self, *tags: str | Iterable[str]) -> T:
        """Posts by one of these artists. Results raise `InputError` if a tag is not an artist tag.

        Raises:
            InputError: no name is given.
        """
        return self._matching(_typed("artist", tags))

    def character(self, *tags: str | Iterable[str]) -> T:
        """Posts with one of these characters. Results raise `InputError` if a tag is not a character tag.

        Raises:
            InputError: no name is given.
        """
        return self._matching(_typed("character", tags))

    def copyright(self, *tags: str | Iterable[str]) -> T:
        """Posts of one of these works. Results raise `InputError` if a tag is not a copyright tag.

        Raises:
            InputError: no name is given.
        """
        return self._matching(_typed("copyright", tags))

    def parent(self) -> T:
        """Posts that have children: other posts are versions of them."""
        return self._matching(Condition(Post.has_children == True, "is:parent"))  # noqa: E712 - an expression

    def child(self) -> T:
        """Posts that have a parent: they are versions of another post."""
        return self._matching(Condition(Post.parent_id.is_null(is_null=False), "is:child"))

    def ids(self, low: int, high: int | None = None) -> T:
        """Posts with `low` <= id < `high`; without `high`, all from `low` on.

        Raises:
            InputError: an end is not a whole number, or the range is empty.
        """
        mend = "for a list of ids write .among([1, 2])"
        low = whole(low, "ids()", mend=mend)
        high = None if high is None else whole(high, "ids()", mend=mend)
        if high is None:
            return self._matching(IdRange(Post.id >= low, f"id:>={low}", low=low, high=None))
        if low >= high:
            raise InputError(
                f"ids({low}, {high}) is empty: `high` is not included, and must be greater than `low`; "
                f"for the single id {low} write ids({low}, {low + 1})"
            )
        node = (Post.id >= low) & (Post.id < high)
        return self._matching(IdRange(node, f"id:{low}...{high}", low=low, high=high))

    def deleted(self) -> T:
        """Posts that are deleted. They keep their file."""
        return self._matching(Condition(Post.is_deleted == True, "is:deleted"))  # noqa: E712 - an expression

    def banned(self) -> T:
        """Posts that are banned: hidden at the request of their artist."""
        return self._matching(Condition(Post.is_banned == True, "is:banned"))  # noqa: E712

    def gold(self) -> T:
        """Posts that only Gold accounts can see: hidden, but not banned."""
        hidden = Post.md5.is_null() & Post.file_url.is_null()
        return self._matching(Condition(hidden & (Post.is_banned == False), "is:gold"))  # noqa: E712

    def with_image(self, *, gif: bool = False) -> T:
        """Posts with a visible image: a jpg, png, webp or avif, and with `gif=True` a gif too."""
        extensions = (*IMAGE_EXTENSIONS, "gif") if gif else IMAGE_EXTENSIONS
        node = Post.file_ext.in_(extensions) & Post.md5.is_null(is_null=False)
        return self._matching(Condition(node, "has:image"))


class _Predicates(Questions[Predicate]):
    def _matching(self, predicate: Predicate) -> Predicate:
        return predicate


PREDICATES: Final = _Predicates()
"""The questions as predicates: `PREDICATES.rating("general")` is `hb.rating("general")`."""


def between(value: Any, low: Any, high: Any, words: str) -> Predicate:
    """Match posts with a value from `low` to `high`, both included; None leaves an end open.

    Args:
        value: a column of `Post`, or an expression of columns.
        low: the smallest value that matches.
        high: the largest value that matches.
        words: the name of the value in messages and in `explain`.

    Raises:
        InputError: no end is given, an end is not a number, or the range is empty.
    """
    low, high = (None if end is None else number(end, words) for end in (low, high))
    _check_range(low, high, words)
    if low is None:
        return Condition(value <= high, f"{words}:<={high}")
    if high is None:
        return Condition(value >= low, f"{words}:>={low}")
    return Condition(value.between(low, high), f"{words}:{low}..{high}")


def _check_range(low: Any, high: Any, words: str) -> None:
    if low is None and high is None:
        raise InputError(f"{words} needs a range: give min=, max= or both")
    if low is not None and high is not None and low > high:
        raise InputError(f"{words} from {low} to {high} is an empty range: min must not be above max")


def _days(end: Day) -> tuple[str, str]:
    if isinstance(end, Real) and not hasattr(end, "__index__"):  # 2019.5 is no month of May
        raise InputError(f"date() takes a date such as 2024, '2024-05' or '2024-05-31', not {end!r}")
    try:
        return date_span(str(end))
    except ValueError as error:
        raise InputError(f"date() takes {error}") from None


def _fraction(ratio: Ratio) -> Fraction:
    """A ratio as an exact fraction of its text: 0.1 is one tenth, not the nearest binary number."""
    width, _, height = str(ratio).partition(":")
    try:
        value = Fraction(width) / Fraction(height or 1)
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if not 0 < value < _LARGEST_RATIO or value.denominator >= _LARGEST_RATIO:
        raise InputError(f"invalid aspect ratio {ratio!r}: write width:height, such as 3:4 or 0.75")
    return value


def _type(name: str) -> str:
    if not isinstance(name, str):
        raise InputError(f"the type of a tag is one of {', '.join(TAG_TYPES)}, and {name!r} is not")
    return TAG_TYPES[enum_number(TAG_TYPES, name)]


def _typed(type: str, tags: tuple[str | Iterable[str], ...]) -> Predicate:
    """Match posts with one of these tags, which must be of a type."""
    tag_names = names(tags, type)
    if not tag_names:
        raise InputError(f"{type}() needs the name of at least one {type} tag")
    return joined(Or, [Tagged(name, type) for name in tag_names])
