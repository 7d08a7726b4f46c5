"""Reading one file of a data set without a manifest: an image, a shard, or a list of captions."""

from __future__ import annotations

import hashlib
import json
import posixpath
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hakubooru.errors import DataSetError
from hakubooru.files import decoded
from hakubooru.image.header import read_header
from hakubooru.image.kinds import SUFFIXES, BrokenImageError
from hakubooru.image.tar import DamagedTarError, is_compressed, read_tar
from hakubooru_trainer.data.pairing import Part, extension_of, paired

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hakubooru.image.tar import Member

Row: TypeAlias = "dict[str, Any]"

METADATA: Final = "metadata.jsonl"
"""The list of captions of a folder and its subfolders, as the library `datasets` has it for an imagefolder."""
SHARD: Final = ".tar"
IMAGES: Final = frozenset(f".{suffix}" for suffix in SUFFIXES)
"""Extensions of images. Formats that cannot be read are among them, so that such files are reported and not ignored."""
CAPTIONS: Final = (".txt", ".caption")
"""Extensions of a caption's file, which replace its image's extension."""

_TEXTS: Final = ("text", "caption")
_NO_CAPTION: Final = "no caption: neither a .txt of the same name beside it, nor a line in a metadata.jsonl"


class Looker:
    """Reads files of a folder; threads may share it.

    Args:
        root: the folder.
        places_only: report only where the images in shards lie, and nothing else of them.
    """

    def __init__(self, root: Path, *, places_only: bool = False) -> None:
        self.root = root
        self.places_only = places_only
        self._captions_of = lru_cache(maxsize=None)(self._read_list)

    def __call__(self, file: str) -> list[Row]:
        """The rows of a file, given as `path NUL marks`; one row without an image if the file has none."""
        path = file.partition("\0")[0]
        name = path.rpartition("/")[2]
        look = self._shard if name.endswith(SHARD) else self._absent if name == METADATA else self._image
        rows: list[Row] = []
        try:
            rows.extend(look(path))
        except (OSError, DamagedTarError) as error:  # rows before the damage stay
            reason = error.strerror if isinstance(error, OSError) else error
            rows.append({"path": path, "reason": f"cannot be read: {reason}"})
        return [{"file": file} | row for row in rows or [{}]]

    def _image(self, path: str) -> Iterator[Row]:
        row = {"id": id_of(path), "path": path, "offset": -1} | _measured((self.root / path).read_bytes())
        yield _with_caption(row, self.caption(path))

    def caption(self, path: str) -> bytes | None:
        """An image's caption: from a list of captions, or else from a file beside the image."""
        caption = self._captions_of(path.rpartition("/")[0]).get(path)
        for kind in CAPTIONS:
            place = (self.root / path).with_suffix(kind)
            if caption is None and place.is_file():
                caption = place.read_bytes()
        return caption

    def caption_alone(self, file: str) -> list[Row]:
        """The row of an image with nothing but its caption, given as `path NUL marks`; without a path if it has none."""
        path = file.partition("\0")[0]
        try:
            caption = self.caption(path)
        except OSError as error:
            return [{"file": file, "path": path, "reason": f"its caption cannot be read: {error.strerror}"}]
        return [{"file": file} | ({} if caption is None else _with_caption({"path": path}, caption))]

    def _shard(self, path: str) -> Iterator[Row]:
        """Rows of the images in a shard; captions are paired with them by webdataset's rule."""
        if is_compressed(str(self.root / path)):
            yield {
                "path": path,
                "reason": "a compressed shard, in which no image can be read by itself; unpack it to .tar",
            }
            return
        rows: list[Row] = []  # images that are not read: by place only, or of an unreadable kind
        parts: list[Part] = []

        def wanted(member: Member) -> bool:
            extension = extension_of(member.name)
            if member.kind == "a file":
                if extension in IMAGES and self.places_only:
                    rows.append(_place(path, member))
                return not self.places_only and extension in {*IMAGES, *CAPTIONS}
            if extension in IMAGES and not self.places_only:
                rows.append({"path": f"{path}/{member.name}", "reason": f"no image: {member.kind}"})
            return False

        error: OSError | DamagedTarError | None = None
        try:
            for member, data in read_tar(str(self.root / path), wanted):
                is_image = extension_of(member.name) in IMAGES
                row = _place(path, member) | _measured(data) if is_image else None
                parts.append(Part(member.header, member.name, row, b"" if is_image else data))
        except (OSError, DamagedTarError) as caught:
            error = caught
        yield from rows
        for row, caption in paired(parts, CAPTIONS):
            yield _with_caption(row, caption)
        if error is not None:
            raise error

    def _absent(self, path: str) -> Iterator[Row]:
        """Rows of the images that a list of captions names and that are missing."""
        for named in self._captions_of(path.rpartition("/")[0]):
            if named.startswith(("../", "/")):
                yield {"path": named, "reason": f"{METADATA} names it, and it lies outside of the folder"}
            elif not (self.root / named).is_file():
                yield {"path": named, "reason": f"{METADATA} names it, and it is not there"}

    def _read_list(self, folder: str) -> dict[str, bytes | None]:
        """Captions by path, from the list in a folder or in the nearest folder above; None for an image listed without one."""
        place = self.root / folder / METADATA
        if not place.is_file():
            return self._captions_of(folder.rpartition("/")[0]) if folder else {}
        captions: dict[str, bytes | None] = {}
        with place.open(encoding="utf-8-sig") as lines:
            try:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        name, caption = _listed(line, f"{place}, line {number}")
                        captions[self._path(folder, name)] = caption
            except UnicodeDecodeError as error:
                raise DataSetError(f"{place} is not in UTF-8; save it in UTF-8") from error
        return captions

    def _path(self, folder: str, name: str) -> str:
        """The path below the root that a name in a list means. As in `datasets`, it may have ./ or Windows' separators."""
        if "\\" in name and not (self.root / folder / name).exists():
            name = name.replace("\\", "/")
        path = posixpath.normpath(posixpath.join(folder, name))
        root = f"{self.root.absolute().as_posix()}/"
        return path.removeprefix(root)


def _listed(line: str, place: str) -> tuple[str, bytes | None]:
    """Name and caption in one line of a list of captions."""
    try:
        row = json.loads(line)
        name, texts = row["file_name"], [row[key] for key in _TEXTS if key in row]
    except (ValueError, KeyError, TypeError):
        name, texts = None, []
    text = next((text for text in texts if text is not None), None)
    if not isinstance(name, str) or not texts or not isinstance(text, str | None):
        raise DataSetError(
            f'{place} is not an image with its caption; write {{"file_name": "1.png", "text": "1girl"}}'
        )
    # JSON can hold half a character; it is reported later as a caption that is not in UTF-8.
    return name, None if text is None else text.encode("utf-8", "surrogatepass")


def id_of(path: str) -> int:
    """A number for an image: the file's name if that is a number, as in an export, else a hash of the path.

    For an image in a shard it is always the hash, since names in shards often begin again in each.
    """
    stem = path.rpartition("/")[2].rpartition(".")[0]
    if stem.isdecimal() and len(stem) < 19 and f"{SHARD}/" not in path:
        return int(stem)
    return int(hashlib.sha256(path.encode()).hexdigest()[:15], 16)


def _measured(data: bytes) -> Row:
    row: Row = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    try:
        header = read_header(data)
    except BrokenImageError as error:
        return row | {"reason": f"no image that can be read: {error}"}
    return row | {"width": header.width, "height": header.height}


def _with_caption(row: Row, caption: bytes | None) -> Row:
    if caption is None:
        return {"reason": _NO_CAPTION} | row
    try:
        return row | {"caption": decoded(caption).strip()}
    except UnicodeDecodeError:
        return {"reason": "its caption is not in UTF-8"} | row


def _place(shard: str, member: Member) -> Row:
    path = f"{shard}/{member.name}"
    return {"id": id_of(path), "path": path, "offset": member.offset, "bytes": member.size}
