"""The search of the runtime chooses the tokens of transformers' `generate`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, GenerationConfig

from ft_toolkit.core.export_records import ExportedGeneration
from ft_toolkit.export.generation_graph import generation_facts
from ft_toolkit.models.pretrained import load_tokenizer
from ft_toolkit.runtime.search import new_search

EOS, PAD, FIRST = 5, 0, 2
SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "greedy without repetition": {"no_repeat_ngram_size": 2, "min_new_tokens": 6},
    "forced and excluded tokens": {
        "forced_bos_token_id": 7, "forced_eos_token_id": EOS, "bad_words_ids": [[9]], "suppress_tokens": [11, 12],
        "begin_suppress_tokens": [13],
    },
    "beams": {"num_beams": 4, "length_penalty": 1.0},
    "beams, long texts": {"num_beams": 3, "length_penalty": 2.0, "no_repeat_ngram_size": 3},
    "beams, short texts": {"num_beams": 5, "length_penalty": 0.0, "min_new_tokens": 3},
    "beams, negative penalty": {"num_beams": 2, "length_penalty": -1.0},
    "beams, forced tokens": {
        "num_beams": 4, "length_penalty": 1.0, "forced_bos_token_id": 7, "forced_eos_token_id": EOS,
        "renormalize_logits": True, "bad_words_ids": [[9]],
    },
}  # fmt: skip


def _config(more: dict[str, Any], **tokens: Any) -> GenerationConfig:
    beams = {"early_stopping": False} if "num_beams" in more else {}
    return GenerationConfig(
        do_sample=False, max_new_tokens=14, eos_token_id=EOS, pad_token_id=PAD, **{**beams, **more}, **tokens
    )


def _sharpen(model: Any) -> Any:
    """Make the next token of a random model depend on the source and the last tokens, and the end token not too rare."""
    torch.manual_seed(1)
    for embeddings, scale in ((model.get_input_embeddings(), 3.0), (model.get_output_embeddings(), 0.4)):
        embeddings.weight = torch.nn.Parameter(torch.randn_like(embeddings.weight) * scale)
    model.get_output_embeddings().weight.data[EOS] *= 1.6
    for name, weight in model.named_parameters():
        if "encoder_attn.out_proj.weight" in name or "encoder_attn.v_proj.weight" in name:
            weight.data *= 20
    return model.eval()


def _search(model: Any, settings: ExportedGeneration, sources: torch.Tensor) -> list[list[int]]:
    """Generate with the logits of the model, without a cache."""
    is_decoder = settings.decoder_start_token_id is None
    contexts = sources.tolist() if is_decoder else [[settings.decoder_start_token_id]] * len(sources)
    search = new_search(settings, contexts)
    tokens, texts = torch.tensor(contexts), np.arange(len(sources))
    while True:
        with torch.inference_mode():
            if is_decoder:
                logits = model(input_ids=tokens).logits
            else:
                logits = model(input_ids=sources[texts], decoder_input_ids=tokens).logits
        rows, following = search.advance(logits[:, -1].float().numpy())
        if not len(rows):
            return search.texts()
        tokens, texts = torch.cat([tokens[rows], torch.tensor(following)[:, None]], dim=1), texts[rows]


def _until_end(tokens: torch.Tensor) -> list[list[int]]:
    """Return the tokens up to the end token, which padding follows."""
    rows = [row.tolist() for row in tokens]
    return [row[: row.index(EOS) + 1] if EOS in row else row for row in rows]


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("architecture", ["gpt2", "bart"])
def test_the_search_generates_the_texts_of_transformers(architecture: str, name: str, tiny: Any) -> None:
    is_decoder, folder = architecture == "gpt2", Path(tiny(architecture))
    loader = AutoModelForCausalLM if is_decoder else AutoModelForSeq2SeqLM
    model = _sharpen(loader.from_pretrained(folder))
    more = {key: value for key, value in SETTINGS[name].items() if not (is_decoder and key == "forced_bos_token_id")}
    model.generation_config = _config(more, **({} if is_decoder else {"decoder_start_token_id": FIRST}))
    sources = torch.randint(6, 40, (5, 6), generator=torch.Generator().manual_seed(3))
    generated = model.generate(sources, attention_mask=torch.ones_like(sources))
    expected = _until_end(generated[:, sources.shape[1] if is_decoder else 1 :])
    assert len(set(map(tuple, expected))) > 1, "the texts differ"
    settings = generation_facts(model, load_tokenizer(folder))
    assert _search(model, settings, sources) == expected
