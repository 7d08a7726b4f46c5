"""`export`: write a selection's images, from folders of archives, with their captions."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from hakubooru.arrays import distinct
from hakubooru.caption import Captioner, CaptionFormat, caption_format
from hakubooru.errors import DestinationError, IncompleteError, InputError
from hakubooru.export.engine import checked_workers
from hakubooru.export.engine import engine as local_engine
from hakubooru.export.pairs import STATE
from hakubooru.export.plan import Job
from hakubooru.export.resumption import prepare_folder
from hakubooru.export.run import run_export
from hakubooru.export.sinks import OutputFormat, output_format
from hakubooru.files import absolute, is_remote, listed
from hakubooru.image.convert import ImageFormat, image_format
from hakubooru.image.folders import find_own
from hakubooru.image.sources import find_archives
from hakubooru.nearest import nearest
from hakubooru.store.store import lay_out, open_store

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from hakubooru.arrays import Ids
    from hakubooru.export.run import ExportReport, Start
    from hakubooru.files import Places
    from hakubooru.store.joined import Joined
    from hakubooru.store.store import PostSet, Store

ENGINES: Final = ("local", "ray")


def export(
    selection: PostSet,
    out: str | os.PathLike[str],
    *,
    images: Places = (),
    own: Places = (),
    index: Places = (),
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
    """Write the images of posts and their captions as pairs of files; images are copied unchanged by default.

    `OUT/x012/5012.webp` and `OUT/x012/5012.txt` are a pair. `OUT/manifest.parquet` has a row for every selected post.
    `OUT/rejects.jsonl` names every member of an archive that was refused.

    An interrupted export resumes when it is called again with the same arguments. The files are the same, byte for
    byte, however often it was interrupted and however many workers it has.

    Args:
        selection: the posts.
        out: a folder: new, empty, or an export that was begun with the same options.
        images: folders that hold the tars or folders of the published image sets, at any depth. Captions alone need
            none.
        own: folders of your own images, at any depth, each image with its caption in a `.txt` or `.caption` of the
            same name beside it, or in a row of `metadata.jsonl` or a CSV, in its folder or above. They go to
            `OUT/own/NAME-….png`. The manifest has them without a post id.
        index: folders and URLs with the published indexes of tars whose indexes are not beside them.
        caption: the name of a preset, a format, or a table (TOML's `[caption]`).
        image: which images are exported, and how they are converted: a format, or a table (a recipe's `[image]`).
            None copies them unchanged.
        output: the form of the data set: an `OutputFormat`, or a table (a recipe's `[output]`). None means pairs of
            files.
        sink: replaces the `sink` of `output`.
        prune: remove from `out` what is not selected any more.
        workers: processes that read and write. None means one for each core if images are decoded, and one if they
            are copied.
        engine: `local`, processes of this machine, or `ray`, a cluster (extra `ray`). The nodes of a cluster must see
            the database, the images and `out` under the same paths.
        address: the address of a running Ray cluster, `HOST:PORT`, or `auto` for the cluster that this machine belongs
            to. Without it, Ray is started on this machine with `workers` processes.
        strict: treat every post without an image as a failure.

    Raises:
        InputError: an argument is wrong (`SourceError`: the places of images; `DestinationError`: `out`).
        IncompleteError: nothing was exported; or, with `strict`, not everything; or an archive could not be read.
            The message is the report. What was exported stays.
    """
    form = output_format(output)
    shape = caption_format(caption)
    joined = _joined_files(selection.database, shape)
    origin = Origin(
        database=str(selection.database.path.absolute()),
        images=absolute(images),
        own=absolute(own),
        index=absolute(index),
        caption=shape,
        image=image_format(image),
        output=form if sink is None else replace(form, sink=sink),
        joined={file.name: [str(Path(file.source).absolute()), file.sha256] for file in joined},
    )
    if engine not in ENGINES:
        raise InputError(f"there is no engine {engine!r}; {nearest(engine, ENGINES)}")
    if address is not None and engine != "ray":
        raise InputError(
            f"the address {address} is for the engine `ray` only; add --engine ray, or leave the address out"
        )
    ids = distinct(selection.to_ids())
    if len(ids) and origin.own and not origin.images:
        raise InputError(
            "the places of the posts' images are missing; give `images` (--images), or for your own images alone name no "
            "database: `hakubooru export --own DIR --out OUT`, or hb.export_own in Python"
        )
    needs = [str(file.file) for file in joined]
    cluster = _cluster(Path(out), origin, address, needs) if engine == "ray" else None
    report = export_from(selection.database, ids, Path(out), origin, workers, prune=prune, start=cluster)
    if not report.exported or (strict and report.left_out):
        raise IncompleteError(str(report))
    return report


def export_own(
    out: str | os.PathLike[str],
    own: Places,
    *,
    image: ImageFormat | Mapping[str, Any] | None = None,
    output: OutputFormat | Mapping[str, Any] | None = None,
    sink: str | None = None,
    prune: bool = False,
    workers: int | None = None,
    strict: bool = False,
) -> ExportReport:
    """Write your own images with their captions as pairs of files, without a metadata database.

    Args:
        out: a folder, as for `export`.
        own: folders of your own images, as for `export`.
        image: as for `export`.
        output: as for `export`.
        sink: as for `export`.
        prune: as for `export`.
        workers: as for `export`.
        strict: treat every image that cannot be exported as a failure.

    Raises:
        InputError: an argument is wrong (`SourceError`: the places of images; `DestinationError`: `out`).
        IncompleteError: nothing was exported; or, with `strict`, not everything. The message is the report.
    """
    find_own(listed(own), skip=out)  # before anything is written
    prepare_folder(Path(out))
    empty = Path(out, STATE, "empty.db")
    empty.touch()
    lay_out(empty)
    with open_store(empty) as store:
        return export(
            _NoPosts(store),
            out,
            own=own,
            image=image,
            output=output,
            sink=sink,
            prune=prune,
            workers=workers,
            strict=strict,
        )


@dataclass(frozen=True)
class _NoPosts:
    database: Store

    def to_ids(self) -> Ids:
        return np.empty(0, np.int64)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The arguments of an export, kept in its journal: enough to repeat or repair it."""

    database: str
    images: list[str]
    own: list[str]
    index: list[str] = field(default_factory=list)
    """The places of published indexes."""
    caption: CaptionFormat
    image: ImageFormat
    output: OutputFormat
    joined: dict[str, list[str]] = field(default_factory=dict)
    """The path and the hash of each joined file that captions are made of, by its name."""

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Self:
        """Return the origin that `text` was made of, from its JSON."""
        formats = {
            "caption": caption_format(table["caption"]),
            "image": image_format(table["image"]),
            "output": output_format(table["output"]),
        }
        return cls(**{**table, **formats})

    @contextmanager
    def opened(self) -> Iterator[Store]:
        """Open the database, with the files that were joined to it.

        Raises:
            InputError: the database or a joined file is no longer there, or cannot be read.
            DestinationError: a joined file has changed since.
        """
        with open_store(self.database) as store:
            for name, (path, sha256) in self.joined.items():
                if store.join(name, path).sha256 != sha256:
                    raise DestinationError(
                        f"{path}, which captions have as {name}, has changed since the export; bring the file back, or export "
                        "into another folder"
                    )
            yield store

    @cached_property
    def _tables(self) -> dict[str, dict[str, Any]]:
        """The formats as tables, by the names of their fields."""
        return {
            "caption": self.caption.to_dict(),
            "image": asdict(self.image),
            "output": asdict(self.output),
        }

    def text(self) -> str:
        """Return all fields as JSON."""
        return json.dumps({field.name: getattr(self, field.name) for field in fields(self)} | self._tables)

    def settings(self) -> dict[str, str]:
        """Return the options that the files of an export depend on, besides posts and archives, as JSON by name."""
        caption = self._tables["caption"]
        captions = {f"caption.{field.name}": caption.get(field.name) for field in fields(CaptionFormat)}
        images = {f"image.{name}": value for name, value in self._tables["image"].items()}
        if self.image.format == "avif":
            images["image.subsampling"] = self.image.subsampling
        output = {f"output.{name}": value for name, value in self.output.settings().items()}
        joined = {f"joined.{name}": sha256 for name, (_, sha256) in self.joined.items()}
        return {
            name: json.dumps(value, ensure_ascii=False)
            for name, value in (output | captions | images | joined).items()
        }


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
    """Export posts with the arguments that an origin holds.

    Args:
        database: the posts' database.
        ids: the posts, ascending, each once.
        out: the export's folder.
        origin: the formats, and the places of images.
        workers: processes that read and write; None as in `export`.
        prune: remove from `out` what is not selected any more.
        start: starts the engine; None means processes of this machine.

    Raises:
        InputError: an argument is wrong.
        IncompleteError: an archive could not be read, or a worker died.
    """
    sink = origin.output.sink_for(str(out.absolute()))
    if origin.own and not sink.needs_images:
        raise InputError(
            f"the sink {sink.name!r} writes captions of posts only, not of your own images; "
            "leave out `own` (--own), or choose another sink"
        )
    if sink.needs_images and not (origin.images or origin.own):
        raise InputError(
            "the places of the images are missing; give `images` (--images), or choose the sink captions"
        )
    # Ids of two sites are different posts; an export of images of one's own alone has a database without posts.
    site = {"database.site": json.dumps(database.about.site.name)} if len(ids) else {}
    job = Job(
        ids=ids,
        out=out,
        database=database,
        archives=find_archives(origin.images, skip=out, indexes=origin.index)
        if sink.needs_images and origin.images
        else [],
        roots=origin.images,
        own=find_own(origin.own, skip=out),
        sink=sink,
        captions=Captioner(database, origin.caption),
        settings=origin.settings() | site,
        shape=origin.image,
        origin=origin.text(),
        prune=prune,
    )
    return run_export(
        job, workers=checked_workers(workers, decodes=origin.image.decodes), start=start or local_engine
    )


def _cluster(out: Path, origin: Origin, address: str | None, joined: Sequence[str]) -> Start:
    """Return a function that starts an export's engine on a Ray cluster."""
    from hakubooru.export.cluster import ClusterEngine  # noqa: PLC0415 - an extra

    places = [place for place in (*origin.images, *origin.own) if not is_remote(place)]
    return partial(
        ClusterEngine,
        address=address,
        state=out.absolute() / STATE,
        needs=[origin.database, *places, *joined],
    )


def _joined_files(database: Store, shape: CaptionFormat) -> list[Joined]:
    """The joined files that captions of a format are made of."""
    columns = database.joined_columns
    return [columns[name].joined for name in sorted(shape.joined() & columns.keys())] if columns else []
