"""Working adapters into checkpoints, and checkpoints into one another."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hakubooru.errors import InputError, ModelError
from hakubooru_trainer.config.options import LokrOptions, ModelOptions
from hakubooru_trainer.lokr import file
from hakubooru_trainer.lokr.adapter import Adapter
from hakubooru_trainer.lokr.preset import targets
from hakubooru_trainer.merge import combine, merge
from hakubooru_trainer.model.load import load
from tiny_outputs import TRAINED, outputs

GAMMA = "beta7 + 0.8*(anxl3 - anxl2) + 0.5*(base7 - beta7)"


def test_merged_the_model_gives_what_it_gave_with_the_adapter(tiny, parts, tmp_path):
    model = parts()
    adapter = Adapter(targets({name: vars(model)[name] for name in TRAINED}, LokrOptions()))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for _, tensor in adapter.weights():
            tensor.add_(torch.randn(tensor.shape, generator=generator), alpha=0.05)
    file.write(tmp_path / "lokr.safetensors", adapter, torch.float32, {})
    base, out = tiny / "tiny.safetensors", tmp_path / "merged.safetensors"
    assert merge(base, tmp_path / "lokr.safetensors", out) == len(adapter.targets)
    merged = load(ModelOptions(path=str(out), config=str(tiny)), torch.float32)
    assert torch.allclose(outputs(merged), outputs(model, adapter), atol=1e-5)
    merge(base, tmp_path / "lokr.safetensors", tmp_path / "same.safetensors", scale=0)
    same, plain = load_file(tmp_path / "same.safetensors"), load_file(base)
    assert same.keys() == plain.keys()
    assert all(torch.equal(same[name], plain[name]) for name in plain)


@pytest.fixture
def models(tmp_path):
    draw = torch.Generator().manual_seed(4)
    files = {}
    for name in ("beta7", "anxl3", "anxl2", "base7"):
        tensors = {f"layer{n}": torch.randn(700, 500, generator=draw).half() for n in range(30)}
        files[name] = tmp_path / f"{name}.safetensors"
        save_file(tensors | {"steps": torch.tensor([7])}, files[name], {"format": "pt"})
    return files


def test_gammas_formula_is_float64_arithmetic_within_rounding(models, tmp_path):
    combine(GAMMA, models, tmp_path / "gamma.safetensors")
    made = load_file(tmp_path / "gamma.safetensors")
    values = {name: load_file(path) for name, path in models.items()}
    assert made["steps"].tolist() == [7]
    for key in (key for key in made if key != "steps"):
        beta7, anxl3, anxl2, base7 = (
            values[n][key].double().numpy() for n in ("beta7", "anxl3", "anxl2", "base7")
        )
        exact = beta7 + 0.8 * (anxl3 - anxl2) + 0.5 * (base7 - beta7)
        assert made[key].dtype == torch.float16
        np.testing.assert_allclose(made[key].double().numpy(), exact, rtol=2**-10, atol=1e-6)


def test_a_combination_is_never_whole_in_memory(models, tmp_path):
    tracemalloc.start()
    combine(GAMMA, models, tmp_path / "gamma.safetensors")
    assert tracemalloc.get_traced_memory()[1] < 5_000_000  # Python's own; a file is 21 MB
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("beta7 + beta8", "--model beta8=FILE"),
        ("beta7 +", "cannot be read at character"),
        ("beta7 ** 2", "it takes \\+ - \\* / and brackets"),
        ("exit()", "it takes names of models"),
        ("1 + 1", "names no model"),
        ("beta7.layers", "it takes names of models"),
    ],
)
def test_a_wrong_formula_is_named(models, tmp_path, formula, message):
    with pytest.raises(InputError, match=message):
        combine(formula, models, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_models_of_other_kinds_are_refused(models, tmp_path):
    save_file({"layer0": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="models of different kinds"):
        combine(
            "beta7 - other", models | {"other": tmp_path / "other.safetensors"}, tmp_path / "out.safetensors"
        )
    save_file({"lora_unet_nothing.alpha": torch.zeros(1)}, tmp_path / "lokr.safetensors")
    with pytest.raises(ModelError, match="trained on another model"):
        merge(models["beta7"], tmp_path / "lokr.safetensors", tmp_path / "out.safetensors")
