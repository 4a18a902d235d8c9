"""Compare the tokens of a tokenizer with the embeddings of a model, and add embeddings where the recipe asks for it."""

from typing import Any

from ft_toolkit.core.errors import ModelError
from ft_toolkit.models.weights import PAIR
from ft_toolkit.tasks.base import Pretrained


def n_tokens(tokenizer: Any) -> int:
    """Return the number of embeddings that a tokenizer needs: its highest token id plus 1."""
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def check_vocabulary(pretrained: Pretrained, title: str, *, resize: bool) -> None:
    """Raise ModelError if the tokenizer has tokens without an embedding, unless the recipe resizes the embeddings.

    An unknown number of embeddings is not checked.
    """
    available = getattr(pretrained.config, "vocab_size", None)
    needed = n_tokens(pretrained.tokenizer)
    if available is not None and needed > available and not resize:
        raise ModelError(
            f"{title}: the tokenizer has {needed} tokens, but the model has embeddings for {available}. Set "
            "model.resize_embeddings=true to train new embeddings, or use the tokenizer that belongs to the model"
        )


def resize_embeddings(model: Any, tokenizer: Any) -> None:
    """Add an embedding for each token that has none. New rows are drawn around the mean of the others."""
    parts = (model.encoder, model.decoder) if type(model).__name__ == PAIR else (model,)
    for part in parts:
        if n_tokens(tokenizer) > part.get_input_embeddings().num_embeddings:
            part.resize_token_embeddings(n_tokens(tokenizer))
