"""The demo's booru, whose drawn characters differ: whoever draws them rightly scores the ceiling, whoever guesses the floor."""

from __future__ import annotations

import pytest

import hakubooru as hb
from drawn_people import Artist, looks_of, write_judge
from hakubooru_cli.miniature.booru import write_booru
from hakubooru_cli.miniature.cast import CHARACTERS, pick

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo's database and images, and a judge of its characters."""
    folder = tmp_path_factory.mktemp("demo")
    booru = write_booru(folder, last_id=140)
    hb.build([booru.dump], folder / "danbooru.db", tags=booru.tags)
    return {"database": folder / "danbooru.db", "images": [str(booru.images)]}, write_judge(folder / "judge")


def test_drawn_characters_are_told_apart(demo, evaluated, options):
    parts, judge = demo
    how = options(
        characters={"images": 2},
        references={"count": 8},
        drawing={"images": 6, "area": 160 * 160, "shapes": ("7:9", "13:19", "1:1", "9:7", "20:13", "3:5")},
        score={"model": str(judge)},
    )
    known = evaluated(Artist(CHARACTERS, lambda name, lot: looks_of(name)), "known", options=how, **parts)
    others = sorted(CHARACTERS)
    guessed = evaluated(
        Artist(CHARACTERS, lambda name, lot: looks_of(pick(lot, others))), "guessed", options=how, **parts
    )
    assert known.characters == guessed.characters == 8
    assert known.figures.unreadable == 0
    score, ceiling, floor = known.figures.score, known.figures.ceiling, known.figures.floor
    assert score.low <= ceiling.mean <= score.high
    assert floor.high < score.low
    score, floor = guessed.figures.score, guessed.figures.floor
    assert score.low <= floor.mean <= score.high
    assert score.high < known.figures.score.low
