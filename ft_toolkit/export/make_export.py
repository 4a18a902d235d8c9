"""`ftk export`: write a finished run in another format, score the export, and certify how close it is to the run."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ft_toolkit.core import environment
from ft_toolkit.core.claim import claim
from ft_toolkit.core.errors import FtkError, GateError, ModelError
from ft_toolkit.core.export_records import Certificate, ExportFacts, ExportFormat, write_certificate
from ft_toolkit.core.run_folder import CERTIFICATE, MODEL, PREDICTIONS
from ft_toolkit.core.run_records import EvaluationResults, write_results
from ft_toolkit.data.audit import audit
from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.evaluation.compare.examples import write_examples
from ft_toolkit.evaluation.run_rows import load_run_rows
from ft_toolkit.evaluation.scoring import Decoded, ScoredSplit, score_split
from ft_toolkit.evaluation.statistics.scores import ScoringSetup
from ft_toolkit.export.certificate import (
    AllowedDrop,
    Measured,
    Outputs,
    allowed_changes,
    certify,
    folder_megabytes,
    raw_outputs,
)
from ft_toolkit.export.source import Source, find_source
from ft_toolkit.export.timing import measure
from ft_toolkit.export.write_model import CALIBRATION_ROWS, WrittenModel, write_model
from ft_toolkit.inference.model_folder import LoadedModel, open_model
from ft_toolkit.recipe.saved_task import SavedTask
from ft_toolkit.recipe.sections import Recipe
from ft_toolkit.report import results as results_file
from ft_toolkit.report.export_card import write_export_card
from ft_toolkit.report.page import write_page
from ft_toolkit.report.sections.certificate import describe_layers
from ft_toolkit.runtime.finished_model import FinishedModel
from ft_toolkit.tasks.base import Features, Rows, applicable_metrics
from ft_toolkit.training.tracking import Display

# The split that the certificate compares. Every run has it.
SPLIT: SplitName = "validation"


@dataclass(frozen=True)
class ExportRequest:
    """The arguments of `ftk export`.

    run         a run folder
    output      the folder of the export
    format      the format
    drop        the largest allowed drop of a metric on the validation rows; None checks nothing
    measure     whether to measure the speed
    command     the command line, for results.json
    """

    run: Path
    output: Path
    format: ExportFormat
    drop: AllowedDrop | None
    measure: bool
    command: str


def make_export(request: ExportRequest, display: Display) -> dict[str, Any]:
    """Write the folder of an export, and return the content of its results.json, the `certificate` and the `folder`.

    Raises UsageError for a run that cannot be exported and for rows that have changed since the run. Raises GateError, with
    the folder complete, if a larger drop than the allowed one cannot be excluded.
    """
    source = find_source(request.run, request.format)
    recipe, data = load_run_rows(source.folder, source.results, with_test="test" in source.results.scores)
    display.say(f"run        {source.folder}: {source.results.task}, {source.results.model}")
    with claim(request.output.name, request.output, resume=False) as lock:
        return _fill_folder(lock.folder, source, request, (recipe, data), display)


def _fill_folder(
    folder: Path, source: Source, request: ExportRequest, loaded: tuple[Recipe, LoadedData], display: Display
) -> dict[str, Any]:
    """Write the files of an export into its folder; see `make_export`."""
    started = time.perf_counter()
    recipe, data = loaded
    try:
        allowed = None if request.drop is None else allowed_changes(request.drop.allowed, len(data.splits[SPLIT]))
        written = write_model(folder / MODEL, source, request.format, _calibration_rows(data), allowed)
    except FtkError:
        shutil.rmtree(folder)
        raise
    seconds = time.perf_counter() - started
    display.say(f"model      {request.format}, {folder_megabytes(folder):,.1f} MB, written in {seconds:.1f} s")
    run, export = LoadedModel(str(source.model)), open_model(str(folder / MODEL))
    scored = _score(export, source, recipe, data)
    facts = ExportFacts(
        format=request.format,
        run=str(request.run),
        method=source.results.method,
        base_model=source.results.model,
        command=source.results.command,
        merged=source.is_adapter,
        temperature=written.temperature,
        float_layers=[] if written.layers is None else written.layers.float_layers,
        seconds=round(seconds, 2),
    )
    results = _write_predictions(folder, request, facts, scored, data, recipe)
    measured = _measure(run, export, data.splits[SPLIT], written, request)
    certificate = certify(folder, results, source.folder, SPLIT, measured, request.drop)
    write_certificate(folder, certificate)
    write_page(folder, results)
    write_export_card(folder, results)
    write_results(folder, results)
    _announce(certificate, display)
    display.say(f"export     {folder} in {time.perf_counter() - started:.1f} s; see {folder / CERTIFICATE}")
    if certificate.max_drop is not None and not certificate.max_drop.passed:
        drop = certificate.max_drop
        raise GateError(
            f"{folder}: a drop of {drop.metric} of more than {drop.allowed:g} is not excluded at 95% on {certificate.rows:,} "
            f"{SPLIT} rows\n  {drop.text}\nThe folder is complete; do not use its model where this bound is required"
        )
    return {"certificate": certificate.as_json(), "folder": str(folder)}


def _calibration_rows(data: LoadedData) -> Rows:
    """Return evenly spaced training rows."""
    rows = data.splits["train"]
    step = max(1, -(-len(rows) // CALIBRATION_ROWS))
    return rows[::step]


@dataclass(frozen=True)
class _Scored:
    """The predictions and the scores of an export by split, and the seconds of the predictions."""

    decoded: dict[SplitName, Decoded]
    splits: dict[SplitName, ScoredSplit]
    features: dict[SplitName, Features]
    setup: ScoringSetup
    seconds: float


def _score(export: FinishedModel, source: Source, recipe: Recipe, data: LoadedData) -> _Scored:
    """Predict all splits except train with the export, and score them like the run."""
    task, evaluation = export.task, recipe.evaluation
    started = time.perf_counter()
    predicted = {name: export.predict_split(rows) for name, rows in data.splits.items() if name != "train"}
    seconds = time.perf_counter() - started
    setup = ScoringSetup(
        task,
        export.settings,
        source.saved.schema,
        applicable_metrics(task, export.settings, export.schema),
        source.results.main_metric,
        samples=evaluation.bootstrap_samples,
        seed=recipe.training.seed,
        slices=evaluation.slices,
        groups=evaluation.groups,
    )
    scored: dict[SplitName, ScoredSplit] = {
        name: score_split(
            predictions,
            data.splits[name],
            replace(setup, clusters=data.clusters(name)),
            {},
            fitted_here=name == SPLIT,
        )
        for name, (predictions, _) in predicted.items()
    }
    features: dict[SplitName, Features] = {name: features for name, (_, features) in predicted.items()}
    features["train"] = task.encode(data.splits["train"], export.tokenizer, export.schema, export.max_length)
    return _Scored(
        {name: predictions for name, (predictions, _) in predicted.items()},
        scored,
        features,
        setup,
        seconds,
    )


def _write_predictions(
    folder: Path, request: ExportRequest, facts: ExportFacts, scored: _Scored, data: LoadedData, recipe: Recipe
) -> EvaluationResults:
    """Write predictions.jsonl and examples.npz, and return the content of results.json, which is written last."""
    task = scored.setup.task
    rows = sum(map(len, scored.decoded.values()))
    max_length = recipe.data.max_length
    assert max_length is not None, "the recipe of a finished run is resolved"
    audited = audit(data, scored.features, task, scored.setup.settings, max_length)
    results = {
        "kind": "export",
        "name": folder.resolve().name,
        "command": request.command,
        "substitutions": [],
        "model": facts.base_model,
        "export": facts,
        **results_file.task_facts(SavedTask(task, scored.setup.settings, scored.setup.schema), scored.setup),
        "data": results_file.data_facts(data, None if recipe.data.has_local_files else data.card, audited),
        "scores": {split: each.record for split, each in scored.splits.items()},
        "evaluation": {
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "seconds": round(scored.seconds, 2),
            "rows_per_second": round(rows / scored.seconds, 1),
            "peak_memory_mib": environment.peak_memory_mib(),
        },
    }
    results_file.write_predictions(folder / PREDICTIONS, data, task, scored.setup.schema, scored.decoded)
    arrays = {split: (each.predictions, each.references) for split, each in scored.splits.items()}
    write_examples(folder, arrays, {split: data.clusters(split) for split in scored.splits})
    return EvaluationResults.model_validate(results)


def _measure(
    run: LoadedModel, export: FinishedModel, rows: Rows, written: WrittenModel, request: ExportRequest
) -> Measured:
    """Compare the outputs of both models on the validation rows, and measure their speed. Raises ModelError.

    Both must read the same tokens.
    """
    task = run.task
    features = task.encode(rows, run.tokenizer, run.schema, run.max_length)
    theirs = task.encode(rows, export.tokenizer, export.schema, export.max_length)
    read: list[tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]]] = [
        (features.inputs["input_ids"], theirs.inputs["input_ids"])
    ]
    if task.exported_texts is not None:
        read.append(
            (task.exported_texts.prompts(features, run.schema), task.exported_texts.prompts(theirs, run.schema))
        )
    for ours, others in read:
        if list(ours) != list(others):
            different = sum(left != right for left, right in zip(ours, others, strict=False)) + abs(
                len(ours) - len(others)
            )
            raise ModelError(
                f"{request.output}: the tokenizer of the export gives other tokens than the tokenizer of the run for "
                f"{different} of {len(ours)} inputs. Use --format transformers, and report the tokenizer"
            )
    outputs = None
    if task.graph is not None:
        graph = raw_outputs(task.graph)
        outputs = Outputs(run.values_of(features, graph), export.values_of(features, graph))
    elif task.scored_tokens is not None:
        outputs = Outputs(_log_likelihoods(run, features), _log_likelihoods(export, features))
    return Measured(
        len(features.lengths),
        outputs,
        run.contract.mixed_precision,
        written.graph_difference,
        written.layers,
        _megabytes(run),
        measure(run, export, rows) if request.measure else None,
    )


def _megabytes(run: LoadedModel) -> float:
    """Return the size of the model of a run in megabytes; of an adapter, with its base model."""
    if run.contract.base_model is None:
        return folder_megabytes(run.folder.parent)
    return float(sum(tensor.nbytes for tensor in run.model.state_dict().values()) / 1e6)


def _log_likelihoods(model: FinishedModel, features: Features) -> list[tuple[np.ndarray, ...]]:
    """Return the negative log-likelihoods of the target tokens of each feature, in nats."""
    return [() if scores is None else (scores[0],) for scores in model.token_scores_of(features)]


def _announce(certificate: Certificate, display: Display) -> None:
    """Print the figures of the certificate."""
    changed, timing, largest = certificate.changed_answers, certificate.timing, certificate.largest_difference
    display.say(
        f"parity     {changed.count:,} of {changed.rows:,} {certificate.split} answers changed (95% interval "
        f"{changed.low:.2%} to {changed.high:.2%})"
        + (f"; largest difference of an output {largest:.2g}" if largest is not None else "")
    )
    display.say(f"size       {certificate.run_megabytes:,.1f} MB -> {certificate.export_megabytes:,.1f} MB")
    if timing is not None:
        display.say(
            f"speed      one row: {timing.run.p50_ms:.1f} -> {timing.export.p50_ms:.1f} ms (p50), "
            f"{timing.run.p95_ms:.1f} -> {timing.export.p95_ms:.1f} ms (p95); batches of 32: "
            f"{timing.run.rows_per_second:,.0f} -> {timing.export.rows_per_second:,.0f} rows per second"
        )
    if certificate.layers is not None:
        display.say(f"layers     {describe_layers(certificate.layers)}")
    if certificate.max_drop is not None:
        display.say(f"max drop   {certificate.max_drop.metric}: {certificate.max_drop.text}")
