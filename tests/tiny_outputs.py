"""What a tiny model gives for one prompt, for comparing adapters."""

from __future__ import annotations

import torch

from hakubooru_trainer import text

TRAINED = ("unet", "text_encoder", "text_encoder_2")


def outputs(model, adapter=None):
    if adapter is not None:
        adapter.apply()
    tokens = [text.tokenize(t, ["1girl, blue hair"], 1) for t in (model.tokenizer, model.tokenizer_2)]
    with torch.no_grad():
        context, pooled = text.encode(model, *tokens)
        latents = torch.linspace(-2, 2, 4 * 64).reshape(1, 4, 8, 8)
        conditions = {"text_embeds": pooled, "time_ids": torch.tensor([[64.0, 64, 0, 0, 64, 64]])}
        return model.unet(
            latents, torch.tensor([500]), encoder_hidden_states=context, added_cond_kwargs=conditions
        ).sample
