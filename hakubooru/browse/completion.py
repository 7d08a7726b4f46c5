"""Suggestions for the word that is being typed in a search: tags by any part of a name or alias, and metatags.

The names of all tags stand in one text in memory, the most common tag first, a line each. A search in it takes a few
milliseconds for a million tags.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.browse.answers import term_of
from hakubooru.engine.posts import tag_table
from hakubooru.engine.tag_counts import count_tags
from hakubooru.select.danbooru.metatags import METATAGS
from hakubooru.select.danbooru.orders import NONE, RANDOM, VALUES
from hakubooru.store.schema import EXTENSIONS, TAG_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.arrays import Values
    from hakubooru.engine.cache import CachedStore

SUGGESTIONS: Final = 12
"""How many suggestions there are at most."""
_LARGEST_COUNT: Final = 50_000_000
"""Up to this many relations are counted where a file has no popularity of tags."""
_METATAGS: Final = tuple(name for name, row in METATAGS.items() if not isinstance(row, str))
"""The metatags that a file can answer: a text says what it lacks for the others."""
_ORDERS: Final = tuple(name for name, node in VALUES.items() if not isinstance(node, str))
_VALUES: Final = {
    "order": ("id", "id_desc", RANDOM, NONE, *_ORDERS, *(f"{name}_asc" for name in _ORDERS)),
    "filetype": EXTENSIONS,
    "is": ("sfw", "nsfw", "deleted", "banned", "active", "parent", "child", "gold"),
    "has": ("image", "parent", "children", "source"),
    "parent": ("any", "none"),
    "child": ("any", "none"),
}
"""The values of metatags that have few; ratings are those of the site."""
_POPULARITY: Final = "SELECT id, CAST(popularity AS INTEGER) AS posts FROM tag WHERE popularity > 0"
_ALIASES: Final = (
    "SELECT CAST(alias AS TEXT) AS alias, tag.id FROM tagalias JOIN tag USING (name) ORDER BY alias"
)
_STARTS: Final = (b"\n%s", b"_%s", b"(%s", b"%s")
"""Where the part of a name may stand, the best first: at the start of a name, at the start of a word, anywhere."""


@dataclass(frozen=True)
class Suggestion:
    """A suggestion for a word of a search."""

    term: str
    """The word to write."""
    type: str
    """The tag's type, or `metatag`."""
    posts: int | None = None
    """How many posts have the tag; None for metatags."""
    alias: str | None = None
    """The alias that was matched; None if the name was."""


class Completion:
    """Completes the words of searches in one database; any thread may use it. Tags are read when they are first needed."""

    def __init__(self, database: CachedStore) -> None:
        self._database = database
        self._lock = Lock()
        self._values = {"rating": tuple(filter(None, database.about.site.ratings)), **_VALUES}

    def suggestions(self, word: str) -> list[Suggestion]:
        """Suggest terms for a word, without the `-` or `~` before it."""
        name, colon, value = word.lower().partition(":")
        if colon and name in self._values:
            fitting = [each for each in self._values[name] if each.startswith(value)]
            return [Suggestion(f"{name}:{each}", "metatag") for each in fitting[:SUGGESTIONS]]
        metatags = [
            Suggestion(f"{each}:", "metatag") for each in _METATAGS if len(name) > 1 and each.startswith(name)
        ]
        with self._lock:
            tags = self._names
        return [*tags.suggestions(word), *([] if colon else metatags)][:SUGGESTIONS]

    @cached_property
    def _names(self) -> _Names:
        return _Names(self._database)


class _Names:
    """The names and aliases of all tags that posts have, a line each."""

    def __init__(self, database: CachedStore) -> None:
        import pyarrow as pa  # noqa: PLC0415 - takes a while, and the server waits for nothing
        import pyarrow.compute as pc  # noqa: PLC0415

        tags = tag_table(database)
        ids = tags["id"].to_numpy()
        written, meant = [*tags["name"].chunks], [np.arange(len(ids))]
        if database.has_table("tagalias"):
            columns = pa.schema({"alias": pa.string(), "id": pa.int64()})
            aliases = pa.Table.from_batches(database.reader.batches(_ALIASES), columns)
            written += aliases["alias"].chunks
            meant.append(np.searchsorted(ids, aliases["id"].to_numpy()))
        of_line = np.concatenate(meant)
        posts = _counts(database)[ids[of_line]]
        lines = pa.table({"written": pa.chunked_array(written, pa.string()), "posts": posts})
        order = pc.sort_indices(lines, [("posts", "descending"), ("written", "ascending")])
        text = "\n".join(["", *lines["written"].take(order).to_pylist(), ""]).encode()
        self._text = text
        self._lower = text.lower()
        self._starts = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
        self._posts = posts[order]
        self._tags = of_line[order]
        self._names = tags["name"].combine_chunks()
        self._kinds = tags["type"].to_numpy()

    def suggestions(self, word: str) -> Iterator[Suggestion]:
        part = word.strip().lower().replace(" ", "_").encode()
        rows: dict[int, None] = {}
        for place in _STARTS if part and b"\n" not in part and b"*" not in part else ():
            self._add(rows, place.replace(b"%s", part))
        names: set[str] = set()
        for row in rows:
            written = self._text[self._starts[row] + 1 : self._starts[row + 1]].decode()
            tag = int(self._tags[row])
            name = self._names[tag].as_py()
            if name not in names:
                names.add(name)
                alias = None if name == written else written
                yield Suggestion(term_of(name), _kind(int(self._kinds[tag])), int(self._posts[row]), alias)

    def _add(self, rows: dict[int, None], pattern: bytes) -> None:
        """Add the rows of the most common names with a pattern, up to twice as many as are shown."""
        at = self._lower.find(pattern)
        while at >= 0 and len(rows) < 2 * SUGGESTIONS:
            row = int(np.searchsorted(self._starts, at, side="right")) - 1
            rows.setdefault(row)
            # A name counts once: the search goes on in the next line.
            at = self._lower.find(pattern, int(self._starts[row + 1]))


def _counts(database: CachedStore) -> Values:
    """How many posts have each tag, by the tag's id, (T,) int64; zeros where nobody has counted them."""
    counts = np.zeros(database.ends("tag")[1] + 1, np.int64)
    tags, posts = database.reader.table(_POPULARITY, columns=2, table="tag")
    if not len(tags) and database.cache.columns.know_tags:
        return count_tags(database, database.cache.columns.ids)
    if not len(tags) and database.ends("posttagrelation")[1] <= _LARGEST_COUNT:
        sql = "SELECT tag_id, COUNT(*) FROM posttagrelation WHERE tag_id BETWEEN 0 AND ? GROUP BY tag_id"
        tags, posts = database.reader.table(sql, [len(counts) - 1], columns=2, table="posttagrelation")
    counts[tags] = posts
    return counts


def _kind(number: int) -> str:
    return TAG_TYPES[number] if 0 <= number < len(TAG_TYPES) else "general"
