"""What the page of one post shows."""

from __future__ import annotations

import numpy as np
import pytest

import hakubooru as hb
from booru import post_row, write
from gallery import tags_of
from hakubooru.browse.portrait import pieces, portrait, relatives
from hakubooru.caption import PRESETS


@pytest.fixture(scope="module")
def db(gallery):
    with hb.open(gallery / "gallery.db") as db:
        yield db


@pytest.mark.parametrize("number", [1, 3, 7, 15, 140])
def test_the_pieces_of_a_caption_are_the_caption(db, number):
    view = portrait(db, number)
    assert {*view.captions} | {*view.lacking} == {*PRESETS}
    for name, some in view.captions.items():
        ((_, caption),) = hb.Captioner(db, name).captions(np.array([number]))
        assert "".join(piece.text for piece in some) == caption
    # A format whose labels are of a joined file is left out, with the reason.
    assert len(view.captions) >= 8
    assert all("join its file" in reason or "nobody published" in reason for reason in view.lacking.values())


def test_each_word_has_its_part(db):
    parts = {piece.text: piece.part for piece in pieces(db, 15, PRESETS["kohaku-epsilon"]) if piece.part}
    assert parts["1girl"] == "people"
    assert parts["illaoi"] == "character"
    assert parts["long hair"] == "general"
    assert parts["low quality"] == "quality"
    assert parts["nsfw"] == "rating"


def test_a_post_has_its_tags_bucket_and_no_unsafe_source(tmp_path):
    rows = [
        post_row(1, image_width=832, image_height=1216, source="https://example.invalid/1"),
        post_row(2, image_width=0, source="javascript:alert(1)"),
        post_row(3, source="http://[half an address"),
    ]
    write(tmp_path / "two.db", rows, tags_of)
    with hb.open(tmp_path / "two.db") as db:
        first, second = portrait(db, 1), portrait(db, 2)
        assert (first.bucket, first.source) == ("832x1216", "https://example.invalid/1")
        assert [str(tag) for tag in first.tags["general"]] == ["1girl"]
        assert (second.bucket, second.source) == ("", None)
        assert portrait(db, 3).source is None
        assert portrait(db, 4) is None


def test_relatives_are_all_that_parents_and_children_connect(db):
    assert relatives(db, 4).tolist() == [3, 5]
    assert relatives(db, 6).tolist() == []
    assert relatives(db, 9999).tolist() == []
