"""The modules of SDXL as Stability's own code (SGM, generative-models) builds them, written down from its structure alone.

Nothing here knows of diffusers or of our map of names. `unet()` has 2,567,463,684 parameters, as the published model.
"""

from __future__ import annotations

from typing import NamedTuple


class Module(NamedTuple):
    """A layer or norm that has weights."""

    weight: tuple[int, ...]
    bias: bool = True

    @property
    def parameters(self):
        size = 1
        for side in self.weight:
            size *= side
        return size + self.weight[0] * self.bias


def unet():
    """Modules of `model.diffusion_model` by name: 320 channels, times 1, 2 and 4, transformers of depth 0, 2 and 10."""
    modules = {
        "time_embed.0": Module((1280, 320)),
        "time_embed.2": Module((1280, 1280)),
        "label_emb.0.0": Module((1280, 2816)),
        "label_emb.0.2": Module((1280, 1280)),
        "input_blocks.0.0": Module((320, 4, 3, 3)),
    }
    levels = ((320, 0), (640, 2), (1280, 10))
    number, inner, skipped = 1, 320, [320]
    for level, (channels, depth) in enumerate(levels):
        for _ in range(2):
            modules |= _resnet(f"input_blocks.{number}.0", inner, channels)
            modules |= _transformer(f"input_blocks.{number}.1", channels, depth)
            inner, number = channels, number + 1
            skipped.append(inner)
        if level < 2:
            modules[f"input_blocks.{number}.0.op"] = Module((inner, inner, 3, 3))
            number += 1
            skipped.append(inner)
    modules |= _resnet("middle_block.0", inner, inner)
    modules |= _transformer("middle_block.1", inner, 10)
    modules |= _resnet("middle_block.2", inner, inner)
    number = 0
    for level, (channels, depth) in reversed([*enumerate(levels)]):
        for place in range(3):
            modules |= _resnet(f"output_blocks.{number}.0", inner + skipped.pop(), channels)
            modules |= _transformer(f"output_blocks.{number}.1", channels, depth)
            inner = channels
            if place == 2 and level > 0:
                modules[f"output_blocks.{number}.2.conv"] = Module((inner, inner, 3, 3))
            number += 1
    return modules | {"out.0": Module((320,)), "out.2": Module((4, 320, 3, 3))}


def clip(layers, width):
    """Modules of the layers of a CLIP text encoder in Hugging Face's layout, by name, such as ComfyUI holds both in."""
    modules = {}
    for layer in range(layers):
        block = f"text_model.encoder.layers.{layer}"
        modules |= {
            f"{block}.self_attn.{part}_proj": Module((width, width)) for part in ("q", "k", "v", "out")
        }
        modules |= {
            f"{block}.mlp.fc1": Module((4 * width, width)),
            f"{block}.mlp.fc2": Module((width, 4 * width)),
        }
    return modules


def open_clip(layers, width):
    """Modules of a CLIP text encoder in OpenCLIP's layout, as SGM has the second encoder: q, k and v are one module."""
    modules = {}
    for layer in range(layers):
        block = f"model.transformer.resblocks.{layer}"
        modules |= {
            f"{block}.attn": Module((3 * width, width)),
            f"{block}.attn.out_proj": Module((width, width)),
        }
        modules |= {
            f"{block}.mlp.c_fc": Module((4 * width, width)),
            f"{block}.mlp.c_proj": Module((width, 4 * width)),
        }
    return modules


def _resnet(name, inner, outer):
    modules = {
        f"{name}.in_layers.0": Module((inner,)),
        f"{name}.in_layers.2": Module((outer, inner, 3, 3)),
        f"{name}.emb_layers.1": Module((outer, 1280)),
        f"{name}.out_layers.0": Module((outer,)),
        f"{name}.out_layers.3": Module((outer, outer, 3, 3)),
    }
    if inner != outer:
        modules[f"{name}.skip_connection"] = Module((outer, inner, 1, 1))
    return modules


def _transformer(name, width, depth):
    if not depth:
        return {}
    modules = {f"{name}.norm": Module((width,))}
    modules |= {f"{name}.{part}": Module((width, width)) for part in ("proj_in", "proj_out")}
    for number in range(depth):
        block = f"{name}.transformer_blocks.{number}"
        for attention, context_width in (("attn1", width), ("attn2", 2048)):
            modules[f"{block}.{attention}.to_q"] = Module((width, width), bias=False)
            modules |= {
                f"{block}.{attention}.to_{part}": Module((width, context_width), bias=False) for part in "kv"
            }
            modules[f"{block}.{attention}.to_out.0"] = Module((width, width))
        modules[f"{block}.ff.net.0.proj"] = Module((8 * width, width))
        modules[f"{block}.ff.net.2"] = Module((width, 4 * width))
        modules |= {f"{block}.norm{part}": Module((width,)) for part in (1, 2, 3)}
    return modules
