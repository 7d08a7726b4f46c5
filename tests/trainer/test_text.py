"""Long prompts, against the encoders called chunk by chunk, and sd-scripts' rule for the second tokenizer."""

from __future__ import annotations

import pytest
import torch

from hakubooru_trainer import text

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(parts):
    return parts()


LONG = ", ".join(["blue hair", "long dress", "solo", "smile"] * 12)


@pytest.mark.parametrize("chunks", [1, 2, 3])
def test_tokens_are_those_of_sd_scripts(model, chunks):
    """library/sdxl_train_util.py: padded to the whole length, then cut in chunks with a start and an end each."""
    for tokenizer in (model.tokenizer, model.tokenizer_2):
        for caption in ("", "solo", "solo, " * 24 + "girl", LONG):
            length = chunks * 75 + 2
            ids = tokenizer(caption, padding="max_length", truncation=True, max_length=length).input_ids
            expected = []
            for i in range(1, length - 1, 75):
                chunk = [ids[0], *ids[i : i + 75], ids[-1]]
                if chunk[-2] not in (tokenizer.eos_token_id, tokenizer.pad_token_id):
                    chunk[-1] = tokenizer.eos_token_id
                if chunk[1] == tokenizer.pad_token_id:
                    chunk[1] = tokenizer.eos_token_id
                expected.append(chunk)
            assert text.tokenize(tokenizer, [caption], chunks).tolist() == [expected]


@pytest.mark.parametrize("chunks", [1, 2, 3])
def test_states_and_pooled_output(model, chunks):
    captions = [LONG, "1girl"]
    tokens, tokens_2 = (text.tokenize(t, captions, chunks) for t in (model.tokenizer, model.tokenizer_2))
    with torch.no_grad():
        context, pooled = text.encode(model, tokens, tokens_2)
        assert context.shape == (2, 75 * chunks + 2, 96)
        for row in range(2):
            expected = []
            for chunk in range(chunks):
                first = model.text_encoder(tokens[row, chunk][None], output_hidden_states=True)
                second = model.text_encoder_2(tokens_2[row, chunk][None], output_hidden_states=True)
                layers = model.text_encoder.config.num_hidden_layers
                states = torch.cat([first.hidden_states[layers - 1], second.hidden_states[layers - 1]], -1)[0]
                expected += [
                    *([states[0]] if chunk == 0 else []),
                    *states[1:76],
                    *([states[76]] if chunk == chunks - 1 else []),
                ]
                if chunk == 0:
                    end = tokens_2[row, 0].tolist().index(model.tokenizer_2.eos_token_id)
                    normed = model.text_encoder_2.text_model.final_layer_norm(second.hidden_states[-1])[
                        0, end
                    ]
                    assert torch.allclose(
                        pooled[row], model.text_encoder_2.text_projection(normed), atol=1e-5
                    )
            assert torch.allclose(context[row], torch.stack(expected), atol=1e-5)
