from __future__ import annotations

import pytest

import hakubooru as hb
from hakubooru.nearest import closest, nearest
from hakubooru.results.tables import COLUMNS


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scor", "score"),
        ("socre", "score"),
        ("favcount", "fav_count"),
        ("fav", "fav_count"),
        ("created", "created_at"),
        ("width", "image_width"),
        ("image-width", "image_width"),
        ("Rating", "rating"),
        ("post.rating", "rating"),
        ("file_sizes", "file_size"),
        ("tags", None),
        ("tag_string", None),
        ("caption", None),
        ("x", None),
        ("1d", "id"),
        ("77", None),
        ("", None),
        ("_", None),
    ],
)
def test_a_column_is_proposed_where_one_is_near(name, expected):
    assert closest(name, COLUMNS) == expected


def test_where_nothing_is_near_all_are_named():
    assert nearest("tags", ["id", "bit_flags"]) == "there are: id, bit_flags"
    assert nearest("77", ["75", "150"]) == "there are: 75, 150"
    assert nearest("77", []) == "there are none"
    assert nearest("bit_flag", ["id", "bit_flags"]) == "did you mean 'bit_flags'?"


def test_a_selection_says_so(db):
    with pytest.raises(hb.HakubooruError, match="no column 'colour'; there are: id, created_at, "):
        db.posts.to_pandas(["colour"])
