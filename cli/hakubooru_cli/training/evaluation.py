"""`hakubooru-train evaluate`: measure whether a model knows its characters, and compare two models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hakubooru_cli.training.common import as_rank, checking, need, printing
from hakubooru_cli.training.model import check_strength, strength

if TYPE_CHECKING:
    from hakubooru_trainer.evaluate.options import EvaluationOptions

NEEDED: Final = ("onnxruntime", "huggingface_hub")
"""The import names of the packages that the extra `evaluate` installs."""
_path = click.Path(path_type=Path)


def _keys() -> str:
    from hakubooru_trainer.evaluate.options import help_text  # noqa: PLC0415 - --help answers at once

    return help_text()


@click.command()
@click.argument("model", metavar="[MODEL]", type=_path, required=False)
@click.option("--lokr", metavar="FILE", type=_path, help="A LoKr that `run` wrote.")
@strength
@click.option("--db", "database", metavar="FILE", type=_path, help="The metadata database.")
@click.option(
    "--images",
    metavar="DIR",
    multiple=True,
    help="A folder of archives or images, where references are looked for; give one or more.",
)
@click.option("--out", metavar="DIR", type=_path, help="The folder for pictures, scores and report.")
@click.option(
    "--characters",
    metavar="N|FILE",
    help="How many characters, those with the most solo posts [default: 3600]; or a file with one on each line.",
)
@click.option(
    "--manifest",
    metavar="EXPORT",
    type=_path,
    help="The export that the model was trained on, for the popularity of characters.",
)
@click.option("--config", metavar="FILE", type=_path, help="A TOML file with options; see --help-config.")
@click.option(
    "--compare",
    metavar="A B",
    nargs=2,
    type=_path,
    help="Compare the evaluations in two folders, paired by character; nothing is drawn.",
)
@printing("--help-config", _keys, "Show every key of the TOML file with its default.")
def evaluate(
    model: Path | None,
    *,
    lokr: Path | None,
    scale: float,
    database: Path | None,
    images: tuple[str, ...],
    out: Path | None,
    characters: str | None,
    manifest: Path | None,
    config: Path | None,
    compare: tuple[Path, Path] | None,
) -> None:
    """Measure whether MODEL knows its characters.

    MODEL is a diffusers folder or a checkpoint. The command draws pictures of each character and judges by CCIP whether they show it, beside references from the archives. If
    it is interrupted, run the same command again to resume it. For several GPUs, start it with torchrun: `torchrun
    --nproc-per-node N -m hakubooru_cli.train evaluate …`.
    """
    if compare is not None:
        if model is not None or images or out is not None:
            raise click.UsageError(
                "--compare reads two evaluations and draws nothing; leave MODEL and the rest out"
            )
        from hakubooru_trainer.evaluate.comparison import compare as compare_folders  # noqa: PLC0415

        click.echo(str(compare_folders(*compare)))
        return
    if model is None or database is None or not images or out is None:
        raise click.UsageError("evaluate needs MODEL, --db, --images and --out; or --compare A B")
    check_strength(scale, lokr)
    need(NEEDED, "evaluate", "train,evaluate")
    options, names = _checked(
        model, lokr=lokr, database=database, out=out, characters=characters, config=config
    )
    with as_rank():
        from hakubooru_trainer.evaluate.evaluation import Task, evaluate_model  # noqa: PLC0415 - torch takes seconds

        task = Task(
            model=model,
            lokr=lokr,
            database=database,
            images=images,
            out=out,
            options=options,
            names=names,
            manifest=manifest,
            scale=scale,
        )
        outcome = evaluate_model(task, lambda text: click.echo(text, err=True))
    if outcome is not None:
        click.echo(str(outcome))


def _checked(
    model: Path, *, lokr: Path | None, database: Path, out: Path, characters: str | None, config: Path | None
) -> tuple[EvaluationOptions, list[str] | None]:
    """Read the options and the list of characters, and check that the files are there, before torch is imported."""
    from hakubooru_trainer.config import paths  # noqa: PLC0415 - only training commands need it
    from hakubooru_trainer.evaluate.characters import read_names  # noqa: PLC0415
    from hakubooru_trainer.evaluate.options import EvaluationOptions, load  # noqa: PLC0415

    options, names = EvaluationOptions(), None
    with checking() as problems:
        if config is not None:
            with problems.collecting():
                options = load(config)
        if characters is not None and characters.isdecimal():
            with problems.collecting():
                options = replace(options, characters=replace(options.characters, count=int(characters)))
        elif characters is not None:
            with problems.collecting():
                names = read_names(Path(characters))
        options = replace(options, model=replace(options.model, path=str(model)))
        paths.check_model(options.model, problems)
        if lokr is not None:
            paths.check_file(lokr, problems)
        if not database.is_file():
            problems.add(f"--db {database} is not a file; name a metadata database")
        paths.check_folder("--out", str(out), problems)
    return options, names
