"""Writing captions of posts: tags, rating, quality and date labels, formats and their presets."""

from hakubooru.caption.captioner import Captioned, Captioner, example_caption
from hakubooru.caption.change import CaptionChange
from hakubooru.caption.format import CaptionFormat, Prefixes, RatingLabels, TagLists
from hakubooru.caption.presets import PRESETS, SOURCES, caption_format, types_without_part
from hakubooru.caption.scale import Grades, QualityScale
from hakubooru.caption.text import Parts, join_parts
from hakubooru.caption.write import Captions, check_suffix

__all__ = [
    "PRESETS",
    "SOURCES",
    "CaptionChange",
    "CaptionFormat",
    "Captioned",
    "Captioner",
    "Captions",
    "Grades",
    "Parts",
    "Prefixes",
    "QualityScale",
    "RatingLabels",
    "TagLists",
    "caption_format",
    "check_suffix",
    "example_caption",
    "join_parts",
    "types_without_part",
]
