"""A set as NoobAI-XL's, end to end: a Danbooru and an e621 file, one set of pairs in one format, one run over both."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from pyarrow import parquet

from danbooru import api_post, write_lines
from hakubooru_cli.main import cli
from hakubooru_trainer.config.options import CaptionOptions, DataOptions, RunOptions
from hakubooru_trainer.loop import run
from image_sets import ImageSet
from pictures import picture
from published_sites import e621_export

pytestmark = pytest.mark.slow

IDS = [1, 2, 3, 4, 5, 1001]
FORMAT = """
[caption]
base = "noobai"
order = ["people", "character", "copyright", "artist", "quality", "aesthetic", "date", "rating", "species", "general"]
[caption.aesthetic]
scale = "values"
labels = {"very awa" = 4, "" = 0.5, "worst aesthetic" = -1}
"""


def call(*arguments):
    result = CliRunner().invoke(cli, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def write_danbooru(folder):
    """A dump of Danbooru's API, and images named by their ids, in the layout of deepghs."""
    tags = {
        "general": "1girl smile solo",
        "character": "hatsune_miku",
        "copyright": "vocaloid",
        "artist": "bespin",
    }
    posts = [api_post(number, fav_count=10 * place, **tags) for place, number in enumerate(IDS)]
    dump = write_lines(folder / "posts.jsonl", posts)
    ImageSet(archive=lambda post: f"images/0{post % 1000:03d}.tar").write(folder, "danbooru", IDS)
    call("db", "build", dump, "--out", folder / "danbooru.db")


def write_e621(folder):
    """e621's own export of CSVs, and images in the layout of e621-2024."""
    posts, lists = e621_export(folder, count=5)
    tags = [argument for path in lists for argument in ("--tags", path)]
    ImageSet(archive=lambda post: f"original/data-0{post % 1000:03d}.tar").write(folder, "e621", [1, 2, 4, 5])
    call("db", "build", *posts, *tags, "--out", folder / "e621.db")


def export(folder, site, scores):
    """Export a site's posts in the common format, with the words of a joined score."""
    rows = "".join(f"{number},{score}\n" for number, score in scores.items())
    (folder / f"{site}.csv").write_text(f"post_id,score\n{rows}")
    call(
        *("export", folder / f"{site}.db", "has:image", "--images", folder / site),
        *("--join", f"waifu_scorer={folder / site}.csv", "--caption", folder / "noob.toml"),
        *("--out", folder / "set" / site),
    )


def test_a_danbooru_and_an_e621_file_become_one_set_and_one_run(tmp_path, options):
    write_danbooru(tmp_path)
    write_e621(tmp_path)
    (tmp_path / "noob.toml").write_text(FORMAT)
    export(tmp_path, "danbooru", {number: float(place) for place, number in enumerate(IDS)})
    export(tmp_path, "e621", {1: 9.5, 2: 1.0})
    tables = [
        parquet.read_table(tmp_path / "set" / site / "manifest.parquet") for site in ("danbooru", "e621")
    ]
    captions = [
        dict(zip(*table.select(["id", "caption"]).to_pydict().values(), strict=True)) for table in tables
    ]
    artist = "hatsune miku, vocaloid, bespin"
    assert captions[0][1] == f"1girl, {artist}, worst quality, worst aesthetic, newest, safe, smile, solo"
    assert captions[0][1001] == f"1girl, {artist}, good quality, very awa, newest, safe, smile, solo"
    series = "nintendo, pokemon, atherol"
    assert captions[1][1] == f"{series}, worst quality, very awa, newest, nsfw, lugia, anthro, solo"
    assert captions[1][4] == f"{series}, normal quality, newest, nsfw, lugia, anthro, solo"

    sets = tuple(DataOptions(path=str(tmp_path / "set" / site)) for site in ("danbooru", "e621"))
    report = run(
        options(
            data=sets,
            captions=CaptionOptions(tags="general", drop_tags=0.1, drop_parts={"artist": 0.1}),
            run=RunOptions(
                out=str(tmp_path / "out"), epochs=1, updates=0, device="cpu", precision="fp32", weights="fp32"
            ),
        )
    )
    assert report.file.exists()
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert len([line for line in lines if 0 < line.get("loss", 0) < 10]) == 3  # 10 images, 4 an update
    assert picture(1) in [path.read_bytes() for path in (tmp_path / "set" / "e621").glob("x*/*.webp")]
