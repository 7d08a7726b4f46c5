from __future__ import annotations

import pytest
import torch

from hakubooru_trainer.config.options import (
    BatchOptions,
    BucketOptions,
    DataOptions,
    LokrOptions,
    ModelOptions,
    OptimizerOptions,
    Options,
    RunOptions,
    TextOptions,
)
from tiny_outputs import TRAINED, outputs
from training_pairs import write_pairs

torch.set_num_threads(1)  # more only wait for each other with tensors this small


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The folder of a tiny model."""
    from hakubooru_trainer.model.tiny import write_tiny

    return write_tiny(tmp_path_factory.mktemp("tiny") / "model").parent


@pytest.fixture(scope="session")
def parts(tiny):
    """The tiny model's parts, loaded anew for whoever changes them."""
    from hakubooru_trainer.model.load import load

    return lambda: load(ModelOptions(path=str(tiny)), torch.float32)


@pytest.fixture(scope="session")
def trained_lokr(parts, tmp_path_factory):
    """The file of a LoKr of all parts whose change is large enough to be seen, without norms."""
    from hakubooru_trainer.lokr import file
    from hakubooru_trainer.lokr.adapter import Adapter
    from hakubooru_trainer.lokr.preset import targets

    model = parts()
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
def lokr_outputs(parts, trained_lokr):
    """What the tiny model gives with that LoKr."""
    from hakubooru_trainer.lokr import file
    from hakubooru_trainer.lokr.adapter import adapter_of

    model = parts()
    return outputs(model, adapter_of(file.read(trained_lokr), vars(model), "lokr"))


@pytest.fixture
def export(tmp_path):
    """An export of eight pictures, in three shapes."""
    return write_pairs(tmp_path / "export", [(96, 96)] * 5 + [(64, 128)] * 2 + [(160, 96)])


@pytest.fixture
def options(tmp_path, tiny, export):
    """A run of the tiny model on it; keywords replace whole sections."""

    def made(**sections):
        kept = {
            "run": RunOptions(
                out=str(tmp_path / "out"),
                epochs=0,
                updates=4,
                device="cpu",
                precision="fp32",
                weights="fp32",
                checkpointing=False,
            ),
            "model": ModelOptions(path=str(tiny)),
            "data": (DataOptions(path=str(export)),),
            "buckets": BucketOptions(area=64 * 64, step=16, min_side=32, max_side=128),
            "text": TextOptions(tokens=75),
            "lokr": LokrOptions(save="fp32"),
            "optimizer": OptimizerOptions(name="adamw", lr=1e-2, text_lr=1e-3),
            "batch": BatchOptions(size=2, accumulation=2),
        }
        return Options(**kept | sections)

    return made
