"""An export that an earlier version began goes on as it was begun, or is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

import hakubooru as hb
from booru import post_row, write
from hakubooru.errors import DestinationError
from hakubooru.export.sinks import STATE


def test_captions_with_repeated_tags_do_not_mix_with_others(tmp_path):
    write(tmp_path / "posts.db", [post_row(1)], {1: ["solo", "solo"]}.__getitem__)
    out = tmp_path / "out"
    with hb.open(tmp_path / "posts.db") as db:
        db.posts.export(out=out, sink="captions")
        with closing(sqlite3.connect(out / STATE / "journal.sqlite")) as journal, journal:
            assert journal.execute("DELETE FROM setting WHERE name = 'caption.repeats'").rowcount == 1
        with pytest.raises(
            DestinationError, match=r"caption\.repeats was true and is now false; use the earlier"
        ):
            db.posts.export(out=out, sink="captions")
        db.posts.export(out=out, sink="captions", caption={"base": "kohaku-epsilon", "repeats": True})
