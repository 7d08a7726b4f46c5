"""Pictures of prompts with options of their own, and what is shown meanwhile."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops
from safetensors.torch import load_file, save_file

from hakubooru.errors import ModelError
from hakubooru_trainer import fingerprint, loop, sample
from hakubooru_trainer.config.options import ModelOptions, SampleOptions
from hakubooru_trainer.config.read import flat
from hakubooru_trainer.evaluate.drawing import ModelDrawer
from hakubooru_trainer.evaluate.options import DrawingOptions
from hakubooru_trainer.lokr.file import options_of_run
from hakubooru_trainer.merge import merge
from hakubooru_trainer.model.header import read_header
from hakubooru_trainer.model.load import load, read_marks
from hakubooru_trainer.model.single_file import Marks
from hakubooru_trainer.sample import Drawing, draw_files, load_for_drawing
from tiny_runs import SMALL

pytestmark = pytest.mark.slow

HOW = Drawing(width=64, height=64, steps=2, tokens=75)
CPU = torch.device("cpu")
MARKS = Marks(v=False, zero_terminal_snr=False)


@pytest.fixture
def draw_prompts(shallow, tmp_path):
    """The pictures of a file of prompts."""

    def draw(text, how=HOW, **more):
        (tmp_path / "p.txt").write_text(text)
        paths = draw_files(ModelOptions(path=str(shallow)), tmp_path / "p.txt", tmp_path / "out", how, **more)
        return [Image.open(path).copy() for path in paths]

    return draw


def test_a_prompt_is_drawn_as_it_says(draw_prompts):
    (own,) = draw_prompts("1girl, solo --w 96 --h 128 --s 3 --d 5 --l 2 --n sky\n")
    (like,) = draw_prompts(
        "1girl, solo", replace(HOW, width=96, height=128, steps=3, seed=5, guidance=2, negative="sky")
    )
    assert own.size == (96, 128)
    assert ImageChops.difference(own, like).getbbox() is None


def test_no_picture_is_overwritten(tmp_path):
    """Another picture gets the next free name; one that is there already gets none."""
    red, green, blue = (Image.new("RGB", (8, 8), name) for name in ("red", "green", "blue"))
    names = [sample.save(picture, tmp_path / "000.png").name for picture in (red, green, red, blue, green)]
    assert names == ["000.png", "000_2.png", "000.png", "000_3.png", "000_2.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000.png", "000_2.png", "000_3.png"]
    assert [Image.open(tmp_path / name).getpixel((0, 0)) for name in sorted(set(names))] == [
        (255, 0, 0), (0, 128, 0), (0, 0, 255)
    ]  # fmt: skip


def test_what_is_drawn_anew_lies_beside_what_was_drawn(draw_prompts, tmp_path):
    draw_prompts("1girl\nsolo")
    (first,) = draw_prompts("1girl", replace(HOW, seed=1))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000.png", "000_2.png", "001.png"]
    with Image.open(tmp_path / "out" / "000_2.png") as second:
        assert ImageChops.difference(first, second).getbbox() is None


def test_a_model_of_which_nothing_can_be_drawn_is_refused(shallow, tmp_path):
    """Its schedule ends in pure noise, and it is not said to predict v."""
    shutil.copytree(shallow, tmp_path / "model", copy_function=os.link)
    scheduler = tmp_path / "model" / "scheduler" / "scheduler_config.json"
    settings = json.loads(scheduler.read_text())
    scheduler.unlink()
    scheduler.write_text(json.dumps(settings | {"rescale_betas_zero_snr": True}))
    model = ModelOptions(path=str(tmp_path / "model"))
    with pytest.raises(ModelError, match="ends in pure noise, and it is not said to predict v"):
        load_for_drawing(model, None, CPU)
    load_for_drawing(replace(model, prediction="v"), None, CPU)
    marked = ModelOptions(path=str(shallow), zero_terminal_snr="yes")
    with pytest.raises(ModelError, match=r'set model\.prediction = "v"'):
        load_for_drawing(marked, None, CPU)


def test_progress_is_shown_and_threads_are_kept(draw_prompts, monkeypatch):
    steps = []

    class Bar:
        def __init__(self, **how):
            steps.append(how["total"])

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self):
            steps.append(1)

    monkeypatch.setattr(sample, "progress", Bar)
    threads = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    assert len(draw_prompts("# two\n1girl\n1boy --s 1\n", threads=3)) == 2
    assert steps == [3, 1, 1, 1]
    assert threads == [3]


def test_a_sheet_has_room_for_the_largest():
    pictures = [Image.new("RGB", size, "white") for size in ((64, 64), (96, 32), (32, 128))]
    grid = sample.sheet(pictures)
    assert grid.size == (2 * 96, 2 * 128)
    for picture, corner in zip(pictures, ((0, 0), (96, 0), (0, 128)), strict=True):
        box = (*corner, corner[0] + picture.width, corner[1] + picture.height)
        assert grid.crop(box).getcolors() == [(picture.width * picture.height, (255, 255, 255))]


def test_a_batch_draws_each_prompt_from_its_own_noise(shallow_parts):
    """Alone, with others and again: the same bits for the same batch, the same picture in any."""
    model, how = shallow_parts(), replace(HOW, negative="sky")

    def draw(prompts, starts):
        pictures = sample.draw_batch(model, prompts, how, starts, marks=MARKS)
        return [np.asarray(picture, np.int16) for picture in pictures]

    together = draw(["1girl", "1boy"], [(7,), (2**60, 1)])
    assert all(map(np.array_equal, together, draw(["1girl", "1boy"], [(7,), (2**60, 1)])))
    alone = [draw(["1girl"], [(7,)])[0], draw(["1boy"], [(2**60, 1)])[0]]
    assert all(np.abs(one - other).max() <= 1 for one, other in zip(together, alone, strict=True))
    assert np.abs(together[0] - draw(["1girl"], [(8,)])[0]).max() > 1
    # `draw` begins with the seed and the place in the list.
    (_, second) = sample.draw(model, ["1girl", "1boy"], replace(how, seed=7), marks=MARKS)
    assert np.array_equal(np.asarray(second, np.int16), draw(["1boy"], [(7, 1)])[0])


def test_numbers_that_are_not_finite_are_no_picture(shallow, tmp_path, options):
    """A VAE that overflows: `sample` says so instead of drawing black, and a run goes on without samples."""
    folder = tmp_path / "overflows"
    shutil.copytree(shallow, folder)
    (path,) = (folder / "vae").glob("*.safetensors")
    tensors = load_file(path)
    tensors["decoder.conv_out.weight"] = torch.full_like(tensors["decoder.conv_out.weight"], 1e38)
    save_file(tensors, path, {"format": "pt"})
    (tmp_path / "p.txt").write_text("1girl\n")
    with pytest.raises(
        ModelError, match=r"numbers that are not finite in place of a picture; set model\.vae"
    ):
        draw_files(ModelOptions(path=str(folder)), tmp_path / "p.txt", tmp_path / "drawn", HOW)
    assert not [*(tmp_path / "drawn").iterdir()]
    samples = SampleOptions(prompts=str(tmp_path / "p.txt"), every=4, width=64, height=64, steps=1)
    with pytest.warns(
        UserWarning, match=r"no samples of update \d: the model gives numbers that are not finite"
    ):
        loop.run(options(**SMALL, model=ModelOptions(path=str(folder)), samples=samples))
    assert (tmp_path / "out" / "lokr.safetensors").exists()


def test_each_sampler_draws_and_a_prompt_names_its_own(draw_prompts):
    pictures = draw_prompts(
        "1girl --d 5 --ss euler_a\n1girl --d 5 --ss dpmsolver++\n1girl --d 5\n", replace(HOW, steps=4)
    )
    (second,) = draw_prompts("1girl --d 5", replace(HOW, steps=4, sampler="euler_a"))
    assert ImageChops.difference(pictures[0], second).getbbox() is None
    assert len({picture.tobytes() for picture in pictures}) == 3


def test_pictures_of_a_batch_depend_on_their_own_prompts_and_seeds(shallow_parts):
    model = shallow_parts()
    how = replace(HOW, sampler="euler_a", steps=3)
    ways = {"marks": MARKS}
    together = sample.draw_batch(model, ["1girl", "sky"], how, [(1,), (2,)], **ways)
    for place, (prompt, seed) in enumerate((("1girl", 1), ("sky", 2))):
        (alone,) = sample.draw_batch(model, [prompt], how, [(seed,)], **ways)
        assert max(high for _, high in ImageChops.difference(together[place], alone).getextrema()) <= 1
    assert together[0].tobytes() != together[1].tobytes()


def test_pictures_are_decoded_in_the_precision_of_the_vae(shallow):
    half, full = (
        load_for_drawing(ModelOptions(path=str(shallow), vae_precision=name), None, CPU)
        for name in ("bf16", "fp32")
    )
    assert (half.vae.dtype, half.unet.dtype) == (torch.bfloat16, torch.float32)
    one, other = (sample.draw_batch(model, ["sky"], HOW, [(1,)], marks=MARKS)[0] for model in (half, full))
    assert 0 < max(high for _, high in ImageChops.difference(one, other).getextrema()) <= 8


def test_an_evaluation_knows_the_strength_of_its_lokr(shallow, short_lokr):
    drawers = [
        ModelDrawer(ModelOptions(path=str(shallow)), short_lokr, DrawingOptions(), CPU, scale)
        for scale in (1.0, 0.5)
    ]
    assert drawers[1].identity == drawers[0].identity.replace(", cpu", " at 0.5, cpu")


@pytest.fixture
def lokr_of_v(options, shallow, short_lokr, tmp_path):
    """A LoKr whose run was set to v and a schedule that ends in pure noise, since the model says nothing of it."""
    run = options(model=ModelOptions(path=str(shallow), prediction="v", zero_terminal_snr="yes"))
    path = tmp_path / "v.safetensors"
    save_file(load_file(short_lokr), path, {"hakubooru_config": json.dumps(flat(run))})
    return path


def test_a_lokr_is_drawn_as_its_run_predicted(shallow, short_lokr, lokr_of_v, tmp_path, capsys):
    plain = ModelOptions(path=str(shallow))
    (tmp_path / "p.txt").write_text("1girl")
    draw_files(plain, tmp_path / "p.txt", tmp_path / "drawn", HOW, lokr_of_v)
    assert "predicts v, of a schedule that ends in pure noise" in capsys.readouterr().err
    draw_files(
        replace(plain, prediction="v", zero_terminal_snr="yes"),
        tmp_path / "p.txt",
        tmp_path / "as-v",
        HOW,
        short_lokr,
    )
    drawn, as_v = ((tmp_path / folder / "000.png").read_bytes() for folder in ("drawn", "as-v"))
    assert drawn == as_v
    chosen = replace(plain, prediction="epsilon", zero_terminal_snr="no")
    assert load_for_drawing(chosen, lokr_of_v, CPU).marks == MARKS
    identity = ModelDrawer(plain, lokr_of_v, DrawingOptions(), CPU).identity
    assert fingerprint.schedule(Marks(v=True, zero_terminal_snr=True)) in identity


def test_a_merged_checkpoint_says_what_the_run_of_its_lokr_predicted(
    shallow, short_lokr, lokr_of_v, tmp_path
):
    base, out = shallow / "tiny.safetensors", tmp_path / "merged.safetensors"
    assert read_marks(base) == MARKS
    merge(base, short_lokr, out)
    assert read_marks(out) == MARKS
    merge(base, lokr_of_v, out)
    assert read_marks(out) == (True, True)
    names, metadata = read_header(out)
    assert {"v_pred", "ztsnr"} <= names.keys()  # ComfyUI looks for them
    assert metadata["modelspec.prediction_type"] == "v"
    assert load(ModelOptions(path=str(out), config=str(shallow)), torch.float32).marks == (True, True)


@pytest.mark.parametrize(
    "configuration", ["{", "[]", '{"model.prediction": 3}', '{"model.prediction": "auto"}']
)
def test_a_lokr_that_says_nothing_of_its_run_is_drawn_as_the_model_says(
    shallow, short_lokr, tmp_path, configuration
):
    save_file(load_file(short_lokr), tmp_path / "l.safetensors", {"hakubooru_config": configuration})
    options = ModelOptions(path=str(shallow))
    assert options_of_run(tmp_path / "l.safetensors", options) == options
