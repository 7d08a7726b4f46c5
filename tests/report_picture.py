"""Draw the picture of an evaluation's report, docs/images/evaluate-report.webp.

    python tests/report_picture.py

No model is needed: people are drawn as in the demo, and the judge sees their hair and clothes. An artist draws the characters that have
many posts as they are, and guesses at the others. It needs Chromium.
"""

from __future__ import annotations

import io
import math
import random
import tempfile
from contextlib import chdir
from pathlib import Path

import torch
from PIL import Image

from chromium import started
from drawn_people import Artist, Somebody, write_judge, write_people
from hakubooru_cli.miniature.cast import CLOTHES, EYES, HAIR, LENGTHS, pick
from hakubooru_trainer.distributed import Ranks
from hakubooru_trainer.evaluate.evaluation import Task, evaluate
from hakubooru_trainer.evaluate.options import (
    DrawingOptions,
    EvaluationOptions,
    ReferenceOptions,
    ScoreOptions,
)

IMAGES_OF_DOCS = Path(__file__).parents[1] / "docs" / "images"
NAMES = [start + end for start in ("ha", "mi", "yu", "ko", "se") for end in ("na", "ruka", "kiyo", "ri")]
"""Made-up people; each appears in three series."""
SERIES = ("first_light", "paper_moon", "sea_of_glass")
SIZES = ((288, 384), (256, 384), (320, 320))
IMAGES = 14
"""How many posts of each have an image."""


def people() -> list[Somebody]:
    """Sixty characters, each with hair and clothes of her own, and with 24 to 2,400 posts."""
    lot = random.Random(4)
    pairs = sorted(((hair, clothes) for hair in HAIR for clothes in CLOTHES), key=lambda _: lot.random())
    every = []
    for place, (hair, clothes) in enumerate(pairs):
        series = SERIES[place % len(SERIES)]
        looks = {
            "hair": hair,
            "clothes": clothes,
            "length": pick(lot, LENGTHS),
            "eyes": pick(lot, list(EYES)),
        }
        posts = round(24 * 100 ** (place / len(pairs)))
        every.append(Somebody(f"{NAMES[place // len(SERIES)]}_({series})", series, posts, looks))
    return every


def apprentice(every: list[Somebody]) -> Artist:
    """Draws a character rightly the more likely, the more posts she has; else somebody with other looks."""
    by_name = {somebody.name: somebody for somebody in every}

    def looks(name, lot):
        knows = 1 / (1 + math.exp(-3.5 * (math.log10(by_name[name].posts) - 2.1)))
        return (by_name[name] if lot.random() < knows else pick(lot, every)).looks

    return Artist(by_name, looks)


def main() -> None:
    """Evaluate the apprentice, and write the top of the report's page as a picture."""
    every = people()
    with tempfile.TemporaryDirectory() as name, Ranks(torch.device("cpu")) as ranks:
        folder = Path(name)
        write_people(folder, every, SIZES, IMAGES)
        write_judge(folder / "judge")
        options = EvaluationOptions(
            references=ReferenceOptions(count=12, cache=str(folder / "cache")),
            drawing=DrawingOptions(area=320 * 320, step=32, min_side=192),
            score=ScoreOptions(model="judge"),
        )
        task = Task(
            model=Path("apprentice.safetensors"),
            lokr=None,
            database=folder / "people.db",
            images=[str(folder / "images")],
            out=folder / "judged",
            options=options,
        )
        with chdir(folder):  # the page names the judge's folder
            outcome = evaluate(task, lambda: apprentice(every), ranks, print)
        assert outcome is not None
        print(outcome)
        with started() as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 1560})
            page.goto(outcome.page.as_uri())
            shot = Image.open(io.BytesIO(page.screenshot()))
    shot.save(IMAGES_OF_DOCS / "evaluate-report.webp", quality=80, method=6)


if __name__ == "__main__":
    main()
