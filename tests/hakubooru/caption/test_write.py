from __future__ import annotations

import json
import pickle
import threading
import time

import numpy as np
import pandas as pd
import psutil
import pytest

from hakubooru.caption import Captioner, Captions
from hakubooru.caption import write as writing
from hakubooru.errors import CaptionFormatError, DestinationError, IncompleteError, InputError
from joined_columns import join


@pytest.fixture
def posts(booru):
    """30 posts, one with signs that text and JSON must not stumble over."""
    odd = {'say_"hi"\\_now': ("general", 0), "日本語": ("general", 0)}
    names = ["solo 1girl highres", "", 'say_"hi"\\_now 日本語', "bespin o_o"]
    return booru({n: (names[n % 4], {"fav_count": n}) for n in range(1, 31)}, odd).posts


def test_a_view_is_lazy_and_of_known_length(posts):
    captions = posts.ids(5, 15).captions("kohaku-epsilon")
    statements = []
    posts.database.connection().set_trace_callback(statements.append)

    assert isinstance(captions, Captions)
    assert len(captions) == 10
    assert not any("json_each" in statement for statement in statements)
    assert list(captions) == list(Captioner(posts.database).captions(np.arange(5, 15)))


def test_series(posts):
    captions = posts.ids(5, 15).captions("webui")
    series = captions.to_pandas()

    assert series.index.name == "id"
    assert series.name == "caption"
    assert dict(series) == dict(captions)
    pd.testing.assert_series_equal(captions.head(3), series[:3])


def read(path):
    if path.suffix == ".parquet":
        return list(pd.read_parquet(path).itertuples(index=False, name=None))
    lines = path.read_text(encoding="utf-8").splitlines()
    if path.suffix == ".txt":
        return lines
    return [tuple(json.loads(line).values()) for line in lines]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".txt"])
def test_files(posts, tmp_path, suffix):
    out = tmp_path / f"captions{suffix}"
    captions = posts.order_by("-fav_count").captions("kohaku-epsilon")
    captions.write(out)

    expected = [text for _, text in captions] if suffix == ".txt" else list(captions)
    assert read(out) == expected
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_two_processes_write_the_same_bytes(posts, tmp_path, suffix):
    captions = posts.captions()
    first, second = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
    for path, workers in ((first, 1), (second, 2)):
        writing.write_captions(captions.captioner, captions.ids, path, workers, posts_a_block=4)

    assert first.read_bytes() == second.read_bytes()


def test_records_stand_in_json_lines_as_objects(posts, tmp_path):
    out = tmp_path / "records.jsonl"
    posts.captions("json").write(out)
    [record] = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()][1:2]

    assert record["id"] == 2
    assert record["caption"]["general"] == ['say "hi"\\ now', "日本語"]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (
            "captions.csv",
            "captions.csv cannot be written: its name must end with one of .jsonl, .parquet, .txt",
        ),
        ("nowhere/captions.txt", "there is no folder"),
        ("folder.txt", "folder.txt cannot be written: it is a folder"),
    ],
)
def test_a_wrong_place_is_told_before_anything_is_read(posts, tmp_path, name, error):
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(DestinationError, match=error):
        posts.captions().write(tmp_path / name)


def test_lines_of_text_take_no_line_ends(posts, tmp_path):
    shape = {"base": "webui", "after": "one\ntwo"}
    with pytest.raises(CaptionFormatError, match=r"caption\.after has a line end"):
        posts.captions(shape).write(tmp_path / "captions.txt")
    posts.captions(shape).write(tmp_path / "captions.jsonl")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_what_fails_leaves_nothing_and_what_was_there(posts, tmp_path, workers):
    out = tmp_path / "captions.jsonl"
    out.write_text("old", encoding="utf-8")
    captioner = Captioner(posts.database)
    with pytest.raises(InputError, match="has no post 999"):
        writing.write_captions(captioner, np.array([1, 2, 999]), out, workers)

    assert out.read_text(encoding="utf-8") == "old"
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.kill
def test_a_killed_worker_is_told_and_leaves_nothing(posts, tmp_path):
    ids = np.tile(np.arange(1, 31), 2000)
    out = tmp_path / "captions.jsonl"

    def kill():
        while not (tmp_path / ".captions.jsonl.part").exists() or not (
            workers := [
                child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())
            ]
        ):
            time.sleep(0.01)
        workers[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(IncompleteError, match="a worker process was killed"):
        writing.write_captions(Captioner(posts.database), ids, out, workers=2, posts_a_block=1)
    killer.join()
    assert not out.exists()
    assert not list(tmp_path.glob("*.part"))


def test_a_captioner_goes_to_another_process(posts):
    captioner = Captioner(
        posts.database, {"base": "kohaku-epsilon", "quality_scale": "database", "max_tags": 3}
    )
    copy = pickle.loads(pickle.dumps(captioner))

    assert copy.format == captioner.format
    assert list(copy.captions(np.array([1, 2]))) == list(captioner.captions(np.array([1, 2])))
    copy.database.close()


@pytest.mark.slow
def test_workers_read_joined_texts(posts, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    join(posts.database, tmp_path, text={post: f"a text of {post}" for post in range(1, 20, 2)})
    captions = posts.captions("kohaku-zeta")
    writing.write_captions(captions.captioner, captions.ids, tmp_path / "a.jsonl", 2, posts_a_block=7)
    captions.write(tmp_path / "b.jsonl")
    text = (tmp_path / "a.jsonl").read_text(encoding="utf-8")
    assert text == (tmp_path / "b.jsonl").read_text(encoding="utf-8")
    assert text.count("a text of ") == sum(post < 20 and post % 2 for post in captions.ids.tolist())
