"""Progress of long work: a bar on a terminal and in a notebook, and elsewhere a line from time to time."""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING, Any, Final

from hakubooru.progress_lines import Lines

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    from tqdm import tqdm

    Bar: TypeAlias = tqdm[Any] | Lines
    """A progress bar, or what counts in its place."""

SECONDS: Final = "HAKUBOORU_PROGRESS_SECONDS"
"""The environment variable that says how many seconds there are between two lines; by default 30."""
_SECONDS: Final = 30.0


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
