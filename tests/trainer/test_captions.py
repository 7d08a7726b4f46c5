"""Several captions an image, mixed by chance, and prefixes."""

from __future__ import annotations

import hashlib
from collections import Counter

import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from hakubooru.errors import ConfigError, DataSetError
from hakubooru_trainer.config.data import CaptionOptions, DataOptions
from hakubooru_trainer.data import samples
from hakubooru_trainer.data.captions import StepCaptions
from hakubooru_trainer.data.samples import Sample
from hakubooru_trainer.distributed import Ranks
from training_pairs import write_pairs

ALONE = Ranks(torch.device("cpu"))
TAGS = "1girl ||| hat, sky, smile"
SAMPLE = Sample(
    "a.png", "00", f"{TAGS}\nA girl, smiling.\n\nA hat.", None, {"nl": "She wears a hat, and smiles."}
)


def count_captions(options, sample=SAMPLE, count=2000):
    captions = StepCaptions(options)
    return Counter(captions(sample, seed) for seed in range(count))


def test_captions_are_taken_as_often_as_the_mix_says():
    counts = count_captions(CaptionOptions(shuffle=False, mix={"caption": 3, "lines": 2, "nl": 1}))
    assert counts == {
        "1girl, hat, sky, smile": pytest.approx(1000, abs=100),
        "A girl, smiling.": pytest.approx(333, abs=75),
        "A hat.": pytest.approx(333, abs=75),
        "She wears a hat, and smiles.": pytest.approx(333, abs=75),
    }


def test_the_usual_caption_is_the_one_of_a_step_that_changes_nothing():
    """A text of two lines is one tag by its parts, and two without them; a cache of captions holds what steps ask for."""
    parts = '{"people": 1, "general": 2, "text": 1}'
    sample = SAMPLE._replace(caption="1girl ||| hat, sky, she sits\nand smiles", parts=parts)
    captions = StepCaptions(CaptionOptions(tags="general", shuffle=False))
    assert captions.unchanged(sample) == captions(sample, 7) == "1girl, hat, sky, she sits\nand smiles"


def test_only_tags_are_shuffled_and_dropped():
    counts = count_captions(CaptionOptions(drop_tags=0.3, mix={"caption": 0.5, "nl": 0.5}))
    assert counts["She wears a hat, and smiles."] == pytest.approx(1000, abs=100)
    assert len(counts) > 10


def test_a_dropped_caption_is_empty_whichever_it_is():
    counts = count_captions(CaptionOptions(drop_caption=0.25, mix={"nl": 1}))
    assert counts[""] == pytest.approx(500, abs=80)
    with_prefix = count_captions(
        CaptionOptions(drop_caption=0.25, mix={"nl": 1}), SAMPLE._replace(prefix="my style, ")
    )
    assert with_prefix == {"": counts[""], "my style, She wears a hat, and smiles.": 2000 - counts[""]}


def test_what_an_image_lacks_is_shared_by_the_others():
    mix = {"caption": 0.5, "lines": 0.4, "nl": 0.1}
    sample = SAMPLE._replace(caption=TAGS, others={"nl": None})
    assert set(count_captions(CaptionOptions(shuffle=False, mix=mix), sample)) == {"1girl, hat, sky, smile"}
    assert set(count_captions(CaptionOptions(mix=mix), SAMPLE._replace(caption="", others={}))) == {""}


def test_without_a_mix_the_bits_are_those_of_before():
    options = CaptionOptions(drop_tags=0.2)
    for seed in range(20):
        assert StepCaptions(options)(SAMPLE, seed) == options(SAMPLE.caption, seed)


def test_the_usual_caption_is_the_first_line_with_the_prefix():
    sample = SAMPLE._replace(prefix="style, ")
    assert StepCaptions(CaptionOptions(mix={"lines": 1})).unchanged(sample) == "style, 1girl, hat, sky, smile"
    assert StepCaptions(CaptionOptions(mix={"lines": 1})).unchanged(sample._replace(caption="")) == ""


def test_columns_come_from_the_manifest_and_are_in_the_fingerprint(tmp_path):
    folder = write_pairs(tmp_path / "export", [(64, 64)] * 3)
    table = parquet.read_table(folder / "manifest.parquet")
    plain = samples.load([DataOptions(path=str(folder))], ALONE).fingerprints()

    def write(texts):
        parquet.write_table(
            table.append_column("nl", pa.array(texts, pa.string())), folder / "manifest.parquet"
        )
        return samples.load([DataOptions(path=str(folder), prefix="p, ")], ALONE, ["nl"])

    first = write(["one", None, "three", None])
    assert [first[row].others["nl"] for row in range(3)] == ["one", None, "three"]
    assert first[0].prefix == "p, "
    assert first.fingerprints() != plain
    assert first.fingerprints() != write(["one", "two", "three", None]).fingerprints()
    assert samples.load([DataOptions(path=str(folder))], ALONE).fingerprints() == plain
    with pytest.raises(
        DataSetError, match=r"names nll, and .* has no texts in such a column; did you mean 'nl'"
    ):
        samples.load([DataOptions(path=str(folder))], ALONE, ["nll"])
    (folder / "manifest.parquet").unlink()
    with pytest.raises(DataSetError, match="has no manifest with such a column; only `caption` and `lines`"):
        samples.load([DataOptions(path=str(folder))], ALONE, ["nl"])


def test_the_place_of_a_line_end_is_in_the_fingerprint(tmp_path):
    """It was not in that of earlier versions, which states of such runs hold."""
    prints = []
    for texts in (["one\ntwo", "three"], ["one", "two\nthree"]):
        for number, text in enumerate(texts):
            Image.new("RGB", (64, 64), (number, 0, 0)).save(tmp_path / f"{number}.png")
            (tmp_path / f"{number}.txt").write_text(text)
        data = samples.load([DataOptions(path=str(tmp_path))], ALONE)
        hashes = "\n".join(hashlib.sha256(data.read(row)).hexdigest() for row in range(2))
        digest = hashlib.sha256(data.ids.astype("<i8").tobytes() + hashes.encode() + b"one\ntwo\nthree")
        fingerprint, earlier = data.fingerprints()
        assert earlier == f"sha256:{digest.hexdigest()}"
        prints.append(fingerprint)
    assert prints[0] != prints[1]


def test_parts_are_in_the_fingerprint_of_a_run_that_trains_by_them(tmp_path):
    folder = write_pairs(tmp_path / "export", [(64, 64)] * 2)
    table = parquet.read_table(folder / "manifest.parquet")
    prints = []
    for parts in ('{"general": 2}', '{"character": 1, "general": 1}'):
        column = pa.array([parts] * len(table), pa.string())
        place = table.column_names.index("parts")
        parquet.write_table(table.set_column(place, "parts", column), folder / "manifest.parquet")
        data = samples.load([DataOptions(path=str(folder))], ALONE)
        prints.append((data.fingerprints(), data.fingerprints(by_parts=True)))
    (first, first_by_parts), (second, second_by_parts) = prints
    assert first == second
    assert first_by_parts[0] != second_by_parts[0]
    assert first_by_parts[1] == second_by_parts[1] == first[1]


@pytest.mark.parametrize(("mix", "message"), [({"nl": -1}, "mix.nl is -1"), ({"nl": 0}, "takes no caption")])
def test_wrong_mixes_are_refused(mix, message):
    with pytest.raises(ConfigError, match=message):
        CaptionOptions(mix=mix)


HDM = {"separator": "$$", "group_separator": "%%", "written_separator": ", "}
GROUPED = Sample("a.png", "00", "1girl ||| hat $$ sky %% best quality %% safe", '{"general": 2}')


def test_the_groups_of_a_caption_are_shuffled_and_dropped():
    counts = count_captions(
        CaptionOptions(shuffle=False, shuffle_groups=True, drop_groups=0.5, **HDM), GROUPED
    )
    assert counts["1girl"] == pytest.approx(2000 / 8, abs=80)
    assert counts["1girl, safe, hat, sky"] == pytest.approx(2000 / 8 / 2, abs=60)
    assert len(counts) == 1 + 3 + 3 * 2 + 6
    options = CaptionOptions(shuffle_groups=True, drop_tags=0.25, drop_groups=0.3, **HDM)
    prefixed = GROUPED._replace(prefix="style, ")
    for seed in range(20):
        assert StepCaptions(options)(prefixed, seed) == f"style, {options(GROUPED.caption, seed)}"
    assert StepCaptions(options).unchanged(GROUPED) == "1girl, hat, sky, best quality, safe"


def test_groups_and_parts_exclude_each_other():
    with pytest.raises(ConfigError, match=r'group_separator needs captions.tags = "tail"'):
        CaptionOptions(tags="general", **HDM)
    with pytest.raises(ConfigError, match=r"\[captions\]: captions.shuffle_groups and drop_groups need"):
        CaptionOptions(shuffle_groups=True)


def test_a_text_and_tags_are_mixed_by_the_seed():
    """Kohaku XL Zeta's training: tags, or a sentence, or both."""
    parts = '{"people": 1, "general": 2, "text": 2, "rating": 1}'
    sample = Sample("a.png", "00", "1girl ||| hat, sky, A girl, smiling., safe", parts)
    counts = count_captions(
        CaptionOptions(shuffle=False, tags="general", text_only=0.25, tags_only=0.25), sample
    )
    assert counts == {
        "1girl, hat, sky, A girl, smiling., safe": pytest.approx(1000, abs=110),
        "1girl, A girl, smiling., safe": pytest.approx(500, abs=95),
        "1girl, hat, sky, safe": pytest.approx(500, abs=95),
    }
