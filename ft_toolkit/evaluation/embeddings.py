"""Embeddings of rows by the checkpoint of a run before training: the pooled hidden states of its last layer, of length 1."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from ft_toolkit.data.batches import evaluation_batches
from ft_toolkit.data.cards import SplitName
from ft_toolkit.evaluation.predictor import Processes
from ft_toolkit.models.pooling import find_pooling, pool
from ft_toolkit.models.pretrained import load_encoder
from ft_toolkit.tasks.base import Batch, Features
from ft_toolkit.training.collate import make_collate, to_device
from ft_toolkit.training.frozen_vectors import FrozenVectors, reading_order
from ft_toolkit.training.prepare import Prepared

# The pooling for a checkpoint that names none. Linear models of frozen MiniLM features reached 0.73, 0.87, 0.81 and 0.85 with
# the mean of the tokens on four small data sets, and 0.58, 0.72, 0.79 and 0.79 with BERT's pooler.
DEFAULT_POOLING: Final = "mean"


class FrozenModel:
    """A checkpoint without its head, which computes the pooled vectors of features.

    It works in one process, without the wrappers of distributed training.
    """

    def __init__(self, folder: Path, tokenizer: Any, processes: Processes) -> None:
        """Load the checkpoint onto the device of this process. Raises ModelError."""
        self._processes = processes
        self._encoder = load_encoder(folder, tokenizer).to(processes.device).eval()
        checkpoint_pooling = find_pooling(folder, self._encoder.config)
        self.pooling = DEFAULT_POOLING if checkpoint_pooling is None else checkpoint_pooling.how

    def pool(
        self,
        lengths: Sequence[int],
        collate: Callable[[Sequence[int]], Batch],
        tokens_per_batch: int,
        report: Callable[[int, int], None],
    ) -> np.ndarray:
        """Return the pooled vectors of features with these lengths in tokens, shape (features, width).

        `collate` returns the batch of features, given by their positions in `lengths`.
        """
        pooled = np.empty((len(lengths), 0), np.float32)
        for batch, hidden, mask in self._batches(lengths, collate, tokens_per_batch, report):
            vectors = np.asarray(pool(hidden, mask, self.pooling).cpu().numpy())
            if not pooled.size:
                pooled = np.empty((len(lengths), vectors.shape[1]), np.float32)
            pooled[list(batch)] = vectors
        return pooled

    def token_vectors(
        self,
        lengths: Sequence[int],
        collate: Callable[[Sequence[int]], Batch],
        tokens: Sequence[Sequence[int]],
        tokens_per_batch: int,
        report: Callable[[int, int], None],
    ) -> list[np.ndarray]:
        """Return the vectors of chosen tokens of each feature, given by their positions: arrays of shape (tokens, width)."""
        vectors: dict[int, np.ndarray] = {}
        for batch, hidden, _ in self._batches(lengths, collate, tokens_per_batch, report):
            for feature, states in zip(batch, hidden, strict=True):
                vectors[feature] = np.array(states[list(tokens[feature])].cpu().numpy())
        return [vectors[feature] for feature in range(len(lengths))]

    def _batches(
        self,
        lengths: Sequence[int],
        collate: Callable[[Sequence[int]], Batch],
        tokens_per_batch: int,
        report: Callable[[int, int], None],
    ) -> Iterator[tuple[Sequence[int], torch.Tensor, torch.Tensor | None]]:
        """Yield the positions of the features of a batch, their hidden states, and the attention mask."""
        done = 0
        report(done, len(lengths))
        for batch in evaluation_batches(lengths, tokens_per_batch=tokens_per_batch, world_size=1)[0]:
            yield batch, *self._forward(collate(batch))
            done += len(batch)
            report(done, len(lengths))

    def _forward(self, batch: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the hidden states of a batch, shape (features, tokens, width), float32, and the attention mask."""
        inputs = {
            name: values
            for name, values in to_device(batch, self._processes.device).inputs.items()
            if not name.startswith("decoder_")
        }
        with torch.inference_mode(), self._processes.autocast():
            hidden = self._encoder(**inputs).last_hidden_state
        return hidden.float(), inputs.get("attention_mask")


class Embedder:
    """Computes embeddings with the checkpoint of a run. It loads the weights again, because training changes the model."""

    def __init__(self, prepared: Prepared, processes: Processes, frozen: FrozenVectors) -> None:
        """Load the checkpoint onto the device of this process. Raises ModelError.

        `frozen` vectors of the training features are used, if they have the pooling of the checkpoint.
        """
        self._prepared, self._frozen = prepared, frozen
        self._model = FrozenModel(prepared.checkpoint.folder, prepared.tokenizer, processes)

    def embed_tokens(
        self, split: SplitName, tokens: Sequence[Sequence[int]], report: Callable[[int, int], None]
    ) -> list[np.ndarray]:
        """Return the vectors of chosen tokens of each feature of a split, of length 1: arrays of shape (tokens, width)."""
        prepared, features = self._prepared, self._prepared.features[split]
        collate = make_collate(features, prepared.task, prepared.schema, prepared.tokenizer.pad_token_id)
        vectors = self._model.token_vectors(features.lengths, collate, tokens, prepared.evaluation_tokens(), report)
        return [of_length_1(each) for each in vectors]

    def embed(self, split: SplitName, rows: Sequence[int], report: Callable[[int, int], None]) -> np.ndarray:
        """Return the embedding of each of the `rows` of a split, given by their numbers, shape (rows, width).

        The windows of a long row are averaged, weighted by their tokens. `report` is called with the number of features that
        are done, and their total, at the start and after each batch.
        """
        features, frozen = self._prepared.features[split], self._frozen
        order = range(len(features.lengths))
        if split == "train":
            order = reading_order(len(features.lengths), self._prepared.recipe.training.seed).tolist()
        chosen = set(rows)
        ids = [i for i in order if features.example_ids[i] in chosen]
        known = frozen.vectors if split == "train" and frozen.pooling == self._model.pooling else None
        # a part of the features is read in other batches, so its vectors are not bitwise the same
        pooled = known[ids] if known is not None and len(known) == len(ids) else self._pool(features, ids, report)
        return _average_windows(features, ids, rows, pooled)

    def _pool(self, features: Features, ids: Sequence[int], report: Callable[[int, int], None]) -> np.ndarray:
        """Return the pooled vectors of features, shape (features, width), in the order of `ids`."""
        prepared, all_lengths = self._prepared, features.lengths
        collate = make_collate(features, prepared.task, prepared.schema, prepared.tokenizer.pad_token_id)
        return self._model.pool(
            [all_lengths[i] for i in ids],
            lambda batch: collate([ids[i] for i in batch]),
            prepared.evaluation_tokens(),
            report,
        )


def embed_inputs(
    model: FrozenModel,
    features: Features,
    collate: Callable[[Sequence[int]], Batch],
    tokens_per_batch: int,
    report: Callable[[int, int], None],
) -> np.ndarray:
    """Return the embedding of each row of some features, shape (rows, width), as `Embedder` computes it."""
    pooled = model.pool(features.lengths, collate, tokens_per_batch, report)
    return _average_windows(features, range(len(pooled)), range(len(features.n_tokens_cut)), pooled)


def _average_windows(features: Features, ids: Sequence[int], rows: Sequence[int], pooled: np.ndarray) -> np.ndarray:
    """Return the embedding of each row: the mean of its windows, each of length 1 and weighted by its tokens, of length 1."""
    position, lengths = {row: i for i, row in enumerate(rows)}, features.lengths
    sums = np.zeros((len(rows), pooled.shape[1]), np.float32)
    weights = np.array([[lengths[i]] for i in ids], np.float32)
    np.add.at(sums, [position[features.example_ids[i]] for i in ids], of_length_1(pooled) * weights)
    return of_length_1(sums)


def of_length_1(vectors: np.ndarray) -> np.ndarray:
    """Return vectors, shape (n, width), scaled to length 1."""
    return np.asarray(torch.nn.functional.normalize(torch.from_numpy(vectors), dim=-1).numpy())
