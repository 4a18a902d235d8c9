"""A cache of keys and values that grows without copying itself in each step.

The cache of transformers is a new concatenation for each token. Here a layer has a buffer with room for further tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache, EncoderDecoderCache
from transformers.cache_utils import DynamicLayer

# Room for at least this number of further tokens.
_ROOM = 32


class BufferedLayer(DynamicLayer):  # type: ignore[misc]  # transformers has no types here
    """Keys and values of one block, (rows, heads, tokens, head size), as views of larger buffers."""

    _buffers: tuple[torch.Tensor, ...] = ()

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append the keys and values of new tokens, and return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if not self._buffers or self._buffers[0].shape[-2] < end:
            self._buffers = tuple(
                _with_room(old if start else new, new, start, end + max(end // 2, _ROOM))
                for old, new in ((self.keys, key_states), (self.values, value_states))
            )
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[..., start:end, :] = new
        self._show(end)
        return self.keys, self.values

    def _show(self, n_tokens: int) -> None:
        self.keys, self.values = (buffer[..., :n_tokens, :] for buffer in self._buffers)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows, in this order; a row may occur several times."""
        if not self._buffers:
            super().batch_select_indices(indices)
            return
        n_tokens = self.get_seq_length()
        self._buffers = tuple(buffer.index_select(0, indices) for buffer in self._buffers)
        self._show(n_tokens)


def _with_room(old: torch.Tensor, new: torch.Tensor, n_tokens: int, capacity: int) -> torch.Tensor:
    """Return a buffer for `capacity` tokens that begins with the `n_tokens` tokens of `old`."""
    buffer = new.new_zeros(*new.shape[:-2], capacity, new.shape[-1])
    if n_tokens:
        buffer[..., :n_tokens, :] = old
    return buffer


def new_cache(config: Any) -> DynamicCache:
    """Return an empty cache for a decoder. Only layers with full attention get buffers."""
    cache = DynamicCache(config=config)
    cache.layers = [BufferedLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    if cache.layer_class_to_replicate is DynamicLayer:
        cache.layer_class_to_replicate = BufferedLayer
    return cache


def new_cache_with_source(config: Any) -> EncoderDecoderCache:
    """Return an empty cache for the decoder of an encoder-decoder; keys and values of the source never grow."""
    return EncoderDecoderCache(new_cache(config), DynamicCache(config=config))
