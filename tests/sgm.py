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
    found = {
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
            found |= _resnet(f"input_blocks.{number}.0", inner, channels)
            found |= _transformer(f"input_blocks.{number}.1", channels, depth)
            inner, number = channels, number + 1
            skipped.append(inner)
        if level < 2:
            found[f"input_blocks.{number}.0.op"] = Module((inner, inner, 3, 3))
            number += 1
            skipped.append(inner)
    found |= _resnet("middle_block.0", inner, inner)
    found |= _transformer("middle_block.1", inner, 10)
    found |= _resnet("middle_block.2", inner, inner)
    number = 0
    for level, (channels, depth) in reversed([*enumerate(levels)]):
        for place in range(3):
            found |= _resnet(f"output_blocks.{number}.0", inner + skipped.pop(), channels)
            found |= _transformer(f"output_blocks.{number}.1", channels, depth)
            inner = channels
            if place == 2 and level > 0:
                found[f"output_blocks.{number}.2.conv"] = Module((inner, inner, 3, 3))
            number += 1
    return found | {"out.0": Module((320,)), "out.2": Module((4, 320, 3, 3))}


def clip(layers, width):
    """Modules of the layers of a CLIP text encoder in Hugging Face's layout, by name, such as ComfyUI holds both in."""
    found = {}
    for layer in range(layers):
        block = f"text_model.encoder.layers.{layer}"
        found |= {
            f"{block}.self_attn.{which}_proj": Module((width, width)) for which in ("q", "k", "v", "out")
        }
        found |= {
            f"{block}.mlp.fc1": Module((4 * width, width)),
            f"{block}.mlp.fc2": Module((width, 4 * width)),
        }
    return found


def open_clip(layers, width):
    """The same in OpenCLIP's layout, which SGM has for the second encoder: q, k and v are one module."""
    found = {}
    for layer in range(layers):
        block = f"model.transformer.resblocks.{layer}"
        found |= {
            f"{block}.attn": Module((3 * width, width)),
            f"{block}.attn.out_proj": Module((width, width)),
        }
        found |= {
            f"{block}.mlp.c_fc": Module((4 * width, width)),
            f"{block}.mlp.c_proj": Module((width, 4 * width)),
        }
    return found


def _resnet(name, inner, outer):
    found = {
        f"{name}.in_layers.0": Module((inner,)),
        f"{name}.in_layers.2": Module((outer, inner, 3, 3)),
        f"{name}.emb_layers.1": Module((outer, 1280)),
        f"{name}.out_layers.0": Module((outer,)),
        f"{name}.out_layers.3": Module((outer, outer, 3, 3)),
    }
    if inner != outer:
        found[f"{name}.skip_connection"] = Module((outer, inner, 1, 1))
    return found


def _transformer(name, width, depth):
    if not depth:
        return {}
    found = {f"{name}.norm": Module((width,))}
    found |= {f"{name}.{which}": Module((width, width)) for which in ("proj_in", "proj_out")}
    for number in range(depth):
        block = f"{name}.transformer_blocks.{number}"
        for attention, told in (("attn1", width), ("attn2", 2048)):
            found[f"{block}.{attention}.to_q"] = Module((width, width), bias=False)
            found |= {f"{block}.{attention}.to_{which}": Module((width, told), bias=False) for which in "kv"}
            found[f"{block}.{attention}.to_out.0"] = Module((width, width))
        found[f"{block}.ff.net.0.proj"] = Module((8 * width, width))
        found[f"{block}.ff.net.2"] = Module((width, 4 * width))
        found |= {f"{block}.norm{which}": Module((width,)) for which in (1, 2, 3)}
    return found
