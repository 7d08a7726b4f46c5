"""What a curator asks of a post, as predicates.

They mix with peewee's own expressions: `hb.rating("general") & (Post.score > 10)`.
"""

from __future__ import annotations

from fractions import Fraction
from numbers import Real
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from peewee import fn

from hakubooru.errors import InputError
from hakubooru.nearest import nearest
from hakubooru.select.arguments import listed, names, number, whole
from hakubooru.select.columns import EXTENSIONS
from hakubooru.select.dates import date_span
from hakubooru.select.predicate import And, Condition, IdRange, Not, Or, Predicate, Tagged
from hakubooru.select.values import PIXELS
from hakubooru.select.values import tag_count as counted
from hakubooru.store.schema import RATINGS, TAG_TYPES, Post, PostTagRelation, Tag, enum_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date as day

    Day: TypeAlias = str | int | day
    """A year, a month or a day: `2019`, `"2019-05"`, `"2019-05-23"`, a `datetime.date`."""
    Ratio: TypeAlias = float | str | Fraction
    """Width to height: a number, or text such as `"3:2"`."""

IMAGE_EXTENSIONS: Final = ("jpg", "png", "webp", "avif")
"""Extensions of posts that have an image. A gif has one only where it is asked for: its first frame."""

_LARGEST_RATIO: Final = 10**9  # times the sides of an image, well within SQLite's integers


def tagged(
    *tags: str | Iterable[str], all: Iterable[str] = (), any: Iterable[str] = (), none: Iterable[str] = ()
) -> Predicate:
    """That a post bears all of `tags` and `all`, one of `any` where any are given, and none of `none`.

    Raises:
        InputError: no tag is given, or something else than names.
    """
    for words in (all, any, none):
        if isinstance(words, str):
            raise InputError(f"tags are given as a list: [{words!r}], not {words!r}")
    every, some, others = (names((words,), "tagged") for words in (all, any, none))
    parts: list[Predicate] = [Tagged(name) for name in (*names(tags, "tagged"), *every)]
    if some:
        parts.append(_join(Or, [Tagged(name) for name in some]))
    parts += [Not(Tagged(name)) for name in others]
    if not parts:
        raise InputError("tagged() needs a tag; give all=[…], any=[…] or none=[…]")
    return _join(And, parts)


def rating(*ratings: str | Iterable[str]) -> Predicate:
    """That a post has one of these ratings, by name or first letter.

    Raises:
        InputError: no rating is given, or an unknown one.
    """
    if not listed(ratings):
        raise InputError(f"rating() needs a rating; there are {', '.join(RATINGS)}")
    numbers = sorted({enum_number(RATINGS, name) for name in listed(ratings)})
    words = "rating:" + ",".join(RATINGS[number] for number in numbers)
    return Condition(Post.rating.in_(numbers), words)


def between(value: Any, low: Any, high: Any, words: str) -> Predicate:
    """That a value of a post lies in a range, both ends inclusive; None leaves an end open.

    Args:
        value: a column of `Post`, or an expression of columns.
        low: the least.
        high: the most.
        words: what people call the value.

    Raises:
        InputError: no end is given, one is no number, or the range is empty.
    """
    low, high = (None if end is None else number(end, words) for end in (low, high))
    _check_range(low, high, words)
    if low is None:
        return Condition(value <= high, f"{words}:<={high}")
    if high is None:
        return Condition(value >= low, f"{words}:>={low}")
    return Condition(value.between(low, high), f"{words}:{low}..{high}")


def score(*, min: int | None = None, max: int | None = None) -> Predicate:
    """That the score lies in a range, both ends inclusive."""
    return between(Post.score, min, max, "score")


def fav_count(*, min: int | None = None, max: int | None = None) -> Predicate:
    """That the number of favourites lies in a range, both ends inclusive."""
    return between(Post.fav_count, min, max, "favcount")


def date(*, min: Day | None = None, max: Day | None = None) -> Predicate:
    """That a post was made in a range of days, both ends inclusive, by the dates as the file writes them.

    Args:
        min: a year, a month or a day: `2019`, `"2019-05"`, `"2019-05-23"`, a `datetime.date`; its first day counts.
        max: the same; its last day counts.

    Raises:
        InputError: no end is given, it is no date, or the range is empty.
    """
    low, high = (None if end is None else _days(end) for end in (min, max))
    _check_range(low and low[0], high and high[0], "date")
    if high is None:
        return Condition(Post.created_at >= low[0], f"date:>={min}")  # type: ignore[index] # one end is there
    if low is None:
        return Condition(Post.created_at < high[1], f"date:<={max}")
    # Not BETWEEN: the upper end is the first day that is not meant.
    return Condition((Post.created_at >= low[0]) & (Post.created_at < high[1]), f"date:{min}..{max}")


def size(
    *,
    min_width: int | None = None,
    max_width: int | None = None,
    min_height: int | None = None,
    max_height: int | None = None,
    min_area: int | None = None,
    max_area: int | None = None,
    min_ratio: Ratio | None = None,
    max_ratio: Ratio | None = None,
) -> Predicate:
    """That width and height (pixels), area (pixels) and aspect ratio lie in ranges, both ends inclusive.

    A ratio is width to height: a number, or text such as `"3:2"`; portraits have less than 1. Numbers are
    taken as they are written, and compared without rounding. A post whose width or height is 0 has no ratio.

    Raises:
        InputError: nothing is asked for, a range is empty, or a ratio is none.
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
    if low is not None:
        wide = (Post.image_width * low.denominator >= Post.image_height * low.numerator) & (
            Post.image_height > 0
        )
        parts.append(Condition(wide, f"ratio:>={min_ratio}"))
    if high is not None:
        narrow = (Post.image_width * high.denominator <= Post.image_height * high.numerator) & (
            Post.image_width > 0
        )
        parts.append(Condition(narrow, f"ratio:<={max_ratio}"))
    if not parts:
        raise InputError("size() needs a range, such as min_width=1024 or min_area=1_000_000")
    return _join(And, parts)


def file_type(*types: str | Iterable[str]) -> Predicate:
    """That the file has one of these extensions.

    Raises:
        InputError: none is given, or one that Danbooru does not take.
    """
    extensions = names(types, "file_type")
    if not extensions:
        raise InputError(f"file_type() needs an extension; there are {', '.join(EXTENSIONS)}")
    for name in extensions:
        if name not in EXTENSIONS:
            raise InputError(f"no post has the file type {name!r}; {nearest(name, EXTENSIONS)}")
    return Condition(Post.file_ext.in_(sorted(set(extensions))), f"filetype:{','.join(extensions)}")


def tag_count(type: str | None = None, *, min: int | None = None, max: int | None = None) -> Predicate:
    """That a post has a number of tags in a range, both ends inclusive: of one type, or altogether.

    Args:
        type: general, artist, character, copyright or meta.
        min: at least so many.
        max: at most.

    Raises:
        InputError: there is no such type, no end is given, or the range is empty.
    """
    name = _type(type) if type is not None else None
    return between(counted(name), min, max, f"{name or ''}tags")


def tag_popularity(type: str | None = None, *, min: int | None = None, max: int | None = None) -> Predicate:
    """That a post bears a tag that a number of posts in a range bear, both ends inclusive.

    `tag_popularity("artist", min=50)` finds posts of artists with 50 posts or more in the file;
    `~tag_popularity("character", max=9)` leaves out what shows any character that is hardly known.

    Args:
        type: of which type that tag is; by default, any.
        min: at least so many posts.
        max: at most.

    Raises:
        InputError: there is no such type, no end is given, or the range is empty.
    """
    # Published files have no popularities, or some: a tag without one is counted.
    relations = PostTagRelation.select(fn.COUNT(fn.DISTINCT(PostTagRelation.post)))
    found = relations.where(PostTagRelation.tag == Tag.id)
    posts = fn.COALESCE(fn.NULLIF(Tag.popularity, 0), found)
    popular = between(posts, min, max, "popularity")
    tags = Tag.select(Tag.id).where(popular)
    if type is not None:
        tags = tags.where(Tag.type == _type(type))
    bearing = Post.id.in_(PostTagRelation.select(PostTagRelation.post).where(PostTagRelation.tag.in_(tags)))
    return Condition(bearing, f"{_type(type) if type is not None else 'tag'} with {popular}")


def artist(*tags: str | Iterable[str]) -> Predicate:
    """That a post is by one of these artists; a result is refused where a tag is of another type.

    Raises:
        InputError: no name is given.
    """
    return _of_type("artist", names(tags, "artist"))


def character(*tags: str | Iterable[str]) -> Predicate:
    """That a post shows one of these characters; a result is refused where a tag is of another type.

    Raises:
        InputError: no name is given.
    """
    return _of_type("character", names(tags, "character"))


def copyright(*tags: str | Iterable[str]) -> Predicate:  # noqa: A001 - the word of the trade
    """That a post belongs to one of these works; a result is refused where a tag is of another type.

    Raises:
        InputError: no name is given.
    """
    return _of_type("copyright", names(tags, "copyright"))


def parent() -> Predicate:
    """That the post has children: others are versions of it."""
    return Condition(Post.has_children == True, "is:parent")  # noqa: E712 - an expression


def child() -> Predicate:
    """That the post has a parent: it is a version of another."""
    return Condition(Post.parent_id.is_null(is_null=False), "is:child")


def ids(low: int, high: int | None = None) -> Predicate:
    """That the id is at least `low` and below `high`.

    Raises:
        InputError: an end is no whole number, or the range is empty.
    """
    mend = "a list of ids goes into .among([1, 2])"
    low = whole(low, "ids()", mend=mend)
    high = None if high is None else whole(high, "ids()", mend=mend)
    if high is None:
        return IdRange(Post.id >= low, f"id:>={low}", low=low, high=None)
    if low >= high:
        raise InputError(f"ids from {low} up to {high} are none: the upper end is not included")
    return IdRange((Post.id >= low) & (Post.id < high), f"id:{low}...{high}", low=low, high=high)


def deleted() -> Predicate:
    """That the post was deleted; it keeps its file."""
    return Condition(Post.is_deleted == True, "is:deleted")  # noqa: E712 - an expression


def banned() -> Predicate:
    """That the post is hidden because its artist asked for it."""
    return Condition(Post.is_banned == True, "is:banned")  # noqa: E712


def gold() -> Predicate:
    """That the post is shown to Gold accounts only: hidden, and not banned."""
    hidden = Post.md5.is_null() & Post.file_url.is_null()
    return Condition(hidden & (Post.is_banned == False), "is:gold")  # noqa: E712


def with_image(*, gif: bool = False) -> Predicate:
    """That the post is a jpg, png, webp or avif (with `gif=True` a gif too) and not hidden."""
    extensions = (*IMAGE_EXTENSIONS, "gif") if gif else IMAGE_EXTENSIONS
    return Condition(Post.file_ext.in_(extensions) & Post.md5.is_null(is_null=False), "has:image")


def _join(kind: type[And | Or], parts: list[Predicate]) -> Predicate:
    return parts[0] if len(parts) == 1 else kind(tuple(parts))


def _check_range(low: Any, high: Any, words: str) -> None:
    if low is None and high is None:
        raise InputError(f"{words} needs a range; give min=, max=, or both")
    if low is not None and high is not None and low > high:
        raise InputError(f"{words} from {low} to {high} is empty; min comes before max")


def _days(end: Day) -> tuple[str, str]:
    if isinstance(end, Real) and not hasattr(end, "__index__"):  # 2019.5 is no month of May
        raise InputError(f"date takes dates such as 2024, '2024-05' or '2024-05-31', and {end!r} is none")
    try:
        return date_span(str(end))
    except ValueError as error:
        raise InputError(f"date takes {error}") from None


def _fraction(ratio: Ratio) -> Fraction:
    """As it is written: 0.1 is a tenth, not the binary number that stands for it."""
    width, _, height = str(ratio).partition(":")
    try:
        value = Fraction(width) / Fraction(height or 1)
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if not 0 < value < _LARGEST_RATIO or value.denominator >= _LARGEST_RATIO:
        raise InputError(f'a ratio of {ratio!r} is none; write width to height, such as 0.75 or "3:4"')
    return value


def _type(name: str) -> str:
    if not isinstance(name, str):
        raise InputError(f"the type of a tag is one of {', '.join(TAG_TYPES)}, and {name!r} is not")
    return TAG_TYPES[enum_number(TAG_TYPES, name)]


def _of_type(type: str, tags: Sequence[str]) -> Predicate:
    if not tags:
        raise InputError(f"{type}() needs the name of a tag of that type")
    return _join(Or, [Tagged(name, type) for name in tags])
