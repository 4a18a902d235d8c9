"""Score a finished model on new rows, with the metrics and settings of its run, and write an evaluation folder."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ft_toolkit.core import environment
from ft_toolkit.core.claim import claim
from ft_toolkit.core.errors import DataError
from ft_toolkit.core.run_folder import PREDICTIONS
from ft_toolkit.core.run_records import EvaluationResults, read_results, write_results
from ft_toolkit.data.audit import audit
from ft_toolkit.data.augment.perturb import perturb
from ft_toolkit.data.bad_rows import refuse_rows
from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.columns import FileColumns, TrainedColumns
from ft_toolkit.data.groups import GroupColumn
from ft_toolkit.data.load_data import SplitColumns, load_split
from ft_toolkit.data.seen_rows import read_seen_rows
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.evaluation.breakdown.robustness import Trial, judge, robustness_of
from ft_toolkit.evaluation.compare.examples import write_examples
from ft_toolkit.evaluation.scoring import Decoded, score_split
from ft_toolkit.evaluation.statistics.scores import ScoringSetup
from ft_toolkit.inference.model_folder import open_model
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.recipe.saved_task import SavedTask
from ft_toolkit.report import results as results_file
from ft_toolkit.report.page import write_page
from ft_toolkit.runtime.finished_model import FinishedModel
from ft_toolkit.tasks.base import Features, Rows, applicable_metrics
from ft_toolkit.training.tracking import Display

# Bootstrap resamples and seed for a model whose inference.json does not name them.
DEFAULT_SAMPLES, DEFAULT_SEED = 1000, 13


@dataclass(frozen=True)
class EvaluationRequest:
    """The arguments of `ftk evaluate`.

    model           a run folder, a model folder, or a repository on the Hub
    source          a data file, or the name of a data card
    split           the split that the rows belong to
    reading         how to read the file; None: content and name decide
    columns         names of the file's columns by the task's names; the run's names are the default
    group           the column with the group of a row; None uses the run's, else the task's
    slices          columns whose values divide the rows into groups with scores of their own
    output          the evaluation folder; None creates evaluations/NAME with the next free number
    robustness      whether to run the robustness check
    samples         bootstrap resamples for the intervals; None uses the number of the model's run
    command         the command line, for results.json
    label_separator the text between the labels of a cell; None uses the separator of the model's run
    base            the folder of an adapter's base model that was moved; None uses the name in inference.json
    """

    model: str
    source: str
    split: SplitName
    columns: Mapping[str, FileColumns]
    group: str | None
    slices: Sequence[str]
    output: Path | None
    robustness: bool
    samples: int | None
    command: str
    reading: Reading | None = None
    label_separator: str | None = None
    base: str | None = None


def evaluate_model(request: EvaluationRequest, display: Display) -> dict[str, Any]:
    """Score a model on rows, write an evaluation folder, and return the content of results.json and the `folder`.

    Raises UsageError if the model or the rows cannot be read or do not fit each other.
    """
    model, split = open_model(request.model, request.base), request.split
    if request.robustness:
        robustness_of(model.task, model.settings)
    data = _load_rows(request, model)
    setup = replace(_scoring_setup(request, model), clusters=data.clusters(split))
    rows, origin = data.splits[split], data.origin[split]
    display.say(f"model      {request.model}: {model.task.name}")
    display.say(f"data       {len(rows):,} examples of {origin}")
    started = time.perf_counter()
    predictions, features = _predict(model, rows, f"{origin} ({split})")
    seconds = time.perf_counter() - started
    scored = score_split(predictions, rows, setup, {}, fitted_here=False)
    record = scored.record
    if request.robustness:
        record["robustness"] = _check_robustness(model, rows, predictions, features, setup, display)
    facts = audit(data, {split: features}, model.task, model.settings, model.max_length, read_seen_rows(model.folder))
    facts["warnings"] += [f"{split}: {note}" for note in model.notes(rows, features)]
    for warning in facts["warnings"]:
        display.warn(f"note: {warning}")
    with claim(_short_name(request.model), request.output, resume=False, parent="evaluations") as lock:
        folder = lock.folder
        results = {
            "kind": "evaluation",
            "name": folder.name,
            "command": request.command,
            "substitutions": [],
            "model": request.model,
            **results_file.task_facts(SavedTask(model.task, model.settings, model.schema), setup),
            "data": results_file.data_facts(data, data.card, facts),
            "scores": {split: record},
            "evaluation": {
                "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "seconds": round(seconds, 2),
                "rows_per_second": round(len(rows) / seconds, 1),
                "peak_memory_mib": environment.peak_memory_mib(),
            },
        }
        results_file.write_predictions(folder / PREDICTIONS, data, model.task, model.schema, {split: predictions})
        write_examples(folder, {split: (scored.predictions, scored.references)}, {split: setup.clusters})
        evaluated = EvaluationResults.model_validate(results)
        write_page(folder, evaluated)
        write_results(folder, evaluated)
    return {**read_results(folder).as_json(), "folder": str(folder)}


def _load_rows(request: EvaluationRequest, model: FinishedModel) -> LoadedData:
    """Load the rows to score, with the column names of the request or of the model's run."""
    defaults = model.contract.evaluation
    group = GroupColumn(request.group or defaults.group, is_required=request.group is not None)
    columns = SplitColumns(
        request.columns,
        TrainedColumns(defaults.columns, defaults.card_columns),
        model.task.defined_labels(model.schema),
        request.label_separator or defaults.label_separator,
        request.slices,
        group,
        request.reading,
    )
    return load_split(request.source, request.split, model.task, model.settings, columns)


def _scoring_setup(request: EvaluationRequest, model: FinishedModel) -> ScoringSetup:
    """Return how to score the model: with the settings of its run, unless the request overrides them."""
    defaults = model.contract.evaluation
    metrics = applicable_metrics(model.task, model.settings, model.schema)
    schema, classifier = model.schema, model.task.classifier(model.settings)
    if classifier is not None and (folded := model.contract.folded_temperature) is not None:
        schema = classifier.with_temperature(schema, folded)  # to compare with the probabilities before calibration
    return ScoringSetup(
        model.task,
        model.settings,
        schema,
        metrics,
        defaults.main_metric if defaults.main_metric in metrics else next(iter(metrics)),
        samples=request.samples or defaults.bootstrap_samples or DEFAULT_SAMPLES,
        seed=DEFAULT_SEED if defaults.seed is None else defaults.seed,
        slices=request.slices,
    )


def _predict(model: FinishedModel, rows: Rows, origin: str) -> tuple[Decoded, Features]:
    """Predict rows. Raises DataError, with the file and the split, for a label that the model was not trained on."""
    try:
        return model.predict_split(rows)
    except DataError as error:
        raise refuse_rows(
            rows,
            lambda part: model.task.encode(part, model.tokenizer, model.schema, model.max_length),
            origin,
            "test",
            error,
        ) from None


def _check_robustness(
    model: FinishedModel,
    rows: Rows,
    predictions: Decoded,
    features: Features,
    setup: ScoringSetup,
    display: Display,
) -> list[dict[str, Any]]:
    """Predict the rows again after each kind of change, and return a record per kind.

    A change that does not change the token ids is not counted, because the model does not see it.
    """
    robustness, records = robustness_of(setup.task, setup.settings), []
    original_ids = _token_ids(features, len(rows))
    for kind in robustness.changes:
        changes = {i: change for i, row in enumerate(rows) if (change := perturb(kind, row, robustness, setup.seed))}
        display.say(f"robustness {kind}: {len(changes):,} of {len(rows):,} texts changed")
        trials, positions = [], []
        if changes:
            changed_predictions, changed_features = model.predict_split([change.row for change in changes.values()])
            changed_ids = _token_ids(changed_features, len(changes))
            trials = [
                Trial(rows[i], change, predictions[i], prediction)
                for (i, change), ids, prediction in zip(changes.items(), changed_ids, changed_predictions, strict=True)
                if ids != original_ids[i]
            ]
            positions = [i for i, ids in zip(changes, changed_ids, strict=True) if ids != original_ids[i]]
        clusters = setup.clusters.of(np.array(positions, int)) if setup.clusters is not None and positions else None
        records.append(judge(kind, trials, len(changes), robustness, replace(setup, clusters=clusters)))
    return records


def _token_ids(features: Features, n_rows: int) -> list[list[list[int]]]:
    """Return, for each row, the token ids of its windows."""
    ids_by_row: list[list[list[int]]] = [[] for _ in range(n_rows)]
    for i, ids in zip(features.example_ids, features.inputs["input_ids"], strict=True):
        ids_by_row[i].append(ids)
    return ids_by_row


def _short_name(model: str) -> str:
    """Return the name of an evaluation folder: the name of the run or of the repository."""
    path = Path(model).resolve() if Path(model).is_dir() else Path(model.partition("@")[0])
    return path.parent.name if path.name == "model" and path.parent.name else path.name
