from __future__ import annotations

import dataclasses
import random
from collections import Counter

import numpy as np
import pytest

import hakubooru as hb
from booru import TAGS, random_row, write
from hakubooru.caption import caption_format
from hakubooru.image.bucket import Buckets
from hakubooru.store.schema import RATINGS, TAG_TYPES


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    path = tmp_path_factory.mktemp("stats") / "posts.db"
    draw = random.Random(5)
    names = [name for name, _ in TAGS]
    rows = [
        random_row(post_id, draw)
        | {
            "created_at": draw.choice(["2019-01-01", "2020-12-31", "2021-05-05", ""]),
            "image_width": draw.choice([0, 500, 1000, 2000, 4000]),
            "image_height": draw.choice([500, 1000, 4000]),
            "fav_count": draw.choice([0, 1, 3, 10, 40, 200, 1000]),
        }
        for post_id in range(1, 201)
    ]
    bags = {row["id"]: draw.sample(names, draw.randint(0, 6)) for row in rows}
    write(path, rows, bags.__getitem__)
    with hb.open(path) as database:
        yield database


@pytest.mark.parametrize(
    "narrow", [lambda s: s, lambda s: s.rating("g").order_by("-score"), lambda s: s.limit(0)]
)
def test_counts_what_the_slow_way_counts(db, narrow):
    selection = narrow(db.posts)
    posts = list(selection.posts())
    stats = selection.stats(top=2)
    assert stats.posts == len(posts)
    assert stats.ratings == {name: sum(post.rating == name for post in posts) for name in RATINGS}
    assert stats.years == Counter(post.created_at[:4] or "none" for post in posts)
    assert stats.file_types == Counter(post.file_ext for post in posts)
    assert sum(stats.megapixels.values()) == len(posts)
    assert stats.megapixels.get("0.25 to 0.5", 0) == sum(
        250_000 <= post.image_width * post.image_height < 500_000 for post in posts
    )
    assert stats.megapixels.get("from 8", 0) == sum(
        post.image_width * post.image_height >= 8_000_000 for post in posts
    )
    for kind in TAG_TYPES:
        counts = Counter(tag.name for post in posts for tag in post.tags_of(kind))
        common = sorted(counts, key=lambda name: (-counts[name], name))[:2]
        assert list(stats.tags.get(kind, {}).items()) == [(name, counts[name]) for name in common]


def test_buckets_are_those_of_training(db):
    buckets = Buckets()
    posts = [post for post in db.posts.posts() if post.image_width]
    places = buckets.of([p.image_width for p in posts], [p.image_height for p in posts])
    expected = Counter("x".join(map(str, size)) for size in buckets.sizes()[places].tolist())
    actual = db.posts.stats().buckets
    assert actual == expected
    assert list(actual.values()) == sorted(actual.values(), reverse=True)


@pytest.mark.parametrize("last", [None, 100])
@pytest.mark.parametrize("preset", ["kohaku-epsilon", "kohaku-delta", "animagine-xl-3"])
def test_qualities_are_those_of_captions(db, preset, last):
    caption = dataclasses.replace(caption_format(preset), quality_last_id=last)
    labels = [label for label, _ in reversed(caption.quality)]
    thresholds = caption.thresholds()
    expected = Counter(
        labels[
            sum(getattr(post, caption.quality_by) > count for count in thresholds[RATINGS.index(post.rating)])
        ]
        for post in db.posts.posts()
        if last is None or post.id <= last
    )
    actual = db.posts.stats(caption=caption).quality
    assert actual == expected
    assert list(actual) == [label for label, _ in caption.quality if label in actual]


def test_qualities_by_the_scale_of_the_file(db):
    caption = dataclasses.replace(caption_format("kohaku-epsilon"), quality_scale="database")
    assert sum(db.posts.stats(caption=caption).quality.values()) == 200


def test_a_caption_without_quality_has_none(db):
    assert db.posts.stats(caption="danbooru").quality == {}


def test_top_of_none(db):
    assert db.posts.stats(top=0).tags == {}
    assert np.sum([*db.posts.stats(top=1).tags["artist"].values()]) > 0


@pytest.mark.parametrize(
    "shape",
    [
        {"base": "illustrious", "order": ["quality"]},
        {"base": "noobai", "order": ["quality"], "quality_half_life": 3},
        {
            "base": "kohaku-epsilon",
            "order": ["quality"],
            "quality_scale": "database",
            "quality_within": "all",
        },
        {"order": ["quality"], "quality": {"a": 9, "b": 3}, "quality_scale": "values", "quality_by": "score"},
    ],
)
def test_qualities_by_any_scale_are_those_of_captions(db, shape):
    caption = caption_format(shape)
    expected = Counter(text for _, text in db.posts.captions(caption) if text)
    actual = db.posts.stats(caption=caption).quality
    assert actual == expected
    assert list(actual) == [label for label, _ in caption.quality if label in actual]
