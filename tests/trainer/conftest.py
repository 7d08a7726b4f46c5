from __future__ import annotations

import re
from copy import deepcopy
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file

from hakubooru_trainer.config.options import LokrOptions, ModelOptions
from tiny_outputs import TRAINED, outputs
from tiny_runs import options_of
from training_pairs import SIZES, write_pairs

torch.set_num_threads(1)  # more only wait for each other with tensors this small


@pytest.fixture(autouse=True)
def seeded():
    """Draw the same random numbers in a test whichever tests ran before it."""
    torch.manual_seed(1)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The folder of a tiny model."""
    from hakubooru_trainer.model.tiny import write_tiny

    return write_tiny(tmp_path_factory.mktemp("tiny") / "model").parent


@pytest.fixture(scope="session")
def parts(tiny):
    """The tiny model's parts, as if loaded anew for whoever changes them: a copy takes a third of the time."""
    from hakubooru_trainer.model.load import load

    model = load(ModelOptions(path=str(tiny)), torch.float32)
    return lambda: deepcopy(model)


@pytest.fixture(scope="session")
def shallow(tmp_path_factory):
    """The folder of a tiny model with half the layers, and so of half the time."""
    from hakubooru_trainer.model.tiny import write_tiny

    return write_tiny(tmp_path_factory.mktemp("shallow") / "model", layers=1).parent


@pytest.fixture(scope="session")
def shallow_parts(shallow):
    """That model's parts, as if loaded anew."""
    from hakubooru_trainer.model.load import load

    model = load(ModelOptions(path=str(shallow)), torch.float32)
    return lambda: deepcopy(model)


@pytest.fixture(scope="session")
def trained_lokr(shallow_parts, tmp_path_factory):
    """The file of a LoKr of all parts of the shallow model, whose change is large enough to be seen, without norms."""
    from hakubooru_trainer.lokr import file
    from hakubooru_trainer.lokr.adapter import Adapter
    from hakubooru_trainer.lokr.preset import targets

    model = shallow_parts()
    adapter = Adapter(
        targets({part: vars(model)[part] for part in TRAINED}, LokrOptions(norms=False)), seed=3
    )
    generator = torch.Generator().manual_seed(4)
    for name, tensor in adapter.weights():
        if name.endswith("lokr_w2"):
            tensor.data.copy_(torch.randn(tensor.shape, generator=generator) * 0.02)
    path = tmp_path_factory.mktemp("lokr") / "lokr.safetensors"
    file.write(path, adapter, torch.float32, {})
    return path


@pytest.fixture(scope="session")
def lokr_outputs(shallow_parts, trained_lokr):
    """What that model gives with that LoKr."""
    from hakubooru_trainer.lokr import file
    from hakubooru_trainer.lokr.adapter import adapter_of

    model = shallow_parts()
    return outputs(model, adapter_of(file.read(trained_lokr), vars(model), "lokr"))


@pytest.fixture(scope="session")
def short_lokr(trained_lokr, tmp_path_factory):
    """A file with a few layers of that LoKr, of each part and of each kind."""
    some = re.compile(
        "lora_(te[12]_text_model_encoder_layers_0_(self_attn_q|mlp_)"
        "|unet_(middle_block_(0_in|1_transformer_blocks_0)|input_blocks_4_0_skip))"
    )
    tensors = {name: tensor for name, tensor in load_file(trained_lokr).items() if some.match(name)}
    path = tmp_path_factory.mktemp("short") / "lokr.safetensors"
    save_file(tensors, path)
    return path


@pytest.fixture
def export(tmp_path):
    """An export of eight pictures, in three shapes."""
    return write_pairs(tmp_path / "export", SIZES)


@pytest.fixture
def options(tmp_path, shallow, export):
    """A run of the shallow model on it; keywords replace whole sections."""
    return partial(options_of, shallow, export, tmp_path / "out")
