"""`ftk ensemble`: average the predictions of finished runs as one model folder, and score the average and the members."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import ft_toolkit
from ft_toolkit.core import environment
from ft_toolkit.core.claim import claim
from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.files import atomic_folder
from ft_toolkit.core.run_folder import MEMBERS, MODEL, PREDICTIONS, TRAINING_ROWS
from ft_toolkit.core.run_records import (
    EnsembleMember,
    EvaluationResults,
    RunResults,
    SeedsResults,
    read_contract,
    read_results,
    write_contract,
    write_members,
    write_results,
)
from ft_toolkit.data.audit import audit
from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.seen_rows import LIMIT, SeenRows, merge_seen_rows, read_seen_rows, write_seen_rows
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.evaluation.compare.examples import write_examples
from ft_toolkit.evaluation.run_rows import load_run_rows
from ft_toolkit.evaluation.scoring import Decoded, ScoredSplit, score_split
from ft_toolkit.evaluation.statistics.scores import ScoringSetup
from ft_toolkit.inference.ensemble import averaging_of
from ft_toolkit.inference.model_folder import LoadedModel, model_folder
from ft_toolkit.recipe.saved_task import SavedTask, load_saved_task
from ft_toolkit.recipe.sections import Recipe
from ft_toolkit.report import results as results_file
from ft_toolkit.report.ensemble_card import write_ensemble_card
from ft_toolkit.report.page import write_page
from ft_toolkit.tasks.base import Features, applicable_metrics
from ft_toolkit.training.tracking import Display


@dataclass(frozen=True)
class MemberRun:
    """A finished run that becomes a member of an ensemble. `path` is its folder, `model` its model folder."""

    path: Path
    results: RunResults
    model: Path


@dataclass(frozen=True)
class _Scored:
    """The predictions and the scores of an ensemble by split, the schema that was tuned, and the seconds of the predictions.

    `features` are the input of the first member.
    """

    saved: SavedTask
    decoded: dict[SplitName, Decoded]
    splits: dict[SplitName, ScoredSplit]
    features: dict[SplitName, Features]
    setup: ScoringSetup
    seconds: float


def make_ensemble(
    folders: Sequence[Path], output: Path | None, command: str, display: Display, *, with_test: bool = True
) -> dict[str, Any]:
    """Write the folder of an ensemble, and return the content of its results.json and the `folder`.

    The members are copied into the folder. The rows come from the recipe of the first run; without `with_test`, the test rows
    are not read. Thresholds and the temperature of the average are fitted to the validation rows. Raises UsageError for
    runs that cannot be averaged, and for rows that have changed since the runs.
    """
    runs = read_member_runs(folders)
    saved = _check_members(runs)
    recipe, data = load_run_rows(runs[0].path, runs[0].results, with_test=with_test)
    _check_test_rows(runs, data)
    for run in runs:
        display.say(f"member     {run.path}: {run.results.model}")
    with claim("ensemble", output, resume=False) as lock:
        return _fill_folder(lock.folder, runs, saved, (recipe, data), command, display)


def _fill_folder(
    folder: Path,
    runs: Sequence[MemberRun],
    saved: SavedTask,
    rows: tuple[Recipe, LoadedData],
    command: str,
    display: Display,
) -> dict[str, Any]:
    """Write the files of an ensemble; return the content of its results.json and the `folder`."""
    recipe, data = rows
    try:
        _write_model_folder(folder / MODEL, runs)
        model = LoadedModel(str(folder / MODEL))
        scored = _predict_and_score(model, saved, data, _Scoring(runs[0].results.main_metric, recipe), display)
    except UsageError:  # the members do not fit each other
        shutil.rmtree(folder)
        raise
    schema = scored.saved.schema
    write_contract(folder / MODEL, model.contract.model_copy(update={"task_schema": asdict(schema)}))
    facts = audit(data, scored.features, model.task, model.settings, model.max_length)
    n_rows = sum(map(len, scored.decoded.values()))
    results = {
        "kind": "ensemble",
        "name": folder.resolve().name,
        "command": command,
        "substitutions": [],
        "model": f"ensemble of {len(runs)} models",
        "members": [_member(number, run) for number, run in enumerate(runs, 1)],
        **results_file.task_facts(scored.saved, scored.setup),
        "data": results_file.data_facts(data, None if recipe.data.has_local_files else data.card, facts),
        "scores": {split: each.record for split, each in scored.splits.items()},
        "evaluation": {
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "seconds": round(scored.seconds, 2),
            "rows_per_second": round(n_rows / scored.seconds, 1),
            "peak_memory_mib": environment.peak_memory_mib(),
        },
    }
    results_file.write_predictions(folder / PREDICTIONS, data, model.task, schema, scored.decoded)
    arrays = {split: (each.predictions, each.references) for split, each in scored.splits.items()}
    write_examples(folder, arrays, {split: data.clusters(split) for split in scored.splits})
    complete = EvaluationResults.model_validate(results)
    write_page(folder, complete)
    write_ensemble_card(folder, complete)
    write_results(folder, complete)
    return {**read_results(folder).as_json(), "folder": str(folder)}


def read_member_runs(folders: Sequence[Path]) -> list[MemberRun]:
    """Return the finished runs in folders; the folder of a multi-seed run gives all of its seeds.

    Raises UsageError for another folder, for a smoke run, for a run that is named twice and for fewer than two runs.
    """
    paths: list[Path] = []
    for folder in folders:
        results = read_results(folder)
        paths += [folder / run.folder for run in results.runs] if isinstance(results, SeedsResults) else [folder]
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError("a run is named twice; name each run once")
    if len(paths) < 2:
        raise UsageError(f"{paths[0]} is a single run; an ensemble requires at least two runs, or a multi-seed run")
    runs = []
    for path in paths:
        results = read_results(path)
        if not isinstance(results, RunResults):
            raise UsageError(f"{path}: a folder of kind '{results.kind}'; the folder of a finished run is required")
        if results.is_smoke:
            raise UsageError(f"{path}: a smoke run, whose model was trained for a few steps on other rows")
        runs.append(MemberRun(path, results, model_folder(str(path))))
    return runs


def _check_members(runs: Sequence[MemberRun]) -> SavedTask:
    """Return task and settings of the ensemble, with the schema before it is tuned. Raises UsageError.

    All runs must have the same task, the same labels and the same evaluated rows.
    """
    contracts = [read_contract(run.model) for run in runs]
    saved = [
        load_saved_task(run.model, contract.task, contract.settings, contract.task_schema)
        for run, contract in zip(runs, contracts, strict=True)
    ]
    first, first_run = saved[0], runs[0]
    for run, other in zip(runs[1:], saved[1:], strict=True):
        pair = f"{first_run.path} and {run.path}"
        if other.task.name != first.task.name:
            raise UsageError(f"{pair} cannot be averaged: they are runs of {first.task.name} and {other.task.name}")
        for name in averaging_of(first.task).must_agree:
            ours, theirs = getattr(first.schema, name), getattr(other.schema, name)
            if ours != theirs:
                raise UsageError(f"{pair} cannot be averaged: they differ in {name} ({ours!r}, {theirs!r})")
        ours, theirs = (each.results.data.split_fingerprints for each in (first_run, run))
        if any(ours[name] != theirs[name] for name in ours.keys() & theirs.keys() - {"train"}):
            raise UsageError(_other_rows(first_run, run))
    return replace(first, schema=averaging_of(first.task).schema(first.schema))


def _check_test_rows(runs: Sequence[MemberRun], data: LoadedData) -> None:
    """Raise UsageError if the test rows may be training rows of a run without test scores, such as a trial of a sweep."""
    trained = runs[0].results.data.split_fingerprints["train"]
    for run in runs if "test" in data.splits else ():
        fingerprints = run.results.data.split_fingerprints
        if "test" not in fingerprints and fingerprints["train"] != trained:
            raise UsageError(_other_rows(runs[0], run))


def _other_rows(first: MemberRun, second: MemberRun) -> str:
    """Return the message for two runs with other rows."""
    return (
        f"{first.path} and {second.path} were scored on different rows, so a row that scores the ensemble may be a training "
        "row of a member. Average runs with the same validation and test rows"
    )


def _write_model_folder(target: Path, runs: Sequence[MemberRun]) -> None:
    """Copy the members' model folders, and write inference.json, ensemble.json and the hashes of all training rows."""
    names = [f"{MEMBERS}/{number}" for number in range(1, len(runs) + 1)]
    seen: list[SeenRows] = []
    with atomic_folder(target) as new:
        for name, run in zip(names, runs, strict=True):
            shutil.copytree(run.model, new / name, ignore=shutil.ignore_patterns(TRAINING_ROWS))
            rows = read_seen_rows(run.model)
            seen += [] if rows is None else [rows]
        contract = read_contract(runs[0].model)
        updates = {"ft_toolkit": ft_toolkit.__version__, "base_model": None, "folded_temperature": None}
        write_contract(new, contract.model_copy(update=updates))
        write_members(new, names)
        if len(seen) == len(runs):
            write_seen_rows(new, merge_seen_rows(seen, LIMIT))


@dataclass(frozen=True)
class _Scoring:
    """The main metric, and the recipe with the settings of the evaluation."""

    main_metric: str
    recipe: Recipe


def _predict_and_score(
    model: LoadedModel, saved: SavedTask, data: LoadedData, scoring: _Scoring, display: Display
) -> _Scored:
    """Predict all splits except train, fit the thresholds of the average to the validation rows, and score the splits."""
    task, ensemble = model.task, model.ensemble
    assert ensemble is not None, "the model folder has ensemble.json"
    splits: list[SplitName] = [name for name in data.splits if name != "train"]
    started = time.perf_counter()
    outputs = {}
    for split in splits:
        display.say(f"data       {len(data.splits[split]):,} examples of {data.origin[split]} ({split})")
        outputs[split] = ensemble.outputs(data.splits[split])
    if task.tune is not None:
        saved = replace(saved, schema=task.tune(*outputs["validation"], data.splits["validation"], saved.schema))
    decoded: dict[SplitName, Decoded] = {
        split: task.decode(*output, data.splits[split], saved.schema) for split, output in outputs.items()
    }
    seconds = time.perf_counter() - started
    evaluation = scoring.recipe.evaluation
    setup = ScoringSetup(
        task,
        saved.settings,
        saved.schema,
        applicable_metrics(task, saved.settings, saved.schema),
        scoring.main_metric,
        samples=evaluation.bootstrap_samples,
        seed=scoring.recipe.training.seed,
        slices=evaluation.slices,
        groups=evaluation.groups,
    )
    scored = {
        split: score_split(
            predictions,
            data.splits[split],
            replace(setup, clusters=data.clusters(split)),
            {},
            fitted_here=split == "validation",
        )
        for split, predictions in decoded.items()
    }
    features = {
        split: task.encode(rows, model.tokenizer, model.schema, model.max_length) for split, rows in data.splits.items()
    }
    return _Scored(saved, decoded, scored, features, setup, seconds)


def _member(number: int, run: MemberRun) -> EnsembleMember:
    results = run.results
    return EnsembleMember(
        run=str(run.path),
        folder=f"{MEMBERS}/{number}",
        model=results.model,
        method=results.method,
        command=results.command,
        scores={split: scores.metrics[results.main_metric] for split, scores in results.scores.items()},
    )
