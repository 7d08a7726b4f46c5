"""Images to sizes, batches and what the model is told; the order as a pure function."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hakubooru.errors import DataSetError
from hakubooru_trainer.config.options import BucketOptions, DataOptions
from hakubooru_trainer.data import images, samples
from hakubooru_trainer.data.order import Order, sizes
from hakubooru_trainer.distributed import Ranks
from training_pairs import write_pairs

SIDES = st.integers(40, 400)
SMALL = BucketOptions(area=64 * 64, step=16, min_side=32, max_side=128)


ALONE = Ranks(torch.device("cpu"))


def of_sizes(folder, some, **data):
    return samples.load([DataOptions(path=str(write_pairs(folder, some)), **data)], ALONE)


def several(some):
    """Samples without files: of each data set so many, with a weight."""
    counts = [n for n, _ in some]
    sets = [SimpleNamespace(options=DataOptions(path="", weight=float(weight))) for _, weight in some]
    sources = np.repeat(np.arange(len(some)), counts).astype(np.int16)
    return SimpleNamespace(ids=np.arange(sum(counts)) % 5, sources=sources, sets=sets)


def of_folder(folder):
    return samples.load([DataOptions(path=str(folder))], ALONE)


def test_epsilons_buckets():
    from hakubooru.image.bucket import Buckets

    options = BucketOptions()
    assert (
        len(
            Buckets(
                area=options.area, step=options.step, min_side=options.min_side, max_side=options.max_side
            ).sizes()
        )
        == 97
    )


@given(SIDES, SIDES, st.sampled_from([(64, 64), (96, 32), (48, 80)]))
def test_a_fit_covers_and_crops_at_the_centre(width, height, size):
    crop = images.fit(width, height, size)
    assert crop.width >= size[0]
    assert crop.height >= size[1]
    assert min(crop.width - size[0], crop.height - size[1]) == 0
    assert abs(crop.width - size[0] - 2 * crop.left) <= 1
    assert abs(crop.height - size[1] - 2 * crop.top) <= 1
    assert images.conditioning(width, height, size, "true") == [
        height,
        width,
        crop.top,
        crop.left,
        size[1],
        size[0],
    ]


def test_kohyas_crop_is_sd_scripts():
    """BucketManager.get_crop_ltrb, whose margins are those of an image fitted into the bucket."""
    assert images.conditioning(1000, 500, (1024, 1024), "kohya") == [500, 1000, 256, 0, 1024, 1024]
    assert images.conditioning(500, 1000, (1024, 1024), "kohya") == [1000, 500, 0, 256, 1024, 1024]
    assert images.conditioning(700, 700, (1024, 1024), "kohya")[2:4] == [0, 0]


def test_pixels_are_the_middle_of_the_image(tmp_path):
    from PIL import Image

    ramp = np.tile(np.arange(100, dtype=np.uint8), (50, 1))
    Image.fromarray(np.stack([ramp] * 3, -1)).save(tmp_path / "ramp.png")
    result = images.pixels("ramp", (tmp_path / "ramp.png").read_bytes(), 100, 50, (50, 50))
    assert result.shape == (3, 50, 50)
    np.testing.assert_allclose(result[0, 7], np.arange(25, 75) / 127.5 - 1, atol=1e-6)


def test_transparency_becomes_white(tmp_path):
    from PIL import Image

    Image.new("RGBA", (16, 16), (9, 9, 9, 0)).save(tmp_path / "clear.png")
    assert (images.pixels("clear", (tmp_path / "clear.png").read_bytes(), 16, 16, (16, 16)) == 1).all()


def test_a_broken_or_changed_image_is_named(tmp_path):
    with pytest.raises(DataSetError, match=r"broken\.png cannot be read"):
        images.pixels("broken.png", b"\x89PNG\r\n\x1a\n", 9, 9, (16, 16))
    data = of_sizes(tmp_path, [(32, 32)])
    with pytest.raises(DataSetError, match="32 by 32 pixels and was 9 by 9"):
        images.pixels("1.png", data.read(0), 9, 9, (16, 16))
    (tmp_path / "x001" / "1.png").unlink()
    with pytest.raises(DataSetError, match=r"x001/1\.png cannot be read"):
        data.read(0)


@pytest.mark.parametrize("fill", [False, True])
@pytest.mark.parametrize("batch", [1, 3, 4])
def test_an_epoch_has_every_image_once_and_batches_of_one_bucket(tmp_path, fill, batch):
    data = of_sizes(tmp_path, [(64, 64)] * 5 + [(64, 128)] * 4 + [(128, 64)])
    buckets = sizes(data, SMALL)
    order = Order(data, buckets.of, batch=batch, seed=1, fill=fill)
    counts = Counter()
    for number in range(order.batches(1)):
        place = order[number]
        assert len({int(buckets.of[row]) for row in place.rows}) == 1
        assert (place.epoch, place.position) == (0, number * batch)
        counts.update(place.rows.tolist())
        assert len(place.rows) == batch if fill else len(place.rows) <= batch
    assert set(counts) == set(range(10))
    assert fill or set(counts.values()) == {1}
    assert sum(counts.values()) == order.images(0, order.batches(1))


def test_any_batch_can_be_had_without_those_before(tmp_path):
    data = of_sizes(tmp_path, [(64, 64)] * 7 + [(64, 128)] * 3, repeats=2)
    of = sizes(data, SMALL).of
    whole = Order(data, of, batch=2, seed=5, fill=False)
    epoch = whole.batches(1)
    rows = [whole[number].rows.tolist() for number in range(3 * epoch)]
    assert Order(data, of, batch=2, seed=5, fill=False)[2 * epoch].rows.tolist() == rows[2 * epoch]
    assert rows[:epoch] != rows[epoch : 2 * epoch]
    assert whole.images(3, 2 * epoch) == sum(map(len, rows[3 : 2 * epoch]))
    assert Counter(row for batch in rows for row in batch) == dict.fromkeys(range(10), 6)


def test_threads_that_ask_together_have_an_epoch_ordered_once(tmp_path):
    class Slow(Order):
        calls = 0

        def _ordered(self, epoch):
            Slow.calls += 1
            time.sleep(0.05)
            return super()._ordered(epoch)

    data = of_sizes(tmp_path, [(64, 64)] * 5)
    of = sizes(data, SMALL).of
    slow, alone = (kind(data, of, batch=2, seed=5, fill=False) for kind in (Slow, Order))
    numbers = [0, 1, 2] * 4
    with ThreadPoolExecutor(len(numbers)) as threads:
        rows = [place.rows.tolist() for place in threads.map(slow.__getitem__, numbers)]
    assert Slow.calls == 1
    assert rows == [alone[number].rows.tolist() for number in numbers]


@given(
    st.lists(st.tuples(st.integers(1, 9), st.decimals("0.05", "3", places=2)), min_size=1, max_size=3),
    st.integers(1, 4),
    st.integers(0, 2**64),
)
@settings(deadline=None)
def test_weights_say_how_often_images_are_drawn(some, batch, seed):
    """Exactly so over several epochs, though these may differ in length; and any batch is found by its number alone."""
    order = Order(
        several(some),
        np.array([place % 2 for n, _ in some for place in range(n)]),
        batch=batch,
        seed=seed,
        fill=False,
    )
    epochs = 7
    counts = Counter(row for number in range(order.batches(epochs)) for row in order[number].rows.tolist())
    row = 0
    for n, weight in some:
        for bucket in range(min(n, 2)):
            members = [row + place for place in range(bucket, n, 2)]
            draws = [counts[member] for member in members]
            assert abs(sum(draws) - weight * epochs * len(members)) < 1
            assert max(draws) - min(draws) <= 1
        row += n
    other = Order(several(some), order.buckets, batch=batch, seed=seed, fill=False)
    for number in reversed(range(order.batches(epochs))):
        assert other[number].epoch == order[number].epoch
        assert other[number].position == order[number].position
        assert (other[number].rows == order[number].rows).all()
    for epoch in range(epochs):
        assert order.epochs(order.batches(epoch)) == epoch or order.batches(epoch) == order.batches(epoch + 1)


def test_half_a_set_is_drawn_and_then_the_other_half(tmp_path):
    data = of_sizes(tmp_path, [(64, 64)] * 8, weight=0.5)
    order = Order(data, sizes(data, SMALL).of, batch=2, seed=3, fill=False)
    epochs = [{row for n in range(e * 2, e * 2 + 2) for row in order[n].rows.tolist()} for e in range(4)]
    assert order.batches(1) == order.batches(2) - order.batches(1) == 2
    assert len(epochs[0]) == len(epochs[1]) == 4
    assert epochs[0] | epochs[1] == set(range(8))
    assert (epochs[2], epochs[3]) == (epochs[0], epochs[1])


def test_without_upscaling_small_images_keep_their_size(tmp_path):
    data = of_sizes(tmp_path, [(40, 50), (200, 200), (64, 64)])
    buckets = sizes(data, BucketOptions(area=64 * 64, step=16, min_side=32, max_side=128, upscale=False))
    assert buckets.sizes[buckets.of].tolist() == [[32, 48], [64, 64], [64, 64]]


def test_held_out_images_are_the_same_whatever_else_there_is(tmp_path):
    data = of_sizes(tmp_path, [(64, 64)] * 9)
    train, held_out = data.split(3, seed=4)
    assert sorted([*train.ids, *held_out.ids]) == list(range(1, 10))
    fewer = data.take(np.flatnonzero(np.isin(data.ids, [*held_out.ids, 1, 2])))
    assert set(held_out.ids.tolist()) <= {*fewer.split(3, seed=4)[1].ids.tolist()} | {1, 2}
    with pytest.raises(DataSetError, match="hold out fewer"):
        data.split(9, seed=4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "is not a folder"),
        (lambda p: p.mkdir(), "nothing is in it"),
        (lambda p: (p.mkdir(), (p / "manifest.parquet").write_bytes(b"x")), "is not a manifest"),
        (lambda p: write_pairs(p, [(9, 9)], status="broken"), "holds no image"),
    ],
)
def test_a_data_set_that_cannot_be_is_named(tmp_path, make, message):
    make(tmp_path / "set")
    with pytest.raises(DataSetError, match=message):
        of_folder(tmp_path / "set")
