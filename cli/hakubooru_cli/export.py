"""`hakubooru export`, `verify` and `sources`: write pairs of image and caption, check them, show archives of images."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

import hakubooru as hb
from hakubooru.errors import IncompleteError
from hakubooru.export import SINKS, output_format, sink_class
from hakubooru.quantity import quantity
from hakubooru_cli.options import Choice, index_option, note_types, selection_options, settings_option
from hakubooru_cli.query_command import QueryCommand

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NAMED = 3
"""The most damaged archives of one kind that `sources` names."""


class _SinkOption(click.Option):
    """Says what each sink writes, when help is asked for: only then are the sinks loaded."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        sinks = "; ".join(f"{name}: {sink_class(name).summary}" for name in SINKS)
        self.help = f"{sinks}. By default the recipe's sink, or else folder."
        return super().get_help_record(ctx)


@click.command(cls=QueryCommand)
@partial(selection_options, needs_file=False)
@click.option(
    "--images",
    metavar="DIR",
    multiple=True,
    type=click.Path(),
    help="A folder that holds tars or folders of images, at any depth, or a URL. You may give several.",
)
@click.option(
    "--own",
    metavar="DIR",
    multiple=True,
    type=click.Path(),
    help="A folder of your own images, each with its caption beside it in .txt or .caption, or in metadata.jsonl or a "
    "CSV; they are exported too. With --own alone, FILE may be left out.",
)
@index_option
@click.option("--out", metavar="DIR", required=True, type=click.Path(), help="The folder to write to.")
@click.option(
    "--caption", metavar="FORMAT", help="The caption format; by default the recipe's, or else kohaku-epsilon."
)
@settings_option
@click.option("--sink", cls=_SinkOption, type=click.Choice(SINKS), help="The form of the data set.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes that read and write; by default one, or one for each core if images are decoded.",
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    help="local: processes of this machine. ray: a Ray cluster whose nodes see all these places.",
)
@click.option(
    "--address",
    metavar="HOST:PORT",
    help="The address of a running Ray cluster, or `auto` for this machine's. By default Ray is started here.",
)
@click.option("--prune", is_flag=True, help="Remove posts from OUT that are not selected any more.")
@click.option("--strict", is_flag=True, help="Fail if any selected post has no image.")
def export(
    choice: Choice,
    *,
    images: tuple[str, ...],
    own: tuple[str, ...],
    index: tuple[str, ...],
    out: str,
    caption: str | None,
    overrides: tuple[str, ...],
    sink: str | None,
    prune: bool,
    workers: int | None,
    engine: str,
    address: str | None,
    strict: bool,
) -> None:
    """Export images of posts with their captions, as pairs of files.

    OUT/manifest.parquet has a row for every selected post. OUT/rejects.jsonl names every refused member of an archive.
    If the export is interrupted, run the same command again to resume it.
    """
    recipe = choice.settings(overrides, caption)
    form = output_format(recipe.output).sink if sink is None else sink
    for option in _without_effect(form, overrides, images=images, index=index):
        click.echo(f"note: {option} has no effect on the sink {form}", err=True)
    if not choice.file:
        of_posts = images, index, caption, address, engine != "local", choice.selects
        if not own or any(of_posts) or any(text.startswith("caption") for text in overrides):
            raise click.UsageError("FILE is missing: give the metadata database; only --own needs none")
        report = hb.export_own(
            out,
            own,
            image=recipe.image,
            output=recipe.output,
            sink=sink,
            prune=prune,
            workers=workers,
            strict=strict,
        )
        click.echo(str(report))
        return
    with hb.open(choice.file) as database:
        note_types(database, hb.caption_format(recipe.caption or "kohaku-epsilon"))
        report = choice.select(database).export(
            out,
            images=images,
            own=own,
            index=index,
            caption=recipe.caption or "kohaku-epsilon",
            image=recipe.image,
            output=recipe.output,
            sink=sink,
            prune=prune,
            workers=workers,
            engine=engine,
            address=address,
            strict=strict,
        )
    click.echo(str(report))


def _without_effect(
    sink: str, overrides: Sequence[str], *, images: Sequence[str], index: Sequence[str]
) -> Iterator[str]:
    """Yield the options of an export that change nothing in what a sink writes."""
    kind = sink_class(sink)
    if not kind.needs_images:
        yield from (name for name, given in (("--images", images), ("--index", index)) if given)
    for text in overrides:
        key = text.partition("=")[0].strip()
        of_images = key.startswith("image.") and not kind.needs_images
        if of_images or (key.startswith("output.shard_") and not kind.has_shards):
            yield f"--set {text}"


@click.command()
@click.argument("out", type=click.Path())
@click.option("--decode", is_flag=True, help="Decode every image too.")
@click.option("--repair", is_flag=True, help="Export wrong files again; remove files that belong to no pair.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes that read; by default one, or one for each core with --decode.",
)
def verify(*, out: str, decode: bool, repair: bool, workers: int | None) -> None:
    """Compare the files of an export with its manifest.

    Sizes, hashes and captions are compared, and files that belong to no pair are named.
    """
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
    help="A file of post ids; count how many of these posts have an image.",
)
@index_option
def sources(*, folders: tuple[str, ...], ids: Path | None, index: tuple[str, ...]) -> None:
    """Show which archives of images are recognised, and what they hold.

    Archives are shown in the order in which they count. A post's image is taken from the first archive that holds it
    and whose name announces it, or else from the first archive that holds it. What a tar holds is read from its index
    or its headers, and kept as an index beside it. The first three damaged archives of each kind are named, with what
    is wrong. Images that are named by their MD5 are not counted as wanted, because only a database knows their posts.

    `hakubooru select FILE QUERY --out ids.txt` writes a file for --ids.
    """
    wanted = np.unique(hb.read_ids(ids)) if ids else None
    with_image = 0
    for group in hb.census(hb.find_archives(folders, indexes=index), wanted):
        with_image += group.wanted
        parts = [
            quantity(group.archives, "archive"),
            quantity(group.images, "image"),
            f"{group.bytes / 1e9:,.2f} GB" if group.bytes >= 1e8 else f"{group.bytes / 1e6:,.2f} MB",
            f"{group.wanted:,} wanted" if group.wanted else "",
            f"{group.unread:,} unreadable" if group.unread else "",
            f"{group.repeated:,} of a post that their archive has already" if group.repeated else "",
            f"{group.by_md5:,} named by MD5" if group.by_md5 else "",
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
        click.echo(
            f"{with_image:,} of {quantity(len(wanted), 'selected post')} {'has' if with_image == 1 else 'have'} an image"
        )
