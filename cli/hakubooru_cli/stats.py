"""`hakubooru stats`: count posts by rating, year, quality, size, aspect ratio and tag."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

import hakubooru as hb
from hakubooru_cli.options import Choice, selection_options
from hakubooru_cli.query_command import QueryCommand


@click.command(cls=QueryCommand)
@selection_options
@click.option(
    "--top", type=click.IntRange(min=0), default=10, show_default=True, help="How many tags of each type."
)
@click.option(
    "--plot", metavar="FILE", type=click.Path(), help="Draw charts into this file: .png, .svg or .pdf."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def stats(choice: Choice, *, top: int, plot: str | None, as_json: bool) -> None:
    """Count posts by rating, year, quality, size, bucket and tag.

    Buckets are the sizes that a training run resizes images to. Quality labels are those of the recipe's captions, or else of kohaku-epsilon.
    """
    shape = (choice.recipe and choice.recipe.caption) or "kohaku-epsilon"
    with hb.open(choice.file) as database:
        counted = choice.select(database).stats(caption=shape, top=top)
    if plot:
        counted.save_plot(plot)
    if as_json:
        click.echo(json.dumps(asdict(counted)))
    else:
        click.echo(str(counted))
