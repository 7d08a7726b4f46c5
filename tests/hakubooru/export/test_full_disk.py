"""A disk that is full in the middle of an export, again and again at another point, then has room."""

from __future__ import annotations

from functools import partial

import pytest

from disks import enlarge, small_disk
from exports import run
from hakubooru.errors import IncompleteError
from pictures import files_of

FULL = "No space left|Make room on its disk"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sink", "workers", "sizes"),
    [("folder", 2, ["300k", "2m"]), ("webdataset", 1, ["300k", "700k"]), ("kohya-json", 1, ["300k", "1m"])],
)
def test_with_room_it_goes_on_and_the_bytes_are_the_same(booru, tmp_path, sink, workers, sizes):
    export = partial(run, booru, sink=sink, workers=workers)
    export(tmp_path / "undisturbed")
    with small_disk(tmp_path / "disk", "200k") as disk:
        for size in sizes:
            enlarge(disk, size)
            with pytest.raises((OSError, IncompleteError), match=FULL):
                export(disk / "out")
        enlarge(disk)
        export(disk / "out")
        assert files_of(disk / "out") == files_of(tmp_path / "undisturbed")
