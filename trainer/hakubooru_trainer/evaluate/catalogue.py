"""A catalogue of images: which file holds which, and the features of their contents, kept in one SQLite file.

Features belong to the SHA-256 of an image's bytes and to the network that they come from, so that a second model costs
none. Work is committed in portions; a kill loses the last one at most.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np

from hakubooru.errors import DestinationError
from hakubooru.store.sqlite_errors import explained
from hakubooru.store.writing import transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from hakubooru_trainer.randomness import Floats

_LAYOUT: Final = 1
_TABLES: Final = (
    "image (archive TEXT, stamp INTEGER, post INTEGER, sha256 TEXT, reason TEXT, PRIMARY KEY (archive, post))",
    "feature (network TEXT, sha256 TEXT, numbers BLOB, PRIMARY KEY (network, sha256))",
    "thumbnail (sha256 TEXT PRIMARY KEY, jpeg BLOB)",
)
_AMONG: Final = "IN (SELECT value FROM json_each(?))"
_A_QUERY: Final = 5000
_MEND: Final = "delete it, and run the same command again, which makes it anew"


class Place(NamedTuple):
    """The image of a post in an archive."""

    post: int
    """The post's id."""
    sha256: str
    """The SHA-256 of the file, hexadecimal; "" if it could not be decoded."""
    reason: str
    """Why the file could not be decoded; "" if it could."""


class Catalogue:
    """A catalogue in an SQLite file, for use in a `with` statement."""

    def __init__(self, path: Path) -> None:
        """Open a catalogue, or create it with the folders above it.

        Raises:
            DestinationError: the file cannot be written, or a newer hakubooru wrote it.
            BusyError: another process is writing into it.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=60, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise DestinationError(
                f"{path} cannot be written ({error}); set references.cache to another folder"
            ) from error
        with ExitStack() as refused, explained(path, _MEND):
            refused.callback(self._connection.close)
            (layout,) = self._connection.execute("PRAGMA user_version").fetchone()
            if layout not in {0, _LAYOUT}:
                raise DestinationError(
                    f"{path} was written by a newer hakubooru; set references.cache to another folder"
                )
            for table in _TABLES:
                self._connection.execute(f"CREATE TABLE IF NOT EXISTS {table}")
            self._connection.execute(f"PRAGMA user_version = {_LAYOUT}")
            refused.pop_all()

    def places(self, archive: str, stamp: int, posts: Sequence[int]) -> list[Place]:
        """The images of some posts in an archive, as far as they were read before and the archive is the same."""
        statement = (
            f"SELECT post, sha256, reason FROM image WHERE archive = ? AND stamp = ? AND post {_AMONG}"
        )
        return [Place(*row) for row in self._rows(statement, posts, archive, stamp)]

    def known(self, network: str, digests: Iterable[str]) -> set[str]:
        """Those of some SHA-256 whose features by a network are kept."""
        statement = f"SELECT sha256 FROM feature WHERE network = ? AND sha256 {_AMONG}"
        return {row[0] for row in self._rows(statement, list(digests), network)}

    def complete(self, network: str, digests: Iterable[str], shown: Iterable[str]) -> set[str]:
        """Those of some SHA-256 that need no other look: features are kept, and a small picture of those that are shown."""
        statement = f"SELECT sha256 FROM thumbnail WHERE sha256 {_AMONG}"
        bare = {*shown}
        bare -= {row[0] for row in self._rows(statement, sorted(bare))}
        return self.known(network, digests) - bare

    def features(self, network: str, digests: Sequence[str]) -> Mapping[str, Floats]:
        """The features of images by a network, (D,) float32 each, by SHA-256; those that are not kept are left out."""
        statement = f"SELECT sha256, numbers FROM feature WHERE network = ? AND sha256 {_AMONG}"
        return {
            digest: np.frombuffer(numbers, "<f4")
            for digest, numbers in self._rows(statement, digests, network)
        }

    def thumbnails(self, digests: Sequence[str]) -> dict[str, bytes]:
        """The small pictures of images, as JPEG, by SHA-256; those that are not kept are left out."""
        return dict(self._rows(f"SELECT sha256, jpeg FROM thumbnail WHERE sha256 {_AMONG}", digests))

    def add_places(self, archive: str, stamp: int, places: Sequence[Place]) -> None:
        """Keep which images an archive holds of some posts."""
        rows = [(archive, stamp, *place) for place in places]
        with explained(self.path, _MEND):
            self._connection.executemany("INSERT OR REPLACE INTO image VALUES (?, ?, ?, ?, ?)", rows)

    def add_features(self, network: str, features: Mapping[str, Floats]) -> None:
        """Keep features of images by a network, (D,) each, by SHA-256."""
        rows = [(network, digest, numbers.astype("<f4").tobytes()) for digest, numbers in features.items()]
        with explained(self.path, _MEND):
            self._connection.executemany("INSERT OR REPLACE INTO feature VALUES (?, ?, ?)", rows)

    def add_thumbnails(self, pictures: Mapping[str, bytes]) -> None:
        """Keep small pictures of images, as JPEG, by SHA-256."""
        with explained(self.path, _MEND):
            self._connection.executemany("INSERT OR REPLACE INTO thumbnail VALUES (?, ?)", pictures.items())

    @contextmanager
    def portion(self) -> Iterator[None]:
        """Commit all that the block adds at once, or nothing of it."""
        with explained(self.path, _MEND), transaction(self._connection):
            yield

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._connection.close()

    def _rows(self, statement: str, values: Sequence[Any], *parameters: Any) -> Iterator[Any]:
        """The rows of a statement whose last parameter is a list of values, some thousand of them at a time."""
        for start in range(0, len(values), _A_QUERY):
            some = json.dumps(values[start : start + _A_QUERY])
            with explained(self.path, _MEND):
                yield from self._connection.execute(statement, [*parameters, some]).fetchall()
