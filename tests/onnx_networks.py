"""Small networks in ONNX form with the signatures of CCIP and of WD14's taggers, which see nothing but colours."""

from __future__ import annotations

import csv
import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hakubooru_trainer.evaluate.ccip import DEVIATION, MEAN

FEATURES = 768
THRESHOLD = 0.1
"""The largest difference of two images of one character: a tenth of the distance from black to white along a channel."""


def write_ccip(folder, threshold=THRESHOLD, regions=((0, 384, 0, 384),)):
    """CCIP's files: the features are the mean colours of regions, from 0 to 1; the difference is the distance of two features.

    Args:
        folder: where to write.
        threshold: the largest difference of two images of one character.
        regions: top, bottom, left and right of each, in pixels of 384; by default the whole image.
    """
    folder.mkdir(parents=True, exist_ok=True)
    numbers = 3 * len(regions)
    spread = np.zeros((numbers, FEATURES), np.float32)
    spread[:numbers, :numbers] = np.diag(DEVIATION * len(regions))
    shift = np.zeros(FEATURES, np.float32)
    shift[:numbers] = MEAN * len(regions)
    constants = {"axes": np.array([2, 3]), "spread": spread, "shift": shift}
    nodes = []
    for place, (top, bottom, left, right) in enumerate(regions):
        constants |= {f"start{place}": np.array([top, left]), f"end{place}": np.array([bottom, right])}
        inputs = ["input", f"start{place}", f"end{place}", "axes"]
        nodes.append(helper.make_node("Slice", inputs, [f"region{place}"]))
        nodes.append(helper.make_node("ReduceMean", [f"region{place}", "axes"], [f"mean{place}"], keepdims=0))
    nodes += [
        helper.make_node("Concat", [f"mean{place}" for place in range(len(regions))], ["colours"], axis=1),
        helper.make_node("MatMul", ["colours", "spread"], ["wide"]),
        helper.make_node("Add", ["wide", "shift"], ["output"]),
    ]
    _save(folder / "model_feat.onnx", nodes, ("N", 3, 384, 384), ("N", FEATURES), constants, opset=18)
    _save(
        folder / "model_metrics.onnx",
        [
            helper.make_node("Unsqueeze", ["input", "one"], ["down"]),
            helper.make_node("Unsqueeze", ["input", "zero"], ["across"]),
            helper.make_node("Sub", ["down", "across"], ["apart"]),
            helper.make_node("ReduceL2", ["apart", "two"], ["output"], keepdims=0),
        ],
        ("N", FEATURES),
        ("N", "N"),
        {"zero": np.array([0]), "one": np.array([1]), "two": np.array([2])},
        opset=18,
    )
    (folder / "metrics.json").write_text(json.dumps({"threshold": threshold, "f1_score": 0.9}))
    return folder


def write_tagger(folder, colours, side=32):
    """A tagger's files: a tag has the probability 1 in an image whose mean is brightest in the tag's channel, else 0.

    Args:
        folder: where to write.
        colours: by tag, its category on Danbooru and its channel: 0 red, 1 green, 2 blue.
        side: the sides of the image it takes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = np.zeros((3, len(colours)), np.float32)
    for place, (_, channel) in enumerate(colours.values()):
        weights[:, place] = -1
        weights[2 - channel, place] = 1  # the input has blue first
    _save(
        folder / "model.onnx",
        [
            helper.make_node("ReduceMean", ["input_1:0", "sides"], ["channels"], keepdims=0),
            helper.make_node("MatMul", ["channels", "weights"], ["brighter"]),
            helper.make_node("Sigmoid", ["brighter"], ["predictions_sigmoid"]),
        ],
        ("N", side, side, 3),
        ("N", len(colours)),
        {"sides": np.array([1, 2]), "weights": weights},
        opset=18,
    )
    with (folder / "selected_tags.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["tag_id", "name", "category", "count"])
        writer.writerows(
            [place, name, category, 1000] for place, (name, (category, _)) in enumerate(colours.items())
        )
    return folder


def _save(path, nodes, input_shape, output_shape, constants, *, opset):
    """Write a network whose input and output are the names that the nodes begin and end with."""
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info(nodes[0].input[0], TensorProto.FLOAT, input_shape)],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, output_shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
