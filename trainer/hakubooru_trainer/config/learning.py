"""The options of what is learned, and how: the loss, the optimiser with its rates, and the average of the weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from hakubooru.errors import ConfigError
from hakubooru.nearest import nearest
from hakubooru.settings import Bounds, check
from hakubooru_trainer.config.data import Needs, check_effects
from hakubooru_trainer.config.optimisers import OPTIMISERS

_EFFECTS: Final = {
    "debiased_v": Needs("debiased", example=True, without=(False,)),
    **dict.fromkeys(("huber_c", "huber_schedule"), Needs("kind", "huber", without=("l2",))),
    "pyramid_discount": Needs("pyramid_levels", 6, without=(0,)),
    **dict.fromkeys(
        ("timestep_mean", "timestep_deviation"),
        Needs("timesteps", "logit_normal", without=("uniform", "shifted")),
    ),
    "timestep_shift": Needs("timesteps", "shifted", without=("uniform", "logit_normal")),
}
"""Options of the loss that have an effect only together with another one."""
_OWN_BETAS: Final = (0.9, 0.95)
_OWN_DECAY: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """The loss."""

    kind: Literal["l2", "huber", "smooth_l1"] = "l2"
    """How an error counts. `l2`: its square. `huber` and `smooth_l1`: the pseudo-Huber loss of sd-scripts, which grows linearly
    for errors far above `huber_c`, so that odd images count for less: 2c (sqrt(e² + c²) - c), and without the first c."""
    huber_c: float = 0.1
    """The error c from which the pseudo-Huber loss becomes linear; `huber_schedule` says at which timestep it has this value."""
    huber_schedule: Literal["constant", "exponential", "snr"] = "snr"
    """How c depends on the timestep. `constant`: it does not. `exponential`: from 1 at timestep 0 down to `huber_c` at 1000.
    `snr`: (1 - huber_c) / (1 + sigma)² + huber_c, with sigma = 1 / sqrt(SNR)."""
    min_snr_gamma: Annotated[float, Bounds(0)] = 0.0
    """Weigh timesteps by min(SNR, gamma) / SNR, or by min(SNR, gamma) / (SNR + 1) for v. 5 is usual, 0 is off."""
    debiased: bool = False
    """Weigh timesteps by 1 / sqrt(min(SNR, 1000)). For v, `debiased_v` chooses the formula."""
    debiased_v: Literal["root", "kohya"] = "root"
    """The formula of `debiased` when the model predicts v. `root`: 1 / sqrt(min(SNR, 1000)), as for the noise. `kohya`:
    1 / (min(SNR, 1000) + 1), as in sd-scripts."""
    noise_offset: Annotated[float, Bounds(0, 100)] = 0.0
    """Add a random number of this deviation to the noise of each channel, which allows darker pictures; 0.0357 is usual."""
    pyramid_levels: Annotated[int, Bounds(0, 64)] = 0
    """Add noise of lower resolutions to the noise (multi-resolution noise); this many levels, each 2 to 4 times coarser.
    The sum has deviation 1, before `noise_offset` is added. 6 to 8 are usual, 0 is off."""
    pyramid_discount: float = 0.3
    """The strength of each level of `pyramid_levels` in relation to the one before."""
    min_timestep: int = 0
    """The first timestep that is trained."""
    max_timestep: int = 1000
    """The timestep after the last one that is trained."""
    timesteps: Literal["uniform", "logit_normal", "shifted"] = "uniform"
    """How often each timestep is drawn. `logit_normal`: around the middle, by a logistic function of a normal distribution.
    `shifted`: towards the noisy end, by s t / (1 + (s - 1) t) of a uniform t, where s is `timestep_shift`."""
    timestep_mean: float = 0.0
    """The mean of `logit_normal`; above 0 draws noisier timesteps more often."""
    timestep_deviation: float = 1.0
    """The deviation of `logit_normal`; above 1 draws both ends more often."""
    timestep_shift: float = 3.0
    """The shift s of `shifted`; 1 is uniform, and below 1 draws the clean end more often."""
    timesteps_alike: Annotated[int, Bounds(1)] = 1
    """How many batches in a row draw the same timesteps. 4 repeats what sd-scripts does on 4 GPUs; 1 draws new ones for each batch."""

    def __post_init__(self) -> None:
        check(self, "loss", ConfigError)
        if self.min_snr_gamma and self.debiased:
            raise ConfigError(
                "loss.min_snr_gamma and loss.debiased both weigh the timesteps; set only one of them"
            )
        check_effects("loss", self, _EFFECTS)
        if not 0 <= self.min_timestep < self.max_timestep <= 1000:
            raise ConfigError(
                f"loss.min_timestep is {self.min_timestep} and loss.max_timestep {self.max_timestep}; "
                "write 0 <= min_timestep < max_timestep <= 1000"
            )
        for name in ("huber_c", "timestep_deviation", "timestep_shift"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"loss.{name} is {getattr(self, name)}; it must be above 0")
        if self.huber_c > 1:
            raise ConfigError(f"loss.huber_c is {self.huber_c}; write a number up to 1, such as 0.1")
        if not 0 < self.pyramid_discount <= 1:
            raise ConfigError(
                f"loss.pyramid_discount is {self.pyramid_discount}; write a number above 0 and up to 1, such as 0.3"
            )


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions:
    """The optimiser and its learning rates."""

    name: str = "lion8bit"
    """The optimiser: lion8bit, adamw8bit, lion or adamw, of which the 8-bit ones come from bitsandbytes. Or a class of an
    installed package, as package.module:Class, such as "pytorch_optimizer:Prodigy" or "torch.optim:RAdam"; before the run it is
    tried whether it resumes exactly, and heeds the learning rates."""
    paged: bool = False
    """With an 8-bit optimiser on a GPU: keep its state in memory that moves to the main memory when the GPU has none left."""
    args: dict[str, Any] = field(default_factory=dict)
    """More arguments of the optimiser's class, such as {d_coef = 0.5}. A class of a package gets these and the learning rates
    alone: write its betas and weight_decay here."""
    lr: float = 2e-5
    """The learning rate of the UNet. Optimisers that find their rate themselves, such as Prodigy, take 1.0."""
    text_lr: Annotated[float, Bounds(0)] = 5e-6
    """The learning rate of the text encoders. Prodigy of pytorch_optimizer and its like take one rate for all layers: set it to `lr`, or 0."""
    rates: dict[str, float] = field(default_factory=dict)
    """Factors of the learning rate by pattern of layers' names in the saved file; the first pattern that matches counts:
    {"lora_unet_output_blocks_*" = 0.5, "lora_te1_*" = 0}. 0 leaves layers as they start."""
    betas: tuple[float, float] = _OWN_BETAS
    """The two decay rates of the optimiser's running averages."""
    weight_decay: Annotated[float, Bounds(0)] = _OWN_DECAY
    """The weight decay; each update multiplies the weights by 1 - learning rate * weight decay."""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """How the learning rate goes on after the warm-up: it stays, or falls to `floor` at the end of the run."""
    floor: Annotated[float, Bounds(0, 1)] = 0.0
    """The share of the learning rate that remains at the end of a falling schedule, from 0 to 1."""
    warmup: Annotated[int, Bounds(0)] = 0
    """Steps over which the learning rate rises from 0."""
    warmup_steps_an_update: Annotated[int, Bounds(1)] = 1
    """How many steps of the warm-up an update counts for. 4 repeats how sd-scripts counts on 4 GPUs; 1 counts updates."""
    clip: Annotated[float, Bounds(0)] = 1.0
    """The largest norm of the gradient; a larger gradient is scaled down to it. 0 is off."""

    @property
    def is_plugged(self) -> bool:
        """Whether the optimiser is a class of a package."""
        return ":" in self.name

    def __post_init__(self) -> None:
        check(self, "optimizer", ConfigError)
        self._check_name()
        if self.paged and self.name not in {"lion8bit", "adamw8bit"}:
            raise ConfigError(
                f'optimizer.paged works with "lion8bit" and "adamw8bit", and optimizer.name is "{self.name}"; set optimizer.paged = false'
            )
        self._check_rates()
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(
                f"optimizer.betas is {list(self.betas)}; write two numbers from 0 up to 1, such as [0.9, 0.95]"
            )
        check_effects("optimizer", self, {"floor": Needs("schedule", "cosine", without=("constant",))})

    def _check_rates(self) -> None:
        most = 1e6 if self.is_plugged else 1
        if not 0 < self.lr < most:
            raise ConfigError(
                f"optimizer.lr is {self.lr}; write a learning rate above 0 and far below 1, such as 2e-5"
            )
        if not self.text_lr < most:
            raise ConfigError(
                f"optimizer.text_lr is {self.text_lr}; write a learning rate far below 1, such as 5e-6, or 0"
            )
        for pattern, factor in self.rates.items():
            if type(factor) not in {int, float} or not 0 <= factor <= 1e6:
                raise ConfigError(
                    f"optimizer.rates.{pattern} is {factor!r}; write a factor of the learning rate, such as 0.5, or 0"
                )
        for name, rate in (("lr", self.lr), ("text_lr", self.text_lr)):
            if rate * self.weight_decay > 1 and not self.is_plugged:
                raise ConfigError(
                    f"optimizer.weight_decay is {self.weight_decay} and optimizer.{name} is {rate}, so that an update takes more off "
                    "the weights than they are; write a weight decay such as 0.1"
                )

    def _check_name(self) -> None:
        package, mark, kind = self.name.partition(":")
        if not mark and self.name not in OPTIMISERS:
            raise ConfigError(
                f'optimizer.name = "{self.name}"; {nearest(self.name, OPTIMISERS)} (a class of a package is written '
                'package.module:Class, such as "pytorch_optimizer:Prodigy")'
            )
        if mark and not (kind.isidentifier() and all(part.isidentifier() for part in package.split("."))):
            raise ConfigError(
                f'optimizer.name = "{self.name}"; write package.module:Class, such as "pytorch_optimizer:Prodigy"'
            )
        for name in ("lr", "params"):
            if name in self.args:
                raise ConfigError(f"optimizer.args has {name}; set optimizer.lr and optimizer.text_lr")
        for name, own in (("betas", _OWN_BETAS), ("weight_decay", _OWN_DECAY)):
            if self.is_plugged and getattr(self, name) != own:
                raise ConfigError(
                    f"optimizer.{name} is not given to {self.name}; write it in optimizer.args: args = {{{name} = …}}"
                )
            if not self.is_plugged and name in self.args:
                raise ConfigError(f"optimizer.args has {name}; set optimizer.{name}")


@dataclass(frozen=True, kw_only=True)
class EmaOptions:
    """A running average of the trained weights, saved beside them as NAME-ema.safetensors."""

    decay: float = 0.0
    """How much of the average an update keeps, such as 0.999; 0 is off. After n updates it is at most (1 + n) / (10 + n), so that
    the average soon forgets the start. Validation and samples show the weights themselves, not the average."""

    def __post_init__(self) -> None:
        check(self, "ema", ConfigError)
        if not 0 <= self.decay < 1:
            raise ConfigError(f"ema.decay is {self.decay}; write a number from 0 up to 1, such as 0.999")
