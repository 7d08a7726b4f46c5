"""The results of an evaluation: judging the pictures, and `scores.parquet`, a row for each character."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from hakubooru.errors import IncompleteError, InputError
from hakubooru.files import replacing
from hakubooru.progress import progress
from hakubooru_trainer.evaluate.extraction import Source
from hakubooru_trainer.evaluate.scores import CharacterScore, character_score, partners

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from hakubooru_trainer.evaluate.ccip import Ccip
    from hakubooru_trainer.evaluate.characters import Character
    from hakubooru_trainer.evaluate.extraction import Extractor
    from hakubooru_trainer.evaluate.pictures import Picture
    from hakubooru_trainer.evaluate.references import References
    from hakubooru_trainer.randomness import Floats

FILE: Final = "scores.parquet"


@dataclass(frozen=True)
class Row:
    """A character's row of the results."""

    character: Character
    trained: int | None
    """How many of the character's posts the model was trained on; None if that is not known."""
    references: int
    """How many references the character has."""
    pictures: tuple[Picture, ...]
    score: CharacterScore
    tags: float | None = None
    """The share of the prompts' tags that a tagger sees in the pictures; None if none was asked."""

    @property
    def posts(self) -> int:
        """The character's popularity: its posts in the training data, or else its solo posts in the database."""
        return self.character.solo if self.trained is None else self.trained

    def as_dict(self) -> dict[str, Any]:
        """The row of `scores.parquet`."""
        return {
            "character": self.character.name,
            "solo": self.character.solo,
            "trained": self.trained,
            "references": self.references,
            "score": self.score.score,
            "difference": self.score.difference,
            "ceiling": _known(self.score.ceiling),
            "floor": _known(self.score.floor),
            "best": self.pictures[self.score.best].path,
            "best_score": self.score.pictures[self.score.best],
            "worst": self.pictures[self.score.worst].path,
            "worst_score": self.score.pictures[self.score.worst],
            "tags": self.tags,
        }


@dataclass(frozen=True)
class Sighting:
    """How often prompts asked for a tag, and how often the tagger saw it."""

    tag: str
    asked: int
    seen: int


def digests_of(
    batches: Sequence[Sequence[Picture]], out: Path, extractor: Extractor[Picture], work: str
) -> dict[Picture, str]:
    """Put the features of pictures into a catalogue, and return the SHA-256 that each has there.

    Args:
        batches: the pictures.
        out: the evaluation's folder.
        extractor: computes the features.
        work: a word for the work, for its progress bar.

    Raises:
        IncompleteError: a picture cannot be decoded.
    """
    pictures = [picture for batch in batches for picture in batch]

    def sources() -> Iterator[Source[Picture]]:
        with progress(pictures, desc=work, unit=" pictures") as bar:
            for picture in bar:
                yield Source(picture, (out / picture.path).read_bytes(), shown=False)

    digests = {}
    for one in extractor.run(sources()):
        if one.reason:
            raise IncompleteError(
                f"{out / one.key.path} cannot be decoded ({one.reason}); remove it and run the same command again"
            )
        digests[one.key] = one.sha256
    return digests


def judged(
    characters: Sequence[Character],
    references: References,
    digests: Mapping[Picture, str],
    features: Mapping[str, Floats],
    ccip: Ccip,
    *,
    seed: int,
    trained: Mapping[str, int] | None,
    seen: Mapping[Picture, Mapping[str, bool]] | None = None,
) -> list[Row]:
    """Score the characters that have references.

    Args:
        characters: the characters.
        references: their references.
        digests: the pictures with the SHA-256 of their files.
        features: the features of pictures and references, by the SHA-256 of their files.
        ccip: judges whether two images show one character.
        seed: chooses the other character of each character's floor.
        trained: how many posts of each character the model was trained on; None if that is not known.
        seen: whether a tagger saw each tag of a picture; None if none was asked.
    """
    of_character: dict[int, list[Picture]] = {}
    for picture in sorted(digests, key=lambda one: (one.place, one.number)):
        of_character.setdefault(picture.place, []).append(picture)
    known = [place for place, one in enumerate(characters) if references.by_character.get(one.name)]
    names = [characters[place].name for place in known]
    rows = []
    for place, partner in zip(known, partners(len(known), seed).tolist(), strict=True):
        one, pictures = characters[place], of_character[place]
        own = [reference.sha256 for reference in references.by_character[one.name]]
        partners_own = references.by_character[names[partner]] if partner >= 0 else []
        # An image that shows both of them says nothing of how they differ.
        other = [reference.sha256 for reference in partners_own if reference.sha256 not in own]
        order = [*(digests[picture] for picture in pictures), *own, *other]
        differences = ccip.differences(np.stack([features[digest] for digest in order]))
        score = character_score(differences, len(pictures), len(own), ccip.threshold)
        count = None if trained is None else trained.get(one.name, 0)
        flags = [flag for picture in pictures for flag in seen[picture].values()] if seen else []
        tags = sum(flags) / len(flags) if flags else None
        rows.append(Row(one, count, len(own), tuple(pictures), score, tags))
    return rows


def sightings(seen: Mapping[Picture, Mapping[str, bool]]) -> list[Sighting]:
    """Count how often a tagger saw each tag that prompts asked for; the tag most often asked for comes first."""
    asked, there = Counter[str](), Counter[str]()
    for flags in seen.values():
        asked.update(list(flags))  # by name: a mapping would add its values
        there.update(tag for tag, flag in flags.items() if flag)
    ranked = sorted(asked.items(), key=lambda pair: (-pair[1], pair[0]))
    return [Sighting(tag, count, there[tag]) for tag, count in ranked]


def write_rows(path: Path, rows: Sequence[Row], metadata: Mapping[str, str]) -> None:
    """Write the results as Parquet, in the order of the characters, with texts in the file's metadata."""
    schema = pa.schema(
        [
            pa.field("character", pa.string(), nullable=False),
            pa.field("solo", pa.int64(), nullable=False),
            pa.field("trained", pa.int64()),
            pa.field("references", pa.int64(), nullable=False),
            pa.field("score", pa.float64(), nullable=False),
            pa.field("difference", pa.float64(), nullable=False),
            pa.field("ceiling", pa.float64()),
            pa.field("floor", pa.float64()),
            pa.field("best", pa.string(), nullable=False),
            pa.field("best_score", pa.float64(), nullable=False),
            pa.field("worst", pa.string(), nullable=False),
            pa.field("worst_score", pa.float64(), nullable=False),
            pa.field("tags", pa.float64()),
        ],
        metadata=dict(metadata),
    )
    with replacing(path) as beside:
        parquet.write_table(pa.Table.from_pylist([row.as_dict() for row in rows], schema), beside)


def read_scores(folder: Path) -> dict[str, float]:
    """The score of each character, from the results in an evaluation's folder.

    Raises:
        InputError: the folder has no results, or they are damaged.
    """
    path = folder / FILE
    try:
        table = parquet.read_table(path, columns=["character", "score"]).to_pydict()
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} has no scores ({error}); name the --out of an evaluation that ended"
        ) from error
    return dict(zip(table["character"], table["score"], strict=True))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
