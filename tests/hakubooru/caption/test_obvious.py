"""Captions against the slow, obvious way: one post at a time, by peewee and plain Python."""

from __future__ import annotations

import json
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hakubooru as hb
from hakubooru.caption import Captioner, CaptionFormat, TagLists
from hakubooru.caption.format import LABEL_PARTS, TAG_PARTS
from hakubooru.caption.words import KAOMOJI, PEOPLE, date_label, upload_year
from hakubooru.store.schema import RATINGS

from .conftest import write_posts

EXTRA = {
    "日本_語": ("general", 7),
    "a|||b": ("general", 90),
    "6+girls": ("general", 40),
    "2boys": ("character", 3),
    "x_(y)_[z]": ("artist", 12),
    "ab_": ("meta", 5),
    "né_e": ("copyright", 5),
}


@pytest.fixture(scope="module")
def everyone(tmp_path_factory):
    """80 posts of every rating, with dates good and bad, and random tags."""
    draw = random.Random(3)
    names = [
        "long_hair",
        "1girl",
        "o_o",
        "solo",
        "star_(sky)",
        "(o)_(o)",
        "hatsune_miku",
        "vocaloid",
        "bespin",
        "banned_artist",
        "highres",
        "bad_id",
    ]
    names += EXTRA
    posts = {
        n * 3: (
            " ".join(draw.choices(names, k=draw.choice([0, 1, 5, 12]))),
            {
                "rating": draw.choice(RATINGS),
                "fav_count": draw.choice([0, 1, 2, 9, 30, 31, 200]),
                "score": draw.choice([-5, 0, 7, 40, 150]),
                "created_at": draw.choice(
                    ["", "2009-01-01T", "2016-05-05T00:00:00", "2026-05-05", "1990-01-01"]
                ),
            },
        )
        for n in range(80)
    }
    path = tmp_path_factory.mktemp("everyone") / "posts.db"
    write_posts(path, posts, EXTRA)
    with hb.open(path) as database:
        yield database


def lists():
    patterns = st.lists(st.sampled_from(["*_*", "solo", "b*", "*l*", "né_e", "*"]), max_size=2).map(tuple)
    return st.builds(TagLists, any=patterns, general=patterns, meta=patterns, people=patterns)


def orders():
    some = st.lists(st.sampled_from([*TAG_PARTS, "quality", "date", "rating"]), unique=True, min_size=1)
    with_keep = st.tuples(some, st.integers(0, 9)).map(
        lambda pair: [*pair[0][: pair[1]], "keep", *pair[0][pair[1] :]]
    )
    return some | with_keep | st.permutations(["tags", "keep", "rating"])


formats = st.builds(
    CaptionFormat,
    order=orders(),
    separator=st.sampled_from([", ", " ", "; "]),
    keep_separator=st.sampled_from([" ||| ", ", |||", "/"]),
    layout=st.sampled_from(["text", "json"]),
    before=st.sampled_from(["", "anime"]),
    after=st.sampled_from(["", "the end"]),
    underscores=st.sampled_from(["short", "kaomoji", "keep"]),
    escape=st.booleans(),
    tag_order=st.sampled_from(["stored", "alphabetical", "popularity"]),
    only=st.just(TagLists()) | lists(),
    without=st.just(TagLists()) | lists(),
    min_popularity=st.sampled_from([0, 5]),
    undated=st.sampled_from(["", "?"]),
    quality_by=st.sampled_from(["fav_count", "score"]),
    quality_last_id=st.sampled_from([None, 100]),
)


def fits(name, patterns):
    return any(re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) for pattern in patterns)


def part_of(tag, form):
    part = "people" if tag.type == "general" and tag.name in PEOPLE else tag.type
    mark = form.keep_separator.strip() if "keep" in form.order else "\0"
    only = (*getattr(form.only, part), *form.only.any)
    if (
        tag.popularity < form.min_popularity
        or fits(tag.name, (*getattr(form.without, part), *form.without.any))
        or (only and not fits(tag.name, only))
        or mark in tag.name
    ):
        return None
    if "tags" in form.order:
        return "tags"
    return part if part in form.order or part != "people" else "general"


def word(name, form):
    stays = {"keep": True, "kaomoji": name in KAOMOJI, "short": len(name) <= 3}[form.underscores]
    spelt = name if stays else name.replace("_", " ")
    return "".join(f"\\{sign}" if sign in "\\()[]" else sign for sign in spelt) if form.escape else spelt


def labels(post, form):
    quality = ""
    if form.quality_last_id is None or post.id <= form.quality_last_id:
        thresholds = form.thresholds()[RATINGS.index(post.rating)]
        names = [label for label, _ in reversed(form.quality)]
        count = getattr(post, form.quality_by)
        quality = names[sum(count > threshold for threshold in thresholds)]
    date = date_label(upload_year(post.created_at[:10]), form.date, form.undated)
    return {
        "quality": [quality] * bool(quality),
        "date": [date] * bool(date),
        "rating": list(getattr(form.rating, post.rating)),
    }


def obvious(post, form):
    tags = post.tags
    if form.tag_order == "alphabetical":
        tags = sorted(tags, key=lambda tag: tag.name)
    elif form.tag_order == "popularity":
        tags = sorted(tags, key=lambda tag: (-tag.popularity, tag.name))
    parts = {part: [word(t.name, form) for t in tags if part_of(t, form) == part] for part in form.order}
    parts |= {part: words for part, words in labels(post, form).items() if part in form.order}
    free = {"before": [form.before] * bool(form.before), "after": [form.after] * bool(form.after)}
    if form.layout == "json":
        texts = {
            part: form.separator.join(words) if part in LABEL_PARTS else words
            for part, words in parts.items()
        }
        first_words = {name: words[0] for name, words in free.items() if words}
        whole = {"before": "", **texts, "after": ""} | first_words
        whole = {name: words for name, words in whole.items() if name in texts or name in first_words}
        whole.pop("keep", None)
        return json.dumps(whole, ensure_ascii=False)
    place = form.order.index("keep") if "keep" in form.order else len(form.order)
    sides = [form.order[:place], form.order[place:]]
    head, tail = ([text for part in side for text in parts[part]] for side in sides)
    head = free["before"] + head
    (tail if "keep" in form.order else head).extend(free["after"])
    if "keep" not in form.order:
        return form.separator.join(head)
    mark = form.keep_separator
    mark = mark if head else mark.lstrip()
    mark = mark if tail else mark.rstrip()
    return f"{form.separator.join(head)}{mark}{form.separator.join(tail)}"


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(form=formats)
def test_every_format_writes_what_the_obvious_way_writes(everyone, form):
    posts = {post.id: post for post in everyone.posts.posts()}
    captions = dict(Captioner(everyone, form).captions(everyone.posts.to_ids()))

    assert captions == {post_id: obvious(post, form) for post_id, post in posts.items()}
