"""`ftk gate`: check conditions on a finished run, without loading a model."""

import math
from pathlib import Path
from typing import Annotated

import typer

from ft_toolkit.cli.arguments import Json, RunArgument, Split, check_output_folders
from ft_toolkit.cli.completion import complete_run
from ft_toolkit.cli.verb import Verb
from ft_toolkit.core.errors import GateError, UsageError


def gate(
    run: RunArgument,
    minimum: Annotated[
        list[str] | None,
        typer.Option(
            "--min", metavar="METRIC=VALUE", help="The score must be at least this, such as f1=0.80; repeatable."
        ),
    ] = None,
    min_low: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC=VALUE", help="The lower end of the 95% interval must be at least this."),
    ] = None,
    maximum: Annotated[
        list[str] | None,
        typer.Option("--max", metavar="METRIC=VALUE", help="The score must be at most this (if lower is better)."),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            help="A run on the same rows; the score must not drop below its score.", autocompletion=complete_run
        ),
    ] = None,
    max_drop: Annotated[
        float, typer.Option(min=0, help="With --baseline: allowed drop. Fails if a larger drop is significant.")
    ] = 0.0,
    alpha: Annotated[
        float,
        typer.Option(
            help="With --baseline: significance level, the probability that a run without a larger drop fails."
        ),
    ] = 0.05,
    strict: Annotated[
        bool, typer.Option("--strict", help="With --baseline: pass only if a larger drop can be excluded.")
    ] = False,
    metric: Annotated[
        str | None, typer.Option(help="With --baseline: the metric to compare. Default: the main metric.")
    ] = None,
    slice_by: Annotated[
        list[str] | None,
        typer.Option(
            "--slice", metavar="COLUMN", help="The bounds must also hold per value of this column, or per 'length'."
        ),
    ] = None,
    min_rows: Annotated[int, typer.Option(min=1, help="With --slice: ignore values with fewer rows.")] = 20,
    max_seconds: Annotated[float | None, typer.Option(help="Training must take at most this many seconds.")] = None,
    max_size_mb: Annotated[
        float | None, typer.Option(help="The model folder must have at most this many megabytes.")
    ] = None,
    split: Split = None,
    allow_smoke: Annotated[
        bool, typer.Option("--allow-smoke", help="Also check the scores of a smoke run, which mean nothing.")
    ] = False,
    json_file: Json = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML with a test case per condition.")] = None,
    summary: Annotated[Path | None, typer.Option(help="Append a Markdown summary to this file.")] = None,
) -> None:
    """Check conditions on a finished run, for CI.

    Exits with code 3 if any condition fails.

    \b
    Examples:
      ftk gate runs/demo --min accuracy=0.75
      ftk gate runs/demo --min f1=0.8 --slice length
      ftk gate runs/new --baseline runs/old --max-drop 0.005 --junit gate.xml
    """
    from ft_toolkit.core.files import write_json
    from ft_toolkit.evaluation.compare.finished_runs import read_runs
    from ft_toolkit.evaluation.compare.gate import Conditions, check_run
    from ft_toolkit.evaluation.compare.gate_checks import Bound, BoundKind, Drop
    from ft_toolkit.report.gate import add_summary, write_junit

    given_bounds: dict[BoundKind, list[str] | None] = {"min": minimum, "min-low": min_low, "max": maximum}
    bounds = [
        Bound(kind, *_metric_and_value(f"--{kind}", text))
        for kind, texts in given_bounds.items()
        for text in texts or []
    ]
    if not bounds and baseline is None and max_seconds is None and max_size_mb is None:
        raise UsageError("no condition given; add one, such as --min accuracy=0.8, --baseline RUN or --max-seconds 600")
    if slice_by and not bounds:
        raise UsageError("--slice requires a bound to check per value: --min, --min-low or --max")
    if not 0 < alpha < 0.5:
        raise UsageError(f"--alpha {alpha:g}: must be greater than 0 and less than 0.5, e.g. 0.05")
    if baseline is None and (strict or max_drop or metric):
        raise UsageError("--max-drop, --strict and --metric require a run to compare with: --baseline RUN")
    check_output_folders(json_file, junit, summary)
    checked_run, *baseline_runs = read_runs([run, *([baseline] if baseline is not None else [])], split)
    conditions = Conditions(
        bounds=bounds,
        drop=Drop(baseline_runs[0], metric, max_drop, alpha, strict) if baseline_runs else None,
        slice_columns=slice_by or [],
        min_slice_rows=min_rows,
        max_seconds=max_seconds,
        max_size_mb=max_size_mb,
        allow_smoke=allow_smoke,
    )
    outcome = check_run(checked_run, conditions)
    print(f"{outcome.folder}, {outcome.split} (n={outcome.n})")
    for line in [*(check.line for check in outcome.checks), *(f"note  {note}" for note in outcome.notes)]:
        print(line)
    if json_file is not None:
        write_json(json_file, outcome.as_json())
    if junit is not None:
        write_junit(junit, outcome)
    if summary is not None:
        add_summary(summary, outcome)
    if outcome.failed:
        reasons = "\n".join(f"  {check.name}: {check.text}" for check in outcome.failed)
        raise GateError(f"{len(outcome.failed)} of {len(outcome.checks)} conditions failed\n{reasons}")


def _metric_and_value(option: str, text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not equals or not math.isfinite(number):
        raise UsageError(f"{option} {text}: must be METRIC=NUMBER, such as accuracy=0.8")
    return name, number


VERB = Verb(order=50, command=gate)
