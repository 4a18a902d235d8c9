"""The number of tokens that a model can read, from its config. No torch.

Many tokenizers do not know this number. A longer input raises an index error (learned positions) or gives untested results
(rotary positions).
"""

from typing import Any

# Model types whose position numbers start after the id of the padding token, as in fairseq: RoBERTa with 514 positions and
# padding id 1 reads 512 tokens.
AFTER_PADDING = (
    "camembert", "data2vec-text", "esm", "ibert", "layoutlmv3", "lilt", "longformer", "luke", "markuplm", "mpnet", "roberta",
    "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
)  # fmt: skip
# The config keys for the number of positions, for the input of a model and for the targets of an encoder-decoder. T5, BLOOM and
# other models with relative positions have none of them.
_INPUT_NAMES = ("max_position_embeddings", "max_encoder_position_embeddings", "max_seq_len")
_TARGET_NAMES = ("max_position_embeddings", "max_decoder_position_embeddings")


def input_positions(config: Any) -> int | None:
    """Return the maximum number of input tokens, of an encoder-decoder for its encoder; None without a limit."""
    return _positions(config, "encoder", _INPUT_NAMES)


def target_positions(config: Any) -> int | None:
    """Return the maximum number of tokens for the decoder of an encoder-decoder; None without a limit."""
    return _positions(config, "decoder", _TARGET_NAMES)


def _positions(config: Any, part: str, names: tuple[str, ...]) -> int | None:
    for inner in (part, "text_config"):  # an encoder-decoder of two models, a model for texts and images
        if hasattr(getattr(config, inner, None), "model_type"):
            config = getattr(config, inner)
    if not getattr(config, "position_biased_input", True):  # DeBERTa-v3 has relative positions only
        return None
    limit = next((value for name in names if (value := getattr(config, name, None)) is not None), None)
    if limit is None:
        return None
    offset = (config.pad_token_id or 0) + 1 if config.model_type in AFTER_PADDING else 0
    return max(int(limit) - offset, 0)
