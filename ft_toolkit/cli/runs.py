"""ftk runs: what is done with several finished runs."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ft_toolkit.cli.arguments import print_columns
from ft_toolkit.core.errors import UsageError, one_of
from ft_toolkit.runs.listing import ListedRun, find_runs, sort_runs

_HEADS = ["folder", "task", "model", "method", "metric", "score", "interval", "n", "steps", "s", "date", "state"]


def runs(
    folder: Annotated[
        Path | None, typer.Argument(help="Runs in and below it are listed. Default: runs/ and evaluations/.")
    ] = None,
    sort: Annotated[
        str, typer.Option(help="A column. score: best first within task and metric; date: the latest first.")
    ] = "folder",
    task: Annotated[str | None, typer.Option(help="Only the runs of this task.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: a list of objects.")] = False,
) -> None:
    """List runs and evaluations with their scores, from their folders alone."""
    if folder is not None and not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    entries = sort_runs(find_runs([folder] if folder else [Path("runs"), Path("evaluations")]), sort)
    if task is not None:
        known = sorted({entry.task for entry in entries if entry.task})
        entries = [entry for entry in entries if entry.task == task]
        if not entries:
            raise UsageError(f"--task {task}: no such runs here; there are {one_of(known) or 'none'}")
    if as_json:
        print(json.dumps([asdict(entry) for entry in entries], indent=2, ensure_ascii=False))
        return
    if not entries:
        print(f"no runs in {folder or 'runs/ and evaluations/'}; 'ftk run RECIPE' makes one")
        return
    print_columns([_HEADS, *map(_cells, entries)])


def _cells(entry: ListedRun) -> list[str]:
    from ft_toolkit.report.run_files import count, number

    interval = "" if entry.low is None else f"{number(entry.low)} to {number(entry.high)}"
    seeds = "" if entry.sd is None else f"+- {number(entry.sd)} (sd)"
    marks = [entry.kind] if entry.kind != "run" else []
    marks += ["smoke, means nothing"] if entry.smoke else []
    state = entry.state if not marks or entry.state != "finished" else f"{entry.state} ({'; '.join(marks)})"
    return [
        entry.folder,
        entry.task or "-",
        entry.model or "-",
        entry.method or "-",
        f"{entry.split} {entry.metric}{'' if entry.greater_is_better else ' (lower is better)'}"
        if entry.metric
        else "-",
        number(entry.score),
        interval or seeds or "-",
        count(entry.n),
        count(entry.steps),
        count(entry.seconds),
        (entry.date or "-").replace("T", " ").removesuffix("Z"),
        state,
    ]
