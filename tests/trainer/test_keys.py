"""Every key of an adapter of the true SDXL, by the rules of the programs that load it.

The rules were read in ComfyUI's comfy/lora.py and comfy/weight_adapter/lokr.py, and in the sd-webui's
extensions-builtin/Lora: networks.py, network_lokr.py and network_norm.py; here they are told again, over the modules
that these programs have, which `sgm` writes down without our map of names.
"""

from __future__ import annotations

import re
from collections import Counter

import pytest

import sgm
from hakubooru_trainer.config.options import LokrOptions, ModelOptions
from hakubooru_trainer.lokr.adapter import Adapter
from hakubooru_trainer.lokr.preset import targets
from hakubooru_trainer.model.load import skeleton
from tiny_outputs import TRAINED

pytestmark = pytest.mark.slow

LOKR, NORM = {"lokr_w1", "lokr_w2", "alpha"}, {"w_norm", "b_norm"}


@pytest.fixture(scope="module")
def file():
    """Names of what is changed, with the shapes of their tensors, as in the file of an adapter of the true SDXL."""
    models = {part: skeleton(part, ModelOptions(path="sdxl.safetensors")) for part in TRAINED}
    adapter = Adapter(targets(models, LokrOptions()))
    shapes = {target.name: {"alpha": ()} if target.factor else {} for target in adapter.targets}
    for key, tensor in adapter.weights():
        name, _, kind = key.partition(".")  # the sd-webui: all before the first dot
        shapes[name][kind] = tuple(tensor.shape)
    return shapes


def shape_of(tensors):
    """The shape of what the tensors of a module change: both programs take kron(w1, w2), w1 spread over a kernel."""
    if "w_norm" in tensors:
        return tensors["w_norm"]
    (a, b), (c, d, *kernel) = tensors["lokr_w1"], tensors["lokr_w2"]
    return (a * c, b * d, *kernel)


def test_the_modules_are_those_of_sdxl():
    unet = sgm.unet()
    assert sum(module.parameters for module in unet.values()) == 2_567_463_684
    assert Counter(len(module.weight) == 1 for module in unet.values()) == {False: 794, True: 256}


def test_comfyui_knows_every_key(file):
    # A UNet's layer: `lora_unet_` and its name in the checkpoint, with _ for dots. An encoder's: `lora_te1_` or
    # `lora_te2_`, and the name that it has at Hugging Face, for the six layers of each of the first 32 blocks.
    modules = {f"lora_unet_{name.replace('.', '_')}": module for name, module in sgm.unet().items()}
    for number, encoder in ((1, sgm.clip(12, 768)), (2, sgm.clip(32, 1280))):
        modules |= {f"lora_te{number}_{name.replace('.', '_')}": module for name, module in encoder.items()}
    for name, tensors in file.items():
        assert shape_of(tensors) == modules[name].weight, name
        # w1 and w2 whole: alpha is read and left alone. A norm: both, of which b_norm goes to a bias that is there.
        assert tensors.keys() in (LOKR, NORM)
        assert modules[name].bias or tensors.keys() == LOKR


def test_the_webui_knows_every_key(file):
    # The modules of the UNet, and of both encoders with their numbers, by their names with _ for dots.
    modules = {f"diffusion_model_{name.replace('.', '_')}": module for name, module in sgm.unet().items()}
    modules |= {
        f"0_transformer_{name.replace('.', '_')}": module for name, module in sgm.clip(12, 768).items()
    }
    modules |= {f"1_{name.replace('.', '_')}": module for name, module in sgm.open_clip(32, 1280).items()}
    for name, tensors in file.items():
        shape = shape_of(tensors)
        if match := re.fullmatch(r"lora_te2_text_model_encoder_layers_(\d+)_(.+)", name):
            inner = match[2].replace("mlp_fc1", "mlp_c_fc").replace("mlp_fc2", "mlp_c_proj")
            key = f"1_model_transformer_resblocks_{match[1]}_{inner.replace('self_attn', 'attn')}"
            if third := re.fullmatch(r"(.+)_[qkv]_proj", key):  # a third of the rows of the module before
                key, shape = third[1], (3 * shape[0], *shape[1:])
        else:
            key = name.replace("lora_unet", "diffusion_model")
            key = key.replace("lora_te1_text_model", "0_transformer_text_model")
        assert shape == modules[key].weight, name
        # A module is taken for the first kind whose tensors are all there.
        assert tensors.keys() >= LOKR - {"alpha"} or tensors.keys() >= NORM


def test_no_layer_of_the_unet_is_left_out(file):
    every = {f"lora_unet_{name.replace('.', '_')}" for name in sgm.unet()}
    # The last norm stands beside the classes and names of Delta's configuration.
    assert every - file.keys() == {"lora_unet_out_0"}
