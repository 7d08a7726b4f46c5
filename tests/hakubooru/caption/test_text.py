from __future__ import annotations

import importlib.util
import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakubooru.caption import Captioner, CaptionFormat
from hakubooru.caption.text import join_parts, token_counter, trimmed
from hakubooru.errors import CaptionFormatError

PARTS = {
    "people": ["1girl"],
    "artist": ["ask"],
    "general": ["long hair", "solo", "smile"],
    "meta": ["highres", "absurdres"],
    "rating": ["nsfw", "explicit"],
}
ORDER = ("people", "artist", "keep", "general", "meta", "rating")


def words_and_commas(text):
    return len(text.replace(",", " , ").split())


def shape(**limits):
    tokenizer = {"tokenizer": "folder"} if "max_tokens" in limits else {}
    return CaptionFormat(order=ORDER, **tokenizer, **limits)


# "1girl, ask ||| long hair, solo, smile, highres, absurdres, nsfw, explicit": 18 by this count.
@pytest.mark.parametrize(
    ("limits", "rest"),
    [
        ({"max_tokens": 18}, {}),
        ({"max_tokens": 17}, {"meta": ["highres"]}),
        ({"max_tokens": 16}, {"meta": ["highres"]}),
        ({"max_tokens": 15}, {"meta": []}),
        ({"max_tokens": 10}, {"meta": [], "general": ["long hair"]}),
        ({"max_tokens": 1}, {"meta": [], "general": [], "artist": [], "people": []}),
        ({"max_tokens": 14, "trim": ["general"]}, {"general": ["long hair"]}),
        ({"max_tags": 6, "max_tokens": 18}, {"meta": ["highres"]}),
        ({"max_tags": 4}, {"meta": [], "general": ["long hair", "solo"]}),
        ({"max_tags": 1, "trim": ["meta"]}, {"meta": []}),
    ],
)
def test_whole_tags_go_from_the_end_of_the_least_important_part(limits, rest):
    parts = trimmed(PARTS, shape(**limits), words_and_commas if "max_tokens" in limits else None)
    assert parts == PARTS | rest


@given(st.integers(1, 30), st.integers(1, 10))
def test_no_more_is_taken_than_the_limit_asks_for(tokens, tags):
    form = shape(max_tokens=tokens, max_tags=tags)
    parts = trimmed(PARTS, form, words_and_commas)
    tag_parts = [part for part in parts if part != "rating"]

    assert parts["rating"] == PARTS["rating"]
    assert all(parts[part] == PARTS[part][: len(parts[part])] for part in parts)
    assert sum(len(parts[part]) for part in tag_parts) <= tags
    if words_and_commas(join_parts(parts, form)) > tokens:
        assert not any(parts[part] for part in tag_parts)


@pytest.fixture
def tokenizer(tmp_path):
    """A folder with a CLIP tokenizer whose every token is a letter: small, and enough to count with."""
    pytest.importorskip("transformers")
    signs = string.ascii_lowercase + string.digits + string.punctuation
    entries = [*signs, *(f"{sign}</w>" for sign in signs), "<|startoftext|>", "<|endoftext|>"]
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    vocabulary = {entry: number for number, entry in enumerate(entries)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    return folder


@pytest.mark.slow
def test_tokens_are_clip_s_own_without_start_and_end(tokenizer):
    count = token_counter(str(tokenizer))
    assert count("solo, hat") == len("solo") + len(",") + len("hat")


@pytest.mark.slow
def test_captions_keep_within_their_tokens(tokenizer, booru):
    db = booru({1: ("1girl solo long_hair highres", {})})
    form = {"order": ["people", "general", "meta"], "max_tokens": 11, "tokenizer": str(tokenizer)}
    assert list(Captioner(db, form).captions(db.posts.to_ids())) == [(1, "1girl, solo")]


def test_a_folder_without_a_tokenizer_is_told(tmp_path):
    pytest.importorskip("transformers")
    with pytest.raises(CaptionFormatError, match=r"holds neither vocab\.json nor tokenizer\.json"):
        token_counter(str(tmp_path))


def test_a_missing_extra_is_told():
    if importlib.util.find_spec("transformers") is not None:
        pytest.skip("transformers is installed")
    with pytest.raises(CaptionFormatError, match="`max_tokens` needs transformers, which is not installed"):
        token_counter("tokenizer")
