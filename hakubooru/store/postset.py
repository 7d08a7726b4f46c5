"""The set of posts that captions and exports work on, as a protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hakubooru.arrays import Ids
    from hakubooru.store.store import Store


class PostSet(Protocol):
    """A set of posts of one file whose ids are computed on demand, such as a `Selection`."""

    @property
    def database(self) -> Store:
        """The open metadata file."""
        ...

    def to_ids(self) -> Ids:
        """Compute the ids of the posts, (N,) int64."""
        ...
