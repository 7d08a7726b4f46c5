"""The set that the benchmarks of the export use: 40 tars of 1,000 webp images of 65 KB, and a database of their posts."""

from __future__ import annotations

import io
import sqlite3
import tarfile
from pathlib import Path

import numpy as np
from generate import generate
from PIL import Image

FOLDER = Path(".bench") / "export"
DISTINCT = 8
BYTES = 65_000


def write_set(tars: int, folder: Path = FOLDER) -> Path:
    """Make what is not there yet; takes about a minute for 40 tars."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / f"posts{tars}.db").exists():
        plain = generate(folder / "plain.db", tars * 1000 + 999, seed=1)
        spread_ids(plain, folder / f"posts{tars}.db", tars)
        plain.unlink()
    pictures = [picture(seed) for seed in range(DISTINCT)]
    for rest in range(tars):
        path = folder / f"images{tars}" / f"data-0{rest:03d}.tar"
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            with tarfile.open(path.with_suffix(".part"), "w") as tar:
                for thousand in range(1000):
                    info = tarfile.TarInfo(f"{thousand * 1000 + rest}.webp")
                    data = pictures[(thousand + rest) % DISTINCT]
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
            path.with_suffix(".part").rename(path)
    return folder


def spread_ids(plain: Path, out: Path, tars: int) -> None:
    """Copy a database with new ids, which end in 000 to 039; the relations are in the order of the new ids."""
    part = out.with_suffix(".part")
    part.write_bytes(plain.read_bytes())
    with sqlite3.connect(part) as db:
        columns = [row[1] for row in db.execute("PRAGMA table_info(post)")][1:]
        new = "(id % 1000) * 1000 + id / 1000 - 1"
        db.execute(
            f"CREATE TABLE posts AS SELECT {new} AS id, {', '.join(columns)} FROM post WHERE id / 1000 BETWEEN 1 AND {tars}"
        )
        new = new.replace("id", "post_id")
        db.execute(
            f"CREATE TABLE tags AS SELECT {new} AS post, tag_id, id FROM posttagrelation WHERE post_id / 1000 BETWEEN 1 AND {tars}"
        )
        db.execute("DELETE FROM posttagrelation")
        db.execute("DELETE FROM post")
        db.execute(f"INSERT INTO post (id, {', '.join(columns)}) SELECT * FROM posts ORDER BY id")
        db.execute(
            "INSERT INTO posttagrelation (post_id, tag_id) SELECT post, tag_id FROM tags ORDER BY post, id"
        )
        db.execute("DROP TABLE posts")
        db.execute("DROP TABLE tags")
    db.close()
    with sqlite3.connect(part) as db:
        db.execute("VACUUM")
    db.close()
    part.rename(out)


def picture(seed: int) -> bytes:
    """Noise over shapes, at the quality that comes nearest to 65 KB."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 255, (24, 18, 3), np.uint8)
    image = Image.fromarray(small).resize((1152, 1536), Image.Resampling.BICUBIC)
    noisy = np.asarray(image, np.int16) + random.normal(0, 7, (1536, 1152, 1))
    image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    best = b""
    for quality in range(20, 60, 5):
        file = io.BytesIO()
        image.save(file, "webp", quality=quality, method=2)
        if abs(len(file.getvalue()) - BYTES) < abs(len(best) - BYTES):
            best = file.getvalue()
    return best
