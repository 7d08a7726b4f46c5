from __future__ import annotations

import pandas as pd
import pytest
from click.testing import CliRunner

from booru import post_row, write
from hakubooru_cli.main import cli
from pictures import files_of, picture, write_tar

SIZE = sum(len(picture(i)) for i in range(1, 7))


@pytest.fixture
def posts(tmp_path):
    rows = [post_row(i, rating="general" if i % 2 else "explicit") for i in range(1, 9)]
    write(tmp_path / "posts.db", rows, lambda _: ["1girl", "long_hair"])
    write_tar(tmp_path / "images" / "data.tar", {f"{i}.webp": picture(i) for i in range(1, 7)})
    return tmp_path


def export(folder, *options):
    arguments = [
        "export",
        folder / "posts.db",
        "--images",
        folder / "images",
        "--out",
        folder / "out",
        *options,
    ]
    return CliRunner().invoke(cli, list(map(str, arguments)))


def test_export_says_what_it_did(posts):
    result = export(posts)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"6 of 8 posts are in {posts / 'out'} ({SIZE} bytes).",
        "Left out: no archive holds it (2).",
    ]
    assert files_of(posts / "out")["x003/3.txt"] == b"1girl ||| long hair, worst quality, old, safe"


def test_again_it_finds_everything_there(posts):
    export(posts)
    assert f"({SIZE} bytes; 6 were there before)" in export(posts).stdout


def test_strict_makes_a_miss_a_failure(posts):
    from hakubooru.errors import IncompleteError

    result = export(posts, "--strict")
    assert isinstance(result.exception, IncompleteError)
    assert result.exception.exit_code == 1
    assert "no archive holds it (2)" in str(result.exception)
    assert len(pd.read_parquet(posts / "out" / "manifest.parquet")) == 8


def test_nothing_exported_is_a_failure_that_says_why(posts):
    from hakubooru.errors import IncompleteError

    write_tar(posts / "images" / "data.tar", {"99.webp": picture(1), "cat.webp": picture(1)})
    result = export(posts)
    assert isinstance(result.exception, IncompleteError)
    assert "0 of 8 posts" in str(result.exception)
    assert "no archive holds it (8)" in str(result.exception)
    assert "no post id for a name (1: cat.webp)" in str(result.exception)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--caption", "kohaku-epsilom"], "did you mean 'kohaku-epsilon'"),
        (["--workers", "0"], "0 is not in the range"),
        (["--images", "nowhere"], "nowhere does not exist; correct the path"),
    ],
)
def test_wrong_input_writes_nothing(posts, options, message):
    result = export(posts, *options)
    assert message in str(result.exception) + result.stderr
    assert getattr(result.exception, "exit_code", 2) == 2 or result.exit_code == 2
    assert not (posts / "out").exists()


def test_another_caption_format_for_the_same_folder_is_refused_and_named(posts):
    import hakubooru as hb

    export(posts)
    with (
        hb.open(posts / "posts.db") as db,
        pytest.raises(
            hb.InputError, match=r"begun with other options: caption\.escape was false and is now true"
        ),
    ):
        db.posts.export(
            posts / "out", images=posts / "images", caption={"base": "kohaku-epsilon", "escape": True}
        )


def test_sources_shows_what_is_there_and_what_of_a_selection(posts):
    write_tar(posts / "images" / "updates/20240601/data-1.tar", {"1.webp": picture(1), "cat.webp": b""})
    (posts / "images" / "0007").mkdir()
    (posts / "images" / "0007" / "7.jpg").write_bytes(picture(7, "jpg"))
    path = posts / "images" / "0002.tar"
    write_tar(path, {"2.webp": picture(2), "1002.webp": picture(3)})
    path.write_bytes(path.read_bytes()[:2100])
    (posts / "ids.txt").write_text("1\n2\n7\n8\n")
    result = CliRunner().invoke(cli, ["sources", str(posts / "images"), "--ids", str(posts / "ids.txt")])
    images = posts / "images"
    assert result.output.splitlines() == [
        f"{images}: update 20240601 updates by id % 10, tars: 1 archive, 1 image, 0.00 MB, 1 wanted, 1 other",
        f"{images}: NNNN by id % 1000, tars: 1 archive, 2 images, 0.00 MB, 1 wanted, 1 damaged",
        "  0002.tar ends at byte 2,100 without an end mark",
        f"{images}: NNNN by id % 1000, folders: 1 archive, 1 image, 0.00 MB, 1 wanted",
        f"{images}: unknown, tars: 1 archive, 6 images, 0.00 MB",
        "3 of 4 selected posts have an image",
    ]


def test_sources_names_the_first_damaged_archives_and_counts_the_rest(tmp_path):
    for number in range(5):
        (tmp_path / f"000{number}.tar").write_bytes(b"<html>" * 500)
    (tmp_path / "0000.tar").rename(tmp_path / "0\x1b[2J.tar")
    result = CliRunner().invoke(cli, ["sources", str(tmp_path)])
    assert result.output.splitlines() == [
        f"{tmp_path}: unknown, tars: 1 archive, 0 images, 0.00 MB, 1 damaged",
        r"  0\x1b[2J.tar is not a tar archive",
        f"{tmp_path}: NNNN by id % 1000, tars: 4 archives, 0 images, 0.00 MB, 4 damaged",
        *[f"  000{number}.tar is not a tar archive" for number in (1, 2, 3)],
        "  and 1 more",
    ]


@pytest.mark.slow
def test_a_recipe_says_what_becomes_of_images(posts):
    write_tar(
        posts / "images" / "more.tar",
        {"7.png": picture(7, "png", (640, 480)), "8.png": picture(8, "png", (9, 9))},
    )
    recipe = posts / "small.toml"
    recipe.write_text('[image]\nformat = "jpeg"\nmax_side = 64\nmin_side = 10\n')
    assert export(posts, "--recipe", recipe).exit_code == 0
    table = pd.read_parquet(posts / "out" / "manifest.parquet").set_index("id")
    assert (table.path[7], table.width[7], table.height[7]) == ("x007/7.jpg", 64, 48)
    assert (table.status[8], table.reason[8]) == ("unfit", "a side below 10 pixels")
    assert set(table.path.dropna().str[-4:]) == {".jpg"}
    assert CliRunner().invoke(cli, ["verify", str(posts / "out"), "--decode"]).exit_code == 0
    recipe.write_text('[image]\nformat = "jpeg"\nmax_side = 65\nmin_side = 10\n')
    refused = export(posts, "--recipe", recipe)
    assert "image.max_side was 64 and is now 65" in str(refused.exception)
    recipe.write_text('[image]\nfromat = "jpeg"\n')
    assert "[image] has no key 'fromat'" in str(export(posts, "--recipe", recipe).exception)


def test_a_recipe_says_in_which_form_it_is_written(posts):
    recipe = posts / "shards.toml"
    recipe.write_text('[output]\nsink = "webdataset"\nshard_images = 4\n')
    assert export(posts, "--recipe", recipe).exit_code == 0
    table = pd.read_parquet(posts / "out" / "manifest.parquet")
    assert table.path.dropna().str.rpartition("/")[0].value_counts().tolist() == [4, 2]
    recipe.write_text('[output]\nsink = "webdataset"\nshard_images = 5\n')
    refused = export(posts, "--recipe", recipe)
    assert "output.shard_images was 4 and is now 5" in str(refused.exception)
    texts = f"export {posts / 'posts.db'} --recipe {recipe} --sink captions --out {posts / 'texts'}"
    assert CliRunner().invoke(cli, texts.split()).exit_code == 0
    assert files_of(posts / "texts")["x003/3.txt"] == b"1girl ||| long hair, worst quality, old, safe"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('snik = "folder"', "[output] has no key 'snik'; did you mean 'sink'?"),
        ('sink = "web_dataset"', "output.sink = \"web_dataset\"; did you mean 'webdataset'?"),
        ("shard_bytes = 0", "output.shard_bytes = 0; write a whole number of at least 1"),
        ("shard_images = 1.5", "output.shard_images = 1.5; write a whole number of at least 1"),
    ],
)
def test_a_wrong_form_is_told(posts, line, message):
    recipe = posts / "shards.toml"
    recipe.write_text(f"[output]\n{line}\n")
    result = export(posts, "--recipe", recipe)
    assert str(result.exception) == f"{recipe}: {message}"
    assert not (posts / "out").exists()
