"""Captions whose tags lie in groups, as those of Kohaku HDM: shuffled and dropped within groups, and groups as a whole."""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakubooru.caption import CaptionChange
from hakubooru.errors import InputError

MARKS = {"separator": "$$", "group_separator": "%%", "written_separator": ", "}
HDM = CaptionChange(**MARKS, shuffle_groups=True, drop_tags=0.25, drop_groups=0.3)
"""The rates of HDM's own run."""
CAPTION = "1girl $$ hatsune miku ||| long hair $$ solo $$ o_o %% best quality %% mid %% nsfw $$ explicit"
GROUPS = [["long hair", "solo", "o_o"], ["best quality"], ["mid"], ["nsfw", "explicit"]]
TAGS = [tag for group in GROUPS for tag in group]


def tags_of(caption):
    return caption.split(", ") if caption else []


def test_the_numbers_of_a_seed_are_a_promise():
    assert HDM(CAPTION, 1) == "1girl, hatsune miku, nsfw, explicit, long hair, solo, o_o, best quality"
    assert HDM(CAPTION, 2**64 + 7) == "1girl, hatsune miku, best quality, nsfw, solo, o_o, long hair"
    assert (
        CaptionChange(**MARKS, exact=True, drop_tags=0.5)(CAPTION, 3)
        == "1girl, hatsune miku, long hair, nsfw"
    )


def test_without_chance_only_the_marks_go():
    still = CaptionChange(**MARKS, shuffle=False)
    assert still(CAPTION, 1) == ", ".join(["1girl", "hatsune miku", *TAGS])
    assert still("a $$ b %% c", 1) == "a, b, c"
    assert still("||| %% a %% %% b $$ %%", 1) == "a, b"
    assert still(" $$ k |||", 1) == "k"
    assert still("", 1) == ""


def test_captions_are_those_that_hdm_can_make():
    """Its source shuffles groups, and tags within a group; what stands before the mark stays."""
    change = CaptionChange(**MARKS, shuffle_groups=True)
    expected = {
        ("k", *(tag for group in order for tag in group))
        for tags in permutations("ab")
        for order in permutations([tags, ("c",), ("d",)])
    }
    assert {tuple(tags_of(change("k ||| a $$ b %% c %% d", seed))) for seed in range(400)} == expected


@given(st.integers(-(2**70), 2**70), st.floats(0, 1), st.floats(0, 1), st.booleans(), st.booleans())
def test_tags_stay_with_their_group(seed, drop_tags, drop_groups, shuffle, shuffle_groups):
    change = CaptionChange(
        **MARKS,
        shuffle=shuffle,
        shuffle_groups=shuffle_groups,
        drop_tags=drop_tags,
        drop_groups=drop_groups,
    )
    tags = tags_of(change(CAPTION, seed))
    assert tags[:2] == ["1girl", "hatsune miku"]
    assert not any(count > 1 for count in Counter(tags).values())
    places = [next(at for at, group in enumerate(GROUPS) if tag in group) for tag in tags[2:]]
    runs = [place for at, place in enumerate(places) if at == 0 or places[at - 1] != place]
    assert len(runs) == len(set(runs))
    if not shuffle_groups:
        assert runs == sorted(runs)
        if not shuffle:
            assert tags[2:] == [tag for tag in TAGS if tag in tags]
    assert change(CAPTION, seed) == change(CAPTION, seed)


@pytest.mark.slow
def test_rates_lie_within_binomial_bounds():
    draws = 4000
    results = [set(tags_of(HDM(CAPTION, seed))) for seed in range(draws)]
    for tag in TAGS:  # a tag remains if neither it nor its group is dropped
        rate = 0.75 * 0.7
        assert abs(sum(tag in tags for tags in results) - rate * draws) <= 5 * math.sqrt(
            draws * rate * (1 - rate)
        )
    pairs = sum({"nsfw", "explicit"} <= tags for tags in results)  # tags of a group are dropped together
    assert abs(pairs - 0.7 * 0.75**2 * draws) <= 5 * math.sqrt(draws * 0.25)


def test_parts_are_not_used_and_sides_know_groups():
    assert HDM(CAPTION, 5, {"general": 1}) == HDM(CAPTION, 5)
    assert HDM.sides(CAPTION, {"general": 1}) == (["1girl", "hatsune miku"], TAGS, [])


def test_another_text_can_be_written_between_tags():
    assert CaptionChange(shuffle=False, written_separator=" ")("a, b ||| c", 1) == "a b c"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"shuffle_groups": True},
            'need captions.group_separator, the text between two groups, such as "%%"',
        ),
        ({"drop_groups": 0.3}, "need captions.group_separator"),
        ({"group_separator": ","}, 'group_separator = "," is blank or the separator of tags; write another'),
        ({"group_separator": " "}, "is blank or the separator of tags"),
        ({"group_separator": "%%", "text_only": 0.5}, "group_separator excludes drop_parts, text_only"),
        ({"group_separator": "%%", "drop_parts": {"artist": 0.5}}, "group_separator excludes drop_parts"),
        ({"group_separator": "%%", "drop_groups": 2}, "captions.drop_groups = 2"),
    ],
)
def test_options_that_exclude_each_other(options, message):
    with pytest.raises(InputError) as error:
        CaptionChange(**options)
    assert message in str(error.value)


@given(st.text(st.sampled_from("ab, \t\n|\u3000"), max_size=20), st.sampled_from([", ", " | ", " ", ",|"]))
def test_tags_are_cut_at_separators_tabs_and_line_ends(text, separator):
    mark = separator.strip() or separator
    expected = [tag for piece in re.split(f"{re.escape(mark)}|[\t\n]", text) if (tag := piece.strip())]
    assert CaptionChange(separator=separator, keep_separator="").sides(text).changed == expected
