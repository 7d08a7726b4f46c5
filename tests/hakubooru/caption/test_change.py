from __future__ import annotations

import json
import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from hakubooru.caption.change import CaptionChange, chance
from hakubooru.errors import InputError

CAPTION = "1girl, hatsune miku, bespin ||| long hair, solo, o_o, best quality, mid, safe"
GENERAL = ["long hair", "solo", "o_o"]
PARTS = {"people": 1, "character": 1, "artist": 1, "general": 3, "quality": 1, "date": 1, "rating": 1}

words = st.text(st.sampled_from("abc_()日"), min_size=1, max_size=6)
tags = st.lists(words, max_size=40)
seeds = st.integers(-(2**70), 2**70)
rates = st.floats(0, 1)


def joined(head, tail):
    return f"{', '.join(head)} ||| {', '.join(tail)}"


def split(caption):
    return caption.split(", ") if caption else []


# The numbers of one seed, in this order, are the promise: they may not change with platform or version.
@pytest.mark.parametrize(
    ("change", "seed", "expected"),
    [
        (CaptionChange(), 1, "1girl, hatsune miku, bespin, long hair, o_o, best quality, solo, safe, mid"),
        (CaptionChange(drop_tags=0.5), 3, "1girl, hatsune miku, bespin, long hair, best quality"),
        (
            CaptionChange(drop_tags=0.5, shuffle=False),
            3,
            "1girl, hatsune miku, bespin, long hair, best quality",
        ),
        (
            CaptionChange(drop_tags=0.5, exact=True),
            2**64 + 7,
            "1girl, hatsune miku, bespin, solo, long hair, best quality",
        ),
    ],
)
def test_golden(change, seed, expected):
    assert change(CAPTION, seed) == expected


def test_golden_chances():
    assert [chance(seed, "caption") for seed in (0, 1)] == [0.607849135349874, 0.10111528801266867]


changes = st.builds(CaptionChange, drop_tags=rates, exact=st.booleans(), shuffle=st.booleans())


@given(tags, tags, seeds, changes)
def test_nothing_before_the_separator_moves_and_nothing_is_invented(head, tail, seed, change):
    words = split(change(joined(head, tail), seed))

    assert words[: len(head)] == head
    tail_words = words[len(head) :]
    remaining = list(tail)
    for word in tail_words:
        remaining.remove(word)  # a word that was not there, or not so often, fails
    if change.exact:
        assert len(tail_words) == len(tail) - math.floor(change.drop_tags * len(tail) + 0.5)
    if not change.shuffle:
        rest = iter(tail)
        assert all(word in rest for word in tail_words)
    assert change(joined(head, tail), seed) == change(joined(head, tail), seed)


@given(tags, seeds)
def test_a_shuffle_alone_keeps_every_tag(tail, seed):
    assert sorted(split(CaptionChange()(joined([], tail), seed))) == sorted(tail)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.15, 0.5, 1.0])
def test_the_rate_of_dropped_tags_lies_within_binomial_bounds(rate):
    change = CaptionChange(drop_tags=rate)
    caption = joined([], [f"tag{i}" for i in range(40)])
    draws = 40 * 2000
    total = sum(len(split(change(caption, seed))) for seed in range(2000))

    assert abs(draws - total - rate * draws) <= 5 * math.sqrt(draws * rate * (1 - rate))


@pytest.mark.slow
def test_every_place_is_as_likely_for_every_tag():
    tail = [f"tag{i}" for i in range(6)]
    places = [CaptionChange()(joined([], tail), seed).split(", ").index("tag0") for seed in range(6000)]

    assert all(abs(places.count(place) - 1000) <= 5 * math.sqrt(6000 * 5 / 36) for place in range(6))


def test_the_whole_caption_is_dropped_at_its_rate():
    change = CaptionChange(drop_caption=0.1)
    dropped = sum(change(CAPTION, seed) == "" for seed in range(5000))
    assert abs(dropped - 500) <= 5 * math.sqrt(5000 * 0.09)


def test_without_a_separator_all_tags_may_move():
    captions = {CaptionChange()("a, b, c", seed) for seed in range(60)}
    assert len(captions) == 6


@pytest.mark.parametrize("caption", ["a, b, |||c, d", "a, b ||| c, d", "a, b|||c, d", "a, b |||, c, d"])
def test_separators_of_all_trades(caption):
    assert CaptionChange(shuffle=False)(caption, 1) == "a, b, c, d"


@pytest.mark.parametrize(
    ("caption", "expected"), [("a |||", "a"), ("||| b", "b"), ("|||", ""), ("", ""), (", |||b", "b")]
)
def test_an_empty_side_leaves_no_separator(caption, expected):
    assert CaptionChange()(caption, 1) == expected


WRITTEN = {
    "1girl,solo,long hair,smile": "no blanks",
    "1girl,solo, long hair ,smile": "some blanks",
    "1girl, solo, long hair, smile, ": "a comma at the end",
    ",1girl,, solo, , long hair, smile,,": "commas too many",
    "1girl\nsolo\nlong hair\nsmile\n": "a tag a line",
    "1girl,\r\nsolo,\r\nlong hair\r\n\r\nsmile\r\n": "lines of Windows",
    "\t1girl\t,solo\tlong hair,\tsmile": "tabs",
}


@pytest.mark.parametrize("caption", WRITTEN, ids=WRITTEN.values())
def test_tags_are_told_apart_however_they_are_written(caption):
    usual = "1girl, solo, long hair, smile"
    assert CaptionChange(shuffle=False)(caption, 1) == usual
    change = CaptionChange(drop_tags=0.5)
    for seed in range(50):
        assert change(caption, seed) == change(usual, seed)
        assert change(f"best ||| {caption}", seed) == change(f"best ||| {usual}", seed)


@pytest.mark.parametrize(
    ("separator", "caption", "expected"),
    [
        (" ", "1girl  solo smile ", "1girl solo smile"),
        (" | ", "1girl|solo | a, b", "1girl | solo | a, b"),
        ("\n", "1girl\r\nsolo\n", "1girl\nsolo"),
    ],
)
def test_another_separator(separator, caption, expected):
    assert CaptionChange(shuffle=False, separator=separator)(caption, 1) == expected


@pytest.mark.parametrize("mark", [" ||| ", "|||", ", |||, ", "\n|||\n"])
@pytest.mark.parametrize("ends", [["a, b", "c, d", "e, f"], ["", "c, d", "e, f"], ["a", "", "e, f"]])
def test_tags_behind_a_second_separator_stay(mark, ends):
    """sd-scripts reads `keep_tokens_separator` twice: fixed ||| flexible ||| fixed."""
    head, middle, end = (split(text) for text in ends)
    change = CaptionChange(drop_tags=0.5)
    results = {tuple(split(change(mark.join(ends), seed))) for seed in range(80)}
    for tags in results:
        assert list(tags[: len(head)]) == head
        assert list(tags[len(tags) - len(end) :]) == end
        assert set(tags) <= {*head, *middle, *end}
    assert len(results) == (5 if middle else 1)  # nothing, c, d, and both in either order


def test_no_mark_reaches_the_model():
    assert CaptionChange(shuffle=False)("a ||| b ||| c ||| d ||| e", 1) == "a, b, c, d, e"
    assert CaptionChange()("a ||| b ||| c ||| d", 1, {"general": 2, "meta": 2}) == "a, b, c, d"
    assert CaptionChange(shuffle=False, keep_separator="")("a ||| b, c", 1) == "a ||| b, c"


def test_the_parts_of_a_manifest_are_taken_as_they_are(tmp_path):
    rows = [{"caption": CAPTION, "parts": json.dumps(PARTS)}, {"caption": "a, b", "parts": None}]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "manifest.parquet")
    change = CaptionChange(drop_tags=0.5)
    expected = [change(CAPTION, 7, PARTS), change("a, b", 7)]
    table = parquet.read_table(tmp_path / "manifest.parquet")
    frame = table.to_pandas()
    for pairs in (
        [(row["caption"], row["parts"]) for row in table.to_pylist()],
        list(zip(frame["caption"], frame["parts"], strict=True)),
        [(CAPTION, PARTS), ("a, b", math.nan)],
        [(CAPTION, PARTS), ("a, b", "")],
    ):
        assert [change(caption, 7, parts) for caption, parts in pairs] == expected


def test_parts_that_an_export_counted_with_commas_in_free_text():
    """`before` is one word for the export, and two tags for a trainer that knows no parts."""
    change = CaptionChange(drop_tags=1)
    assert change("anime,art ||| a, safe", 1, {"before": 1, "general": 1, "rating": 1}) == "anime,art, safe"
    assert change("anime,art ||| a, safe", 1, {"before": 2, "general": 1, "rating": 1}) == "anime, art, safe"


def test_sides_say_what_stays_and_what_is_changed():
    sides = CaptionChange().sides
    assert sides("a, b ||| c,d ||| e") == (["a", "b"], ["c", "d"], ["e"])
    assert sides("a, b") == ([], ["a", "b"], [])
    heads, general = ["1girl", "hatsune miku", "bespin"], GENERAL
    assert sides(CAPTION, PARTS) == (heads, general, ["best quality", "mid", "safe"])


@given(seeds, rates)
def test_with_parts_only_general_tags_move(seed, rate):
    words = split(CaptionChange(drop_tags=rate)(CAPTION, seed, PARTS))

    assert words[:3] == ["1girl", "hatsune miku", "bespin"]
    assert words[-3:] == ["best quality", "mid", "safe"]
    assert set(words[3:-3]) <= set(GENERAL)


def test_with_parts_a_part_is_dropped_as_a_whole():
    change = CaptionChange(shuffle=False, drop_parts={"artist": 0.5, "quality": 0.5})
    captions = {change(CAPTION, seed, PARTS) for seed in range(50)}

    assert captions == {
        "1girl, hatsune miku, bespin, long hair, solo, o_o, best quality, mid, safe",
        "1girl, hatsune miku, bespin, long hair, solo, o_o, mid, safe",
        "1girl, hatsune miku, long hair, solo, o_o, best quality, mid, safe",
        "1girl, hatsune miku, long hair, solo, o_o, mid, safe",
    }


def test_general_tags_before_the_separator_stay():
    parts = {"general": 3, "meta": 1}
    assert {CaptionChange()("a, b, c ||| d", seed, parts) for seed in range(20)} == {"a, b, c, d"}


def test_free_text_belongs_to_no_part():
    parts = {"before": 2, "general": 2, "rating": 1, "after": 1}
    change = CaptionChange(drop_tags=1)
    assert change("anime, art ||| a, b, safe, end", 1, parts) == "anime, art, safe, end"


def test_a_tag_may_hold_the_keep_separator_in_a_format_without_one():
    change = CaptionChange(drop_tags=1.0)
    assert change("1girl, a|||b, c, safe", 1, {"people": 1, "general": 2, "rating": 1}) == "1girl, safe"
    assert change.sides("1girl, a|||b, c", {"people": 1, "general": 2}) == (["1girl"], ["a|||b", "c"], [])
    with pytest.raises(InputError, match=r"have 5 tags, but the caption has 4"):
        change("1girl, a|||b, c", 1, {"people": 1, "general": 4})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CaptionChange(drop_tags=1.5), r"captions.drop_tags = 1.5; write a number from 0 to 1"),
        (lambda: CaptionChange(drop_caption=-1), r"captions.drop_caption = -1.0; write a number"),
        (lambda: CaptionChange(drop_parts={"artist": 2}), r"captions.drop_parts.artist = 2; write a number"),
        (
            lambda: CaptionChange(drop_parts={"artists": 0.1}),
            r"captions.drop_parts has no part .artists.; did you mean .artist.",
        ),
        (
            lambda: CaptionChange(drop_parts={"artist": 0.1})("a", 1),
            r"drop_parts, text_only and tags_only need the parts",
        ),
        (lambda: CaptionChange(separator=""), r'write the text between two tags, such as ", "'),
        (
            lambda: CaptionChange()("a", 1, "general 1"),
            r"parts are 'general 1'; give how many tags each part",
        ),
        (lambda: CaptionChange()("a", 1, '{"general": "1"}'), r"as a table or as JSON"),
        (lambda: CaptionChange()("a ||| b", 1, {"general": 3}), r"but the caption has 2: 'a, b'"),
    ],
)
def test_wrong_use_is_told(make, message):
    with pytest.raises(InputError, match=message):
        make()


MIXED_PARTS = {"people": 1, "general": 3, "text": 2, "rating": 1}
MIXED = "1girl ||| a, b, c, A girl, sitting., safe"


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({}, "1girl, a, b, c, A girl, sitting., safe"),
        ({"text_only": 1}, "1girl, A girl, sitting., safe"),
        ({"tags_only": 1}, "1girl, a, b, c, safe"),
    ],
)
def test_a_text_beside_or_in_place_of_general_tags(rates, expected):
    change = CaptionChange(shuffle=False, **rates)
    assert {change(MIXED, seed, MIXED_PARTS) for seed in range(50)} == {expected}


def test_text_and_tags_are_chosen_by_the_seed_alone():
    change = CaptionChange(shuffle=False, text_only=0.3, tags_only=0.5)
    captions = [change(MIXED, seed, MIXED_PARTS) for seed in range(2000)]
    assert captions == [change(MIXED, seed, json.dumps(MIXED_PARTS)) for seed in range(2000)]
    shares = {caption: captions.count(caption) / 2000 for caption in set(captions)}
    assert shares == pytest.approx(
        {
            "1girl, A girl, sitting., safe": 0.3,
            "1girl, a, b, c, safe": 0.5,
            "1girl, a, b, c, A girl, sitting., safe": 0.2,
        },
        abs=0.03,
    )
    assert [captions.index(caption) for caption in sorted(shares)] == [0, 2, 1]


def test_a_caption_without_a_text_keeps_its_tags():
    change = CaptionChange(shuffle=False, text_only=1)
    assert change("1girl ||| a, safe", 1, {"people": 1, "general": 1, "rating": 1}) == "1girl, a, safe"
    assert (
        change("1girl ||| A girl., safe", 1, {"people": 1, "text": 1, "rating": 1}) == "1girl, A girl., safe"
    )


def test_chances_of_text_and_tags_exclude_each_other():
    with pytest.raises(InputError, match=r"text_only \+ captions.tags_only = 1.2; they exclude each other"):
        CaptionChange(text_only=0.6, tags_only=0.6)
