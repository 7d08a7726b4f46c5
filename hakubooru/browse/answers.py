"""Searches of the page: the ids that a search finds, in the order in which they are shown, and how to narrow it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Final

from hakubooru.errors import InputError, SearchError
from hakubooru.select.danbooru import caveats, parse
from hakubooru.select.danbooru.grammar import Name, Query, Term, all_of
from hakubooru.select.danbooru.grammar import without as negated
from hakubooru.select.danbooru.metatags import Metatag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hakubooru.arrays import Ids
    from hakubooru.selection import Selection
    from hakubooru.store.joined import JoinedColumn

    Joined = Mapping[str, JoinedColumn]

A_PAGE: Final = 60
"""How many posts a page has."""


@dataclass(frozen=True)
class Answer:
    """The posts that a search finds."""

    ids: Ids
    """The posts, (N,) int64, in the order in which they are shown."""
    notes: tuple[str, ...] = ()
    """How the search differs from Danbooru's, one sentence each."""
    is_cut: bool = False
    """Whether the search takes only some of the posts that match, so that a narrower one finds others, too."""

    def page(self, start: int) -> Ids:
        """The ids of a page, which begins with post number `start`."""
        return self.ids[start : start + A_PAGE]


class Searches:
    """Runs searches, one at a time, so that two tabs do not read the same columns twice."""

    def __init__(self) -> None:
        self._lock = Lock()

    def answer(self, text: str, selection: Selection) -> Answer:
        """Search in a selection; without an order in the search, the newest posts come first.

        Raises:
            InputError: the search cannot be read or answered; the message shows the place.
        """
        query = parse(text, selection.database.joined_columns)
        with self._lock:
            ids = selection.search(text).to_ids()
        if query.order is None and query.limit is None and query.random is None:
            ids = ids[::-1]
        return Answer(ids, tuple(caveats(query)), query.limit is not None or query.random is not None)


def mistake_of(error: InputError) -> tuple[str, str]:
    """Split the message of an error into its sentence and the lines that show the place in the search."""
    sentence, _, place = str(error).partition("\n")
    return sentence, place if isinstance(error, SearchError) else ""


def narrowed(text: str, term: str, joined: Joined) -> str:
    """A search for the posts of another search that match a term too.

    An order, and the opposite of the term, are replaced.

    Args:
        text: the search.
        term: the term.
        joined: the columns of joined files by their names, which are metatags too.
    """
    try:
        query = parse(text, joined)
        added = parse(term, joined)
    except SearchError:
        return f"{text} {term}".strip()
    if added.order is not None:
        return str(dataclasses.replace(query, order=added.order))
    others = [part for part in query.terms if part not in (added.condition, negated(added.condition))]
    return str(dataclasses.replace(query, condition=all_of([*others, added.condition])))


def without(query: Query, term: Term) -> str:
    """A search without one of its terms."""
    return str(dataclasses.replace(query, condition=all_of(part for part in query.terms if part != term)))


@dataclass(frozen=True)
class Chip:
    """A term of a search, and the search without it."""

    words: str
    rest: str


def chips(text: str, joined: Joined) -> list[Chip]:
    """The terms that a search joins, each with the search that is left without it; [] for a wrong search."""
    try:
        query = parse(text, joined)
    except SearchError:
        return []
    terms = [Chip(str(part), without(query, part)) for part in query.terms]
    closing = {
        f"order:{query.order}": dataclasses.replace(query, order=None),
        f"limit:{query.limit}": dataclasses.replace(query, limit=None),
        f"random:{query.random}": dataclasses.replace(query, random=None),
    }
    return terms + [Chip(words, str(rest)) for words, rest in closing.items() if rest != query]


def term_of(tag: str) -> str:
    """The term of a search that means the tag of a name, and nothing else."""
    if _reads_as(tag, Name(tag)):
        return tag
    quoted = Metatag("unaliased", tag, quoted=True)
    assert _reads_as(str(quoted), quoted)
    return str(quoted)


def _reads_as(text: str, term: Term) -> bool:
    try:
        return parse(text).condition == term
    except SearchError:
        return False
