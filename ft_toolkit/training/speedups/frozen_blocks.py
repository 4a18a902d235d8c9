"""Cache the outputs of frozen lower blocks: they are computed once per feature and reused in later epochs.

If the embeddings and the lowest blocks are frozen and have no dropout, the outputs of these blocks never change. They are
cached per feature, without padding, in CPU memory. A batch whose features are all cached starts at the first trained block.

    first epoch     block 0 -> block 1 -> block 2 (last frozen) -> block 3 (trained)     the output of block 2 is cached
    later epochs    skipped    skipped    cached output         -> block 3 (trained)
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ft_toolkit.training.speedups.dropout import has_dropout

Forward = Callable[..., Any]


class _Recording:
    """A pass that computes all blocks, and records their calls and the last output."""

    def __init__(self) -> None:
        self.called_blocks: list[int] = []
        self.hidden_is_positional = True
        self.output: Any = None

    def forward(self, index: int, compute: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.output = compute(*args, **kwargs)
        self.called_blocks.append(index)
        self.hidden_is_positional = self.hidden_is_positional and bool(args)
        return self.output

    def cacheable_output(self, n_blocks: int) -> Tensor | None:
        """Return the output (features, tokens, width), None if the model does not call its blocks as a simple chain."""
        is_chain = self.called_blocks == list(range(n_blocks)) and self.hidden_is_positional
        output = self.output
        if not is_chain or not isinstance(output, Tensor) or output.dim() != 3 or output.requires_grad:
            return None
        return output


class _Replay:
    """A pass that computes no frozen block: the last one returns the cached output, the others return their input."""

    def __init__(self, output: Tensor, n_blocks: int) -> None:
        self.output = output
        self.last_block = n_blocks - 1

    def forward(self, index: int, compute: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.output if index == self.last_block else args[0]


class FrozenBlockCache:
    """The output of the last frozen block for each feature. Passes inside `reuse` read from it and add to it."""

    def __init__(self, blocks: Sequence[Any]) -> None:
        """Replace the forward methods of `blocks`, the lowest blocks of a stack in order."""
        self._n_blocks = len(blocks)
        self._outputs: dict[int, Tensor] = {}
        self._device = torch.device("cpu")
        self._is_supported = True
        # The current pass; None outside `reuse`, where the blocks compute as usual.
        self._pass: _Recording | _Replay | None = None
        for index, block in enumerate(blocks):
            block.forward = partial(self._forward, index, block.forward)

    @contextmanager
    def reuse(self, lengths: Sequence[int], feature_ids: Sequence[int]) -> Iterator[None]:
        """Use the cached outputs of these features in a training pass inside the context, or compute and cache them.

        `lengths` holds the tokens of every feature; padding is on the right. If the blocks are not a simple chain, or the
        last frozen block does not return a tensor (features, tokens, width) without a gradient, all passes compute
        everything.
        """
        if not self._is_supported:
            yield
            return
        recording = None
        if all(i in self._outputs for i in feature_ids):
            rows = [self._outputs[i] for i in feature_ids]
            padded = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self._device, non_blocking=True)
            self._pass = _Replay(padded, self._n_blocks)
        else:
            self._pass = recording = _Recording()
        try:
            yield
        finally:
            self._pass = None
        if recording is not None:
            self._store(recording, feature_ids, lengths)

    def _store(self, recording: _Recording, feature_ids: Sequence[int], lengths: Sequence[int]) -> None:
        output = recording.cacheable_output(self._n_blocks)
        if output is None:
            self._is_supported = False
            self._outputs.clear()
            return
        # a shortened last block returns one token per feature (last_block.py)
        n_tokens = [min(lengths[i], output.shape[1]) for i in feature_ids]
        self._device, on_cpu = output.device, output.cpu()
        self._outputs |= {i: row[:n].clone() for i, row, n in zip(feature_ids, on_cpu, n_tokens, strict=True)}

    def _forward(self, index: int, compute: Forward, *args: Any, **kwargs: Any) -> Any:
        if self._pass is None:
            return compute(*args, **kwargs)
        return self._pass.forward(index, compute, args, kwargs)


def block_stacks(model: nn.Module) -> list[nn.ModuleList]:
    """Return the outermost module lists of the model: its stacks of blocks, in order."""
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    inner = {id(module) for stack in lists for module in stack.modules() if module is not stack}
    return [stack for stack in lists if id(stack) not in inner]


def cache_frozen_blocks(model: Any, *, n_tokens: int, free_bytes: int) -> tuple[FrozenBlockCache | None, str | None]:
    """Cache the outputs of the model's frozen lower blocks, if that is exact and takes at most a quarter of `free_bytes`.

    `n_tokens` counts the tokens of all training features. Returns the cache, and a description of it or of the reason
    against it. Both are None if no lower block is frozen.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    stacks = block_stacks(base)
    if len(stacks) != 1:  # an encoder-decoder has two
        return None, None
    blocks = list(stacks[0])
    trained = [index for index, block in enumerate(blocks) if any(p.requires_grad for p in block.parameters())]
    frozen = blocks[: trained[0]] if trained else blocks
    above = {id(module) for block in blocks[len(frozen) :] for module in block.modules()}
    below = [module for module in base.base_model.modules() if id(module) not in above]
    if not frozen or base.base_model is base:
        return None, None
    subject = f"the lowest {len(frozen)} of {len(blocks)} blocks"
    if has_dropout(below):
        return None, (
            f"{subject} are frozen but have dropout, so each epoch computes them again; model.dropout=0 computes them once"
        )
    size = n_tokens * base.config.hidden_size * 4
    if size > free_bytes / 4:
        return None, (
            f"{subject} are frozen, but each epoch computes them again: their outputs take {size / 2**30:.1f} GiB, more than "
            f"a quarter of the {free_bytes / 2**30:.1f} GiB of free memory"
        )
    return FrozenBlockCache(frozen), f"{subject} computed in the first epoch only (cache of {max(size >> 20, 1):,} MiB)"
