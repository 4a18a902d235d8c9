"""The files of a run folder, for the report page and the model card."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.json_records import read_objects, read_text
from ft_toolkit.core.run_folder import (
    ADAPTER_CONFIG,
    ATTRIBUTIONS,
    INFERENCE,
    METRICS,
    MODEL,
    PREDICTIONS,
    RECIPE,
)
from ft_toolkit.core.run_records import (
    AnyResults,
    EvaluationResults,
    InferenceContract,
    RunEnvironment,
    RunResults,
    SeedsResults,
    read_contract,
    read_environment,
    read_recipe,
    read_results,
)
from ft_toolkit.core.run_scores import MetricScore
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.models.config_files import saved_pooling
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import Task

# The most trustworthy split comes first: validation also selected the checkpoint.
_SPLIT_ORDER = ("test", "validation")


@dataclass(frozen=True)
class RunFiles:
    """The files of a finished run or evaluation.

    `contract` is model/inference.json, None for a folder without a model. Other files that are missing are empty.
    """

    folder: Path
    results: RunResults | EvaluationResults
    environment: RunEnvironment
    contract: InferenceContract | None
    recipe: dict[str, Any]
    recipe_text: str
    records: list[dict[str, Any]]
    predictions: list[dict[str, Any]]
    attributions: list[dict[str, Any]]

    @property
    def task_schema(self) -> dict[str, Any]:
        """The labels, thresholds and other values that the task derived from the data."""
        return self.contract.task_schema if self.contract is not None else self.results.task_schema

    @property
    def max_length(self) -> int | None:
        """The length limit in tokens, None where the folder does not tell."""
        if self.contract is not None:
            return self.contract.max_length
        limit = (self.recipe.get("data") or {}).get("max_length")
        return limit if isinstance(limit, int) else None

    @property
    def task(self) -> Task:
        """The task of the run."""
        return find_tasks()[self.results.task]

    @property
    def schema(self) -> Any:
        """The task's schema, None for a folder without one."""
        return self.task.load_schema(self.task_schema) if self.task_schema else None

    @property
    def tuning_text(self) -> str:
        """Sentences on the thresholds that were chosen on the validation rows; empty for none."""
        return "" if self.schema is None else self.task.tuning_text(self.schema)

    @property
    def labels(self) -> list[str]:
        """The label names, empty for a task without labels."""
        return list(self.results.labels if self.schema is None else self.task.labels(self.schema))

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The task's metrics by name."""
        settings = self.results.task_settings or {"name": self.task.name}
        return self.task.metrics(self.task.settings.model_validate(settings))

    @property
    def run_results(self) -> RunResults:
        """The results of a run. Raises UsageError for the folder of an evaluation."""
        if not isinstance(self.results, RunResults):
            raise UsageError(f"{self.folder}: an evaluation; the folder of a run is required")
        return self.results

    @property
    def is_evaluation(self) -> bool:
        """Whether the folder holds an evaluation of a model that another run trained."""
        return self.results.kind == "evaluation"

    @property
    def is_ensemble(self) -> bool:
        """Whether the folder holds an ensemble of other runs."""
        return self.results.kind == "ensemble"

    @property
    def is_export(self) -> bool:
        """Whether the folder holds an export of another run."""
        return self.results.kind == "export"

    @property
    def is_adapter(self) -> bool:
        """Whether the model folder holds an adapter that needs its base model."""
        return (self.folder / MODEL / ADAPTER_CONFIG).is_file()

    @property
    def pooling(self) -> str | None:
        """The pooling of the model that transformers alone does not compute; None without one."""
        return saved_pooling(self.folder / MODEL)

    @property
    def selection_metric(self) -> str | None:
        """The recipe's metric for the best checkpoint; None for the main metric."""
        return (self.recipe.get("evaluation") or {}).get("metric_for_best_model")

    @property
    def splits(self) -> list[str]:
        """The evaluated splits, the most trustworthy first."""
        return in_order(self.results.scores)

    def main_score(self, split: str) -> MetricScore:
        """Return the score of the main metric on a split."""
        return self.results.scores[split].metrics[self.results.main_metric]

    @property
    def lower_is_better(self) -> set[str]:
        """The names of the metrics for which a lower value is better."""
        names = set(self.results.lower_is_better)
        return names if self.results.greater_is_better else names | {self.results.main_metric}

    @property
    def versions(self) -> dict[str, str]:
        """The version of each installed package, and of the toolkit also when it ran from a checkout."""
        versions = dict(self.environment.versions)
        if not versions.get("ft-toolkit") and self.contract is not None:
            versions["ft-toolkit"] = self.contract.ft_toolkit
        return {name: version for name, version in versions.items() if version}


def in_order(splits: Iterable[str]) -> list[str]:
    """Return the names of splits, the most trustworthy first."""
    names = list(splits)
    return [name for name in _SPLIT_ORDER if name in names] + [name for name in names if name not in _SPLIT_ORDER]


def read_run(folder: Path, results: AnyResults | None = None) -> RunFiles:
    """Return the files of the folder of a run or an evaluation. Only results.json is required.

    `results` is the content of results.json before that file is written. Raises UsageError when there is none, RunFolderError
    when a file is damaged.
    """
    results = read_results(folder) if results is None else results
    if isinstance(results, SeedsResults):
        raise UsageError(
            f"{folder}: a multi-seed run; name the folder of one seed, e.g. {folder / results.best.folder}"
        )
    return RunFiles(
        folder=folder,
        results=results,
        environment=read_environment(folder),
        contract=read_contract(folder / MODEL) if (folder / MODEL / INFERENCE).is_file() else None,
        recipe=read_recipe(folder) or {},
        recipe_text=read_text(folder / RECIPE) if (folder / RECIPE).is_file() else "",
        records=read_objects(folder / METRICS),
        predictions=read_objects(folder / PREDICTIONS),
        attributions=read_objects(folder / ATTRIBUTIONS),
    )
