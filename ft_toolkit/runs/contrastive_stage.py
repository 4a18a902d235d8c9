"""Run the contrastive training of a run before the linear probe, with checkpoints."""

import signal
import time

from ft_toolkit.core.errors import Interrupted
from ft_toolkit.core.run_folder import resume_command
from ft_toolkit.core.signals import defer_stop_signals
from ft_toolkit.runs.announce import announce_contrastive
from ft_toolkit.runs.checkpoints import Checkpoints
from ft_toolkit.runs.context import RunContext
from ft_toolkit.runs.state import RunState
from ft_toolkit.training.contrastive import ContrastiveTraining
from ft_toolkit.training.loop import Progress, train
from ft_toolkit.training.trained_model import TrainedModel


def train_on_pairs(context: RunContext, trained: TrainedModel, state: RunState, checkpoints: Checkpoints) -> None:
    """Train on pairs of rows from the state of the run to the last step, and reset the optimizer for the training that follows.

    Returns at once for a run without pairs, and for one whose training has begun. Raises Interrupted with a checkpoint saved.
    """
    if context.recipe.training.contrastive_pairs is None or state.has_begun:
        return
    pairs = ContrastiveTraining(trained, context.prepared, context.world_size)
    stage = state.contrastive = state.contrastive or pairs.new_stage()
    earlier_seconds, started = stage.seconds, time.perf_counter()
    progress = Progress(0, stage.done, stage.done)
    save_steps = context.recipe.training.save_steps
    with context.display.progress(stage.done, stage.steps, 1), defer_stop_signals() as stop:
        for report in () if stage.is_finished else train(context.accelerator, trained.strategy, pairs.plan(), progress):
            stage.done, stage.loss = report.step, report.loss
            stage.first_loss = report.loss if stage.first_loss is None else stage.first_loss
            stage.seconds = round(earlier_seconds + time.perf_counter() - started, 2)
            context.display.step(report)
            signum = context.agree_on_signal(stop.signum)
            if signum or stage.is_finished or (save_steps and report.step % save_steps == 0):
                checkpoints.save_last(state)
            if signum:
                raise Interrupted(
                    signum,
                    f"stopped by {signal.Signals(signum).name} after step {stage.done}/{stage.steps} of the contrastive "
                    f"training; a checkpoint is saved. Resume with:\n  {resume_command(context.command, context.folder)}",
                )
    trained.reset_optimizer()
    announce_contrastive(context, stage)
