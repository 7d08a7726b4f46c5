"""The characters of an evaluation: chosen from a database by their solo posts, with what a prompt says of each.

The choice depends on the database, the options and the seed alone; the file `characters.parquet` keeps it with its
fingerprint.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from hakubooru.arrays import distinct, integers, strings
from hakubooru.caption.words import PEOPLE
from hakubooru.engine.groups import tag_pairs
from hakubooru.engine.tag_counts import count_tags
from hakubooru.errors import InputError, UnknownTagError
from hakubooru.files import read_text, replacing
from hakubooru.fingerprint import of_json
from hakubooru.quantity import quantity
from hakubooru.select.sampling import keys
from hakubooru.store.schema import TAG_TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hakubooru import Database
    from hakubooru.arrays import Ids
    from hakubooru_trainer.evaluate.options import EvaluationOptions


FILE: Final = "characters.parquet"
_FINGERPRINT: Final = b"hakubooru.fingerprint"
_DESCRIBED: Final = 64
"""How many posts say which people and which series belong to a character."""
_TAG_BITS: Final = 31
_GENERAL, _CHARACTER, _COPYRIGHT = (TAG_TYPES.index(name) for name in ("general", "character", "copyright"))


@dataclass(frozen=True)
class Character:
    """A character that the model is asked for."""

    name: str
    """The character's tag."""
    solo: int
    """How many solo posts of the database have the tag."""
    images: int
    """How many posts with an image can be references."""
    people: tuple[str, ...]
    """The tags that count people (`1girl`) of at least half of those posts, the most common first."""
    series: tuple[str, ...]
    """The copyright tags of at least half of those posts, the most common first; else the most common one."""


@dataclass(frozen=True)
class Cast:
    """The characters of an evaluation."""

    characters: tuple[Character, ...]
    """The characters, the one with the most solo posts first."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that the prompts depend on: names, people and series, in order."""
        return of_json([[one.name, one.people, one.series] for one in self.characters])

    def write(self, path: Path) -> None:
        """Write the characters as Parquet, with the fingerprint in the metadata as `hakubooru.fingerprint`."""
        table = pa.table(
            {
                "character": strings([one.name for one in self.characters]),
                "solo": integers([one.solo for one in self.characters], pa.int64()),
                "images": integers([one.images for one in self.characters], pa.int64()),
                "people": strings([" ".join(one.people) for one in self.characters]),
                "series": strings([" ".join(one.series) for one in self.characters]),
            }
        ).replace_schema_metadata({_FINGERPRINT: self.fingerprint})
        with replacing(path) as beside:
            parquet.write_table(table, beside)


def read_cast(path: Path) -> Cast:
    """Read the characters that `Cast.write` wrote.

    Raises:
        InputError: the file is missing, damaged or changed.
    """
    try:
        table = parquet.read_table(path)
        rows = table.to_pylist()
        cast = Cast(
            tuple(
                Character(
                    row["character"],
                    row["solo"],
                    row["images"],
                    tuple(row["people"].split()),
                    tuple(row["series"].split()),
                )
                for row in rows
            )
        )
        is_whole = (table.schema.metadata or {}).get(_FINGERPRINT, b"").decode() == cast.fingerprint
    except (pa.ArrowException, OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"{path} is no list of characters ({error}); evaluate into a new folder") from error
    if not is_whole:
        raise InputError(f"{path} was changed after it was written; evaluate into a new folder")
    return cast


def read_names(path: Path) -> list[str]:
    """Read a list of characters from a text file: a tag a line, with underscores or blanks; lines with # are skipped.

    Raises:
        InputError: the file cannot be read, or has no character.
    """
    try:
        lines = [line.strip() for line in read_text(path).split("\n")]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read as a list of characters ({error}); write a text file in UTF-8 with one tag a line"
        ) from error
    names = [line.replace(" ", "_") for line in lines if line and not line.startswith("#")]
    if not names:
        raise InputError(f"{path} has no characters; write one tag a line, such as hatsune_miku")
    return list(dict.fromkeys(names))


class Casting:
    """Chooses the characters of an evaluation from a database, and the posts that can be references of each."""

    def __init__(
        self, database: Database, options: EvaluationOptions, names: Sequence[str] | None = None
    ) -> None:
        """Choose the characters.

        Args:
            database: the posts.
            options: the options of the evaluation.
            names: the characters' tags; None chooses those with the most solo posts.

        Raises:
            SearchError: the query of the references cannot be read or answered.
            UnknownTagError: the database lacks a character; the message names the nearest tags.
            InputError: a tag is no character, or too few characters have enough images.
        """
        self.database = database
        self.options = options
        self._posts: Ids = np.sort(database.posts.search(options.references.query).with_image().to_ids())
        solo = count_tags(database, database.posts.search("solo").to_ids())
        images = count_tags(database, self._posts)
        self._tag_ids = self._chosen(solo, images) if names is None else self._named(names)
        self.candidates = self._candidates()
        """The posts that can be references of each character, in the order of their keys, (N,) int64 each."""
        tags = self._names(self._tag_ids.tolist())
        people, series = self._descriptions()
        self.cast = Cast(
            tuple(
                Character(tags[tag], int(solo[tag]), int(images[tag]), people[place], series[place])
                for place, tag in enumerate(self._tag_ids.tolist())
            )
        )

    def of_each(self, counts: Ids) -> dict[str, int]:
        """The numbers of characters, by name, from numbers by the id of their tag, (T,)."""
        names = [one.name for one in self.cast.characters]
        return dict(zip(names, counts[self._tag_ids].tolist(), strict=True))

    def _chosen(self, solo: Ids, images: Ids) -> Ids:
        options = self.options.characters
        rows = self.database.rows("SELECT id, name FROM tag WHERE type = ?", [_CHARACTER])
        ranked = sorted(
            (-int(solo[tag]), name, tag)
            for tag, name in rows
            if images[tag] >= options.images and solo[tag] > 0
        )
        if not ranked:
            raise InputError(
                f"no character of {self.database.path} has {quantity(options.images, 'post')} with an image that match "
                f"{self.options.references.query!r}; set characters.images or references.query to less"
            )
        return np.array([tag for _, _, tag in ranked[: options.count]], np.int64)

    def _named(self, names: Sequence[str]) -> Ids:
        try:
            self.database.tags.check(names)
        except UnknownTagError as error:
            raise UnknownTagError(f"the list of characters: {error}") from error
        self.database.tags.check_types(dict.fromkeys(names, "character"))
        rows = self.database.rows(
            "SELECT name, id FROM tag WHERE name IN (SELECT value FROM json_each(?))", [json.dumps([*names])]
        )
        by_name = dict(rows)
        return np.array([by_name[name] for name in names], np.int64)

    def _candidates(self) -> list[Ids]:
        posts, tags = self._pairs(self._posts, self._tag_ids)
        order = np.lexsort((keys(posts, self.options.characters.seed), tags))
        posts, tags = posts[order], tags[order]
        starts = np.searchsorted(tags, self._tag_ids)
        ends = np.searchsorted(tags, self._tag_ids, side="right")
        return [posts[start:end] for start, end in zip(starts, ends, strict=True)]

    def _descriptions(self) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
        """People and series of each character, by the first of its candidates."""
        import pandas as pd  # noqa: PLC0415 - half a second that only joins need

        samples = [posts[:_DESCRIBED] for posts in self.candidates]
        sizes = np.array([len(some) for some in samples])
        frame = pd.DataFrame(
            {"post": np.concatenate(samples), "character": np.repeat(np.arange(len(samples)), sizes)}
        )
        marks = ", ".join("?" * len(PEOPLE))
        kinds = dict(
            self.database.rows(
                f"SELECT id, type FROM tag WHERE type = ? OR (type = ? AND name IN ({marks}))",
                [_COPYRIGHT, _GENERAL, *PEOPLE],
            )
        )
        posts: Ids = distinct(frame["post"].to_numpy())
        columns = zip(("post", "tag"), self._pairs(posts, np.array([*kinds], np.int64)), strict=True)
        pairs = pd.DataFrame(dict(columns))
        counts = frame.merge(pairs, on="post").groupby(["character", "tag"]).size().reset_index(name="posts")
        names = self._names(kinds)
        counts["name"] = [names[tag] for tag in counts["tag"]]
        counts = counts.sort_values(["posts", "name"], ascending=[False, True])
        people: list[tuple[str, ...]] = [()] * len(samples)
        series: list[tuple[str, ...]] = [()] * len(samples)
        for key, rows in counts.groupby("character", sort=False):
            character = int(str(key))
            is_series = [kinds[tag] == _COPYRIGHT for tag in rows["tag"]]
            is_usual = rows["posts"] * 2 >= sizes[character]
            usual, works = rows["name"][is_usual & ~np.array(is_series)], rows["name"][is_series]
            people[character] = tuple(usual)
            series[character] = tuple(works[is_usual]) or tuple(works[:1])
        return people, series

    def _pairs(self, posts: Ids, tags: Ids) -> tuple[Ids, Ids]:
        """The pairs of a post and a tag among some posts and tags, each pair once: posts and tags, (N,) each."""
        pieces = tag_pairs(self.database, posts, posts, tags)
        packed = [of_post << _TAG_BITS | of_tag for of_tag, of_post in pieces]
        pairs = distinct(np.concatenate([np.empty(0, np.int64), *packed]))
        return pairs >> _TAG_BITS, pairs & ((1 << _TAG_BITS) - 1)

    def _names(self, tags: Any) -> dict[int, str]:
        rows = self.database.rows(
            "SELECT id, name FROM tag WHERE id IN (SELECT value FROM json_each(?))", [json.dumps([*tags])]
        )
        return dict(rows)
