"""Write the sidecar of a metadata file.

The posts are read in one scan and the relations in another, in whatever order they are. First the relations go to a temporary
file for each 65,536 posts; then the relations of these posts are sorted, written post by post, and added to those of
their tags. Memory does not grow with the relations.
"""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from hakubooru.arrays import by_id, is_first, narrow
from hakubooru.engine.cache import beside, code_base, in_cache, stamp_of
from hakubooru.engine.columns import COUNTS, DATES, NUMBERS, FileColumns
from hakubooru.errors import DestinationError
from hakubooru.processes import ahead
from hakubooru.progress import progress
from hakubooru.store.reader import THREADS
from hakubooru.store.schema import TAG_TYPES
from hakubooru.store.store import check_open

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

    from numpy.typing import NDArray

    from hakubooru.arrays import Ids, Values
    from hakubooru.store.store import Store

_ROWS_A_READ: Final = 500_000
_POSTS_A_BUCKET: Final = 1 << 16  # so that the place of a post in a bucket takes 16 bits
_BYTES_A_POST: Final = 64
_BYTES_A_RELATION: Final = 5
_NOWHERE: Final = 2**31 - 1
_TAG: Final = 2**32 - 1
_TYPES: Final = (
    f"SELECT id, type FROM tag WHERE typeof(type) = 'integer' AND type BETWEEN 0 AND {len(TAG_TYPES) - 1}"
)
_COMMON: Final = 32
"""For a tag of more than one post in 32, a bit for every post takes less than a list of posts."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The size of a sidecar before it is written."""

    relations: int
    """How many relations the file has at most, by their row ids; they decide how long it takes."""
    bytes: int
    """The most bytes that the sidecar takes on the disk; three times as many while it is written."""


@dataclass(frozen=True)
class _Tags:
    """What is known of tags by their id, (T,) each."""

    count: Values
    """How many relations each tag has."""
    code: Values
    """The code of each tag, the most common first."""
    type: Values
    """The type of each tag; one above all types for a tag that has no row."""
    row: Values
    """For the most common tags, the row of their bits; else -1."""
    start: Values
    """For other tags, the start of their list of posts."""


@dataclass(frozen=True)
class _Bucket:
    """The sorted relations of neighbouring posts, each relation once."""

    packed: Values
    """The codes of the tags of each post, as numbers of 16 bits."""
    sizes: Values
    """How many of these numbers each post has, (P,)."""
    counts: NDArray[np.integer]
    """How many tags of each type each post has, (P, types + 1)."""
    tags: Values
    """The tags that the posts have, ascending, (U,)."""
    many: Values
    """How many of the posts have each tag, (U,)."""
    places: Values
    """The posts of each tag, ascending, by their places in the bucket, one tag after another."""


def cost(database: Store) -> Cost:
    """Estimate the size of the sidecar of a file, without a scan."""
    posts, relations = (last + 1 - first for first, last in map(database.ends, ("post", "posttagrelation")))
    posts = min(posts, relations)  # where ids are sparse: nearly every post has a tag
    return Cost(relations=relations, bytes=posts * _BYTES_A_POST + relations * _BYTES_A_RELATION)


def optimize(
    database: Store,
    *,
    common: int = _COMMON,
    rows_a_read: int = _ROWS_A_READ,
    posts_a_bucket: int = _POSTS_A_BUCKET,
) -> Path:
    """Write the sidecar of a file, in place of an older one; gives its folder.

    The posts are read in one scan, the relations in another. The file itself is not changed.

    Args:
        database: the file.
        common: a tag of more than one post in this many is stored as a bit for every post, other tags as lists of posts.
        rows_a_read: how many relations to read at a time.
        posts_a_bucket: the relations of this many posts are sorted at a time; a multiple of 8, at most 65,536.

    Raises:
        InputError: `database` is a path.
        DestinationError: neither the file's folder nor the user's cache can be written.
    """
    check_open(database, "optimize")
    assert posts_a_bucket % 8 == 0 < posts_a_bucket <= _POSTS_A_BUCKET
    with NewSidecar(database.path) as sidecar:
        ids = _write_columns(database, sidecar)
        folder = sidecar.scratch()
        counts = _distribute(database, ids, folder, posts_a_bucket, rows_a_read)
        tags = _describe(database, counts, is_common=counts * common > len(ids))
        _write_tags(sidecar, tags, folder, len(ids), posts_a_bucket)
        return sidecar.finish()


def _write_columns(database: Store, sidecar: NewSidecar) -> Ids:
    """Write the columns of the posts; gives the ids."""
    columns = FileColumns(database)
    columns.read_all()
    for name in progress(("id", "traits", *NUMBERS, *DATES), desc="columns", unit=" columns"):
        sidecar.save(name, narrow(columns[name]))
    return columns.ids


def _distribute(database: Store, ids: Ids, folder: Path, posts_a_bucket: int, rows_a_read: int) -> Ids:
    """Write all relations to files by buckets of posts; gives how many relations each tag has, by its id.

    A relation is `place << 32 | tag` in 8 bytes. The two halves of the relations have files of their own: a post's
    relations then stay in their order.
    """
    places_of = by_id(ids, np.arange(len(ids)), _NOWHERE)
    counts = np.zeros(database.ends("tag")[1] + 1, np.int64)
    first, last = database.ends("posttagrelation")
    with (
        ExitStack() as files,
        progress(total=last + 1 - first, desc="relations", unit=" relations", unit_scale=True) as bar,
    ):
        buckets: dict[tuple[int, int], IO[bytes]] = {}
        for half, (posts, tags) in database.scan("posttagrelation", "post_id, tag_id", rows=rows_a_read):
            places = places_of(posts)
            pairs = places << 32 | tags
            is_known = places != _NOWHERE
            if not is_known.all():
                places, pairs = places[is_known], pairs[is_known]
            counts = _added(counts, pairs & _TAG)
            for bucket, some in _by_bucket(places // posts_a_bucket, pairs):
                if (bucket, half) not in buckets:
                    buckets[bucket, half] = files.enter_context((folder / f"{bucket}-{half}").open("wb"))
                buckets[bucket, half].write(some.data)
            bar.update(len(posts))
    return counts


def _added(counts: Ids, tags: Ids) -> Ids:
    """Counts by tag with those of more relations added; longer, where a tag has a larger id."""
    more = np.bincount(tags, minlength=len(counts))
    more[: len(counts)] += counts
    return more


def _by_bucket(buckets: Values, pairs: Values) -> Iterator[tuple[int, Values]]:
    """Split relations by bucket, in their order."""
    if not len(pairs):
        return
    if (buckets[1:] < buckets[:-1]).any():
        order = np.argsort(buckets.astype(np.uint16), kind="stable")
        buckets, pairs = buckets[order], pairs[order]
    starts = np.flatnonzero(is_first(buckets))
    for start, end in zip(starts, np.append(starts[1:], len(pairs)), strict=True):
        yield int(buckets[start]), pairs[start:end]


def _describe(database: Store, counts: Ids, *, is_common: Values) -> _Tags:
    """Give each tag a code, and a place for its posts that is large enough if no relation is there twice."""
    by_count = np.argsort(-counts, kind="stable")
    code = np.empty(len(counts), np.int32)
    code[by_count] = np.arange(len(counts))
    kind = np.full(len(counts), len(TAG_TYPES), np.uint8)
    ids, types = database.reader.table(_TYPES, columns=2, table="tag")
    kind[ids] = types
    row = np.where(is_common, np.cumsum(is_common) - 1, -1)
    listed = np.where(is_common, 0, counts)
    return _Tags(counts, code, kind, row, np.cumsum(listed) - listed)


def _write_tags(sidecar: NewSidecar, tags: _Tags, folder: Path, posts: int, posts_a_bucket: int) -> None:
    """Write the tags of every post and the posts of every tag from the files of the buckets."""
    base = code_base(len(tags.count))
    bits = sidecar.empty("bits", (int((tags.row >= 0).sum()), -(-posts // 8)), np.uint8)
    listed = int(tags.count[tags.row < 0].sum())
    sidecar.empty("posts", (listed,), np.uint32)
    filled = np.zeros(len(tags.count), np.int64)
    per_post = {name: np.zeros(posts, np.uint16) for name in COUNTS}
    sizes = np.zeros(posts + 1, np.int64)
    buckets = range(-(-posts // posts_a_bucket))

    def load(bucket: int) -> _Bucket:
        size = min(posts_a_bucket, posts - bucket * posts_a_bucket)
        return _sorted(folder, bucket, size, first=bucket * posts_a_bucket, tags=tags, base=base)

    with sidecar.append("packed") as packed:
        sorted_ahead = ahead(ThreadPoolExecutor(THREADS), load, buckets, THREADS)
        for bucket, done in enumerate(progress(sorted_ahead, total=len(buckets), desc="tags")):
            first = bucket * posts_a_bucket
            size = len(done.sizes)
            packed.write(done.packed.data)
            sizes[first + 1 : first + size + 1] = done.sizes
            per_post["tag_count"][first : first + size] = done.counts.sum(axis=1)
            for place, name in enumerate(TAG_TYPES):
                per_post[f"{name}_tag_count"][first : first + size] = done.counts[:, place]
            rows = tags.row[done.tags]
            _add_bits(bits, done, first, rows)
            _add_to_lists(sidecar, done, first, tags.start[done.tags] + filled[done.tags], rows)
            filled[done.tags] += done.many
    sidecar.save("packed_at", narrow(np.cumsum(sizes)))
    sidecar.save("codes", narrow(np.argsort(tags.code)))
    for name, values in per_post.items():
        sidecar.save(name, narrow(values))
    used = np.flatnonzero(filled)
    starts = np.where(tags.row >= 0, tags.row, tags.start)
    sidecar.save(
        "tags", np.stack([used, filled[used], starts[used], tags.row[used] >= 0], axis=1).astype(np.int64)
    )


def _sorted(folder: Path, bucket: int, posts: int, *, first: int, tags: _Tags, base: int) -> _Bucket:
    """Sort the relations of a bucket of posts, each relation once, and delete its files."""
    files = [path for half in range(THREADS) if (path := folder / f"{bucket}-{half}").exists()]
    pairs = np.concatenate([np.empty(0, np.int64), *(np.fromfile(path, np.int64) for path in files)])
    for path in files:
        path.unlink()
    # Narrow numbers and few passes: the pairs of a bucket do not fit into the processor's cache.
    places = np.subtract(pairs >> 32, first, dtype=np.int32, casting="same_kind").astype(np.uint16)
    tag_ids = pairs.astype(np.uint32)
    if (places[1:] < places[:-1]).any():
        order = np.argsort(places, kind="stable")
        places, tag_ids = places[order], tag_ids[order]
    by_tag = np.left_shift(tag_ids, 16, dtype=np.int64) | places
    ascending = np.sort(by_tag)
    is_new = is_first(ascending)
    if not is_new.all():
        once = np.sort(np.unique(by_tag, return_index=True)[1])
        places, tag_ids, ascending = places[once], tag_ids[once], ascending[is_new]
    packed, sizes = pack(tags.code[tag_ids], base)
    kinds = len(TAG_TYPES) + 1
    counts: Any = np.bincount(places * np.int64(kinds) + tags.type[tag_ids], minlength=posts * kinds)
    counts = counts.reshape(posts, kinds)
    of_tag = ascending >> 16
    starts = np.flatnonzero(is_first(of_tag))
    return _Bucket(
        packed=packed,
        sizes=counts.sum(axis=1) + np.bincount(places[sizes == 2], minlength=posts),
        counts=counts,
        tags=of_tag[starts],
        many=np.diff(np.append(starts, len(of_tag))),
        places=ascending.astype(np.uint16),
    )


def _add_bits(bits: Values, bucket: _Bucket, first: int, rows: Values) -> None:
    """Set the bits of the most common tags for the posts of a bucket; `rows` is the row of each of its tags, or -1."""
    ends = np.cumsum(bucket.many)
    posts = len(bucket.sizes)
    for place in np.flatnonzero(rows >= 0).tolist():
        mask = np.zeros(posts, bool)
        mask[bucket.places[ends[place] - bucket.many[place] : ends[place]]] = True
        bits[rows[place], first // 8 : first // 8 + -(-posts // 8)] = np.packbits(mask)


def _add_to_lists(sidecar: NewSidecar, bucket: _Bucket, first: int, starts: Values, rows: Values) -> None:
    """Add the posts of a bucket to the lists of their tags; `starts` is the place of each tag's next post."""
    is_listed = rows < 0
    many = bucket.many[is_listed]
    ends = np.cumsum(many)
    if len(ends):
        where = np.arange(ends[-1]) + np.repeat(starts[is_listed] - (ends - many), many)
        places = np.compress(np.repeat(is_listed, bucket.many), bucket.places)
        # Mapped again for each bucket, so that few of its pages count as memory of this process.
        sidecar.open("posts")[where] = places + np.uint32(first)


def pack(codes: Values, base: int) -> tuple[Values, Values]:
    """Write the codes of tags, (R,), as numbers of 16 bits: the numbers, and how many each code takes, (R,)."""
    is_long = codes >= base
    long = np.flatnonzero(is_long)
    high, low = np.divmod(codes[long] - base, base)
    lows = codes.astype("<u2")
    lows[long] = low
    return np.insert(lows, long, base + high), is_long + np.uint8(1)


class NewSidecar:
    """A writer of a sidecar, for a `with` statement: the folder is renamed by `finish`, and removed on an error.

    Raises:
        DestinationError: neither the file's folder nor the user's cache can be written.
    """

    def __init__(self, database: Path) -> None:
        self._stamp = stamp_of(database)
        for target in (beside(database), in_cache(database)):
            building = target.with_name(target.name + ".building")
            try:
                shutil.rmtree(building, ignore_errors=True)
                building.mkdir(parents=True)
            except OSError:
                continue
            self.target, self.folder = target, building
            return
        raise DestinationError(
            f"neither {beside(database)} nor {in_cache(database)} can be written; make one of the two folders writable"
        )

    def save(self, name: str, values: np.ndarray[Any, Any]) -> None:
        """Write an array to the sidecar."""
        np.save(self.folder / f"{name}.npy", values, allow_pickle=False)

    def empty(self, name: str, shape: tuple[int, ...], dtype: type[np.generic]) -> Values:
        """Create an array on disk, for the caller to fill."""
        array: Values = np.lib.format.open_memmap(self.folder / f"{name}.npy", "w+", dtype, shape)
        return array

    def open(self, name: str) -> Values:
        """Map an array that `empty` created into memory, to write to it."""
        array: Values = np.lib.format.open_memmap(self.folder / f"{name}.npy", "r+")
        return array

    def append(self, name: str) -> IO[bytes]:
        """Open a file of raw numbers, to write at its end."""
        return (self.folder / f"{name}.bin").open("ab")

    def scratch(self) -> Path:
        """Make a folder for temporary files; `finish` does not keep it."""
        folder = self.folder / "scratch"
        folder.mkdir()
        return folder

    def finish(self) -> Path:
        """Rename the folder to its final name, replace an older sidecar, and return the path."""
        shutil.rmtree(self.folder / "scratch", ignore_errors=True)
        (self.folder / "stamp.json").write_text(
            json.dumps(self._stamp) + "\n", encoding="utf-8", newline="\n"
        )
        shutil.rmtree(self.target, ignore_errors=True)
        os.replace(self.folder, self.target)  # noqa: PTH105 - as atomic as the system can
        return self.target

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
