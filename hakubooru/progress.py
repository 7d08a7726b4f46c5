"""Progress bars: shown on a terminal, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tqdm import tqdm


def progress(rows: Iterable[Any] | None = None, **options: Any) -> tqdm[Any]:
    """A bar of tqdm's, with its options, over rows or over what `update` counts."""
    from tqdm import tqdm  # noqa: PLC0415 - a tenth of what `import hakubooru` takes

    return tqdm(rows, disable=None, **options)
