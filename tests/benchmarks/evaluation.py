"""Features of 1,000 images beside a bare loop that reads, decodes and runs onnxruntime on the same images.

Both are measured in seconds of the processor, in alternating rounds. The network is small, so that what surrounds it weighs more
than with CCIP. `--count` also counts what drawing costs, on the meta device, for a true SDXL.
"""

from __future__ import annotations

import argparse
import io
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from hakubooru.image import sources
from hakubooru_trainer.evaluate import references
from hakubooru_trainer.evaluate.catalogue import Catalogue
from hakubooru_trainer.evaluate.ccip import DEVIATION, MEAN, Ccip
from hakubooru_trainer.evaluate.extraction import Extractor
from onnx_networks import write_ccip
from pictures import write_tar

BATCH = 16
CHARACTERS, REFERENCES = 3600, 16
CCIP = 2 * 26.0e9
"""Operations of a picture of 384 x 384 by CAFormer-S36, whose size CCIP's file has (Yu et al., "MetaFormer Baselines for Vision", table 4)."""


def write_images(folder, count):
    """JPEG and WebP files of about 700 x 1000 pixels, with edges and soft noise, as in a published tar."""
    draw = np.random.default_rng(1)
    members = {}
    for number in range(count):
        small = draw.integers(0, 256, (12, 9, 3), np.uint8)
        image = Image.fromarray(small).resize((700, 1000), Image.Resampling.NEAREST if number % 2 else 3)
        grain = draw.normal(0, 6, (1000, 700, 1))
        image = Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))
        buffer = io.BytesIO()
        kind = "jpg" if number % 4 else "webp"
        image.save(buffer, "JPEG" if kind == "jpg" else "WEBP", quality=88)
        members[f"{number + 1}.{kind}"] = buffer.getvalue()
    write_tar(folder / "images" / "0.tar", members)


def bare(folder):
    """The features by a loop as one writes it by hand."""
    session = onnxruntime.InferenceSession(str(folder / "ccip" / "model_feat.onnx"))
    mean, deviation = (np.array(some, np.float32)[:, None, None] for some in (MEAN, DEVIATION))
    features, batch = [], []
    with tarfile.open(folder / "images" / "0.tar") as tar:
        for member in tar:
            image = Image.open(io.BytesIO(tar.extractfile(member).read())).convert("RGB")
            small = np.asarray(image.resize((384, 384), Image.Resampling.BILINEAR))
            batch.append((small.transpose(2, 0, 1).astype(np.float32) / 255 - mean) / deviation)
            if len(batch) == BATCH:
                features.append(session.run(["output"], {"input": np.stack(batch)})[0])
                batch = []
    if batch:
        features.append(session.run(["output"], {"input": np.stack(batch)})[0])
    return np.concatenate(features)


def ours(folder, count):
    """The features by `evaluate`: images are chosen, read by the archive's index, decoded, and kept in a new catalogue."""
    ccip = Ccip(str(folder / "ccip"), print)
    posts = np.arange(1, count + 1)
    with tempfile.TemporaryDirectory() as cache:
        path = Path(cache, "features.db")
        with Catalogue(path) as catalogue, Extractor[int](ccip, catalogue, BATCH) as extractor:
            archives = sources.find_archives([folder / "images"])
            result = references.gather({"all": posts}, archives, extractor, count)
            features = catalogue.features(ccip.fingerprint, result.digests)
        return np.stack([features[digest] for digest in result.digests])


def measured(function, *arguments):
    start = time.process_time()
    result = function(*arguments)
    return result, time.process_time() - start


def compare(count, rounds):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_ccip(folder / "ccip")
        write_images(folder, count)
        ours(folder, count)  # writes the archive's index, once and for all
        ratios = []
        for number in range(rounds):
            if number % 2:
                our_features, slow = measured(ours, folder, count)
                bare_features, quick = measured(bare, folder)
            else:
                bare_features, quick = measured(bare, folder)
                our_features, slow = measured(ours, folder, count)
            assert np.abs(bare_features - our_features).max() < 1e-3
            ratios.append(slow / quick)
            print(f"bare {quick:6.2f} s, ours {slow:6.2f} s: {slow / quick:.3f} x", flush=True)
        print(f"median {median(ratios):.3f} x for {count:,} images (at most 1.15)")


def count_drawing():
    """TFLOP of a picture of a true SDXL, and of the whole benchmark."""
    from hakubooru_trainer.config.options import ModelOptions
    from hakubooru_trainer.evaluate.cost import Operations, forecast
    from hakubooru_trainer.evaluate.options import DrawingOptions
    from hakubooru_trainer.evaluate.pictures import Picture

    options = DrawingOptions()
    start = time.perf_counter()
    operations = Operations(ModelOptions(path="sdxl.safetensors"), options)
    for size in dict.fromkeys(options.sizes()):
        print(f"{size[0]} x {size[1]}: {operations.of_picture(*size) / 1e12:.1f} TFLOP a picture")
    print(f"(counted in {time.perf_counter() - start:.1f} s)")
    pictures = [Picture("", 0, 0, "", (), 0, *size) for size in options.sizes()] * CHARACTERS
    print(forecast(pictures, options, operations))
    images = len(pictures) + CHARACTERS * REFERENCES
    print(f"CCIP: {images:,} images, {images * CCIP / 1e15:.2f} PFLOP")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", action="store_true")
    arguments = parser.parse_args()
    if arguments.count:
        count_drawing()
    else:
        compare(arguments.images, arguments.rounds)


if __name__ == "__main__":
    main()
