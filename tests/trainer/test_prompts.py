"""Files of prompts, as sd-scripts has them."""

from __future__ import annotations

import pytest

from hakubooru.errors import InputError
from hakubooru_trainer.prompts import Prompt, read_prompts
from hakubooru_trainer.sample import Drawing, how_of

pytestmark = pytest.mark.slow


@pytest.fixture
def prompts(tmp_path):
    """What a file of these bytes is read as."""

    def read(data, name="p.txt"):
        (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        return read_prompts(tmp_path / name)

    return read


def test_lines_comments_and_a_byte_order_mark(prompts):
    assert prompts(b"\xef\xbb\xbf# first\r\n1girl, solo\r\n\r\n  #2\r\n  1boy \r\n") == [
        "1girl, solo",
        "1boy",
    ]


def test_options_are_those_of_sd_scripts(prompts):
    (first, second) = prompts(
        "1girl, solo --n lowres, bad-hands -- x --w 832 --H 1216 --d 1 --s 9 --l 7.5\n2girls\t--w 64\n"
    )
    assert (first, second) == ("1girl, solo", "2girls")
    how = Drawing(width=512, height=512, steps=24, seed=3, negative="blurry", tokens=75)
    assert how_of(first, how) == Drawing(
        width=832, height=1216, steps=9, guidance=7.5, negative="lowres, bad-hands -- x", tokens=75, seed=1
    )
    assert how_of(second, how) == Drawing(
        width=64, height=512, steps=24, seed=3, negative="blurry", tokens=75
    )
    assert how_of("plain text", how) is how


@pytest.mark.parametrize("text", ["well-known, k--on, ---, >--<", "1girl --", "a -- b"])
def test_hyphens_are_no_options(prompts, text):
    assert prompts(text) == [Prompt(text, {})]
    assert prompts(text)[0].options == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# only\n\n", "has no prompts; write one a line"),
        ("1girl\nsolo --xx 1", r"p\.txt, line 2: --xx is not an option of prompts; write --n"),
        ("1girl --ss euler_b", "--ss euler_b is not a sampler that is here; did you mean 'euler_a'"),
        ("1girl --cn image.png", "--cn is not an option of prompts"),
        ("1girl --width 832", "--width is not an option of prompts"),
        ("1girl --w wide", "--w wide has no number after it"),
        ("1girl --d", "--d has no number after it"),
        ("1girl --w 830", "--w 830 is not a width; write a multiple of 8"),
        ("1girl --h 100000", "--h 100000 is not a height; write a multiple of 8, from 64 to 8192, such as"),
        ("1girl --h 0", "--h 0 is not a height"),
        ("1girl --s 0", "--s 0 is not a number of steps"),
        ("1girl --d -1", "--d -1 is not a seed"),
        ("1girl --l nan", "--l nan is not a finite number"),
        ("--w 832 --h 64", "has no prompt before its first option"),
        (b"\x801", "name a text file in UTF-8"),
    ],
)
def test_what_cannot_be_drawn_is_told(prompts, text, message):
    with pytest.raises(InputError, match=message):
        prompts(text)


@pytest.mark.parametrize("name", ["p.json", "p.TOML"])
def test_another_kind_of_file_is_told(prompts, name):
    with pytest.raises(InputError, match="is not a text file of prompts; write one such as"):
        prompts("[]", name)
