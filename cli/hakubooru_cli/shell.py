"""Running both commands: their exit codes, and their messages for errors and warnings."""

from __future__ import annotations

import errno
import io
import os
import sys
import warnings
from typing import TYPE_CHECKING

import click

from hakubooru.errors import HakubooruError

if TYPE_CHECKING:
    from typing import TextIO

FAILED, WRONG_INPUT, INTERRUPTED = 1, 2, 130


def run(command: click.Command, name: str) -> int:
    """Run a command line and return its exit code; an error becomes one message, without a traceback."""
    # Python's own format of warnings shows a line of our code.
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    _show_everything()
    try:
        command.main(prog_name=name, standalone_mode=False)
    except HakubooruError as error:
        return _fail(str(error), error.exit_code)
    except click.ClickException as error:
        # click's own message shows the usage of the command that was called.
        error.show()
        return WRONG_INPUT
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted; run the same command again to resume", INTERRUPTED)
    except UnicodeEncodeError as error:
        # The system gives bytes of an argument that are no UTF-8 as surrogates, which only names of files may have.
        return _fail(f"{error.object[:100]!a} is not text in UTF-8; correct the argument", WRONG_INPUT)
    except BrokenPipeError:
        _discard(sys.stdout)  # the reader (`| head`) has closed the pipe
        return FAILED
    except OSError as error:
        name = error.filename2 or error.filename  # filename2 is the target of a rename or a copy
        where = f" ({name})" if name else ""
        advice = "; make room and run the same command again" if error.errno == errno.ENOSPC else ""
        return _fail(f"{error.strerror or error}{where}{advice}", FAILED)
    return 0


def _show_everything() -> None:
    """Make both streams write an escape for a character that they cannot encode; by default Python would fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _fail(message: str, code: int) -> int:
    try:
        click.echo(f"error: {message}", err=True)
    except OSError:  # the terminal is gone
        _discard(sys.stderr)
    return code


def _discard(stream: TextIO) -> None:
    """Write to nowhere what a closed stream still holds. Python would fail when it flushes it at its end, with another exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
