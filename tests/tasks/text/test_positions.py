"""The number of tokens that a model can read, compared with the models themselves."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from ft_toolkit.tasks.text.positions import AFTER_PADDING, input_positions, target_positions

BERT = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 30,
    "max_position_embeddings": 12,
}  # fmt: skip
BART = {
    "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "vocab_size": 30, "max_position_embeddings": 12,
}  # fmt: skip
GPT2 = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 12, "vocab_size": 30}
DISTILBERT = {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16, "vocab_size": 30, "max_position_embeddings": 12}


@pytest.mark.parametrize(
    ("name", "values", "limit"),
    [
        ("Bert", BERT, 12),
        ("DistilBert", DISTILBERT, 12),
        ("Electra", {**BERT, "embedding_size": 16}, 12),
        ("Albert", {**BERT, "embedding_size": 16}, 12),
        ("Deberta", BERT, 12),
        ("Roberta", {**BERT, "pad_token_id": 1}, 10),
        ("XLMRoberta", {**BERT, "pad_token_id": 1}, 10),
        ("Camembert", {**BERT, "pad_token_id": 1}, 10),
        ("MPNet", {**BERT, "pad_token_id": 1}, 10),
        ("Roberta", {**BERT, "pad_token_id": 3}, 8),
        ("GPT2", GPT2, 12),
        ("OpenAIGPT", GPT2, 12),
        ("OPT", {**BERT, "ffn_dim": 16, "word_embed_proj_dim": 16}, 12),
        ("Bart", BART, 12),
        ("MBart", BART, 12),
        ("Marian", {**BART, "pad_token_id": 0}, 12),
        ("Pegasus", {**BART, "pad_token_id": 0}, 12),
    ],
)
def test_the_limit_is_the_longest_input_that_the_model_accepts(name: str, values: dict[str, Any], limit: int) -> None:
    config = getattr(transformers, f"{name}Config")(**values)
    assert input_positions(config) == limit
    model = getattr(transformers, f"{name}Model")(config).eval()
    decoder = {"decoder_input_ids": torch.tensor([[5]])} if config.is_encoder_decoder else {}
    with torch.no_grad():
        model(input_ids=torch.full((1, limit), 5), **decoder)
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, limit + 1), 5), **decoder)


def test_models_with_relative_positions_have_no_limit() -> None:
    for config in (
        transformers.T5Config(),
        transformers.MT5Config(),
        transformers.BloomConfig(),
        transformers.MambaConfig(),
        transformers.DebertaV2Config(position_biased_input=False, relative_attention=True),
    ):
        assert input_positions(config) is None, config.model_type
    assert input_positions(transformers.DebertaV2Config()) == 512


def test_rotary_positions_count_up_to_the_trained_number() -> None:
    assert input_positions(transformers.LlamaConfig(max_position_embeddings=99)) == 99
    assert input_positions(transformers.ModernBertConfig(max_position_embeddings=77)) == 77


def test_encoder_decoders_may_have_two_limits() -> None:
    led = transformers.LEDConfig(max_encoder_position_embeddings=40, max_decoder_position_embeddings=20)
    assert (input_positions(led), target_positions(led)) == (40, 20)
    encoder, decoder = transformers.RobertaConfig(**BERT, pad_token_id=1), transformers.BertConfig(**BERT)
    pair = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    assert (input_positions(pair), target_positions(pair)) == (10, 12)
    bart = transformers.BartConfig(**BART)
    assert (input_positions(bart), target_positions(bart)) == (12, 12)


def test_no_encoder_that_numbers_positions_from_the_padding_id_is_missing() -> None:
    """A new architecture in transformers that copies RoBERTa's position numbers must be added to the list."""
    models = Path(transformers.__file__).parent / "models"
    for model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        path = models / model_type.replace("-", "_") / f"modeling_{model_type.replace('-', '_')}.py"
        if not path.is_file():
            continue
        source = path.read_text(encoding="utf-8")
        if "def create_position_ids_from_input_ids(" in source:
            assert model_type in AFTER_PADDING, model_type
