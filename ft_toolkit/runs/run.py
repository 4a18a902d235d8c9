"""Run one recipe: prepare, train with evaluations, check the saved model, and write the run folder."""

import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import PartialState

from ft_toolkit.core import environment
from ft_toolkit.core.claim import remove_if_bare
from ft_toolkit.core.errors import Interrupted, UsageError
from ft_toolkit.core.run_folder import METRICS, REPORT, has_checkpoint, resume_command
from ft_toolkit.core.signals import StopSignal, defer_stop_signals
from ft_toolkit.core.storage import StorageErrors
from ft_toolkit.evaluation.scoring import predict_splits
from ft_toolkit.evaluation.statistics.scores import finite
from ft_toolkit.evaluation.statistics.selection_bias import selection_bias
from ft_toolkit.recipe.load_recipe import LoadedRecipe
from ft_toolkit.runs.action import Action, choose_action
from ft_toolkit.runs.announce import (
    announce_data,
    announce_evaluation,
    announce_head_probe,
    announce_resume,
    announce_selection,
    announce_training,
)
from ft_toolkit.runs.checkpoints import Checkpoints
from ft_toolkit.runs.context import RunContext
from ft_toolkit.runs.contrastive_stage import train_on_pairs
from ft_toolkit.runs.disk_space import check_disk_space
from ft_toolkit.runs.evaluator import Evaluator, make_predictor
from ft_toolkit.runs.finish import finish, read_finished
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.runs.setup import (
    claimed_folder,
    keep_saved_values,
    leave_out_test,
    make_accelerator,
    prepare_on_all_processes,
    read_saved_values,
    write_inputs,
)
from ft_toolkit.runs.state import RunState
from ft_toolkit.training.checkpoint_files import restore_checkpoints
from ft_toolkit.training.constant_loss import constant_loss
from ft_toolkit.training.distributed import processes
from ft_toolkit.training.distributed.fsdp import read_sharding
from ft_toolkit.training.distributed.watch import watched_processes
from ft_toolkit.training.distributed.zero import read_zero
from ft_toolkit.training.head_probe import HeadProbe, fit_head_probe
from ft_toolkit.training.loop import StepReport, train
from ft_toolkit.training.prepare import describe_step
from ft_toolkit.training.tracking import Display, Meter, MetricsLog, check_trackers
from ft_toolkit.training.trained_model import TrainedModel


def run(loaded: LoadedRecipe, options: RunOptions) -> dict[str, Any]:
    """Train, evaluate and document one recipe; return the content of results.json, with the run folder as `folder`.

    Processes other than the main process return an empty dict. Raises UsageError before anything is trained, NotFiniteError,
    ReloadError, or Interrupted with a checkpoint saved.
    """
    started = time.perf_counter()
    check_trackers(loaded.recipe.tracking)
    distributed = processes.join()
    limit = loaded.recipe.training.lost_process_seconds
    with watched_processes(distributed, limit), claimed_folder(distributed, loaded.name, options) as folder:
        display = Display(options.console, enabled=distributed.is_main_process, verbosity=options.verbosity)
        display.say(f"run        {folder}")
        action = Action.START
        if options.resume:
            choose = partial(choose_action, folder, loaded, distributed.num_processes, smoke=options.smoke)
            action = processes.on_main_process(distributed, choose)
            if action is Action.RESUME:
                for note in processes.on_main_process(distributed, partial(restore_checkpoints, folder)):
                    display.warn(f"note: {note}")
            elif action is Action.START:
                display.warn(f"note: {folder} has no checkpoint yet; the run starts at step 0")
        if action is Action.SKIP:
            display.warn(f"note: the run in {folder} is already finished; see {folder / REPORT}")
            return read_finished(folder) if distributed.is_main_process else {}
        try:
            return _run_in(
                folder, distributed, loaded, replace(options, resume=action is Action.RESUME), display, started
            )
        except UsageError:
            if distributed.is_main_process and not options.resume:
                remove_if_bare(folder)
            raise


def _run_in(
    folder: Path,
    distributed: PartialState,
    loaded: LoadedRecipe,
    options: RunOptions,
    display: Display,
    started: float,
) -> dict[str, Any]:
    """Start or resume a run in its folder; return the content of results.json as `run`."""
    sharding, zero = read_sharding(os.environ), read_zero(os.environ, loaded.recipe.training.max_grad_norm)
    with (
        _faults_with_remedy(folder, options.command),
        processes.visible_folder(folder) as work_folder,
        environment.hidden_variables(),
    ):
        saved = read_saved_values(distributed, folder) if options.resume else None
        prepared = prepare_on_all_processes(
            distributed,
            loaded,
            work_folder,
            saved,
            is_shared=work_folder == folder,
            smoke=options.smoke,
            report=display.count,
        )
        if saved is not None:
            prepared = keep_saved_values(loaded, prepared, saved)
        if options.without_test:
            prepared = leave_out_test(prepared)
        for warning in (*prepared.substitutions, *prepared.facts["warnings"]):
            display.warn(f"note: {warning}")
        accelerator = make_accelerator(prepared, folder)
        context = RunContext(accelerator, prepared, loaded, folder, display, options.command, options.after_evaluation)
        announce_data(context)
        trained = TrainedModel(accelerator, prepared, (sharding, zero), display)
        return _run_prepared(context, trained, resume=options.resume, started=started)


@contextmanager
def _faults_with_remedy(folder: Path, command: str) -> Iterator[None]:
    """Turn errors of the file system and signals into errors with the command that resumes the run."""
    resume_with = resume_command(command, folder)
    with StorageErrors(folder, resume_with):
        try:
            yield
        except StopSignal as stopped:
            kept = "the last checkpoint is kept" if has_checkpoint(folder) else "no checkpoint was saved yet"
            raise Interrupted(stopped.signum, f"stopped by {stopped}; {kept}. Resume with:\n  {resume_with}") from None


def _run_prepared(context: RunContext, trained: TrainedModel, *, resume: bool, started: float) -> dict[str, Any]:
    """Train and finish a prepared run; return the content of results.json on the main process, {} on the others."""
    checkpoints, state = Checkpoints(context, trained), RunState(started)
    if resume:  # before anything is written: a checkpoint of other data or another recipe is refused
        state, saved_world_size = checkpoints.load_last(started)
        announce_resume(context, trained, state, saved_world_size)
    method = context.recipe.method
    processes.on_main_process(context.distributed, lambda: check_disk_space(context.folder, trained.count, method))
    if context.is_main_process:
        write_inputs(context)
    announce_training(context, trained)
    train_on_pairs(context, trained, state, checkpoints)
    if not state.has_begun:
        state.head_probe = _probe_head(context, trained)
    evaluator = Evaluator(context, trained, state, checkpoints)
    log = MetricsLog(context.accelerator, context.recipe, context.folder / METRICS, state.progress.step)
    startup_seconds = environment.seconds_since_start()
    meter = _train(context, trained, evaluator, checkpoints, log)
    facts = _training_facts(context, trained, state, meter) | {"startup_seconds": round(startup_seconds, 2)}
    results = _finish(context, trained, evaluator, checkpoints, facts)
    log.close()
    return results


# --- training


def _probe_head(context: RunContext, trained: TrainedModel) -> HeadProbe | None:
    """Initialize a new head by a linear probe, if the recipe and the model allow one."""
    with trained.gathered(write_back=True):
        probe = fit_head_probe(
            context.accelerator, trained.plain, trained.new_modules, context.prepared, context.frozen
        )
    if probe is not None:
        announce_head_probe(context, probe)
    return probe if isinstance(probe, HeadProbe) else None


def _train(
    context: RunContext, trained: TrainedModel, evaluator: Evaluator, checkpoints: Checkpoints, log: MetricsLog
) -> Meter:
    """Train to the last step or until early stopping, with evaluations and checkpoints; return the totals of this command."""
    display, recipe, state = context.display, context.recipe, evaluator.state
    save_steps, eval_steps = recipe.training.save_steps, recipe.evaluation.eval_steps
    meter = Meter()
    with (
        display.progress(state.progress.step, context.total_steps, math.ceil(context.epochs)),
        defer_stop_signals() as stop,
    ):
        for report in _steps(context, trained, state, checkpoints):
            meter.add(report)
            display.step(report)
            if report.skipped is not None:
                display.warn(f"note: {report.skipped}")
            log.add_step(report, is_last=report.step == context.total_steps)
            is_evaluation_due = report.step % eval_steps == 0 if eval_steps else report.ends_epoch
            if is_evaluation_due:
                _evaluate(context, evaluator, log)
            if is_evaluation_due or (save_steps and report.step % save_steps == 0):
                checkpoints.save_last(state)
            if signum := context.agree_on_signal(stop.signum):
                checkpoints.save_last(state)
                raise Interrupted(signum, _describe_interruption(context, state, signum))
            if state.is_out_of_patience(recipe.evaluation.early_stopping_patience):
                break
    if not state.is_evaluated:
        _evaluate(context, evaluator, log)
        checkpoints.save_last(state)
    return meter


def _steps(
    context: RunContext, trained: TrainedModel, state: RunState, checkpoints: Checkpoints
) -> Iterator[StepReport]:
    """Return an iterator over the remaining steps; each step is trained when its report is requested."""
    if checkpoints.is_finished(state):
        return iter(())
    plan = trained.plan(context.total_steps, state.progress.epoch)
    return train(context.accelerator, trained.strategy, plan, state.progress)


def _evaluate(context: RunContext, evaluator: Evaluator, log: MetricsLog) -> None:
    """Evaluate the model on the validation rows, and log and print the scores."""
    context.display.evaluating()
    evaluation = evaluator.evaluate()
    log.write(evaluation.record())
    announce_evaluation(context, evaluation)
    if context.after_evaluation is not None and context.is_main_process:
        score = finite(evaluation.scores[context.prepared.selection])
        context.after_evaluation(len(evaluator.state.evaluations), score)


def _describe_interruption(context: RunContext, state: RunState, signum: int) -> str:
    return (
        f"stopped by {signal.Signals(signum).name} after step {state.progress.step}/{context.total_steps}; a checkpoint is "
        f"saved. Resume with:\n  {resume_command(context.command, context.folder)}"
    )


# --- after the last step


def _finish(
    context: RunContext, trained: TrainedModel, evaluator: Evaluator, checkpoints: Checkpoints, facts: dict[str, Any]
) -> dict[str, Any]:
    """Predict all splits with the best weights; on the main process save and check the model, score it and write the report."""
    state = evaluator.state
    announce_selection(context, state)
    checkpoints.load_best()
    is_last_best = state.best is not None and state.best.step == state.progress.step
    predictor = make_predictor(context, trained)
    prepared, decoded = predict_splits(predictor, context.prepared, evaluator.outputs if is_last_best else {})
    results: dict[str, Any] = {}
    if context.is_main_process:
        context.display.say("saving the model, checking that it reloads, computing confidence intervals")
        predictor = replace(predictor, schema=prepared.schema)
        results = finish(context, prepared, predictor, decoded, facts)
    context.accelerator.wait_for_everyone()
    return results


def _training_facts(context: RunContext, trained: TrainedModel, state: RunState, meter: Meter) -> dict[str, Any]:
    """Return the section `training` of results.json."""
    assert state.best is not None, "a run always has an evaluation"
    return {
        "steps": state.progress.step,
        "planned_steps": context.total_steps,
        "skipped_steps": state.progress.skipped_steps,
        "best_step": state.best.step,
        "batch": describe_step(context.recipe.training, context.world_size),
        "chosen": {choice.setting: choice.value for choice in context.prepared.choices},
        "evaluations": state.evaluations,
        "selection_bias": _selection_bias(context, state),
        "constant_loss": constant_loss(context.prepared),
        "trainable_parameters": trained.count.trainable,
        "total_parameters": trained.count.total,
        "new_modules": list(trained.new_modules),
        "head_start": state.to_json()["history"]["head_start"],
        "contrastive": _contrastive_facts(state),
        "stream": _stream_facts(context, state),
        "seconds": round(state.seconds, 2),
        "step_seconds": round(meter.seconds, 2),
        "tokens_per_second": meter.tokens_per_second,
        "padding_share": meter.padding_share,
    }


def _stream_facts(context: RunContext, state: RunState) -> dict[str, Any] | None:
    """Return the number of rows and tokens of a stream that the run has read; None for a run that read all rows before."""
    stream, progress = context.prepared.stream, state.progress
    if stream is None:
        return None
    epoch = progress.epoch if progress.step_in_epoch else progress.epoch - 1
    return {
        "rows_per_buffer": context.recipe.data.stream_rows,
        "buffers": epoch + 1,
        "rows": stream.n_rows(epoch),
        "tokens": progress.n_tokens,
    }


def _contrastive_facts(state: RunState) -> dict[str, Any] | None:
    """Return the facts on the contrastive training; None for a run without it."""
    if state.contrastive is None:
        return None
    return {name: value for name, value in asdict(state.contrastive).items() if name != "done"}


def _selection_bias(context: RunContext, state: RunState) -> float | None:
    """Return the expected excess of the best validation score; None if it is unknown.

    It is known for a share of right examples on independent rows.
    """
    prepared = context.prepared
    if state.right_counts is None or prepared.data.clusters("validation") is not None:
        return None
    bias = selection_bias(state.right_counts, len(state.evaluations))
    return None if bias is None else bias * prepared.metrics[prepared.selection].best
