"""Every option of a training run, with its default; the text below each is what `--help-config` prints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hakubooru.errors import ConfigError
from hakubooru_trainer.config.data import BucketOptions, CacheOptions, CaptionOptions, DataOptions, at_least


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The run as a whole."""

    out: str
    """The folder for everything that the run writes."""
    name: str = "lokr"
    """What the adapter's files are called."""
    seed: int = 0
    """Order, captions, timesteps and noise follow from it."""
    epochs: float = 1
    """How often the data set is gone through; 0 leaves it to `updates`."""
    updates: int = 0
    """Stop after so many updates of the weights; 0 leaves it to `epochs`. The first of the two to be reached counts."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute: `auto` takes a GPU where there is one."""
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"
    """What is computed in. fp16 scales the loss so that small gradients survive."""
    weights: Literal["fp32", "bf16", "fp16"] = "bf16"
    """What the frozen model is held in."""
    checkpointing: bool = True
    """Compute activations twice instead of keeping them: a third slower, and a fraction of the memory."""
    graphs: bool = False
    """On a GPU, record the passes of each shape of batch as a CUDA graph and replay it, so that nothing waits for the processor.
    Each shape takes some seconds when it is first met."""
    compile: bool = False
    """Compile the UNet's transformers at the first update, which takes minutes; needs a C++ compiler, on Linux."""
    threads: int = 0
    """Threads that torch computes with on a CPU; 0 leaves it to torch. Small models are faster with 1."""
    workers: int = 2
    """Threads that read and prepare images ahead; the result does not depend on their number."""
    bad_updates: int = 10
    """How many updates in a row may be skipped because a loss or gradient is not finite."""

    def __post_init__(self) -> None:
        at_least("run", self, {"updates": 0, "threads": 0, "workers": 1, "bad_updates": 1, "epochs": 0})
        if not self.epochs and not self.updates:
            raise ConfigError("run.epochs and run.updates are both 0, so the run has no end; set one of them")
        if self.weights not in {"fp32", self.precision}:
            raise ConfigError(
                f'run.weights is "{self.weights}" and run.precision "{self.precision}"; weights are held in what is computed in, or in fp32'
            )
        if not self.name or set(self.name) & set('/\\:*?"<>|'):
            raise ConfigError(
                f"run.name is {self.name!r}; it becomes part of file names: letters, digits, - and _"
            )


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The model that is fine-tuned; nothing is ever fetched."""

    path: str
    """A folder in diffusers' layout, or a single checkpoint file (.safetensors)."""
    config: str = ""
    """For a single file whose model is not of SDXL's size: a diffusers folder with its configuration."""
    tokenizers: str = ""
    """A folder with tokenizer/ and tokenizer_2/, in place of the model's own; a single file holds none, and takes SDXL's, which
    come with hakubooru."""
    vae: str = ""
    """Another VAE, such as the one fixed for fp16: a folder in diffusers' layout, or a single SDXL file that holds it."""
    vae_precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """What images are encoded in. SDXL's own VAE overflows in fp16: that is refused unless `vae` names a fixed one."""
    prediction: Literal["auto", "epsilon", "v"] = "auto"
    """What the model predicts, noise or v; `auto` takes what the checkpoint says of itself, else epsilon."""
    zero_terminal_snr: Literal["auto", "yes", "no"] = "auto"
    """Whether the noise schedule ends in pure noise; `auto` takes what the checkpoint says, else no."""

    def __post_init__(self) -> None:
        if self.vae_precision == "fp16" and not self.vae:
            raise ConfigError(
                'model.vae_precision is "fp16", in which SDXL\'s own VAE overflows to black or NaN; '
                'use "fp32" or "bf16", or name a VAE that is fixed for fp16 in model.vae'
            )


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """The text encoders."""

    train: bool = True
    """Train them as well."""
    tokens: Literal[75, 150, 225] = 225
    """How much of a caption is read, in chunks of 75 tokens; what is longer is cut off."""


@dataclass(frozen=True, kw_only=True)
class LokrOptions:
    """The adapter: for each layer W a difference w1 ⊗ w2, both in full."""

    preset: Literal["epsilon", "attention"] = "epsilon"
    """Which layers: `epsilon` is all of SDXL but the encoders' embeddings, norms included; `attention` the
    transformers' attention and feed-forward layers alone."""
    factors: dict[str, int] = field(default_factory=dict)
    """Sizes of w1 that differ from the preset's, by class of layer or name pattern: {FeedForward = 4, "middle_block.*" = 8}."""
    exclude: tuple[str, ...] = ()
    """Patterns of names that are left out, as the saved file has them: ["lora_unet_input_blocks_0_*"]."""
    norms: bool = True
    """Train the norms of the UNet too, where the preset does."""
    start: str = ""
    """An adapter to start from: a file of the same layers and factors."""
    forward: Literal["auto", "merged", "factored", "fused", "lycoris"] = "auto"
    """How the difference is computed: `merged` into the weight once an update, which costs what plain weights cost and the memory
    of two more; `factored` on the activations; `auto` by cost, precision and memory; `lycoris` as LyCORIS does."""
    masters: Literal["fp32", "fp16"] = "fp32"
    """What the trained weights are held in. In fp16 most steps of 2e-5 are lost to rounding: for the record only."""
    save: Literal["fp16", "bf16", "fp32"] = "fp16"
    """What the file is written in."""

    def __post_init__(self) -> None:
        for name, factor in self.factors.items():
            if type(factor) is not int or factor < 1:
                raise ConfigError(
                    f"lokr.factors.{name} is {factor!r}; a factor is a whole number, 2 to 16 as a rule"
                )


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """What is minimised."""

    min_snr_gamma: float = 0.0
    """Weigh timesteps by min(SNR, gamma) / SNR, or / (SNR + 1) for v; 5 is usual, 0 is off."""
    debiased: bool = False
    """Weigh timesteps by 1 / sqrt(min(SNR, 1000)); for v, `debiased_v` says how."""
    debiased_v: Literal["root", "kohya"] = "root"
    """How `debiased` weighs when the model predicts v: `root` by 1 / sqrt(min(SNR, 1000)) as for the noise; `kohya` by
    1 / (min(SNR, 1000) + 1), as sd-scripts does."""
    noise_offset: float = 0.0
    """Add to the noise of each channel a number drawn with this deviation: makes for darker darks; 0.0357 is usual."""
    min_timestep: int = 0
    """The first timestep that is trained."""
    max_timestep: int = 1000
    """Where the timesteps end; it is not trained itself."""
    timesteps_alike: int = 1
    """How many batches in a row draw the same timesteps: 4 is what sd-scripts does on 4 GPUs, 1 draws each anew."""

    def __post_init__(self) -> None:
        at_least("loss", self, {"min_snr_gamma": 0, "noise_offset": 0, "timesteps_alike": 1})
        if self.min_snr_gamma and self.debiased:
            raise ConfigError(
                "loss.min_snr_gamma and loss.debiased both weigh the timesteps; set one of them"
            )
        if self.debiased_v == "kohya" and not self.debiased:
            raise ConfigError(
                'loss.debiased_v = "kohya" says how loss.debiased weighs, which is off; set loss.debiased = true'
            )
        if not 0 <= self.min_timestep < self.max_timestep <= 1000:
            raise ConfigError(
                f"loss.min_timestep is {self.min_timestep} and loss.max_timestep {self.max_timestep}; "
                "0 <= min_timestep < max_timestep <= 1000"
            )


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions:
    """How the weights are moved."""

    name: Literal["lion8bit", "adamw8bit", "lion", "adamw"] = "lion8bit"
    """The 8-bit ones are bitsandbytes'."""
    lr: float = 2e-5
    """The learning rate of the UNet."""
    text_lr: float = 5e-6
    """The learning rate of the text encoders."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Of the running averages."""
    weight_decay: float = 0.1
    """Per update and learning rate."""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """What the learning rate does after the warm-up: stay, or fall to 0 at the run's end."""
    warmup: int = 0
    """Steps over which the learning rate rises from 0."""
    warmup_steps_an_update: int = 1
    """How many steps of the warm-up an update is: 4 is how sd-scripts counts on 4 GPUs, 1 counts updates."""
    clip: float = 1.0
    """The longest that the gradient may be, as a norm; 0 is off."""

    def __post_init__(self) -> None:
        at_least(
            "optimizer",
            self,
            {"weight_decay": 0, "warmup": 0, "warmup_steps_an_update": 1, "clip": 0, "text_lr": 0},
        )
        if not 0 < self.lr < 1:
            raise ConfigError(
                f"optimizer.lr is {self.lr}; a learning rate is above 0 and far below 1, such as 2e-5"
            )
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(
                f"optimizer.betas is {list(self.betas)}; both lie from 0 up to 1, such as [0.9, 0.95]"
            )


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """How many images make an update."""

    size: int = 1
    """Images at a time."""
    accumulation: int = 1
    """Batches an update, over all GPUs."""

    def __post_init__(self) -> None:
        at_least("batch", self, {"size": 1, "accumulation": 1})


@dataclass(frozen=True, kw_only=True)
class ValidationOptions:
    """A loss that can be compared: held-out images at fixed timesteps with fixed noise."""

    images: int = 0
    """How many images are held out of training; 0 is off."""
    every: int = 500
    """Updates between two measurements; there is one at the start and one at the end as well."""
    timesteps: tuple[int, ...] = (100, 300, 500, 700, 900)
    """Where it is measured."""

    def __post_init__(self) -> None:
        at_least("validation", self, {"images": 0, "every": 1})
        if not self.timesteps or not all(0 <= step < 1000 for step in self.timesteps):
            raise ConfigError(f"validation.timesteps is {list(self.timesteps)}; each lies from 0 to 999")


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """Pictures drawn on the way, with the same seeds each time."""

    prompts: str = ""
    """A text file with a prompt a line, which may end in options as in sd-scripts, such as --w 832 --h 1216 --n lowres; empty: none
    are drawn."""
    every: int = 1000
    """Updates between two sheets; there is one at the start and one at the end as well."""
    width: int = 1024
    """In pixels."""
    height: int = 1024
    """In pixels."""
    steps: int = 24
    """Of the sampler (DDIM)."""
    guidance: float = 6.0
    """How much the prompt counts (classifier-free guidance)."""
    negative: str = ""
    """What not to draw."""

    def __post_init__(self) -> None:
        at_least("samples", self, {"every": 1, "width": 64, "height": 64, "steps": 1})
        if self.width % 8 or self.height % 8:
            raise ConfigError(
                f"samples.width and height are {self.width} and {self.height}; both are multiples of 8"
            )


@dataclass(frozen=True, kw_only=True)
class SaveOptions:
    """What is kept on disk."""

    every: int = 1000
    """Updates between two saves of the adapter and of the state that a run resumes from."""
    minutes: float = 0.0
    """Minutes after which the state is saved besides; 0 is off."""
    keep: int = 3
    """How many adapters stay, the last one included; 0 keeps all."""
    states: int = 2
    """How many states stay; where the last one is torn, the one before is taken up."""

    def __post_init__(self) -> None:
        at_least("save", self, {"every": 1, "minutes": 0, "keep": 0, "states": 1})


@dataclass(frozen=True, kw_only=True)
class Options:
    """A training run."""

    run: RunOptions
    model: ModelOptions
    data: tuple[DataOptions, ...]
    buckets: BucketOptions = field(default_factory=BucketOptions)
    captions: CaptionOptions = field(default_factory=CaptionOptions)
    text: TextOptions = TextOptions()
    lokr: LokrOptions = field(default_factory=LokrOptions)
    loss: LossOptions = LossOptions()
    optimizer: OptimizerOptions = OptimizerOptions()
    batch: BatchOptions = BatchOptions()
    cache: CacheOptions = field(default_factory=CacheOptions)
    validation: ValidationOptions = ValidationOptions()
    samples: SampleOptions = SampleOptions()
    save: SaveOptions = SaveOptions()

    def __post_init__(self) -> None:
        if not self.data:
            raise ConfigError('data is empty; name at least one data set: [[data]] and path = "…"')
        if self.cache.text and self.text.train:
            raise ConfigError(
                "cache.text keeps what text encoders give, and they are trained; set text.train = false"
            )
        if self.cache.text and (self.captions.shuffle or self.captions.drop_tags or self.captions.drop_parts):
            raise ConfigError(
                "cache.text keeps what becomes of captions that stay as they are; set captions.shuffle = false, and leave "
                "drop_tags and drop_parts away"
            )
        if self.lokr.masters == "fp16" and self.optimizer.name == "adamw":
            raise ConfigError(
                'lokr.masters = "fp16" with optimizer.name = "adamw" divides by 0, since its 1e-8 is none in fp16; '
                'take "lion8bit", "lion" or "adamw8bit"'
            )
