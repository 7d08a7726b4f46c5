"""Captions that were corrected by hand stay, are counted and told; `repair` takes the manifest's back."""

from __future__ import annotations

import os

import pytest

import hakubooru as hb
from exports import run, start_the_machine_anew
from hakubooru import repair, verify
from pictures import files_of, picture, write_tar


def export(out):
    with hb.open(out.parent / "posts.db") as database:
        return database.posts.export(out, images=out.parent / "images")


@pytest.mark.parametrize("text", ["corrected by hand", "slow", "solo, and much more"])
def test_a_corrected_caption_stays_and_is_told(out, text):
    files = files_of(out)
    path = out / "x001" / "1.txt"
    length = len(files["x001/1.txt"])
    path.write_text(text.ljust(length, "!"))
    report = export(out)
    assert report.corrected == 1
    assert "1 caption was corrected by hand and kept; `hakubooru verify" in str(report)
    assert files_of(out) == files | {"x001/1.txt": text.ljust(length, "!").encode()}
    assert verify(out).problems == {"caption is another": (1, ["x001/1.txt"])}
    assert "--repair writes the manifest's captions again" in str(verify(out))
    assert repair(out).is_good
    assert files_of(out) == files
    assert export(out).corrected == 0


@pytest.mark.parametrize("text", ["corrected by hand", "slow"])
def test_one_of_captions_alone_stays_and_is_told(small, text):
    out = small / "captions"
    with hb.open(small / "posts.db") as database:
        database.posts.ids(0, 3).export(out, sink="captions")
        files = files_of(out)
        length = len(files["x001/1.txt"])
        (out / "x001" / "1.txt").write_text(text.ljust(length, "!"))
        report = database.posts.export(out, sink="captions")
        assert report.corrected == 1
        assert (out / "x001" / "1.txt").read_text() == text.ljust(length, "!")
        assert verify(out).problems == {"caption is another": (1, ["x001/1.txt"])}
        (small / "posts.db").rename(small / "away.db")  # captions are repaired without it
        assert repair(out).is_good
        assert (out / "x001" / "1.txt").read_bytes() == files["x001/1.txt"]


@pytest.mark.parametrize("spoilt", [b"", None])
def test_it_stays_where_its_image_is_exported_again(out, spoilt):
    files = files_of(out)
    (out / "x001" / "1.txt").write_text("corrected")
    if spoilt is None:
        (out / "x001" / "1.webp").unlink()
    else:
        (out / "x001" / "1.webp").write_bytes(spoilt)
    assert export(out).corrected == 1
    assert files_of(out) == files | {"x001/1.txt": b"corrected"}


def test_it_waits_for_an_image_that_is_gone(out):
    (out / "x001" / "1.txt").write_text("corrected")
    (out / "x001" / "1.webp").unlink()
    archive = (out.parent / "images" / "a.tar").rename(out.parent / "aside.tar")
    export(out)
    assert not (out / "x001" / "1.txt").exists()
    archive.rename(out.parent / "images" / "a.tar")
    export(out)
    assert (out / "x001" / "1.txt").read_text() == "corrected"
    assert (out / "x001" / "1.webp").read_bytes() == picture(1)


@pytest.mark.slow
def test_after_a_power_cut_what_is_blank_is_written_again_and_what_was_corrected_stays(booru, tmp_path):
    out = tmp_path / "out"
    run(booru, out)
    files = files_of(out)
    blank, empty, corrected = [name for name in files if name.endswith(".txt")][:3]
    (out / blank).write_bytes(bytes(len(files[blank])))
    (out / empty).write_bytes(b"")
    (out / corrected).write_bytes(b"!" * len(files[corrected]))
    os.utime(out / corrected, (0, 0))
    start_the_machine_anew(out)
    run(booru, out)
    assert files_of(out) == files | {corrected: b"!" * len(files[corrected])}


def test_one_of_an_own_image_stays_when_its_folder_changes(small):
    own = small / "own"
    own.mkdir()
    (own / "a.png").write_bytes(picture(1, "png"))
    (own / "a.txt").write_text("mine")
    hb.export_own(small / "out", own=own)
    (caption,) = (small / "out" / "own").glob("a-*.txt")
    caption.write_text("corrected")
    (own / "b.png").write_bytes(picture(2, "png"))
    (own / "b.txt").write_text("another")
    report = hb.export_own(small / "out", own=own)
    assert report.exported == 2
    assert str(report).startswith("2 of 2 images of your own are in ")
    assert caption.read_text() == "corrected"


@pytest.mark.parametrize("sink", ["folder", "captions"])
def test_one_of_a_pruned_post_is_kept_and_comes_back(small, sink):
    write_tar(small / "images" / "a.tar", {f"{i}.webp": picture(i) for i in range(1, 6)})

    def export_again(last, **options):
        with hb.open(small / "posts.db") as database:
            posts = database.posts.ids(1, last)
            return posts.export(small / "out", images=small / "images", sink=sink, **options)

    export_again(6)
    (small / "out" / "x004" / "4.txt").write_text("corrected")
    report = export_again(4, prune=True)
    assert report.aside == 1
    assert "1 corrected caption of pruned posts is kept in" in str(report)
    assert (small / "out" / ".hakubooru" / "corrections" / "4.txt").read_text() == "corrected"
    assert export_again(6).aside == 0
    assert (small / "out" / "x004" / "4.txt").read_text() == "corrected"


@pytest.mark.parametrize(("sink", "name"), [("imagefolder", "metadata.jsonl"), ("kohya-json", "meta.json")])
def test_a_list_that_was_changed_by_hand_is_kept_beside_the_new_one(small, sink, name):
    write_tar(small / "images" / "a.tar", {f"{i}.webp": picture(i) for i in range(1, 6)})

    def export_again(out="out"):
        with hb.open(small / "posts.db") as database:
            return database.posts.export(small / out, images=small / "images", sink=sink)

    export_again()
    files = files_of(small / "out")
    path = small / "out" / name
    text = path.read_text(encoding="utf-8").replace("solo", "corrected", 1)
    path.write_text(text, encoding="utf-8")
    edited = name.replace(".", ".edited.")
    assert f"your copy is {edited}" in str(export_again())
    assert (small / "out" / edited).read_text(encoding="utf-8") == text
    path.write_text(text + " ", encoding="utf-8")
    assert f"your copy is {name.replace('.', '.edited-2.')}" in str(export_again())
    assert (small / "out" / edited).read_text(encoding="utf-8") == text
    for copy in (small / "out").glob("*.edited*"):
        copy.unlink()
    assert files_of(small / "out") == files
    (small / "out").rename(small / "moved")
    path = small / "moved" / name
    path.write_text(text, encoding="utf-8")
    assert repair(small / "moved").is_good
    assert not export_again("moved").edited_list
    path.unlink()
    assert not export_again("moved").edited_list
    assert files_of(small / "moved") == files
