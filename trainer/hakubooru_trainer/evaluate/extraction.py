"""Features of images, from the bytes of their files: decoded by threads, computed in batches, kept in a catalogue."""

from __future__ import annotations

import hashlib
import io
import os
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
from PIL import Image

from hakubooru.image.decode import decode
from hakubooru.image.header import read_header
from hakubooru.image.kinds import BrokenImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hakubooru_trainer.evaluate.catalogue import Catalogue
    from hakubooru_trainer.randomness import Floats

K = TypeVar("K")
K_contra = TypeVar("K_contra", contravariant=True)

THUMBNAIL: Final = 192
"""The height of a small picture, in pixels."""
_BATCHES_A_PORTION: Final = 4
_QUALITY: Final = 85


class Judge(Protocol[K_contra]):
    """A network that sees images."""

    @property
    def fingerprint(self) -> str:
        """A text that differs where the network does."""
        ...

    def prepared(self, picture: Image.Image) -> Floats:
        """Prepare a picture in RGB for the network."""
        ...

    def features(self, pictures: Floats) -> Floats:
        """Compute the features of prepared pictures, (N, D)."""
        ...

    def kept(self, key: K_contra, row: Floats) -> Floats:
        """The features of an image that are kept, out of all of them, (D,)."""
        ...

    def asked(self, key: K_contra) -> bytes:
        """What decides, beside the file, which features are kept; empty if nothing does."""
        ...


class Source(NamedTuple, Generic[K]):
    """The file of an image, from whatever source."""

    key: K
    data: bytes
    """The whole file."""
    shown: bool
    """Whether a small picture of it is kept too."""


class Extracted(NamedTuple, Generic[K]):
    """An image whose features are in the catalogue, or the reason why they are not."""

    key: K
    sha256: str
    """The SHA-256 of the file and of what was asked of it, hexadecimal; "" if it could not be decoded."""
    reason: str
    """Why the file could not be decoded; "" if it could."""


class _Look(NamedTuple):
    """An image as the network sees it and as a small JPEG, or the reason why it is neither."""

    values: Floats | None
    thumbnail: bytes
    reason: str


class _Portion(NamedTuple, Generic[K]):
    sources: list[Source[K]]
    digests: list[str]
    looks: dict[str, Future[_Look]]
    """The images whose features are not known, by SHA-256."""


class Extractor(Generic[K]):
    """Computes the features of images that a catalogue lacks, for use in a `with` statement.

    Args:
        judge: the network.
        catalogue: where features are kept.
        batch: images that the network is given at a time.
    """

    def __init__(self, judge: Judge[K], catalogue: Catalogue, batch: int) -> None:
        self.judge = judge
        self.catalogue = catalogue
        self._batch = batch
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1)

    def run(self, sources: Iterable[Source[K]]) -> Iterator[Extracted[K]]:
        """Put the features of images into the catalogue, and yield the images in their order.

        While the network computes one portion, the next one is read and decoded.
        """
        files = iter(sources)
        ahead: _Portion[K] | None = None
        while some := list(islice(files, self._batch * _BATCHES_A_PORTION)):
            portion = self._begun(some)
            if ahead is not None:
                yield from self._ended(ahead)
            ahead = portion
        if ahead is not None:
            yield from self._ended(ahead)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _begun(self, sources: list[Source[K]]) -> _Portion[K]:
        digests = [
            hashlib.sha256(source.data + self.judge.asked(source.key)).hexdigest() for source in sources
        ]
        shown = {digest for source, digest in zip(sources, digests, strict=True) if source.shown}
        known = self.catalogue.complete(self.judge.fingerprint, digests, shown)
        looks: dict[str, Future[_Look]] = {}
        for source, digest in zip(sources, digests, strict=True):
            if digest not in known and digest not in looks:
                looks[digest] = self._pool.submit(self._look, source.data, shown=digest in shown)
        return _Portion(sources, digests, looks)

    def _ended(self, portion: _Portion[K]) -> Iterator[Extracted[K]]:
        looks = {digest: future.result() for digest, future in portion.looks.items()}
        values = {digest: look.values for digest, look in looks.items() if look.values is not None}
        names = list(values)
        keys = {digest: source.key for source, digest in zip(portion.sources, portion.digests, strict=True)}
        features: dict[str, Floats] = {}
        for start in range(0, len(names), self._batch):
            some = names[start : start + self._batch]
            rows = self.judge.features(np.stack([values[name] for name in some]))
            features |= {name: self.judge.kept(keys[name], row) for name, row in zip(some, rows, strict=True)}
        with self.catalogue.portion():
            self.catalogue.add_features(self.judge.fingerprint, features)
            self.catalogue.add_thumbnails(
                {digest: look.thumbnail for digest, look in looks.items() if look.thumbnail}
            )
        for source, digest in zip(portion.sources, portion.digests, strict=True):
            reason = looks[digest].reason if digest in looks else ""
            yield Extracted(source.key, "" if reason else digest, reason)

    def _look(self, data: bytes, *, shown: bool) -> _Look:
        try:
            picture = picture_of(data)
        except BrokenImageError as error:
            return _Look(None, b"", str(error))
        return _Look(self.judge.prepared(picture), thumbnail(picture) if shown else b"", "")


def thumbnail(picture: Image.Image) -> bytes:
    """A small picture as JPEG, at most 192 pixels high."""
    small = picture.copy()
    small.thumbnail((2 * THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def picture_of(data: bytes) -> Image.Image:
    """Decode the file of an image to RGB, on white where it is transparent.

    Raises:
        BrokenImageError: the file cannot be decoded.
    """
    return decode(data, read_header(data), background="white")
