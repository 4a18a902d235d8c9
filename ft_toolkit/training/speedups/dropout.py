"""Faster dropout on a CPU, and faster training of attention on a CPU in bfloat16.

torch draws one float per element from a Mersenne Twister, which took 8% of a float32 training step of MiniLM and 15% of a
bfloat16 step. Here one 64-bit number from SFC64 decides four elements, with the probability rounded to 1/65536. The seeds
come from torch's generator, so the masks are a function of torch's seed.

torch's fused attention does not support dropout on a CPU, so attention with dropout uses plain matrix products. In bfloat16
these train faster even without dropout, up to 256 tokens: forward and backward took 3 ms instead of 11 at 28 tokens, 14
instead of 25 at 256, and 43 instead of 39 at 512.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

# Resolution of the dropout probability.
_LEVELS = 2**16
# The name of `attention_forward` in a model's config during training.
ATTENTION = "sdpa_fast_dropout"
# Up to this length, attention in bfloat16 trains faster without torch's fused kernel.
_MAX_UNFUSED_TOKENS = 256


def _apply_mask(values: Tensor, mask: Tensor, scale: float) -> Tensor:
    """Return values * mask * scale in one pass over memory."""
    scaled: Tensor = torch.ops.aten.native_dropout_backward(values, mask, scale)
    return scaled


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, p: float) -> Tensor:
        mask, ctx.scale = dropout_mask(values.shape, p)
        ctx.save_for_backward(mask)
        return _apply_mask(values, mask, ctx.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return _apply_mask(gradients[0], mask, ctx.scale), None


def dropout_mask(shape: tuple[int, ...], p: float) -> tuple[Tensor, float]:
    """Return a bool mask, true with probability 1 - p (p rounded to 1/65536), and the scale of the remaining elements."""
    threshold = min(round(p * _LEVELS), _LEVELS - 1)
    seed = int(torch.randint(2**62, ()))
    n = math.prod(shape)
    draws = np.random.SFC64(seed).random_raw(-(-n // 4)).view(np.uint16)[:n]
    return torch.from_numpy(draws >= threshold).view(shape), _LEVELS / (_LEVELS - threshold)


def dropout(values: Tensor, p: float) -> Tensor:
    """Set each element to 0 with probability p, and scale the others so that the expectation stays. CPU only."""
    dropped: Tensor = _Dropout.apply(values, p)  # type: ignore[no-untyped-call] # torch has no types
    return dropped


class FastDropout(nn.Dropout):
    """nn.Dropout with the masks of this file for inputs on a CPU."""

    def forward(self, input: Tensor) -> Tensor:  # the name is torch's
        """Return the input, with dropout in training mode."""
        if not self.training or self.p == 0 or input.device.type != "cpu":
            return super().forward(input)
        return dropout(input, self.p)


def attention_forward(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Compute SDPA attention; in training on a CPU, with plain matrix products where these are faster.

    query, key, value: (features, heads, tokens, dimensions). Returns (features, tokens, heads, dimensions). `options` are
    those of transformers' sdpa_attention_forward: dropout (probability), scaling, is_causal, position_bias and others.
    """
    p, scaling, is_causal = (options.get(name) for name in ("dropout", "scaling", "is_causal"))
    faster_unfused = module.training and query.dtype == torch.bfloat16 and key.shape[2] <= _MAX_UNFUSED_TOKENS
    unfused = query.device.type == "cpu" and (bool(p) or faster_unfused)
    if not unfused or options.get("position_bias") is not None:
        attended: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return attended
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
    weights = dropout(scores.softmax(-1), p) if p else scores.softmax(-1)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, attention_forward)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


class _FunctionalDropout(TorchFunctionMode):
    """Inside this context, `nn.functional.dropout` in training draws the masks of this file. BART and Marian call it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        if func is nn.functional.dropout and not options.get("inplace", False) and len(args) == 1:
            values, p = args[0], options.get("p", 0.5)
            if options.get("training", True) and 0 < p < 1 and values.device.type == "cpu":
                return dropout(values, p)
        return func(*args, **options)


class _FunctionalDropoutHooks:
    """Enters the context before each forward pass of a model and leaves it afterwards, until `remove` is called."""

    def __init__(self, model: nn.Module) -> None:
        self._modes: list[_FunctionalDropout] = []
        self._handles = [
            model.register_forward_pre_hook(self._enter),
            model.register_forward_hook(self._leave, always_call=True),
        ]

    def _enter(self, module: nn.Module, args: Any) -> None:
        if module.training:
            self._modes.append(_FunctionalDropout())
            self._modes[-1].__enter__()  # type: ignore[no-untyped-call] # torch has no types

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._modes:
            self._modes.pop().__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def remove(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()


# The name of the attribute of a model that holds its hooks.
_HOOKS = "_ft_toolkit_dropout_hooks"


def use_fast_dropout(model: Any) -> bool:
    """Replace the model's dropout, including the dropout in SDPA attention. Return whether dropout outside it was replaced."""
    replaced = _replace(model, nn.Dropout, FastDropout)
    if any(isinstance(rate := getattr(module, "dropout", None), float) and rate > 0 for module in model.modules()):
        setattr(model, _HOOKS, _FunctionalDropoutHooks(model))
        replaced = True
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(ATTENTION)
    return replaced


def use_torch_dropout(model: Any) -> None:
    """Restore torch's dropout after `use_fast_dropout`."""
    if (hooks := model.__dict__.pop(_HOOKS, None)) is not None:
        hooks.remove()
    _replace(model, FastDropout, nn.Dropout)
    if model.config._attn_implementation == ATTENTION:
        model.set_attn_implementation("sdpa")


def has_dropout(modules: Iterable[Any]) -> bool:
    """Return whether any of these modules uses dropout in training."""
    rates = [getattr(module, "p" if isinstance(module, nn.Dropout) else "dropout", 0) for module in modules]
    return any(isinstance(rate, float) and rate > 0 for rate in rates)


def _replace(model: nn.Module, old: type[nn.Dropout], new: type[nn.Dropout]) -> bool:
    """Replace the active dropout modules of class `old`; return whether there were any."""
    replaced = False
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is old and child.p > 0:
                setattr(parent, name, new(child.p).train(child.training))
                replaced = True
    return replaced
