"""The outputs of frozen lower blocks, computed once per feature and handed out again in later epochs.

Where the embeddings and the lowest blocks are not trained and have no dropout, what comes out of them never changes. It is
kept per feature, without padding, in the processor's memory; a batch whose features were all seen before begins at the first
block that is trained.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ft_toolkit.training.speedups.dropout import drops_out


class FrozenBlockCache:
    """What the lowest blocks of a model gave for each feature. Within `reused` the model takes it from here."""

    def __init__(self, blocks: Sequence[Any]) -> None:
        """Stand between these blocks, the lowest of a stack in order, and whoever calls them."""
        self._kept: dict[int, Tensor] = {}
        self._device = torch.device("cpu")
        self._given: Tensor | None = None
        # The blocks that a pass which is watched has called, in order, and what the last of them gave.
        self._called: list[int] | None = None
        self._seen: Any = None
        self._blocks = len(blocks)
        for index, block in enumerate(blocks):
            block.forward = partial(self._forward, index, block.forward)

    @contextmanager
    def reused(self, lengths: Sequence[int], feature_ids: Sequence[int]) -> Iterator[None]:
        """Inside, a training pass over these features takes what is known of them; `lengths` has every feature's tokens.

        Padding is on the right. What is not known is kept afterwards. A model whose blocks are no plain chain, or whose last
        frozen block gives something else than (features, tokens, width) or something that has a gradient, is computed in
        full for good.
        """
        if not self._blocks:
            yield
        elif all(i in self._kept for i in feature_ids):
            rows = [self._kept[i] for i in feature_ids]
            self._given = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self._device, non_blocking=True)
            try:
                yield
            finally:
                self._given = None
        else:
            self._called = []
            try:
                yield
                self._keep(feature_ids, lengths)
            finally:
                self._called = self._seen = None

    def _keep(self, feature_ids: Sequence[int], lengths: Sequence[int]) -> None:
        found = self._seen
        chain = self._called == list(range(self._blocks))
        if not chain or not isinstance(found, Tensor) or found.dim() != 3 or found.requires_grad:
            self._blocks = 0
            self._kept.clear()
            return
        # one token per feature where the last block leaves out the others (last_block.py)
        n_tokens = [min(lengths[i], found.shape[1]) for i in feature_ids]
        self._device, on_cpu = found.device, found.cpu()
        self._kept |= {i: row[:n].clone() for i, row, n in zip(feature_ids, on_cpu, n_tokens, strict=True)}

    def _forward(self, index: int, plain: Any, *args: Any, **kwargs: Any) -> Any:
        if self._given is not None:
            return self._given if index == self._blocks - 1 else args[0]
        found = plain(*args, **kwargs)
        if self._called is not None:
            self._called.append(index if args else -1)
            self._seen = found
        return found


def stacks(model: nn.Module) -> list[nn.ModuleList]:
    """Return what the model repeats, blocks in order: its outermost lists of modules."""
    found = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    inner = {id(module) for stack in found for module in stack.modules() if module is not stack}
    return [stack for stack in found if id(stack) not in inner]


def cache_frozen_blocks(model: Any, *, tokens: int, free_bytes: int) -> tuple[FrozenBlockCache | None, str | None]:
    """Keep the outputs of the model's frozen lower blocks for training features of so many tokens in all, where that is exact.

    Returns them, and in words what is kept or why nothing is; (None, None) where no lower block is frozen. They take at most
    a quarter of `free_bytes`.
    """
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    outermost = stacks(bare)
    if len(outermost) != 1:  # an encoder-decoder has two
        return None, None
    blocks = list(outermost[0])
    trained = [index for index, block in enumerate(blocks) if any(one.requires_grad for one in block.parameters())]
    frozen = blocks[: trained[0]] if trained else blocks
    above = {id(module) for block in blocks[len(frozen) :] for module in block.modules()}
    below = [module for module in bare.base_model.modules() if id(module) not in above]
    if not frozen or bare.base_model is bare:
        return None, None
    which = f"the lowest {len(frozen)} of {len(blocks)} blocks, which are frozen"
    if drops_out(below):
        return None, f"{which}, have dropout, so every epoch computes them; with model.dropout=0 they are computed once"
    size = tokens * bare.config.hidden_size * 4
    if size > free_bytes / 4:
        return None, (
            f"{which}, are computed in every epoch: their outputs take {size / 2**30:.1f} GiB, over a quarter of the "
            f"{free_bytes / 2**30:.1f} GiB of free memory"
        )
    return FrozenBlockCache(
        frozen
    ), f"{which}, after the first epoch (at most {max(size >> 20, 1):,} MiB of outputs are kept)"
