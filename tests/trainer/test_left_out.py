"""Images that cannot be decoded: a run goes on, they have no weight, and all of it is said."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet
from safetensors.torch import load_file

from hakubooru.errors import ConfigError
from hakubooru_trainer import durable, loop
from hakubooru_trainer.config.options import BatchOptions, CacheOptions, DataOptions, ValidationOptions
from hakubooru_trainer.data import images
from hakubooru_trainer.data.images import UnusableImageError, pixels
from hakubooru_trainer.distributed import Ranks
from tiny_runs import SMALL

pytestmark = pytest.mark.slow

ALONE = Ranks(torch.device("cpu"))


@pytest.fixture
def damaged(export):
    """The export of eight pictures; the fourth is damaged, and its manifest was written after that."""
    path = export / "x001" / "4.png"
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    table = parquet.read_table(export / "manifest.parquet")
    digests = table["sha256"].to_pylist()
    digests[3] = hashlib.sha256(data).hexdigest()
    at = table.schema.get_field_index("sha256")
    parquet.write_table(
        table.set_column(at, "sha256", pa.array(digests, pa.string())), export / "manifest.parquet"
    )
    return path


def prepared(options):
    return loop.prepare(options, ALONE, loop.data_set(options, ALONE))


def every_batch(training):
    return [
        training.batches.batch(training.data.order[number], number)
        for number in range(training.data.order.batches(1))
    ]


@pytest.mark.parametrize("is_cached", [False, True])
def test_what_does_not_decode_has_no_weight(options, damaged, tmp_path, capsys, is_cached):
    cache = CacheOptions(latents=str(tmp_path / "latents")) if is_cached else CacheOptions()
    training = prepared(options(cache=cache))
    for batch in every_batch(training):
        weights = dict(zip(batch.ids, batch.weights.tolist(), strict=True))
        assert weights == {number: float(number != 4) for number in batch.ids}
        assert batch.decoded.tolist() == [number != 4 for number in batch.ids]
    stderr = capsys.readouterr().err
    assert stderr.count(f"{damaged} cannot be read (damaged png); it is left out, with no weight") == 1
    assert "`hakubooru verify --decode` finds all such images" in stderr


def test_an_image_that_was_replaced_by_another_of_its_size_has_no_weight(options, export, capsys):
    """A run that goes on would otherwise train on other pictures than before, under the same fingerprint."""
    path = export / "x001" / "4.png"
    path.write_bytes((export / "x001" / "5.png").read_bytes())
    training = prepared(options())
    for batch in every_batch(training):
        assert batch.decoded.tolist() == [number != 4 for number in batch.ids]
    assert (
        capsys.readouterr().err.count(f"{path} was changed since it was listed; export again, or train on")
        == 1
    )


@pytest.mark.parametrize("has_copy", [False, True])
def test_a_cache_does_not_remember_that_a_file_was_another_one(options, export, tmp_path, has_copy):
    """An export that is repaired, and a second folder with the image, have the bytes that the cache knows it by."""
    settings = options(cache=CacheOptions(latents=str(tmp_path / "latents")))
    if has_copy:
        folders = (str(export), shutil.copytree(export, tmp_path / "copy"))
        settings = replace(settings, data=tuple(DataOptions(path=str(folder)) for folder in folders))
    path = export / "x001" / "4.png"
    data = path.read_bytes()
    path.write_bytes((export / "x001" / "5.png").read_bytes())
    for is_whole in (has_copy, True):
        for batch in every_batch(prepared(settings)):
            assert batch.decoded.tolist() == [is_whole or number != 4 for number in batch.ids]
        path.write_bytes(data)


def test_a_run_says_what_its_data_sets_leave_out(options, tmp_path, capsys):
    folder = tmp_path / "own"
    folder.mkdir()
    for number in (1, 2, 3):
        Image.new("RGB", (64, 64), (number, 0, 0)).save(folder / f"{number}.png")
    (folder / "1.txt").write_text("solo")
    (folder / "2.txt").write_text("solo")
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:-9])
    loop.run(options(**SMALL, data=(DataOptions(path=str(folder)),)))
    stderr = capsys.readouterr().err
    assert stderr.count("left out of the data sets: ") == 1
    assert "truncated png (1)" in stderr
    assert (
        "no caption: neither a .txt of the same name beside it, nor a line in a metadata.jsonl (1)" in stderr
    )


def test_a_run_goes_on_and_counts_it_and_a_cache_changes_nothing(options, damaged, tmp_path):
    plain = options(batch=BatchOptions(size=8))
    plain = replace(
        plain,
        run=replace(plain.run, updates=2),
        buckets=replace(plain.buckets, min_side=64, max_side=64),
    )
    cached = replace(
        plain,
        run=replace(plain.run, out=str(tmp_path / "cached")),
        cache=CacheOptions(latents=str(tmp_path / "latents")),
    )
    repeat = replace(cached, run=replace(plain.run, out=str(tmp_path / "again")))
    reports = [loop.run(settings) for settings in (plain, cached, repeat)]
    assert [report.left_out for report in reports] == [2, 2, 2]  # two updates of eight images: two epochs
    lines = [json.loads(line) for line in Path(plain.run.out, "metrics.jsonl").read_text().splitlines()]
    assert sum(line.get("left_out", 0) for line in lines) == 2
    weights = [load_file(report.file) for report in reports]
    assert all(torch.equal(weights[1][name], weights[2][name]) for name in weights[1])
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-3) for name in weights[0])


def test_held_out_images_that_do_not_decode_are_not_measured(options, damaged):
    settings = options(validation=ValidationOptions(images=7, every=4, timesteps=(500,)))
    training = prepared(settings)
    assert 4 in training.data.held_out.ids
    measures = {}
    metrics = type("Metrics", (), {"write": lambda _, update, **values: measures.update(values)})()
    mean = loop._validate(training, metrics, 0)
    losses = [
        training.objective.losses(training.model, batch, weighted=False)[0].item()
        for batch in training.held_out.validation(range(7))
        if batch.ids != (4,)
    ]
    assert len(losses) == 6
    assert mean == measures["validation"] == pytest.approx(np.mean(losses))


def test_a_size_that_is_not_the_listed_one_is_left_out_too(options, export, capsys):
    with Image.open(export / "x001" / "1.png") as image:
        image.resize((48, 96)).save(export / "x001" / "1.png")
    weights = {
        number: weight
        for batch in every_batch(prepared(options()))
        for number, weight in zip(batch.ids, batch.weights.tolist(), strict=True)
    }
    assert [number for number, weight in weights.items() if not weight] == [1]
    assert "is 48 by 96 pixels and was 96 by 96 when it was listed" in capsys.readouterr().err


def test_a_state_of_another_decoding_is_refused_in_words(options):
    settings = options(**SMALL)
    settings = replace(settings, run=replace(settings.run, updates=1))
    loop.run(settings)
    (state,) = Path(settings.run.out, "state").iterdir()
    mark = durable.read_mark(state)
    durable.write_mark(state, mark | {"about": mark["about"] | {"version.result": 1}})
    with pytest.raises(ConfigError, match=r"turned as EXIF asks.*set run\.out to a new folder"):
        loop.run(replace(settings, run=replace(settings.run, updates=2)))


def test_a_cache_of_another_decoding_is_not_read(options, tmp_path, capsys):
    settings = options(cache=CacheOptions(latents=str(tmp_path / "latents")))
    prepared(settings)
    (folder,) = (tmp_path / "latents").iterdir()
    key = folder.name.removesuffix("-decoding2")
    folder.rename(folder.with_name(key))
    prepared(settings)
    assert sorted(path.name for path in (tmp_path / "latents").iterdir()) == [key, folder.name]
    assert f"{folder.with_name(key)} is not used and can be deleted" in capsys.readouterr().out


@pytest.mark.parametrize("size", [(1, 16_000), (16_000, 1), (3, 5000)])
def test_a_thin_image_is_never_as_large_as_it_would_become(monkeypatch, size):
    file = io.BytesIO()
    Image.new("RGB", size, (255, 0, 51)).save(file, "png")
    sizes = []
    resize = Image.Image.resize

    def noted(image, size, *rest, **more):
        sizes.append(size)
        return resize(image, size, *rest, **more)

    monkeypatch.setattr(Image.Image, "resize", noted)
    bucket = (256, 4096) if size[1] > size[0] else (4096, 256)
    result = pixels("x", file.getvalue(), *size, bucket)
    assert sizes == [bucket]
    assert np.abs(result - np.array([1, -1, -0.6])[:, None, None]).max() < 1e-6


@pytest.mark.parametrize(
    ("size", "bucket"), [((90, 61), (48, 48)), ((61, 90), (96, 112)), ((64, 64), (64, 64))]
)
def test_what_is_resized_is_what_a_crop_of_all_would_be(size, bucket):
    smooth = np.random.default_rng(2).integers(0, 256, (6, 6, 3), np.uint8)
    image = Image.fromarray(smooth).resize(size)
    file = io.BytesIO()
    image.save(file, "png")
    crop = images.fit(*size, bucket)
    whole = image.resize((crop.width, crop.height), Image.Resampling.LANCZOS)
    box = (crop.left, crop.top, crop.left + bucket[0], crop.top + bucket[1])
    expected = np.asarray(whole.crop(box), np.float32).transpose(2, 0, 1)
    actual = (pixels("x", file.getvalue(), *size, bucket) + 1) * 127.5
    assert np.abs(actual - expected).max() < 1.01


def test_reasons_are_kept_apart_from_paths():
    error = UnusableImageError("a/b.png", "cannot be read (damaged png)")
    assert (str(error), error.reason) == (
        "a/b.png cannot be read (damaged png)",
        "cannot be read (damaged png)",
    )
