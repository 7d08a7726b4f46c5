"""Progress without a terminal, and in a notebook."""

from __future__ import annotations

import pytest

from hakubooru.progress import SECONDS, Lines, progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until the test moves it."""
    now = [100.0]
    monkeypatch.setattr("hakubooru.progress.monotonic", lambda: now[0])
    return now


def test_short_work_is_silent(clock, capsys):
    with progress(total=10, unit=" images") as bar:
        for _ in range(10):
            clock[0] += 2
            bar.update()
    assert isinstance(bar, Lines)
    assert capsys.readouterr() == ("", "")


def test_long_work_writes_a_line_every_half_minute_and_at_its_end(clock, capsys):
    with progress(total=2000, unit=" images") as bar:
        for _ in range(4):
            clock[0] += 20
            bar.update(500)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "images: 1,000 of 2,000 (50%), 00:40 left",
        "images: 2,000 of 2,000 (100%)",
    ]


def test_an_iterable_is_counted_and_the_seconds_can_be_chosen(clock, capsys, monkeypatch):
    monkeypatch.setenv(SECONDS, "5")
    for _ in progress(range(3), desc="tags", unit=" tags"):
        clock[0] += 4
    assert capsys.readouterr().err.splitlines()[0] == "tags: 2 of 3 (67%), 00:04 left"


def test_the_time_that_is_left_follows_the_newest_rate(clock, capsys):
    with progress(total=100_000, initial=10_000, unit=" images") as bar:
        for images in (30_000, 30):
            clock[0] += 30
            bar.update(images)
    # 1,000 a second at first, then 0.7 * 1,000 + 0.3 * 1; what was done before has no part in it.
    assert capsys.readouterr().err.splitlines() == [
        "images: 40,000 of 100,000 (40%), 01:00 left",
        "images: 40,030 of 100,000 (40%), 01:25 left",
    ]


def test_hours_are_shown(clock, capsys):
    with progress(total=1000, unit=" posts") as bar:
        clock[0] += 60
        bar.update(10)
    assert capsys.readouterr().err.splitlines() == ["posts: 10 of 1,000 (1%), 1:39:00 left"]


def test_what_is_silent_writes_nothing(clock, capsys):
    for _ in progress(range(3), disable=True):
        clock[0] += 60
    assert capsys.readouterr().err == ""


def test_values_stand_after_the_progress_of_a_line(clock, capsys):
    with progress(total=4, unit="update") as bar:
        for number in range(4):
            clock[0] += 20
            bar.set_postfix_str(f"loss {number / 4}", refresh=False)
            bar.update()
    assert capsys.readouterr().err.splitlines() == [
        "update: 2 of 4 (50%), 00:40 left; loss 0.25",
        "update: 4 of 4 (100%); loss 0.75",
    ]


def test_work_of_unknown_length_is_counted(clock, capsys):
    with progress(unit=" pairs") as bar:
        clock[0] += 31
        bar.update(7)
    assert capsys.readouterr().err.splitlines()[0] == "pairs: 7"
