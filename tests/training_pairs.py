"""Exports of small pictures for tests of the trainer."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

SIZES = [(96, 96)] * 5 + [(64, 128)] * 2 + [(160, 96)]
"""Eight pictures, in three shapes."""


def write_pairs(folder, sizes, *, status="exported"):
    """What an export writes: pictures of stripes whose captions say so, and the manifest."""
    rows = []
    for number, (width, height) in enumerate(sizes, 1):
        path = folder / "x001" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        ramp = np.add.outer(np.arange(height) * (number % 3), np.arange(width) * (1 + number % 2)) % 256
        Image.fromarray(np.stack([ramp, 255 - ramp, ramp * 0 + 40 * number % 256], -1).astype(np.uint8)).save(
            path
        )
        caption = f"1girl, character {number} ||| stripes, blue, number {number}, solo"
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append(
            {"id": number, "path": f"x001/{number}.png", "status": status, "width": width}
            | {"reason": None if status == "exported" else "it is broken"}
            | {"height": height, "bytes": path.stat().st_size, "sha256": digest, "rating": "general"}
            | {"caption": caption, "parts": '{"people": 1, "character": 1, "general": 4}'}
        )
    rows.append(dict.fromkeys(rows[0]) | {"id": 10_000, "status": "missing", "reason": "no archive holds it"})
    schema = pa.schema(
        [("id", pa.int64()), ("path", pa.string()), ("status", pa.string()), ("reason", pa.string())]
    )
    for name, kind in (("width", pa.int32()), ("height", pa.int32()), ("bytes", pa.int64())):
        schema = schema.append(pa.field(name, kind))
    for name in ("sha256", "rating", "caption", "parts"):
        schema = schema.append(pa.field(name, pa.string()))
    parquet.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "manifest.parquet")
    return folder
