"""`hakubooru export`, `verify` and `sources`: pairs of image and caption, and where their images come from."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

import hakubooru as hb
from hakubooru.errors import IncompleteError
from hakubooru_cli.options import Choice, QueryCommand, selection_options

_NAMED = 3
"""Damaged archives of a kind that `sources` names."""


@click.command(cls=QueryCommand)
@selection_options
@click.option(
    "--images",
    metavar="DIR",
    multiple=True,
    type=click.Path(),
    help="A folder with tars or folders of images, anywhere below it. May be given more than once.",
)
@click.option(
    "--own",
    metavar="DIR",
    multiple=True,
    type=click.Path(),
    help="A folder of images of your own, each with its caption in .txt beside it; they join the posts.",
)
@click.option("--out", metavar="DIR", required=True, type=click.Path(), help="The folder to write to.")
@click.option(
    "--caption", metavar="FORMAT", help="How captions are written; the recipe's, or kohaku-epsilon."
)
@click.option(
    "--sink",
    type=click.Choice(
        ["folder", "webdataset", "imagefolder", "kohya-json", "kohya-json-relative", "captions"]
    ),
    help="Pairs of files; shards; images with one file of captions, for `datasets` or for sd-scripts (with absolute "
    "paths, or with paths below OUT); or captions alone. The recipe's, or folder.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes that read and write: one, or where images are decoded, one for each core.",
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    help="Processes of this machine; or a Ray cluster, whose nodes see all these places.",
)
@click.option(
    "--address",
    metavar="HOST:PORT",
    help="Of a running Ray cluster, or `auto` for this machine's; without it Ray is started here.",
)
@click.option("--prune", is_flag=True, help="Remove from OUT what is not selected any more.")
@click.option("--strict", is_flag=True, help="Fail if any selected post has no image.")
def export(
    choice: Choice,
    *,
    images: tuple[str, ...],
    own: tuple[str, ...],
    out: str,
    caption: str | None,
    sink: str | None,
    prune: bool,
    workers: int | None,
    engine: str,
    address: str | None,
    strict: bool,
) -> None:
    """Export images of posts with their captions, as pairs of files.

    OUT/manifest.parquet accounts for every selected post, OUT/rejects.jsonl for what was refused in the archives.
    Interrupted, the same command goes on where it stopped.
    """
    recipe = choice.recipe
    with hb.open(choice.file) as database:
        report = choice.select(database).export(
            out,
            images=images,
            own=own,
            caption=caption or (recipe and recipe.caption) or "kohaku-epsilon",
            image=recipe.image if recipe else None,
            output=recipe.output if recipe else None,
            sink=sink,
            prune=prune,
            workers=workers,
            engine=engine,
            address=address,
            strict=strict,
        )
    click.echo(str(report))


@click.command()
@click.argument("out", type=click.Path())
@click.option("--decode", is_flag=True, help="Decode every image too.")
@click.option("--repair", is_flag=True, help="Export again what is wrong; remove what belongs to no pair.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes that read: one, or with --decode, one for each core.",
)
def verify(*, out: str, decode: bool, repair: bool, workers: int | None) -> None:
    """Compare the files of an export with its manifest: sizes, hashes, captions, files that belong to no pair."""
    check = hb.repair if repair else hb.verify
    report = check(out, decode=decode, workers=workers)
    if not report.is_good:
        raise IncompleteError(str(report))
    click.echo(str(report))


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--ids",
    metavar="F",
    type=click.Path(path_type=Path),
    help="A selection: count how many of its posts are there.",
)
def sources(*, folders: tuple[str, ...], ids: Path | None) -> None:
    """Show which archives are recognised in folders of images, and what they hold.

    They are shown in the order in which they count: a post's image is taken from the first that has it and whose name
    tells of it, or else from the first that has it. What a tar holds is learned from its index or its headers, and kept
    as an index beside it. Of archives that are damaged, the first three of a kind are named, with what is wrong.
    `hakubooru select FILE QUERY --out ids.txt` writes a selection for --ids.
    """
    wanted = np.unique(hb.read_ids(ids)) if ids else None
    found = 0
    for group in hb.census(hb.find_archives(folders), wanted):
        found += group.wanted
        parts = [
            f"{group.archives:,} archive{'s' if group.archives > 1 else ''}",
            f"{group.images:,} image{'s' if group.images != 1 else ''}",
            f"{group.bytes / 1e9:,.2f} GB",
            f"{group.wanted:,} wanted" if group.wanted else "",
            f"{group.strange:,} other" if group.strange else "",
            f"{len(group.damaged):,} damaged" if group.damaged else "",
        ]
        where = f"{folders[group.root]}: {' '.join(filter(None, [group.update, group.layout]))}"
        click.echo(f"{where}: {', '.join(filter(None, parts))}")
        for name, damage in group.damaged[:_NAMED]:
            click.echo(f"  {name if name.isprintable() else ascii(name)[1:-1]} {damage}")
        if len(group.damaged) > _NAMED:
            click.echo(f"  and {len(group.damaged) - _NAMED:,} more")
    if wanted is not None:
        click.echo(f"{found:,} of {len(wanted):,} selected posts have an image")
