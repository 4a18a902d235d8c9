"""`ftk gate`: check conditions on a finished run, without loading a model."""

import math
from pathlib import Path
from typing import Annotated

import typer

from ft_toolkit.cli.arguments import Json, Split, check_targets
from ft_toolkit.core.errors import GateError, UsageError


def gate(
    run: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    minimum: Annotated[
        list[str] | None, typer.Option("--min", help="METRIC=VALUE: the score is at least this, e.g. f1=0.80.")
    ] = None,
    min_low: Annotated[
        list[str] | None, typer.Option(help="METRIC=VALUE: the lower end of the 95% interval is at least this.")
    ] = None,
    maximum: Annotated[
        list[str] | None, typer.Option("--max", help="METRIC=VALUE, where lower is better: the score is at most this.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="Another run on the same rows, below which the score must not drop.")
    ] = None,
    max_drop: Annotated[
        float, typer.Option(min=0, help="With --baseline: a drop that is allowed; fails when a larger one is shown.")
    ] = 0.0,
    alpha: Annotated[
        float, typer.Option(help="With --baseline: the chance of failing a run that dropped by no more than allowed.")
    ] = 0.05,
    strict: Annotated[
        bool, typer.Option("--strict", help="With --baseline: pass only when a larger drop is shown not to be there.")
    ] = False,
    metric: Annotated[str | None, typer.Option(help="With --baseline: the metric. Default: the main one.")] = None,
    slice_by: Annotated[
        list[str] | None,
        typer.Option("--slice", help="The bounds also hold for every value of this column, or of 'length'."),
    ] = None,
    min_rows: Annotated[int, typer.Option(min=1, help="With --slice: values with fewer rows are not checked.")] = 20,
    max_seconds: Annotated[float | None, typer.Option(help="Training took at most so many seconds.")] = None,
    max_size_mb: Annotated[float | None, typer.Option(help="The model folder has at most so many megabytes.")] = None,
    split: Split = None,
    allow_smoke: Annotated[bool, typer.Option("--allow-smoke", help="Check the scores of a smoke run too.")] = False,
    json_file: Json = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML, a test case per condition.")] = None,
    summary: Annotated[Path | None, typer.Option(help="Add a Markdown summary to this file.")] = None,
) -> None:
    """Check conditions on a finished run; leaves with 3 when one fails."""
    from ft_toolkit.core.files import write_json
    from ft_toolkit.evaluation.compare.finished_runs import read_runs
    from ft_toolkit.evaluation.compare.gate import Conditions, check_run
    from ft_toolkit.evaluation.compare.gate_checks import Bound, BoundKind, Drop
    from ft_toolkit.report.gate import add_summary, write_junit

    asked: dict[BoundKind, list[str] | None] = {"min": minimum, "min-low": min_low, "max": maximum}
    bounds = [
        Bound(kind, *_metric_and_value(f"--{kind}", text)) for kind, texts in asked.items() for text in texts or []
    ]
    if not bounds and baseline is None and max_seconds is None and max_size_mb is None:
        raise UsageError("no condition was given, e.g. --min accuracy=0.8, --baseline RUN, --max-seconds 600")
    if slice_by and not bounds:
        raise UsageError("--slice needs a bound that holds for each value: --min, --min-low or --max")
    if not 0 < alpha < 0.5:
        raise UsageError(f"--alpha {alpha:g}: more than 0 and less than 0.5 is needed, e.g. 0.05")
    if baseline is None and (strict or max_drop or metric):
        raise UsageError("--max-drop, --strict and --metric need a run to compare with: --baseline RUN")
    check_targets(json_file, junit, summary)
    ours, *others = read_runs([run, *([baseline] if baseline is not None else [])], split)
    conditions = Conditions(
        bounds=bounds,
        drop=Drop(others[0], metric, max_drop, alpha, strict) if others else None,
        slice_columns=slice_by or [],
        min_slice_rows=min_rows,
        max_seconds=max_seconds,
        max_size_mb=max_size_mb,
        allow_smoke=allow_smoke,
    )
    found = check_run(ours, conditions)
    print(f"{found.folder}, {found.split} (n={found.n})")
    for line in [*(check.line for check in found.checks), *(f"note  {note}" for note in found.notes)]:
        print(line)
    if json_file is not None:
        write_json(json_file, found.as_json())
    if junit is not None:
        write_junit(junit, found)
    if summary is not None:
        add_summary(summary, found)
    if found.failed:
        reasons = "\n".join(f"  {check.name}: {check.text}" for check in found.failed)
        raise GateError(f"{len(found.failed)} of {len(found.checks)} conditions failed\n{reasons}")


def _metric_and_value(option: str, text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not equals or not math.isfinite(number):
        raise UsageError(f"{option} {text}: METRIC=NUMBER is needed, e.g. accuracy=0.8")
    return name, number
