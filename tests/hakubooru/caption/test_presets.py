"""What each preset writes, golden; and that every one can be kept in a file and taken up again."""

from __future__ import annotations

import json
import pickle
import tomllib
from pathlib import Path

import pytest

from hakubooru.caption import PRESETS, SOURCES, Captioner, caption_format

TAGS = (
    "long_hair highres 1girl bespin o_o vocaloid male_focus solo hatsune_miku bad_id star_(sky) vert_(neptunia) "
    "photoshop_(medium) banned_artist"
)
POST = {
    "rating": "explicit",
    "fav_count": 107,
    "score": 120,
    "created_at": "2009-07-26T17:57:29.000-04:00",
}
RECORD = {
    "quality": "best quality",
    "rating": "nsfw, explicit",
    "date": "old",
    "artist": ["bespin"],
    "character": ["hatsune miku", "vert (neptunia)"],
    "copyright": ["vocaloid"],
    "people": ["1girl", "male focus"],
    "general": ["long hair", "o_o", "solo", "star (sky)"],
    "meta": ["highres"],
}
GOLDEN = {
    "kohaku-epsilon": "1girl, male focus, hatsune miku, vert (neptunia), vocaloid, bespin ||| "
    "long hair, o_o, solo, star (sky), best quality, old, highres, nsfw, explicit",
    "kohaku-delta": "1girl, male focus, hatsune miku, vert (neptunia), vocaloid, bespin ||| "
    "great quality, nsfw, explicit, old, long hair, o_o, solo, star (sky), highres",
    "kohaku-gamma": "1girl, male focus, hatsune miku, vert (neptunia), vocaloid ||| "
    "bespin, long hair, o_o, solo, star (sky), highres, old, explicit, nsfw, great quality",
    "hakubooru": "1girl, male focus, hatsune miku, vert (neptunia), vocaloid, bespin, |||"
    "long hair, o_o, solo, star (sky), highres, old, explicit, nsfw, best quality",
    "animagine-xl-3": "1girl, male focus, hatsune miku, vert (neptunia), vocaloid ||| "
    "long hair, o_o, solo, star (sky), bespin, highres, explicit, nsfw, oldest, best quality",
    "danbooru": "1girl bad_id banned_artist bespin hatsune_miku highres long_hair male_focus o_o "
    "photoshop_(medium) solo star_(sky) vert_(neptunia) vocaloid",
    "webui": r"1girl, male focus, hatsune miku, vert \(neptunia\), vocaloid, bespin, "
    r"long hair, o_o, solo, star \(sky\), best quality, old, highres, nsfw, explicit",
    "json": json.dumps(RECORD),
}

MODELS = ["illustrious", "noobai", "animagine-xl-4", "anima", "kohaku-zeta", "kohaku-hdm"]
"""Presets whose goldens are in `test_models.py`."""


def test_every_preset_is_golden_and_has_a_source():
    assert {*GOLDEN, *MODELS} == set(PRESETS) == set(SOURCES)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(caption, name):
    assert caption(name, TAGS, **POST) == GOLDEN[name]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_outlives_toml_and_pickle(name):
    preset = PRESETS[name]
    assert caption_format(preset.to_dict()) == preset
    table = {"quality": preset.quality, "aesthetic": preset.aesthetic}
    assert caption_format({"base": name} | table) == preset
    assert pickle.loads(pickle.dumps(preset)) == preset
    assert hash(preset) == hash(caption_format(preset.to_dict()))


# HakuBooru 0.0.3's own words for the same posts; its source is not needed to read them.
HAKUBOORU = [
    ("1girl solo highres", {"created_at": "", "fav_count": 0}, "1girl, |||solo, highres, early, safe, worst quality"),
    ("solo", {"created_at": "1999-12-31T23:59:59-05:00", "fav_count": 27}, ", |||solo, early, safe, best quality"),
    ("solo", {"created_at": "2025-01-01T00:00:00-05:00", "fav_count": 28}, ", |||solo, safe, masterpiece"),
    ("", {"rating": "explicit", "fav_count": 70}, ", |||mid, explicit, nsfw, great quality"),
    ("solo solo", {"rating": "sensitive", "fav_count": 3}, ", |||solo, solo, mid, sensitive, low quality"),
    ("banned_by_moderators bespin bad_id", {"rating": "questionable"}, "bespin, |||mid, nsfw, worst quality"),
]  # fmt: skip


@pytest.mark.parametrize(("tags", "columns", "expected"), HAKUBOORU)
def test_hakubooru_with_its_quirks(caption, tags, columns, expected):
    assert caption("hakubooru", tags, **{"created_at": "2016-07-26T17:57:29-04:00", **columns}) == expected


@pytest.mark.parametrize(("post_id", "quality"), [(7_100_000, ", worst quality"), (7_100_001, "")])
def test_hakubooru_does_not_judge_young_posts(caption, post_id, quality):
    assert (
        caption("hakubooru", "solo", id=post_id, created_at="2024-01-01")
        == f", |||solo, newest, safe{quality}"
    )


LINES = (
    (Path(__file__).parents[2] / "data" / "danbooru_posts_2016.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()
)
REAL = {post["id"]: post for post in map(json.loads, LINES)}


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
            "created_at": post["created_at"],
            "fav_count": post["fav_count"],
        }
        for post in REAL.values()
    }
    return booru({i: (post["tag_string"], columns[i]) for i, post in REAL.items()}, kinds)


def test_danbooru_is_the_tag_string_of_real_posts(real):
    captions = dict(Captioner(real, "danbooru").captions(real.posts.to_ids()))

    assert len(captions) == 20
    assert captions == {post_id: post["tag_string"] for post_id, post in REAL.items()}


def test_epsilon_of_a_real_post(real):
    [(_, text)] = Captioner(real, "kohaku-epsilon").captions(real.posts.ids(2434966, 2434967).to_ids())

    assert text == (
        "1girl, illaoi, league of legends, chalii ||| alternate costume, alternate hairstyle, brown hair, crown, "
        "dark skin, facial mark, long hair, solo, star (sky), tattoo, tentacles, yellow eyes, worst quality, mid, safe"
    )


def test_toml():
    table = tomllib.loads(
        """
        base = "kohaku-epsilon"
        order = ["quality", "keep", "general"]
        rating.explicit = "18+"
        without.any = ["watermark", "*_username"]
        """
    )
    shape = caption_format(table)
    base = PRESETS["kohaku-epsilon"]

    assert shape.order == ("quality", "keep", "general")
    assert shape.rating == base.rating._replace(explicit=("18+",))
    assert shape.without == base.without._replace(any=("watermark", "*_username"))
    assert shape.quality == base.quality


def test_a_toml_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('[caption]\nbase = "webui"\nbefore = "anime"\n', encoding="utf-8")

    assert caption_format(str(file)).before == "anime"
    file.write_text('caption = "danbooru"\n', encoding="utf-8")
    assert caption_format(str(file)) == PRESETS["danbooru"]
