"""Finish a run: save and check the model, compute the scores, and write results, predictions, report and model card."""

import shutil
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from ft_toolkit.core import environment
from ft_toolkit.core.errors import ReloadError
from ft_toolkit.core.fresh_process import fresh_process
from ft_toolkit.core.run_folder import ATTRIBUTIONS, CHECKPOINTS, MODEL, PREDICTIONS, resume_command
from ft_toolkit.core.run_lock import confirm_lock
from ft_toolkit.core.run_records import BaselineFacts, ReloadCheck, RunResults, read_results, write_results
from ft_toolkit.data.cards import SplitName
from ft_toolkit.evaluation.baselines import predict_baselines
from ft_toolkit.evaluation.compare.examples import write_examples
from ft_toolkit.evaluation.predictor import Predictor
from ft_toolkit.evaluation.scoring import (
    Decoded,
    ScoredSplit,
    predict_rows,
    score_split,
    scoring_setup,
)
from ft_toolkit.inference.attributions import explain, write_attributions
from ft_toolkit.inference.reload_check import check_reload, rows_to_check, time_limit
from ft_toolkit.inference.write_model_folder import write_model_folder
from ft_toolkit.report import results as results_file
from ft_toolkit.report import write_report
from ft_toolkit.report.run_files import read_run
from ft_toolkit.report.wrong_examples import first_wrong_records
from ft_toolkit.runs.context import RunContext
from ft_toolkit.training.prepare import Prepared


def finish(
    context: RunContext,
    prepared: Prepared,
    predictor: Predictor,
    decoded: dict[SplitName, Decoded],
    training: dict[str, Any],
) -> dict[str, Any]:
    """Complete the run folder and remove its checkpoints; return the content of results.json with the `folder`.

    Only the main process calls this function. `prepared` has the thresholds that were chosen on the validation rows, `decoded`
    the predictions of each split, `training` the section of that name in results.json. Raises ReloadError.
    """
    folder = context.folder
    confirm_lock(folder)
    scored, baselines, reload_check = _save_and_score(context, prepared, predictor, decoded)
    training = {**training, "peak_memory_mib": environment.peak_memory_mib()}
    records = {name: split.record for name, split in scored.items()}
    results = results_file.run_results(
        context.loaded.name, prepared, records, training, baselines, reload_check, context.command
    )
    results_file.write_predictions(folder / PREDICTIONS, prepared.data, prepared.task, prepared.schema, decoded)
    arrays = {name: (split.predictions, split.references) for name, split in scored.items()}
    write_examples(folder, arrays, {name: prepared.data.clusters(name) for name in scored})
    if limit := prepared.recipe.evaluation.attributions:
        _write_attributions(folder, results, prepared, predictor, limit)
    write_report(folder, results)
    write_results(folder, results)  # last: a folder with this file is complete
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return read_finished(folder)


def read_finished(folder: Path) -> dict[str, Any]:
    """Return the content of results.json of a finished run, with the `folder`."""
    return {**read_results(folder).as_json(), "folder": str(folder)}


def _save_and_score(
    context: RunContext, prepared: Prepared, predictor: Predictor, decoded: dict[SplitName, Decoded]
) -> tuple[dict[SplitName, ScoredSplit], dict[str, BaselineFacts], ReloadCheck]:
    """Save the model, and compute the scores while a fresh process does the reload check.

    Returns the scores, the facts on the baselines, and the result of the check.
    """
    rows, folder = rows_to_check(prepared), context.folder
    with ThreadPoolExecutor(2) as pool:
        importing = pool.submit(import_module, "ft_toolkit.metrics.offline")  # 0.5 s, while the model is saved
        started = time.perf_counter()
        # Before the fresh process works: next to another process, matrix products on all cores take several times as long.
        expected = write_model_folder(
            folder / MODEL, prepared, predictor.model, lambda saved: predict_rows(predictor, saved, rows)
        )
        limit = time_limit(time.perf_counter() - started)
        baselines = predict_baselines(prepared, list(decoded), context.accelerator, context.display, context.frozen)
        importing.result()
        with fresh_process() as fresh:
            reload_check = pool.submit(check_reload, fresh, folder / MODEL, prepared, rows, expected, limit)
            setup, splits = scoring_setup(prepared), prepared.data.splits
            scored = {
                name: score_split(
                    predictions,
                    splits[name],
                    replace(setup, clusters=prepared.data.clusters(name)),
                    baselines.predictions[name],
                    fitted_here=name == "validation",
                )
                for name, predictions in decoded.items()
            }
            return scored, baselines.facts, _result_of(reload_check, context)


def _result_of(reload_check: Future[ReloadCheck], context: RunContext) -> ReloadCheck:
    """Return the result of the reload check. Raises ReloadError, with the command that repeats the check if it may succeed."""
    try:
        return reload_check.result()
    except ReloadError as error:
        if not error.may_succeed:
            raise
        command = resume_command(context.command, context.folder)
        text = f"{error}. The trained weights are kept. Repeat the check with:\n  {command}"
        raise ReloadError(text, may_succeed=True) from None


def _write_attributions(
    folder: Path, results: RunResults, prepared: Prepared, predictor: Predictor, limit: int
) -> None:
    """Write the attributions of the most confident wrong predictions, for the split that the report page shows first."""
    run = read_run(folder, results)
    records = [record for record in run.predictions if record["split"] == run.splits[0]]
    classifier = prepared.task.classifier(prepared.recipe.task)
    assert classifier is not None, "recipe/checks.py refuses attributions for other tasks"
    wrong = first_wrong_records(prepared.task, prepared.schema, records, limit)
    predictor = replace(predictor, schema=prepared.schema)
    explained = explain(predictor, classifier, prepared.recipe.data.max_length, wrong)
    write_attributions(folder / ATTRIBUTIONS, explained)
