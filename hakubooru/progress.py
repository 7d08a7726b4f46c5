"""Progress of long work: a bar on a terminal and in a notebook, and elsewhere a line from time to time."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sized
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Self, TypeAlias

    from tqdm import tqdm

    Bar: TypeAlias = "tqdm[Any] | Lines"
    """A progress bar, or what counts in its place."""

SECONDS: Final = "HAKUBOORU_PROGRESS_SECONDS"
"""The environment variable that says how many seconds there are between two lines; by default 30."""
_SECONDS: Final = 30.0
_NEWEST: Final = 0.3  # what the rate since the last line counts beside the rates before, as in tqdm


def progress(rows: Iterable[Any] | None = None, **options: Any) -> Bar:
    """Make a progress bar with the options of tqdm, over an iterable or for calls of `update`.

    Where standard error is no terminal, as under nohup and in CI, a line is written every half minute, and none by work
    that ends sooner.
    """
    if is_notebook():
        with warnings.catch_warnings():
            # Without ipywidgets, tqdm warns and then shows a bar of text.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm as automatic  # noqa: PLC0415 - decides by what runs it

            return automatic(rows, **options)
    if sys.stderr is not None and sys.stderr.isatty():
        from tqdm import tqdm  # noqa: PLC0415 - a third as long as `import numpy`

        return tqdm(rows, **options)
    return Lines(rows, seconds=_interval(), **options)


def is_notebook() -> bool:
    """Whether a Jupyter kernel runs this."""
    return "ipykernel" in sys.modules and "IPKernelApp" in getattr(_shell(), "config", {})


def _shell() -> object:
    from IPython import get_ipython  # type: ignore[attr-defined, unused-ignore] # noqa: PLC0415 - ipykernel has it

    return get_ipython()  # type: ignore[no-untyped-call, unused-ignore]


def _interval() -> float:
    try:
        return max(0.1, float(os.environ.get(SECONDS, "")))
    except ValueError:
        return _SECONDS


class Lines:
    """Counts as a bar of tqdm does, and writes a line to standard error whenever some seconds have passed.

    A line is `images: 1,200 of 5,000 (24%), 03:10 left`. This does without tqdm, whose import takes longer than most work
    that is done without a terminal.
    """

    def __init__(
        self,
        rows: Iterable[Any] | None = None,
        *,
        seconds: float,
        total: int | None = None,
        initial: int = 0,
        desc: str | None = None,
        unit: str = "done",
        disable: bool = False,
        **_looks: Any,
    ) -> None:
        """Begin to count.

        Args:
            rows: what to iterate over, if anything.
            seconds: the time between two lines.
            total: how much there is to do; by default the length of `rows`, if it has one.
            initial: how much was done before.
            desc: a name for the work; by default `unit`.
            unit: what is counted.
            disable: whether no line is written.
        """
        self.n: float = initial
        """How much is done."""
        self._rows = rows if rows is not None else ()
        self._seconds = seconds
        self._total = len(rows) if total is None and isinstance(rows, Sized) else total
        self._name = (desc or unit).strip()
        self._is_silent = disable
        self._after = ""
        self._shown: float = initial
        self._shown_at = monotonic()
        self._rate: float | None = None
        self._has_lines = False

    def __iter__(self) -> Iterator[Any]:
        with self:
            for row in self._rows:
                yield row
                self.update()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, n: float = 1) -> None:
        """Count `n` more, and write a line if it is time."""
        self.n += n
        if not self._is_silent and monotonic() - self._shown_at >= self._seconds:
            self._show()

    def set_postfix_str(self, s: str, *, refresh: bool = True) -> None:
        """Let the lines end in a text; a line is never written for it alone, whatever `refresh` is."""
        del refresh
        self._after = f"; {s}" if s else ""

    def close(self) -> None:
        """End the progress, with a last line if there was one before."""
        if self._has_lines and self._shown < self.n:
            self._show()
        self._is_silent = True

    def _show(self) -> None:
        now = monotonic()
        newest = (self.n - self._shown) / max(now - self._shown_at, 1e-9)
        self._rate = newest if self._rate is None else _NEWEST * newest + (1 - _NEWEST) * self._rate
        self._shown, self._shown_at, self._has_lines = self.n, now, True
        sys.stderr.write(f"{self._line()}\n")
        sys.stderr.flush()

    def _line(self) -> str:
        if not self._total:
            return f"{self._name}: {self.n:,.0f}{self._after}"
        remaining = ""
        if self._rate and self.n < self._total:
            remaining = f", {_clock((self._total - self.n) / self._rate)} left"
        return f"{self._name}: {self.n:,.0f} of {self._total:,} ({self.n / self._total:.0%}){remaining}{self._after}"


def _clock(seconds: float) -> str:
    """A duration as `mm:ss`, or as `h:mm:ss` from an hour on."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
