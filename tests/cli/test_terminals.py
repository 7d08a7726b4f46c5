"""What a terminal or a pipe cannot show."""

from __future__ import annotations

import io
import sys

import click
import pytest

from hakubooru.errors import InputError
from hakubooru_cli.shell import run

TEXT = "1girl ポケモン ★ é \udcff"


@click.command()
def says():
    """Show a text, and fail over it."""
    click.echo(TEXT)
    raise InputError(TEXT)


@pytest.mark.parametrize("encoding", ["cp932", "cp1252", "cp437", "utf-8"])
def test_what_cannot_be_shown_is_written_as_an_escape(monkeypatch, encoding):
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding) for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    monkeypatch.setattr(sys, "argv", ["says"])
    assert run(says, "says") == 2
    monkeypatch.undo()
    for name, stream in streams.items():
        stream.flush()
        data = stream.buffer.getvalue().replace(b"\r\n", b"\n")
        assert data == (b"error: " * (name == "stderr")) + TEXT.encode(encoding, "backslashreplace") + b"\n"
