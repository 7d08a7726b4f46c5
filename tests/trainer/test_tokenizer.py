"""CLIP's tokens on its true vocabulary: `!` is a byte like others, by OpenCLIP's own tokenizer and by a second BPE."""

from __future__ import annotations

import gzip
import itertools
import json
import re
import shutil
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hakubooru.caption.text import token_counter
from hakubooru.errors import ModelError
from hakubooru_trainer import text
from hakubooru_trainer.config.options import ModelOptions
from hakubooru_trainer.model.load import SHIPPED, load_tokenizer
from hakubooru_trainer.model.tokenizer import vocabulary

# By open_clip_torch 3.3.0's SimpleTokenizer.
OPEN_CLIP = {
    "love live!": [793, 1064, 256],
    "k-on!": [330, 268, 525, 256],
    "yu-gi-oh!": [8887, 268, 4478, 268, 1779, 256],
    "1girl, love live! sunshine!!, solo": [272, 1611, 267, 793, 1064, 256, 5385, 1443, 267, 5797],
    "!": [256],
    "!!": [748],
    "!?": [6004],
    "?!": [2835],
    "a!b": [320, 256, 321],
    "looking at viewer, :3, >_<, ^_^, ;), o_o, \\m/, +_+": [1312, 536, 15061, 267, 281, 274, 267, 44144, 27, 267, 14423, 61, 267, 26, 2361, 334, 318, 334, 267, 315, 332, 14, 267, 10, 62, 266],
    "hatsune miku (append)": [3447, 41096, 37703, 263, 882, 806, 264],
    "artist:wlop, (masterpiece:1.2)": [2456, 281, 86, 17066, 267, 263, 12066, 281, 272, 269, 273, 264],
    "初音ミク, ねこ": [42748, 251, 165, 253, 111, 2429, 253, 3909, 363, 267, 4813, 255, 4813, 497],
    "pokémon, café": [22066, 267, 15304],
    "CAFÉ Naïve": [15304, 1097, 35689, 563],
    "it's 2024, 1990s (style)": [585, 568, 273, 271, 273, 275, 267, 272, 280, 280, 271, 338, 263, 1844, 264],
    "don't, they're": [847, 713, 267, 889, 982],
    "100% orange juice!": [272, 271, 271, 260, 4287, 6916, 256],
    "re:zero kara hajimeru isekai seikatsu": [810, 281, 5848, 12552, 560, 3190, 517, 340, 7669, 9601, 13130, 43712],
    "nier:automata, yorha no. 2 type b": [13014, 281, 4114, 4236, 267, 2028, 1429, 871, 269, 273, 3877, 321],
    "steins;gate": [795, 1041, 282, 3302],
    "♪, ★☆, 💖": [27364, 267, 9339, 23941, 267, 5582],
    "@_@, =_=, ||_||, :d, xd": [31, 62, 31, 267, 28, 62, 28, 267, 91, 91, 62, 91, 91, 267, 281, 323, 267, 6380],
    "girls' frontline": [1917, 262, 29589],
    "": [],
    "idolm@ster, the idolm@ster cinderella girls": [24866, 332, 287, 881, 267, 518, 24866, 332, 287, 881, 21515, 1917],
    "multiple   spaces\tand tabs": [6470, 9006, 537, 29163],
}  # fmt: skip
START, END = 49406, 49407
SINGLE = ModelOptions(path="sdxl.safetensors")


@pytest.fixture(scope="module")
def merges():
    with gzip.open(SHIPPED / "tokenizer" / "merges.txt.gz", "rt", encoding="utf-8") as lines:
        return [tuple(line.split()) for line in lines]


@pytest.fixture(scope="module", params=["as shipped", "from a folder", "from a folder with one file"])
def tokenizers(request, merges, tmp_path_factory):
    """Both of SDXL's, the second with `!` for its padding in each of the ways that folders say so."""
    if request.param == "as shipped":
        return [load_tokenizer(SINGLE, name) for name in ("tokenizer", "tokenizer_2")]
    root = tmp_path_factory.mktemp("tokenizers")
    for name, pad in (("tokenizer", "<|endoftext|>"), ("tokenizer_2", "!")):
        write_folder(root / name, merges, pad, one_file=request.param.endswith("one file"))
    options = ModelOptions(path="sdxl.safetensors", tokenizers=str(root))
    return [load_tokenizer(options, name) for name in ("tokenizer", "tokenizer_2")]


def write_folder(folder, merges, pad, *, one_file=False):
    """A tokenizer as Stability's SDXL has it, or as transformers 5 saves it."""
    folder.mkdir()
    about = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "pad_token": pad}
    about["added_tokens_decoder"] = {
        str(number): {"content": word, "lstrip": False, "normalized": number > 0, "rstrip": False}
        | {"single_word": False, "special": True}
        for number, word in ((0, pad), (START, "<|startoftext|>"), (END, "<|endoftext|>"))
        if number or pad == "!"
    }
    (folder / "vocab.json").write_text(json.dumps(vocabulary(merges)), encoding="utf-8")
    (folder / "merges.txt").write_text(
        "#version: 0.2\n" + "".join(f"{one} {two}\n" for one, two in merges), encoding="utf-8"
    )
    (folder / "tokenizer_config.json").write_text(json.dumps(about), encoding="utf-8")
    if one_file:
        from transformers import CLIPTokenizerFast

        CLIPTokenizerFast.from_pretrained(folder, local_files_only=True).save_pretrained(folder)
        for name in ("vocab.json", "merges.txt"):
            (folder / name).unlink()


def simple_bpe(merges):
    """CLIP's tokens by its paper's rule, written plainly: in each word the merge of the lowest rank, until none is left."""
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    numbers = vocabulary(merges)
    letters = [*numbers][:256]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    order = printable + [byte for byte in range(256) if byte not in printable]
    letter_of = dict(zip(order, letters, strict=True))

    def ids(caption):
        tokens = []
        clean = " ".join(unicodedata.normalize("NFC", caption).split()).lower()
        for word in re.findall(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|(?:[^\w\s]|_)+", clean):
            pieces = [letter_of[byte] for byte in word.encode()]
            pieces[-1] += "</w>"
            while pairs := [pair for pair in itertools.pairwise(pieces) if pair in ranks]:
                first, second = min(pairs, key=ranks.__getitem__)
                at = next(i for i in range(len(pieces)) if pieces[i : i + 2] == [first, second])
                pieces[at : at + 2] = [first + second]
            tokens += [numbers[piece] for piece in pieces]
        return tokens

    return ids


def test_the_vocabulary_is_clips(merges):
    numbers = vocabulary(merges)
    assert (len(merges), len(numbers)) == (48_894, 49_408)
    assert (numbers["!"], numbers["!</w>"]) == (0, 256)
    assert (numbers["<|startoftext|>"], numbers["<|endoftext|>"]) == (START, END)


@pytest.mark.slow
def test_tokens_are_open_clips(tokenizers):
    for tokenizer in tokenizers:
        ids = text.token_ids(tokenizer, [*OPEN_CLIP])
        assert dict(zip(OPEN_CLIP, ids, strict=True)) == OPEN_CLIP


@pytest.mark.slow
def test_each_pads_as_its_encoder_learned_it(tokenizers):
    for tokenizer, pad in zip(tokenizers, (END, 0), strict=True):
        ((chunk,),) = text.tokenize(tokenizer, ["love live!"], 1).tolist()
        assert chunk == [START, 793, 1064, 256, END, *[pad] * 72]


@pytest.mark.slow
def test_a_tokenizer_of_transformers_itself_does_no_harm(merges, tmp_path):
    from transformers import CLIPTokenizerFast

    write_folder(tmp_path / "tokenizer_2", merges, "!")
    plain = CLIPTokenizerFast.from_pretrained(tmp_path / "tokenizer_2", local_files_only=True)
    assert text.tokenize(plain, ["k-on!"], 1)[0, 0, :7].tolist() == [START, 330, 268, 525, 256, END, 0]
    assert (
        token_counter(str(tmp_path / "tokenizer_2"))("!!! !!")
        == len(text.token_ids(plain, ["!!! !!"])[0])
        == 2
    )


@pytest.mark.slow
def test_the_second_pads_with_0_though_its_folder_says_otherwise(merges, tmp_path):
    """laion's own folder of this encoder pads with the end mark; OpenCLIP, ComfyUI and sd-scripts with 0."""
    write_folder(tmp_path / "tokenizer_2", merges, "<|endoftext|>")
    options = ModelOptions(path="sdxl.safetensors", tokenizers=str(tmp_path))
    assert text.tokenize(load_tokenizer(options, "tokenizer_2"), ["x!"], 1)[0, 0, :5].tolist() == [
        START, 343, 256, END, 0,
    ]  # fmt: skip


@pytest.mark.slow
def test_words_like_the_marks_are_plain_text(tokenizers):
    """They end no caption: the pooled output is taken at the first end mark."""
    for tokenizer in tokenizers:
        ids = text.token_ids(tokenizer, ["solo <|endoftext|> <|startoftext|> smile"])[0]
        assert not {START, END} & {*ids}


@pytest.mark.slow
@settings(max_examples=150)
@given(st.text(st.sampled_from("abklovexyz!?:;<>_^-()'.0123456789 ,é日ミ★"), max_size=40))
def test_tokens_are_those_of_a_second_bpe(clip, caption):
    first, second, plain = clip
    assert text.token_ids(first, [caption]) == text.token_ids(second, [caption]) == [plain(caption)]


@pytest.fixture(scope="module")
def clip(merges):
    return load_tokenizer(SINGLE, "tokenizer"), load_tokenizer(SINGLE, "tokenizer_2"), simple_bpe(merges)


@pytest.mark.slow
def test_more_tokens_than_the_encoder_knows_are_refused(tiny, tmp_path):
    """A small model whose folder has no tokenizer: SDXL's is none for it."""
    shutil.copytree(tiny / "text_encoder", tmp_path / "text_encoder")
    with pytest.raises(ModelError, match=r"has 49,408 tokens, but the model's text_encoder has 5\d\d; set"):
        load_tokenizer(ModelOptions(path=str(tmp_path)), "tokenizer")


def test_a_folder_that_is_named_and_has_none_is_told(tmp_path):
    with pytest.raises(ModelError, match=r"set model\.tokenizers to a folder .* or remove it"):
        load_tokenizer(ModelOptions(path="sdxl.safetensors", tokenizers=str(tmp_path)), "tokenizer")
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read as a CLIP tokenizer"):
        load_tokenizer(ModelOptions(path="sdxl.safetensors", tokenizers=str(tmp_path)), "tokenizer")
