"""The model while it is trained, alike for all who use it: whole on every process, or split over them as a launcher asks.

model, optimizer, update    what the loop trains through
bare                        the plain model: for evaluation, checkpoints and the end; inside `whole` it has the weights
                            as they are trained so far
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator

from ft_toolkit.core import environment
from ft_toolkit.models.pretrained import hidden_size
from ft_toolkit.training import checkpoint
from ft_toolkit.training.batching import MicroBatch
from ft_toolkit.training.distributed.fsdp import ShardedModel, Sharding, gather_state, shard_state
from ft_toolkit.training.distributed.zero import Zero, ZeroOptimizer
from ft_toolkit.training.fit_memory import can_run_out, fit_memory
from ft_toolkit.training.layer_rates import lr_factors
from ft_toolkit.training.loop import TrainingPlan, Update, in_pieces
from ft_toolkit.training.optimizer import make_optimizer
from ft_toolkit.training.plan import training_plan
from ft_toolkit.training.prepare import Prepared, build_model
from ft_toolkit.training.speedups import apply_speedups, remove_speedups
from ft_toolkit.training.speedups.frozen_blocks import FrozenBlockCache, cache_frozen_blocks

# Of the widest activations of a block, four times the hidden size, in one pass on a CPU. Cut to that, micro-batches of 4,096
# padded tokens trained 1.07 times as fast (MiniLM, float32) and 1.15 (BERT-base, bfloat16). In bfloat16 MiniLM's just fit;
# cut further it trained 0.89 times as fast.
MOST_BYTES_ON_CPU = 12 * 2**20


class TrainedModel:
    """A recipe's model and optimizer on this process, ready for the loop."""

    def __init__(
        self,
        accelerator: Accelerator,
        prepared: Prepared,
        sharding: Sharding,
        zero: Zero,
        say: Callable[[str], None],
    ) -> None:
        self._accelerator, self._prepared, self._say = accelerator, prepared, say
        self._sharding, self._zero_asked = sharding, zero
        several = accelerator.num_processes > 1
        built = build_model(prepared)
        self.count, self.new_modules = built.count, built.new_modules
        # In words, what is not computed because nobody reads it.
        self.speedups = apply_speedups(built.model, accelerator.device, prepared.training_ids)
        plain = deepcopy(built.model) if sharding.is_requested and several else None
        self._frozen = self._keep_frozen(built.model)
        # on the device before the optimizer sees it, since fused AdamW wants its state beside the weights
        self._bare = built.model.to(accelerator.device)
        self._split: ShardedModel | None = None
        self._zero: ZeroOptimizer | None = None
        self.model: Any = self._bare
        if plain is not None:
            self.model, plain = self._with_precision(self.model), self._with_precision(plain)
            self._split = ShardedModel(self.model, plain, accelerator.device, accelerator.num_processes, sharding)
        training = prepared.recipe.training
        optimizer = make_optimizer(
            self.model,
            learning_rate=training.learning_rate,
            weight_decay=training.weight_decay,
            factors=lr_factors(self.model, built.heads, training),
        )
        self.optimizer: Any
        self.update: Update | None = None
        if self._split is not None:
            self.optimizer = accelerator.prepare_optimizer(optimizer)
        elif zero.stage and several:
            self.optimizer = self._zero = ZeroOptimizer(
                self._with_precision(self.model), optimizer, zero, training.max_grad_norm
            )
            self.model, self.update = self._zero.engine, self._zero.update
        else:
            self.model, self.optimizer = accelerator.prepare(self.model, optimizer)

    @property
    def bare(self) -> torch.nn.Module:
        """The plain model, whole on every process."""
        return cast(torch.nn.Module, self._bare if self._split is None else self._split.full)

    def whole(self, *, changes: bool = False) -> AbstractContextManager[None]:
        """Inside, `bare` has the weights as they are trained so far. With `changes`, it is trained further from what they
        are made there, alike on all processes, which must all come here."""
        if self._split is not None:
            return self._split.gathered(changes=changes)
        return self._zero.reading_weights() if self._zero is not None and changes else nullcontext()

    def state(self, *, keep: bool) -> dict[str, Any]:
        """Return the optimizer's state as if nothing were split; all processes must call, those that `keep` get it."""
        return gather_state(self.optimizer, keep=keep)

    def load(self, folder: Path, read: Callable[[Path], bytes]) -> None:
        """Put the weights and the optimizer state of a checkpoint back."""
        with self.whole(changes=True):
            whole = checkpoint.load_state(folder, self.bare, read)
        self.optimizer.load_state_dict(whole if self._split is None else shard_state(whole, self.optimizer))

    def end(self, weights: Path, read: Callable[[Path], bytes]) -> None:
        """Put saved weights into `bare`, for good; it is as it would be saved, on the device."""
        self.bare.to(self._accelerator.device)
        checkpoint.load_weights(self.bare, weights, read)
        remove_speedups(self.bare)

    def plan(self, total_steps: int, epoch: int) -> TrainingPlan:
        """Return the loop's plan for this model, its micro-batches in pieces where they are too wide."""
        plan = training_plan(self._prepared, total_steps=total_steps, world_size=self._accelerator.num_processes)
        lengths = self._prepared.features["train"].lengths
        # of a split model every pass is an exchange, so that all processes must make as many: their micro-batches stay whole
        if self._split is None and self._zero is None:
            plan = self._in_pieces(plan, lengths, epoch)
        return plan if self._frozen is None else replace(plan, reused=partial(self._frozen.reused, lengths))

    @property
    def split_in_words(self) -> str | None:
        """How it lies on the processes, None where nobody asked for more than a copy on each."""
        if not self._sharding.is_requested and not self._zero_asked.stage:
            return None
        title = "FSDP" if self._sharding.is_requested else "DeepSpeed"
        processes = self._accelerator.num_processes
        if processes == 1:
            return f"{title} was asked for, but one process has nothing to split"
        if self._sharding.is_requested:
            what, how = "weights, gradients and optimizer state", "FSDP2"
        else:
            stage = self._zero_asked.stage
            what = "optimizer state" if stage == 1 else "gradients and optimizer state"
            how = f"DeepSpeed, ZeRO stage {stage}"
        return f"{what} over {processes} processes ({how}); checkpoints and model are written whole"

    def _in_pieces(self, plan: TrainingPlan, lengths: Sequence[int], epoch: int) -> TrainingPlan:
        """Return the plan with micro-batches in pieces where a CPU's caches, or memory, do not hold them."""
        if self._accelerator.device.type == "cpu":
            plan = self._in_cpu_pieces(plan, lengths, epoch)
        if not can_run_out(self._accelerator):
            return plan
        fit = fit_memory(self._accelerator, self.model, plan, lengths, epoch)
        if fit.words is not None:
            self._say(f"memory   {fit.words}")
        return in_pieces(plan, fit.pieces)

    def _in_cpu_pieces(self, plan: TrainingPlan, lengths: Sequence[int], epoch: int) -> TrainingPlan:
        """Return the plan with wide micro-batches in pieces."""
        width = hidden_size(self.bare.config)
        if not width:
            return plan
        tokens = max(MOST_BYTES_ON_CPU // (4 * width * (2 if self._accelerator.mixed_precision == "bf16" else 4)), 1)

        def pieces(micro: MicroBatch) -> int:
            rows = max(tokens // max(lengths[i] for i in micro.features), 1)
            return -(-len(micro.features) // rows)

        rank = self._accelerator.process_index
        if any(pieces(micro) > 1 for step in plan.epoch_batches(epoch) for micro in step[rank]):
            self._say(
                f"passes   of at most {tokens:,} padded tokens, which a CPU's caches hold; the same loss and gradient"
            )
        return replace(plan, pieces=pieces)

    def _with_precision(self, model: Any) -> Any:
        """Return the model computing in the run's precision, without DDP around it."""
        return self._accelerator.prepare_model(model, evaluation_mode=True)

    def _keep_frozen(self, model: torch.nn.Module) -> FrozenBlockCache | None:
        """Keep what frozen blocks give, where a later epoch reads the same features again."""
        prepared, processes = self._prepared, self._accelerator.num_processes
        again = prepared.total_steps(processes) > len(prepared.epoch_batches(0, processes))
        if prepared.task.corrupt is not None or not again:
            return None
        free = environment.free_memory_bytes() // processes
        kept, words = cache_frozen_blocks(model, tokens=sum(prepared.features["train"].lengths), free_bytes=free)
        if kept is not None and words is not None:
            self.speedups.append(words)
        elif words is not None:
            self._say(f"note: {words}")
        return kept
