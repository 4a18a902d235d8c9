"""What page and card share: the files of a run folder, numbers as text, and the comparison with a baseline."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

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
from ft_toolkit.core.run_scores import Interval
from ft_toolkit.evaluation.statistics.significance import Outcome
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import Task

# The split that a reader should trust most comes first: the best checkpoint was picked on validation.
_SPLIT_ORDER = ("test", "validation")
_TEMPLATES = Path(__file__).parent / "templates"
# How scores get theirs where resampling says nothing: see `evidence.scores.score_interval`.
INTERVALS = "where all of them give the same score, a mean over examples has Wilson's interval, another metric none"
MISSING = "-"


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
        return find_tasks()[self.results["task"]]

    @property
    def schema(self) -> Any:
        """The task's schema, None for a folder without one."""
        return self.task.load_schema(self.task_schema) if self.task_schema else None

    @property
    def labels(self) -> list[str]:
        """The label names, empty for a task without labels."""
        return list(self.results["labels"] if self.schema is None else self.task.labels(self.schema))

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The task's metrics by name."""
        settings = self.results.get("task_settings") or {"name": self.task.name}
        return self.task.metrics(self.task.settings.model_validate(settings))

    @property
    def is_evaluation(self) -> bool:
        """Whether the folder holds an evaluation of a model that another run trained."""
        return isinstance(self.results, EvaluationResults)

    @property
    def is_adapter(self) -> bool:
        """Whether the model folder holds an adapter that needs its base model."""
        return (self.folder / MODEL / ADAPTER_CONFIG).is_file()

    @property
    def splits(self) -> list[str]:
        """The evaluated splits, the most trustworthy first."""
        return in_order(self.results["scores"])

    def main_score(self, split: str) -> dict[str, float | None]:
        """The main metric of a split: value, low, high."""
        found: dict[str, float | None] = self.results["scores"][split]["metrics"][self.results["main_metric"]]
        return found

    def trained_share(self) -> str:
        """Say the method and how much of the model it trained."""
        training = self.results["training"]
        trained, total = training["trainable_parameters"], training["total_parameters"]
        if trained == total:
            return f"{self.results['method']}: all {count(total)} weights"
        # {:.1%} would call 300 trained weights of a large model "0.0%"
        share = trained / total
        return f"{self.results['method']}: {count(trained)} of {count(total)} weights ({share:.{1 if share > 0.001 else 4}%})"


def in_order(splits: Iterable[str]) -> list[str]:
    """Return the names of splits, the most trustworthy first."""
    found = list(splits)
    return [name for name in _SPLIT_ORDER if name in found] + [name for name in found if name not in _SPLIT_ORDER]


def read_run(folder: Path) -> RunFiles:
    """Return the files of the folder of a run or an evaluation. Only results.json is required.

    Raises UsageError when there is none, RunFolderError when a file is damaged.
    """
    results = read_results(folder)
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


def template(name: str, *, autoescape: bool, **filters: Callable[[Any], str]) -> jinja2.Template:
    """Return a template of this package; a name it uses and nobody gave is an error, not an empty place."""
    environment = _environment(autoescape)
    environment.globals["intervals"] = INTERVALS
    environment.filters.update(number=number, interval=interval, count=count, words=words, verb=verb, **filters)
    return environment.get_template(name)


@cache
def _environment(autoescape: bool) -> jinja2.Environment:
    """Keep what is compiled of the templates: half a second for the page and the card."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def number(value: float | None) -> str:
    """Return a score as text: four decimals, two for scores that run beyond 10, three digits where those would hide it."""
    if value is None:
        return MISSING
    if abs(value) >= 10:
        return f"{value:,.2f}" if abs(value) < 1e5 else f"{value:.3g}"
    return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.3g}"


def interval(score: Mapping[str, float | None] | Interval) -> str:
    """Return the 95% interval of a score as text."""
    if score["low"] is None or score["high"] is None:
        return MISSING
    return f"{number(score['low'])} to {number(score['high'])}"


def count(value: int | float | None) -> str:
    """Return a count with thousands separated."""
    return MISSING if value is None else f"{value:,.0f}"


def verb(model: str) -> str:
    """Return what was done to a model: a new one (see `ModelSection.title`) has nothing that could be fine-tuned."""
    return "trained" if model.endswith(" from scratch") else "fine-tuned"


def words(name: str) -> str:
    """Return a metric's or task's name for people: f1_macro becomes 'f1 macro'."""
    return name.replace("_", " ")


def lower_is_better(run: RunFiles) -> set[str]:
    """Return the names of the metrics whose best value is a low one."""
    known = set(run.results.get("lower_is_better", ()))
    return known if run.results.get("greater_is_better", True) else known | {run.results["main_metric"]}


def compare(lead: dict[str, float | None], *, greater_is_better: bool) -> Outcome:
    """Judge the 95% interval of our score minus a baseline's on the same examples: only one without 0 shows a difference."""
    if lead["low"] is None or lead["high"] is None:
        return "unknown"
    if lead["low"] > 0:
        return "better" if greater_is_better else "worse"
    if lead["high"] < 0:
        return "worse" if greater_is_better else "better"
    return "no significant difference"


def verdict(outcome: Outcome, baseline: str, lead: dict[str, float | None], *, greater_is_better: bool) -> str:
    """Say the outcome of a comparison in a sentence."""
    if outcome == "unknown":
        return f"Not comparable with {baseline}: one of the two scores is undefined."
    difference = f"on the same examples the difference is {interval(lead)}"
    if outcome == "no significant difference":
        return f"No difference to {baseline} shown: {difference}."
    why = "" if greater_is_better else "; lower is better"
    return f"{outcome.capitalize()} than {baseline}: {difference}{why}."


def verdicts(run: RunFiles, split: str) -> list[tuple[Outcome, str]]:
    """Return outcome and sentence for each baseline of a split."""
    metric, greater = run.results["main_metric"], bool(run.results.get("greater_is_better", True))
    found: list[tuple[Outcome, str]] = []
    for name, scores in run.results["scores"][split].get("baselines", {}).items():
        lead = scores[metric]["lead"]
        outcome = compare(lead, greater_is_better=greater)
        found.append((outcome, verdict(outcome, words(name), lead, greater_is_better=greater)))
    return found


def reference_line(run: RunFiles) -> str | None:
    """Say whether the published result was reached, None without one."""
    reference = run.results.get("reference")
    if reference is None:
        return None
    said = f"Reference: {words(reference['metric'])} {number(reference['value'])} on {reference['split']}"
    said += f", within {reference['tolerance']:g} ({reference['source']}). "
    if reference["reached"] is None:
        return said + "Not measured in this run."
    return said + f"{'Reached' if reference['reached'] else 'Not reached'}: {number(reference['found'])} here."


def proof_line(run: RunFiles) -> str | None:
    """Say what a fresh process found when it loaded the saved model."""
    proof = run.results.get("reload_proof")
    if not proof:
        return None
    return (
        f"A fresh process loaded the saved model and gave the same predictions for {count(proof['rows'])} "
        f"{proof['split']} rows (largest difference {proof['largest_difference']:.1g}, allowed {proof['tolerance']:g})."
    )


def choice_line(run: RunFiles) -> str | None:
    """Say what the choice of the best checkpoint on the validation rows does to the scores; an evaluation chooses none."""
    if run.is_evaluation:
        return None
    chosen = (run.recipe.get("evaluation") or {}).get("metric_for_best_model")
    metric = "loss" if chosen == "loss" else words(run.results["main_metric"])
    if "test" in run.splits:
        return f"The best checkpoint was picked by {metric} on validation, so trust test more than validation."
    return f"There are no test rows: the score stands on the rows that picked the checkpoint (by {metric}), which flatters."


def versions(run: RunFiles) -> dict[str, str]:
    """Return the installed version of each package that was there; the toolkit's own also when run from a checkout."""
    versions = dict(run.environment.versions)
    if not versions.get("ft-toolkit") and run.contract is not None:
        versions["ft-toolkit"] = run.contract.ft_toolkit
    return {name: version for name, version in versions.items() if version}
