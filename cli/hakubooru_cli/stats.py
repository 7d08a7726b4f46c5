"""`hakubooru stats`: what posts are made of."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

import hakubooru as hb
from hakubooru_cli.options import Choice, QueryCommand, selection_options

_BAR = 30


@click.command(cls=QueryCommand)
@selection_options
@click.option("--top", type=click.IntRange(min=0), default=10, show_default=True, help="Tags of each type.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def stats(choice: Choice, *, top: int, as_json: bool) -> None:
    """Say what posts are made of: ratings, years, qualities, sizes, aspect-ratio buckets, and the commonest tags.

    Qualities are those of the recipe's captions, or of kohaku-epsilon.
    """
    shape = (choice.recipe and choice.recipe.caption) or "kohaku-epsilon"
    with hb.open(choice.file) as database:
        found = choice.select(database).stats(caption=shape, top=top)
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        click.echo(stats_text(found))


def stats_text(found: hb.Stats) -> str:
    """Statistics as lines of text: a section for each, a bar for each share."""
    sections = {name.replace("_", " "): counts for name, counts in asdict(found).items() if name != "posts"}
    sections |= {f"{kind} tags": counts for kind, counts in sections.pop("tags").items()}
    lines = [f"{found.posts:,} posts"]
    for title, counts in sections.items():
        if not counts:
            continue
        lines += ["", title]
        width = max(map(len, counts))
        for name, count in counts.items():
            share = count / max(1, found.posts)
            lines.append(
                f"  {name:<{width}}  {count:>12,}  {share:>6.1%}  {'#' * round(_BAR * share)}".rstrip()
            )
    return "\n".join(lines)
