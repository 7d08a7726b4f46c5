"""A booru whose characters are colours, and drawers of whom the truth is known."""

from __future__ import annotations

import io

import numpy as np
from peewee import chunked
from PIL import Image

import hakubooru as hb
from booru import post_row
from hakubooru.store.schema import Post, PostTagRelation, Tag

SERIES = ("red_show", "green_show")
SPREAD = 10
"""The deviation of a channel from its character's colour, in 255ths."""


def names(count):
    return [f"hero_{number:02d}_(planted)" for number in range(count)]


def colour_of(number, hues):
    """The colour of a character; characters whose numbers differ by a multiple of `hues` have one colour."""
    angle = 2 * np.pi * (number % hues) / hues
    return 127.5 + 90 * np.array([np.cos(angle), np.sin(angle), 0.5 * np.cos(2 * angle)])


def sheet(colour, draw, size=(48, 64)):
    """An image of one colour, which differs a little from a character's."""
    shade = np.clip(colour + draw.normal(0, SPREAD, 3), 0, 255).round().astype(np.uint8)
    return Image.new("RGB", size, tuple(shade.tolist()))


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def write_planted(folder, characters=12, posts=10, hues=6, seed=1):
    """A database and a folder of images: each character has solo posts in its colour, fewer the higher its number.

    A post's id tells nothing. Each character also has a post in a pair, one that is explicit, and one whose image no folder holds.
    """
    draw = np.random.default_rng(seed)
    images = folder / "images"
    images.mkdir(parents=True)
    tags = {
        **dict.fromkeys(("1girl", "2girls", "solo", "smile"), "general"),
        **dict.fromkeys(names(characters), "character"),
        **dict.fromkeys(SERIES, "copyright"),
    }
    path = folder / "planted.db"
    plan = [
        (number, kind)
        for number in range(characters)
        for kind in ["solo"] * (posts + characters - number) + ["pair", "explicit", "missing"]
    ]
    rows, pairs = [], []
    for post, place in enumerate(draw.permutation(len(plan)).tolist(), 1):
        number, kind = plan[place]
        rating = "explicit" if kind == "explicit" else "general"
        rows.append(post_row(post, rating=rating, file_ext="png", fav_count=post))
        people = ["2girls"] if kind == "pair" else ["1girl", "solo"]
        pairs += [(post, name) for name in (*people, names(characters)[number], SERIES[number % 2], "smile")]
        if kind != "missing":
            (images / f"{post}.png").write_bytes(png(sheet(colour_of(number, hues), draw)))
    with hb.create(path) as database, database.bind(), database.peewee.atomic():
        Tag.insert_many(
            [{"name": name, "type": kind, "popularity": 0} for name, kind in tags.items()]
        ).execute()
        ids = {tag.name: tag.id for tag in Tag.select()}
        for batch in chunked(rows, 30):
            Post.insert_many(batch).execute()
        for batch in chunked(pairs, 300):
            PostTagRelation.insert_many([{"post": post, "tag": ids[name]} for post, name in batch]).execute()
    return path, images


class Painter:
    """Draws a colour for each picture, as a function says."""

    def __init__(self, colour, identity="a painter", tokens="words"):
        self.identity, self.tokens = identity, tokens
        self.colour = colour
        self.batches = []

    @classmethod
    def of(cls, hues, number, **more):
        """A painter who takes each character for the one with the number that a function of its own number gives."""

        def colour(picture, draw):
            own = next(int(tag[5:7]) for tag in picture.tags if tag.startswith("hero_"))
            return colour_of(number(own, draw), hues)

        return cls(colour, **more)

    def draw(self, batch):
        self.batches.append([picture.path for picture in batch])
        return [self._one(picture) for picture in batch]

    def forecast(self, pictures):
        return f"painting {len(pictures)} pictures"

    def _one(self, picture):
        draw = np.random.default_rng(picture.seed)
        colour = self.colour(picture, draw)
        return sheet(colour, draw, (picture.width, picture.height))
