"""Running tasks in this process."""

from __future__ import annotations

import gc

import pytest

from hakubooru.export.engine import seldom_collecting


def run_and_fail():
    with seldom_collecting():
        assert gc.get_threshold()[0] == 50_000
        raise OSError("disk is full")


def test_cycles_are_looked_for_as_often_as_before_after_an_export_that_failed():
    thresholds = gc.get_threshold()
    with pytest.raises(OSError, match="disk is full"):
        run_and_fail()
    assert gc.get_threshold() == thresholds
