"""The settings that an export was begun with, by this version or an earlier one: whether this version can go on with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from hakubooru.errors import DestinationError
from hakubooru.image.decode import DECODE_CHANGES, DECODE_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hakubooru.export.journal import Journal

_ORIGIN: Final = "origin"
_DECODING: Final = "decoding"
_BEFORE_DECODING: Final = 1
"""The version of decoding of exports whose journal does not record one, because an earlier version began them."""
_EARLIER: Final = {
    "caption.repeats": "true",
    "output.shards": '"of one archive each"',
    "image.subsampling": '"4:2:0"',
}
"""Settings of exports whose journal does not record them, because an earlier version began them."""
_NO_OPTIONS: Final = {"output.shards", "image.subsampling"}
"""Settings among them that no export of this version can be given."""
_SHOWN: Final = 3
"""How many settings that differ are shown with their values; of more, such as those of another preset, only the names."""


def go_on(journal: Journal, out: Path, settings: Mapping[str, str], *, converts: bool) -> int:
    """Check that an export can go on with these settings, or record the settings of a new one.

    Args:
        journal: the journal of the export.
        out: the folder of the export, for messages.
        settings: the options that the files depend on, besides posts and archives, as JSON by name.
        converts: whether the export writes images anew.

    Returns:
        the version of decoding that the export was begun with.

    Raises:
        DestinationError: the export was begun with other settings, or it converts images and was begun by a version
            that decoded them in another way.
    """
    before = journal.settings()
    decoding = int(before.get(_DECODING, _BEFORE_DECODING if before else DECODE_VERSION))
    if converts and decoding != DECODE_VERSION:
        raise DestinationError(
            f"{out} was begun by an earlier version of hakubooru. Since then, {DECODE_CHANGES}. Choose another "
            "folder, so that all images are decoded in one way, or use that version"
        )
    _compare(before, settings, out)
    journal.settle({_DECODING: str(decoding), **settings})
    return decoding


def _compare(before: Mapping[str, str], settings: Mapping[str, str], out: Path) -> None:
    tables = {name.partition(".")[0] for name in before}
    earlier = {name: value for name, value in _EARLIER.items() if name.partition(".")[0] in tables}
    recorded, before = before, earlier | dict(before)
    differing = [name for name, value in settings.items() if before.get(name, value) != value]
    if not differing:
        return
    version = "" if recorded.keys() >= set(differing) else " by an earlier version of hakubooru"
    changes = ", ".join(differing)
    if len(differing) <= _SHOWN:
        changes = "; ".join(f"{name} was {before[name]} and is now {settings[name]}" for name in differing)
    mend = "use that version" if _NO_OPTIONS.intersection(differing) else "use the earlier options"
    raise DestinationError(
        f"{out} was begun{version} with other options: {changes}; {mend}, or choose another folder"
    )


def write_origin(journal: Journal, origin: str) -> None:
    """Record the sources of an export."""
    journal.remember(_ORIGIN, origin)


def read_origin(journal: Journal) -> dict[str, Any] | None:
    """Return the recorded sources of an export, as a table; None if none are recorded."""
    text = journal.recall(_ORIGIN)
    if text is None:
        return None
    origin: dict[str, Any] = json.loads(text)
    origin["caption"].setdefault("repeats", json.loads(_EARLIER["caption.repeats"]))
    return origin
