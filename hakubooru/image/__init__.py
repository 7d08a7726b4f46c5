"""Where images come from, whether they are whole, and what becomes of them; aspect-ratio buckets."""

from hakubooru.image.census import Group, census
from hakubooru.image.convert import ImageFormat
from hakubooru.image.sources import Archive, find_archives

__all__ = ["Archive", "Group", "ImageFormat", "census", "find_archives"]
