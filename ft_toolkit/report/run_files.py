"""What page and card share: the files of a run folder, numbers as text, and the comparison with a baseline."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from ft_toolkit.core.yaml12 import parse_yaml
from ft_toolkit.evaluation.statistics.significance import Outcome

# The split that a reader should trust most comes first: the best checkpoint was picked on validation.
_SPLIT_ORDER = ("test", "validation")
_TEMPLATES = Path(__file__).parent / "templates"
# How scores get theirs where resampling says nothing: see `evidence.scores.score_interval`.
INTERVALS = "where all of them give the same score, a mean over examples has Wilson's interval, another metric none"
MISSING = "-"


@dataclass(frozen=True)
class RunFiles:
    """A finished run as read from its folder. `contract` is model/inference.json; what a run lacks is empty."""

    folder: Path
    results: dict[str, Any]
    environment: dict[str, Any]
    contract: dict[str, Any]
    recipe: dict[str, Any]
    recipe_text: str
    records: list[dict[str, Any]]
    predictions: list[dict[str, Any]]
    attributions: list[dict[str, Any]]

    @property
    def threshold(self) -> float:
        """That of a multi-label model; 0.5 for any other."""
        schema = self.contract.get("schema") or self.results.get("schema") or {}
        found = schema.get("threshold")
        return float(found) if isinstance(found, (int, float)) else 0.5

    @property
    def is_evaluation(self) -> bool:
        """Whether the folder holds an evaluation of a model that another run trained."""
        return self.results.get("kind") == "evaluation"

    @property
    def is_adapter(self) -> bool:
        """Whether the model folder holds an adapter that needs its base model."""
        return (self.folder / "model" / "adapter_config.json").is_file()

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
    """Read the files of a run folder. Only results.json must be there."""
    recipe_text = _text(folder / "recipe.yaml")
    return RunFiles(
        folder=folder,
        results=json.loads((folder / "results.json").read_text(encoding="utf-8")),
        environment=json.loads(_text(folder / "environment.json") or "{}"),
        contract=json.loads(_text(folder / "model" / "inference.json") or "{}"),
        recipe=parse_yaml(recipe_text)[0] or {},
        recipe_text=recipe_text,
        records=_lines(folder / "metrics.jsonl"),
        predictions=_lines(folder / "predictions.jsonl"),
        attributions=_lines(folder / "attributions.jsonl"),
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


def interval(score: dict[str, float | None]) -> str:
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
    found = dict(run.environment.get("versions", {}))
    if not found.get("ft-toolkit") and run.contract.get("ft_toolkit"):
        found["ft-toolkit"] = run.contract["ft_toolkit"]
    return {name: version for name, version in found.items() if version}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _lines(path: Path) -> list[dict[str, Any]]:
    # not str.splitlines, which also breaks at the U+2028 that json leaves as it is inside a text
    return [json.loads(line) for line in _text(path).split("\n") if line.strip()]
