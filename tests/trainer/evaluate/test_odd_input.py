"""Evaluations of odd characters, few of them, and images that say little: each comes out, or is refused in words."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from PIL import Image
from pyarrow import parquet

import hakubooru as hb
from booru import post_row, write
from hakubooru.errors import InputError, SearchError
from hakubooru_trainer.distributed import Ranks
from hakubooru_trainer.evaluate.characters import Casting
from hakubooru_trainer.evaluate.comparison import compare
from hakubooru_trainer.evaluate.evaluation import evaluate, evaluate_model
from hakubooru_trainer.evaluate.options import PromptOptions
from onnx_networks import write_tagger

RED, GREEN = (200, 20, 20), (20, 200, 20)
ODD = ("a<b>", "\"quoted\"_'name'", "pipe|_`tick`", "slash/../up", "&amp;_(ギリシャ)", "#1_hero", "..")
"""Names of characters that mean something in HTML, in paths or in lists."""


class Flat:
    """Fills every picture with one colour."""

    def __init__(self, colour):
        self.colour = colour
        self.identity, self.tokens = f"flat {colour}", "words"

    def draw(self, batch):
        return [Image.new("RGB", (picture.width, picture.height), self.colour) for picture in batch]

    def forecast(self, pictures):
        return f"filling {len(pictures)} pictures"


@pytest.fixture
def small_booru(tmp_path):
    """A database of solo posts and a folder of images, from characters and colour of each post by its id."""

    def write_booru(posts):
        images = tmp_path / "images"
        images.mkdir()
        for post, (_, colour) in posts.items():
            data = b"GIF89a and no more" if colour is None else None
            if data:
                (images / f"{post}.png").write_bytes(data)
            else:
                Image.new("RGB", (48, 64), colour).save(images / f"{post}.png")
        characters = sorted({name for names, _ in posts.values() for name in names})
        write(
            tmp_path / "small.db",
            [post_row(post, file_ext="png") for post in posts],
            lambda post: ["solo", *posts[post][0]],
            [("solo", "general"), *((name, "character") for name in characters)],
        )
        return {"database": tmp_path / "small.db", "images": [str(images)]}

    return write_booru


@pytest.fixture
def lenient(options, tmp_path):
    """Options that take a character with a single image, with a cache of their own."""
    return options(characters={"images": 1}, references={"cache": str(tmp_path / "cache")})


def rows_of(folder):
    return parquet.read_table(folder / "scores.parquet").to_pylist()


@pytest.mark.slow
def test_a_single_character_with_a_single_reference_has_a_score_and_no_bounds(
    small_booru, evaluated, lenient, tmp_path
):
    outcome = evaluated(Flat(RED), options=lenient, **small_booru({1: (["red"], RED)}))
    assert [row["score"] for row in rows_of(tmp_path / "out")] == [1.0]
    assert [(row["ceiling"], row["floor"]) for row in rows_of(tmp_path / "out")] == [(None, None)]
    assert outcome.figures.score.mean == 1
    assert math.isnan(outcome.figures.score.low)
    assert str(outcome).splitlines()[:3] == [
        "score    1.0000, by 1 character",
        "ceiling  not known: references beside others of their character",
        "floor    not known: references beside another character's",
    ]
    page = outcome.page.read_text(encoding="utf-8")
    assert "one character, no interval" in page
    assert "nan" not in page.partition("<body>")[2].replace("data:image", "").split("<h2>The best")[0]
    evaluated(Flat(GREEN), out="other", options=lenient, database=tmp_path / "small.db", images=[str(tmp_path / "images")])  # fmt: skip
    text = str(compare(tmp_path / "out", tmp_path / "other"))
    assert "difference: -1.0000; one character says nothing of others" in text


@pytest.mark.slow
def test_odd_names_stay_names(small_booru, evaluated, lenient, tmp_path):
    parts = small_booru({number: ([name], RED) for number, name in enumerate(ODD, 1)})
    outcome = evaluated(Flat(RED), options=lenient, **parts)
    rows = rows_of(tmp_path / "out")
    assert {row["character"] for row in rows} == set(ODD)
    assert sorted(path.name for path in (tmp_path / "out" / "pictures").iterdir()) == ["000"]
    page = outcome.page.read_text(encoding="utf-8")
    assert "<span>a&lt;b&gt;</span>" in page
    assert "<span>&amp;amp;_(ギリシャ)</span>" in page
    assert 'alt="picture 1 of &quot;quoted&quot;_&#x27;name&#x27;, score 1.00"' in page
    assert "a<b>" not in page


def test_images_that_cannot_be_decoded_are_no_references(small_booru, evaluated, lenient):
    parts = small_booru({1: (["red"], None), 2: (["red"], None)})
    with pytest.raises(InputError, match=r"none of 2 images of these characters can be decoded \(post 1: "):
        evaluated(Flat(RED), options=lenient, **parts)


@pytest.mark.slow
def test_an_image_of_two_characters_is_no_floor_and_a_file_counts_once(
    small_booru, evaluated, lenient, tmp_path
):
    """Posts 1 and 2 are one file; post 3 shows both characters, and is left out of what tells them apart."""
    mixture, blue = (120, 120, 20), (20, 20, 200)
    posts = {1: (["red"], RED), 2: (["red"], RED), 3: (["red", "green"], mixture), 4: (["green"], blue)}
    evaluated(Flat(RED), options=lenient, **small_booru(posts))
    red, green = sorted(rows_of(tmp_path / "out"), key=lambda row: row["character"], reverse=True)
    assert (red["references"], green["references"]) == (2, 2)
    assert (red["score"], green["score"]) == (0.5, 0.0)  # red, beside red and both; beside both and blue
    assert (red["ceiling"], green["ceiling"]) == (0.0, 0.0)  # the second copy of post 1 is no other reference
    assert (red["floor"], green["floor"]) == (0.0, 0.0)


@pytest.mark.slow
def test_equal_pictures_are_asked_for_the_tags_of_their_own_characters(
    small_booru, evaluated, lenient, options, tmp_path
):
    """A tagger that sees green for `solo`, red for `red`, and does not know the tag of the other."""
    folder = write_tagger(tmp_path / "tagger", {"red": ("4", 0), "solo": ("0", 1)})
    square = options(tags={"model": str(folder)}, drawing={"shapes": ("1:1",)})
    how = replace(lenient, tags=square.tags, drawing=square.drawing, prompts=PromptOptions(tags=("solo",)))
    parts = small_booru({1: (["red"], RED), 2: (["green"], GREEN)})
    evaluated(Flat(GREEN), options=how, **parts)
    assert {row["character"]: row["tags"] for row in rows_of(tmp_path / "out")} == {"red": 0.5, "green": 1.0}


def test_characters_that_are_too_few_are_counted(small_booru, options, task, tmp_path):
    parts = small_booru({1: (["red"], RED), 2: (["red"], RED), 3: (["green"], GREEN)})
    sentences = []
    chosen = options(characters={"images": 2, "count": 5}, references={"cache": str(tmp_path / "cache")})
    with Ranks(torch.device("cpu")) as ranks:
        evaluate(task(options=chosen, **parts), lambda: Flat(RED), ranks, sentences.append)
    assert sentences == [
        "only 1 of 5 characters have 2 posts with an image that match 'solo rating:g,s'; the evaluation is of these",
        "filling 2 pictures",
    ]


def test_a_database_without_solo_posts_is_named(tmp_path, options):
    write(tmp_path / "a.db", [post_row(1)], lambda post: ["red"], [("red", "character")])
    with (
        hb.open(tmp_path / "a.db") as database,
        pytest.raises(SearchError, match="the database has no tag 'solo'"),
    ):
        Casting(database, options())
    write(tmp_path / "b.db", [post_row(1)], lambda post: ["red"], [("red", "character"), ("solo", "general")])
    with (
        hb.open(tmp_path / "b.db") as database,
        pytest.raises(
            InputError, match=r"no character of .*b\.db has 5 posts with an image that match 'solo rating"
        ),
    ):
        Casting(database, options())


def test_more_processes_than_gpus_are_refused(task, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(
        InputError,
        match=r"a process for GPU 3 of this machine, and torch sees 2; start it with --nproc-per-node 2",
    ):
        evaluate_model(task(), print)
