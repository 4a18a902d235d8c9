"""Compute the last block of a classifier only for the token that its head reads.

The head of an encoder reads the first token, the head of GPT-2 the last token before the padding. In the last block the
other tokens are needed only as keys and values, so queries, attention, output projection and feed-forward are computed for
one token: 10 of the 12 square matrices of a BERT block multiply one row per text. `_CLASSES` lists the supported classes.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ft_toolkit.models.pooled_model import pooling_of

Block = Any
Forward = Callable[..., Tensor]


def shorten_last_block(model: Any) -> bool:
    """Compute the last block only for the token that the classifier reads; return whether the model's class is supported."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    supported = _CLASSES.get(type(base).__name__)
    if supported is None or base.config._attn_implementation not in ("sdpa", "eager"):
        return False
    path, forward = supported
    if pooling_of(base.config) not in (None, "first"):  # the head reads all tokens
        return False
    block = base.get_submodule(path)[-1]
    if forward is _gpt2:
        read_token = _ReadToken(base.config.pad_token_id)
        base.register_forward_pre_hook(read_token, with_kwargs=True)
        block.forward = partial(forward, block, read_token)
    else:
        block.forward = partial(forward, block)
    return True


def _attend(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Attend from one token of each text to all its tokens: query (texts, 1, width), key and value (texts, tokens, width)."""
    from ft_toolkit.training.speedups.dropout import attention_forward

    size = module.attention_head_size if hasattr(module, "attention_head_size") else module.head_dim
    rate = module.attn_dropout.p if hasattr(module, "attn_dropout") else module.dropout.p

    def by_head(values: Tensor) -> Tensor:
        return values.view(*values.shape[:-1], -1, size).transpose(1, 2)

    options = {"dropout": rate if module.training else 0.0, "scaling": module.scaling, "is_causal": False}
    attended, _ = attention_forward(module, by_head(query), by_head(key), by_head(value), mask, **options)
    return attended.flatten(2)


def _first_row(mask: Tensor | None) -> Tensor | None:
    """Return the mask of the first token of each text."""
    return None if mask is None else mask[:, :, :1]


def _bert(block: Block, hidden: Tensor, attention_mask: Tensor | None = None, *ignored: Any, **kwargs: Any) -> Tensor:
    attention, first = block.attention.self, hidden[:, :1]
    attended = _attend(
        attention, attention.query(first), attention.key(hidden), attention.value(hidden), _first_row(attention_mask)
    )
    output: Tensor = block.feed_forward_chunk(block.attention.output(attended, first))
    return output


def _distilbert(block: Block, hidden: Tensor, attention_mask: Tensor | None = None, **kwargs: Any) -> Tensor:
    attention, first = block.attention, hidden[:, :1]
    attended = _attend(
        attention, attention.q_lin(first), attention.k_lin(hidden), attention.v_lin(hidden), _first_row(attention_mask)
    )
    middle = block.sa_layer_norm(attention.out_lin(attended) + first)
    output: Tensor = block.output_layer_norm(block.ffn(middle) + middle)
    return output


class _ReadToken:
    """A forward pre-hook that stores the index of the token that GPT-2's classifier reads in each text."""

    def __init__(self, pad_token_id: int | None) -> None:
        self.pad_token_id = pad_token_id
        self.index = torch.zeros(0, dtype=torch.long)

    def __call__(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = args[0] if args else kwargs.get("input_ids")
        if ids is None or self.pad_token_id is None:  # the classifier then reads the last token
            shape = (ids if ids is not None else kwargs["inputs_embeds"]).shape
            self.index = torch.full(shape[:1], shape[1] - 1)
        else:
            self.index = (torch.arange(ids.shape[1], device=ids.device) * (ids != self.pad_token_id)).argmax(-1)


def _gpt2(
    block: Block,
    read_token: _ReadToken,
    hidden: Tensor,
    past_key_values: Any = None,
    attention_mask: Tensor | None = None,
    *ignored: Any,
    **kwargs: Any,
) -> Tensor:
    """Return (texts, tokens, width): the output for the token that the classifier reads, 0 for the other tokens."""
    attention, device = block.attn, hidden.device
    rows, index = torch.arange(len(hidden), device=device), read_token.index.to(device)
    query, key, value = attention.c_attn(block.ln_1(hidden)).split(attention.split_size, dim=2)
    if attention_mask is None:  # causal: later tokens are not visible
        visible = torch.arange(hidden.shape[1], device=device) <= index[:, None]
        mask = visible[:, None, None]
    else:
        mask = attention_mask.expand(len(hidden), *attention_mask.shape[1:])[rows, :, index][:, :, None]
    attended = _attend(attention, query[rows, index][:, None], key, value, mask)
    middle = attention.resid_dropout(attention.c_proj(attended)) + hidden[rows, index][:, None]
    output = middle + block.mlp(block.ln_2(middle))
    return torch.zeros_like(hidden, dtype=output.dtype).index_put((rows, index), output[:, 0])


# Class name -> path of its blocks, and the forward pass of the last block.
_CLASSES: dict[str, tuple[str, Forward]] = {
    "BertForSequenceClassification": ("bert.encoder.layer", _bert),
    "RobertaForSequenceClassification": ("roberta.encoder.layer", _bert),
    "XLMRobertaForSequenceClassification": ("roberta.encoder.layer", _bert),
    "CamembertForSequenceClassification": ("roberta.encoder.layer", _bert),
    "ElectraForSequenceClassification": ("electra.encoder.layer", _bert),
    "DistilBertForSequenceClassification": ("distilbert.transformer.layer", _distilbert),
    "GPT2ForSequenceClassification": ("transformer.h", _gpt2),
}
