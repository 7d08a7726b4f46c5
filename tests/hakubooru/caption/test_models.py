"""The presets of models after Kohaku Epsilon: three real posts in each, and what each needs to be given."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hakubooru.caption import PRESETS, SOURCES, Captioner, caption_format, example_caption
from hakubooru.errors import CaptionFormatError
from joined_columns import join

pytestmark = pytest.mark.usefixtures("cache")
LINES = (Path(__file__).parents[2] / "data" / "danbooru_posts_2016.jsonl").read_text(encoding="utf-8")
REAL = {post["id"]: post for post in map(json.loads, LINES.splitlines())}
THREE = [2434966, 2434961, 2434959]
JOINED = {
    "text": {2434966: "A woman with\na golden crown, \n\nseen from the side.", 2434959: " "},
    "aesthetic": {2434966: 0.2, 2434961: 0.9},
    "waifu_scorer": {2434966: 0.2, 2434961: 0.9},
}
ILLAOI = (
    "alternate costume, alternate hairstyle, brown hair, crown, dark skin, facial mark, long hair, solo, "
    "star (sky), tattoo, tentacles, yellow eyes"
)
SWEETS = (
    "between breasts, blush, breasts, chocolate, chocolate heart, hat, heart, huge breasts, looking at viewer, "
    "translation request"
)
SHORT = "black hair, short hair, solo"
TEXT = "A woman with a golden crown, seen from the side."
GOLDEN = {
    "illustrious": [
        f"1girl, illaoi, general, {ILLAOI}, chalii, average quality, oldest",
        f"1girl, general, {SWEETS}, aonalotus, worst quality, oldest",
        f"1girl, general, {SHORT}, ilya kuvshinov, worst quality, oldest",
    ],
    "noobai": [
        f"1girl, illaoi, league of legends, chalii, normal quality, mid, safe, {ILLAOI}",
        f"1girl, aonalotus, best quality, mid, safe, {SWEETS}",
        f"1girl, ilya kuvshinov, normal quality, mid, safe, {SHORT}",
    ],
    "animagine-xl-4": [
        f"1girl, illaoi, league of legends, safe, {ILLAOI}, chalii, year 2016, average score",
        f"1girl, safe, {SWEETS}, aonalotus, year 2016, best quality, low score",
        f"1girl, safe, {SHORT}, ilya kuvshinov, year 2016, low score",
    ],
    "anima": [
        f"normal quality, score_1, year 2016, safe, 1girl, illaoi, league of legends, @chalii, {ILLAOI}",
        f"worst quality, score_5, year 2016, safe, 1girl, @aonalotus, {SWEETS}",
        f"worst quality, year 2016, safe, 1girl, @ilya kuvshinov, {SHORT}",
    ],
    "kohaku-zeta": [
        f"1girl, illaoi, league of legends, chalii ||| {ILLAOI}, {TEXT}, worst quality, mid, safe",
        f"1girl, aonalotus ||| {SWEETS}, low quality, mid, safe",
        f"1girl, ilya kuvshinov ||| {SHORT}, worst quality, mid, safe",
    ],
    "kohaku-hdm": [
        f"1girl, illaoi, league of legends, chalii ||| {ILLAOI} %% worst quality %% mid %% safe".replace(
            ", ", " $$ "
        ),
        f"1girl, aonalotus ||| {SWEETS} %% low quality %% mid %% safe".replace(", ", " $$ "),
        f"1girl, ilya kuvshinov ||| {SHORT} %% worst quality %% mid %% safe".replace(", ", " $$ "),
    ],
}


@pytest.fixture
def real(booru):
    """The real posts of 2016; `s` meant safe then."""
    kinds = {}
    for post in REAL.values():
        for kind in ("general", "artist", "character", "copyright"):
            kinds |= dict.fromkeys(post[f"tag_string_{kind}"].split(), (kind, 1))
    columns = {
        post["id"]: {
            "rating": {"s": "general", "q": "questionable", "e": "explicit"}[post["rating"]],
            **{name: post[name] for name in ("created_at", "fav_count", "score")},
        }
        for post in REAL.values()
    }
    return booru({i: (post["tag_string"], columns[i]) for i, post in REAL.items()}, kinds)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(real, tmp_path, name):
    """The format itself, with the numbers of the example where nobody published any."""
    captioner = Captioner(join(real, tmp_path, **JOINED), PRESETS[name])
    texts = [text for _, text in captioner.captions(np.array(THREE))]
    assert texts == GOLDEN[name]


def test_illustrious_is_the_table_of_the_paper(booru):
    """Table 2 of arXiv 2409.19946: the percentiles of a score, and the years."""
    posts = {n: ("solo", {"score": n, "created_at": f"2023-05-{1 + n % 28:02d}"}) for n in range(1, 101)}
    db = booru(posts)
    shape = {"base": "illustrious", "order": ["quality"]}
    captions = dict(Captioner(db, shape).captions(db.posts.to_ids()))
    ends = {
        8: "worst quality", 20: "bad quality", 60: "average quality", 82: "good quality", 92: "best quality",
        100: "masterpiece",
    }  # fmt: skip
    assert captions == {n: next(label for end, label in ends.items() if n <= end) for n in posts}
    years = {2017: "oldest", 2019: "old", 2020: "modern", 2022: "recent", 2023: "newest"}
    assert {year: label for label, year in PRESETS["illustrious"].date} == years
    assert dict(Captioner(db, {"base": "illustrious"}).captions(np.array([100])))[100] == (
        "general, solo, masterpiece, newest"
    )


def test_noobai_is_the_table_of_its_page(booru):
    db = booru({n: ("solo", {"fav_count": n}) for n in range(1, 101)})
    captions = dict(Captioner(db, {"base": "noobai", "order": ["quality"]}).captions(db.posts.to_ids()))
    ends = {
        30: "worst quality",
        60: "normal quality",
        85: "good quality",
        95: "best quality",
        100: "masterpiece",
    }
    assert captions == {n: next(label for end, label in ends.items() if n <= end) for n in captions}


def test_noobai_can_add_its_aesthetic_words(real, tmp_path):
    shape = {"base": "noobai", "order": ["aesthetic"]}
    join(real, tmp_path, waifu_scorer={post: float(post) for post in REAL})
    words = [text for _, text in Captioner(real, shape).captions(real.posts.to_ids())]
    assert words == ["worst aesthetic", *[""] * 18, "very awa"]


@pytest.mark.parametrize(
    ("table", "missing"),
    [
        ("anima", 'give them in a TOML file: [caption] with base = "anima", quality = {"masterpiece" = …'),
        ("anima", ' and aesthetic.labels = {"score_9" = …'),
        ("anima", 'or write an order without "quality" and "aesthetic"'),
        ({"base": "anima", "quality": {"masterpiece": 95}}, 'aesthetic.labels = {"score_9" = …'),
        ({"base": "animagine-xl-4", "aesthetic": {"labels": {"high score": 90}}}, "quality = "),
        ({"base": "anima", "order": ["aesthetic"], "aesthetic": {"by": "silva"}}, "aesthetic.labels = "),
    ],
)
def test_numbers_that_nobody_published_must_be_given(table, missing):
    with pytest.raises(CaptionFormatError, match=r"^nobody published the percentiles of") as error:
        caption_format(table)
    assert missing in str(error.value)


def test_given_numbers_and_orders_without_them_are_formats():
    table = {"quality": {"masterpiece": 95, "worst quality": 0}, "aesthetic": {"labels": {"score_9": 50}}}
    shape = caption_format({"base": "anima"} | table)
    assert shape.aesthetic.labels == (("score_9", 50),)
    assert (shape.aesthetic.by, shape.prefix.artist) == ("aesthetic", "@")
    assert caption_format({"base": "anima", "order": ["artist", "general"]}).order == ("artist", "general")


def hdm_caption(text):
    """What HDM's own trainer makes of a caption when it neither shuffles nor drops."""
    head, rest = text.split("|||")
    groups = [group.strip() for group in rest.split("%%") if group.strip()]
    tags = [tag.strip() for side in (head, *groups) for tag in side.split("$$")]
    return ", ".join(tag for tag in tags if tag)


def test_hdm_reads_the_tags_of_epsilon(real):
    ids = real.posts.to_ids()
    ours = [hdm_caption(text) for _, text in Captioner(real, "kohaku-hdm").captions(ids)]
    assert ours == [text.replace(" |||", ",") for _, text in Captioner(real, "kohaku-epsilon").captions(ids)]


@pytest.mark.parametrize("name", PRESETS)
def test_examples_say_what_sources_are(name):
    assert "chibi" in example_caption(PRESETS[name])
    unpublished = {"animagine-xl-4", "anima"}
    assert ("they must be given" in SOURCES[name]) == (name in unpublished)
