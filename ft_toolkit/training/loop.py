"""The training loop: the only place where a weight changes.

    for report in train(...):     one optimizer step each; the caller decides what to print, evaluate and save

What makes it exact:

- The loss of a step is summed over all its targets, on all ranks and micro-batches, and divided by their number, which is
  known before the first backward pass. Padding, accumulation and ragged last batches change nothing.
- The random numbers of a step are a function of (seed, step, rank), the learning rate one of the step, and the batches one
  of (seed, epoch). So a resumed run needs weights, optimizer state and two numbers.
- A step whose loss or gradient is not finite stops the run before the update.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from ft_toolkit.core.errors import NotFiniteError
from ft_toolkit.tasks.base import Batch
from ft_toolkit.training.batching import EpochBatches, MicroBatch
from ft_toolkit.training.collate import Collate, to_device
from ft_toolkit.training.speedups.predicted_positions import compute_logits_at

# Clips the gradient, changes the weights and returns the norm before clipping; where that is not finite, nothing is changed.
Update = Callable[[], float]


@dataclass
class Progress:
    """Where the run is: `step` counts optimizer steps of the whole run, `step_in_epoch` those of the epoch."""

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0


@dataclass(frozen=True)
class StepReport:
    """One optimizer step, over all ranks. `step` counts from 1; `loss` is the mean per target."""

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


@dataclass(frozen=True)
class TrainingPlan:
    """Everything the loop needs besides the model; plain values and pure functions.

    `epoch_batches(epoch)` gives the batches, `lr_at(step)` the learning rate; `loss_sum` and `count_targets` are the task's.
    """

    epoch_batches: Callable[[int], EpochBatches]
    total_steps: int
    lr_at: Callable[[int], float]
    collate: Collate
    # The row that each feature came from.
    example_ids: Sequence[int]
    loss_sum: Callable[[object, Batch], Tensor]
    count_targets: Callable[[Batch], float]
    # The read_positions of the outputs that the loss reads, as savings.positions counts them; None: all.
    read_positions: Callable[[Batch], Tensor | None]
    max_grad_norm: float | None
    seed: int
    # Inside, a pass over these features takes from an earlier epoch what does not change (savings.frozen).
    reused: Callable[[Sequence[int]], AbstractContextManager[None]] = lambda feature_ids: nullcontext()
    # In how many pieces a micro-batch passes.
    pieces: Callable[[MicroBatch], int] = lambda micro: 1


def train(
    accelerator: Accelerator,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    plan: TrainingPlan,
    progress: Progress,
    update: Update | None = None,
) -> Iterator[StepReport]:
    """Train from `progress` to the last step, yielding a report after each optimizer step; `progress` moves along.

    `model` and `optimizer` come from `accelerator.prepare`; batches and schedule must not, since a prepared loader drops or
    doubles ragged batches and a prepared schedule advances once per rank. `update` ends a step, where torch's clipping and
    the optimizer's step do not. Raises NotFiniteError.
    """
    update = update or partial(_clip_and_update, accelerator, model, optimizer, plan.max_grad_norm)
    rank = accelerator.process_index
    while progress.step < plan.total_steps:
        steps = plan.epoch_batches(progress.epoch)
        for step in range(progress.step_in_epoch, len(steps)):
            report = _step(
                accelerator, model, optimizer, plan, progress, steps[step][rank], step + 1 == len(steps), update
            )
            progress.step += 1
            progress.step_in_epoch = step + 1
            if report.ends_epoch:
                progress.epoch, progress.step_in_epoch = progress.epoch + 1, 0
            yield report
            if progress.step == plan.total_steps:
                return


def _step(
    accelerator: Accelerator,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    plan: TrainingPlan,
    progress: Progress,
    micros: list[MicroBatch],
    ends_epoch: bool,
    update: Update,
) -> StepReport:
    started = time.perf_counter()
    model.train()
    torch.manual_seed(step_seed(plan.seed, progress.step, accelerator.process_index))
    batches = collate_pieces(plan, micros, progress.epoch)
    n_targets, n_examples, n_tokens, n_padded = _count(accelerator, plan, batches)
    total = torch.zeros((), device=accelerator.device)
    for index, batch in enumerate(batches):
        synchronizes = index == len(batches) - 1
        with torch.enable_grad() if synchronizes else accelerator.no_sync(model):
            total += backward(accelerator, model, plan, batch, n_targets)
    loss_value = float(accelerator.reduce(total, reduction="sum"))
    learning_rate = plan.lr_at(progress.step)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["lr_factor"]
    grad_norm = update() if np.isfinite(loss_value) else float("nan")
    if not np.isfinite(loss_value) or not np.isfinite(grad_norm):
        own = [plan.example_ids[i] for micro in micros for i in micro.features]
        ids = sorted(set(gather_object(own) if accelerator.num_processes > 1 else own))
        raise NotFiniteError(
            f"step {progress.step + 1}: the loss is {loss_value} and the gradient norm {grad_norm}; stopped before the update. "
            f"Rows of this step (counted from 0): {ids}. Look at these rows, or lower training.learning_rate"
        )
    return StepReport(
        step=progress.step + 1,
        epoch=progress.epoch,
        ends_epoch=ends_epoch,
        loss=loss_value,
        learning_rate=learning_rate,
        grad_norm=grad_norm,
        n_examples=n_examples,
        n_targets=n_targets,
        n_tokens=n_tokens,
        n_padded=n_padded,
        seconds=time.perf_counter() - started,
    )


def _clip_and_update(
    accelerator: Accelerator, model: torch.nn.Module, optimizer: torch.optim.Optimizer, max_grad_norm: float | None
) -> float:
    norm = accelerator.clip_grad_norm_(model.parameters(), max_grad_norm or float("inf"))
    grad_norm = float(norm) if norm is not None else float("nan")
    if np.isfinite(grad_norm):
        optimizer.step()
        optimizer.zero_grad()
    return grad_norm


def collate_pieces(plan: TrainingPlan, micros: list[MicroBatch], epoch: int) -> list[Batch]:
    """Return the batches of micro-batches, each in as many pieces as the plan says, as even as its features allow."""
    batches = []
    for micro in micros:
        size = -(-len(micro.features) // plan.pieces(micro))
        parts = [micro.features[start : start + size] for start in range(0, len(micro.features), size)]
        batches += [plan.collate(part, micro.weight, epoch) for part in parts]
    return batches


def in_pieces(plan: TrainingPlan, least: int) -> TrainingPlan:
    """Return the plan with micro-batches in `least` pieces each, or more."""
    return replace(plan, pieces=lambda micro: max(plan.pieces(micro), least))


def backward(
    accelerator: Accelerator, model: torch.nn.Module, plan: TrainingPlan, cpu_batch: Batch, n_targets: float
) -> Tensor:
    """Add the gradient of a batch's part in the loss of a step with `n_targets` targets; return that part, detached."""
    batch = to_device(cpu_batch, accelerator.device)
    with (
        accelerator.autocast(),
        compute_logits_at(model, plan.read_positions(cpu_batch)),
        plan.reused(batch.feature_ids),
    ):
        outputs = model(**batch.inputs)
    loss = plan.loss_sum(outputs, batch) * (batch.weight / n_targets)
    # DDP averages gradients over ranks, and a sum is wanted
    accelerator.backward(loss * accelerator.num_processes)
    return loss.detach()


def step_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of a step's random numbers (dropout) on a rank."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint32)[0])


def _count(accelerator: Accelerator, plan: TrainingPlan, batches: list[Batch]) -> tuple[float, int, int, int]:
    """Return targets, examples, real and padded tokens of the step over all ranks; fillers count as nothing."""
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
