"""Dropout on a CPU from cheaper random numbers, and attention that trains quicker there in bfloat16.

torch draws a float per element from one Mersenne Twister, which took 8% of a float32 training step of MiniLM and 15% in
bfloat16. Here one 64-bit number of SFC64 serves four elements, each with the probability rounded to 1/65536. Seeds come from
torch's generator, so what is a function of torch's seed stays one.

torch's fused attention has no dropout on a CPU, so plain products compute it there. In bfloat16 they train quicker without
dropout too, up to some length: forward and backward took 3 ms instead of 11 at 28 tokens, 14 instead of 25 at 256, and 43
instead of 39 at 512.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

_STEPS = 2**16
ATTENTION = "sdpa_cheap_dropout"
_LONGEST_UNFUSED = 256


def _times(values: Tensor, kept: Tensor, scale: float) -> Tensor:
    found: Tensor = torch.ops.aten.native_dropout_backward(values, kept, scale)
    return found


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, p: float) -> Tensor:
        kept, ctx.scale = kept_elements(values.shape, p)
        ctx.save_for_backward(kept)
        return _times(values, kept, ctx.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return _times(gradients[0], kept, ctx.scale), None


def kept_elements(shape: tuple[int, ...], p: float) -> tuple[Tensor, float]:
    """Return a bool mask that is true with probability 1 - p, p rounded to 1/65536, and what the kept are multiplied with."""
    threshold = min(round(p * _STEPS), _STEPS - 1)
    seed = int(torch.randint(2**62, ()))
    n = math.prod(shape)
    draws = np.random.SFC64(seed).random_raw(-(-n // 4)).view(np.uint16)[:n]
    return torch.from_numpy(draws >= threshold).view(shape), _STEPS / (_STEPS - threshold)


def drop(values: Tensor, p: float) -> Tensor:
    """Set each element to 0 with probability p and scale the others, so that the expectation stays. CPU only."""
    found: Tensor = _Drop.apply(values, p)  # type: ignore[no-untyped-call]
    return found


class CheapDropout(nn.Dropout):
    """nn.Dropout that draws as this module does where its input lies on a CPU."""

    def forward(self, input: Tensor) -> Tensor:  # the name is torch's
        """Return the input, in training with elements dropped."""
        if not self.training or self.p == 0 or input.device.type != "cpu":
            return super().forward(input)
        return drop(input, self.p)


def attention_forward(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend as SDPA does; in training on a CPU by plain products, where these are quicker, with this module's dropout.

    query, key, value: (features, heads, tokens, dimensions); returns (features, tokens, heads, dimensions).
    """
    quicker = module.training and query.dtype == torch.bfloat16 and key.shape[2] <= _LONGEST_UNFUSED
    unfused = query.device.type == "cpu" and (dropout > 0 or quicker)
    if not unfused or kwargs.get("position_bias") is not None:
        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, is_causal, **kwargs
        )
        return found
    groups = getattr(module, "num_key_value_groups", 1)
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    scores = torch.matmul(query * (query.shape[-1] ** -0.5 if scaling is None else scaling), key.transpose(2, 3))
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if attention_mask is None and causal and query.shape[2] > 1:
        attention_mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if attention_mask is not None and attention_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    elif attention_mask is not None:
        scores = scores + attention_mask
    weights = drop(scores.softmax(-1), dropout) if dropout else scores.softmax(-1)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, attention_forward)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


def use_cheap_dropout(model: Any) -> bool:
    """Replace the model's dropout, that of its attention too where that is SDPA; say whether there was any."""
    found = _replace(model, nn.Dropout, CheapDropout)
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(ATTENTION)
    return found


def use_stock_dropout(model: Any) -> None:
    """Undo `use_cheap_dropout`."""
    _replace(model, CheapDropout, nn.Dropout)
    if model.config._attn_implementation == ATTENTION:
        model.set_attn_implementation("sdpa")


def drops_out(modules: Iterable[Any]) -> bool:
    """Say whether training draws random numbers in one of these modules."""
    found = [getattr(module, "p" if isinstance(module, nn.Dropout) else "dropout", 0) for module in modules]
    return any(isinstance(share, float) and share > 0 for share in found)


def _replace(model: nn.Module, old: type[nn.Dropout], new: type[nn.Dropout]) -> bool:
    found = False
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is old and child.p > 0:
                setattr(parent, name, new(child.p).train(child.training))
                found = True
    return found
