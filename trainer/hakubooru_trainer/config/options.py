"""Every option of a training run, with its default; `--help-config` prints the text below each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from hakubooru.errors import ConfigError
from hakubooru.files import is_file_name
from hakubooru.settings import Bounds, check
from hakubooru_trainer.config.data import (
    AugmentOptions,
    BucketOptions,
    CacheOptions,
    CaptionOptions,
    DataOptions,
    Needs,
    check_effects,
)
from hakubooru_trainer.config.learning import EmaOptions, LossOptions, OptimizerOptions
from hakubooru_trainer.prompts import LONGEST_SIDE

PRECISIONS: Final = ("fp32", "bf16", "fp16")
"""The precisions of whole weights; the other values of `run.weights` are packed."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The run as a whole."""

    out: str
    """The folder that the run writes into."""
    name: str = "lokr"
    """The name of the adapter's files."""
    seed: int = 0
    """The seed of everything random: order, captions, timesteps and noise."""
    epochs: Annotated[float, Bounds(0, 1_000_000)] = 1
    """How many times the run goes through the data set. 0: `updates` alone sets the length."""
    updates: Annotated[int, Bounds(0, 1_000_000_000)] = 0
    """Stop after this many updates of the weights. 0: `epochs` alone sets the length. If both are set, the shorter one counts."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """The device to compute on; `auto` takes a GPU if there is one."""
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"
    """The precision to compute in. With fp16 the loss is scaled so that small gradients survive."""
    weights: Literal["fp32", "bf16", "fp16", "int8", "fp8", "nf4"] = "bf16"
    """The precision that the frozen model is stored in. `int8`, `fp8` and `nf4` hold the weights of linear layers in 8, 8 and 4
    bits and unpack a layer where it is used; all else is stored in `precision`. They need less memory, and take more time."""
    checkpointing: bool = True
    """Compute activations twice and do not keep them: a third slower, and a fraction of the memory."""
    keep_blocks: Annotated[int, Bounds(0)] = 0
    """With `checkpointing`: how many blocks of the UNet keep their activations all the same, those first that save the most time
    for their memory. SDXL has 87. `plan` says what they take."""
    graphs: bool = False
    """On a GPU, record the passes of each shape of batch as a CUDA graph and replay it, so that the GPU never waits for the
    processor. Recording a new shape takes some seconds."""
    deterministic: bool = True
    """On a GPU, use only kernels that give the same bits at every run, as exact resuming needs. Without them attention is faster."""
    compile: bool = False
    """Compile the UNet's transformers at the first update, which takes minutes. Needs a C++ compiler, and Linux."""
    threads: Annotated[int, Bounds(0, 4096)] = 0
    """Threads of torch on a CPU; 0 lets torch decide. Small models are faster with 1."""
    workers: Annotated[int, Bounds(1)] = 2
    """Threads that read and prepare images ahead. The result does not depend on their number."""
    bad_updates: Annotated[int, Bounds(1)] = 10
    """The run stops when this many updates in a row were skipped because the loss or a gradient was not finite."""

    @property
    def is_packed(self) -> bool:
        """Whether frozen linear layers hold their weights in 8 or 4 bits."""
        return self.weights not in PRECISIONS

    @property
    def stored(self) -> str:
        """The precision of the frozen weights that are not packed."""
        return self.precision if self.is_packed else self.weights

    @property
    def is_half(self) -> bool:
        """Whether layers compute with weights that are not in single precision, or with activations that are not."""
        return self.precision != "fp32" or self.weights != "fp32"

    def __post_init__(self) -> None:
        check(self, "run", ConfigError)
        if not self.epochs and not self.updates:
            raise ConfigError("run.epochs and run.updates are both 0, so the run has no end; set one of them")
        if not self.is_packed and self.weights not in {"fp32", self.precision}:
            raise ConfigError(
                f'run.weights is "{self.weights}" and run.precision is "{self.precision}"; set run.weights to "fp32" or to the same as run.precision'
            )
        if self.compile and self.is_packed:
            raise ConfigError(
                f'run.compile does not work with run.weights = "{self.weights}"; set run.compile = false, or run.weights = "{self.precision}"'
            )
        check_effects("run", self, {"keep_blocks": Needs("checkpointing", example=True, without=(False,))})
        if not is_file_name(self.name):
            raise ConfigError(
                f"run.name is {self.name!r}; it becomes part of file names: use letters, digits, - and _, at most 200, and no name "
                "of a device on Windows, such as aux"
            )


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The model to fine-tune. Nothing is ever downloaded."""

    path: str
    """A folder in diffusers' layout, or a single checkpoint file (.safetensors)."""
    config: str = ""
    """A diffusers folder with the model's configuration, for a single file that is not of SDXL's size."""
    tokenizers: str = ""
    """A folder with tokenizer/ and tokenizer_2/, used instead of the model's own. A single file has no tokenizers; it uses SDXL's,
    which come with hakubooru."""
    vae: str = ""
    """Another VAE, such as the one fixed for fp16: a folder in diffusers' layout, or a single SDXL file that contains it."""
    vae_precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """The precision that images are encoded and decoded in. SDXL's own VAE overflows in fp16, so fp16 is refused unless `vae` names a
    fixed one."""
    prediction: Literal["auto", "epsilon", "v"] = "auto"
    """What the model predicts: noise (epsilon) or v. `auto` reads it from the checkpoint, and takes epsilon if it says nothing."""
    zero_terminal_snr: Literal["auto", "yes", "no"] = "auto"
    """Whether the noise schedule ends in pure noise. `auto` reads it from the checkpoint, and takes no if it says nothing."""

    @property
    def name(self) -> str:
        """The name of the model's file or folder, whichever system wrote its path."""
        return self.path.replace("\\", "/").rpartition("/")[2]

    def __post_init__(self) -> None:
        check(self, "model", ConfigError)
        if self.vae_precision == "fp16" and not self.vae:
            raise ConfigError(
                'model.vae_precision is "fp16", in which SDXL\'s own VAE overflows to black or NaN; '
                'use "fp32" or "bf16", or name a VAE that is fixed for fp16 in model.vae'
            )


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """The text encoders."""

    train: bool = True
    """Train the text encoders too."""
    tokens: Literal[75, 150, 225] = 225
    """How many tokens of a caption are read, in chunks of 75; longer captions are cut off."""

    def __post_init__(self) -> None:
        check(self, "text", ConfigError)


@dataclass(frozen=True, kw_only=True)
class LokrOptions:
    """The adapter. To each weight W it adds a difference w1 ⊗ w2; both factors are full matrices."""

    preset: Literal["epsilon", "attention"] = "epsilon"
    """Which layers are trained. `epsilon`: all of SDXL with the norms of the UNet, but not the embeddings of the text encoders. `attention`:
    only the attention and feed-forward layers of the transformers."""
    factors: dict[str, int] = field(default_factory=dict)
    """Sizes of w1 that differ from the preset's, by class of layer or by pattern of names: {FeedForward = 4, "middle_block.*" = 8}.
    The first pattern that matches a layer comes before classes, and an inner class before an outer one. Names are those of the
    original code, with dots: middle_block.1.proj_in."""
    exclude: tuple[str, ...] = ()
    """Patterns of layers to leave out, by their names in the saved file: ["lora_unet_input_blocks_0_*"]."""
    norms: bool = True
    """Train the norms of the UNet too, if the preset does."""
    start: str = ""
    """The file of an adapter to start from; it must have the same layers and factors."""
    forward: Literal["auto", "merged", "factored", "fused", "lycoris"] = "auto"
    """How the difference is computed. `merged` adds it to the weight once an update: as fast as plain weights, with the memory of
    two more weights. `factored` and `fused` apply the factors to the activations; `fused` makes fewer copies. `lycoris` computes
    as LyCORIS does. `auto` chooses by cost, precision and memory."""
    masters: Literal["fp32", "fp16"] = "fp32"
    """The precision that the trained weights are stored in during the run. In fp16 most steps of 2e-5 are lost to rounding: use
    fp16 only to repeat old runs."""
    save: Literal["fp16", "bf16", "fp32"] = "fp16"
    """The precision that the adapter's file is written in."""

    def __post_init__(self) -> None:
        check(self, "lokr", ConfigError)
        for name, factor in self.factors.items():
            if type(factor) is not int or factor < 1:
                raise ConfigError(
                    f"lokr.factors.{name} is {factor!r}; write a whole number from 1 on, usually 2 to 16"
                )


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """How many images make an update."""

    size: Annotated[int, Bounds(1, 65_536)] = 1
    """Images in a batch."""
    accumulation: Annotated[int, Bounds(1, 1_000_000)] = 1
    """Batches in an update, over all GPUs together."""

    def __post_init__(self) -> None:
        check(self, "batch", ConfigError)


@dataclass(frozen=True, kw_only=True)
class ValidationOptions:
    """A loss that can be compared: held-out images at fixed timesteps with fixed noise."""

    images: Annotated[int, Bounds(0)] = 0
    """How many images are held out of training; 0 is off."""
    every: Annotated[int, Bounds(1)] = 500
    """Updates between two measurements. The loss is also measured at the start and at the end."""
    timesteps: tuple[int, ...] = (100, 300, 500, 700, 900)
    """The timesteps at which it is measured."""

    def __post_init__(self) -> None:
        check(self, "validation", ConfigError)
        if not self.timesteps or not all(0 <= step < 1000 for step in self.timesteps):
            raise ConfigError(
                f"validation.timesteps is {list(self.timesteps)}; write timesteps from 0 to 999, such as [100, 500, 900]"
            )


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """Pictures drawn during the run, with the same seeds each time."""

    prompts: str = ""
    """A text file with one prompt a line. A line may end in sd-scripts' options, such as --w 832 --h 1216 --n lowres. Empty: no
    pictures are drawn."""
    every: Annotated[int, Bounds(1)] = 1000
    """Updates between two sheets of pictures. One is also drawn at the start and one at the end."""
    width: Annotated[int, Bounds(64, LONGEST_SIDE)] = 1024
    """The width of a picture, in pixels; a multiple of 8, at most 8192."""
    height: Annotated[int, Bounds(64, LONGEST_SIDE)] = 1024
    """The height of a picture, in pixels; a multiple of 8, at most 8192."""
    steps: Annotated[int, Bounds(1, 1000)] = 24
    """Steps of the sampler."""
    sampler: Literal["ddim", "euler_a", "dpmpp_2m"] = "ddim"
    """The sampler: DDIM without noise, Euler's method with fresh noise (Euler a), or DPM-Solver++ (DPM++ 2M). A prompt may name
    its own by --ss."""
    guidance: float = 6.0
    """How strongly the prompt counts (classifier-free guidance)."""
    negative: str = ""
    """The negative prompt: what not to draw."""

    def __post_init__(self) -> None:
        check(self, "samples", ConfigError)
        if self.width % 8 or self.height % 8:
            raise ConfigError(
                f"samples.width and height are {self.width} and {self.height}; write multiples of 8, at most {LONGEST_SIDE}, such as 832 and 1216"
            )


@dataclass(frozen=True, kw_only=True)
class SaveOptions:
    """What is saved to disk."""

    every: Annotated[int, Bounds(1)] = 1000
    """Updates between two saves of the adapter, and of the state that a run resumes from."""
    minutes: Annotated[float, Bounds(0)] = 0.0
    """Save the state also after this many minutes; 0 is off."""
    keep: Annotated[int, Bounds(0)] = 3
    """How many adapters are kept, the last one included; 0 keeps all."""
    states: Annotated[int, Bounds(1)] = 2
    """How many states are kept. If the last one is torn, the run resumes from the one before."""

    def __post_init__(self) -> None:
        check(self, "save", ConfigError)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a training run, by section."""

    run: RunOptions
    model: ModelOptions
    data: tuple[DataOptions, ...]
    buckets: BucketOptions = field(default_factory=BucketOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    captions: CaptionOptions = field(default_factory=CaptionOptions)
    text: TextOptions = TextOptions()
    lokr: LokrOptions = field(default_factory=LokrOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    ema: EmaOptions = field(default_factory=EmaOptions)
    batch: BatchOptions = BatchOptions()
    cache: CacheOptions = field(default_factory=CacheOptions)
    validation: ValidationOptions = ValidationOptions()
    samples: SampleOptions = SampleOptions()
    save: SaveOptions = SaveOptions()

    def __post_init__(self) -> None:
        if not self.data:
            raise ConfigError('data is empty; write at least one data set: [[data]] with path = "…"')
        if self.cache.text and self.text.train:
            raise ConfigError(
                "cache.text keeps encoded captions, but the text encoders are trained; set text.train = false"
            )
        captions = self.captions
        changes_tags = captions.shuffle or captions.drop_tags or captions.needs_parts
        if self.cache.text and (changes_tags or captions.shuffle_groups or captions.drop_groups):
            raise ConfigError(
                "cache.text keeps encoded captions, but captions change at each step; set captions.shuffle = false, and remove "
                "drop_tags, drop_parts, text_only, tags_only, shuffle_groups and drop_groups"
            )
        if self.cache.text and (self.captions.mix or any(data.prefix for data in self.data)):
            raise ConfigError(
                'cache.text keeps what becomes of the captions in the files; remove captions.mix and data.prefix, or set cache.text = ""'
            )
        if self.cache.latents and self.augment.random_crop:
            raise ConfigError(
                "cache.latents keeps one crop of each image, and augment.random_crop takes another at each step; "
                'set cache.latents = "", or augment.random_crop = false'
            )
        if self.augment.random_crop and self.buckets.crop == "kohya":
            raise ConfigError(
                'buckets.crop = "kohya" tells the model of centre crops; with augment.random_crop set buckets.crop = "true"'
            )
        if self.run.is_packed and self.lokr.forward not in {"auto", "fused"}:
            raise ConfigError(
                f'lokr.forward = "{self.lokr.forward}" needs whole weights, but run.weights is "{self.run.weights}"; '
                'set lokr.forward = "auto"'
            )
        if self.lokr.masters == "fp16" and self.optimizer.name == "adamw":
            raise ConfigError(
                'lokr.masters = "fp16" with optimizer.name = "adamw" divides by 0, because its 1e-8 rounds to 0 in fp16; '
                'use "lion8bit", "lion" or "adamw8bit"'
            )
