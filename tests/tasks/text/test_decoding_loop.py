"""Our generation loop writes the tokens of transformers' `generate`, for every model and setting that it accepts."""

from typing import Any

import pytest
import torch
import transformers
from transformers import AutoConfig, GenerationConfig

from ft_toolkit.tasks.text.continuations import end_test
from ft_toolkit.tasks.text.decoding_loop import (
    _PLAIN_DECODERS,
    ENCODER_DECODERS,
    DecoderSteps,
    EncoderDecoderSteps,
    padded,
    search_beams,
    write_texts,
)
from ft_toolkit.tasks.text.kv_cache import BufferedLayer, new_cache
from ft_toolkit.tasks.text.search import OpenTexts, SearchSettings, search_settings

PAD, START, EOS, BOS = 0, 2, 5, 7
WORDS = 44
TOKENS = {"pad_token_id": PAD, "eos_token_id": EOS, "bos_token_id": BOS, "vocab_size": WORDS}
BART = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 64, "decoder_start_token_id": START,
    "forced_eos_token_id": None,
}  # fmt: skip
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": START}
LLAMA = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 64,
}  # fmt: skip
GPT_NEOX = {name: size for name, size in LLAMA.items() if name != "num_key_value_heads"}
SIZES = {
    **dict.fromkeys(ENCODER_DECODERS, BART),
    **dict.fromkeys(("t5", "mt5", "umt5"), T5),
    **dict.fromkeys(_PLAIN_DECODERS, LLAMA),
    "gpt_neox": GPT_NEOX,
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "no repetition": {"no_repeat_ngram_size": 2, "min_new_tokens": 6},
    "forced and excluded tokens": {
        "forced_bos_token_id": 7, "forced_eos_token_id": EOS, "bad_words_ids": [[9]], "suppress_tokens": [11, 12],
        "begin_suppress_tokens": [13],
    },
    "beams": {"num_beams": 3, "length_penalty": 1.0},
    "penalized beams": {"num_beams": 3, "length_penalty": 1.0, "repetition_penalty": 1.3},
    "long beams": {"num_beams": 3, "length_penalty": 2.0, "no_repeat_ngram_size": 3},
    "short beams": {"num_beams": 2, "length_penalty": -1.0, "min_new_tokens": 3},
    "forced beams": {
        "num_beams": 3, "length_penalty": 1.0, "forced_bos_token_id": 7, "forced_eos_token_id": EOS,
        "renormalize_logits": True, "bad_words_ids": [[9]],
    },
}  # fmt: skip
MODELS: dict[str, Any] = {}


def model_of(model_type: str) -> Any:
    """Return a random model whose next token depends on the source and the last tokens."""
    if model_type in MODELS:
        return MODELS[model_type]
    torch.manual_seed(1)
    if model_type == "encoder-decoder":
        bert = transformers.BertConfig(**{**LLAMA, **TOKENS})
        decoder = transformers.BertConfig(**{**LLAMA, **TOKENS}, is_decoder=True, add_cross_attention=True)
        config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(bert, decoder)
        model = transformers.EncoderDecoderModel(config)
    else:
        config = AutoConfig.for_model(model_type, **SIZES[model_type], **TOKENS)
        auto = (
            transformers.AutoModelForCausalLM if model_type in _PLAIN_DECODERS else transformers.AutoModelForSeq2SeqLM
        )
        model = auto.from_config(config)
    for name, weight in model.named_parameters():
        if weight.dim() > 1:
            weight.data.normal_(std=0.3)
        if "encoder_attn" in name or "EncDecAttention" in name or "crossattention" in name:
            weight.data *= 3
    MODELS[model_type] = model.eval()
    return MODELS[model_type]


def generation(changes: dict[str, Any], end: int = EOS, **tokens: Any) -> GenerationConfig:
    beams = {"early_stopping": False} if "num_beams" in changes else {}
    forced = {"forced_eos_token_id": end} if "forced_eos_token_id" in changes else {}
    excluded = {"suppress_tokens": [11, 12 if end != 12 else 14]} if "suppress_tokens" in changes else {}
    values = {**beams, **changes, **forced, **excluded, **tokens}
    return GenerationConfig(do_sample=False, max_new_tokens=14, eos_token_id=end, pad_token_id=PAD, **values)


def until_end(tokens: torch.Tensor, end: int = EOS) -> list[list[int]]:
    """Return the tokens up to the end token, which padding follows."""
    rows = [row.tolist() for row in tokens]
    return [row[: row.index(end) + 1] if end in row else row for row in rows]


def a_generated_token(model: Any, start: int, **inputs: Any) -> int:
    """Return a token in the middle of a text. As end token, it ends some texts before others."""
    return int(model.generate(**inputs, generation_config=generation({}, decoder_start_token_id=START))[0, start + 4])


def open_texts(settings: SearchSettings, contexts: list[list[int]]) -> OpenTexts:
    return OpenTexts(contexts, settings.max_new_tokens, end_test(contexts, settings.eos_token_id, (), None))


def sources(n: int = 6) -> list[list[int]]:
    numbers = torch.Generator().manual_seed(3)
    return [torch.randint(8, WORDS, (3 + 2 * (i % 4),), generator=numbers).tolist() for i in range(n)]


def right_padded(rows: list[list[int]]) -> dict[str, torch.Tensor]:
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows])
    return {"input_ids": ids, "attention_mask": (ids != PAD).long()}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("model_type", ENCODER_DECODERS)
def test_an_encoder_decoder_writes_the_tokens_of_transformers(model_type: str, name: str) -> None:
    model, inputs = model_of(model_type), right_padded(sources())
    end = a_generated_token(model, 1, **inputs)
    config = generation(SETTINGS[name], end, decoder_start_token_id=START)
    settings, unknown = search_settings(config, is_encoder_decoder=True)
    contexts = [[START]] * len(inputs["input_ids"])
    with torch.inference_mode():
        expected = until_end(model.generate(**inputs, generation_config=config)[:, 1:], end)
        steps = EncoderDecoderSteps(model, inputs, START)
        if settings.num_beams > 1:
            written = search_beams(steps, contexts, settings)
        else:
            written = write_texts(steps, open_texts(settings, contexts), settings)
    assert unknown == []
    assert written == expected
    assert len(set(map(tuple, expected))) > 1
    assert name != "greedy" or len(set(map(len, expected))) > 1  # some rows left their batch before others


@pytest.mark.parametrize("name", ["greedy", "no repetition", "beams", "penalized beams", "long beams"])
@pytest.mark.parametrize("model_type", _PLAIN_DECODERS)
def test_a_decoder_writes_the_tokens_of_transformers(model_type: str, name: str) -> None:
    model, prompts = model_of(model_type), sources()
    ids, mask = padded(prompts, PAD, "cpu")
    end = a_generated_token(model, ids.shape[1], input_ids=ids, attention_mask=mask)
    config = generation(SETTINGS[name], end)
    settings, _ = search_settings(config, is_encoder_decoder=False)
    steps = DecoderSteps(model, prompts, PAD)
    with torch.inference_mode():
        tokens = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
        if settings.num_beams > 1:
            written = search_beams(steps, prompts, settings)
        else:
            written = write_texts(steps, open_texts(settings, prompts), settings)
    assert written == until_end(tokens[:, ids.shape[1] :], end)
    assert name != "greedy" or len(set(map(len, written))) > 1


def test_settings_that_the_loop_does_not_have_are_named() -> None:
    config = generation(
        {"bad_words_ids": [[9, 10]], "encoder_repetition_penalty": 1.2, "num_beams": 2, "early_stopping": True}
    )
    _, unknown = search_settings(config, is_encoder_decoder=True)
    assert unknown == ["bad_words_ids", "early_stopping", "encoder_repetition_penalty"]


def test_the_cache_keeps_keys_and_values_and_selects_rows() -> None:
    cache = new_cache(transformers.GPT2Config(n_layer=1))
    plain = transformers.DynamicCache()
    numbers = torch.Generator().manual_seed(1)
    rows = torch.tensor([0, 1, 2, 3])
    for step in range(80):
        new = torch.randn(2, len(rows), 2, 5 if step == 0 else 1, 4, generator=numbers)
        for kept, expected in zip(cache.update(*new, 0), plain.update(*new, 0), strict=True):
            assert torch.equal(kept, expected)
        if step in (1, 40):
            rows = torch.tensor([2, 0, 0] if step == 1 else [1, 2])
            cache.batch_select_indices(rows)
            plain.batch_select_indices(rows)
    assert isinstance(cache.layers[0], BufferedLayer) and cache.get_seq_length() == 84


def test_a_sliding_window_keeps_its_own_cache() -> None:
    config = transformers.MistralConfig(**LLAMA, **TOKENS, sliding_window=4)
    assert not any(isinstance(layer, BufferedLayer) for layer in new_cache(config).layers)
    torch.manual_seed(1)
    model, prompts = transformers.MistralForCausalLM(config).eval(), sources()
    settings, _ = search_settings(generation({}), is_encoder_decoder=False)
    with torch.inference_mode():
        written = write_texts(DecoderSteps(model, prompts, PAD), open_texts(settings, prompts), settings)
        alone = [
            until_end(model.generate(torch.tensor([prompt]), generation_config=generation({}))[:, len(prompt) :])[0]
            for prompt in prompts
        ]
    assert written == alone
