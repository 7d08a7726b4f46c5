"""The fingerprint of a recipe is that of the posts, not of the file that they came from."""

import random

import pytest

import hakubooru as hb
import hakubooru_migrations
from hakubooru.lock import Lock
from old_generations import write_generation

KINDS = ("general", "artist", "character", "copyright", "meta")
TAGS = [(number, f"{KINDS[number % 5]}_{number}", number % 5) for number in (*range(10, 60), 1429147)]


def posts(count=300):
    draw = random.Random(11).random  # of its methods the one that gives the same in every Python

    def whole(low, high):
        return low + int(draw() * (high - low + 1))

    rows = []
    for number in range(1, count + 1):
        hidden = draw() < 0.1
        row = [
            number,
            f"{whole(2006, 2023)}-05-23T23:35:31.000-04:00",
            1,
            "",
            None if hidden else f"{number:032x}",
            None,
            0,
            int(draw() < 0.1),
            int(hidden and draw() < 0.3),
            None,
            *(0 for _ in range(4)),
            1000,
            800,
            5000,
            ("jpg", "png", "webp", "mp4")[whole(0, 3)],
            whole(0, 3),
            *(whole(0, 300) for _ in range(4)),
            *(None if hidden else f"https://example.invalid/{kind}" for kind in "abc"),
        ]
        tags = sorted((tag[0] for tag in TAGS), key=lambda _: draw())
        rows.append((row, tags[: whole(0, 12)]))
    return rows


def lock_of(path) -> Lock:
    recipe = hb.Recipe.load("epsilon")
    with hb.open(path) as db:
        selection = recipe.select(db, scale=0.00004)
        return Lock.of(selection, asked={}, caption=recipe.caption_format())


@pytest.mark.parametrize("generation", [1, 2, 3])
def test_is_the_same_from_a_file_of_any_generation(tmp_path, generation):
    old = write_generation(tmp_path / "old.db", generation, posts(), TAGS)
    new = write_generation(tmp_path / "new.db", 4, posts(), TAGS)
    hakubooru_migrations.migrate(old)
    expected, actual = lock_of(new), lock_of(old)
    assert actual == expected
    assert 0 < actual.posts < 300
    assert actual.changes(expected) == []
    assert len({actual.ids, actual.captions}) == 2


def test_of_the_same_posts_is_pinned(tmp_path):
    """Fingerprints are the same on every platform and with every version."""
    lock = lock_of(write_generation(tmp_path / "new.db", 4, posts(), TAGS))
    assert lock.ids == "sha256:daa7070df0f2e340ccdc2b938e7e274f1d5989b617960f31dfa9e31bf72dec0c"
    assert lock.captions == "sha256:b3eedfe28aecab8f609d00cf95524dfbe6974e74694805303aebcee7625c4334"
