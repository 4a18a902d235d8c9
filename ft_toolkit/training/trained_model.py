"""The model of a run during training: built from the recipe, sped up, sharded as the launcher requests, and its plan."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from ft_toolkit.core import environment
from ft_toolkit.models.pretrained import hidden_size
from ft_toolkit.tasks.base import Features
from ft_toolkit.training import checkpoint
from ft_toolkit.training.batching import EpochBatches, MicroBatch
from ft_toolkit.training.collate import Collate, make_collate
from ft_toolkit.training.distributed.fsdp import Sharding
from ft_toolkit.training.distributed.zero import Zero
from ft_toolkit.training.fit_memory import Fit, can_run_out, fit_memory
from ft_toolkit.training.loop import TrainingPlan, with_min_pieces
from ft_toolkit.training.optimizer import LearningRate, make_optimizer
from ft_toolkit.training.prepare import Prepared, build_model
from ft_toolkit.training.speedups import apply_speedups, remove_speedups
from ft_toolkit.training.speedups.frozen_blocks import FrozenBlockCache, cache_frozen_blocks
from ft_toolkit.training.speedups.predicted_positions import read_positions, unwrapped
from ft_toolkit.training.strategies import choose_strategy, is_sharded
from ft_toolkit.training.tracking import Display

# Maximum size of the widest activations of a block (four times the hidden size) in one pass on a CPU. With this limit,
# micro-batches of 4,096 padded tokens trained 1.07 times as fast (MiniLM, float32) and 1.15 times (BERT-base, bfloat16).
# In bfloat16, those of MiniLM are just below the limit; with a lower limit it trained 0.89 times as fast.
MAX_BYTES_ON_CPU = 12 * 2**20


def training_plan(prepared: Prepared, *, total_steps: int, world_size: int) -> TrainingPlan:
    """Return the recipe's training as a plan of `total_steps` steps, which is also the length of the schedule."""
    training, task, schema = prepared.recipe.training, prepared.task, prepared.schema
    features, stream = prepared.training_features, prepared.stream

    def collate_for(features: Features) -> Collate:
        return make_collate(features, task, schema, prepared.tokenizer.pad_token_id, training.seed)

    def epoch_batches(epoch: int) -> EpochBatches:
        if stream is not None:
            stream.start(epoch)
        return prepared.epoch_batches(epoch, world_size)

    return TrainingPlan(
        epoch_batches=epoch_batches,
        total_steps=total_steps,
        learning_rate=LearningRate(
            training.learning_rate, total_steps, training.warmup_ratio, training.lr_scheduler_type
        ),
        collate=collate_for(features) if stream is None else stream.collate(collate_for),
        example_ids=(features if stream is None else stream).example_ids,
        loss_sum=lambda outputs, batch: task.loss_sum(outputs, batch, schema),
        count_targets=lambda batch: task.count_targets(batch, schema),
        read_positions=lambda batch: read_positions(task, batch, schema),
        seed=training.seed,
        max_skipped_steps=training.max_skipped_steps if training.on_nonfinite == "skip" else 0,
    )


class TrainedModel:
    """A recipe's model and optimizer on this process.

    `strategy` holds model and optimizer, `speedups` describes the speed-ups in use, `new_modules` names the modules without
    weights in the checkpoint.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        prepared: Prepared,
        requested: tuple[Sharding, Zero],
        display: Display,
    ) -> None:
        self._accelerator, self._prepared, self._display = accelerator, prepared, display
        training = prepared.recipe.training
        built = build_model(prepared)
        self.count, self.new_modules = built.count, built.new_modules
        self.speedups = apply_speedups(built.model, accelerator.device, prepared.training_ids)
        self._sharded_fit = self._fit_before_sharding(built.model) if is_sharded(accelerator, requested) else None
        self.strategy = choose_strategy(
            accelerator,
            built.model,
            partial(make_optimizer, training=training, heads=built.heads),
            training.max_grad_norm,
            requested,
        )
        self._cache = self._cache_frozen_blocks()

    @property
    def plain(self) -> torch.nn.Module:
        """The unsharded model without wrappers, on every process. Its weights are current inside `gathered`."""
        return self.strategy.plain

    def gathered(self, *, write_back: bool = False) -> AbstractContextManager[None]:
        """Gather the current weights into `plain` inside the context; `write_back` copies changes back for training.

        All processes must enter, and with `write_back` make the same changes.
        """
        return self.strategy.gathered(write_back=write_back)

    def load(self, folder: Path, read: Callable[[Path], bytes]) -> None:
        """Load the weights and the optimizer state of a checkpoint."""
        with self.gathered(write_back=True):
            optimizer_state = checkpoint.load_state(folder, self.plain, read)
        self.strategy.load_optimizer_state(optimizer_state)

    def reset_optimizer(self) -> None:
        """Forget the moments of the optimizer, as before the first step. Replicated weights only."""
        self.strategy.optimizer.state.clear()

    def finish(self, weights: Path, read: Callable[[Path], bytes]) -> None:
        """Load the final weights into `plain` and remove the speed-ups, so that the model can be saved."""
        self.plain.to(self._accelerator.device)
        checkpoint.load_weights(self.plain, weights, read)
        remove_speedups(self.plain)

    def plan(self, total_steps: int, epoch: int) -> TrainingPlan:
        """Return the plan for the loop, with micro-batches split into pieces that fit this device."""
        plan = training_plan(self._prepared, total_steps=total_steps, world_size=self._accelerator.num_processes)
        features, stream = self._prepared.training_features, self._prepared.stream
        if stream is not None:
            stream.start(epoch)
            return self.split_micro_batches(plan, stream.lengths, epoch)
        lengths = widest = features.lengths
        if (
            decoder := features.decoder_lengths
        ) is not None:  # a block of encoder or decoder has the tokens of one part
            widest = [max(total - part, part) for total, part in zip(lengths, decoder, strict=True)]
        plan = self.split_micro_batches(plan, lengths, epoch, widest)
        return plan if self._cache is None else replace(plan, forward_context=partial(self._cache.reuse, lengths))

    def split_micro_batches(
        self, plan: TrainingPlan, lengths: Sequence[int], epoch: int, widest: Sequence[int] | None = None
    ) -> TrainingPlan:
        """Return the plan with micro-batches split where they exceed a CPU's caches or the memory.

        `lengths` are the tokens of each feature of the plan, and `widest` those that one block computes at a time.
        """
        if self._sharded_fit is not None:
            pieces = self._sharded_fit.pieces
            return replace(plan, n_pieces=lambda micro: pieces, has_equal_passes=True)
        if self._accelerator.device.type == "cpu":
            plan = self._split_for_cpu_caches(plan, lengths if widest is None else widest, epoch)
        if not can_run_out(self._accelerator):
            return plan
        fit = fit_memory(self._accelerator, self.strategy.model, plan, lengths, epoch)
        self._announce(fit)
        return with_min_pieces(plan, fit.pieces)

    def _fit_before_sharding(self, model: torch.nn.Module) -> Fit:
        """Try the widest micro-batch of the first epoch before the model is sharded; return the result for all processes.

        Each pass of a sharded model communicates: a process that runs out of memory in one would leave the others waiting.
        """
        if not can_run_out(self._accelerator):
            return Fit(1, checkpointing=False)
        processes = self._accelerator.num_processes
        plan = training_plan(self._prepared, total_steps=1, world_size=processes)
        lengths = self._prepared.training_features.lengths
        fit = fit_memory(self._accelerator, model.to(self._accelerator.device), plan, lengths, 0, n_shards=processes)
        self._announce(fit)
        return fit

    def _announce(self, fit: Fit) -> None:
        if fit.description is not None:
            self._display.say(f"memory     {fit.description}")

    def _split_for_cpu_caches(self, plan: TrainingPlan, lengths: Sequence[int], epoch: int) -> TrainingPlan:
        width = hidden_size(self.plain.config)
        if not width:
            return plan
        bytes_per_token = 4 * width * (2 if self._accelerator.mixed_precision == "bf16" else 4)
        tokens = max(MAX_BYTES_ON_CPU // bytes_per_token, 1)

        def n_pieces(micro: MicroBatch) -> int:
            rows = max(tokens // max(lengths[i] for i in micro.features), 1)
            return -(-len(micro.features) // rows)

        rank = self._accelerator.process_index
        if any(n_pieces(micro) > 1 for step in plan.epoch_batches(epoch) for micro in step[rank]):
            self._display.detail(f"passes     at most {tokens:,} padded tokens each, to fit CPU caches (same result)")
        return replace(plan, n_pieces=n_pieces)

    def _cache_frozen_blocks(self) -> FrozenBlockCache | None:
        """Return a cache for the outputs of frozen blocks, None if no later epoch reads the same features again."""
        prepared, processes = self._prepared, self._accelerator.num_processes
        several_epochs = prepared.total_steps(processes) > prepared.epoch_steps(0, processes)
        if prepared.task.corrupt is not None or prepared.stream is not None or not several_epochs:
            return None
        free = environment.free_memory_bytes() // processes
        model: Any = unwrapped(self.strategy.model)
        cache, description = cache_frozen_blocks(
            model, n_tokens=sum(prepared.training_features.lengths), free_bytes=free
        )
        if cache is not None and description is not None:
            self.speedups.append(description)
        elif description is not None:
            self._display.warn(f"note: {description}")
        return cache
