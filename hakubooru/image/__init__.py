"""Where images come from, whether they are whole, and what becomes of them; aspect-ratio buckets."""

from hakubooru.image.convert import ImageFormat

__all__ = ["ImageFormat"]
