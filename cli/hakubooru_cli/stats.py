"""`hakubooru stats`: count posts by rating, year, quality, size, aspect ratio and tag."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

import hakubooru as hb
from hakubooru_cli.options import Choice, QueryCommand, selection_options

_BAR = 30


@click.command(cls=QueryCommand)
@selection_options
@click.option(
    "--top", type=click.IntRange(min=0), default=10, show_default=True, help="How many tags of each type."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def stats(choice: Choice, *, top: int, as_json: bool) -> None:
    """Count posts by rating, year, quality, size and aspect-ratio bucket, and show the most common tags.

    Quality labels are those of the recipe's captions, or else of kohaku-epsilon.
    """
    shape = (choice.recipe and choice.recipe.caption) or "kohaku-epsilon"
    with hb.open(choice.file) as database:
        counted = choice.select(database).stats(caption=shape, top=top)
    if as_json:
        click.echo(json.dumps(asdict(counted)))
    else:
        click.echo(stats_text(counted))


def stats_text(stats: hb.Stats) -> str:
    """Return statistics as lines of text: a section for each kind of count, a bar for each share."""
    sections = {name.replace("_", " "): counts for name, counts in asdict(stats).items() if name != "posts"}
    sections |= {f"{kind} tags": counts for kind, counts in sections.pop("tags").items()}
    lines = [f"{stats.posts:,} posts"]
    for title, counts in sections.items():
        if not counts:
            continue
        lines += ["", title]
        width = max(map(len, counts))
        for name, count in counts.items():
            share = count / max(1, stats.posts)
            lines.append(
                f"  {name:<{width}}  {count:>12,}  {share:>6.1%}  {'#' * round(_BAR * share)}".rstrip()
            )
    return "\n".join(lines)
