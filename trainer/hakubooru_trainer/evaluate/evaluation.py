"""An evaluation from its first to its last step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from platformdirs import user_cache_path

import hakubooru as hb
from hakubooru.engine.tag_counts import count_tags
from hakubooru.errors import DestinationError, InputError
from hakubooru.export.manifest import MANIFEST, read_manifest
from hakubooru.image.sources import find_archives
from hakubooru.quantity import quantity
from hakubooru_trainer import distributed
from hakubooru_trainer.distributed import Ranks
from hakubooru_trainer.evaluate import characters, conditions, licences, references, report, results
from hakubooru_trainer.evaluate.catalogue import Catalogue
from hakubooru_trainer.evaluate.ccip import Ccip
from hakubooru_trainer.evaluate.characters import Casting
from hakubooru_trainer.evaluate.conditions import Conditions
from hakubooru_trainer.evaluate.drawing import ModelDrawer, draw_missing
from hakubooru_trainer.evaluate.extraction import Extractor
from hakubooru_trainer.evaluate.pictures import Picture, Wording, pictures_of
from hakubooru_trainer.evaluate.report import Figures, Looks
from hakubooru_trainer.evaluate.scores import bootstrap
from hakubooru_trainer.evaluate.tagger import Tagger
from hakubooru_trainer.lock import locked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hakubooru.arrays import Ids
    from hakubooru_trainer.evaluate.drawing import Drawer
    from hakubooru_trainer.evaluate.licences import Licence
    from hakubooru_trainer.evaluate.options import EvaluationOptions
    from hakubooru_trainer.evaluate.references import References

_CACHE: Final = "features.db"
"""The name of both catalogues: of references, in the cache, and of pictures, in the evaluation's folder."""


@dataclass(frozen=True)
class Task:
    """What is evaluated, and with what."""

    model: Path
    """The model's file or folder."""
    lokr: Path | None
    """The adapter's file."""
    database: Path
    """The metadata database."""
    images: Sequence[str]
    """Where the images of references lie."""
    out: Path
    """The evaluation's folder."""
    options: EvaluationOptions
    names: Sequence[str] | None = None
    """The characters; None chooses those with the most solo posts."""
    manifest: Path | None = None
    """The export that the model was trained on."""
    scale: float = 1.0
    """The share of the adapter's change."""


@dataclass(frozen=True)
class Outcome:
    """The figures of an evaluation, and its page."""

    figures: Figures
    characters: int
    """How many characters have a score."""
    page: Path

    def __str__(self) -> str:
        figures = self.figures
        lines = [
            f"score    {figures.score}, by {quantity(self.characters, 'character')}",
            f"ceiling  {figures.ceiling}: references beside others of their character",
            f"floor    {figures.floor}: references beside another character's",
        ]
        if figures.sightings:
            lines.append(f"tags     {figures.tags}: the prompts' tags that the tagger sees")
        if figures.without:
            some = ", ".join(figures.without[:5]) + (" …" if len(figures.without) > 5 else "")
            lines.append(
                f"{quantity(len(figures.without), 'character has', 'characters have')} no reference in the archives: {some}"
            )
        if figures.unreadable:
            lines.append(f"left out: {quantity(figures.unreadable, 'reference')} that could not be decoded")
        return "\n".join([*lines, str(self.page)])


def evaluate(
    task: Task, begin: Callable[[], Drawer], ranks: Ranks, say: Callable[[str], None]
) -> Outcome | None:
    """Evaluate a model, or take up an evaluation that was interrupted.

    The first rank chooses characters and references, and judges; all ranks draw.

    Args:
        task: what is evaluated.
        begin: gives what draws the pictures; loading a model takes a while, so what is wrong elsewhere is said before.
        ranks: the processes that share the drawing.
        say: is called with sentences on the way.

    Returns:
        The figures; None on other ranks than the first.

    Raises:
        InputError: something in the task is wrong or missing.
        IncompleteError: an archive cannot be read, or the disk is full.
    """
    task.out.mkdir(parents=True, exist_ok=True)
    wording = Wording(task.options.prompts)
    if not ranks.first:
        drawer = begin()
        ranks.wait()
        _draw(task, wording, drawer, ranks, say)
        return None
    ccip = Ccip(task.options.score.model, say)
    tagger = Tagger(task.options.tags, say) if task.options.tags.model else None
    with (
        locked(task.out, "--out"),
        hb.open(task.database) as database,
        Catalogue(cache_file(task.options)) as catalogue,
    ):
        casting = Casting(database, task.options, task.names)
        if task.names is None and len(casting.cast.characters) < task.options.characters.count:
            say(_fewer(casting, task.options))
        trained = _trained(task.manifest, database, casting) if task.manifest else None
        study = _Study(
            task, casting, wording, ccip, tagger, catalogue, _gathered(task, casting, ccip, catalogue)
        )
        drawer = begin()
        kept = study.begun(drawer)
        ranks.wait()
        batches = _draw(task, wording, drawer, ranks, say)
        return study.judged(batches, kept, trained)


def evaluate_model(task: Task, say: Callable[[str], None]) -> Outcome | None:
    """Evaluate a model from disk, on a GPU if there is one, as one of the ranks that torchrun started or alone.

    Args:
        task: what is evaluated.
        say: is called with sentences on the way.

    Returns:
        The figures; None on other ranks than the first.

    Raises:
        InputError: something in the task is wrong or missing.
        IncompleteError: an archive cannot be read, or the disk is full.
    """
    options = task.options
    with distributed.telling():
        device = _device()
        with Ranks(device) as ranks:

            def begin() -> ModelDrawer:
                return ModelDrawer(options.model, task.lokr, options.drawing, device, task.scale)

            return evaluate(task, begin, ranks, say)


def _device() -> torch.device:
    """The GPU of this rank, or the CPU of a machine without any.

    Raises:
        InputError: torchrun started more processes than there are GPUs.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    number, count = distributed.local_rank(), torch.cuda.device_count()
    if number >= count:
        raise InputError(
            f"torchrun started a process for GPU {number + 1} of this machine, and torch sees {count}; start it with "
            f"--nproc-per-node {count}"
        )
    device = torch.device("cuda", number)
    torch.cuda.set_device(device)
    return device


def cache_file(options: EvaluationOptions) -> Path:
    """The file that the features of references are kept in."""
    if options.references.cache:
        return Path(options.references.cache).expanduser() / _CACHE
    return user_cache_path("hakubooru") / "evaluate" / _CACHE


def _fewer(casting: Casting, options: EvaluationOptions) -> str:
    return (
        f"only {len(casting.cast.characters):,} of {quantity(options.characters.count, 'character')} have "
        f"{quantity(options.characters.images, 'post')} with an image that match {options.references.query!r}; the evaluation is of these"
    )


def _gathered(task: Task, casting: Casting, ccip: Ccip, catalogue: Catalogue) -> References:
    options = task.options
    archives = find_archives(task.images, skip=task.out)
    names = [one.name for one in casting.cast.characters]
    with Extractor[int](ccip, catalogue, options.score.batch) as extractor:
        return references.gather(
            dict(zip(names, casting.candidates, strict=True)),
            archives,
            extractor,
            options.references.count,
        )


def _draw(
    task: Task, wording: Wording, drawer: Drawer, ranks: Ranks, say: Callable[[str], None]
) -> list[list[Picture]]:
    cast = characters.read_cast(task.out / characters.FILE)
    batches = pictures_of(cast.characters, wording, task.options.drawing)
    draw_missing(batches, task.out, drawer, ranks, say)
    ranks.wait()
    return batches


def _trained(manifest: Path, database: hb.Database, casting: Casting) -> dict[str, int]:
    """How many posts of each character an export holds."""
    folder = manifest.parent if manifest.name == MANIFEST else manifest
    if not (folder / MANIFEST).is_file():
        raise DestinationError(f"{folder} has no {MANIFEST}; name the folder of an export with --manifest")
    rows = read_manifest(folder, ("id", "status"), 100_000)
    posts: Ids = np.array(
        [row["id"] for some in rows for row in some if row["status"] == "exported" and row["id"] is not None],
        np.int64,
    )
    return casting.of_each(count_tags(database, posts))


@dataclass(frozen=True)
class _Study:
    """What the first rank of an evaluation knows."""

    task: Task
    casting: Casting
    wording: Wording
    ccip: Ccip
    tagger: Tagger | None
    catalogue: Catalogue
    references: References

    def begun(self, drawer: Drawer) -> Conditions:
        """Write what the evaluation is of into its folder, or check that it is what the folder's evaluation is of."""
        task, cast = self.task, self.casting.cast
        settings = conditions.settings_of(
            task.options,
            self.wording,
            cast=cast.fingerprint,
            references=self.references.fingerprint,
            network=self.ccip.fingerprint,
            threshold=self.ccip.threshold,
        )
        about = {
            "model": str(task.model),
            "lokr": str(task.lokr or "") + f" at {task.scale:g}" * (task.scale != 1),
            "judge": self.ccip.files.name,
            "asked": conditions.asked_of(task.options, is_listed=task.names is not None),
            "licences": [one._asdict() for one in self._licences()],
        }
        drawn = {
            "by": drawer.identity,
            "tokens": drawer.tokens,
            "drawing.batch": task.options.drawing.batch,
        }
        kept = Conditions(settings, drawn, about)
        conditions.keep(task.out, kept)
        cast.write(task.out / characters.FILE)
        self.references.write(task.out / references.FILE)
        return kept

    def judged(
        self, batches: list[list[Picture]], kept: Conditions, trained: Mapping[str, int] | None
    ) -> Outcome:
        """Judge the pictures, and write scores and page."""
        task, chosen, ccip = self.task, self.references, self.ccip
        options, seed = task.options, task.options.characters.seed
        with Catalogue(task.out / _CACHE) as own:
            with Extractor[Picture](ccip, own, options.score.batch) as extractor:
                digests = results.digests_of(batches, task.out, extractor, "judging")
            features = {
                **self.catalogue.features(ccip.fingerprint, chosen.digests),
                **own.features(ccip.fingerprint, list(digests.values())),
            }
            seen = self._seen(batches, own) if self.tagger else None
        rows = results.judged(
            self.casting.cast.characters,
            chosen,
            digests,
            features,
            ccip,
            seed=seed,
            trained=trained,
            seen=seen,
        )
        columns = {
            "score": [row.score.score for row in rows],
            "difference": [row.score.difference for row in rows],
            "ceiling": [row.score.ceiling for row in rows],
            "floor": [row.score.floor for row in rows],
            "tags": [np.nan if row.tags is None else row.tags for row in rows],
        }
        figures = Figures(
            **{
                name: bootstrap(np.array(column), options.score.resamples, seed)
                for name, column in columns.items()
            },
            sightings=results.sightings(seen) if seen else [],
            without=[name for name, some in chosen.by_character.items() if not some],
            unreadable=len(chosen.unreadable),
        )
        results.write_rows(task.out / results.FILE, rows, {"hakubooru.fingerprint": kept.fingerprint})
        report.write(task.out, figures, rows, kept, Looks(chosen, self.catalogue))
        return Outcome(figures, len(rows), task.out / report.FILE)

    def _seen(self, batches: list[list[Picture]], own: Catalogue) -> dict[Picture, dict[str, bool]]:
        """Whether the tagger sees each tag of each picture."""
        assert self.tagger is not None
        with Extractor[Picture](self.tagger, own, self.task.options.score.batch) as extractor:
            digests = results.digests_of(batches, self.task.out, extractor, "tagging")
        probabilities = own.features(self.tagger.fingerprint, list(digests.values()))
        return {
            picture: self.tagger.seen(picture, probabilities[digest]) for picture, digest in digests.items()
        }

    def _licences(self) -> list[Licence]:
        task, files = self.task, self.ccip.files
        terms = [licences.of_weights(task.model, "draws the pictures")]
        if task.lokr is not None:
            terms.append(licences.of_weights(task.lokr, "its adapter"))
        terms.append(licences.of_network(files.name, files.repository, "judges the pictures"))
        if self.tagger is not None:
            files = self.tagger.files
            terms.append(licences.of_network(files.name, files.repository, "tags the pictures"))
        return terms
