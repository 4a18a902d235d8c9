"""Predict every example once, on any number of ranks."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from ft_toolkit.tasks.base import Batch, Features, Rows, Task, without_answers
from ft_toolkit.training.batching import evaluation_batches
from ft_toolkit.training.collate import make_collate, to_device
from ft_toolkit.training.speedups.predicted_positions import compute_logits_at, read_positions

# Rows that are predicted together and handed out before the next ones: enough to sort by length.
CHUNK, CHUNK_GENERATED = 4096, 64


@dataclass(frozen=True)
class Predictor:
    """A model with what is needed to run it on features. `model` need not be prepared: no gradients are exchanged.

    With `alone`, this process predicts everything itself, whatever the number of ranks.
    """

    accelerator: Accelerator
    model: Any
    task: Task
    schema: Any
    tokenizer: Any
    tokens_per_batch: int
    alone: bool = False

    def predict(self, features: Features, *, loss_only: bool = False) -> tuple[list[Any], float]:
        """Return one value per feature, in order, on every rank, and the mean loss (NaN without targets).

        With `loss_only` a task that generates does not, and the values are None. Raises RuntimeError when a feature came
        back twice or not at all.
        """
        collate = make_collate(features, self.task, self.schema, self.tokenizer.pad_token_id)
        n_ranks, rank = (1, 0) if self.alone else (self.accelerator.num_processes, self.accelerator.process_index)
        plan = evaluation_batches(features.lengths, tokens_per_batch=self.tokens_per_batch, world_size=n_ranks)
        self.model.eval()
        found: list[tuple[int, Any]] = []
        losses: list[tuple[float, float]] = []
        with torch.inference_mode():
            for ids in plan[rank]:
                cpu_batch = collate(ids)
                values, loss = self._run(cpu_batch, loss_only)
                found.extend(zip(ids, values, strict=True))
                if cpu_batch.targets.numel():
                    losses.append((loss, self.task.count_targets(cpu_batch, self.schema)))
        if n_ranks > 1:
            found, losses = gather_object(found), gather_object(losses)
        found.sort(key=lambda item: item[0])
        if [i for i, _ in found] != list(range(len(features.example_ids))):
            raise RuntimeError(
                f"{len(found)} predictions for {len(features.example_ids)} features: one is missing or double"
            )
        count = math.fsum(count for _, count in losses)
        mean_loss = math.fsum(loss for loss, _ in losses) / count if count else math.nan
        return [value for _, value in found], mean_loss

    def _run(self, cpu_batch: Batch, loss_only: bool) -> tuple[Sequence[Any], float]:
        """Return the values of a batch's features and the summed loss."""
        batch = to_device(cpu_batch, self.accelerator.device)
        task, loss = self.task, math.nan
        values: Sequence[Any] = [None] * len(batch.feature_ids)
        with self.accelerator.autocast():
            outputs = None
            if task.predict is not None or batch.targets.numel():
                with compute_logits_at(self.model, read_positions(task, cpu_batch, self.schema)):
                    outputs = self.model(**batch.inputs)
            if task.generate is not None and not loss_only:
                values = task.generate(self.model, batch, self.schema, self.tokenizer)
        if batch.targets.numel():
            loss = float(task.loss_sum(outputs, batch, self.schema))
        return (values if task.predict is None else task.predict(outputs, batch, self.schema)), loss


def predict_in_chunks(predictor: Predictor, rows: Rows, max_length: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the decoded predictions of CHUNK rows at a time, in order, as they are made; inside, batches go by length.

    Answers that the rows may have are not looked at, so the same rows are batched alike by whoever asks: in bfloat16 the
    width of a batch decides near ties (of 300 summaries, 85 came out otherwise in other batches).
    """
    task = predictor.task
    size = CHUNK if task.generate is None else CHUNK_GENERATED
    for start in range(0, len(rows), size):
        chunk = [without_answers(row, task) for row in rows[start : start + size]]
        features = task.encode(chunk, predictor.tokenizer, predictor.schema, max_length)
        yield task.decode(predictor.predict(features)[0], features, chunk, predictor.schema)
