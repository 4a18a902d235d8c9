"""The last lines of a run on the console: scores, baselines, the reload check, and the next step."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from ft_toolkit.core.run_folder import MODEL
from ft_toolkit.core.run_records import EvaluationResults, SeedsResults, read_results
from ft_toolkit.core.run_scores import RobustnessCheck
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.report.curves import curve_verdict
from ft_toolkit.report.numbers import count, difference, interval, number
from ft_toolkit.report.run_files import RunFiles, read_run
from ft_toolkit.report.seeds import mean_interval
from ft_toolkit.report.wording import (
    OPTIMISTIC,
    compare_with_baselines,
    equal_metrics,
    group_name,
    main_score_text,
    plain_name,
    reference_line,
    reload_check_line,
    suggestions,
    verdict,
)

# A longer text is cut to this many characters in the suggested command.
_MAX_EXAMPLE = 60


def print_results(results: Mapping[str, Any], console: Console) -> None:
    """Print the results of a finished run, evaluation or multi-seed run, from its `folder`."""
    folder = Path(results["folder"])
    content = read_results(folder)
    if isinstance(content, SeedsResults):
        model = folder / content.best.folder
        _print_seeds(content, read_run(model).metrics, console)
    else:
        run = read_run(folder)
        _print_run(run, console)
        model = folder
    _print(f"\nReport page: {(folder / 'report.html').resolve().as_uri()}", console)
    if command := predict_command(model):
        _print(f"Next step:   {command}", console)


def _print(text: str, console: Console) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _is_detail(name: str, metrics: Mapping[str, Metric]) -> bool:
    """Return whether only the report page shows a metric."""
    return name in metrics and metrics[name].is_detail


def _print_run(run: RunFiles, console: Console) -> None:
    results, metric = run.results, run.metrics.get(run.results.main_metric)
    if tips := suggestions(results):
        _print(f"\n{verdict(results, run.splits[0], run.metrics)}", console)
        for text in ("Suggestions:", *(f"- {tip}" for tip in tips)):
            _print(f"  {text}", console)
    for split in run.splits:
        scores = results.scores[split]
        detectable = scores.metrics[results.main_metric].detectable
        _print(f"\n{main_score_text(results, split)}", console)
        if split == "validation" and not run.is_evaluation:
            _print(f"  {OPTIMISTIC}", console)
        for comparison in compare_with_baselines(results, split, run.metrics):
            _print(f"  {comparison.sentence}", console)
        for member in results.members if isinstance(results, EvaluationResults) else ():
            if (score := member.scores.get(split)) is not None:
                _print(f"  {member.run}: {number(score.value, scores.n)} ({interval(score, scores.n)})", console)
        if detectable is not None:
            amount = difference((detectable,), metric, scores.n)
            _print(f"  smallest detectable difference (5% level, 80% power): {amount}", console)
        _print_metrics(run, split, console)
        for check in scores.robustness:
            _print(f"  {_robustness_text(check, results.main_metric)}", console)
    for line in (run.tuning_text, curve_verdict(run), reference_line(results), reload_check_line(results)):
        if line:
            _print(f"\n{line}", console)


def _print_metrics(run: RunFiles, split: str, console: Console) -> None:
    """Print a table of metrics, equal ones in one row, and of the baselines' main scores."""
    results, scores = run.results, run.results.scores[split]
    main, n = results.main_metric, scores.n
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False)
    table.add_column(f"{split}, n = {count(n)}", overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("95% interval", no_wrap=True)
    for names in equal_metrics(results.scores.values(), main):
        if names[0] != main and _is_detail(names[0], run.metrics):
            continue
        direction = " (lower is better)" if names[0] in run.lower_is_better else ""
        score = scores.metrics[names[0]]
        table.add_row(f"{group_name(names)}{direction}", number(score.value, n), interval(score, n))
    for name, baseline in scores.baselines.items():
        title = f"{plain_name(main)} of the {plain_name(name)} baseline"
        table.add_row(title, number(baseline[main].value, n), interval(baseline[main], n))
    console.print(Padding(table, (1, 0, 0, 2)), markup=False, highlight=False)


def _robustness_text(check: RobustnessCheck, main_metric: str) -> str:
    """Return the answers that one kind of change to the input changed."""
    n, share, metric = check.changed, check.flip_rate, check.metric
    reverted = check.rewritten - n
    note = f" ({count(reverted)} more rows do not count: the tokenizer reverts the change)" if reverted else ""
    if not n or share.value is None:
        return f"{check.kind}: no row changed{note}"
    return (
        f"{check.kind}: {count(check.flipped)} of {count(n)} answers changed ({share.value:.1%}, 95% interval "
        f"{share.low:.1%} to {share.high:.1%}); {plain_name(main_metric)} {number(metric.plain, n)} before, "
        f"{number(metric.value, n)} after (95% interval of the difference {interval(metric.difference, n)}){note}"
    )


def _print_seeds(results: SeedsResults, metrics: Mapping[str, Metric], console: Console) -> None:
    for split, scores in results.scores.items():
        n = scores.n
        columns = ("mean ± sd", "95% interval of the mean", "minimum", "maximum", "seeds")
        table = Table(f"{split}, n = {count(n)}", *columns, box=None)
        for name, spread in scores.metrics.items():
            if name != results.main_metric and _is_detail(name, metrics):
                continue
            direction = " (lower is better)" if name in results.lower_is_better else ""
            table.add_row(
                f"{plain_name(name)}{direction}",
                f"{number(spread.mean, n)} ± {number(spread.sd, n)}",
                mean_interval(spread, n),
                number(spread.min, n),
                number(spread.max, n),
                str(spread.n),
            )
        console.print(table, markup=False, highlight=False)
    best = results.best
    _print(f"best {plain_name(best.chosen_by)}: seed {best.seed} ({number(best.value)})", console)


def predict_command(folder: Path) -> str | None:
    """Return a command that predicts with the model of a run: a text of the run, or a file for rows with several columns.

    None for a folder without a model.
    """
    if not (folder / MODEL).is_dir():
        return None
    run = read_run(folder)
    record = run.predictions[0] if run.predictions else {}
    inputs = [name for name, column in run.task.columns.items() if not column.is_answer]
    inputs = [name for name in inputs if isinstance(record.get(name), str)]
    if inputs != [run.task.text_column]:
        return shlex.join(["ftk", "predict", str(folder), "--input", "rows.jsonl"])
    texts = [str(record[inputs[0]]) for record in run.predictions]
    # the first text that fits, otherwise the beginning of the first text
    lines = [" ".join(text.split()) for text in texts]
    text = next((line for line in lines if line and len(line) <= _MAX_EXAMPLE and not line.startswith("-")), "")
    text = text or lines[0][:_MAX_EXAMPLE].rpartition(" ")[0].lstrip("-") or lines[0][:_MAX_EXAMPLE]
    return shlex.join(["ftk", "predict", str(folder), text])
