"""Predict every example exactly once, on any number of processes."""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from accelerate.utils import gather_object

from ft_toolkit.data.batches import evaluation_batches
from ft_toolkit.tasks.base import Batch, Features, Rows, Task, without_answers
from ft_toolkit.training.collate import make_collate, to_device
from ft_toolkit.training.speedups.decoder_cache import without_cache
from ft_toolkit.training.speedups.predicted_positions import compute_logits_at, read_positions

# Rows per chunk of predict_in_chunks: enough to sort them by length. Generation takes longer, so its chunks are smaller.
CHUNK, CHUNK_GENERATED = 4096, 64


class Processes(Protocol):
    """The part of `accelerate.Accelerator` that a Predictor needs: the device, the precision and the processes."""

    @property
    def device(self) -> torch.device: ...

    @property
    def num_processes(self) -> int: ...

    @property
    def process_index(self) -> int: ...

    def autocast(self) -> AbstractContextManager[Any]: ...


@dataclass(frozen=True)
class Predictor:
    """A model with everything that is needed to run it on features.

    `model` does not need to be prepared by Accelerate, because no gradients are exchanged. With `alone`, this process predicts
    all features itself, on any number of processes.
    """

    accelerator: Processes
    model: Any
    task: Task
    schema: Any
    tokenizer: Any
    tokens_per_batch: int
    alone: bool = False

    def predict(self, features: Features, *, loss_only: bool = False) -> tuple[list[Any], float]:
        """Return one value per feature, in order, and the mean loss (NaN without targets), on every process.

        With `loss_only`, a task that generates text skips the generation and its generated values are None. Raises
        RuntimeError if a feature is missing or duplicated after gathering.
        """
        collate = make_collate(features, self.task, self.schema, self.tokenizer.pad_token_id)
        n_processes, process = (
            (1, 0) if self.alone else (self.accelerator.num_processes, self.accelerator.process_index)
        )
        batches = evaluation_batches(features.lengths, tokens_per_batch=self.tokens_per_batch, world_size=n_processes)
        self.model.eval()
        predictions: list[tuple[int, Any]] = []
        losses: list[tuple[float, float]] = []
        with torch.inference_mode():
            for ids in batches[process]:
                cpu_batch = collate(ids)
                values, loss = self._run(cpu_batch, loss_only)
                predictions.extend(zip(ids, values, strict=True))
                if cpu_batch.targets.numel():
                    losses.append((loss, self.task.count_targets(cpu_batch, self.schema)))
        if n_processes > 1:
            predictions, losses = gather_object(predictions), gather_object(losses)
        predictions.sort(key=lambda item: item[0])
        if [i for i, _ in predictions] != list(range(len(features.example_ids))):
            raise RuntimeError(
                f"{len(predictions)} predictions for {len(features.example_ids)} features: some are missing or duplicated"
            )
        count = math.fsum(count for _, count in losses)
        mean_loss = math.fsum(loss for loss, _ in losses) / count if count else math.nan
        return [value for _, value in predictions], mean_loss

    def _run(self, cpu_batch: Batch, loss_only: bool) -> tuple[Sequence[Any], float]:
        """Return the values of a batch's features and the summed loss."""
        batch = to_device(cpu_batch, self.accelerator.device)
        task, loss, has_targets = self.task, math.nan, bool(cpu_batch.targets.numel())
        generated: Sequence[Any] = [None] * len(batch.feature_ids)
        with self.accelerator.autocast():
            outputs = None
            if has_targets or task.generate is None:
                positions = read_positions(task, cpu_batch, self.schema)
                with compute_logits_at(self.model, positions), without_cache(self.model):
                    outputs = self.model(**batch.inputs)
            if task.generate is not None and not loss_only:
                generated = task.generate(self.model, batch, self.schema, self.tokenizer)
        if has_targets:
            loss = float(task.loss_sum(outputs, batch, self.schema))
        if task.predict is None:
            return generated, loss
        predicted = [None] * len(generated) if outputs is None else task.predict(outputs, batch, self.schema)
        return (predicted if task.generate is None else list(zip(predicted, generated, strict=True))), loss


def predict_in_chunks(predictor: Predictor, rows: Rows, max_length: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the decoded predictions of CHUNK rows at a time, in order; inside a chunk, batches are sorted by length.

    Answers in the rows are ignored, so rows with and without answers are batched in the same way. In bfloat16 the width of a
    batch decides near ties: of 300 summaries, 85 were different in other batches.
    """
    task = predictor.task
    size = CHUNK if task.generate is None else CHUNK_GENERATED
    for start in range(0, len(rows), size):
        chunk = [without_answers(row, task) for row in rows[start : start + size]]
        features = task.encode(chunk, predictor.tokenizer, predictor.schema, max_length)
        yield task.decode(predictor.predict(features)[0], features, chunk, predictor.schema)
