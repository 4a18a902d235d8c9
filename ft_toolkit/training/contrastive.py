"""Contrastive training of the encoder on pairs of rows, before the head: Tunstall et al. 2022, arXiv:2209.11055 ("SetFit").

    two rows ──> model without the last layer of its head ──> cosine of the two vectors ──> 1 for the same label, else 0

A few rows give many pairs: 16 rows with 40 pairs each give 640. The vectors are the input of the head's last layer, which the
linear probe reads afterwards: with `model.pooling`, the pooled hidden states. The loss is the squared error of the cosine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ft_toolkit.core.errors import ModelError, UsageError
from ft_toolkit.data.batches import EVALUATION
from ft_toolkit.tasks.base import Batch
from ft_toolkit.training.batching import EpochBatches, epoch_batches
from ft_toolkit.training.collate import make_collate
from ft_toolkit.training.head_probe import NoProbeError, last_new_layer, without_layer
from ft_toolkit.training.loop import TrainingPlan
from ft_toolkit.training.optimizer import LearningRate
from ft_toolkit.training.prepare import Prepared
from ft_toolkit.training.strategies import Replicated
from ft_toolkit.training.trained_model import TrainedModel

# The second part of the seed of the pairs, after the seed of the run.
_STREAM = 2


@dataclass(frozen=True)
class Pair:
    """Two training features, and whether their labels are equal."""

    first: int
    second: int
    is_same: bool


@dataclass
class ContrastiveStage:
    """The state of the stage: its pairs and steps, the steps that are done, the loss of the first and of the last one."""

    pairs: int
    steps: int
    done: int = 0
    first_loss: float | None = None
    loss: float | None = None
    seconds: float = 0.0

    @property
    def is_finished(self) -> bool:
        """Whether no step is left."""
        return self.done == self.steps


def draw_pairs(labels: Sequence[str], per_row: int, seed: int) -> list[Pair]:
    """Return `per_row` pairs for each row: alternately with a row of the same label and with a row of another label.

    `labels` has the label of each row. A row without a partner of one kind gets no pairs of this kind. The partners of a row
    are random; they repeat only after each possible partner had its turn.
    """
    rng = np.random.default_rng((seed, _STREAM))
    names = np.array(labels)
    pairs: list[Pair] = []
    for is_same, n_pairs in ((True, (per_row + 1) // 2), (False, per_row // 2)):
        for row in range(len(names)):
            partners = np.flatnonzero((names == names[row]) == is_same)
            partners = partners[partners != row]
            if len(partners):
                rounds = -(-n_pairs // len(partners))
                order = np.concatenate([rng.permutation(partners) for _ in range(rounds)])[:n_pairs]
                pairs += [Pair(row, int(partner), is_same) for partner in order]
    return pairs


class ContrastiveTraining:
    """The pairs of a run (`drawn`), and the plan with which the loop trains on them."""

    def __init__(self, trained: TrainedModel, prepared: Prepared, world_size: int) -> None:
        """Draw the pairs. Raises UsageError for a sharded model, and ModelError for a model without a new last layer."""
        training = prepared.recipe.training
        assert training.contrastive_pairs is not None
        if not isinstance(trained.strategy, Replicated):
            raise UsageError(
                "training.contrastive_pairs: not supported with FSDP and DeepSpeed, which shard the weights; start the run "
                "without them, or remove the setting"
            )
        self._trained, self._prepared = trained, prepared
        self.drawn = draw_pairs(prepared.classes, training.contrastive_pairs, training.seed)
        lengths = prepared.training_features.lengths
        self._lengths = [max(lengths[pair.first], lengths[pair.second]) for pair in self.drawn]
        self._batches: EpochBatches = epoch_batches(
            self._lengths,
            tokens_per_batch=training.tokens_per_batch,
            examples_per_batch=training.examples_per_batch,
            world_size=world_size,
            accumulate=training.gradient_accumulation_steps,
            seed=training.seed,
            epoch=0,
        )
        try:
            _, self._layer = last_new_layer(trained.plain, trained.new_modules)
        except NoProbeError:
            raise ModelError(
                "training.contrastive_pairs: the checkpoint already has a trained head, which reads the present vectors; "
                "remove the setting"
            ) from None

    def new_stage(self) -> ContrastiveStage:
        """Return the state before the first step."""
        return ContrastiveStage(len(self.drawn), len(self._batches))

    def plan(self) -> TrainingPlan:
        """Return the plan for the loop, in which a feature is a pair."""
        training, features = self._prepared.recipe.training, self._prepared.training_features
        collate_rows = make_collate(
            features, self._prepared.task, self._prepared.schema, self._prepared.tokenizer.pad_token_id
        )

        def collate(feature_ids: Sequence[int], weight: float = 1.0, epoch: int = EVALUATION) -> Batch:
            chosen = [self.drawn[i] for i in feature_ids]
            rows = collate_rows([row for pair in chosen for row in (pair.first, pair.second)], weight, epoch)
            targets = torch.tensor([float(pair.is_same) for pair in chosen])
            return Batch(rows.inputs, targets, tuple(feature_ids), rows.n_tokens, rows.n_padded, weight)

        plan = TrainingPlan(
            epoch_batches=lambda epoch: self._batches,
            total_steps=len(self._batches),
            learning_rate=LearningRate(
                training.learning_rate, len(self._batches), training.warmup_ratio, training.lr_scheduler_type
            ),
            collate=collate,
            example_ids=[features.example_ids[pair.first] for pair in self.drawn],
            loss_sum=self._loss_sum,
            count_targets=lambda batch: len(batch.targets),
            read_positions=lambda batch: None,
            seed=training.seed,
            forward_context=lambda pairs: without_layer(self._trained.plain, self._layer),
        )
        return self._trained.split_micro_batches(plan, [2 * length for length in self._lengths], 0)

    def _loss_sum(self, outputs: Any, batch: Batch) -> Tensor:
        """Return the sum of the squared errors of the cosines. The last layer gets a zero gradient, which DDP waits for."""
        vectors = outputs.logits.float()
        width = self._layer.in_features
        if vectors.shape != (2 * len(batch.targets), width):
            raise ModelError(
                f"training.contrastive_pairs: the model returns vectors of the shape {tuple(vectors.shape)}, and its last "
                f"layer reads a width of {width}; remove the setting"
            )
        cosines = functional.cosine_similarity(vectors[0::2], vectors[1::2])
        unused = sum(parameter.sum() for parameter in self._layer.parameters() if parameter.requires_grad)
        return (cosines - batch.targets).square().sum() + 0.0 * unused
