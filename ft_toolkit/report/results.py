"""Build results.json and environment.json of a run, and write predictions.jsonl."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from ft_toolkit.core import environment
from ft_toolkit.core.files import file_sha256, write_file
from ft_toolkit.core.run_records import (
    BaselineFacts,
    DataFacts,
    DataSource,
    Machine,
    ModelSource,
    Reference,
    ReloadCheck,
    RunEnvironment,
    RunResults,
    TrainingFacts,
)
from ft_toolkit.core.run_scores import SplitScores
from ft_toolkit.data.cards import Card, SplitName
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.evaluation.compare.reference import is_reached
from ft_toolkit.evaluation.statistics.scores import ScoringSetup
from ft_toolkit.recipe.saved_task import SavedTask
from ft_toolkit.report.advice import judge_run
from ft_toolkit.tasks.base import Task, pipeline_tag, without_answers
from ft_toolkit.training.prepare import Prepared


def run_environment(prepared: Prepared, accelerator: Accelerator) -> RunEnvironment:
    """Return environment.json: versions, machine, devices, processes, data fingerprint and model hash."""
    weights = prepared.checkpoint.folder / "model.safetensors"
    data, checkpoint = prepared.data, prepared.checkpoint
    return RunEnvironment(
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        versions=environment.versions(),
        machine=Machine(**environment.machine()),
        device=str(accelerator.device),
        devices=environment.devices(),
        processes=accelerator.num_processes,
        mixed_precision=accelerator.mixed_precision,
        recipe_sha256=prepared.recipe.sha256(),
        data=DataSource(fingerprint=data.fingerprint, origin=data.origin, commit=data.commit),
        model=ModelSource(
            name=checkpoint.name,
            revision=checkpoint.revision,
            commit=checkpoint.commit,
            sha256=file_sha256(weights) if weights.is_file() else None,
        ),
    )


def run_results(
    name: str,
    prepared: Prepared,
    scores: Mapping[SplitName, dict[str, Any]],
    training: Mapping[str, Any],
    baselines: Mapping[str, BaselineFacts],
    reload_check: ReloadCheck,
    command: str,
) -> RunResults:
    """Return results.json of a run. `scores` has the record of each split, `training` the section of that name."""
    recipe, metric = prepared.recipe, prepared.main_metric
    card = None if recipe.data.has_local_files else prepared.data.card
    results = RunResults(
        name=name,
        task=prepared.task.name,
        # with predictions.jsonl and examples.npz, the scores can be computed again from settings and schema
        task_settings=recipe.task.model_dump(mode="json"),
        schema=asdict(prepared.schema),
        pipeline_tag=pipeline_tag(prepared.task, prepared.schema),
        command=command,
        substitutions=prepared.substitutions,
        model=recipe.model.title,
        method=recipe.method.name,
        labels=list(prepared.task.labels(prepared.schema)),
        main_metric=metric,
        greater_is_better=prepared.metrics[metric].greater_is_better,
        lower_is_better=[key for key, definition in prepared.metrics.items() if not definition.greater_is_better],
        bootstrap_samples=recipe.evaluation.bootstrap_samples,
        data=data_facts(prepared.data, card, prepared.facts).model_copy(update={"augmentation": prepared.augmentation}),
        training=TrainingFacts.model_validate(training),
        scores={split: SplitScores.model_validate(record) for split, record in scores.items()},
        baselines=dict(baselines),
        reference=_reference(prepared, scores),
        reload_proof=reload_check,
    )
    verdict = judge_run(results, recipe.as_dict(), prepared.task, prepared.metrics)
    return results.model_copy(update={"verdict": verdict})


def task_facts(saved: SavedTask, setup: ScoringSetup) -> dict[str, Any]:
    """Return the part of the results.json of an evaluation that describes the task and the metrics."""
    return {
        "task": saved.task.name,
        "task_settings": saved.settings.model_dump(mode="json"),
        "schema": asdict(saved.schema),
        "pipeline_tag": pipeline_tag(saved.task, saved.schema),
        "labels": list(saved.task.labels(saved.schema)),
        "main_metric": setup.main_metric,
        "greater_is_better": setup.metrics[setup.main_metric].greater_is_better,
        "lower_is_better": [name for name, metric in setup.metrics.items() if not metric.greater_is_better],
        "bootstrap_samples": setup.samples,
    }


def data_facts(data: LoadedData, card: Card | None, facts: Mapping[str, Any]) -> DataFacts:
    """Return the facts about the rows. `facts` is the result of `audit`, `card` the data card of the rows."""
    values = {
        "card": card.name if card else None,
        "title": card.title if card else None,
        "licence": card.licence if card else None,
        "languages": card.languages if card else [],
        "hub": card.block.source.hub if card else None,
        "config": card.block.source.config if card else None,
        "commit": data.commit,
        "origin": data.origin,
        "fingerprint": data.fingerprint,
        "split_fingerprints": data.split_fingerprints,
        **({} if data.patch is None else {"patch": data.patch.as_json()}),
        **facts,
    }
    return DataFacts.model_validate(values)


def _reference(prepared: Prepared, scores: Mapping[SplitName, dict[str, Any]]) -> Reference | None:
    """Return the published result with the score of this run, and whether the score reaches it within the tolerance."""
    reference = prepared.recipe.reference
    if reference is None:
        return None
    score = scores.get(reference.split, {}).get("metrics", {}).get(reference.metric, {}).get("value")
    greater_is_better = prepared.task.metrics(prepared.recipe.task)[reference.metric].greater_is_better
    reached = is_reached(reference, score, greater_is_better=greater_is_better)
    return Reference(**reference.model_dump(), found=score, reached=reached)


def write_predictions(
    path: Path, data: LoadedData, task: Task, schema: Any, decoded: Mapping[SplitName, list[dict[str, Any]]]
) -> None:
    """Write one line per evaluated example: split, id, the input columns, the reference answer and the prediction."""
    lines = []
    for split, predictions in decoded.items():
        for row, prediction in zip(data.splits[split], predictions, strict=True):
            inputs = {key: value for key, value in without_answers(row, task).items() if key != "id"}
            reference = task.reference_answer(row, schema)
            record = {"split": split, "id": row["id"], **inputs, "gold": reference, **prediction}
            lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    write_file(path, "".join(lines))
