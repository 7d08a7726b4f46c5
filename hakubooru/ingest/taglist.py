"""Read lists of tags, of tag aliases and of tag implications, in any form that posts may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hakubooru.errors import DumpError
from hakubooru.ingest.batches import Batch, Where
from hakubooru.ingest.dumps import find_dumps
from hakubooru.ingest.sets import unknown_keys
from hakubooru.store.sites import E621, TAG_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hakubooru.store.sites import Site

HEADLESS: Final = ("name", "category", "count", "aliases")
"""The columns of a CSV without a line of headings, as tagcomplete writes them."""

_NAME, _CATEGORY, _ALIASES = ("name", "tag", "key"), ("category", "type"), ("aliases", "alias")
_PAIR: Final = ("antecedent_name", "consequent_name")
_ACTIVE: Final = ("active", "processing", "queued")
_OF_OTHERS: Final = {"is_ambiguous": "gelbooru", "ambiguous": "another booru"}
"""Columns that only lists of one site have. Where their categories are numbers, too, some mean other types."""
_MERGED_FROM, _MERGED_TO = 7, 15
"""The categories of e621's tags in lists that hold Danbooru's too: e621's own plus 7."""
_LARGEST_ID: Final = 2**31


@dataclass(frozen=True, slots=True)
class KnownTag:
    """A tag of a list of tags."""

    name: str
    type: int
    """The number of its type in the file."""
    id: int | None = None
    """The site's id of the tag; None if the list has no ids."""
    aliases: tuple[str, ...] = ()
    """Other names of the tag."""


@dataclass(frozen=True, slots=True)
class KnownPair:
    """Two tags of which one leads to the other."""

    antecedent: str
    consequent: str
    is_alias: bool
    """Whether the first is another name of the second; else a post with the first has the second too."""


def read_tag_list(path: Path, site: Site) -> Iterator[KnownTag | KnownPair]:
    """Iterate over the tags of a list, or over the pairs of a list of aliases or implications.

    Args:
        path: tags with `name` (or `tag`) and `category` (or `type`), and perhaps `id` and `aliases`; or pairs with
            `antecedent_name` and `consequent_name`, in a file whose name says which. A CSV of tags may lack headings.
        site: the site whose numbers the categories are.

    Raises:
        DumpError: the file is none of these, or one of its tags is not valid.
    """
    for dump in find_dumps([path]):
        for batch in dump.batches(sorted, headless=HEADLESS):
            if not isinstance(batch, Batch):
                reason = batch.reason or "a tag must be an object with a name and a category"
                raise _refusal(Where(str(path), batch.unit, batch.number), reason)
            yield from _read(path, batch, site)


def _read(path: Path, batch: Batch, site: Site) -> Iterator[KnownTag | KnownPair]:
    if set(_PAIR) <= batch.keys():
        yield from _pairs(path, batch)
        return
    names, categories = _first(batch, _NAME), _first(batch, _CATEGORY)
    if names is None or categories is None:
        raise DumpError(
            f"{path} is not a list of tags: it has {unknown_keys(batch.keys())}, and must have name and category, or "
            "antecedent_name and consequent_name"
        )
    for column in sorted(_OF_OTHERS.keys() & batch.keys()):
        if (name := _OF_OTHERS[column]) != site.name:
            raise DumpError(
                f"{path} is a list of {name}'s tags (it has the column {column}), and the posts are of {site.name}: name a list "
                f"of {site.name}'s tags"
            )
    nothing = [None] * len(batch)
    ids, aliases = batch.column("id") or nothing, _first(batch, _ALIASES) or nothing
    for place, (name, category, number, others) in enumerate(
        zip(names, categories, ids, aliases, strict=True)
    ):
        try:
            yield KnownTag(_name(name), _type(category, site), _id(number), _listed(others))
        except ValueError as error:
            raise _refusal(batch.where(place)._replace(name=str(path)), error) from error


def _pairs(path: Path, batch: Batch) -> Iterator[KnownPair]:
    title = path.name.lower()
    if ("alias" in title) == ("implication" in title):
        raise DumpError(
            f"{path} has pairs of tags, and its name does not say of what: name it tag_aliases… or tag_implications…"
        )
    antecedents, consequents = (batch.column(key) or [] for key in _PAIR)
    states = batch.column("status") or ["active"] * len(batch)
    for place, (antecedent, consequent, state) in enumerate(
        zip(antecedents, consequents, states, strict=True)
    ):
        if state in _ACTIVE:
            try:
                yield KnownPair(_name(antecedent), _name(consequent), "alias" in title)
            except ValueError as error:
                raise _refusal(batch.where(place)._replace(name=str(path)), error) from error


def _first(batch: Batch, keys: Sequence[str]) -> Sequence[Any] | None:
    return next((values for key in keys if (values := batch.column(key)) is not None), None)


def _name(value: object) -> str:
    if not isinstance(value, str) or not value or " " in value:
        raise ValueError(f"{str(value)[:100]!r} is not a tag name: it must not be empty or have spaces")
    return value


def _id(value: object) -> int | None:
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if number is None:
        return None
    if type(number) is not int or not 0 < number < _LARGEST_ID:
        raise ValueError(f"id is {value!r}, and must be a positive whole number")
    return number


def _type(category: object, site: Site) -> int:
    text = str(category)
    if site.name == "danbooru" and text.isdecimal() and _MERGED_FROM <= int(text) <= _MERGED_TO:
        return E621.type_of_category(int(text) - _MERGED_FROM)
    if text in TAG_TYPES and text in site.tag_types:
        return TAG_TYPES.index(text)
    return site.type_of_category(category)


def _listed(value: object) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(filter(None, (str(name).strip() for name in names)))


def _refusal(where: Where, error: object) -> DumpError:
    return DumpError(f"{where}: {error}; correct it, or leave it out")
