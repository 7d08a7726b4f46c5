"""Images a second and memory of a true SDXL on a GPU, in one command under eight minutes.

    python tests/benchmarks/gpu_sdxl.py [--updates 2] [--minutes 7.5]

Random weights of SDXL's shapes and Epsilon's settings: its layers and factors, 1024 by 1024, 225 tokens, cached latents, both
text encoders trained, Lion8bit, batches of 4, accumulation of 16 with CUDA graphs, and of 4 without, to save time. Each row is a
run of its own; its first update warms up and does not count. Rows are printed as they are done, those first that tell most; a
row that may not end in time is not begun. Beside the rows stand what the card itself makes of matrix products, and LyCORIS's
default forward, which is not compiled: beyond the eighth shape torch gives that up, after minutes. Two rows are allowed what
cards of 12 and 24 GB leave. Measured memory is what updates reserve, with CUDA's own. Without a GPU the same is done with
the tiny model, to see that the script works.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch._dynamo
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by the first matrix product

from hakubooru.errors import TrainingError  # noqa: E402
from hakubooru_trainer import fits, loop  # noqa: E402
from hakubooru_trainer.checkpoint import Counters  # noqa: E402
from hakubooru_trainer.config.options import (  # noqa: E402
    BatchOptions,
    BucketOptions,
    CacheOptions,
    CaptionOptions,
    DataOptions,
    LokrOptions,
    LossOptions,
    ModelOptions,
    OptimizerOptions,
    Options,
    RunOptions,
    TextOptions,
)
from hakubooru_trainer.determinism import deterministic  # noqa: E402
from hakubooru_trainer.distributed import Ranks  # noqa: E402
from hakubooru_trainer.lokr.file import DTYPES  # noqa: E402
from hakubooru_trainer.model import tiny  # noqa: E402
from hakubooru_trainer.model.load import CLASSES, SHIPPED  # noqa: E402
from hakubooru_trainer.passes import Passes  # noqa: E402
from hakubooru_trainer.setup import data_set, prepare  # noqa: E402
from training_pairs import write_pairs  # noqa: E402

if TYPE_CHECKING:
    from hakubooru_trainer.data.batches import Batch

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A row of the table."""

    precision: str
    weights: str = ""
    """`run.weights`; empty for the precision."""
    checkpointing: bool = True
    keep_blocks: int = 0
    forward: str = "auto"
    graphs: bool = False
    deterministic: bool = True
    paged: bool = False
    captions: bool = True
    """Whether captions change and the text encoders are trained; if not, encoded captions are cached too."""
    limit: int = 0
    """Bytes of the GPU that it may take; 0 is all."""
    goal: str = ""

    @property
    def accumulation(self) -> int:
        """Epsilon's batches an update; fewer where each waits for the processor."""
        return 16 if self.graphs else 4

    def __str__(self) -> str:
        words = [self.precision]
        words += [f"{self.weights} weights"] if self.weights else []
        words += ["checkpointing"] if self.checkpointing else []
        words += [f"{self.keep_blocks} blocks keep theirs"] if self.keep_blocks else []
        words += ["graphs"] if self.graphs else []
        words += [] if self.deterministic else ["not deterministic"]
        words += ["paged"] if self.paged else []
        words += [] if self.captions else ["text cached"]
        words += [] if self.forward == "auto" else [f"forward by {self.forward}"]
        words += [f"in {self.limit // GIB} GiB"] if self.limit else []
        return ", ".join(words)


HALF = "bf16" if CUDA else "fp32"  # processors are slow in half precision
SETTINGS = [  # what tells most first, should time end
    Setting(precision=HALF, graphs=True, goal="10 on an H200, 8 on an H100"),
    Setting(precision=HALF, graphs=True, deterministic=False, goal="10 on an H200, 8 on an H100"),
    Setting(precision=HALF, weights="nf4", limit=11 * GIB, goal="12 GB fits"),
    Setting(precision=HALF, graphs=True, checkpointing=False, goal="14 on an H200, 11 on an H100"),
    Setting(
        precision=HALF,
        graphs=True,
        checkpointing=False,
        deterministic=False,
        goal="14 on an H200, 11 on an H100",
    ),
    Setting(precision=HALF, goal="1.6 times LyCORIS's"),
    Setting(precision=HALF, forward="lycoris"),
    Setting(precision=HALF, graphs=True, keep_blocks=20, limit=23 * GIB, goal="0.85 x the unlimited"),
    Setting(precision=HALF, graphs=True, weights="int8"),
    Setting(precision=HALF, graphs=True, weights="fp8"),
    Setting(precision=HALF, graphs=True, captions=False),
    Setting(precision=HALF, weights="nf4", paged=True),
    Setting(precision="fp16", graphs=True),
    Setting(precision=HALF, forward="factored"),
    Setting(precision=HALF, checkpointing=False, forward="lycoris"),
]
# On a CPU state cannot be paged, nor fp16 computed.
ROWS = [row for row in SETTINGS if CUDA or not (row.paged or row.precision == "fp16")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=2, help="that are timed in each row")
    parser.add_argument("--minutes", type=float, default=7.5, help="that all rows may take")
    arguments = parser.parse_args()
    start = time.perf_counter()
    torch._dynamo.config.disable = True
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder))
        side = 1024 if CUDA else 128
        write_pairs(Path(folder, "pairs"), [(side, side)] * 8)
        rates = {name: matrix_rate(DTYPES[name]) for name in (HALF, "fp16")}
        print(
            f"{torch.cuda.get_device_name() if CUDA else 'no GPU: the tiny model on a CPU'}, torch {torch.__version__}"
        )
        print(
            "matrix products: "
            + ", ".join(f"{rate / 1e12:.3g} TFLOP/s in {name}" for name, rate in rates.items())
        )
        print(
            "\n| setting | images a second | a pass of a batch: host / device | share of matrix products | "
            "measured memory | counted | counted / measured | waits in a pass | goal |"
        )
        print("|---|---|---|---|---|---|---|---|---|", flush=True)
        longest = 0.0
        for setting in ROWS:
            begin = time.perf_counter()
            if begin - start + longest > arguments.minutes * 60:
                print(f"| {setting} | no time left | | | | | | | {setting.goal} |", flush=True)
                continue
            print(row(setting, Path(folder), arguments.updates, rates), flush=True)
            gc.collect()
            if CUDA:
                torch.cuda.empty_cache()
            longest = max(longest, time.perf_counter() - begin)
    print(f"\nin {(time.perf_counter() - start) / 60:.1f} minutes")


def write_model(folder: Path) -> None:
    """A random model: SDXL's shapes on a GPU, the tiny one's else; the tiny one's VAE, since latents are cached."""
    tiny.write_tiny(folder / "tiny")
    shutil.copytree(
        folder / "tiny", folder / "model", ignore=shutil.ignore_patterns("*.safetensors") if CUDA else None
    )
    if not CUDA:
        return
    shutil.copytree(folder / "tiny" / "vae", folder / "model" / "vae", dirs_exist_ok=True)
    torch.set_default_dtype(torch.bfloat16)
    for part in ("unet", "text_encoder", "text_encoder_2"):
        config = json.loads((SHIPPED / part / "config.json").read_text(encoding="utf-8"))
        with DEVICE:
            kind = CLASSES[part]
            model = (
                kind(CLIPTextConfig.from_dict(config))
                if part.startswith("text")
                else kind.from_config(config)
            )
        shutil.rmtree(folder / "model" / part)
        model.save_pretrained(folder / "model" / part)
        del model
    torch.set_default_dtype(torch.float32)


def options(folder: Path, setting: Setting, updates: int) -> Options:
    side = 1024 if CUDA else 128
    cached = {} if setting.captions else {"text": str(folder / "text")}
    return Options(
        run=RunOptions(
            out=str(folder / "out"),
            epochs=0,
            updates=updates,
            precision=setting.precision,
            weights=setting.weights or setting.precision,
            checkpointing=setting.checkpointing,
            keep_blocks=setting.keep_blocks,
            graphs=setting.graphs,
            deterministic=setting.deterministic,
            threads=0 if CUDA else 1,
        ),
        model=ModelOptions(path=str(folder / "model")),
        data=(DataOptions(path=str(folder / "pairs")),),
        buckets=BucketOptions(area=side * side, step=64, min_side=64),
        captions=CaptionOptions(shuffle=setting.captions, drop_tags=0.15 if setting.captions else 0),
        text=TextOptions(tokens=225, train=setting.captions),
        lokr=LokrOptions(forward=setting.forward),
        loss=LossOptions(min_snr_gamma=5, noise_offset=0.0357),
        optimizer=OptimizerOptions(paged=setting.paged),
        batch=BatchOptions(size=4, accumulation=setting.accumulation)
        if CUDA
        else BatchOptions(size=2, accumulation=2),
        cache=CacheOptions(latents=str(folder / "latents"), **cached),
    )


def row(setting: Setting, folder: Path, updates: int, rates: dict[str, float]) -> str:
    """Measure one setting."""
    if CUDA:
        total = torch.cuda.get_device_properties(DEVICE).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, setting.limit / total) if setting.limit else 1.0)
        torch.cuda.reset_peak_memory_stats()
    settings = options(folder, setting, updates + 2)
    bytes_needed = needed(settings)
    try:
        with deterministic(settings.run, DEVICE):
            figures = measured(settings, updates)
    except torch.OutOfMemoryError:
        return f"| {setting} | out of memory | | | | {bytes_needed / GIB:.1f} GiB | | | {setting.goal} |"
    except (RuntimeError, TrainingError) as error:  # the rows after it are still worth their time
        return f"| {setting} | {str(error).splitlines()[0]} | | | | {bytes_needed / GIB:.1f} GiB | | | {setting.goal} |"
    share = figures.speed * figures.work / rates[setting.precision]
    peak = f"{figures.peak / GIB:.1f} GiB" if CUDA else "-"
    ratio = f"{bytes_needed / figures.peak:.2f}" if CUDA else "-"
    return (
        f"| {setting} | {figures.speed:.2f} | {figures.times} | {share:.0%} | {peak} | {bytes_needed / GIB:.1f} GiB | {ratio} | "
        f"{figures.waits} | {setting.goal} |"
    )


def needed(settings: Options) -> int:
    """The memory of a card that `plan` says these options need."""
    side = 1024 if CUDA else 128
    return fits.count(settings, *fits.skeletons(settings), (side, side)).needed(settings)


class Figures(NamedTuple):
    """What was measured of a setting."""

    speed: float
    """Images a second."""
    times: str
    """Seconds of a pass."""
    work: float
    """Operations an image, those among them that checkpointing repeats."""
    waits: str
    """What waited for the device."""
    peak: int
    """The most bytes that updates took of the card."""


def measured(settings: Options, updates: int) -> Figures:
    """Run one update that warms up, and some that are timed."""
    alone = Ranks(DEVICE)
    training = prepare(settings, alone, data_set(settings, alone))
    counters = Counters()
    ahead = training.batches.training(training.data.order, range(training.data.batches))
    seconds = []
    with contextlib.closing(ahead):
        for _ in range(updates + 1):
            begin = time.perf_counter()
            loop._update(training, ahead, counters)
            seconds.append(time.perf_counter() - begin)
        batch = next(ahead).to(training.device)
    # Before operations are counted: that keeps the activations which checkpointing drops.
    peak = peak_memory()
    times = pass_times(training.passes, batch)
    with FlopCounterMode(display=False) as counter:
        Passes.__call__(training.passes, batch, 1)
    waits = "none"
    if CUDA:
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            Passes.__call__(training.passes, batch, 1)
        except RuntimeError as error:
            waits = str(error).partition("\n")[0]
        finally:
            torch.cuda.set_sync_debug_mode("default")
    images = settings.batch.size * settings.batch.accumulation
    return Figures(
        speed=images / statistics.median(seconds[1:]),
        times=times,
        work=counter.get_total_flops() / settings.batch.size,
        waits=waits,
        peak=peak,
    )


def peak_memory() -> int:
    """The most bytes of the card that this process reserved, with what CUDA takes for itself."""
    if not CUDA:
        return 0
    free, total = torch.cuda.mem_get_info()
    own = total - free - torch.cuda.memory_reserved()
    return torch.cuda.max_memory_reserved() + own


def pass_times(passes: Passes, batch: Batch) -> str:
    """How long the processor is busy with a pass, and how long the device."""
    for _ in range(2):
        passes(batch, 1)
    if CUDA:
        torch.cuda.synchronize()
    start = time.perf_counter()
    passes(batch, 1)
    host = time.perf_counter() - start
    if not CUDA:
        return f"{host:.3f} s / -"
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        passes(batch, 1)
        torch.cuda.synchronize()
    device = sum(event.device_time_total for event in profiler.key_averages()) / 1e6
    return f"{host:.3f} / {device:.3f} s"


def matrix_rate(dtype: torch.dtype, side: int = 8192 if CUDA else 512, times: int = 30) -> float:
    """Operations a second of the device's products of square matrices."""
    left, right = (torch.randn(side, side, device=DEVICE, dtype=dtype) for _ in range(2))
    for _ in range(3):
        left @ right
    if CUDA:
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(times):
        left @ right
    if CUDA:
        torch.cuda.synchronize()
    return times * 2 * side**3 / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
