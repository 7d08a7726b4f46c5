"""A judge who sees hair and clothes, and an artist who draws the demo's characters, rightly or not."""

from __future__ import annotations

import random

from hakubooru_cli.miniature.cast import (
    CHARACTERS,
    CLOTHES,
    EXTRAS,
    EYES,
    FACES,
    HAIR,
    LENGTHS,
    SCENES,
    Person,
    Picture,
    pick,
)
from hakubooru_cli.miniature.drawing import draw_picture
from onnx_networks import write_ccip

REGIONS = ((115, 210, 154, 230), (330, 384, 154, 230))
"""Where hair and face, and where clothes are in a picture of one person, in pixels of 384: top, bottom, left and right."""
THRESHOLD = 0.2


def write_judge(folder):
    """CCIP's files: two pictures show one character where the colours of hair and clothes are nearly the same."""
    return write_ccip(folder, THRESHOLD, REGIONS)


def looks_of(name):
    """The hair, its length, the eyes, the clothes and what else belongs to a character of the demo."""
    kinds = {"hair": HAIR, "length": LENGTHS, "eyes": EYES, "clothes": CLOTHES, "extra": EXTRAS}
    looks = CHARACTERS[name].looks
    return {kind: next((look for look in looks if look in tags), None) for kind, tags in kinds.items()}


class Artist:
    """Draws people in random scenes, as the demo's pictures are drawn.

    Args:
        names: the characters.
        looks: gives the looks of the person to draw, from the name that is asked for and a source of chance.
    """

    identity = "an artist"

    def __init__(self, names, looks):
        self.names, self.looks = {*names}, looks

    def draw(self, batch):
        return [self._one(picture) for picture in batch]

    def forecast(self, pictures):
        return f"drawing {len(pictures)} pictures by hand"

    def _one(self, picture):
        lot = random.Random(picture.seed)
        (name,) = self.names.intersection(picture.tags)
        return person_in_a_scene(self.looks(name, lot), (picture.width, picture.height), lot)


def person_in_a_scene(looks, size, lot):
    """Draw somebody with these looks and a random face, in a random scene."""
    person = Person(**looks, face=pick(lot, FACES), blush=lot.random() < 0.4)
    return draw_picture(Picture(pick(lot, list(SCENES)), (person,)), size, lot)
