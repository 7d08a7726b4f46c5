"""A database of random posts whose every column that can be searched varies."""

from __future__ import annotations

import random

import pytest

import hakubooru as hb
from booru import TAGS, random_row, write
from hakubooru import PostTagRelation
from hakubooru.engine.optimize import optimize

NAMES = [name for name, _ in TAGS]


def searchable_row(post_id, draw):
    """A random post whose every column that can be searched varies."""
    row = random_row(post_id, draw)
    year, month, day = (
        draw.choice([2015, 2023, 2024]),
        draw.choice([1, 2, 3, 12]),
        draw.choice([1, 28, 29, 30]),
    )
    return row | {
        "created_at": f"{year}-{month:02}-{min(day, 28) if month == 2 else day:02}T{draw.choice(['00:00:00', '23:59:59'])}.000-05:00",
        "updated_at": f"2024-01-{1 + post_id * 7 % 28:02}T00:00:00.000-05:00",
        "image_width": draw.choice([1, 500, 1000, 1600, 1920]),
        "image_height": draw.choice([1, 333, 500, 900, 1080]),
        "file_size": draw.choice([0, 1023, 1024, 1000, 2**20, 1_100_000, 2_000_000]),
        "source": draw.choice(
            ["", "https://i.pximg.net/a_b.png", "HTTPS://x.com/1", "a%b*c (d)", 'none of "it"']
        ),
        "pixiv_id": draw.choice([None, None, 1, 7, 1234]),
        "has_children": post_id in (1, 2) or draw.random() < 0.2,
        "bit_flags": draw.choice([0, 1, 4, 5]),
        "up_score": draw.randint(0, 20),
        "down_score": -draw.randint(0, 3),
    }


@pytest.fixture(scope="module", params=["as published", "optimized"])
def db(request, tmp_path_factory):
    """150 such posts, without and with a sidecar."""
    path = tmp_path_factory.mktemp("search") / "posts.db"
    draw = random.Random(5)
    rows = [searchable_row(post_id, draw) for post_id in range(1, 151)]
    bags = {row["id"]: draw.sample(NAMES, draw.randint(0, len(NAMES))) for row in rows}
    write(path, rows, bags.__getitem__)
    with hb.open(path, writable=True) as database, database.bind():
        first = PostTagRelation.get()
        PostTagRelation.insert(post=first.post_id, tag=first.tag_id).execute()  # as the layout allows
    if request.param == "optimized":
        with hb.open(path) as database:
            optimize(database)
    with hb.open(path) as database:
        yield database
