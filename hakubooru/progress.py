"""Progress bars, which are shown only on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tqdm import tqdm


def progress(rows: Iterable[Any] | None = None, **options: Any) -> tqdm[Any]:
    """Make a tqdm progress bar, with its options, over an iterable or for calls of `update`."""
    from tqdm import tqdm  # noqa: PLC0415 - a tenth of what `import hakubooru` takes

    return tqdm(rows, disable=None, **options)
