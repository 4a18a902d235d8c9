"""The checkpoints of one run: the best weights so far, and the last state to resume from."""

from contextlib import nullcontext
from functools import partial
from typing import Any

from ft_toolkit.core import files
from ft_toolkit.core.errors import ResumeError, one_of
from ft_toolkit.core.run_folder import (
    BEST_CHECKPOINT,
    LAST_CHECKPOINT,
    PREVIOUS_BEST_CHECKPOINT,
    PREVIOUS_CHECKPOINT,
)
from ft_toolkit.core.run_lock import confirm_lock
from ft_toolkit.data.selection import SELECTION
from ft_toolkit.runs.context import RunContext
from ft_toolkit.runs.state import RunState
from ft_toolkit.training import checkpoint
from ft_toolkit.training.checkpoint_files import WEIGHTS
from ft_toolkit.training.distributed import processes
from ft_toolkit.training.trained_model import TrainedModel


class Checkpoints:
    """Save and load the checkpoints of a run in its folder.

    best/    the trainable weights of the best evaluation
    last/    the state of the run, with weights and optimizer state while steps are left

    The checkpoints that they replace are kept as previous_best/ and previous/, for the case that a file is damaged.
    """

    def __init__(self, context: RunContext, trained: TrainedModel) -> None:
        self._context, self._trained = context, trained
        self._best = context.folder / BEST_CHECKPOINT
        self._last = context.folder / LAST_CHECKPOINT
        self._read = partial(processes.read_on_main_process, context.distributed)

    def save_best(self, step: int) -> None:
        """Save the weights after a step; sharded weights must be gathered (`TrainedModel.gathered`)."""
        if self._context.is_main_process:
            confirm_lock(self._context.folder)
            previous = self._context.folder / PREVIOUS_BEST_CHECKPOINT
            checkpoint.save_best(self._best, step, self._trained.plain, previous)

    def load_best(self) -> None:
        """Load the best weights into the model and prepare it for evaluation and saving."""
        best = processes.on_main_process(self._context.distributed, lambda: files.find_folder(self._best))
        assert best is not None, "the first evaluation saves the first best checkpoint"
        self._trained.finish(best / WEIGHTS, self._read)

    def save_last(self, state: RunState) -> None:
        """Save the state to resume from, without weights and optimizer state if no step is left.

        All processes must call this method.
        """
        is_main, is_finished = self._context.is_main_process, self.is_finished(state)
        optimizer_state = None if is_finished else self._trained.strategy.optimizer_state(keep=is_main)
        with nullcontext() if is_finished else self._trained.gathered():
            if is_main:
                saved = {"trained": is_finished, **state.to_json(), **self._identity()}
                confirm_lock(self._context.folder)
                previous = self._context.folder / PREVIOUS_CHECKPOINT
                checkpoint.save_state(self._last, saved, self._trained.plain, optimizer_state, previous)
        self._context.accelerator.wait_for_everyone()

    def load_last(self, started: float) -> tuple[RunState, int]:
        """Load weights, optimizer and state; return the state and the number of processes that saved it.

        Raises ResumeError if there is no checkpoint, or if it belongs to other data or to another recipe.
        """
        context = self._context
        recipe, fingerprint = context.recipe.as_dict(), context.prepared.data.fingerprint
        folder, saved = processes.on_main_process(
            context.distributed, lambda: checkpoint.read_state(self._last, recipe, fingerprint, context.world_size)
        )
        labels = self._labels()
        if saved.get("labels", labels) != labels:  # the fingerprint of rows with names does not contain the order
            raise ResumeError(
                f"{folder} was trained with the labels {one_of(saved['labels'])}, but the labels are now {one_of(labels)}. Set "
                "task.labels to the saved order, or start a new run"
            )
        if saved.get("copies") != self._copies():
            raise ResumeError(
                f"{folder} was trained with other changed copies of the training rows. Restore the word list, nltk and the "
                "version of ft_toolkit, or start a new run"
            )
        if not saved.get("trained"):
            self._trained.load(folder, self._read)
        return RunState.from_json(saved, started), saved["processes"]

    def is_finished(self, state: RunState) -> bool:
        """Return whether no training step is left and the last step is evaluated."""
        patience = self._context.recipe.evaluation.early_stopping_patience
        is_last_step = state.progress.step == self._context.total_steps
        return state.is_evaluated and (is_last_step or state.is_out_of_patience(patience))

    def _identity(self) -> dict[str, Any]:
        """Return the facts that a resumed run must agree with, and the derived values that it keeps."""
        context = self._context
        return {
            "fingerprint": context.prepared.data.fingerprint,
            "processes": context.world_size,
            "recipe": context.recipe.as_dict(),
            "labels": self._labels(),
            "copies": self._copies(),
            "total_steps": context.total_steps,
            "evaluation_tokens": context.prepared.evaluation_tokens(),
            "selection": SELECTION if context.prepared.saved is None else context.prepared.saved.selection,
            "sorts_by_both_lengths": context.prepared.sorts_by_both_lengths,
        }

    def _copies(self) -> str | None:
        """Return the fingerprint of the changed copies of the training rows; None without any."""
        copies = self._context.prepared.augmentation
        return None if copies is None else copies.fingerprint

    def _labels(self) -> list[str]:
        """Return the labels in the order of the model's outputs."""
        prepared = self._context.prepared
        return list(prepared.task.labels(prepared.schema))
