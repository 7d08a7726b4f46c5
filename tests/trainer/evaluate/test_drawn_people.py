"""The demo's characters, whose drawings differ: whoever draws them rightly scores the ceiling, whoever guesses the floor."""

from __future__ import annotations

import pytest

from drawn_people import Artist, characters_of_the_demo, write_judge, write_people
from hakubooru_cli.miniature.cast import pick

pytestmark = pytest.mark.slow


def test_drawn_characters_are_told_apart(evaluated, options, tmp_path):
    judge = write_judge(tmp_path / "judge")
    how = options(
        references={"count": 8, "cache": str(tmp_path / "cache")},
        drawing={"images": 6, "area": 128 * 128, "shapes": ("7:9", "1:1", "9:7"), "batch": 8},
        score={"model": str(judge)},
    )
    people = characters_of_the_demo(10)
    write_people(tmp_path, people, how.drawing.sizes(), images=8)
    parts = {"database": tmp_path / "people.db", "images": [str(tmp_path / "images")], "options": how}
    looks = {somebody.name: somebody.looks for somebody in people}
    by_looks = evaluated(Artist(looks, lambda name, lot: looks[name]), "known", **parts)
    guessed = evaluated(Artist(looks, lambda name, lot: pick(lot, people).looks), "guessed", **parts)
    assert by_looks.characters == guessed.characters == 8
    score, ceiling, floor = by_looks.figures.score, by_looks.figures.ceiling, by_looks.figures.floor
    assert score.low <= ceiling.mean <= score.high
    assert floor.high < score.low
    score, floor = guessed.figures.score, guessed.figures.floor
    assert score.low <= floor.mean <= score.high
    assert score.high < by_looks.figures.score.low
