"""An embedding table of which only the rows that can get a gradient are parameters.

AdamW goes over every weight at every step, and so do the gradient's zeroing and its norm. Of a BERT vocabulary of 30,522
tokens some thousand sentences name a sixth, and the other rows never get a gradient: without it, Adam would change them by
weight decay alone. Here they stay as the checkpoint has them.
"""

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

TrainingIds = Callable[[], Collection[int] | None]


class EmbeddingRows(nn.Module):
    """Stands in for an embedding: `rows` (trained tokens, dimensions) over `table` (vocabulary, dimensions), which is fixed."""

    def __init__(self, whole: nn.Embedding, ids: Tensor) -> None:
        super().__init__()
        weight = whole.weight.detach()
        place = torch.full((len(weight),), -1, dtype=torch.long)
        place[ids] = torch.arange(len(ids))
        self.register_buffer("table", weight, persistent=False)
        self.register_buffer("ids", ids.to(weight.device), persistent=False)
        self.register_buffer("place", place.to(weight.device), persistent=False)
        self.rows = nn.Parameter(weight[ids].clone())
        pad = whole.padding_idx
        self.padding_row = int(place[pad]) if pad is not None and place[pad] >= 0 else None
        self.padding_idx = pad

    def forward(self, ids: Tensor) -> Tensor:
        """Return (*ids.shape, dimensions). In training every id must be a trained one; else the table has the others."""
        place = self.get_buffer("place")[ids]
        if self.training:
            return functional.embedding(place, self.rows, padding_idx=self.padding_row)
        trained = functional.embedding(place.clamp(min=0), self.rows)
        return torch.where(place[..., None] >= 0, trained, functional.embedding(ids, self.get_buffer("table")))

    @torch.no_grad()
    def whole(self) -> nn.Embedding:
        """Return the plain embedding, the trained rows in their places."""
        table = self.get_buffer("table")
        table[self.get_buffer("ids")] = self.rows
        found = nn.Embedding(table.shape[0], table.shape[1], padding_idx=self.padding_idx, device="meta")
        found.weight = nn.Parameter(table)
        return found


def train_only_rows(model: Any, named: TrainingIds) -> tuple[int, int] | None:
    """Train only the named rows of the model's input embeddings; return (rows, vocabulary), None where that saves nothing.

    It does not where the table is frozen, an adapter's, or shared with an output layer, which gives every row a gradient.
    `named` goes over all training rows, so it is asked last.
    """
    whole = model.get_input_embeddings()
    if type(whole) is not nn.Embedding or not whole.weight.requires_grad or whole.max_norm or whole.scale_grad_by_freq:
        return None
    holders = [name for name, one in model.named_parameters(remove_duplicate=False) if one is whole.weight]
    if len(holders) > 1 or (ids := named()) is None or len(ids) >= whole.num_embeddings:
        return None
    _put(model, whole, EmbeddingRows(whole, torch.tensor(sorted(ids))))
    return len(ids), whole.num_embeddings


def whole_table(model: Any) -> None:
    """Undo `train_only_rows`."""
    rows = model.get_input_embeddings()
    if isinstance(rows, EmbeddingRows):
        _put(model, rows, rows.whole())


def _put(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a module in the place of another; a model of two models has no set_input_embeddings."""
    name = next(name for name, module in model.named_modules() if module is old)
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, new)
