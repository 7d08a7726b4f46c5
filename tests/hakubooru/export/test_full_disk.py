"""A disk that is full in the middle of an export, again and again at another point, then has room."""

from __future__ import annotations

import errno

import pytest

import hakubooru as hb
from disks import enlarge, small_disk
from hakubooru.errors import IncompleteError
from pictures import files_of


@pytest.mark.parametrize(("sink", "workers"), [("folder", 2), ("webdataset", 1), ("kohya-json", 1)])
def test_with_room_it_goes_on_and_the_bytes_are_the_same(booru, tmp_path, sink, workers):
    with hb.open(booru / "posts.db") as database:

        def export(out):
            database.posts.export(out, images=booru / "images", sink=sink, workers=workers)

        export(tmp_path / "undisturbed")
        with small_disk(tmp_path / "disk", "300k") as disk:
            refusals = 0
            for size in ("1m", "3m", "64m"):
                try:
                    export(disk / "out")
                except (OSError, IncompleteError) as error:
                    assert getattr(error, "errno", errno.ENOSPC) == errno.ENOSPC
                    assert "No space left" in str(error) or "Make room on its disk" in str(error)
                    refusals += 1
                enlarge(disk, size)
            export(disk / "out")
            assert refusals >= 2
            assert files_of(disk / "out") == files_of(tmp_path / "undisturbed")
