"""A post to show formats with, without a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hakubooru.caption.captioner import Batch
from hakubooru.caption.limit import limiter
from hakubooru.caption.text import join_parts
from hakubooru.caption.vocabulary import TagColumns, Vocabulary
from hakubooru.store.schema import RATINGS, TAG_TYPES

if TYPE_CHECKING:
    from hakubooru.caption.format import CaptionFormat

# danbooru.donmai.us/posts/2434953 with some of its tags, and a count that is not 0.
_ID, _RATING, _COUNT, _DAY = 2_434_953, "general", 17, "2016-07-26"
_TAGS: Final = {
    "general": "1girl :q blonde_hair bracelet brown_eyes cape chibi earmuffs food_on_head full_body solo strawberry",
    "artist": "tis_(shan0x0shan)",
    "character": "toyosatomimi_no_miko",
    "copyright": "touhou",
    "meta": "highres",
}
_POPULAR: Final = 1_000_000


def example_caption(format: CaptionFormat) -> str:
    """The caption of the example in a format, judged by the published scale."""
    names = [name for some in _TAGS.values() for name in some.split()]
    kinds = [TAG_TYPES.index(kind) for kind, some in _TAGS.items() for _ in some.split()]
    tags = TagColumns([*range(len(names))], names, kinds, [_POPULAR] * len(names))
    row = (_ID, RATINGS.index(_RATING), _COUNT, _DAY, ",".join(map(str, tags.ids)))
    [parts] = Batch(format, Vocabulary(format, [tags]), [row]).parts()
    limit = limiter(format)
    return join_parts(limit(parts) if limit else parts, format)
