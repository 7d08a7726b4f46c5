"""Handling of Ctrl-C, SIGTERM and a closed terminal: the first lets the update end and the state be saved, the second stops at once."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from hakubooru.errors import LostRankError

if TYPE_CHECKING:
    from collections.abc import Iterator


def signals() -> tuple[signal.Signals, ...]:
    """The signals that ask a run to stop. SIGHUP, of a terminal that closes, is one unless `nohup` started the run."""
    asking = (signal.SIGINT, signal.SIGTERM)
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is None or signal.getsignal(hangup) is signal.SIG_IGN:
        return asking
    return (*asking, hangup)


class Stop:
    """A flag that says whether the run was asked to stop."""

    def __init__(self) -> None:
        self.asked = False


@contextmanager
def stopping() -> Iterator[Stop]:
    """Note a first signal during the block, and do not stop.

    Raises:
        KeyboardInterrupt: there was a signal, and then another rank of the run ended before this one.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals reach only the main thread
        return
    before = {number: signal.getsignal(number) for number in signals()}

    def note(number: int, frame: Any) -> None:
        del number, frame
        stop.asked = True
        for either in before:
            signal.signal(either, signal.default_int_handler)
        with suppress(OSError):  # the terminal may be gone
            # Not through sys.stderr, which may be in the middle of a line.
            os.write(
                2, b"\nstopping: this update ends and the state is saved; a second signal leaves at once\n"
            )

    for number in before:
        signal.signal(number, note)
    try:
        yield stop
    except LostRankError as error:
        if stop.asked:
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
