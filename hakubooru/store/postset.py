"""What captions and exports ask of a set of posts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hakubooru.arrays import Ids
    from hakubooru.store.store import Store


class PostSet(Protocol):
    """Posts of one file, whose ids are worked out when they are asked for; a `Selection` is one."""

    @property
    def database(self) -> Store:
        """The file."""
        ...

    def to_ids(self) -> Ids:
        """The ids, (N,) int64."""
        ...
