"""`ftk evaluate`: a finished model scored on rows, as the run that made it was, into a folder of its own."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from ft_toolkit.core import environment
from ft_toolkit.core.errors import DataError
from ft_toolkit.core.run_folder import claim
from ft_toolkit.core.run_records import EvaluationResults, write_results
from ft_toolkit.data.audit import audit
from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.columns import TrainedColumns
from ft_toolkit.data.load import load_split
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.evaluation.breakdown.perturb import perturb
from ft_toolkit.evaluation.breakdown.robustness import Trial, check_offered, judge, kinds_of
from ft_toolkit.evaluation.compare.examples import write_examples
from ft_toolkit.evaluation.scoring import Decoded, score_split
from ft_toolkit.evaluation.statistics.scores import ScoringSetup
from ft_toolkit.inference.model_folder import LoadedForInference, load
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.report import results as results_file
from ft_toolkit.report.page import write_page
from ft_toolkit.tasks.base import Features, Rows, applicable_metrics

# Of a model whose inference.json does not say how its run scored itself.
SAMPLES, SEED = 1000, 13


def evaluate_model(
    name: str,
    source: str,
    *,
    split: SplitName,
    columns: Mapping[str, str],
    slices: Sequence[str],
    output: Path | None,
    robustness: bool,
    samples: int | None,
    command: str,
    console: Console,
) -> dict[str, Any]:
    """Score the model `name` on the rows of `source` (a file, or a data card's split) and write an evaluation folder.

    Returns the content of results.json and the `folder`. `samples` bootstrap resamples: None takes the run's. Raises
    UsageError.
    """
    model = load(name)
    task, schema = model.task, model.schema
    if robustness:
        check_offered(task, model.settings)
    defaults = model.contract.evaluation
    trained = TrainedColumns(defaults.columns, defaults.card_columns)
    data = load_split(source, split, task, model.settings, columns, trained, keep=slices)
    rows = data.splits[split]
    metrics = applicable_metrics(task, model.settings, schema)
    main = defaults.main_metric if defaults.main_metric in metrics else next(iter(metrics))
    seed = SEED if defaults.seed is None else defaults.seed
    draws: dict[str, Any] = {"samples": samples or defaults.bootstrap_samples or SAMPLES, "seed": seed}
    console.print(f"model    {name}: {task.name}", highlight=False, soft_wrap=True)
    console.print(f"data     {len(rows)} rows of {data.origin[split]}", highlight=False, soft_wrap=True)
    started = time.perf_counter()
    decoded, features = _predict(model, rows, data.origin[split])
    seconds = time.perf_counter() - started
    plan = ScoringSetup(task, model.settings, schema, metrics, main, slices=slices, **draws)
    scored = score_split(decoded, rows, plan, {}, fitted_here=False)
    record = scored.record
    if robustness:
        record["robustness"] = _robustness(model, data, split, decoded, features, metrics[main], draws, console)
    folder = Path(claim(_short_name(name), output, resume=False, beneath="evaluations"))
    results = {
        "kind": "evaluation",
        "name": folder.name,
        "task": task.name,
        "task_settings": model.settings.model_dump(mode="json"),
        "schema": asdict(schema),
        "pipeline_tag": task.pipeline_tag,
        "command": command,
        "substitutions": [],
        "model": name,
        "labels": list(getattr(schema, "labels", ())),
        "main_metric": main,
        "greater_is_better": metrics[main].greater_is_better,
        "lower_is_better": [key for key, one in metrics.items() if not one.greater_is_better],
        "bootstrap_samples": draws["samples"],
        "data": results_file.data_facts(data, data.card, audit(data, {split: features}, task, model.max_length)),
        "scores": {split: record},
        "evaluation": {
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "seconds": round(seconds, 2),
            "rows_per_second": round(len(rows) / seconds, 1),
            "peak_memory_mib": environment.peak_memory_mib(),
        },
    }
    results_file.write_predictions(folder / "predictions.jsonl", data, task, schema, {split: decoded})
    write_examples(folder, {split: (scored.predictions, scored.references)})
    write_results(folder, EvaluationResults.model_validate(results))
    write_page(folder)
    return {**results, "folder": str(folder)}


def _predict(model: LoadedForInference, rows: Rows, origin: str) -> tuple[Decoded, Features]:
    """Predict rows; an answer that the model does not know is refused with the file it stands in. Raises DataError."""
    try:
        return model.predict_split(rows)
    except DataError as error:
        raise DataError(f"{origin}: {error}. The model was trained without it, so it cannot be scored on it") from None


def _robustness(
    model: LoadedForInference,
    data: LoadedData,
    split: SplitName,
    decoded: Decoded,
    features: Features,
    metric: Metric,
    draws: Mapping[str, int],
    console: Console,
) -> list[dict[str, Any]]:
    """Predict the rows again after each kind of change. A change that the tokenizer takes back is none to the model."""
    rows, seen = data.splits[split], _inputs(features, len(data.splits[split]))
    records = []
    for kind in kinds_of(model.task):
        changed = [perturb(kind, row, model.task.name, draws["seed"]) for row in rows]
        touched = [i for i, one in enumerate(changed) if one is not None]
        console.print(f"robust   {kind}: {len(touched)} of {len(rows)} rows change", highlight=False)
        trials = []
        if touched:
            new_rows = [one.row for one in changed if one is not None]
            after, new_features = model.predict_split(new_rows)
            now = _inputs(new_features, len(new_rows))
            for place, i in enumerate(touched):
                one = changed[i]
                if one is not None and now[place] != seen[i]:
                    trials.append(Trial(rows[i], one, decoded[i], after[place]))
        records.append(judge(kind, trials, len(touched), task=model.task, schema=model.schema, metric=metric, **draws))
    return records


def _inputs(features: Features, n_rows: int) -> list[list[list[int]]]:
    """Return, per row, the token ids of its windows."""
    found: list[list[list[int]]] = [[] for _ in range(n_rows)]
    for i, ids in zip(features.example_ids, features.inputs["input_ids"], strict=True):
        found[i].append(ids)
    return found


def _short_name(model: str) -> str:
    """Return what to call an evaluation: the run's or the repository's name."""
    path = Path(model).resolve() if Path(model).is_dir() else Path(model.partition("@")[0])
    return path.parent.name if path.name == "model" and path.parent.name else path.name
