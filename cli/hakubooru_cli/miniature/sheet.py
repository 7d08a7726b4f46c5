"""Drawing a contact sheet of exported images with their captions."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from pathlib import Path

_COLUMNS: Final = 6
_CELL: Final = 250
_TEXT: Final = 78
_GAP: Final = 22
_PAPER: Final = "#faf7f2"
_INK: Final = "#4b4450"


def write_sheet(path: Path, pairs: list[tuple[Path, str]]) -> None:
    """Write a PNG that shows images with the beginnings of their captions, six in a row.

    Args:
        path: the file to write.
        pairs: paths of images, with captions.
    """
    import pillow_avif  # noqa: F401, PLC0415 - teaches Pillow avif

    rows = -(-len(pairs) // _COLUMNS)
    size = (_GAP + _COLUMNS * (_CELL + _GAP), _GAP + rows * (_CELL + _TEXT + _GAP))
    sheet = Image.new("RGB", size, _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for place, (image_path, caption) in enumerate(pairs):
        row, column = divmod(place, _COLUMNS)
        left, top = _GAP + column * (_CELL + _GAP), _GAP + row * (_CELL + _TEXT + _GAP)
        with Image.open(image_path) as image:
            thumbnail = image.convert("RGB")
        thumbnail.thumbnail((_CELL, _CELL), Image.Resampling.LANCZOS)
        sheet.paste(thumbnail, (left + (_CELL - thumbnail.width) // 2, top + (_CELL - thumbnail.height)))
        lines = textwrap.wrap(caption, 38, max_lines=4, placeholder=" …")
        pen.multiline_text((left, top + _CELL + 8), "\n".join(lines), fill=_INK, font=font, spacing=3)
    sheet.save(path, "PNG")
