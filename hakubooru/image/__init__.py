"""Finding images in archives, checking that they are whole, and converting them; aspect-ratio buckets."""

from hakubooru.image.convert import ImageFormat

__all__ = ["ImageFormat"]
