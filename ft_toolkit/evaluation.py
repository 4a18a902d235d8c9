"""Predict every example once, on any number of ranks, and turn predictions into scores with intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from ft_toolkit.batching import plan_evaluation
from ft_toolkit.loader import make_collate, to_device
from ft_toolkit.metrics.bootstrap import central_95, resample
from ft_toolkit.tasks.base import Batch, Features, Metric, Rows, Task


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
        plan = plan_evaluation(features.lengths, tokens_per_batch=self.tokens_per_batch, world_size=n_ranks)
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
            outputs = self.model(**batch.inputs) if task.predict is not None or batch.targets.numel() else None
            if task.generate is not None and not loss_only:
                values = task.generate(self.model, batch, self.schema, self.tokenizer)
        if batch.targets.numel():
            loss = float(task.loss_sum(outputs, batch, self.schema))
        return (values if task.predict is None else task.predict(outputs, batch, self.schema)), loss


@dataclass(frozen=True)
class Scores:
    """All metrics of a split, their values on bootstrap resamples, and the task's tables."""

    n: int
    values: dict[str, float]
    resamples: dict[str, np.ndarray]
    details: dict[str, Any]

    def metrics(self) -> dict[str, dict[str, float | None]]:
        """Return {metric: {value, low, high}}: the value and its 95% interval, None for what is undefined."""
        return {
            name: {"value": None if math.isnan(value) else value, **_interval(self.resamples[name])}
            for name, value in self.values.items()
        }

    def lead_over(self, other: "Scores") -> dict[str, dict[str, float | None]]:
        """Return {metric: {low, high}}: the 95% interval of this score minus `other`'s, resample by resample.

        Both must be of the same examples with the same seed. An interval without 0 shows a difference.
        """
        return {name: _interval(self.resamples[name] - other.resamples[name]) for name in self.values}


def _interval(resamples: np.ndarray) -> dict[str, float | None]:
    low, high = central_95(resamples) or (None, None)
    return {"low": low, "high": high}


def applicable_metrics(task: Task, settings: Any, schema: Any) -> dict[str, Metric]:
    """Return the task's metrics that mean something for this data: binary averages need exactly two labels."""
    labels = getattr(schema, "labels", ())
    return {
        name: metric
        for name, metric in task.metrics(settings).items()
        if not name.endswith("_binary") or len(labels) == 2
    }


def point_scores(
    decoded: list[dict[str, Any]], rows: Rows, task: Task, schema: Any, metrics: dict[str, Metric]
) -> dict[str, float]:
    """Return the metrics without intervals, as the training run needs them between epochs."""
    predictions, references = task.to_arrays(decoded, rows, schema)
    return {name: metric.fn(predictions, references) for name, metric in metrics.items()}


def full_scores(
    decoded: Sequence[dict[str, Any]],
    *,
    rows: Rows,
    task: Task,
    schema: Any,
    metrics: dict[str, Metric],
    samples: int,
    seed: int,
) -> Scores:
    """Return metrics through `evaluate`, bootstrap intervals and the task's tables."""
    from ft_toolkit.metrics.offline import compute

    predictions, references = task.to_arrays(decoded, rows, schema)
    values = compute(metrics, predictions, references)
    fns = {name: metric.fn for name, metric in metrics.items()}
    resamples = resample(fns, predictions, references, samples=samples, seed=seed)
    return Scores(len(references), values, resamples, task.details(predictions, references, schema))
