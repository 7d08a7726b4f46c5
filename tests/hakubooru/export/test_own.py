"""Images without a post id, with captions beside them, in one export with posts."""

from __future__ import annotations

import os
from functools import partial

import pandas as pd
import pytest

import exports
import hakubooru as hb
from hakubooru import repair, verify
from hakubooru.errors import DestinationError, IncompleteError, InputError, SourceError
from hakubooru.export.archive import _one_line
from hakubooru.files import decoded
from hakubooru.image.folders import find_own
from pictures import files_of, picture, write_tar


@pytest.fixture
def places(small):
    """Six posts, and five own images, some of the same names, three of which are of no use."""
    write_tar(small / "images" / "a.tar", {f"{i}.webp": picture(i) for i in range(1, 7)})
    own = small / "own"
    (own / "a" / "b").mkdir(parents=True)
    for name, kind in {"cat": "png", "a/cat": "png", "a/b/7 (cöpy)": "webp", "a/bare": "png"}.items():
        path = own / f"{name}.{kind}"
        path.write_bytes(picture(len(name) * 10, kind))
        path.with_suffix(".txt").write_text(f"my {name},\nsolo ", encoding="utf-8")
    (own / "a" / "bare.txt").unlink()
    (own / "empty.png").write_bytes(b"")
    (own / "empty.txt").write_text("nothing")
    (own / "latin.jpg").write_bytes(picture(3, "jpg"))
    (own / "latin.txt").write_bytes(b"\xe4\xff")
    return small


def run(folder, out, **options):
    with hb.open(folder / "posts.db") as database:
        posts = database.posts.ids(1, 7)
        return posts.export(out, images=folder / "images", own=folder / "own", **options)


def test_own_pairs_join_the_posts(places):
    report = run(places, places / "out")
    assert (report.selected, report.exported, report.own) == (12, 9, 6)
    assert "9 of 12 posts and images of your own" in str(report)
    table = pd.read_parquet(places / "out" / "manifest.parquet")
    assert table.id.tolist()[:6] == [1, 2, 3, 4, 5, 6]
    own = table[table.id.isna()]
    assert len(own) == 6
    assert sorted(own.reason.dropna()) == [
        "empty file",
        "its caption is not UTF-8",
        "no caption of the same name in .txt beside it, nor in a list",
    ]
    files = files_of(places / "out")
    pairs = own[own.status == "exported"]
    captions = {files[row.path]: row.caption for row in pairs.itertuples()}
    assert captions == {
        picture(30, "png"): "my cat, solo",
        picture(50, "png"): "my a/cat, solo",
        picture(120, "webp"): "my a/b/7 (cöpy), solo",
    }
    assert pairs.parts.isna().all()
    for path in pairs.path:
        assert path.startswith(("own/cat-", "own/7-c-py--"))
        assert files[path.rpartition(".")[0] + ".txt"].decode() in captions.values()


@pytest.mark.slow
@pytest.mark.parametrize("sink", ["folder", "webdataset", "imagefolder"])
def test_the_same_bytes_however_they_came_and_verified(places, sink):
    export = partial(exports.run, places, ids=range(1, 7), own=[places / "own"], sink=sink)
    aside = (places / "own" / "a").rename(places / "aside")
    export(places / "out")
    aside.rename(places / "own" / "a")
    export(places / "out")
    export(places / "whole", workers=2)
    assert files_of(places / "out") == files_of(places / "whole")
    assert verify(places / "out", decode=True).is_good


def test_a_new_caption_is_taken_up_and_what_is_gone_is_pruned(places):
    run(places, places / "out")
    (places / "own" / "cat.txt").write_text("another caption")
    (places / "own" / "a" / "bare.txt").write_text("no longer bare")
    run(places, places / "out")
    run(places, places / "whole")
    assert files_of(places / "out") == files_of(places / "whole")
    (places / "own" / "cat.png").unlink()
    with pytest.raises(DestinationError, match=r"not selected \(images of your own\)"):
        run(places, places / "out")
    run(places, places / "out", prune=True)
    run(places, places / "less")
    assert files_of(places / "out") == files_of(places / "less")


def test_lost_and_strange_files_are_found_and_repaired(places):
    run(places, places / "out")
    files = files_of(places / "out")
    missing, other = sorted(name for name in files if name.startswith("own/") and name.endswith(".png"))
    (places / "out" / missing).unlink()
    (places / "out" / other).with_suffix(".txt").write_text("x")
    (places / "out" / "own" / "dog-000000000000001.png").write_bytes(b"")
    (places / "out" / "own" / "notes.md").write_bytes(b"")
    report = verify(places / "out")
    assert set(report.problems) == {"image is missing", "caption is another"}
    assert report.orphans == ["own/dog-000000000000001.png"]
    assert repair(places / "out").is_good
    assert files_of(places / "out") == files | {"own/notes.md": b""}


def test_a_folder_or_a_pipe_is_no_caption(places):
    own = places / "own"
    for name in ("dog", "pipe"):
        (own / f"{name}.png").write_bytes(picture(77, "png"))
    (own / "dog.txt").mkdir()
    os.mkfifo(own / "pipe.txt")
    report = run(places, places / "out")
    assert (report.exported, report.own) == (9, 8)
    assert report.left_out["no caption of the same name in .txt beside it, nor in a list"] == 3


def own_captions(out):
    table = pd.read_parquet(out / "manifest.parquet")
    return dict(table[table.id.isna() & table.path.notna()][["path", "caption"]].itertuples(index=False))


def test_linked_folders_are_followed_and_what_was_known_keeps_its_place(places):
    run(places, places / "out")
    captions_before = own_captions(places / "out")
    aside = places / "aside"
    aside.mkdir()
    (aside / "new.png").write_bytes(picture(88, "png"))
    (aside / "new.txt").write_text("from aside")
    own = places / "own"
    for link, to in [
        ("0 another name of a", own / "a"),
        ("linked", aside),
        ("linked again", aside),
        ("a/b/round", own),
        ("out", places / "out"),
        (".hidden", places / "images"),
    ]:
        (own / link).symlink_to(to, target_is_directory=True)
    (aside / "round").symlink_to(aside, target_is_directory=True)
    report = run(places, places / "out")
    captions_after = own_captions(places / "out")
    assert captions_after.items() > captions_before.items()
    (name,) = captions_after.keys() - captions_before.keys()
    assert captions_after[name] == "from aside"
    assert report.own == 7
    assert [folder.key for folder in find_own([own], skip=places / "out")] == [
        "own 0/.",
        "own 0/a",
        "own 0/a/b",
        "own 0/linked",
    ]


def test_a_root_can_be_a_link(places):
    (places / "link").symlink_to(places / "own", target_is_directory=True)
    assert [folder.key for folder in find_own([places / "link"])] == ["own 0/.", "own 0/a", "own 0/a/b"]


def test_wrong_places_are_told(places):
    with hb.open(places / "posts.db") as database:
        with pytest.raises(InputError, match="nowhere is not a folder; correct the path"):
            database.posts.export(places / "out", images=places / "images", own=places / "nowhere")
        with pytest.raises(InputError, match="images holds no images of your own"):
            database.posts.export(places / "out", images=places / "images", own=places / "images")
        with pytest.raises(InputError, match="the posts' images are missing"):
            database.posts.export(places / "out", own=places / "own")
        with pytest.raises(InputError, match="the sink 'captions' writes captions of posts only"):
            database.posts.export(
                places / "out", images=places / "images", own=places / "own", sink="captions"
            )
    assert not (places / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("sink", ["folder", "webdataset", "imagefolder"])
def test_the_trainer_reads_them(places, sink):
    torch = pytest.importorskip("torch")
    from hakubooru_trainer.config.options import DataOptions
    from hakubooru_trainer.data.samples import load
    from hakubooru_trainer.distributed import Ranks

    run(places, places / "out", sink=sink)
    samples = load([DataOptions(path=str(places / "out"))], Ranks(torch.device("cpu")))
    assert len(samples) == len(set(samples.ids.tolist())) == 9
    assert {1, 2, 3, 4, 5, 6} < set(samples.ids.tolist())
    captions = {samples.read(row): samples[row].caption for row in range(9)}
    assert {picture(i) for i in range(1, 7)} < captions.keys()
    assert captions[picture(50, "png")] == "my a/cat, solo"
    assert [samples[row].parts is None for row in range(9)] == [False] * 6 + [True] * 3


@pytest.mark.parametrize(
    "text", ["a, b, c", "a\nb\nc\n", "a,\r\nb,\r\nc\r\n", "\ufeffa, b\n\n, c", "a\rb\rc"]
)
def test_a_caption_of_several_lines_becomes_one_of_tags(text):
    assert _one_line(decoded(text.encode())) == "a, b, c"


def test_captions_are_found_beside_images_and_in_lists(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    for number, name in enumerate(["a.png", "b.png", "c.png", "d e.png", "f.png"], 1):
        (own / name).write_bytes(picture(number, "png"))
    (own / "a.txt").write_text("from txt")
    (own / "a.caption").write_text("not this")
    (own / "b.caption").write_text("from\ncaption")
    (own / "metadata.jsonl").write_text(
        '{"file_name": "b.png", "text": "not this"}\n\n{"file_name": "c.png", "text": "from jsonl"}\n'
    )
    (own / "list.csv").write_text('filename,score,caption\n"./d e.png",5,"from ""csv"", with a comma"\n')
    report = hb.export_own(tmp_path / "out", own)
    assert (report.selected, report.exported, report.own) == (5, 4, 5)
    table = pd.read_parquet(tmp_path / "out" / "manifest.parquet")
    assert sorted(table.caption.dropna()) == [
        'from "csv", with a comma',
        "from jsonl",
        "from txt",
        "from, caption",
    ]
    assert table.reason.dropna().tolist() == ["no caption of the same name in .txt beside it, nor in a list"]
    files = files_of(tmp_path / "out")
    assert "(4 were there before)" in str(hb.export_own(tmp_path / "out", own)) or files == files_of(
        tmp_path / "out"
    )
    (next((tmp_path / "out" / "own").glob("*.png"))).unlink()
    assert not hb.verify(tmp_path / "out").is_good
    assert hb.repair(tmp_path / "out").is_good


def test_lists_above_a_folder_caption_its_images(tmp_path):
    """The layout of the library `datasets`, and Windows' separators; the nearest list counts first."""
    own = tmp_path / "own"
    for number, name in enumerate(["a.png", "train/a.png", "train/b.png", "train/deep/c.png"], 1):
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_bytes(picture(number, "png"))
    rows = {
        "a.png": "root",
        "train/a.png": "far",
        "./train/b.png": "far b",
        "train\\\\deep\\\\c.png": "far c",
    }
    text = "".join(f'{{"file_name": "{name}", "text": "{text}"}}\n' for name, text in rows.items())
    (own / "metadata.jsonl").write_text(text)
    (own / "train" / "near.csv").write_text("file_name,text\na.png,near\n")

    def captions():
        hb.export_own(tmp_path / "out", own)
        table = pd.read_parquet(tmp_path / "out" / "manifest.parquet")
        return sorted(table.caption)

    assert captions() == ["far b", "far c", "near", "root"]
    (own / "metadata.jsonl").write_text(text.replace("far c", "other c"))
    assert captions() == ["far b", "near", "other c", "root"]
    hb.verify(tmp_path / "out")


def test_a_folder_above_many_others_is_searched_for_lists_once(tmp_path, monkeypatch):
    """It may hold so many files that one search takes as long as all folders below it."""
    scandir, scans = os.scandir, []

    def count(folder="."):
        scans.append(str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", count)
    times = []
    for number in range(2, 5):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "a.png").touch()
        scans.clear()
        assert len(find_own([tmp_path])) == number - 1
        times.append(scans.count(str(tmp_path)))
    assert times[0] == times[-1]


def test_rows_whose_image_is_not_there_are_counted(tmp_path):
    own = tmp_path / "own"
    (own / "sub").mkdir(parents=True)
    for place in ("a.png", "sub/b.png"):
        (own / place).write_bytes(picture(1, "png"))
    names = ["a.png", "gone.png", "sub/b.png", "sub/lost.png", "x" * 300 + ".png"]
    (own / "list.csv").write_text("file_name,text\n" + "".join(f"{name},words\n" for name in names))
    report = hb.export_own(tmp_path / "out", own)
    reason = "a row of a list of captions whose image is not there"
    assert report.passed_over[reason] == (3, ["gone.png", f"{'x' * 300}.png", "lost.png"])
    assert f"{reason} (3: gone.png" in str(report)
    assert hb.export_own(tmp_path / "out", own).passed_over == report.passed_over
    (own / "list.csv").write_text("file_name,text\na.png,words\nsub/b.png,words\n")
    assert hb.export_own(tmp_path / "out", own).passed_over == {}


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("metadata.jsonl", '{"file_name": "a.png"}\n{', "metadata.jsonl cannot be read: line 2 is not JSON"),
        ("metadata.jsonl", "[]\n", "metadata.jsonl cannot be read: line 1 is not an object"),
        (
            "metadata.jsonl",
            '{"file_name": "b.png", "text": "x"}',
            "no caption of the same name in .txt beside it, nor in a list",
        ),
    ],
)
def test_lists_that_cannot_be_read_are_named(tmp_path, name, text, reason):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.png").write_bytes(picture(1, "png"))
    (tmp_path / "own" / name).write_text(text)
    with pytest.raises(IncompleteError):
        hb.export_own(tmp_path / "out", tmp_path / "own")
    assert pd.read_parquet(tmp_path / "out" / "manifest.parquet").reason.tolist() == [reason]


def test_nothing_is_written_without_images_of_ones_own(tmp_path):
    (tmp_path / "own").mkdir()
    with pytest.raises(SourceError, match="holds no images of your own"):
        hb.export_own(tmp_path / "out", tmp_path / "own")
    assert not (tmp_path / "out").exists()
