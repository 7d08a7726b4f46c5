"""--set: settings of captions, images and the form of a data set without a TOML file."""

from __future__ import annotations

import io

import pytest
from PIL import Image

import hakubooru as hb
from booru import post_row, write
from hakubooru.errors import InputError
from hakubooru.overrides import override
from pictures import files_of, picture, write_tar
from whole_command import call


@pytest.fixture
def posts(tmp_path):
    write(
        tmp_path / "posts.db",
        [post_row(number) for number in (1, 2)],
        lambda _: ["1girl", "long_hair", "solo"],
    )
    write_tar(tmp_path / "images" / "data.tar", {f"{number}.webp": picture(number) for number in (1, 2)})
    return tmp_path


def export(folder, *options):
    images = ("--images", folder / "images", "--out", folder / "out")
    return call("export", folder / "posts.db", *images, *options)


@pytest.mark.slow
def test_images_are_converted_and_captions_changed(posts):
    code, _, error = export(posts, "--set", "image.format=png", "--set", 'caption.separator="; "')
    assert code == 0, error
    files = files_of(posts / "out")
    assert Image.open(io.BytesIO(files["x001/1.png"])).format == "PNG"
    assert files["x001/1.txt"] == b"1girl ||| long hair; solo; worst quality; old; safe"


def test_values_replace_those_of_the_recipe(posts):
    recipe = posts / "mine.toml"
    recipe.write_text('caption = "danbooru"\n[image]\nformat = "jpeg"\nquality = 90\n', encoding="utf-8")
    code, _, error = export(
        posts, "--recipe", recipe, "--set", "image.format=webp", "--set", "output.sink=captions"
    )
    assert code == 0, error
    assert not list((posts / "out").rglob("*.webp"))
    assert hb.Recipe.load(recipe).with_settings(["image.quality=80"]).image == {
        "format": "jpeg",
        "quality": 80,
    }


def test_the_caption_command_takes_it_too(posts):
    plain = call("caption", posts / "posts.db", "--caption", "danbooru")[1]
    assert plain == "1  1girl long_hair solo\n2  1girl long_hair solo\n"
    fewer = call("caption", posts / "posts.db", "--caption", "danbooru", "--set", "caption.max_tags=2")[1]
    assert [len(line.split()) for line in fewer.splitlines()] == [3, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("imge.format=webp", "'imge' is not a section of settings; did you mean 'image'?"),
        ("image.format", "write section.key=value, such as image.format=webp"),
        ("image=webp", "write section.key=value, such as image.format=webp"),
        ("image.fromat=webp", "did you mean 'format'?"),
        ("image.format=webpp", "webp"),
        ("caption.max_tag=1", "did you mean 'max_tags'?"),
        ("output.sink=foldr", "folder"),
    ],
)
def test_mistakes(posts, text, message):
    code, out, error = export(posts, "--set", text)
    assert (code, out) == (2, "")
    assert message in error
    assert "Traceback" not in error
    assert not (posts / "out").exists()


def test_values_are_toml_or_bare_words_and_tables_nest():
    table = {"a": {"b": 1}, "rows": [{"x": 1}, {"x": 2}]}
    for text in ("a.b=2.5", "a.c = [1, 2]", "new.d.e=word with blanks", "rows.1.x='3'"):
        override(table, text, example="a.b=1")
    assert table == {
        "a": {"b": 2.5, "c": [1, 2]},
        "rows": [{"x": 1}, {"x": "3"}],
        "new": {"d": {"e": "word with blanks"}},
    }
    for mistake in ("a", "a=1", ".b=1", "a..b=1", "rows.x=1", "rows.2.x=1", "a.b.c=1"):
        with pytest.raises(InputError, match="--set"):
            override(table, mistake, example="a.b=1")


def test_the_base_of_a_caption_is_a_setting_too(posts):
    _, noobai, _ = call("caption", posts / "posts.db", "--caption", "noobai")
    assert call("caption", posts / "posts.db", "--set", "caption.base=noobai") == (0, noobai, "")
    code, _, stderr = call("caption", posts / "posts.db", "--caption", "")
    assert code == 2
    assert "there is no caption format ''" in stderr


def test_blanks_of_a_bare_word_are_meant():
    """A shell takes the quotes of `--set caption.separator=", "` away."""
    table = {}
    for text in ("caption.separator=, ", "caption.prefix=a b ", "image.format = webp "):
        override(table, text, example="a.b=c")
    assert table == {"caption": {"separator": ", ", "prefix": "a b "}, "image": {"format": "webp"}}


@pytest.mark.slow
def test_own_images_need_no_database(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "a.png").write_bytes(picture(1, "png"))
    (own / "a.caption").write_text("mine")
    code, stdout, stderr = call(
        "export", "--own", own, "--out", tmp_path / "out", "--set", "image.format=webp"
    )
    assert (code, stderr) == (0, "")
    assert stdout.startswith("1 of 1 ")
    files = files_of(tmp_path / "out")
    assert [data for name, data in files.items() if name.endswith(".txt")] == [b"mine"]
    assert any(name.endswith(".webp") for name in files)
    of_posts = (
        ("--images", own),
        ("--sample", 3),
        ("--limit", 1),
        ("--seed", 0),
        ("--implications",),
        ("--caption", "noobai"),
    )
    for options in (
        ["--images", own],
        [],
        *(["--own", own, *option] for option in (*of_posts, ("--set", "caption.max_tags=1"))),
    ):
        code, _, stderr = call("export", "--out", tmp_path / "other", *options)
        assert code == 2
        assert "FILE is missing: give the metadata database; only --own needs none" in " ".join(
            stderr.split()
        )
    assert not (tmp_path / "other").exists()
