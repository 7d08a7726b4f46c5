"""What an export was begun with, by this version or an earlier one, and whether this version can go on with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from hakubooru.errors import DestinationError
from hakubooru.export.journal import EARLIER
from hakubooru.image.decode import DECODE_CHANGES, DECODE_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hakubooru.export.journal import Journal

_ORIGIN: Final = "origin"


def go_on(journal: Journal, out: Path, settings: Mapping[str, str], *, converts: bool) -> int:
    """Check that an export can go on with these settings, or take down those of a new one.

    Args:
        journal: its record.
        out: its folder, for messages.
        settings: what its files depend on, besides posts and archives.
        converts: it writes images anew.

    Returns:
        the version of decoding that it was begun with.

    Raises:
        DestinationError: it was begun with other settings, or converts images and was begun by a version that
            decoded them otherwise.
    """
    decoding = journal.decoding(DECODE_VERSION)
    if converts and decoding != DECODE_VERSION:
        raise DestinationError(
            f"{out} was begun by an earlier version of hakubooru, and {DECODE_CHANGES}; a set of both would be a "
            "mixture: choose another folder, or go on with that version"
        )
    journal.settle(settings, out)
    return decoding


def write_origin(journal: Journal, origin: str) -> None:
    """Take down what an export came from."""
    journal.remember(_ORIGIN, origin)


def read_origin(journal: Journal) -> dict[str, Any] | None:
    """What an export came from, as a table; None where that was not taken down."""
    text = journal.recall(_ORIGIN)
    if text is None:
        return None
    origin: dict[str, Any] = json.loads(text)
    origin["caption"].setdefault("repeats", json.loads(EARLIER["caption.repeats"]))
    return origin
