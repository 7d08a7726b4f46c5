"""The loss of a batch, image by image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from hakubooru.errors import ConfigError
from hakubooru_trainer import noise, text
from hakubooru_trainer.data.latents import encode as encode_images
from hakubooru_trainer.model.single_file import Marks

if TYPE_CHECKING:
    from torch import Tensor

    from hakubooru_trainer.config import Options
    from hakubooru_trainer.data.batches import Batch
    from hakubooru_trainer.model.load import Sdxl


@dataclass(frozen=True)
class Objective:
    """What a model learns to predict, and how its timesteps are weighed."""

    prediction: Literal["epsilon", "v"]
    zero_terminal_snr: bool
    alphas: Tensor
    """The cumulated products ᾱ of the noise schedule, (1000,) float64, on the device."""
    options: Options

    @classmethod
    def of(cls, options: Options, model: Sdxl, device: torch.device) -> Objective:
        """Follow the options, and where they say `auto`, the model's own marks.

        Raises:
            ConfigError: the loss weights have no value at the end of the schedule.
        """
        v, zero = model.marks.unless(options.model)
        if zero and (not v or (options.loss.debiased and options.loss.debiased_v == "root")):
            raise ConfigError(
                "a schedule that ends in pure noise (model.zero_terminal_snr) needs the prediction of v, and needs loss.debiased off or "
                'loss.debiased_v = "kohya": at its end nothing of the image remains to tell noise from; '
                'set model.prediction = "v"'
            )
        prediction: Literal["epsilon", "v"] = "v" if v else "epsilon"
        return cls(prediction, zero, noise.alphas_cumprod(zero_terminal_snr=zero).to(device), options)

    @property
    def marks(self) -> Marks:
        """What is predicted, and how the noise schedule ends."""
        return Marks(self.prediction == "v", self.zero_terminal_snr)

    def losses(self, model: Sdxl, batch: Batch, *, weighted: bool = True) -> Tensor:
        """The loss of each image, (B,) float32.

        Args:
            model: the model, on the batch's device.
            batch: the images or their latents.
            weighted: whether the loss, its weights, masks and the noise offset are those of the options; if not, the plain squared
                error.
        """
        options = self.options.loss
        if batch.latents is not None:
            mean, deviation = batch.latents
        else:
            assert batch.pixels is not None
            mean, deviation = encode_images(model.vae, batch.pixels)
        latents = (mean + deviation * batch.spread) * model.vae.config.scaling_factor
        noises = (
            noise.offset_noise(batch.noise, batch.offset, options.noise_offset) if weighted else batch.noise
        )
        noisy = noise.add_noise(latents, noises, self.alphas, batch.timesteps)
        if batch.contexts is not None:
            context, pooled = batch.contexts
        else:
            with torch.set_grad_enabled(torch.is_grad_enabled() and self.options.text.train):
                context, pooled = text.encode(model, batch.tokens, batch.tokens_2)
        predicted = model.unet(
            noisy,
            batch.timesteps,
            encoder_hidden_states=context,
            added_cond_kwargs={"text_embeds": pooled, "time_ids": batch.conditioning},
        ).sample
        wanted = noise.target(latents, noises, self.alphas, batch.timesteps, self.prediction)
        if not weighted:
            return noise.losses(predicted, wanted)
        c = None
        if options.kind != "l2":
            c = noise.huber_c(self.alphas, batch.timesteps, options.huber_c, options.huber_schedule)
        return noise.losses(predicted, wanted, options.kind, c, batch.masks) * self._weights(batch)

    def _weights(self, batch: Batch) -> Tensor:
        options = self.options.loss
        weights = batch.weights
        ratio = noise.snr(self.alphas, batch.timesteps)
        if options.min_snr_gamma:
            weights = weights * noise.min_snr_weight(ratio, options.min_snr_gamma, self.prediction).float()
        if options.debiased:
            by_kohya = self.prediction == "v" and options.debiased_v == "kohya"
            debiased = noise.kohya_debiased_v_weight if by_kohya else noise.debiased_weight
            weights = weights * debiased(ratio).float()
        return weights
