"""The metatags for the state of a post or its relatives: `is:`, `has:`, `status:`, `parent:`, `child:`, `embedded:`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from hakubooru.nearest import nearest
from hakubooru.select import ask
from hakubooru.select.search import unanswerable
from hakubooru.select.search.ranges import ValueMistake
from hakubooru.store.schema import EXTENSIONS, RATINGS, Post

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hakubooru.select.search.syntax import Metatag

FAMILY: Final = {"any": True, "none": False}
_STATES: Final = ("deleted", "banned", "active")
_BOOLEANS: Final = {
    **dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "off", "0"), False),
}
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_IS: Final[dict[str, Callable[[], Any]]] = {
    "gold": ask.gold,
    "parent": lambda: Post.has_children == True,  # noqa: E712 - an expression
    "child": lambda: Post.parent_id.is_null(is_null=False),
    "safe": lambda: ask.rating("sensitive"),
    "sfw": lambda: ask.rating("general", "sensitive"),
    "nsfw": lambda: ask.rating("questionable", "explicit"),
}
_HAS: Final[dict[str, Callable[[], Any]]] = {
    "parent": lambda: Post.parent_id.is_null(is_null=False),
    "child": lambda: Post.has_children == True,  # noqa: E712
    "children": lambda: Post.has_children == True,  # noqa: E712
    "source": lambda: Post.source != "",
    "image": ask.with_image,
}


def is_(metatag: Metatag) -> Any:
    """Make the condition of `is:`, such as `is:deleted`, `is:png` or `is:safe`."""
    value = metatag.value.lower()
    choose(value, (*_IS, *_STATES, *RATINGS, *EXTENSIONS), lacking=unanswerable.IS)
    if value in _IS:
        return _IS[value]()
    if value in _STATES:
        return _state(value)
    return ask.rating(value) if value in RATINGS else Post.file_ext == value


def status(metatag: Metatag) -> Any:
    """Make the condition of `status:`, such as `status:deleted` or `status:any`."""
    value = choose(metatag.value.lower(), (*_STATES, "any", "all"), lacking=unanswerable.IS)
    return _state(value) if value in _STATES else Post.id.is_null(is_null=False)


def has(metatag: Metatag) -> Any:
    """Make the condition of `has:`, such as `has:children` or `has:source`."""
    return _HAS[choose(metatag.value.lower(), tuple(_HAS), lacking=unanswerable.HAS)]()


def parent(metatag: Metatag) -> Any:
    """Make the condition of `parent:`, such as `parent:5`, `parent:none` or `parent:deleted`."""
    value = metatag.value.lower()
    if _NUMBER.fullmatch(value):
        return (Post.id == int(value)) | (Post.parent_id == int(value))
    choose(value, (*FAMILY, *_STATES), ("a post's id", *FAMILY, *_STATES), lacking=unanswerable.IS)
    if value in FAMILY:
        return Post.parent_id.is_null(not FAMILY[value])
    return Post.parent_id.in_(Post.select(Post.id).where(_state(value)))


def child(metatag: Metatag) -> Any:
    """Make the condition of `child:`, such as `child:any` or `child:deleted`."""
    value = choose(metatag.value.lower(), (*FAMILY, *_STATES), lacking=unanswerable.IS)
    if value in FAMILY:
        return Post.has_children == FAMILY[value]
    return Post.id.in_(Post.select(Post.parent_id).where(_state(value)))


def embedded(metatag: Metatag) -> Any:
    """Make the condition of `embedded:`, such as `embedded:true`."""
    value = choose(metatag.value.lower(), tuple(_BOOLEANS), ("true", "yes", "false", "no"))
    flag = Post.bit_flags.bin_and(1)
    return flag != 0 if _BOOLEANS[value] else flag == 0


def caveat(metatag: Metatag) -> str | None:
    """Describe how the answer to a metatag differs from Danbooru's; None if it does not."""
    is_state = metatag.name in ("is", "status", "parent", "child")
    return unanswerable.ACTIVE if is_state and metatag.value.lower() == "active" else None


def choose(
    value: str, choices: tuple[str, ...], shown: Any = None, lacking: Mapping[str, str] | None = None
) -> str:
    """Check that a value is one of the choices, and return it.

    Args:
        value: the value of a metatag.
        choices: all values that the metatag takes.
        shown: the choices that the message names; by default, all.
        lacking: for values that only Danbooru takes, what a metadata file lacks for them.

    Raises:
        ValueMistake: the value is not one of the choices.
    """
    if value in choices:
        return value
    if lacking and value in lacking:
        raise ValueMistake(f"cannot be {value!r} here: a metadata file has no {lacking[value]}")
    raise ValueMistake(f"cannot be {value!r}; {nearest(value, shown or choices)}")


def _state(state: str) -> Any:
    if state == "banned":
        return Post.is_banned == True  # noqa: E712
    return Post.is_deleted == (state == "deleted")
