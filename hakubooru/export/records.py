"""What passes between the processes of an export: the task of one archive, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from hakubooru.arrays import Ids
    from hakubooru.image.names import Claim
    from hakubooru.image.own import OwnFolder
    from hakubooru.image.sources import Archive

NAMES_KEPT: Final = 1000
"""Of members that are passed over for one reason, this many are named; all are counted."""


@dataclass(frozen=True)
class Task:
    """One archive, and the posts that are still wanted of it."""

    archive: Archive | OwnFolder | None
    """None where captions are all that is exported."""
    wanted: Ids
    """Ascending; numbers below 0 are those of a user's own images."""
    claim: Claim
    """Posts outside it are counted and left alone."""
    key: str
    """What the work is known by from one run to the next."""

    @property
    def stamp(self) -> int:
        """The archive's."""
        return self.archive.stamp if self.archive is not None else 0


class Pair(NamedTuple):
    """An image that was exported with its caption."""

    id: int
    """The post's; below 0 that of a user's own image."""
    path: str
    """Below the export's folder, with `/`."""
    width: int
    height: int
    bytes: int
    sha256: str
    """Of the exported file, hexadecimal."""
    caption: str
    parts: str
    """How many tags of the caption each part has, as JSON; "" where that is not known."""


class Broken(NamedTuple):
    """An image that is wanted, but not taken."""

    id: int
    member: str
    reason: str
    status: str = "broken"
    """`broken`: not whole. `unfit`: whole, and none that the format of images takes."""


@dataclass
class Outcome:
    """What came of one archive."""

    key: str
    """Of the task."""
    stamp: int
    """Of the archive."""
    pairs: list[Pair] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    passed_over: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    """Members that no image is taken from, by the reason: how many, and the first names."""
    strays: int = 0
    """Images of posts that do not belong into the archive, by its name."""
    damage: str = ""
    """Why the archive could not be read to its end."""
    lost: str = ""
    """Why the archive could not be read at all: what the system said."""

    def pass_over(self, reason: str, name: str) -> None:
        """Count a member that no image is taken from."""
        count, names = self.passed_over.setdefault(reason, (0, []))
        if len(names) < NAMES_KEPT:
            names.append(name)
        self.passed_over[reason] = count + 1, names
