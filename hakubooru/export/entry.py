"""`export`: from a selection and folders of archives to pairs of image and caption."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hakubooru.caption import Captioner, CaptionFormat, caption_format
from hakubooru.errors import IncompleteError, InputError
from hakubooru.export.engine import checked_workers
from hakubooru.export.engine import engine as local_engine
from hakubooru.export.output import OutputFormat, output_format
from hakubooru.export.pipeline import run_export
from hakubooru.export.sinks import STATE
from hakubooru.image.convert import ImageFormat, image_format
from hakubooru.image.own import find_own
from hakubooru.image.remote import is_remote
from hakubooru.image.sources import find_archives
from hakubooru.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    from hakubooru.arrays import Ids
    from hakubooru.export.pipeline import Start
    from hakubooru.export.report import ExportReport
    from hakubooru.store.postset import PostSet
    from hakubooru.store.store import Store

    Places: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

ENGINES: Final = ("local", "ray")


def export(
    selection: PostSet,
    out: str | os.PathLike[str],
    *,
    images: Places = (),
    own: Places = (),
    caption: str | CaptionFormat | Mapping[str, Any] = "kohaku-epsilon",
    image: ImageFormat | Mapping[str, Any] | None = None,
    output: OutputFormat | Mapping[str, Any] | None = None,
    sink: str | None = None,
    prune: bool = False,
    workers: int | None = None,
    engine: str = "local",
    address: str | None = None,
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
        images: folders with the tars or folders of the published image sets, anywhere below them. Captions alone
            need none.
        own: folders of images of your own with a caption of the same name in `.txt` beside each, anywhere below
            them. They go to `OUT/own/NAME-….png`, and the manifest has them without a post id.
        caption: a preset by name, a format, or a table (TOML's `[caption]`).
        image: which images are taken and what is made of them: a format, or a table (a recipe's `[image]`);
            None copies them untouched.
        output: in which form they are written: a form, or a table (a recipe's `[output]`); None is pairs of files.
        sink: the form's `sink`, in place of what `output` says.
        prune: remove from `out` what is not selected any more.
        workers: processes that read and write; None is one for each core where images are decoded, and one where
            they are copied. In a script, more than one, or any that decodes, needs `if __name__ == "__main__":` around
            the call.
        engine: `local`, processes of this machine, or `ray`, a cluster (extra `ray`), whose nodes see the database,
            the images and `out` under the same paths.
        address: of a running Ray cluster, `HOST:PORT`, or `auto` for the one that this machine belongs to; without
            it Ray is started here, with so many workers.
        strict: take every post without an image for a failure.

    Raises:
        InputError: an argument cannot be (`SourceError`: the places of images, `DestinationError`: `out`).
        IncompleteError: nothing was exported; or, `strict`, not everything; or an archive vanished meanwhile.
            The message is the report. What was exported stays.
    """
    form = output_format(output)
    form = form if sink is None else replace(form, sink=sink)
    origin = Origin(
        database=str(selection.database.path.absolute()),
        images=[str(root) if is_remote(root) else str(Path(root).absolute()) for root in _listed(images)],
        own=[str(Path(root).absolute()) for root in _listed(own)],
        caption=caption_format(caption).to_dict(),
        image=asdict(image_format(image)),
        output=asdict(form),
    )
    if engine not in ENGINES:
        raise InputError(f"there is no engine {engine!r}; {nearest(engine, ENGINES)}")
    if address is not None and engine != "ray":
        raise InputError(f"{address} is the address of a Ray cluster: give the engine `ray` with it")
    cluster = _cluster(Path(out), origin, address) if engine == "ray" else None
    ids = np.unique(selection.to_ids())
    report = export_from(selection.database, ids, Path(out), origin, workers, prune=prune, start=cluster)
    if not report.exported or (strict and report.left_out):
        raise IncompleteError(str(report))
    return report


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where an export came from: enough to go on with it."""

    database: str
    images: list[str]
    own: list[str]
    caption: dict[str, Any]
    """As a table."""
    image: dict[str, Any]
    """Likewise, and so is the next."""
    output: dict[str, Any]


def export_from(
    database: Store,
    ids: Ids,
    out: Path,
    origin: Origin,
    workers: int | None,
    *,
    prune: bool = False,
    start: Start | None = None,
) -> ExportReport:
    """Export posts, with everything else as an origin has it."""
    form = output_format(origin.output)
    sink = form.sink_for(str(out.absolute()))
    if origin.own and not sink.needs_images:
        raise InputError(
            f"images of your own have captions; they cannot be exported to the sink {form.sink!r}"
        )
    if sink.needs_images and not (origin.images or origin.own):
        raise InputError(
            "no place of images is given (`images`, --images); only the sink captions needs none"
        )
    shape = image_format(origin.image)
    return run_export(
        ids,
        out,
        database=database,
        archives=find_archives(origin.images, skip=out) if sink.needs_images and origin.images else [],
        roots=origin.images,
        own=find_own(origin.own, skip=out),
        sink=sink,
        captions=Captioner(database, caption_format(origin.caption)),
        settings=settings_of(origin),
        shape=shape,
        origin=json.dumps(asdict(origin)),
        prune=prune,
        workers=checked_workers(workers, decodes=shape.decodes),
        start=start or local_engine,
    )


def _cluster(out: Path, origin: Origin, address: str | None) -> Start:
    """What starts an export's engine on a Ray cluster."""
    from hakubooru.export.cluster import ClusterEngine  # noqa: PLC0415 - an extra

    places = [place for place in (*origin.images, *origin.own) if not is_remote(place)]
    return partial(
        ClusterEngine,
        address=address,
        state=out.absolute() / STATE,
        needs=[origin.database, *places],
    )


def settings_of(origin: Origin) -> dict[str, str]:
    """What the files of an export depend on, besides posts and archives."""
    captions = {f"caption.{field.name}": origin.caption.get(field.name) for field in fields(CaptionFormat)}
    images = {f"image.{name}": value for name, value in origin.image.items()}
    if origin.image.get("format") == "avif":
        images["image.subsampling"] = image_format(origin.image).subsampling
    output = {f"output.{name}": value for name, value in output_format(origin.output).settings().items()}
    return {
        name: json.dumps(value, ensure_ascii=False) for name, value in (output | captions | images).items()
    }


def _listed(places: Places) -> Sequence[str | os.PathLike[str]]:
    return [places] if isinstance(places, (str, os.PathLike)) else places
