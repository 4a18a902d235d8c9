"""The last block of a classifier, for the one token that its head reads.

An encoder's classifier reads the first token, GPT-2's the last one that is no padding. In the last block the other tokens are
needed as keys and values only, so queries, attention, output projection and feed-forward are computed for that one: of the
12 square matrices of a BERT block 10 multiply one row per text. Which classes are known stands in `_CLASSES`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

Block = Any
Forward = Callable[..., Tensor]


def shorten_last_block(model: Any) -> bool:
    """Compute the last block for the token that the classifier reads; say whether this model is one of those known."""
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    known = _CLASSES.get(type(bare).__name__)
    if known is None or bare.config._attn_implementation not in ("sdpa", "eager"):
        return False
    path, forward = known
    block = bare.get_submodule(path)[-1]
    if forward is _gpt2:
        place = _ReadPlace(bare.config.pad_token_id)
        bare.register_forward_pre_hook(place, with_kwargs=True)
        block.forward = partial(forward, block, place)
    else:
        block.forward = partial(forward, block)
    return True


def _attend(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Attend from one token of each text to all: query (texts, 1, width), key and value (texts, tokens, width)."""
    from ft_toolkit.training.speedups.dropout import attention_forward

    size = module.attention_head_size if hasattr(module, "attention_head_size") else module.head_dim
    rate = module.attn_dropout.p if hasattr(module, "attn_dropout") else module.dropout.p

    def by_head(values: Tensor) -> Tensor:
        return values.view(*values.shape[:-1], -1, size).transpose(1, 2)

    dropout = rate if module.training else 0.0
    found, _ = attention_forward(
        module, by_head(query), by_head(key), by_head(value), mask, dropout, module.scaling, is_causal=False
    )
    return found.flatten(2)


def _first(mask: Tensor | None) -> Tensor | None:
    """Return the mask's part for the first token of each text."""
    return None if mask is None else mask[:, :, :1]


def _bert(block: Block, hidden: Tensor, attention_mask: Tensor | None = None, *ignored: Any, **kwargs: Any) -> Tensor:
    attention, first = block.attention.self, hidden[:, :1]
    attended = _attend(
        attention, attention.query(first), attention.key(hidden), attention.value(hidden), _first(attention_mask)
    )
    found: Tensor = block.feed_forward_chunk(block.attention.output(attended, first))
    return found


def _distilbert(block: Block, hidden: Tensor, attention_mask: Tensor | None = None, **kwargs: Any) -> Tensor:
    attention, first = block.attention, hidden[:, :1]
    attended = _attend(
        attention, attention.q_lin(first), attention.k_lin(hidden), attention.v_lin(hidden), _first(attention_mask)
    )
    middle = block.sa_layer_norm(attention.out_lin(attended) + first)
    found: Tensor = block.output_layer_norm(block.ffn(middle) + middle)
    return found


class _ReadPlace:
    """A forward pre-hook that notes which token of each text GPT-2's classifier will read."""

    def __init__(self, pad_token_id: int | None) -> None:
        self.pad_token_id = pad_token_id
        self.index = torch.zeros(0, dtype=torch.long)

    def __call__(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = args[0] if args else kwargs.get("input_ids")
        if ids is None or self.pad_token_id is None:  # the class then reads the last one
            shape = (ids if ids is not None else kwargs["inputs_embeds"]).shape
            self.index = torch.full(shape[:1], shape[1] - 1)
        else:
            self.index = (torch.arange(ids.shape[1], device=ids.device) * (ids != self.pad_token_id)).argmax(-1)


def _gpt2(
    block: Block,
    place: _ReadPlace,
    hidden: Tensor,
    past_key_values: Any = None,
    attention_mask: Tensor | None = None,
    *ignored: Any,
    **kwargs: Any,
) -> Tensor:
    """Return (texts, tokens, width), right where the classifier reads and 0 elsewhere, since it chooses the place itself."""
    attention, rows, index = block.attn, torch.arange(len(hidden), device=hidden.device), place.index.to(hidden.device)
    query, key, value = attention.c_attn(block.ln_1(hidden)).split(attention.split_size, dim=2)
    if attention_mask is None:  # causal: what stands after the place is not seen
        seen = torch.arange(hidden.shape[1], device=hidden.device) <= index[:, None]
        mask = seen[:, None, None]
    else:
        mask = attention_mask.expand(len(hidden), *attention_mask.shape[1:])[rows, :, index][:, :, None]
    attended = _attend(attention, query[rows, index][:, None], key, value, mask)
    middle = attention.resid_dropout(attention.c_proj(attended)) + hidden[rows, index][:, None]
    found = middle + block.mlp(block.ln_2(middle))
    return torch.zeros_like(hidden, dtype=found.dtype).index_put((rows, index), found[:, 0])


# Class of the model -> where its blocks are, and the forward pass of the last one.
_CLASSES: dict[str, tuple[str, Forward]] = {
    "BertForSequenceClassification": ("bert.encoder.layer", _bert),
    "RobertaForSequenceClassification": ("roberta.encoder.layer", _bert),
    "XLMRobertaForSequenceClassification": ("roberta.encoder.layer", _bert),
    "CamembertForSequenceClassification": ("roberta.encoder.layer", _bert),
    "ElectraForSequenceClassification": ("electra.encoder.layer", _bert),
    "DistilBertForSequenceClassification": ("distilbert.transformer.layer", _distilbert),
    "GPT2ForSequenceClassification": ("transformer.h", _gpt2),
}
