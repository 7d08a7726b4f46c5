"""Working adapters into checkpoints, and checkpoints into one another."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from hakubooru.errors import InputError, ModelError
from hakubooru_trainer import sample
from hakubooru_trainer.config.options import LokrOptions, ModelOptions
from hakubooru_trainer.lokr import file
from hakubooru_trainer.lokr.adapter import Adapter, adapter_of
from hakubooru_trainer.lokr.preset import targets
from hakubooru_trainer.merge import combine, merge
from hakubooru_trainer.model.load import load
from tiny_outputs import TRAINED, outputs

pytestmark = pytest.mark.slow

GAMMA = "beta7 + 0.8*(anxl3 - anxl2) + 0.5*(base7 - beta7)"


@pytest.fixture(scope="module")
def adapter_and_output(shallow_parts):
    """The shallow model, and what an adapter of linear layers, convolutions and norms makes of it, whole and by half."""
    model = shallow_parts()
    adapter = Adapter(targets({name: vars(model)[name] for name in TRAINED}, LokrOptions()))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for _, tensor in adapter.weights():
            tensor.add_(torch.randn(tensor.shape, generator=generator), alpha=0.05)
    return adapter, outputs(model, adapter)


@pytest.fixture
def lokr(adapter_and_output, tmp_path):
    file.write(tmp_path / "lokr.safetensors", adapter_and_output[0], torch.float32, {})
    return tmp_path / "lokr.safetensors"


def test_merged_the_model_gives_what_it_gave_with_the_adapter(shallow, adapter_and_output, lokr, tmp_path):
    adapter, expected = adapter_and_output
    base, out = shallow / "tiny.safetensors", tmp_path / "merged.safetensors"
    assert merge(base, lokr, out) == len(adapter.targets)
    merged = load(ModelOptions(path=str(out), config=str(shallow)), torch.float32)
    assert torch.allclose(outputs(merged), expected, atol=1e-5)
    merge(base, lokr, tmp_path / "same.safetensors", scale=0)
    same, plain = load_file(tmp_path / "same.safetensors"), load_file(base)
    assert same.keys() == plain.keys()
    assert all(torch.equal(same[name], plain[name]) for name in plain)


def test_merged_by_a_part_it_gives_what_lycoris_makes_of_that_part(
    shallow, shallow_parts, adapter_and_output, lokr, tmp_path
):
    model, part = shallow_parts(), 0.35
    merge(shallow / "tiny.safetensors", lokr, tmp_path / "part.safetensors", scale=part)
    merged = load(ModelOptions(path=str(tmp_path / "part.safetensors"), config=str(shallow)), torch.float32)
    ours, plain = outputs(merged), outputs(model)
    adapter = adapter_of(file.read(lokr), vars(model), str(lokr))
    for module in adapter.modules.values():
        module.apply_to()
        module.restore()
        module.merge_to(part)
    assert torch.allclose(ours, outputs(model), atol=1e-5)
    assert (ours - plain).abs().max() > 0.01
    assert (ours - adapter_and_output[1]).abs().max() > 0.01


@pytest.mark.parametrize("as_comfyui_writes_it", [False, True])
def test_the_projection_of_the_second_encoder_is_merged(
    shallow, shallow_parts, tmp_path, as_comfyui_writes_it
):
    base, bare = tmp_path / "base.safetensors", "conditioner.embedders.1.model.text_projection"
    tensors = load_file(shallow / "tiny.safetensors")
    side = len(tensors[bare])
    if as_comfyui_writes_it:
        tensors[f"{bare}.weight"] = tensors.pop(bare).T.contiguous()
    save_file(tensors, base)
    factors = {"lokr_w1": torch.randn(4, 4), "lokr_w2": torch.randn(side // 4, side // 4)}
    lokr, out = tmp_path / "lokr.safetensors", tmp_path / "merged.safetensors"
    save_file({f"lora_te2_text_projection.{name}": tensor for name, tensor in factors.items()}, lokr)
    assert merge(base, lokr, out) == 1
    model = shallow_parts()
    expected = outputs(model, adapter_of(file.read(lokr), vars(model), str(lokr)))
    merged = load(ModelOptions(path=str(out), config=str(shallow)), torch.float32)
    assert torch.allclose(outputs(merged), expected, atol=1e-5)
    assert (expected - outputs(shallow_parts())).abs().max() > 0.01


def test_drawn_with_the_file_pictures_are_those_of_the_merged_model(shallow, lokr, tmp_path):
    from PIL import Image

    merge(shallow / "tiny.safetensors", lokr, tmp_path / "merged.safetensors", scale=0.7)
    (tmp_path / "prompts.txt").write_text("1girl, blue hair\n\nsolo\n")
    how = sample.Drawing(width=64, height=96, steps=2, negative="boy", tokens=75, seed=5)
    merged = ModelOptions(path=str(tmp_path / "merged.safetensors"), config=str(shallow))
    pictures = {}
    for name, model, adapter in (
        ("plain", ModelOptions(path=str(shallow)), None),
        ("lokr", ModelOptions(path=str(shallow)), lokr),
        ("merged", merged, None),
    ):
        prompts = tmp_path / "prompts.txt"
        paths = sample.draw_files(model, prompts, tmp_path / name, how, adapter, scale=0.7)
        assert [path.name for path in paths] == ["000.png", "001.png"]
        pictures[name] = np.stack([np.asarray(Image.open(path)) for path in paths]).astype(int)
    assert pictures["plain"].shape == (2, 96, 64, 3)
    assert abs(pictures["lokr"] - pictures["merged"]).max() <= 1  # of 255: rounding
    assert abs(pictures["lokr"] - pictures["plain"]).max() > 5
    assert (pictures["lokr"][0] != pictures["lokr"][1]).any()


def test_no_file_that_is_read_is_overwritten(shallow, lokr, tmp_path):
    base = shallow / "tiny.safetensors"
    link = tmp_path / "link.safetensors"
    link.symlink_to(base)
    contents = base.read_bytes(), lokr.read_bytes()
    for out in (base, link, lokr):
        with pytest.raises(InputError, match="is one of the files that are read; name a new file"):
            merge(base, lokr, out)
    with pytest.raises(InputError, match="is one of the files that are read"):
        combine("a + b", {"a": base, "b": base}, link)
    assert (base.read_bytes(), lokr.read_bytes()) == contents


def test_merged_into_half_precision_only_rounding_is_lost(shallow, lokr, tmp_path):
    base, half = shallow / "tiny.safetensors", tmp_path / "half.safetensors"
    save_file(
        {name: tensor.half() for name, tensor in load_file(base).items()}, half, {"sshs_model_hash": "x"}
    )
    merge(base, lokr, tmp_path / "exact.safetensors")
    exact = load_file(tmp_path / "exact.safetensors")
    for source, dtype in ((half, None), (base, torch.float16)):
        merge(source, lokr, tmp_path / "rounded.safetensors", dtype=dtype)
        rounded = load_file(tmp_path / "rounded.safetensors")
        assert {tensor.dtype for tensor in rounded.values()} == {torch.float16}
        for name, tensor in exact.items():
            assert torch.allclose(rounded[name].float(), tensor, rtol=2**-10, atol=2**-12), name
    with safe_open(tmp_path / "rounded.safetensors", "pt") as checkpoint:
        assert checkpoint.metadata() == {"hakubooru_merged": "1.0 * lokr.safetensors"}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Four checkpoints of one kind, by name; not to be changed."""
    folder, draw = tmp_path_factory.mktemp("models"), torch.Generator().manual_seed(4)
    files = {}
    for name in ("beta7", "anxl3", "anxl2", "base7"):
        tensors = {f"layer{n}": torch.randn(700, 500, generator=draw).half() for n in range(8)}
        files[name] = folder / f"{name}.safetensors"
        tensors |= {
            "odd": tensors["layer0"][:1, :3].clone(),
            "large": torch.randn(1500, 1500, generator=draw),
        }
        save_file(
            tensors | {"steps": torch.tensor([7]), "none": torch.zeros(0)}, files[name], {"format": "pt"}
        )
    return files


@pytest.mark.parametrize("dtype", [None, torch.float32])
def test_gammas_formula_is_float64_arithmetic_within_rounding(models, tmp_path, dtype):
    """The tensor `large` is read in several pieces."""
    combine(GAMMA, models, tmp_path / "gamma.safetensors", dtype=dtype)
    result = load_file(tmp_path / "gamma.safetensors")
    values = {name: load_file(path) for name, path in models.items()}
    assert result["steps"].tolist() == [7]
    for key in (key for key in result if key != "steps"):
        beta7, anxl3, anxl2, base7 = (
            values[n][key].double().numpy() for n in ("beta7", "anxl3", "anxl2", "base7")
        )
        exact = beta7 + 0.8 * (anxl3 - anxl2) + 0.5 * (base7 - beta7)
        assert result[key].dtype == (dtype or values["beta7"][key].dtype)
        bits = 11 if result[key].dtype == torch.float16 else 24
        # Half a step of what is written, and of fp32 for what stands in between.
        size = abs(beta7) + 0.8 * (abs(anxl3) + abs(anxl2)) + 0.5 * (abs(base7) + abs(beta7))
        assert (
            abs(result[key].double().numpy() - exact) <= abs(exact) * 2.0**-bits + size * 2.0**-22 + 2.0**-25
        ).all()


def test_a_combination_says_what_it_is(models, tmp_path):
    tensors = load_file(models["beta7"])
    metadata = {"modelspec.title": "Beta 7", "modelspec.hash_sha256": "0x0", "sshs_model_hash": "0"}
    save_file(tensors | {"logit_scale": torch.ones(1)}, tmp_path / "beta7.safetensors", metadata)
    files = {"beta7": tmp_path / "beta7.safetensors", "base7": models["base7"]}
    combine("0.5*beta7 + 0.5*base7", files, tmp_path / "out.safetensors")
    with safe_open(tmp_path / "out.safetensors", "pt") as checkpoint:
        assert checkpoint.metadata() == {
            "modelspec.title": "Beta 7",
            "hakubooru_formula": "0.5*beta7 + 0.5*base7",
        }
        # Not every checkpoint has it, and none needs it.
        assert checkpoint.get_tensor("logit_scale").item() == 1


def peak(call):
    """The megabytes that a call takes at most, beside those that are taken already."""

    def most():
        return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1000

    Path("/proc/self/clear_refs").write_text("5")  # the most from now on
    start = most()
    call()
    return most() - start


def test_a_combination_of_large_models_takes_no_more_memory(models, tmp_path):
    """Four files of 60 MB are combined; nearly all of each is one tensor."""
    files = {name: tmp_path / f"{name}.safetensors" for name in models}
    for path in files.values():
        save_file({"large": torch.ones(30_000_000, dtype=torch.half), "small": torch.ones(3)}, path)
    small, large = (
        peak(partial(combine, GAMMA, four, tmp_path / "out.safetensors")) for four in (models, files)
    )
    assert large - small < 30  # of 300 MB that were read and written; the allocator is not of one mind


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("beta7 + beta8", "--model beta8=FILE"),
        ("beta7 +", "cannot be read at character"),
        ("0.5*(beta7 - anxl3", "cannot be read at character 5: .* never closed"),
        ("beta7)", "cannot be read at character 6: unmatched"),
        ("", "cannot be read at character"),
        ("beta7 * (1 / 0)", "cannot be computed: division by zero"),
        ("beta7 + 'anxl3'", "write only names of models"),
        ("beta7 + True", "write only names of models"),
        ("beta7 ** 2", "write only \\+ - \\* / and brackets"),
        ("exit()", "write only names of models"),
        ("1 + 1", "names no model"),
        ("beta7.layers", "write only names of models"),
    ],
)
def test_a_wrong_formula_is_named(models, tmp_path, formula, message):
    with pytest.raises(InputError, match=message):
        combine(formula, models, tmp_path / "out.safetensors")
    with pytest.raises(InputError, match="no such name; did you mean 'base7'"):
        combine(
            "base7 - anxl3",
            {name: models[name] for name in ("base7", "anxl3")} | {"base6": tmp_path},
            tmp_path,
        )
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("formula", ["beta7 / (anxl3 - anxl3)", "beta7 / 0", "1e9 * beta7"])
def test_what_is_not_finite_is_not_written(models, tmp_path, formula):
    names = [name for name in models if name in formula]
    with pytest.raises(ModelError, match="would hold a number that is not finite"):
        combine(formula, {name: models[name] for name in names}, tmp_path / "out.safetensors")
    assert not list(tmp_path.iterdir())


def test_models_of_other_kinds_are_refused(models, tmp_path):
    save_file({"layer0": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="models of different kinds"):
        combine(
            "beta7 - other",
            {"beta7": models["beta7"], "other": tmp_path / "other.safetensors"},
            tmp_path / "out.safetensors",
        )
    save_file(load_file(models["beta7"]) | {"odd": torch.zeros(3, 1).half()}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=r"odd is of shape \[1, 3\] in .* and \[3, 1\]"):
        combine(
            "beta7 - other",
            {"beta7": models["beta7"], "other": tmp_path / "other.safetensors"},
            tmp_path / "out.safetensors",
        )
    save_file({"lora_unet_nothing.alpha": torch.zeros(1)}, tmp_path / "lokr.safetensors")
    with pytest.raises(ModelError, match="made for another model"):
        merge(models["beta7"], tmp_path / "lokr.safetensors", tmp_path / "out.safetensors")
