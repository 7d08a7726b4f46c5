from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakubooru.caption import PRESETS, CaptionFormat, QualityScale, caption_format
from hakubooru.errors import CaptionFormatError, InputError
from hakubooru.store.schema import RATINGS

WRONG = [
    ("kohaku-epsilom", "there is no caption format 'kohaku-epsilom'; did you mean 'kohaku-epsilon'?"),
    (7, "7 is not a caption format; give a preset's name or a table of fields"),
    ({"escape": True}, "a caption format needs `base`, the name of a preset, or `order`, its parts"),
    ({"base": "webui", "seperator": " "}, "[caption] has no key 'seperator'; did you mean 'separator'?"),
    ({"order": ["peple"]}, 'caption.order has "peple", which is not a part; did you mean \'people\'?'),
    ({"order": ["meta", "meta"]}, 'caption.order has "meta" twice; write each part once'),
    ({"order": ["keep"]}, 'caption.order names no part; name at least one, such as "general"'),
    ({"order": ["tags", "meta"]}, 'caption.order has "tags" and "meta", but "tags" stands for all tag parts'),
    ({"order": 3}, "caption.order = 3 is not a list; write [ , ]"),
    ({"base": "webui", "underscores": "none"}, 'caption.underscores = "none"; there are: short, kaomoji, keep'),
    ({"base": "webui", "separator": 1}, "caption.separator = 1; write a text in quotes"),
    ({"base": "kohaku-epsilon", "keep_separator": ""}, 'caption.keep_separator is empty, and would join two tags; take "keep" out of caption.order'),
    ({"base": "webui", "separator": ""}, 'caption.separator is empty; write the text between two tags, such as ", "'),
    ({"base": "webui", "escape": "yes"}, 'caption.escape = "yes"; write true or false'),
    ({"base": "webui", "max_tags": 0}, "caption.max_tags = 0; write a whole number of at least 1"),
    ({"base": "webui", "min_popularity": -1}, "caption.min_popularity = -1; write a whole number of at least 0"),
    ({"base": "webui", "rating": {"safe": "s"}}, "caption.rating has no key 'safe'; there are: general, sensitive,"),
    ({"base": "webui", "without": ["comic"]}, 'caption.without = ["comic"] is not a table; its keys are people, char'),
    ({"base": "webui", "only": {"general": 5}}, "caption.only.general = 5 is not a list; write [ , ]"),
    ({"base": "webui", "date": {"old": "2010"}}, 'caption.date = {"old" = "2010"}; write a table of labels and last'),
    ({"base": "webui", "date": {"a": 2010, "b": 2010}}, "caption.date has a number twice ([2010, 2010]); give each"),
    ({"base": "webui", "quality": {"best": 101}}, "caption.quality.best = 101; write a percentile from 0 up to 100"),
    ({"base": "webui", "quality": {"a": 5, "b": 5}}, "caption.quality has a number twice ([5, 5]); give each label"),
    (
        {"base": "webui", "quality": {"best": 97}},
        "caption.quality asks for the percentile 97, but its scale has 5, 10, 15, 20, 25,",
    ),
    ({"base": "webui", "quality_scale": "mine"}, 'caption.quality_scale = "mine"; write "published", "database", "va'),
    ({"base": "webui", "quality_scale": {"general": {"10": 1}}}, "caption.quality_scale lacks 'sensitive'; it needs"),
    ({"base": "webui", "quality_scale": dict.fromkeys(RATINGS, 5)}, "caption.quality_scale must hold percentiles and"),
    ({"base": "webui", "max_tokens": 75}, "caption.max_tokens and caption.tokenizer go together: give both, or"),
    (
        {"base": "json", "max_tokens": 75, "tokenizer": "sdxl/tokenizer"},
        'caption.max_tokens counts the tokens of text: leave it out, or set layout = "text"',
    ),
    ({"base": "webui", "trim": ["quality"]}, 'caption.trim has "quality", which is not a part; there are: people,'),
    ({"base": "webui", "escape": 1, "before": 2}, "2 things are wrong: (1) caption.before = 2; write a text in quotes"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "message"), WRONG)
def test_a_wrong_format_is_told_by_its_field(value, message):
    with pytest.raises(CaptionFormatError) as error:
        caption_format(value)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "mine.toml cannot be read: No such file or directory; name a preset, or a TOML file"),
        ("caption", "mine.toml is not TOML: "),
        ("seed = 1", "mine.toml has no [caption]; add a table [caption], or a preset's name"),
        ("caption.escape = true", "mine.toml: a caption format needs `base`"),
    ],
)
def test_a_wrong_file_is_told_by_its_name(tmp_path, text, message):
    file = tmp_path / "mine.toml"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(CaptionFormatError) as error:
        caption_format(str(file))
    assert message in str(error.value)


def test_lists_and_tables_become_hashable_values():
    form = CaptionFormat(order=["general"], rating={"explicit": "18+"}, date={"new": 2024, "old": 2010})

    assert form.order == ("general",)
    assert form.rating.explicit == ("18+",)
    assert form.date == (("old", 2010), ("new", 2024))
    assert hash(form) == hash(dataclasses.replace(form))
    with pytest.raises(dataclasses.FrozenInstanceError):
        form.order = ("meta",)


ALL = {"order": ["people", "character", "artist", "general", "meta", "rating"], "rating": {"general": []}}


@pytest.mark.parametrize(
    ("options", "tags", "expected"),
    [
        ({}, "o_o (o)_(o) long_hair", "o_o, (o) (o), long hair"),
        ({"underscores": "kaomoji"}, "o_o (o)_(o) long_hair", "o_o, (o)_(o), long hair"),
        ({"underscores": "keep"}, "o_o (o)_(o) long_hair", "o_o, (o)_(o), long_hair"),
        ({"escape": True}, "star_(sky) (o)_(o)", r"star \(sky\), \(o\) \(o\)"),
        ({"separator": " | "}, "solo o_o", "solo | o_o"),
        ({"before": "art", "after": "end"}, "solo", "art, solo, end"),
        ({"tag_order": "alphabetical"}, "solo o_o long_hair 1girl", "1girl, long hair, o_o, solo"),
        ({"without": {"general": ["o_o"]}}, "solo o_o bespin", "bespin, solo"),
        ({"without": {"any": ["b*", "*_(*)"]}}, "solo star_(sky) bespin vert_(neptunia)", "solo"),
        ({"without": {"meta": ["*"]}}, "solo highres", "solo"),
        ({"only": {"general": ["s*"]}}, "solo long_hair star_(sky) bespin", "bespin, solo, star (sky)"),
        ({"only": {"any": ["solo", "bespin"]}}, "solo long_hair highres bespin", "bespin, solo"),
        ({"only": {"general": ["s*"]}, "without": {"any": ["solo"]}}, "solo star_(sky)", "star (sky)"),
        ({"max_tags": 2}, "solo o_o 1girl highres hatsune_miku", "1girl, hatsune miku"),
        ({"max_tags": 1, "trim": ["people"]}, "solo 1girl male_focus", "solo"),
        ({"rating": {"general": ["safe", "sfw"]}, "max_tags": 1}, "o_o solo", "o_o, safe, sfw"),
        ({"order": ["keep", "general", "people"]}, "1girl solo", "||| solo, 1girl"),
        ({"order": ["people", "keep", "general"], "after": "end"}, "1girl", "1girl ||| end"),
        ({"order": ["tags"], "max_tags": 2}, "solo 1girl highres", "solo, 1girl"),
    ],
)
def test_options(caption, options, tags, expected):
    assert caption(ALL | options, tags) == expected


COUNTED = {"rare": ("general", 3), "known": ("general", 500), "loved": ("general", 90_000)}


def test_popularity(caption):
    assert caption(ALL | {"min_popularity": 500}, "rare loved known", popularity=COUNTED) == "loved, known"
    assert caption(ALL | {"tag_order": "popularity"}, "rare known loved", popularity=COUNTED) == (
        "loved, known, rare"
    )


@pytest.mark.parametrize("option", [{"min_popularity": 1}, {"tag_order": "popularity"}])
def test_popularity_that_was_never_counted_is_an_error(caption, option):
    with pytest.raises(InputError, match="every tag of the file has popularity 0"):
        caption(ALL | option, "solo")


@pytest.mark.parametrize(("year", "label"), [(2010, "old"), (2024, "newest"), (2025, ""), (1999, "?")])
def test_dates(caption, year, label):
    assert (
        caption({"order": ["date"], "undated": "?"}, "", created_at=f"{year}-02-03T00:00:00-05:00") == label
    )


def test_quality_without_a_lowest_label(caption):
    shape = {"order": ["quality"], "quality": {"good": 50}}
    assert caption(shape, "", fav_count=8) == ""
    assert caption(shape, "", fav_count=9) == "good"


def test_a_rating_that_is_none_has_no_labels(booru, tmp_path):
    import hakubooru as hb
    from hakubooru.caption import Captioner

    booru({1: ("solo", {"fav_count": 50})}).close()
    with hb.open(tmp_path / "captions0.db", writable=True) as db:
        db.rows("UPDATE post SET rating = 9")
        shape = {"order": ["general", "rating", "quality"]}
        assert [text for _, text in Captioner(db, shape).captions(db.posts.to_ids())] == ["solo"]


def test_scale_of_a_database(booru):
    counts = [0, 0, 1, 1, 1, 2, 5, 9, 9, 20]
    posts = {n: ("", {"fav_count": count, "score": -count}) for n, count in enumerate(counts, start=1)}
    db = booru(posts | {50: ("", {"rating": "explicit", "fav_count": 7})})

    scale = QualityScale.from_database(db, [10, 20, 50, 90])
    assert scale.percentiles == (10, 20, 50, 90)
    assert scale.values == ((0, 0, 1, 9), (0, 0, 0, 0), (0, 0, 0, 0), (7, 7, 7, 7))
    assert QualityScale.from_database(db, [50], by="score").values[0] == (-2,)
    assert QualityScale.from_dict(scale.to_dict()) == scale


def test_a_format_measures_the_database_once_and_a_lock_keeps_it(booru):
    from hakubooru.caption import Captioner

    posts = {n: ("", {"fav_count": n}) for n in range(1, 101)}
    shape = {"order": ["quality"], "quality": {"high": 90, "low": 0}, "quality_scale": "database"}
    db = booru(posts)
    captioner = Captioner(db, shape)
    texts = [text for _, text in captioner.captions(db.posts.to_ids())]

    assert texts == ["low"] * 90 + ["high"] * 10
    form = caption_format(captioner.format.to_dict())
    assert form == captioner.format
    assert isinstance(form.quality_scale, QualityScale)
    assert form.resolved(db) is form


def test_scales_with_different_percentiles_are_told():
    table = {"general": {"10": 1}, "sensitive": {"10": 1}, "questionable": {"20": 1}, "explicit": {"10": 1}}
    with pytest.raises(CaptionFormatError, match="different percentiles"):
        QualityScale.from_dict(table)


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
anything = st.recursive(
    plain | st.sampled_from(["general", "keep", "database", "json"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [field.name for field in dataclasses.fields(CaptionFormat)]


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(FIELDS), anything, max_size=3), st.sampled_from(sorted(PRESETS)))
def test_whatever_a_table_holds_is_a_format_or_a_told_error(table, base):
    try:
        form = caption_format({"base": base, **table})
    except CaptionFormatError:
        return
    assert caption_format(form.to_dict()) == form
    hash(form)
