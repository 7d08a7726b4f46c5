"""Caches of encoded images and captions: whole after any interruption, checked, and no more than what was computed."""

from __future__ import annotations

import json
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pyarrow import parquet
from safetensors.torch import load_file, save_file

from hakubooru.errors import ConfigError, DataSetError, TrainingError
from hakubooru_trainer import loop
from hakubooru_trainer.config.options import (
    BatchOptions,
    CacheOptions,
    CaptionOptions,
    TextOptions,
    ValidationOptions,
)
from hakubooru_trainer.data.cache import Cache, Item
from hakubooru_trainer.distributed import Ranks
from tiny_runs import SMALL

ALONE = Ranks(torch.device("cpu"))


def names(keys):
    return [f"{key:064x}" for key in keys]


def fill(cache, keys, calls, dies_at=None):
    """Fill a cache with tensors that say of which key they are, and note which were made."""
    keys = np.array(keys, np.uint64)

    def make(place):
        if len(calls) == dies_at:
            raise KeyboardInterrupt
        calls.append(int(keys[place]))
        number = torch.tensor([float(keys[place] % 97)])
        return Item(names([int(keys[place])])[0], (number, -number))

    return cache.fill(keys, np.zeros(len(keys), np.int64), make, "filling")


def test_a_full_disk_is_named_and_with_room_the_cache_goes_on(tmp_path):
    cache, calls = Cache(tmp_path, ALONE, "cache.latents", bytes_a_file=1), []
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, limits[1]))
    try:
        with pytest.raises(
            TrainingError, match=r"0-00000\.safetensors could not be written .*free some disk"
        ):
            fill(cache, [1, 2], calls)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.glob("*.safetensors"))
    assert fill(Cache(tmp_path, ALONE, "cache.latents"), [1, 2], calls) == 2


def test_a_disk_that_is_full_at_the_index_is_named_and_what_was_indexed_stays(tmp_path):
    cache, calls = Cache(tmp_path, ALONE, "cache.latents", bytes_a_file=1), []
    fill(cache, [1], calls)
    (tmp_path / "0.index").rename(tmp_path / "kept")
    (tmp_path / "0.index").symlink_to("/dev/full")
    with pytest.raises(TrainingError, match=r"0\.index could not be written .*No space left.*free some disk"):
        fill(cache, [1, 2], calls)
    (tmp_path / "kept").rename(tmp_path / "0.index")
    fill(Cache(tmp_path, ALONE, "cache.latents"), [1, 2], calls)
    assert calls[-1] == 2


def test_a_cache_gives_what_was_put_in_and_makes_it_once(tmp_path):
    keys = [5, 2**64 - 1, 0, 5, 123]
    calls = []
    cache = Cache(tmp_path, ALONE, "cache.latents")
    assert not cache.has(np.array(keys, np.uint64)).any()
    assert fill(cache, keys, calls) == 4
    other = Cache(tmp_path, ALONE, "cache.latents")
    assert fill(other, keys, calls) == 0
    for each_cache in (cache, other):
        assert each_cache.has(np.array([*keys, 6], np.uint64)).tolist() == [True] * 5 + [False]
        for key in keys:
            plus, minus = each_cache.get(key, names([key])[0], 2)
            assert plus.item() == -minus.item() == key % 97
    fill(cache, [7, 5], calls)
    fill(other, [8, 5], calls)  # a run beside it
    for each_cache in (cache, Cache(tmp_path, ALONE, "cache.latents")):
        assert fill(each_cache, [*keys, 7, 8], calls) == 0
        assert each_cache.get(8, names([8])[0], 1)[0].item() == 8
    assert sorted(calls) == [0, 5, 7, 8, 123, 2**64 - 1]
    with pytest.raises(DataSetError, match=r"does not give .*; delete"):
        cache.get(5, names([6])[0], 2)


@pytest.mark.parametrize("torn", [0, 5, 11])
def test_a_killed_one_is_taken_up(tmp_path, torn):
    three_items = 24
    calls = []
    with pytest.raises(KeyboardInterrupt):
        fill(Cache(tmp_path, ALONE, "", bytes_a_file=three_items), range(10), calls, dies_at=8)
    with (tmp_path / "0.index").open("ab") as index:
        index.write(bytes(range(1, torn + 1)))  # a record that was not ended
    calls.clear()
    cache = Cache(tmp_path, ALONE, "")
    fill(cache, range(10), calls)
    assert sorted(calls) == [6, 7, 8, 9]
    assert [cache.get(key, names([key])[0], 2)[0].item() for key in range(10)] == [*range(10)]
    assert (tmp_path / "0.index").stat().st_size == 120


def test_ranks_fill_a_cache_together(tmp_path, monkeypatch):
    every = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        every.append(Ranks(torch.device("cpu")))
        monkeypatch.setattr(every[-1], "wait", lambda: None)
        monkeypatch.setattr(every[-1], "sum", lambda _: None)
    calls = []
    for rank in every:
        with pytest.raises(DataSetError, match=r"set cache\.latents to a folder that all machines share"):
            fill(Cache(tmp_path / str(rank.rank), rank, "cache.latents"), range(9), calls)
    assert calls == [0, 2, 4, 6, 8, 1, 3, 5, 7]
    for file in (tmp_path / "1").iterdir():
        file.rename(tmp_path / "0" / file.name)
    assert fill(Cache(tmp_path / "0", every[1], ""), range(9), calls) == 0


@pytest.fixture
def still(options, tmp_path):
    """A run with encoders that are not trained and captions that stay, or are dropped as a whole."""
    return options(
        **SMALL | {"batch": BatchOptions(size=2)},
        text=TextOptions(train=False, tokens=150),
        captions=CaptionOptions(shuffle=False, drop_caption=0.3),
        cache=CacheOptions(text=str(tmp_path / "text")),
        validation=ValidationOptions(images=1, every=2, timesteps=(500,)),
    )


@pytest.mark.slow
def test_cached_captions_change_nothing_and_free_the_encoders(still, tmp_path, monkeypatch):
    plain = replace(still, cache=CacheOptions(), run=replace(still.run, out=str(tmp_path / "plain")))
    loop.run(plain)
    loop.run(still)
    calls = []
    monkeypatch.setattr("hakubooru_trainer.text.encode", lambda *_: calls.append(1))
    warm = replace(still, run=replace(still.run, out=str(tmp_path / "warm")))
    loop.run(warm)
    assert calls == []
    weights = [load_file(f"{settings.run.out}/lokr.safetensors") for settings in (still, warm)]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
    losses = []
    for settings in (plain, still):
        lines = Path(settings.run.out, "metrics.jsonl").read_text().splitlines()
        losses.append([line["loss"] for line in map(json.loads, lines) if "loss" in line])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)  # which Adam makes much of
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-6)
    keys = {name for file in (tmp_path / "text").rglob("*.safetensors") for name in load_file(file)}
    assert len({name.partition(".")[0] for name in keys}) == 9  # eight captions and the empty one


@pytest.mark.slow
def test_what_was_encoded_from_other_tokens_is_refused(still, tmp_path):
    settings = replace(still, run=replace(still.run, updates=1))
    loop.run(settings)
    for file in (tmp_path / "text").rglob("*.safetensors"):
        save_file({name: part + name.endswith(".2") for name, part in load_file(file).items()}, file)
    repeat = replace(settings, run=replace(settings.run, out=str(tmp_path / "again")))
    with pytest.raises(DataSetError, match="was made with other tokenizers; delete it"):
        loop.run(repeat)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"text": TextOptions(train=True)}, r"cache\.text .* set text\.train = false"),
        ({"captions": CaptionOptions()}, r"set captions\.shuffle = false"),
        (
            {"captions": CaptionOptions(shuffle=False, drop_tags=0.1)},
            "remove drop_tags, drop_parts, text_only",
        ),
        (
            {"captions": CaptionOptions(shuffle=False, group_separator="%%", drop_groups=0.1)},
            "text_only, tags_only, shuffle_groups and drop_groups",
        ),
    ],
)
def test_a_cache_of_captions_that_change_is_refused(still, sections, message):
    with pytest.raises(ConfigError, match=message):
        replace(still, **sections)


@pytest.mark.slow
def test_general_tags_alone_are_changed(options):
    settings = options(captions=CaptionOptions(tags="general", drop_tags=1.0, drop_parts={"people": 1.0}))
    training = loop.prepare(settings, ALONE, loop.data_set(settings, ALONE))
    assert {
        caption
        for n in range(training.data.order.batches(1))
        for caption in training.batches.batch(training.data.order[n], n).captions
    } == {f"character {number}" for number in range(1, 9)}
    tail = options(captions=CaptionOptions(drop_tags=0.5, exact=True))
    (captions,) = [
        loop.prepare(tail, ALONE, loop.data_set(tail, ALONE))
        .batches.batch(training.data.order[0], 0)
        .captions
    ]
    assert all(len(caption.split(", ")) == 4 for caption in captions)


def test_without_parts_no_tag_is_known_to_be_general(options, export):
    table = parquet.read_table(export / "manifest.parquet")
    parquet.write_table(table.drop_columns(["parts"]), export / "manifest.parquet")
    with pytest.raises(DataSetError, match=r'set captions\.tags = "tail", or export it again'):
        loop.data_set(options(captions=CaptionOptions(tags="general")), ALONE)
