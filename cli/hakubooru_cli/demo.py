"""`hakubooru demo`: build, select and export a miniature booru that the command draws itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Final

import click
import numpy as np

import hakubooru as hb
from hakubooru.errors import DestinationError
from hakubooru_cli.miniature.booru import write_booru
from hakubooru_cli.miniature.sheet import write_sheet
from hakubooru_cli.select import funnel_text

SCALE: Final = 0.0001
_MARK: Final = "demo.json"
_SHOWN: Final = 30


@click.command()
@click.argument("folder", metavar="[DIR]", default="demo", type=click.Path(path_type=Path))
def demo(folder: Path) -> None:
    """Try every step on a small image board (a booru) of its own.

    The demo draws pictures with metadata into DIR, builds the database, selects a scaled-down Kohaku-XL Epsilon, and exports it with
    captions. This takes some ten seconds. DIR must be new or empty, or an earlier demo, which is replaced.
    """
    _clear(folder)
    click.echo(
        f"1. Draw a small image board (a booru) into {folder}: pictures in tar archives, and their metadata.\n"
    )
    booru = write_booru(folder)
    database_path = folder / "danbooru.db"
    hb.build([booru.dump], database_path, tags=booru.tags)
    with hb.open(database_path) as database:
        info = database.info()
        click.echo(
            f"2. Build the database {database_path}: {info.posts:,} posts (a post is one picture) with {info.tags:,} different "
            f"tags, {info.relations:,} in all.\n"
        )
        selection = hb.Recipe.load("epsilon").select(database, scale=SCALE)
        click.echo(
            f"3. Select what the recipe of Kohaku-XL Epsilon asks for, its numbers multiplied by {SCALE}. How many posts each "
            f"step leaves:\n\n{funnel_text(selection.funnel_rows())}\n\nA gold post is one whose image only Gold accounts of "
            "the site can see.\n"
        )
        click.echo(f"4. Export the images of these posts with their captions into {folder / 'out'}.\n")
        report = selection.export(folder / "out", images=booru.images)
        click.echo(f"{report}\n")
        _show(folder)
    click.echo(f"\n{folder / 'contact_sheet.png'} shows some of the pairs. To do the same by hand:\n")
    click.echo(
        f"  hakubooru db build {booru.dump} --tags {booru.tags} --out mine.db\n"
        f"  hakubooru select mine.db --recipe epsilon --scale {SCALE} --funnel\n"
        f"  hakubooru export mine.db --recipe epsilon --scale {SCALE} --images {booru.images} --out out\n\n"
        "The tutorial goes on from here, up to a trained model: docs/tutorial.md."
    )


def _clear(folder: Path) -> None:
    if folder.exists():
        if not folder.is_dir():
            raise DestinationError(f"{folder} is a file; name a folder for the demo")
        if any(folder.iterdir()):
            if not (folder / _MARK).exists():
                raise DestinationError(
                    f"{folder} is neither empty nor a demo; name another folder, such as ./demo"
                )
            shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark = json.dumps(
        {"made by": f"hakubooru {hb.__version__}", "note": "`hakubooru demo` replaces this folder"}
    )
    (folder / _MARK).write_text(mark + "\n", encoding="utf-8", newline="\n")


def _show(folder: Path) -> None:
    from pyarrow import parquet  # noqa: PLC0415 - the command starts faster without it

    rows = parquet.read_table(folder / "out" / "manifest.parquet", columns=["path", "status", "caption"])
    pairs = [(row["path"], row["caption"]) for row in rows.to_pylist() if row["status"] == "exported"]
    spread = [pairs[place] for place in np.linspace(0, len(pairs) - 1, _SHOWN).astype(int)]
    for path, caption in spread[:: _SHOWN // 3 + 1]:
        click.echo(f"{folder / 'out' / path}\n  {caption}")
    write_sheet(folder / "contact_sheet.png", [(folder / "out" / path, caption) for path, caption in spread])
