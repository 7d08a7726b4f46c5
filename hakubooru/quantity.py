"""Numbers with their nouns in sentences."""

from __future__ import annotations


def quantity(number: int, one: str, several: str = "") -> str:
    """Write a number with its noun, in the singular or plural: `quantity(1, "post is", "posts are")` is "1 post is".

    Args:
        number: the number.
        one: the noun in the singular, with the words that agree with it.
        several: the same in the plural; by default, the singular with an s.
    """
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"
