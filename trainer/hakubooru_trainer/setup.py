"""Everything that a run needs before its first update: data set, model, adapter and optimiser."""

from __future__ import annotations

import math
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from diffusers.models.attention import BasicTransformerBlock
from torch.utils.checkpoint import checkpoint
from tqdm import tqdm

from hakubooru.errors import ConfigError, DataSetError, DestinationError
from hakubooru.quantity import quantity
from hakubooru_trainer import distributed, optim, trial
from hakubooru_trainer.average import Average
from hakubooru_trainer.data import order, samples
from hakubooru_trainer.data.batches import Batches
from hakubooru_trainer.data.captions import StepCaptions
from hakubooru_trainer.data.contexts import ContextCache
from hakubooru_trainer.data.latents import LatentCache
from hakubooru_trainer.lokr import file
from hakubooru_trainer.lokr.adapter import Adapter
from hakubooru_trainer.lokr.file import DTYPES
from hakubooru_trainer.lokr.geglu import fuse
from hakubooru_trainer.lokr.preset import targets
from hakubooru_trainer.lokr.rates import rate_groups
from hakubooru_trainer.loss import Objective
from hakubooru_trainer.memory import blocks
from hakubooru_trainer.model.load import load
from hakubooru_trainer.model.packed import pack
from hakubooru_trainer.passes import GraphedPasses, Passes
from hakubooru_trainer.prompts import read_prompts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from torch import Tensor, nn

    from hakubooru_trainer.config import Options
    from hakubooru_trainer.data.order import Order, Sizes
    from hakubooru_trainer.data.samples import Samples
    from hakubooru_trainer.distributed import Ranks
    from hakubooru_trainer.model.load import Sdxl
    from hakubooru_trainer.prompts import Prompt


_TAGS: Final = 5000
"""The most tags that an adapter's file says the frequency of."""
_CUDA_BUILD: Final = (
    "install a CUDA build of torch (pip install torch --index-url https://download.pytorch.org/whl/cu128)"
)


@dataclass(frozen=True, kw_only=True)
class Training:
    """Everything that a run works with."""

    options: Options
    ranks: Ranks
    device: torch.device
    data: DataSet
    model: Sdxl
    adapter: Adapter
    objective: Objective
    batches: Batches
    held_out: Batches
    """The batches of the held-out images."""
    weights: list[Tensor]
    """The tensors that are trained."""
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    precision: torch.autocast
    average: Average
    """The running average of the weights, if there is one."""
    passes: Passes
    """The forward and backward pass of a batch."""
    prompts: list[Prompt]

    @property
    def out(self) -> Path:
        """The run's folder."""
        return Path(self.options.run.out)

    def moved(self, update: int) -> None:
        """Notify all that follows the weights that an update has moved them.

        Args:
            update: its number, from 0.
        """
        self.adapter.changed()
        self.average.update(update)

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """Give the weights, for the length of a block, the values to validate, draw and save with."""
        with optim.evaluated(self.optimizer, self.weights) as differs:
            if differs:
                self.adapter.changed()
            yield
        if differs:
            self.adapter.changed()

    @cached_property
    def tag_counts(self) -> dict[str, int]:
        """How many captions have each of the most frequent tags. Counted once; a million captions take twelve seconds."""
        options = self.options.captions
        sides, captions = options.unchanged().sides, StepCaptions(options)
        counts = Counter[str]()
        for texts in self.data.train.texts():
            for text in texts:
                counts.update({tag for side in sides(captions.tags(text)) for tag in side})
        return dict(counts.most_common(_TAGS))


@dataclass(frozen=True)
class DataSet:
    """The images to train on, the held-out images, and the order of the batches."""

    train: Samples
    held_out: Samples
    sizes: Sizes
    held_out_sizes: Sizes
    order: Order
    batches: int
    """The batches of the whole run."""
    updates: int
    fingerprint: str
    earlier_fingerprint: str
    """The one of earlier versions, which states may hold."""

    @property
    def largest(self) -> tuple[int, int]:
        """Width and height of the bucket with the most pixels."""
        width, height = max(self.sizes.sizes.tolist(), key=lambda size: size[0] * size[1])
        return width, height

    @property
    def repeats(self) -> list[int]:
        """The repeats of each data set, by the options or by the names of kohya's folders."""
        return [data.options.repeats for data in self.train.sets]

    @property
    def names(self) -> list[str]:
        """The names of the data sets: number and path."""
        return [f"{place} {data.options.path}" for place, data in enumerate(self.train.sets)]


def prepare(options: Options, ranks: Ranks, data: DataSet) -> Training:
    """Load and build everything that a run works with.

    Raises:
        InputError: an option, the data set, or a model cannot be used.
    """
    if ranks.world > options.batch.accumulation:
        raise ConfigError(
            f"an update has {quantity(options.batch.accumulation, 'batch', 'batches')} (batch.accumulation) and there are "
            f"{ranks.world} ranks; each rank needs at least one batch: raise batch.accumulation, or use fewer GPUs"
        )
    device = ranks.device
    if options.run.threads:
        torch.set_num_threads(options.run.threads)
    trial.check(options)
    prompts = read_prompts(Path(options.samples.prompts)) if options.samples.prompts else []
    model, adapter = model_of(options, device)
    objective = Objective.of(options, model, device)
    # Before caches are filled, which takes hours without a GPU.
    if ranks.first and (warning := without_gpu(options)):
        tqdm.write(f"warning: {warning}", file=sys.stderr)
    training, held_out = batches_of(data, options, model, ranks)
    unet, text = adapter.parameters("unet"), adapter.parameters("text_encoder", "text_encoder_2")
    weights = [*unet, *text]
    scaler = optim.Scaler(device.type, enabled=options.run.precision == "fp16")
    precision = precision_of(options, device)
    graphed = options.run.graphs and device.type == "cuda"
    return Training(
        options=options,
        ranks=ranks,
        device=device,
        data=data,
        model=model,
        adapter=adapter,
        objective=objective,
        batches=training,
        held_out=held_out,
        weights=weights,
        optimizer=optim.optimizer(options.optimizer, rate_groups(adapter, options.optimizer)),
        average=Average(adapter.weights(), options.ema.decay),
        scaler=scaler,
        precision=precision,
        passes=(GraphedPasses if graphed else Passes)(model, objective, weights, precision, scaler),
        prompts=prompts,
    )


def data_set(options: Options, ranks: Ranks) -> DataSet:
    """Load the data set of a run. Images are opened only if no manifest lists them, and only once.

    Raises:
        DataSetError: it cannot be trained on, or not with these options.
    """
    everything = samples.load(options.data, ranks, options.captions.columns)
    for source in everything.sets:
        if options.captions.tags == "general" and not source.knows_parts:
            raise DataSetError(
                f"{source.options.path} does not say which tags are general ones, as the manifest of `hakubooru export` does in its "
                'column `parts`; set captions.tags = "tail", or export it again (your own images: with --own)'
            )
    train, held_out = everything.split(options.validation.images, options.run.seed)
    sizes = order.sizes(train, options.buckets)
    batch_order = order.Order(
        train,
        sizes.of,
        batch=options.batch.size,
        seed=options.run.seed,
        fill=options.buckets.incomplete == "fill",
    )
    limits = []
    if options.run.epochs:
        limits.append(max(1, batch_order.batches(options.run.epochs)))
    if options.run.updates:
        limits.append(options.run.updates * options.batch.accumulation)
    batches = min(limits)
    return DataSet(
        train,
        held_out,
        sizes,
        order.sizes(held_out, options.buckets),
        batch_order,
        batches,
        math.ceil(batches / options.batch.accumulation),
        *everything.fingerprints(by_parts=options.captions.tags == "general"),
    )


def device_of(options: Options) -> torch.device:
    """The device that the options name.

    Raises:
        ConfigError: run.device is "cuda" and torch sees no GPU.
    """
    wanted = options.run.device
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f'run.device is "cuda", and torch sees no GPU; {_CUDA_BUILD}, or set run.device = "cpu"'
        )
    if wanted == "cpu" or not torch.cuda.is_available():
        if options.optimizer.paged:
            raise ConfigError(
                "optimizer.paged moves the optimiser's state out of a GPU's memory, and this run is on a CPU; set optimizer.paged = false"
            )
        return torch.device("cpu")
    return torch.device("cuda", distributed.local_rank())


def without_gpu(options: Options) -> str | None:
    """The warning that a run takes the CPU because torch sees no GPU; None if it has one, or the CPU was asked for."""
    if options.run.device != "auto" or torch.cuda.is_available():
        return None
    return (
        f"torch sees no GPU here, so that a run is on the CPU, which is far too slow for an SDXL; for an NVIDIA card "
        f'{_CUDA_BUILD}; run.device = "cpu" takes the CPU without this warning'
    )


def not_held_out(data: DataSet) -> str | None:
    """The warning that held-out images are trained on, too, because the data sets hold their files more than once; None if none is."""
    twice = int(np.isin(data.held_out.contents, data.train.contents).sum())
    if not twice:
        return None
    return (
        f"{quantity(twice, 'held-out image is', 'held-out images are')} trained on, too, since the data sets hold the same file "
        "more than once: the loss on them does not show that the model learns by heart; remove the copies"
    )


def out_folder(options: Options, resume: str) -> tuple[Path, Path | None]:
    """Create the run's folder, and return it with the state that the user named to resume from, if any.

    Raises:
        DestinationError: the folder cannot be used, or has a run that must not be resumed.
    """
    out = Path(options.run.out)
    if out.exists() and not out.is_dir():
        raise DestinationError(f"run.out is {out}, which is a file; name a folder")
    if resume == "never" and ((out / "state").exists() or (out / "metrics.jsonl").exists()):
        raise DestinationError(
            f"{out} has a run already; set run.out to a new folder, or resume the run (--resume auto)"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DestinationError(
            f"run.out is {out}, which cannot be created ({error.strerror}); name another folder"
        ) from error
    return out, Path(resume) if resume not in {"auto", "never"} else None


def model_of(options: Options, device: torch.device) -> tuple[Sdxl, Adapter]:
    """Load the frozen model with the adapter applied, both on the device."""
    model = load(options.model, DTYPES[options.run.stored], DTYPES[options.model.vae_precision])
    if options.run.is_packed:  # before the model is on the GPU, which may not have room for all of it
        pack((model.unet, model.text_encoder, model.text_encoder_2), options.run.weights, device)
    model.to(device)
    if options.run.checkpointing:
        # Nothing that is computed twice is random, so the state of the generator need not be kept.
        again: Any = {"use_reentrant": False, "preserve_rng_state": False}
        kept = set(blocks(model.unet)[: options.run.keep_blocks])
        model.unet.enable_gradient_checkpointing(partial(_checkpoint, kept, **again))
        for encoder in (model.text_encoder, model.text_encoder_2) if options.text.train else ():
            # transformers 5 renamed the method, and warns of the old name.
            new = getattr(encoder, "activation_checkpointing_enable", None)
            (new or encoder.gradient_checkpointing_enable)(again)
            encoder.train()  # transformers checkpoints only in training mode; CLIP has no dropout
    adapter = Adapter(
        targets(trained_parts(vars(model), options), options.lokr),
        seed=options.run.seed,
        dtype=DTYPES[options.lokr.masters],
    )
    if options.lokr.start:
        adapter.load(file.read(Path(options.lokr.start)), options.lokr.start)
    adapter.to(device)
    half = options.run.is_half
    adapter.apply(options.lokr.forward, half=half)
    if half:
        fuse(model.unet)
    if options.run.compile:
        compile_blocks(model.unet)
    return model, adapter


def _checkpoint(kept: Collection[nn.Module], block: nn.Module, *inputs: Any, **how: Any) -> Any:
    """Run a block of the UNet, and keep its activations only if it is one of `kept`."""
    return block(*inputs) if block in kept else checkpoint(block, *inputs, **how)


def compile_blocks(unet: Any, backend: str = "inductor") -> None:
    """Compile the transformer blocks of a UNet, each by itself.

    Blocks of one width share the compiled code, for images of any size; SDXL has two widths. After eight variants torch leaves a
    block uncompiled. The layers around the blocks are not compiled, since almost each has a shape of its own.
    """
    for module in unet.modules():
        if isinstance(module, BasicTransformerBlock):
            module.compile(dynamic=True, backend=backend)


def trained_parts(parts: Mapping[str, Any], options: Options) -> dict[str, Any]:
    """The parts of a model that an adapter changes."""
    names = ("unet", "text_encoder", "text_encoder_2") if options.text.train else ("unet",)
    return {name: parts[name] for name in names}


def precision_of(options: Options, device: torch.device) -> torch.autocast:
    """The precision to compute in, for use in a `with` statement."""
    precision = options.run.precision
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32")


def batches_of(data: DataSet, options: Options, model: Sdxl, ranks: Ranks) -> tuple[Batches, Batches]:
    """Build the makers of batches for training and validation, and fill the caches of encoded images and captions."""
    if ranks.first and (warning := not_held_out(data)):
        tqdm.write(f"warning: {warning}", file=sys.stderr)
    cache = options.cache
    latents = LatentCache(Path(cache.latents), model.vae, ranks) if cache.latents else None
    contexts = ContextCache(Path(cache.text), model, options, ranks) if cache.text else None
    arguments: Any = {
        "tokenizers": (model.tokenizer, model.tokenizer_2),
        "latents": latents,
        "contexts": contexts,
        "pin": ranks.device.type == "cuda",
    }
    both = (
        Batches(data.train, data.sizes, options, **arguments),
        Batches(data.held_out, data.held_out_sizes, options, **arguments),
    )
    for some in both:
        if latents is not None:
            latents.fill(some, model.vae)
        if contexts is not None:
            contexts.fill(some, model, precision_of(options, ranks.device))
    if not options.samples.prompts:  # parts that encode and decode nothing more leave the GPU
        if latents is not None:
            model.vae.to("cpu")
        if contexts is not None:
            model.text_encoder.to("cpu")
            model.text_encoder_2.to("cpu")
    return both
