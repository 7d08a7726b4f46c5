"""`export`: from a selection and folders of archives to pairs of image and caption."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hakubooru.caption import Captioner, CaptionFormat, caption_format
from hakubooru.database import open_database
from hakubooru.errors import DestinationError, IncompleteError, InputError
from hakubooru.export.journal import Journal
from hakubooru.export.pipeline import run_export
from hakubooru.export.sinks import STATE, sink_named
from hakubooru.export.verify import VerifyReport, read_manifest, verify
from hakubooru.image.convert import ImageFormat, image_format
from hakubooru.image.remote import is_remote
from hakubooru.image.sources import find_archives

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hakubooru.arrays import Ids
    from hakubooru.database import Database
    from hakubooru.export.report import ExportReport
    from hakubooru.select.selection import Selection


def export(
    selection: Selection,
    out: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    caption: str | CaptionFormat | Mapping[str, Any] = "kohaku-epsilon",
    image: ImageFormat | Mapping[str, Any] | None = None,
    sink: str = "folder",
    prune: bool = False,
    workers: int = 1,
    strict: bool = False,
) -> ExportReport:
    """Write the images of posts and their captions as pairs of files, copied through untouched.

    `OUT/x012/5012.webp` and `OUT/x012/5012.txt` are a pair; `OUT/manifest.parquet` accounts for every selected
    post; `OUT/rejects.jsonl` names every member of an archive that was wanted and not taken, or is none to take.
    Stopped at any moment and called again with the same arguments, it goes on; the files are the same, byte for
    byte, however often that was and however many workers there are.

    Args:
        selection: the posts.
        out: a folder: a new one, an empty one, or an export that was begun with the same options.
        images: folders with the tars or folders of the published image sets, anywhere below them.
        caption: a preset by name, a format, or a table (TOML's `[caption]`).
        image: which images are taken and what is made of them: a format, or a table (a recipe's `[image]`);
            None copies them untouched.
        sink: `folder` (pairs of files), `webdataset` (shards), `imagefolder` (with `metadata.jsonl`) or `kohya-json`
            (with sd-scripts' `meta.json`).
        prune: remove from `out` what is not selected any more.
        workers: processes that read and write. In a script, more than one needs
            `if __name__ == "__main__":` around the call.
        strict: take every post without an image for a failure.

    Raises:
        InputError: an argument cannot be (`SourceError`: the places of images, `DestinationError`: `out`).
        IncompleteError: nothing was exported; or, `strict`, not everything; or an archive vanished meanwhile.
            The message is the report. What was exported stays.
    """
    if workers < 1:
        raise InputError(f"{workers} workers cannot export; it takes at least 1")
    roots = [images] if isinstance(images, (str, os.PathLike)) else images
    origin = Origin(
        database=str(selection.database.path.absolute()),
        images=[str(root) if is_remote(root) else str(Path(root).absolute()) for root in roots],
        caption=caption_format(caption).to_dict(),
        image=asdict(image_format(image)),
        sink=sink,
    )
    report = _export(
        selection.database, np.unique(selection.to_ids()), Path(out), origin, workers, prune=prune
    )
    if not report.exported or (strict and report.left_out):
        raise IncompleteError(str(report))
    return report


def repair(out: str | os.PathLike[str], *, decode: bool = False, workers: int = 1) -> VerifyReport:
    """Verify an export, export again what is missing or wrong, and remove what belongs to no pair.

    Args:
        out: the export's folder.
        decode: decode every image too.
        workers: processes that read and write.

    Returns:
        what a second check came to.

    Raises:
        DestinationError: there is no finished export, or not what is needed to go on with it.
        InputError: the database or the images are no longer where they were.
    """
    out = Path(out)
    found = verify(out, decode=decode, workers=workers)
    if found.is_good:
        return found
    if not (out / STATE).is_dir():
        raise DestinationError(f"{out} has lost its folder {STATE}: export into another folder")
    with Journal(out) as journal:
        origin = Origin(**json.loads(journal.recall("origin") or "null"))
        journal.forget(set(found.bad_ids))
    for name in found.orphans:
        (out / name).unlink(missing_ok=True)
    ids = np.concatenate([[row["id"] for row in rows] for rows in read_manifest(out, ("id",), 100_000)])
    with open_database(origin.database) as database:
        _export(database, ids.astype(np.int64), out, origin, workers)
    return verify(out, decode=decode, workers=workers)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where an export came from: enough to go on with it."""

    database: str
    images: list[str]
    caption: dict[str, Any]
    """As a table."""
    image: dict[str, Any]
    """Likewise."""
    sink: str


def _export(
    database: Database, ids: Ids, out: Path, origin: Origin, workers: int, *, prune: bool = False
) -> ExportReport:
    return run_export(
        ids,
        out,
        database=database,
        archives=find_archives(origin.images, skip=out),
        sink=sink_named(origin.sink, str(out.absolute())),
        captions=Captioner(database, caption_format(origin.caption)),
        settings=_settings(origin),
        shape=image_format(origin.image),
        origin=json.dumps(asdict(origin), ensure_ascii=False),
        prune=prune,
        workers=workers,
    )


def _settings(origin: Origin) -> dict[str, str]:
    """What the files of an export depend on, besides posts and archives."""
    captions = {f"caption.{field.name}": origin.caption.get(field.name) for field in fields(CaptionFormat)}
    images = {f"image.{name}": value for name, value in origin.image.items()}
    return {
        name: json.dumps(value, ensure_ascii=False)
        for name, value in ({"sink": origin.sink} | captions | images).items()
    }
