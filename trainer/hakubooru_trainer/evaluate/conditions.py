"""`evaluation.json`: all that the score of an evaluation depends on, and what drew its pictures."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from hakubooru.errors import DestinationError, InputError
from hakubooru.files import write_text
from hakubooru.fingerprint import of_json
from hakubooru.settings import plain
from hakubooru.version import __version__
from hakubooru_trainer.evaluate import pictures, results
from hakubooru_trainer.evaluate.drawing import sampler_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hakubooru_trainer.evaluate.options import EvaluationOptions
    from hakubooru_trainer.evaluate.pictures import Wording

FILE: Final = "evaluation.json"
_VERSION: Final = 1
"""The version of the rules by which pictures are asked for and scored; two of different versions are not compared."""


@dataclass(frozen=True)
class Conditions:
    """What an evaluation is of."""

    settings: Mapping[str, Any]
    """All that two evaluations must have in common to be compared, by name."""
    drawn: Mapping[str, Any]
    """What the pictures' bits depend on beside the settings: the model, its adapter and tokenizers, the device, the size of a batch."""
    about: Mapping[str, Any]
    """What is only shown: the model's name, its licence, sources, and how characters and references were asked for."""

    @property
    def asked(self) -> Mapping[str, Any]:
        """How the characters and the references were asked for."""
        asked: Mapping[str, Any] = self.about.get("asked", {})
        return asked

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the settings."""
        return of_json(self.settings)


def settings_of(
    options: EvaluationOptions,
    wording: Wording,
    *,
    cast: str,
    references: str,
    network: str,
    threshold: float,
) -> dict[str, Any]:
    """The settings that two evaluations must have in common to be compared.

    Args:
        options: the options of the evaluation.
        wording: writes the prompts.
        cast: the fingerprint of the characters.
        references: the fingerprint of the references.
        network: the fingerprint of the model that judges.
        threshold: its threshold.
    """
    fields = asdict(sampler_of(options.drawing))
    sampler = {name: value for name, value in fields.items() if name not in {"width", "height", "seed"}}
    return {
        "version": _VERSION,
        "characters": cast,
        "references": references,
        "prompts.caption": plain(wording.format),
        "prompts.tags": list(options.prompts.tags),
        "drawing.images": options.drawing.images,
        "drawing.sizes": [list(size) for size in options.drawing.sizes()],
        **{f"drawing.{name}": value for name, value in sampler.items()},
        "score.model": network,
        "score.threshold": threshold,
    }


def asked_of(options: EvaluationOptions, *, is_listed: bool) -> dict[str, Any]:
    """How the characters and the references were asked for; it explains why those of two evaluations differ."""
    return {
        "hakubooru": __version__,
        "characters.count": "a list" if is_listed else options.characters.count,
        "characters.images": options.characters.images,
        "characters.seed": options.characters.seed,
        "references.query": options.references.query,
        "references.count": options.references.count,
    }


def keep(out: Path, conditions: Conditions) -> None:
    """Write the conditions of an evaluation. Those of the folder's evaluation must be the same, but for what is only shown.

    Raises:
        DestinationError: the folder holds another evaluation, or one that does not say of what it is; the message says how it
            differs.
    """
    path = out / FILE
    if not path.exists():
        if leftovers := [name for name in (pictures.FOLDER, results.FILE) if (out / name).exists()]:
            raise DestinationError(
                f"{out} has {' and '.join(leftovers)} and no {FILE}, which says what drew them; choose another folder with --out, "
                "or remove them"
            )
        _write(path, conditions)
        return
    before = read_conditions(out)
    drawn = {**conditions.drawn, **before.drawn}  # an earlier version may not have written all of it
    for name, then, now in (
        ("", before.settings, conditions.settings),
        ("drawn.", drawn, conditions.drawn),
    ):
        if changed := _differing(then, now):
            key = changed[0]
            raise DestinationError(
                f"{out} holds another evaluation: {', '.join(name + each for each in changed)} differ"
                f"{'s' * (len(changed) == 1)} ({name}{key} was {_short(then.get(key))} and is {_short(now.get(key))}); "
                "choose another folder with --out"
            )
    if before.about != conditions.about:
        _write(path, replace(before, about=conditions.about))


def read_conditions(folder: Path) -> Conditions:
    """Read the conditions of an evaluation.

    Raises:
        InputError: the folder holds no evaluation, or its record is damaged.
    """
    path = folder / FILE
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        conditions = Conditions(table["settings"], table["drawn"], table["about"])
        is_whole = table["fingerprint"] == conditions.fingerprint
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no record of an evaluation ({error}); name the --out of `hakubooru-train evaluate`"
        ) from error
    if not is_whole:
        raise InputError(f"{path} was changed after it was written; evaluate into a new folder")
    return conditions


def check_same(a: Path, b: Path) -> None:
    """Check that two evaluations can be compared.

    Raises:
        InputError: their settings differ; the message names all that do.
    """
    one, other = read_conditions(a), read_conditions(b)
    if _differing(one.settings, other.settings):
        differences = "; ".join(
            f"{key} is {_short(then.get(key))} in {a} and {_short(now.get(key))} in {b}"
            for then, now in ((one.settings, other.settings), (one.asked, other.asked))
            for key in _differing(then, now)
        )
        raise InputError(
            f"{a} and {b} cannot be compared, because they were evaluated differently: {differences}; evaluate both with "
            "the same options, characters and references"
        )


def _write(path: Path, conditions: Conditions) -> None:
    text = json.dumps({**asdict(conditions), "fingerprint": conditions.fingerprint}, indent=1)
    write_text(path, text + "\n")


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [key for key in {**one, **other} if one.get(key) != other.get(key)]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
