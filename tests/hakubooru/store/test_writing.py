"""Long statements go on while their progress is shown, and stop at Ctrl-C."""

import _thread
import sqlite3
import threading
from contextlib import closing

import pytest

from hakubooru.store import writing

LONG = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT MAX(i) FROM n"


@pytest.fixture
def connection(monkeypatch):
    monkeypatch.setenv("HAKUBOORU_PROGRESS_SECONDS", "0.1")
    with closing(sqlite3.connect(":memory:")) as connection:
        yield connection


@pytest.mark.slow
def test_a_statement_goes_on_when_a_line_of_progress_is_written(connection, capsys):
    with writing.ticking(connection, "indexing"):
        assert connection.execute(LONG, [1_500_000]).fetchone() == (1_500_000,)
    assert "indexing: " in capsys.readouterr().err


@pytest.mark.slow
def test_a_statement_ends_at_ctrl_c(connection):
    timer = threading.Timer(0.3, _thread.interrupt_main)
    timer.start()
    with (
        pytest.raises((KeyboardInterrupt, sqlite3.OperationalError)),
        writing.ticking(connection, "indexing"),
    ):
        connection.execute(LONG, [3_000_000_000]).fetchone()
    timer.join()
