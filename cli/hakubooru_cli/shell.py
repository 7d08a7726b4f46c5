"""What both commands share: one way to end, and one way to speak."""

from __future__ import annotations

import errno
import io
import os
import sys
import warnings

import click

from hakubooru.errors import HakubooruError

FAILED, WRONG_INPUT, INTERRUPTED = 1, 2, 130


def run(command: click.Command, name: str) -> int:
    """Run a command line; say what went wrong in one sentence without a traceback; give the exit code."""
    # Python's own form shows a line of our code.
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
        return _fail("interrupted; the same command takes the work up again", INTERRUPTED)
    except BrokenPipeError:
        # The reader (`| head`) went away: keep Python from failing again as it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        name = error.filename2 or error.filename  # of two, where something was to go
        where = f" ({name})" if name else ""
        mend = "; make room and run the same command again" if error.errno == errno.ENOSPC else ""
        return _fail(f"{error.strerror or error}{where}{mend}", FAILED)
    return 0


def _show_everything() -> None:
    """Write what a terminal or a pipe cannot show as an escape with a backslash, where Python would fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _fail(message: str, code: int) -> int:
    click.echo(f"error: {message}", err=True)
    return code
