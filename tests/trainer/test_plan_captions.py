"""What a plan says of captions, of folders in kohya's layout, and of captions that were corrected by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hakubooru.errors import DataSetError
from hakubooru_trainer.config.options import CaptionOptions, DataOptions
from hakubooru_trainer.data import samples
from hakubooru_trainer.data.captions import StepCaptions
from hakubooru_trainer.data.kohya import data_sets, unread_repeats, without_repeats
from hakubooru_trainer.distributed import Ranks
from hakubooru_trainer.plan import plan
from pictures import picture
from training_pairs import write_pairs

pytestmark = pytest.mark.slow

ALONE = Ranks(torch.device("cpu"))


def of_folder(folder, **data):
    return samples.load([DataOptions(path=str(folder), **data)], ALONE)


def write(folder, **captions):
    for name, caption in captions.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.png").write_bytes(picture(ord(name), "png"))
        (folder / f"{name}.txt").write_text(caption, encoding="utf-8")


def texts(data):
    return [text for some in data.texts() for text in some]


def test_captions_that_were_corrected_by_hand_are_used(tmp_path):
    write_pairs(tmp_path, [(64, 64)] * 4)
    original = of_folder(tmp_path)
    rows = [original[row] for row in range(4)]
    (tmp_path / "x001" / "2.txt").write_text("1girl, corrected by hand\n", encoding="utf-8-sig")
    (tmp_path / "x001" / "3.txt").write_bytes(b"\x80")
    (tmp_path / "x001" / "4.txt").write_text(
        f"{rows[3].caption}\n"
    )  # an editor's line end is no other caption
    data = of_folder(tmp_path)
    assert data.ids.tolist() == [1, 2, 4]
    assert [data[row] for row in (0, 2)] == [rows[0], rows[3]]
    assert data[1] == rows[1]._replace(caption="1girl, corrected by hand", parts=None)
    assert texts(data) == [data[row].caption for row in range(3)]
    assert texts(data.take(torch.tensor([1, 2]).numpy())) == ["1girl, corrected by hand", rows[3].caption]
    assert data.corrected.tolist() == [-1, 1, -1]
    assert data.left_out["its caption is not in UTF-8"] == 1
    assert data.fingerprints() != original.fingerprints()
    (tmp_path / "x001" / "2.txt").write_text(rows[1].caption)
    (tmp_path / "x001" / "3.txt").unlink()
    assert of_folder(tmp_path).fingerprints() == original.fingerprints()


def test_a_correction_of_the_same_length_and_age_is_seen(tmp_path):
    import os

    write_pairs(tmp_path, [(64, 64)])
    path = tmp_path / "x001" / "1.txt"
    age = path.stat().st_mtime_ns - 10**12
    path.write_text(path.read_text().replace("blue", "grey"))
    os.utime(path, ns=(age, age))
    assert "grey" in of_folder(tmp_path)[0].caption


def test_a_list_that_was_corrected_by_hand_is_used(tmp_path):
    write_pairs(tmp_path, [(64, 64)] * 2)
    for path in tmp_path.glob("x001/*.txt"):
        path.unlink()
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "x001/2.png", "text": "corrected"}\n')
    assert texts(of_folder(tmp_path))[1] == "corrected"


def test_captions_with_and_without_parts():
    change = StepCaptions(CaptionOptions(tags="general", drop_parts={"character": 1}, drop_tags=1))
    sample = samples.Sample(
        "a.png", "", "1girl, miku ||| hat, safe", '{"people": 1, "character": 1, "general": 1, "rating": 1}'
    )
    assert change(sample, 1) == "1girl, safe"
    assert change.sides(sample) == (["1girl", "miku"], ["hat"], ["safe"])
    assert change(sample._replace(parts=None), 1) == "1girl, miku"
    assert change.sides(sample._replace(parts=None)) == (["1girl", "miku"], ["hat", "safe"], [])


def test_a_plan_shows_three_captions(options, export):
    (export / "x001" / "1.txt").write_text("1girl,corrected ||| hat,smile ||| best")
    preview = plan(options(captions=CaptionOptions(drop_tags=0.15)))
    text = str(preview)
    assert preview.corrected == 1
    assert "1 with a caption that was changed since its export: the caption in its file is used" in text
    lines = [line[12:] for line in text.splitlines()]
    at = lines.index(next(line for line in lines if line.startswith(f"{export}/x001/1.png, ")))
    assert lines[at + 1 : at + 4] == [
        "  fixed: 1girl, corrected", "  shuffled, 0.15 of them dropped: hat, smile", "  fixed: best",
    ]  # fmt: skip
    assert lines[at + 4].startswith("  one step: 1girl, corrected, ")
    assert text.count("shuffled, 0.15 of them dropped: ") == 3
    output = str(plan(options(captions=CaptionOptions(tags="general", shuffle=False))))
    assert "  unchanged: stripes, blue, number 8, solo" in output


def test_a_plan_shows_the_prefix_and_that_there_are_no_lines(options, export):
    run = options(
        data=(DataOptions(path=str(export), prefix="my style, "),),
        captions=CaptionOptions(shuffle=False, mix={"caption": 1, "lines": 1}),
    )
    preview = plan(run)
    assert "  fixed: my style, 1girl, character 8" in str(preview)
    assert "  one step: my style, 1girl, character 8, stripes, blue, number 8, solo" in str(preview)
    warning = "captions.mix takes lines, and none of 8 captions that were read has a line below the first"
    assert warning in preview.warnings
    (export / "x001" / "2.txt").write_text("1girl ||| hat\nA girl with a hat.")
    assert warning not in plan(run).warnings


@pytest.mark.parametrize(
    ("folders", "repeats"),
    [
        (["10_miku", "3_rin kagamine"], {"10_miku": 10, "3_rin kagamine": 3}),
        (["010_miku"], {"010_miku": 10}),
        (["0_off", "3_rin"], {"3_rin": 3}),
        (["x001", "10_miku"], {"": 1}),
        (["miku"], {"": 1}),
        (["10"], {"": 1}),
    ],
)
def test_kohyas_folders_say_how_often_their_images_stand_in_an_epoch(tmp_path, folders, repeats):
    for name in folders:
        write(tmp_path / "set" / name, a="1girl", b="1boy")
    (tmp_path / "set" / "notes.md").write_text("mine")
    data = DataOptions(path=str(tmp_path / "set"), weight=0.5)
    expected = {f"{data.path}/{name}".rstrip("/"): count for name, count in repeats.items()}
    assert {source.path: source.repeats for source in data_sets(data)} == expected
    assert len(samples.load([data], ALONE)) == 2 * len(repeats if "" not in repeats else folders)
    assert without_repeats(data) == [name for name in folders if name.startswith("0_")]
    assert [source.repeats for source in data_sets(replace(data, repeats=2))] == [2]
    assert unread_repeats(replace(data, repeats=2)) == []
    hints = [name for name in folders if name[0] in "12" and "_" in name] if "" in repeats else []
    assert unread_repeats(data) == hints


def test_folders_that_all_ask_for_no_repeats_are_refused(tmp_path):
    write(tmp_path / "0_off", a="1girl")
    with pytest.raises(DataSetError, match="the names of all folders begin with 0"):
        data_sets(DataOptions(path=str(tmp_path)))


def test_a_path_that_is_called_so_itself(tmp_path, monkeypatch):
    write(tmp_path / "10_miku", a="1girl")
    assert [source.repeats for source in data_sets(DataOptions(path=str(tmp_path / "10_miku")))] == [10]
    monkeypatch.chdir(tmp_path / "10_miku")
    assert [source.repeats for source in data_sets(DataOptions(path="."))] == [10]
    write_pairs(tmp_path / "2024_export", [(64, 64)])
    data = DataOptions(path=str(tmp_path / "2024_export"))
    assert [source.repeats for source in data_sets(data)] == [1]
    assert unread_repeats(data) == ["2024_export"]


def test_images_beside_kohyas_folders_are_not_lost(tmp_path):
    write(tmp_path / "10_miku", a="1girl")
    write(tmp_path, b="1boy")
    data = DataOptions(path=str(tmp_path))
    assert len(samples.load([data], ALONE)) == 2
    assert unread_repeats(data) == ["10_miku"]


def test_a_plan_says_how_often(options, tmp_path):
    write(tmp_path / "set" / "10_miku", a="1girl", b="1boy")
    preview = plan(options(data=(DataOptions(path=str(tmp_path / "set")),)))
    assert f"{tmp_path}/set/10_miku: 2 images, each 10 times an epoch" in str(preview)
    (tmp_path / "set" / "more").mkdir()
    assert "the number in the name of 10_miku has no effect" in str(
        plan(options(data=(DataOptions(path=str(tmp_path / "set")),)))
    )
