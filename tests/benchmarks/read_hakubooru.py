"""What HakuBooru 0.0.3 reads of files of every layout: `python tests/benchmarks/read_hakubooru.py --python OLD`.

OLD is the Python of an environment of its own: `pip install hakubooru==0.0.3 'peewee<4' tqdm python-dateutil webdataset`. For each
file, every column of every post, the tags of each post with their types, and the posts of each tag are read by HakuBooru's own
models and by ours. Prints a line for each file; exits 1 if a file that both should read differs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import hakubooru as hb
from hakubooru.ingest import build
from hakubooru.ingest.maps import COLUMNS
from old_generations import write_generation
from published_sets import SETS, posts
from published_sites import e621_export

# Runs under HakuBooru's own Python: its models, and the queries that its export and its helpers make.
_OLD = """
import json, sys
import hakubooru.dataset.db as db
from hakubooru.dataset.utils import get_tag_by_name, select_post_by_required_tags
file, columns = sys.argv[1], json.loads(sys.argv[2])
db.load_db(file)
def read():
    for post in db.Post.select().order_by(db.Post.id):
        values = [getattr(post, column) for column in columns]
        yield [post.id, values, sorted([tag.name, tag.type] for tag in post.tag_list)]
def bearing():
    for tag in db.Tag.select().order_by(db.Tag.id):
        wanted = get_tag_by_name(tag.name)
        yield [tag.name, tag.popularity, sorted(post.id for post in select_post_by_required_tags([wanted]))]
print("\\n" + json.dumps([list(read()), list(bearing())]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", required=True, help="The Python that has HakuBooru 0.0.3.")
    python = parser.parse_args().python
    with tempfile.TemporaryDirectory() as folder:
        differs = [compare(name, path, python) for name, path in files(Path(folder)).items()]
    sys.exit(any(differs))


def files(folder: Path) -> dict[str, Path]:
    """A file of each layout."""
    tags = [(1, "solo", 0), (2, "bespin", 1), (3, "illaoi", 2), (7, "highres", 4)]
    rows = [(row(number), [1, 2, 3, 7][: 1 + number % 4]) for number in range(1, 9)]
    paths = {"generation 4, as published": write_generation(folder / "4.db", 4, rows, tags)}
    for number in (1, 2, 3):
        path = write_generation(folder / f"{number}.db", number, rows, tags)
        hb.migrate(path)
        paths[f"generation {number}, migrated"] = path
    migrated = write_generation(folder / "migrated.db", 4, rows, tags)
    hb.migrate(migrated)
    paths["generation 4, migrated"] = migrated
    for name, label in {
        "nyanko7, posts.json": "built, every value known",
        "isek-ai/danbooru-tags-2024": "built, most values unknown",
    }.items():
        build(SETS[name].write(folder, posts()), folder / f"{label}.db")
        paths[label] = folder / f"{label}.db"
    dumps, lists = e621_export(folder)
    build(dumps, folder / "e621.db", tags=lists)
    return paths | {"built, of e621": folder / "e621.db"}


def row(number: int) -> tuple[Any, ...]:
    """A post without `updated_at`, in the order of the published file."""
    date = "2023-02-03T04:05:06.789-05:00"
    flags, sizes = (0, number % 2, 0, None, 0, 0, 1, 0), (800, 1200, 123, "jpg", number % 4, 5, 6, -1, 7)
    return (number, date, 7, "source", f"{number:032x}", None, *flags, *sizes, "file", "large", "preview")


def compare(name: str, path: Path, python: str) -> bool:
    """Print what HakuBooru reads of a file; whether it is not what we read."""
    command = [python, "-I", "-c", _OLD, str(path), json.dumps(COLUMNS)]
    process = subprocess.run(command, capture_output=True, text=True, check=False, cwd=path.parent)
    if process.returncode:
        print(f"{name:30} cannot be read: {process.stderr.strip().splitlines()[-1]}")
        return "e621" not in name
    theirs = json.loads(process.stdout.splitlines()[-1])
    with hb.open(path) as database:
        read = database.posts.order_by("id").posts()
        ours = [
            [
                [
                    post.id,
                    [getattr(post, column) for column in COLUMNS],
                    sorted([str(tag.name), str(tag.type)] for tag in post.tags),
                ]
                for post in read
            ],
            [
                [name, popularity, database.posts.tagged(name).to_ids().tolist()]
                for name, popularity in database.rows("SELECT name, popularity FROM tag ORDER BY id")
            ],
        ]
    equal = theirs == json.loads(json.dumps(ours))
    print(f"{name:30} {len(ours[0])} posts and {len(ours[1])} tags, {'equal' if equal else 'DIFFERENT'}")
    return not equal


if __name__ == "__main__":
    main()
