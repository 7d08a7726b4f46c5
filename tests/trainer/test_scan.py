"""Folders without a manifest, and shards: looked at once, read in part, and what changed looked at again."""

from __future__ import annotations

import io
import json
import os
import tarfile
import threading
from collections import Counter
from types import SimpleNamespace

import psutil
import pytest
import torch

from hakubooru.errors import DataSetError
from hakubooru_trainer.config.options import DataOptions
from hakubooru_trainer.data import files, look, samples, scan
from hakubooru_trainer.distributed import Ranks
from pictures import picture
from training_pairs import write_pairs

ALONE = Ranks(torch.device("cpu"))


def of_folder(*folders):
    return samples.load([DataOptions(path=str(folder)) for folder in folders], ALONE)


def write_shard(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def captions_of(data):
    return {data.read(row): data[row].caption for row in range(len(data))}


@pytest.fixture
def looked(monkeypatch):
    """The names of what is looked at."""
    names = []
    call = look.Looker.__call__

    def counting(self, file):
        names.append(file.partition("\0")[0])
        return call(self, file)

    monkeypatch.setattr(look.Looker, "__call__", counting)
    return names


def test_an_export_is_read_without_its_images(tmp_path, looked):
    write_pairs(tmp_path, [(96, 64), (64, 96)])
    for path in tmp_path.glob("x001/*"):
        path.unlink()
    data = of_folder(tmp_path)
    assert (data.ids.tolist(), data.widths.tolist(), data.heights.tolist()) == ([1, 2], [96, 64], [64, 96])
    assert data[1].caption == "1girl, character 2 ||| stripes, blue, number 2, solo"
    assert data[0].path == f"{tmp_path}/x001/1.png"
    assert data.left_out == {"no archive holds it": 1}
    assert data.contents[1] == int(data[1].sha256[:16], 16)
    assert looked == []


def test_a_folder_without_a_manifest_is_looked_at_once(tmp_path, looked):
    write_pairs(tmp_path, [(96, 64), (64, 96), (64, 64)])
    manifest = of_folder(tmp_path)
    (tmp_path / "manifest.parquet").unlink()
    (tmp_path / "x001" / "3.txt").unlink()
    (tmp_path / "x001" / "4.png").write_bytes(b"no picture")
    (tmp_path / "x001" / "5.bmp").write_bytes(b"BM")
    data = of_folder(tmp_path)
    for column in ("ids", "widths", "heights", "contents"):
        assert (getattr(data, column) == getattr(manifest, column)[:2]).all()
    assert [data[row]._replace(parts=None) for row in range(2)] == [
        manifest[row]._replace(parts=None) for row in range(2)
    ]
    assert sorted(data.left_out.values()) == [1, 2]
    assert len(looked) == 5
    assert of_folder(tmp_path).fingerprints() == data.fingerprints() != manifest.fingerprints()
    assert len(looked) == 5


def test_what_changed_is_looked_at_again_and_what_is_gone_forgotten(tmp_path, looked):
    write_pairs(tmp_path, [(96, 64)] * 4)
    (tmp_path / "manifest.parquet").unlink()
    of_folder(tmp_path)
    looked.clear()
    (tmp_path / "x001" / "1.txt").write_text("another caption")
    (tmp_path / "x001" / "2.png").write_bytes(picture(5, "png"))
    (tmp_path / "x001" / "3.png").unlink()
    data = of_folder(tmp_path)
    assert sorted(looked) == ["x001/1.png", "x001/2.png"]
    assert data.ids.tolist() == [1, 2, 4]
    assert captions_of(data)[picture(5, "png")] == data[1].caption
    assert data[0].caption == "another caption"


def test_a_link_to_nothing_is_left_out_until_its_image_is_there(tmp_path):
    write_pairs(tmp_path / "set", [(96, 64)] * 2)
    (tmp_path / "set" / "manifest.parquet").unlink()
    (tmp_path / "set" / "x001" / "2.png").rename(tmp_path / "2.png")
    (tmp_path / "set" / "x001" / "2.png").symlink_to(tmp_path / "gone.png")
    data = of_folder(tmp_path / "set")
    assert data.ids.tolist() == [1]
    assert data.left_out == {"cannot be read: No such file or directory": 1}
    (tmp_path / "2.png").rename(tmp_path / "gone.png")
    assert of_folder(tmp_path / "set").ids.tolist() == [1, 2]


def test_shards_from_elsewhere(tmp_path, looked):
    first = {"a/0.jpg": picture(1, "jpg"), "a/0.txt": "first ★".encode(), "a/0.json": b"{}"}
    second = {
        "0.txt": b"second",
        "0.webp": picture(2),
        "0.mask.png": picture(3, "png"),
        "1.png": picture(4, "png"),
    }
    write_shard(tmp_path / "00000.tar", first | {"broken.png": b"\x89PNG\r\n\x1a\n", "broken.txt": b"x"})
    write_shard(tmp_path / "more" / "00001.tar", second | {"2.webp": picture(5), "2.txt": b"\xff\xfe\xff"})
    (tmp_path / "cut.tar").write_bytes((tmp_path / "00000.tar").read_bytes()[:700])
    data = of_folder(tmp_path)
    assert captions_of(data) == {picture(1, "jpg"): "first ★", picture(2): "second"}
    assert len({*data.ids.tolist()}) == 2  # though both are called 0
    reasons = Counter(data.left_out)
    assert reasons.pop("no image that can be read: truncated png") == 1
    assert reasons.pop("its caption is not in UTF-8") == 1
    assert [*reasons.values()] == [1, 1, 1]
    assert any("one of several images under one key" in reason for reason in reasons)  # the mask
    assert any("cut short within" in reason for reason in reasons)
    assert any("no caption" in reason for reason in reasons)
    assert sorted(looked) == ["00000.tar", "cut.tar", "more/00001.tar"]
    of_folder(tmp_path)
    assert len(looked) == 3


def test_a_list_of_captions(tmp_path, looked):
    """What `datasets` has in an imagefolder: for its folder and all below it."""
    for name in ("a.png", "b.png", "deep/er/c.png", "other/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(picture(ord(name[-5]), "png"))
    (tmp_path / "other" / "d.txt").write_text("by itself")
    captions = {"a.png": "an a", "deep/er/c.png": "a c", "gone.png": "a ghost"}
    lines = [json.dumps({"file_name": name, "text": text}) + "\n" for name, text in captions.items()]
    (tmp_path / "metadata.jsonl").write_text("".join(lines))
    data = of_folder(tmp_path)
    assert [data[row].caption for row in range(3)] == ["an a", "a c", "by itself"]
    assert sorted(data.left_out.values()) == [1, 1]
    assert any("metadata.jsonl names it" in reason for reason in data.left_out)
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png"}\n')
    with pytest.raises(DataSetError, match=r"metadata\.jsonl, line 1 .*; write {\"file_name\": "):
        of_folder(tmp_path)


def listed(folder, *lines):
    """Captions and what was left out of a folder with a list of captions."""
    for name in ("a.png", "sub/b.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(ord(name[-5]), "png"))
    text = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    (folder / "metadata.jsonl").write_bytes(text.encode())
    data = of_folder(folder)
    return [data[row].caption for row in range(len(data))], data.left_out


A, B = {"file_name": "a.png", "text": "an a"}, {"file_name": "sub/b.png", "text": "a b"}


@pytest.mark.parametrize(
    "lines",
    [
        (A, B, "\n"),
        ("\n", A, "\r\n", " \t\n", B),
        ("\ufeff", A, B),
        (A | {"file_name": "./a.png"}, B | {"file_name": "./sub/b.png"}),
        (A, B | {"file_name": "sub\\b.png"}),
        (A | {"file_name": "sub/../a.png"}, B | {"file_name": ".\\sub\\b.png"}),
        (A | {"text": None, "caption": "an a"}, B),
    ],
)
def test_a_list_of_captions_that_others_wrote(tmp_path, lines):
    assert listed(tmp_path, *lines) == (["an a", "a b"], {})


def test_a_line_without_a_caption_leaves_its_image_out(tmp_path):
    captions, left_out = listed(tmp_path, A, B | {"text": None})
    assert captions == ["an a"]
    ((reason, count),) = left_out.items()
    assert (reason.startswith("no caption"), count) == (True, 1)


def test_an_image_outside_of_the_folder_is_told(tmp_path):
    inside = A | {"file_name": str(tmp_path / "set" / "a.png")}
    elsewhere = [A | {"file_name": "../c.png"}, A | {"file_name": str(tmp_path / "a.png")}]
    captions, left_out = listed(tmp_path / "set", inside, B, *elsewhere)
    assert captions == ["an a", "a b"]
    assert left_out == {"metadata.jsonl names it, and it lies outside of the folder": 2}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((A, B | {"text": 3}), "line 2 is not an image with its caption"),
        ((A, "[1]\n"), "line 2 is not an image with its caption"),
        (("\n", {"file_name": None, "text": "x"}), "line 2 is not an image with its caption"),
        (("{\n",), "line 1 is not an image with its caption"),
    ],
)
def test_a_line_that_is_none_is_named(tmp_path, lines, message):
    with pytest.raises(DataSetError, match=message):
        listed(tmp_path, *lines)


def test_several_data_sets_are_one(tmp_path):
    write_pairs(tmp_path / "pairs", [(64, 64)] * 2)
    write_shard(tmp_path / "shards" / "0.tar", {"x.png": picture(9, "png"), "x.txt": b"in a shard"})
    data = of_folder(tmp_path / "shards", tmp_path / "pairs")
    assert data.sources.tolist() == [0, 1, 1]
    assert data[0].path == f"{tmp_path}/shards/0.tar/x.png"
    assert [text for some in data.texts() for text in some] == [data[row].caption for row in range(3)]
    some = data.take(torch.tensor([0, 2]).numpy())
    assert [some[row] for row in range(2)] == [data[0], data[2]]


def test_a_killed_scan_is_taken_up(tmp_path, monkeypatch, looked):
    write_pairs(tmp_path, [(64, 64)] * 12)
    (tmp_path / "manifest.parquet").unlink()
    write = scan._write

    def dies(path, rows):
        if len(looked) > 8:
            raise KeyboardInterrupt
        write(path, rows)

    monkeypatch.setattr(scan, "_write", dies)
    with pytest.raises(KeyboardInterrupt):
        scan.scan(tmp_path, Ranks(torch.device("cpu")), files_a_time=4, rows_a_part=4)
    looked.clear()
    monkeypatch.setattr(scan, "_write", write)
    assert len(of_folder(tmp_path)) == 12
    assert len(looked) == 4
    assert [path.name for path in tmp_path.glob(".hakubooru-scan*")] == [".hakubooru-scan.parquet"]


def test_ranks_share_a_scan(tmp_path, looked):
    """Two ranks as threads, which meet as processes do."""
    write_pairs(tmp_path, [(64, 64)] * 7)
    (tmp_path / "manifest.parquet").unlink()
    barrier = threading.Barrier(2)
    flags = [()] * 2

    class Rank(Ranks):
        def __init__(self, rank):
            super().__init__(torch.device("cpu"))
            self.rank, self.world = rank, 2

        def any(self, *some):
            flags[self.rank] = some
            barrier.wait()
            result = tuple(map(any, zip(*flags, strict=True)))
            barrier.wait()
            return result

    fingerprints = {}

    def load(rank):
        fingerprints[rank] = samples.load([DataOptions(path=str(tmp_path))], Rank(rank)).fingerprints()

    threads = [threading.Thread(target=load, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(looked) == [f"x001/{number}.png" for number in range(1, 8)]
    assert fingerprints[0] == fingerprints[1] == of_folder(tmp_path).fingerprints()


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_pairs(tmp_path / "set", [(64, 64)])
    (tmp_path / "set" / "manifest.parquet").unlink()
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    assert len(of_folder(tmp_path / "set")) == 1
    assert len([*(tmp_path / "cache").rglob("*.parquet")]) == 1
    assert not [*(tmp_path / "set").glob(".*")]


@pytest.mark.parametrize("has_pread", [True, False])
def test_archives_are_read_by_many_threads_and_few_stay_open(tmp_path, monkeypatch, has_pread):
    if not has_pread:
        monkeypatch.setattr(files, "os", SimpleNamespace())
    for archive in range(5):
        (tmp_path / str(archive)).write_bytes(bytes(range(archive, archive + 200)))
    reader = files.Files(most_open=2)
    errors = []

    def read(first):
        for number in range(first, first + 300):
            archive, offset = number % 5, number % 190
            if reader.read(f"{tmp_path}/{archive}", offset, 10)[0] != archive + offset:
                errors.append(number)

    threads = [threading.Thread(target=read, args=(17 * first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    paths = {file.path for file in psutil.Process().open_files()}
    assert sum(f"{tmp_path}/{archive}" in paths for archive in range(5)) == 2
    with pytest.raises(OSError, match="it ends before byte 205"):
        reader.read(f"{tmp_path}/0", 195, 10)
