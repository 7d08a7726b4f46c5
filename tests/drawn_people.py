"""A booru of people drawn as in the demo, a judge who sees their hair and clothes, and an artist who draws them, rightly or not."""

from __future__ import annotations

import random
from dataclasses import dataclass

from peewee import chunked

import hakubooru as hb
from booru import post_row
from hakubooru.store.schema import Post, PostTagRelation, Tag
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


def characters_of_the_demo(posts):
    """The demo's characters, each with so many posts."""
    return [Somebody(name, one.series[0], posts, _looks(one.looks)) for name, one in CHARACTERS.items()]


def _looks(tags):
    kinds = {"hair": HAIR, "length": LENGTHS, "eyes": EYES, "clothes": CLOTHES, "extra": EXTRAS}
    return {kind: next((tag for tag in tags if tag in choices), None) for kind, choices in kinds.items()}


@dataclass(frozen=True)
class Somebody:
    """A character with looks of her own."""

    name: str
    series: str
    posts: int
    looks: dict[str, str]


def write_people(folder, people, sizes, images):
    """Write `people.db` with the solo posts of some people, and the folder `images` with the first so many of each.

    Args:
        folder: where to write.
        people: the characters, each a `Somebody`.
        sizes: the sizes of images, one of which each has.
        images: how many posts of each have an image.
    """
    lot = random.Random(5)
    (folder / "images").mkdir()
    rows, pairs = [], []
    for somebody in people:
        for number in range(somebody.posts):
            post = len(rows) + 1
            rows.append(post_row(post, file_ext="jpg"))
            pairs += [(post, tag) for tag in ("1girl", "solo", somebody.name, somebody.series)]
            if number < images:
                image = person_in_a_scene(somebody.looks, pick(lot, sizes), lot)
                image.save(folder / "images" / f"{post}.jpg", quality=88)
    kinds = dict.fromkeys(("1girl", "solo"), "general")
    kinds |= {somebody.series: "copyright" for somebody in people}
    kinds |= {somebody.name: "character" for somebody in people}
    with hb.create(folder / "people.db") as database, database.bind(), database.peewee.atomic():
        Tag.insert_many(
            [{"name": name, "type": kind, "popularity": 0} for name, kind in kinds.items()]
        ).execute()
        ids = {tag.name: tag.id for tag in Tag.select()}
        for some in chunked(rows, 30):
            Post.insert_many(some).execute()
        for some in chunked(pairs, 400):
            PostTagRelation.insert_many([{"post": post, "tag": ids[name]} for post, name in some]).execute()


class Artist:
    """Draws people in random scenes, as the demo's pictures are drawn.

    Args:
        names: the characters.
        looks: gives the looks of the person to draw, from the name that is asked for and a source of chance.
    """

    identity = "an artist"
    tokens = "words"

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
