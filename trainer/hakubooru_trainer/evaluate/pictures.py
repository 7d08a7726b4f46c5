"""The pictures of an evaluation: their prompts, sizes and seeds, in batches that depend on nothing but the list.

A picture's seed follows from its character and its number alone. Pictures are drawn in batches of one size; which
pictures share a batch follows from the list of characters and the size of a batch, so that any number of GPUs draws the
same.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hakubooru.arrays import strings
from hakubooru.caption import caption_format, join_parts
from hakubooru.caption.format import ALL_TAGS, KEEP
from hakubooru.caption.words import spelt
from hakubooru_trainer import randomness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakubooru.caption import CaptionFormat, Parts
    from hakubooru_trainer.evaluate.characters import Character
    from hakubooru_trainer.evaluate.options import DrawingOptions, PromptOptions

FOLDER: Final = "pictures"
_A_FOLDER: Final = 1000


@dataclass(frozen=True)
class Picture:
    """A picture that is to be drawn."""

    path: str
    """Its path below the evaluation's folder, with `/`."""
    place: int
    """The place of its character in the list."""
    number: int
    """Its number among the pictures of its character."""
    prompt: str
    tags: tuple[str, ...]
    """The tags that the prompt asks for, by their names on Danbooru."""
    seed: int
    width: int
    """Pixels."""
    height: int
    """Pixels."""


class Wording:
    """Writes the prompts of characters in a caption format.

    Args:
        options: the options of the prompts.

    Raises:
        CaptionFormatError: there is no such caption format.
    """

    def __init__(self, options: PromptOptions) -> None:
        shape = caption_format(options.caption)
        # Trainers take the keep separator out of a caption.
        order = tuple(part for part in shape.order if part != KEEP)
        self.format: CaptionFormat = dataclasses.replace(shape, order=order)
        self._general = options.tags

    def tags(self, character: Character) -> tuple[str, ...]:
        """The tags that the prompt of a character asks for, by their names."""
        return (*character.people, character.name, *character.series, *self._general)

    def prompt(self, character: Character) -> str:
        """The prompt of a character: people, character, series and quality."""
        words: Parts = {
            "people": self._spelt(character.people),
            "character": self._spelt([character.name]),
            "copyright": self._spelt(character.series),
            "general": self._spelt(self._general),
            "quality": [self.format.quality[0][0]] if self.format.quality else [],
        }
        every = [*words["people"], *words["character"], *words["copyright"], *words["general"]]
        if "people" not in self.format.order:
            words["general"] = words["people"] + words["general"]
        words[ALL_TAGS] = every
        return join_parts({part: words.get(part, []) for part in self.format.order}, self.format)

    def _spelt(self, names: Sequence[str]) -> list[str]:
        words = spelt(strings([*names]), self.format.underscores, escape=self.format.escape)
        result: list[str] = words.to_pylist()
        return result


def pictures_of(
    characters: Sequence[Character], wording: Wording, options: DrawingOptions
) -> list[list[Picture]]:
    """The pictures of characters, in batches; all of a batch have one size and one number.

    A block of as many characters as a batch has pictures is drawn before the next block begins.
    """
    sizes = options.sizes()
    prompts = [(wording.prompt(one), wording.tags(one)) for one in characters]
    batches = []
    for start in range(0, len(characters), options.batch):
        block = list(enumerate(characters[start : start + options.batch], start))
        for number in range(options.images):
            width, height = sizes[number % len(sizes)]
            batches.append(
                [
                    Picture(
                        path=f"{FOLDER}/{place // _A_FOLDER:03d}/{place:05d}-{number}.png",
                        place=place,
                        number=number,
                        prompt=prompts[place][0],
                        tags=prompts[place][1],
                        seed=randomness.number(f"picture of {one.name}", number) >> 65,
                        width=width,
                        height=height,
                    )
                    for place, one in block
                ]
            )
    return batches
