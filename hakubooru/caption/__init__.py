"""Captions: rating, quality and date labels, formats and their presets."""

from hakubooru.caption.captioner import Captioned, Captioner
from hakubooru.caption.captions import Captions
from hakubooru.caption.change import CaptionChange
from hakubooru.caption.example import example_caption
from hakubooru.caption.format import CaptionFormat
from hakubooru.caption.labels import RatingLabels
from hakubooru.caption.presets import PRESETS, SOURCES, caption_format
from hakubooru.caption.scale import QualityScale
from hakubooru.caption.tagwords import TagLists
from hakubooru.caption.text import Parts, join_parts
from hakubooru.caption.write import check_suffix

__all__ = [
    "PRESETS",
    "SOURCES",
    "CaptionChange",
    "CaptionFormat",
    "Captioned",
    "Captioner",
    "Captions",
    "Parts",
    "QualityScale",
    "RatingLabels",
    "TagLists",
    "caption_format",
    "check_suffix",
    "example_caption",
    "join_parts",
]
