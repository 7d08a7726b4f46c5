from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    found = split(change(joined(head, tail), seed))

    assert found[: len(head)] == head
    left = found[len(head) :]
    remaining = list(tail)
    for word in left:
        remaining.remove(word)  # a word that was not there, or not so often, fails
    if change.exact:
        assert len(left) == len(tail) - math.floor(change.drop_tags * len(tail) + 0.5)
    if not change.shuffle:
        rest = iter(tail)
        assert all(word in rest for word in left)
    assert change(joined(head, tail), seed) == change(joined(head, tail), seed)


@given(tags, seeds)
def test_a_shuffle_alone_keeps_every_tag(tail, seed):
    assert sorted(split(CaptionChange()(joined([], tail), seed))) == sorted(tail)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.15, 0.5, 1.0])
def test_the_rate_of_dropped_tags_lies_within_binomial_bounds(rate):
    change = CaptionChange(drop_tags=rate)
    caption = joined([], [f"tag{i}" for i in range(40)])
    draws = 40 * 2000
    left = sum(len(split(change(caption, seed))) for seed in range(2000))

    assert abs(draws - left - rate * draws) <= 5 * math.sqrt(draws * rate * (1 - rate))


def test_every_place_is_as_likely_for_every_tag():
    tail = [f"tag{i}" for i in range(6)]
    places = [CaptionChange()(joined([], tail), seed).split(", ").index("tag0") for seed in range(6000)]

    assert all(abs(places.count(place) - 1000) <= 5 * math.sqrt(6000 * 5 / 36) for place in range(6))


def test_the_whole_caption_is_dropped_at_its_rate():
    change = CaptionChange(drop_caption=0.1)
    dropped = sum(change(CAPTION, seed) == "" for seed in range(5000))
    assert abs(dropped - 500) <= 5 * math.sqrt(5000 * 0.09)


def test_without_a_separator_all_tags_may_move():
    found = {CaptionChange()("a, b, c", seed) for seed in range(60)}
    assert len(found) == 6


@pytest.mark.parametrize("caption", ["a, b, |||c, d", "a, b ||| c, d", "a, b|||c, d", "a, b |||, c, d"])
def test_separators_of_all_trades(caption):
    assert CaptionChange(shuffle=False)(caption, 1) == "a, b, c, d"


@pytest.mark.parametrize(
    ("caption", "expected"), [("a |||", "a"), ("||| b", "b"), ("|||", ""), ("", ""), (", |||b", "b")]
)
def test_an_empty_side_leaves_no_separator(caption, expected):
    assert CaptionChange()(caption, 1) == expected


@given(seeds, rates)
def test_with_parts_only_general_tags_move(seed, rate):
    found = split(CaptionChange(drop_tags=rate)(CAPTION, seed, PARTS))

    assert found[:3] == ["1girl", "hatsune miku", "bespin"]
    assert found[-3:] == ["best quality", "mid", "safe"]
    assert set(found[3:-3]) <= set(GENERAL)


def test_with_parts_a_part_is_dropped_as_a_whole():
    change = CaptionChange(shuffle=False, drop_parts={"artist": 0.5, "quality": 0.5})
    found = {change(CAPTION, seed, PARTS) for seed in range(50)}

    assert found == {
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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CaptionChange(drop_tags=1.5), r"`drop_tags` is 1.5; a rate lies from 0 to 1"),
        (lambda: CaptionChange(drop_caption=-1), r"`drop_caption` is -1"),
        (lambda: CaptionChange(drop_parts={"artist": 2}), r"`drop_parts.artist` is 2"),
        (lambda: CaptionChange(drop_parts={"artists": 0.1}), r"`drop_parts` has 'artists'"),
        (lambda: CaptionChange(drop_parts={"artist": 0.1})("a", 1), r"`drop_parts` needs the parts"),
        (lambda: CaptionChange()("a ||| b", 1, {"general": 3}), r"not those of a caption of 2 tags: 'a, b'"),
    ],
)
def test_wrong_use_is_told(make, message):
    with pytest.raises(InputError, match=message):
        make()
