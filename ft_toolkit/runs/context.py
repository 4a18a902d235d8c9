"""The objects that all stages of one run share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState

from ft_toolkit.recipe.load_recipe import LoadedRecipe
from ft_toolkit.recipe.resolved import ResolvedRecipe
from ft_toolkit.training.frozen_vectors import FrozenVectors
from ft_toolkit.training.prepare import Prepared
from ft_toolkit.training.tracking import Display


@dataclass(frozen=True)
class RunContext:
    """A prepared run: its data and recipe, its folder, the accelerator, the console and the command that started it.

    `after_evaluation` is the function of RunOptions. `frozen` gets the vectors that the linear probe reads.
    """

    accelerator: Accelerator
    prepared: Prepared
    loaded: LoadedRecipe
    folder: Path
    display: Display
    command: str
    after_evaluation: Callable[[int, float | None], None] | None = None
    frozen: FrozenVectors = field(default_factory=FrozenVectors)

    @property
    def recipe(self) -> ResolvedRecipe:
        """The resolved recipe; `loaded.recipe` is the recipe as the user wrote it."""
        return self.prepared.recipe

    @property
    def world_size(self) -> int:
        """The number of processes."""
        return int(self.accelerator.num_processes)

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes the run folder."""
        return bool(self.accelerator.is_main_process)

    @cached_property
    def distributed(self) -> PartialState:
        """The state that the processes share."""
        return PartialState()

    @property
    def epochs(self) -> float:
        """The number of epochs of the whole run; a fraction if `training.max_steps` ends the run within an epoch."""
        if self.recipe.training.max_steps is None:
            return self.recipe.training.num_train_epochs
        return self.total_steps / self.prepared.epoch_steps(0, self.world_size)

    def agree_on_signal(self, signum: int) -> int:
        """Return the signal that any process received, so that all stop after the same step; 0 for none."""
        if self.world_size == 1:
            return signum
        received = torch.tensor([signum], device=self.accelerator.device)
        return int(self.accelerator.gather(received).max())

    @cached_property
    def total_steps(self) -> int:
        """The number of optimizer steps of the whole run."""
        return self.prepared.total_steps(self.world_size)
