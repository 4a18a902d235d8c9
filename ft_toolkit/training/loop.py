"""The training loop: the only code that changes a weight.

    for report in train(...):     one optimizer step per iteration; the caller prints, evaluates and saves

The loop is exact:

- The loss of a step is the sum over all its targets, on all processes and micro-batches, divided by the number of targets,
  which is counted before the first backward pass. Padding, accumulation and ragged last batches do not change it.
- The random numbers of a step are a function of (seed, step, rank), the learning rate is a function of the step, and the
  batches are a function of (seed, epoch). A resumed run therefore needs only weights, optimizer state and `Progress`.
- A step whose loss or gradient is not finite changes nothing. It stops the run, or is skipped up to a limit
  (`training.on_nonfinite`).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from ft_toolkit.core.errors import NotFiniteError
from ft_toolkit.tasks.base import Batch
from ft_toolkit.training.batching import EpochBatches, MicroBatch
from ft_toolkit.training.collate import Collate, to_device
from ft_toolkit.training.optimizer import LearningRate
from ft_toolkit.training.speedups.decoder_cache import without_cache
from ft_toolkit.training.speedups.predicted_positions import compute_logits_at


class Trainable(Protocol):
    """A model with its optimizer (training/strategies.py)."""

    model: Any
    optimizer: Any

    def update(self) -> float:
        """Clip the gradient, update the weights, reset the gradient, and return the gradient norm before clipping.

        A norm that is not finite changes nothing.
        """

    def discard(self) -> None:
        """Reset the gradient without an update. All processes must call it."""


@dataclass
class Progress:
    """The position of a run: `step` counts all optimizer steps so far, `step_in_epoch` those of the current epoch.

    `skipped_steps` counts the steps without an update, because their loss or gradient was not finite, and `n_tokens` the tokens
    of all steps without padding (of a run that an earlier version began, those since then).
    """

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    skipped_steps: int = 0
    n_tokens: int = 0


@dataclass(frozen=True)
class StepReport:
    """One optimizer step over all processes. `step` counts from 1; `loss` is the mean per target.

    `skipped` says why the step had no update; None for a step with an update.
    """

    step: int
    epoch: int
    ends_epoch: bool
    loss: float
    learning_rate: float
    grad_norm: float
    n_examples: int
    n_targets: float
    n_tokens: int
    n_padded: int
    seconds: float
    skipped: str | None = None


@dataclass(frozen=True)
class TrainingPlan:
    """What the loop trains on: values and pure functions, without model or optimizer."""

    # epoch -> batches[step][rank][micro]
    epoch_batches: Callable[[int], EpochBatches]
    total_steps: int
    learning_rate: LearningRate
    collate: Collate
    # The row of each feature, for error messages.
    example_ids: Sequence[int]
    # The task's loss summed over the targets of a batch, and the number of its targets.
    loss_sum: Callable[[object, Batch], Tensor]
    count_targets: Callable[[Batch], float]
    # The positions whose logits the loss reads, in the flattened batch; None for all (speedups/predicted_positions.py).
    read_positions: Callable[[Batch], Tensor | None]
    seed: int
    # A context for the forward pass over these features. It reuses cached outputs (speedups/frozen_blocks.py), or leaves out
    # the last layer (contrastive.py).
    forward_context: Callable[[Sequence[int]], AbstractContextManager[None]] = lambda feature_ids: nullcontext()
    # The number of passes into which a micro-batch is split.
    n_pieces: Callable[[MicroBatch], int] = lambda micro: 1
    # Whether a micro-batch with fewer rows than pieces gets fillers, so that all processes make the same number of passes.
    has_equal_passes: bool = False
    # The number of steps of the run that may be skipped because their loss or gradient is not finite.
    max_skipped_steps: int = 0


def train(accelerator: Accelerator, trained: Trainable, plan: TrainingPlan, progress: Progress) -> Iterator[StepReport]:
    """Train from `progress` to the last step and yield a report after each optimizer step. Updates `progress`.

    Batches and schedule do not go through `accelerator.prepare`: a prepared loader drops or duplicates ragged batches, and a
    prepared schedule advances once per process. Raises NotFiniteError.
    """
    while progress.step < plan.total_steps:
        batches = plan.epoch_batches(progress.epoch)
        for index in range(progress.step_in_epoch, len(batches)):
            micros = batches[index][accelerator.process_index]
            report = _step(accelerator, trained, plan, progress, micros, ends_epoch=index + 1 == len(batches))
            progress.step += 1
            progress.skipped_steps += report.skipped is not None
            progress.n_tokens += report.n_tokens
            progress.step_in_epoch = index + 1
            if report.ends_epoch:
                progress.epoch, progress.step_in_epoch = progress.epoch + 1, 0
            yield report
            if progress.step == plan.total_steps:
                return


def _step(
    accelerator: Accelerator,
    trained: Trainable,
    plan: TrainingPlan,
    progress: Progress,
    micros: list[MicroBatch],
    *,
    ends_epoch: bool,
) -> StepReport:
    started = time.perf_counter()
    trained.model.train()
    torch.manual_seed(step_seed(plan.seed, progress.step, accelerator.process_index))
    batches = collate_pieces(plan, micros, progress.epoch)
    n_targets, n_examples, n_tokens, n_padded = _count(accelerator, plan, batches)
    total = torch.zeros((), device=accelerator.device)
    for index, batch in enumerate(batches):
        synchronizes = index == len(batches) - 1
        with torch.enable_grad() if synchronizes else accelerator.no_sync(trained.model):
            total += backward(accelerator, trained.model, plan, batch, n_targets)
    loss = float(accelerator.reduce(total, reduction="sum"))
    learning_rate = plan.learning_rate.apply(progress.step, trained.optimizer)
    grad_norm = trained.update() if np.isfinite(loss) else float("nan")
    skipped = None
    if not np.isfinite(loss) or not np.isfinite(grad_norm):  # the same values on all processes
        problem = f"step {progress.step + 1}: the loss is {loss} and the gradient norm is {grad_norm}"
        skipped = _skip(accelerator, trained, plan, progress, micros, problem)
    return StepReport(
        step=progress.step + 1,
        epoch=progress.epoch,
        ends_epoch=ends_epoch,
        loss=loss,
        learning_rate=learning_rate,
        grad_norm=grad_norm,
        n_examples=n_examples,
        n_targets=n_targets,
        n_tokens=n_tokens,
        n_padded=n_padded,
        seconds=time.perf_counter() - started,
        skipped=skipped,
    )


def _skip(
    accelerator: Accelerator,
    trained: Trainable,
    plan: TrainingPlan,
    progress: Progress,
    micros: list[MicroBatch],
    problem: str,
) -> str:
    """Reset the gradient of a step that is not finite, and return the problem with the rows of the step.

    Raises NotFiniteError if no further step may be skipped, or if the weights are not finite, so that every step would fail.
    """
    rows = [plan.example_ids[i] for micro in micros for i in micro.features]
    is_finite = all(bool(parameter.isfinite().all()) for parameter in _local_parameters(trained.model))
    if accelerator.num_processes > 1:
        rows, is_finite = gather_object(rows), all(gather_object([is_finite]))
    where = f"Rows of this step (counted from 0): {sorted(set(rows))}"
    if not is_finite:
        raise NotFiniteError(
            f"{problem}, because weights are NaN or infinite; stopped before the update. {where}. Resume from a checkpoint of "
            "an earlier step, or start again with a lower training.learning_rate"
        )
    if (n := progress.skipped_steps) >= plan.max_skipped_steps:
        earlier = f" after {n} skipped step{'s' if n > 1 else ''}" if n else ""
        remedy = "more steps with training.max_skipped_steps" if n else "such steps with training.on_nonfinite=skip"
        raise NotFiniteError(
            f"{problem}; stopped before the update{earlier}. {where}. Check these rows, lower training.learning_rate, or skip "
            f"{remedy}"
        )
    trained.discard()
    return f"{problem}; the step is skipped. {where}"


def _local_parameters(model: Any) -> Iterator[Tensor]:
    """Return the weights that this process holds: with FSDP, its shards."""
    for parameter in model.parameters():
        yield parameter.to_local() if hasattr(parameter, "to_local") else parameter


def collate_pieces(plan: TrainingPlan, micros: list[MicroBatch], epoch: int) -> list[Batch]:
    """Return the batches of the micro-batches, each split into `plan.n_pieces` pieces of nearly the same size."""
    batches = []
    for micro in micros:
        n_pieces = plan.n_pieces(micro)
        size = -(-len(micro.features) // n_pieces)
        pieces = [micro.features[start : start + size] for start in range(0, len(micro.features), size)]
        batches += [plan.collate(piece, micro.weight, epoch) for piece in pieces]
        if plan.has_equal_passes and len(pieces) < n_pieces:
            batches += [plan.collate(micro.features[:1], 0.0, epoch)] * (n_pieces - len(pieces))
    return batches


def with_min_pieces(plan: TrainingPlan, minimum: int) -> TrainingPlan:
    """Return the plan with each micro-batch split into at least `minimum` pieces."""
    return replace(plan, n_pieces=lambda micro: max(plan.n_pieces(micro), minimum))


def backward(
    accelerator: Accelerator, model: torch.nn.Module, plan: TrainingPlan, cpu_batch: Batch, n_targets: float
) -> Tensor:
    """Accumulate the gradient of a batch in a step with `n_targets` targets; return the batch's part of the loss, detached."""
    batch = to_device(cpu_batch, accelerator.device)
    with (
        accelerator.autocast(),
        compute_logits_at(model, plan.read_positions(cpu_batch)),
        without_cache(model),
        plan.forward_context(batch.feature_ids),
    ):
        outputs = model(**batch.inputs)
    loss = plan.loss_sum(outputs, batch) * (batch.weight / n_targets)
    # DDP averages gradients over processes, but the loss is a sum
    accelerator.backward(loss * accelerator.num_processes)
    return loss.detach()


def step_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of the random numbers (dropout) of a step on a process."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint32)[0])


def _count(accelerator: Accelerator, plan: TrainingPlan, batches: list[Batch]) -> tuple[float, int, int, int]:
    """Return targets, examples, tokens and padded tokens of the step over all processes. Fillers count only as padding."""
    real = [batch for batch in batches if batch.weight]
    counts = torch.tensor(
        [
            sum(plan.count_targets(batch) for batch in real),
            sum(len(batch.feature_ids) for batch in real),
            sum(batch.n_tokens for batch in real),
            sum(batch.n_padded for batch in batches),
        ],
        dtype=torch.float64,
    )
    if accelerator.num_processes > 1:
        counts = accelerator.reduce(counts.to(accelerator.device), reduction="sum").cpu()
    targets, examples, tokens, padded = counts.tolist()
    return targets, int(examples), int(tokens), int(padded)
