"""Masks, crops and flips: what a step shows of an image, and what the model is told of it."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch.nn import functional

from hakubooru.errors import ConfigError, DataSetError
from hakubooru_trainer.config.data import (
    AugmentOptions,
    BucketOptions,
    CacheOptions,
    CaptionOptions,
    DataOptions,
)
from hakubooru_trainer.config.options import BatchOptions, TextOptions
from hakubooru_trainer.data import samples
from hakubooru_trainer.data.images import UnusableImageError, View, conditioning, fit, pixels, view
from hakubooru_trainer.data.kohya import data_sets
from hakubooru_trainer.data.masks import mask, mask_of
from hakubooru_trainer.distributed import Ranks
from hakubooru_trainer.setup import data_set, prepare
from training_pairs import write_pairs

ALONE = Ranks(torch.device("cpu"))


def picture(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "png")
    return file.getvalue()


@pytest.fixture
def array():
    return np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)


def pixels_of(array, size, window):
    height, width = array.shape[:2]
    return pixels("a.png", picture(array), width, height, size, seen=window)


def test_a_flipped_view_is_the_view_of_the_mirrored_image(array):
    size = (40, 48)
    window = View(fit(64, 48, size)._replace(left=3), is_flipped=True)
    assert np.array_equal(
        pixels_of(array, size, window), pixels_of(array[:, ::-1].copy(), size, View(window.fit))
    )


def test_a_random_crop_is_the_part_that_the_model_is_told_of(array):
    """Without resizing, the pixels are those at the told place of the image, or of its mirror image."""
    size, options = (40, 48), AugmentOptions(random_crop=True, flip=0.5)
    places = set()
    for number in range(60):
        window = view(64, 48, size, options, (1, 0, number, 7))
        height, width, top, left, *target = conditioning(64, 48, size, "true", window.fit)
        assert (height, width, target) == (48, 64, [48, 40])
        own = array[:, ::-1] if window.is_flipped else array
        part = own[int(top) : int(top) + 48, int(left) : int(left) + 40]
        assert np.allclose((pixels_of(array, size, window) + 1) * 127.5, part.transpose(2, 0, 1), atol=1e-3)
        places.add((left, window.is_flipped))
    assert {left for left, _ in places} <= set(range(25))
    assert len(places) > 25


def test_without_options_the_centre_is_shown():
    for number in range(20):
        assert view(64, 48, (40, 48), AugmentOptions(), (number,)) == View(fit(64, 48, (40, 48)))


def test_a_mask_is_averaged_over_the_places_of_the_latents(tmp_path):
    """torch's area interpolation, as sd-scripts resizes masks."""
    values = np.random.default_rng(2).integers(0, 256, (64, 96), np.uint8)
    Image.fromarray(values).save(tmp_path / "m.png")
    size = (64, 64)
    window = View(fit(96, 64, size)._replace(left=24))
    theirs = functional.interpolate(
        torch.from_numpy(values[None, None, :, 24:88]).float() / 255, (8, 8), mode="area"
    )[0]
    own = (96, 64)
    ours = mask(tmp_path / "m.png", window, size, own)
    assert np.allclose(ours, theirs.numpy(), atol=1 / 255)
    flipped = mask(tmp_path / "m.png", View(window.fit._replace(left=8), is_flipped=True), size, own)
    assert np.allclose(flipped, ours[:, :, ::-1], atol=1 / 255)
    Image.fromarray(values[::2, ::2]).save(tmp_path / "half.png")  # a mask of another size covers the same
    assert mask(tmp_path / "half.png", window, size, own) == pytest.approx(ours, abs=0.2)
    assert mask(None, window, size, own).tolist() == np.ones((1, 8, 8)).tolist()
    (tmp_path / "m.png").write_bytes(b"no picture")
    with pytest.raises(UnusableImageError, match="cannot be read as a mask"):
        mask(tmp_path / "m.png", window, size, own)


def test_a_mask_may_have_16_bits_or_be_turned_by_exif(tmp_path):
    window, size = View(fit(16, 16, (16, 16))), (16, 16)
    grey = np.repeat(np.array([[0, 0x8000], [0x4000, 0xFFFF]], np.uint16), 8, 0).repeat(8, 1)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    expected = np.array([[0, 0x80], [0x40, 0xFF]]) / 255
    assert np.allclose(mask(tmp_path / "deep.png", window, size, size)[0], expected)
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by half
    Image.fromarray((grey >> 8).astype(np.uint8)).save(tmp_path / "turned.png", exif=exif)
    assert np.allclose(mask(tmp_path / "turned.png", window, size, size)[0], expected[::-1, ::-1])
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", '<rdf:Description tiff:Orientation="3"/>')
    Image.fromarray(grey).save(tmp_path / "xmp.png", pnginfo=text)  # an image is not turned by XMP
    assert np.allclose(mask(tmp_path / "xmp.png", window, size, size)[0], expected)
    Image.fromarray(grey.astype(np.float32) / 65535).save(tmp_path / "float.tif")
    with pytest.raises(
        UnusableImageError, match=r"cannot be read as a mask \(32 bits of grey; save it with 8 or 16"
    ):
        mask(tmp_path / "float.tif", window, size, size)


@pytest.mark.parametrize(("width", "height"), [(1000, 667), (125, 83), (31, 21), (3, 2)])
def test_a_mask_may_be_of_another_size_but_not_of_another_shape(tmp_path, width, height):
    window, own = View(fit(1000, 667, (64, 64))), (1000, 667)
    Image.new("L", (width, height), 255).save(tmp_path / "m.png")
    assert mask(tmp_path / "m.png", window, (64, 64), own).min() == 1
    Image.new("L", (height, width), 255).save(tmp_path / "m.png")
    if width > 3:  # of two or three pixels nothing can be said
        with pytest.raises(UnusableImageError, match=rf"is a mask of {height} by {width} .* another shape"):
            mask(tmp_path / "m.png", window, (64, 64), own)


def test_masks_lie_beside_images_or_in_a_folder(tmp_path):
    (tmp_path / "masks" / "x").mkdir(parents=True)
    for path in ("1-masklabel.png", "masks/x/1.png"):
        (tmp_path / path).touch()
    beside = DataOptions(path=str(tmp_path), masks="-masklabel.png")
    assert mask_of(f"{tmp_path}/1.jpg", beside) == tmp_path / "1-masklabel.png"
    assert mask_of(f"{tmp_path}/2.jpg", beside) is None
    folder = DataOptions(path=str(tmp_path), masks=str(tmp_path / "masks"))
    assert mask_of(f"{tmp_path}/x/1.jpg", folder) == tmp_path / "masks" / "x" / "1.png"
    assert mask_of(f"{tmp_path}/x/1.jpg", DataOptions(path=str(tmp_path))) is None
    (tmp_path / "sets" / "3_one").mkdir(parents=True)
    (options,) = data_sets(DataOptions(path=str(tmp_path / "sets"), masks="masks"))
    assert (options.repeats, options.masks) == (3, "masks/3_one")


def test_masks_are_no_images_and_are_in_the_fingerprint(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "1.png")
    (tmp_path / "1.txt").write_text("1girl")
    plain = samples.load([DataOptions(path=str(tmp_path))], ALONE).fingerprints()
    fingerprints = {plain}
    options = [DataOptions(path=str(tmp_path), masks="-masklabel.png")]
    for value in (0, 255):
        Image.new("L", (64, 64), value).save(tmp_path / "1-masklabel.png")
        data = samples.load(options, ALONE)
        assert (len(data), data.left_out) == (1, {})
        fingerprints.add(data.fingerprints())
    assert len(fingerprints) == 3


def test_a_folder_of_masks_among_the_images_is_not_trained_on(tmp_path):
    for path in ("1.png", "masks/1.png", "masked/2.png"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        Image.new("RGB", (64, 64)).save(tmp_path / path)
        (tmp_path / path).with_suffix(".txt").write_text("1girl")
    data = samples.load([DataOptions(path=str(tmp_path), masks=str(tmp_path / "masks"))], ALONE)
    assert {data[row].path.removeprefix(f"{tmp_path}/") for row in range(len(data))} == {
        "1.png",
        "masked/2.png",
    }
    with pytest.raises(DataSetError, match="the folder of the images itself"):
        samples.load([DataOptions(path=str(tmp_path), masks=f"{tmp_path}/masks/..")], ALONE)


def test_masks_that_no_image_has_are_refused(tmp_path):
    folder = write_pairs(tmp_path / "export", [(64, 64)] * 2)
    (tmp_path / "empty").mkdir()
    for masks in ("-mask.png", str(tmp_path / "empty")):
        with pytest.raises(DataSetError, match=rf"data.masks is {masks}, and no image of .* has such a mask"):
            samples.load([DataOptions(path=str(folder), masks=masks)], ALONE)


def test_of_several_folders_in_one_data_set_one_may_lack_masks(tmp_path):
    for path in ("set/2_girl/1.png", "set/1_others/2.png", "masks/2_girl/1.png"):
        (tmp_path / path).parent.mkdir(parents=True)
        Image.new("RGB", (64, 64)).save(tmp_path / path)
        (tmp_path / path).with_suffix(".txt").write_text("1girl")
    data = samples.load([DataOptions(path=str(tmp_path / "set"), masks=str(tmp_path / "masks"))], ALONE)
    assert [source.options.masks.rpartition("/")[2] for source in data.sets] == ["1_others", "2_girl"]


def test_masks_of_shards_are_refused(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "1.png")
    (tmp_path / "1.txt").write_text("1girl")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("1.png", "1.txt"):
            tar.add(tmp_path / name, name)
            (tmp_path / name).unlink()
    with pytest.raises(DataSetError, match="masks need images in their own files"):
        samples.load([DataOptions(path=str(tmp_path), masks=".mask.png")], ALONE)


@pytest.mark.slow
def test_batches_have_masks_and_crops_and_caches_hold_both_sides(options, tmp_path):
    folder = write_pairs(tmp_path / "masked", [(96, 64)] * 4)
    Image.new("L", (96, 64), 0).save(folder / "x001" / "1.mask.png")
    sections = {
        "data": (DataOptions(path=str(folder), masks=".mask.png"),),
        "augment": AugmentOptions(flip=0.5),
        "buckets": BucketOptions(area=64 * 64, step=16, min_side=64, max_side=64),
        "batch": BatchOptions(size=4),
    }
    plain = options(**sections)
    data = data_set(plain, ALONE)
    training = prepare(plain, ALONE, data)
    batch = training.batches.batch(data.order[0], 0)
    masked = [number == 1 for number in batch.ids]
    assert batch.masks.shape == (4, 1, 8, 8)
    assert [float(mask.mean()) for mask in batch.masks] == [0.0 if is_masked else 1.0 for is_masked in masked]
    with torch.no_grad():
        losses = training.objective.losses(training.model, batch)
        plainly = training.objective.losses(training.model, batch, weighted=False)
    assert [float(loss) == 0 for loss in losses] == masked
    assert all(float(loss) > 0 for loss in plainly)

    cached = options(**sections, cache=CacheOptions(latents=str(tmp_path / "latents")))
    training = prepare(cached, ALONE, data_set(cached, ALONE))
    assert training.batches.latents.cache.has(training.batches.latents.cache.keys).sum() == 8
    with torch.no_grad():
        assert torch.allclose(
            training.objective.losses(training.model, training.batches.batch(data.order[0], 0)), losses
        )
    flips = {training.batches.view(0, (0, 0, place, 1)).is_flipped for place in range(9)}
    assert flips == {False, True}


@pytest.mark.slow
def test_an_image_whose_mask_is_damaged_has_no_weight(options, tmp_path, capsys):
    folder = write_pairs(tmp_path / "masked", [(64, 64)] * 3)
    for number, data in ((1, b"no picture"), (2, picture(np.full((64, 64), 255, np.uint8)))):
        (folder / "x001" / f"{number}.mask.png").write_bytes(data)
    run = options(data=(DataOptions(path=str(folder), masks=".mask.png"),), batch=BatchOptions(size=3))
    data = data_set(run, ALONE)
    training = prepare(run, ALONE, data)
    batch = training.batches.batch(data.order[0], 0)
    by_id = {
        number: (float(weight), bool(decoded))
        for number, weight, decoded in zip(batch.ids, batch.weights, batch.decoded, strict=True)
    }
    assert by_id == {1: (0, False), 2: (1, True), 3: (1, True)}
    assert "1.mask.png cannot be read as a mask" in (error := capsys.readouterr().err)
    assert "it is left out, with no weight" in error


def test_what_does_not_go_together_is_refused(options):
    for sections, message in (
        ({"cache": CacheOptions(latents="c")}, r"cache\.latents keeps one crop"),
        ({"buckets": BucketOptions(crop="kohya")}, "tells the model of centre crops"),
    ):
        with pytest.raises(ConfigError, match=message):
            options(augment=AugmentOptions(random_crop=True), **sections)
    with pytest.raises(ConfigError, match=r"remove captions\.mix and data\.prefix"):
        options(
            cache=CacheOptions(text="c"),
            text=TextOptions(train=False),
            captions=CaptionOptions(shuffle=False, mix={"lines": 1}),
        )
    with pytest.raises(ConfigError, match=r"augment\.flip = 2\.0; write a number from 0 to 1"):
        AugmentOptions(flip=2.0)
