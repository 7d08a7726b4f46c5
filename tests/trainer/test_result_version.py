"""Golden values of all that decides the weights a run ends with, and states of other versions."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from colours import profile
from hakubooru.caption import CaptionChange
from hakubooru.errors import ConfigError
from hakubooru.image.decode import DECODE_CHANGES, DECODE_VERSION
from hakubooru.image.header import read_header
from hakubooru_trainer import durable, loop, noise, randomness, text
from hakubooru_trainer.checkpoint import States
from hakubooru_trainer.config.data import AugmentOptions, CaptionOptions
from hakubooru_trainer.config.options import (
    BucketOptions,
    DataOptions,
    LokrOptions,
    LossOptions,
    ModelOptions,
)
from hakubooru_trainer.data.batches import Batches
from hakubooru_trainer.data.captions import StepCaptions
from hakubooru_trainer.data.images import conditioning, fit, pixels, view
from hakubooru_trainer.data.order import Order, sizes
from hakubooru_trainer.data.samples import Sample
from hakubooru_trainer.model.load import load_tokenizer
from hakubooru_trainer.result_version import RESULT_CHANGES, RESULT_VERSION
from hakubooru_trainer.timesteps import timestep

ADVICE = (
    "the same run ends with other weights than before. Where that is not wanted, the change is a fault. Where it is, raise "
    "RESULT_VERSION in result_version.py, say in RESULT_CHANGES what changed, and write the new golden value here"
)
GOLDEN = {
    "sizes of buckets": "ca8878fa35806c97",
    "order of images": "a8cb664b8ddf6109",
    "changed captions": "8ad619245f251e63",
    "token ids": "c9c5a80ccd128103",
    "timesteps, 1 alike": "96e243795ecc14fb",
    "timesteps, 4 alike": "b792ab0c04dc4141",
    "timesteps, logit_normal": "f967c55c7243b951",
    "timesteps, shifted": "223e41cc99664086",
    "views": "7bf0b6ab156f520f",
    "mixed captions": "0f6bb9ff5c4912a1",
    "crops": "34c3f283f52ac72a",
    "decoded pixels": "e66ac2bb867ac8b5",
    "resized pixels": "6244f70cfdd59a48",
}
"""Hashes of whole numbers and texts, which are the same on every processor."""


def golden(name, *values):
    """See that values have the hash in `GOLDEN`."""
    plain = [value.tolist() if isinstance(value, np.ndarray) else value for value in values]
    digest = hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:16]
    assert digest == GOLDEN[name], f"{name}: {ADVICE}"


def near(values, expected, rel=1e-5):
    """See that numbers are those wanted, up to the rounding of processors and libraries."""
    assert torch.as_tensor(values).flatten().tolist() == pytest.approx(expected, rel=rel, abs=1e-6), ADVICE


def some_samples():
    """A hundred images of two data sets, the second of which an epoch sees 1.5 times."""
    numbers = np.arange(100)
    sets = [SimpleNamespace(options=DataOptions(path="", weight=weight)) for weight in (1.0, 1.5)]
    sides = {"widths": 200 + numbers * 37 % 900, "heights": 200 + numbers * 53 % 900}
    return SimpleNamespace(ids=numbers * 7 + 1, sources=(numbers > 60).astype(np.int16), sets=sets, **sides)


def picture(mode, kind="png", **options):
    """The file of a picture of 40 by 30 with other numbers at every place."""
    bands = len(mode) if mode != "I;16" else 1
    values = (np.arange(40 * 30 * bands) * 7919).reshape(30, 40, bands)
    array = (values % 65_536).astype(np.uint16)[..., 0] if mode == "I;16" else (values % 251).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(array.squeeze()).save(file, kind, **options)
    return file.getvalue()


def test_the_versions_of_pixels_and_of_tokens_are_counted():
    assert (RESULT_VERSION, DECODE_VERSION, text.TOKENS_VERSION) == (2, 2, 2), ADVICE
    assert sorted(RESULT_CHANGES) == [*range(2, RESULT_VERSION + 1)], (
        "RESULT_CHANGES has a line for each version"
    )


def test_order():
    samples = some_samples()
    buckets = sizes(samples, BucketOptions(area=512 * 512))
    golden("sizes of buckets", buckets.sizes, buckets.of)
    places = []
    for fill in (False, True):
        order = Order(samples, buckets.of, batch=3, seed=5, fill=fill)
        for number in range(order.batches(3)):
            epoch, position, rows = order[number]
            places.append([epoch, position, rows.tolist()])
    golden("order of images", places)


def test_captions():
    caption = "1girl, a b,c ||| d, e,f\tg, h, i ||| j"
    parts = {"people": 1, "character": 2, "general": 6, "rating": 1}
    changes = (
        CaptionChange(),
        CaptionChange(drop_tags=0.3, drop_caption=0.2),
        CaptionChange(drop_tags=0.5, exact=True),
        CaptionChange(drop_parts={"character": 0.5}),
    )
    golden("changed captions", [change(caption, seed, parts) for change in changes for seed in range(20)])


@pytest.mark.slow
def test_token_ids():
    captions = ["1girl, k-on!, solo", "<|startoftext|>, :3", "", "初音ミク", "long hair, " * 60]
    model = ModelOptions(path="sdxl.safetensors")
    tokenizers = [load_tokenizer(model, name) for name in ("tokenizer", "tokenizer_2")]
    golden("token ids", [text.tokenize(tokenizer, captions, 3).tolist() for tokenizer in tokenizers])


def test_draws():
    keys = [randomness.number("noise", 1, 2, 2**64 - 1), randomness.integer(0, 1000, "timestep", 1, 2, 3, 4)]
    assert keys == [107858775531828942852910512868702711797, 398], ADVICE
    near(randomness.normal((2, 2), "noise", 1, 2, 3, 4), [2.255468, 0.3917778, -0.7765465, -1.141088])
    near(randomness.uniform((3,), "lokr", 1), [0.01417357, 0.04259264, 0.128899])


@pytest.mark.parametrize(
    "settings",
    [
        {"timesteps": "logit_normal", "timestep_mean": 0.3, "timestep_deviation": 1.2},
        {"timesteps": "shifted", "timestep_shift": 2.5},
    ],
)
def test_timesteps_of_other_distributions(settings):
    numbers = [randomness.number("timestep", 1, place) for place in range(200)]
    golden(
        f"timesteps, {settings['timesteps']}",
        [timestep(LossOptions(**settings), number) for number in numbers],
    )


def test_views():
    """Which images are mirrored, and where they are cropped."""
    options = AugmentOptions(random_crop=True, flip=0.3)
    golden("views", [view(900, 700, (64, 96), options, (1, 0, place, 7)) for place in range(60)])


def test_mixed_captions():
    sample = Sample("a.png", "00", "1girl ||| a, b, c\nOne.\nTwo.", None, {"nl": "Three."}, "style, ")
    captions = StepCaptions(
        CaptionOptions(drop_tags=0.3, drop_caption=0.1, mix={"caption": 3, "lines": 2, "nl": 1})
    )
    golden("mixed captions", [captions(sample, seed) for seed in range(60)])


@pytest.mark.parametrize("alike", [1, 4])
def test_timesteps(alike, options):
    """Those of images in their batches, and those that batches share."""
    settings = options(loss=LossOptions(min_timestep=10, max_timestep=900, timesteps_alike=alike))
    batches = Batches(some_samples(), None, settings, tokenizers=())
    steps = [batches._timestep((1, 0, place, 7), place % 2, place // 2) for place in range(40)]
    golden(f"timesteps, {alike} alike", steps)


def test_noise_and_weights():
    steps = torch.tensor([0, 10, 500, 999])
    alphas = noise.alphas_cumprod()
    near(alphas[steps], [0.99915, 0.9904313, 0.2763327, 0.004660099])
    near(noise.alphas_cumprod(zero_terminal_snr=True)[steps], [0.99915, 0.9897937, 0.2410188, 0])
    latents, draws = torch.full((4, 1, 1, 1), 2.0), torch.full((4, 1, 1, 1), -1.0)
    near(noise.add_noise(latents, draws, alphas, steps), [1.969995, 1.892589, 0.2006608, -0.8611374])
    near(noise.target(latents, draws, alphas, steps, "v"), [-1.057884, -1.190844, -2.227046, -2.063599])
    ratio = noise.snr(alphas, steps)
    near(noise.min_snr_weight(ratio, 5, "epsilon"), [0.004253616, 0.04830568, 1, 1])
    near(noise.min_snr_weight(ratio, 5, "v"), [0.00425, 0.04784345, 0.2763327, 0.004660099])
    near(noise.debiased_weight(ratio), [0.03162278, 0.09829107, 1.618279, 14.61464])
    near(noise.kohya_debiased_v_weight(ratio), [0.000999001, 0.009568691, 0.7236673, 0.9953399])
    near(noise.offset_noise(latents, draws, 0.1), [1.9, 1.9, 1.9, 1.9])
    near(noise.huber_c(alphas, steps, 0.1, "exponential"), [1, 0.9772372, 0.3162278, 0.1002305])
    near(noise.huber_c(alphas, steps, 0.1, "snr"), [0.9497099, 0.8461181, 0.2312837, 0.1036913])
    ends = noise.huber_c(noise.alphas_cumprod(zero_terminal_snr=True), steps[-1:], 0.1, "snr")
    near(ends, [0.1])


def test_multi_resolution_noise(options):
    batches = Batches(some_samples(), None, options(loss=LossOptions(pyramid_levels=4)), tokenizers=())
    noisy = batches._pyramid(torch.linspace(-2, 2, 4 * 8 * 6).reshape(4, 8, 6), (1, 0, 5, 7))
    near(noisy[1, 3, :3], [-0.3877258, 0.7136658, -0.6129202])


def test_crops():
    shapes = [(200, 300), (1000, 333), (64, 64), (1, 900)]
    targets = [(64, 64), (96, 32), (48, 80)]
    crops = [fit(*shape, target) for shape in shapes for target in targets]
    numbers = [
        conditioning(*shape, target, crop)
        for shape in shapes
        for target in targets
        for crop in ("true", "kohya")
    ]
    golden("crops", crops, numbers)


def test_pixels():
    turned = Image.Exif()
    turned[0x112] = 6
    files = [
        picture("RGB"),
        picture("L"),
        picture("RGBA"),
        picture("I;16"),
        picture("RGB", exif=turned),
        picture("L", "gif"),
    ]
    whole, small = [], []
    for file in files:
        header = read_header(file)
        size = (header.width, header.height)
        # Pillow 13 squeezes a tall image in another order of passes than 12, so this one keeps its shape.
        less = (32, 32) if header.width > header.height else (24, 32)
        for target, arrays in ((size, whole), (less, small)):
            values = (pixels("a.png", file, *size, target) + 1) * 127.5
            arrays.append(np.rint(values).astype(int).tolist())
    golden("decoded pixels", whole)
    golden("resized pixels", small)


def test_colours_by_their_profile():
    file = picture("RGB", icc_profile=profile())
    near(
        pixels("a.png", file, 40, 30, (40, 30)).mean((1, 2)), [-0.1549477, -0.05833332, -0.08630718], rel=0.02
    )


@pytest.mark.slow
def test_a_tiny_run(options, tiny):
    settings = options(
        model=ModelOptions(path=str(tiny)),
        lokr=LokrOptions(save="fp32"),
        loss=LossOptions(min_snr_gamma=5, noise_offset=0.0357),
    )
    loop.run(settings)
    lines = [json.loads(line) for line in Path(settings.run.out, "metrics.jsonl").read_text().splitlines()]
    near([line["loss"] for line in lines], [1.1421, 0.9681243, 0.9697149, 0.9601868], rel=1e-3)
    near([line["grad_norm"] for line in lines], [0.6155575, 0.5212085, 0.6579305, 0.4557841], rel=1e-2)


@pytest.fixture
def states(tmp_path, options):
    """The states of a run, and what the last one says of its run, to be changed."""
    settings = options()
    data = SimpleNamespace(batches=9, fingerprint="sha256:1", earlier_fingerprint="sha256:0", repeats=[1])

    def resumed(change, allow=()):
        about = change(States(tmp_path, settings, data).about)
        folder = tmp_path / "000004"
        folder.mkdir(exist_ok=True)
        durable.write_mark(folder, {"about": about, "batches": 9, "counters": {"update": 4}, "from": None})
        States(tmp_path, settings, data, allow).compare(None)

    return resumed


def version_1(about):
    """What a state says of its run, as hakubooru wrote it before its results had a version."""
    new_keys = ("version.result", "run.graphs", "loss.debiased_v")
    rest = {key: value for key, value in about.items() if key not in new_keys}
    code = "sha256:5f99021651ac4035611bebb185dde7cbb48e01563ac98a269b96305c114a6cd1"
    return rest | {"version.code": code, "version.hakubooru": "0.1.0", "data[0].repeats": 1}


def test_a_state_of_version_1_is_refused_by_what_changed_since(states):
    with pytest.raises(ConfigError) as refusal:
        states(version_1)
    message = str(refusal.value)
    assert f"version.result was 1 and is 2: {DECODE_CHANGES}; {text.TOKENS_CHANGES}; " in message
    assert "The hakubooru that began the run can finish it" in message
    assert message.endswith("or accept another result: --allow-change version.result")
    states(version_1, allow=["version.result"])
    with pytest.raises(ConfigError, match=r"data\[0\]\.repeats was 2 and is 0"):
        states(lambda about: version_1(about) | {"data[0].repeats": 2}, allow=["version.result"])


def test_a_state_with_the_fingerprint_of_earlier_versions_goes_on(states):
    """It did not tell where captions of several lines end."""
    states(lambda about: about | {"data": "sha256:0"})
    with pytest.raises(ConfigError, match="data: the data set holds other images or captions"):
        states(lambda about: about | {"data": "sha256:2"})


def test_states_of_versions_that_are_not_known_here(states):
    with pytest.raises(ConfigError, match="a hakubooru between two versions wrote it"):
        states(lambda about: version_1(about) | {"version.code": "sha256:2", "version.decoding": 2})
    with pytest.raises(ConfigError, match=r"a newer hakubooru wrote it \(version 3, this one is 2\)"):
        states(lambda about: about | {"version.result": 3})


def test_other_repeats_of_folders_are_another_data_set(states, tmp_path, options):
    states(lambda about: {key: value for key, value in about.items() if key != "data.repeats"})
    with pytest.raises(
        ConfigError, match=r"data\.repeats: the names of kohya's folders .*: --allow-change data\.repeats"
    ):
        states(lambda about: about | {"data.repeats": [10]})
    states(lambda about: about | {"data.repeats": [10]}, allow=["data"])
    single, tenfold = (
        States(
            tmp_path,
            options(),
            SimpleNamespace(
                batches=9, fingerprint="sha256:1", earlier_fingerprint="sha256:0", repeats=[number]
            ),
        ).recipe
        for number in (1, 10)
    )
    assert single != tenfold


def test_an_option_that_a_state_lacks_has_its_default(states, options):
    states(lambda about: {key: value for key, value in about.items() if key != "loss.min_snr_gamma"})
    with pytest.raises(ConfigError, match=r"lokr\.norms was False and is True"):
        states(lambda about: about | {"lokr.norms": False})
