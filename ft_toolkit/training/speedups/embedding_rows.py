"""An embedding whose parameters are only the rows that can receive a gradient.

AdamW, the gradient norm and zeroing the gradient visit every weight at every step. A thousand sentences contain about a sixth
of BERT's 30,522 tokens; the other rows never receive a gradient, and AdamW would change them by weight decay alone. Here they
keep the values of the checkpoint.
"""

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# Returns the token ids of the training rows, None if any token may occur.
TrainingIds = Callable[[], Collection[int] | None]
# The row number of a token without a trained row.
_NOT_TRAINED = -1


class EmbeddingRows(nn.Module):
    """An embedding with a trainable part, `rows` (trained tokens, width), and a fixed `table` (vocabulary, width)."""

    def __init__(self, embedding: nn.Embedding, ids: Tensor) -> None:
        super().__init__()
        weight = embedding.weight.detach()
        row_of_id = torch.full((len(weight),), _NOT_TRAINED, dtype=torch.long)
        row_of_id[ids] = torch.arange(len(ids))
        self.register_buffer("table", weight, persistent=False)
        self.register_buffer("ids", ids.to(weight.device), persistent=False)
        self.register_buffer("row_of_id", row_of_id.to(weight.device), persistent=False)
        self.rows = nn.Parameter(weight[ids].clone())
        self.padding_idx = pad = embedding.padding_idx
        self.padding_row = int(row_of_id[pad]) if pad is not None and row_of_id[pad] != _NOT_TRAINED else None

    def forward(self, ids: Tensor) -> Tensor:
        """Return (*ids.shape, width). In training mode, all ids must be trained; otherwise the table provides the others."""
        rows = self.get_buffer("row_of_id")[ids]
        if self.training:
            return functional.embedding(rows, self.rows, padding_idx=self.padding_row)
        trained = functional.embedding(rows.clamp(min=0), self.rows)
        is_trained = rows[..., None] != _NOT_TRAINED
        return torch.where(is_trained, trained, functional.embedding(ids, self.get_buffer("table")))

    @torch.no_grad()
    def to_embedding(self) -> nn.Embedding:
        """Return a standard embedding with the trained rows."""
        table = self.get_buffer("table")
        table[self.get_buffer("ids")] = self.rows
        embedding = nn.Embedding(table.shape[0], table.shape[1], padding_idx=self.padding_idx, device="meta")
        embedding.weight = nn.Parameter(table)
        return embedding


def train_only_rows(model: Any, training_ids: TrainingIds) -> tuple[int, int] | None:
    """Train only the rows of `training_ids` in the model's input embeddings; return (trained rows, vocabulary size).

    Returns None, and changes nothing, if the embedding is frozen or part of an adapter, if an output layer shares it (then
    every row receives a gradient), or if all rows are trained. `training_ids` reads all training rows, so it is called last.
    """
    embedding = model.get_input_embeddings()
    if type(embedding) is not nn.Embedding or embedding.max_norm or embedding.scale_grad_by_freq:
        return None
    weight = embedding.weight
    uses = [name for name, parameter in model.named_parameters(remove_duplicate=False) if parameter is weight]
    if not weight.requires_grad or len(uses) > 1:
        return None
    ids = training_ids()
    if ids is None or len(ids) >= embedding.num_embeddings:
        return None
    _replace_module(model, embedding, EmbeddingRows(embedding, torch.tensor(sorted(ids))))
    return len(ids), embedding.num_embeddings


def restore_embedding(model: Any) -> None:
    """Restore the standard embedding after `train_only_rows`."""
    embedding = model.get_input_embeddings()
    if isinstance(embedding, EmbeddingRows):
        _replace_module(model, embedding, embedding.to_embedding())


def _replace_module(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Replace a module of the model. (EncoderDecoderModel does not support set_input_embeddings.)"""
    path = next(path for path, module in model.named_modules() if module is old)
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, new)
