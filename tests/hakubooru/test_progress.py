"""Progress bars."""

import io
import sys

from hakubooru.progress import progress


def test_nothing_is_written_where_there_is_no_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress(total=2, desc="here") as bar:
        bar.update(2)
    assert list(progress([1, 2])) == [1, 2]
    assert not sys.stderr.getvalue()


def test_a_terminal_sees_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress(total=2, desc="here") as bar:
        bar.update(2)
    assert "here: 100%" in sys.stderr.getvalue()
