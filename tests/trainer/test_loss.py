"""The loss of a batch against diffusers: its pipeline's text and sizes, its scheduler's noise, its SNR, its VAE."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hakubooru_trainer import setup
from hakubooru_trainer.config.options import BatchOptions, LossOptions, ModelOptions
from hakubooru_trainer.data.images import fit
from hakubooru_trainer.distributed import Ranks


@pytest.fixture(scope="module")
def pipeline(shallow):
    from diffusers import StableDiffusionXLPipeline

    return StableDiffusionXLPipeline.from_pretrained(shallow, local_files_only=True)


def schedule(options):
    from diffusers import DDPMScheduler

    return DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        rescale_betas_zero_snr=options.zero_terminal_snr == "yes",
        prediction_type="v_prediction" if options.prediction == "v" else "epsilon",
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "model"),
    [
        (LossOptions(min_snr_gamma=5, noise_offset=0.0357), {}),
        (LossOptions(debiased=True), {}),
        (LossOptions(debiased=True), {"prediction": "v"}),
        (LossOptions(debiased=True, debiased_v="kohya"), {"prediction": "v", "zero_terminal_snr": "yes"}),
        (LossOptions(min_snr_gamma=5, noise_offset=0.1), {"prediction": "v", "zero_terminal_snr": "yes"}),
    ],
    ids=[
        "min-SNR and offset",
        "debiased",
        "debiased v",
        "debiased v as sd-scripts",
        "v with zero terminal SNR",
    ],
)
@torch.no_grad()
def test_the_loss_is_what_diffusers_makes_it(options, pipeline, shallow, loss, model):
    from diffusers.training_utils import compute_snr

    settings = options(loss=loss, model=ModelOptions(path=str(shallow), **model), batch=BatchOptions(size=3))
    settings = replace(settings, data=(replace(settings.data[0], loss_weight=0.7),))
    alone = Ranks(torch.device("cpu"))
    training = setup.prepare(settings, alone, setup.data_set(settings, alone))
    scheduler = schedule(settings.model)
    for number in range(training.data.order.batches(1)):
        batch = training.batches.batch(training.data.order[number], number)
        prompt, _, pooled, _ = pipeline.encode_prompt(
            list(batch.captions), device="cpu", do_classifier_free_guidance=False
        )
        rows = [int((training.data.train.ids == some).nonzero()[0][0]) for some in batch.ids]
        sizes = []
        for row in rows:
            width, height = int(training.data.train.widths[row]), int(training.data.train.heights[row])
            target = training.batches.size(row)
            crop = fit(width, height, target)
            corner = (crop.top, crop.left)
            sizes.append(
                pipeline._get_add_time_ids(
                    (height, width),
                    corner,
                    target[::-1],
                    torch.float32,
                    pipeline.text_encoder_2.config.projection_dim,
                )
            )
        mean = pipeline.vae.encode(batch.pixels).latent_dist.mean
        spread = pipeline.vae.encode(batch.pixels).latent_dist.std
        latents = (mean + spread * batch.spread) * 0.13025
        noise = batch.noise + loss.noise_offset * batch.offset.expand_as(batch.noise)
        predicted = pipeline.unet(
            scheduler.add_noise(latents, noise, batch.timesteps),
            batch.timesteps,
            encoder_hidden_states=prompt,
            added_cond_kwargs={"text_embeds": pooled, "time_ids": torch.cat(sizes)},
        ).sample
        goal = scheduler.get_velocity(latents, noise, batch.timesteps) if model else noise
        snr = compute_snr(scheduler, batch.timesteps)
        if loss.debiased_v == "kohya":
            weight = 1 / (snr.clamp(max=1000) + 1)
        elif loss.debiased:
            weight = snr.clamp(max=1000) ** -0.5
        else:
            weight = torch.minimum(snr, torch.tensor(5.0)) / (snr + 1 if model else snr)
        theirs = (
            0.7
            * weight
            * torch.stack([(a - b).square().mean() for a, b in zip(predicted, goal, strict=True)])
        )
        assert torch.allclose(training.objective.losses(training.model, batch), theirs, rtol=2e-4), number
