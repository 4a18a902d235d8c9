"""`ftk runs`: list the runs and evaluations in a folder."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ft_toolkit.cli.arguments import print_columns
from ft_toolkit.cli.completion import complete_run
from ft_toolkit.cli.verb import Verb
from ft_toolkit.core.errors import UsageError, one_of
from ft_toolkit.runs.listing import ListedRun, SortColumn, find_runs, sort_runs

_HEADS = ["folder", "task", "model", "method", "metric", "score", "interval", "n", "steps", "s", "date", "state"]


def runs(
    folder: Annotated[
        Path | None,
        typer.Argument(help="The folder with the runs. Default: runs/ and evaluations/.", autocompletion=complete_run),
    ] = None,
    sort: Annotated[
        SortColumn, typer.Option(help="Column to sort by. score: best first per task and metric; date: latest first.")
    ] = "folder",
    task: Annotated[str | None, typer.Option(help="List only the runs of this task, such as ner.")] = None,
    settings: Annotated[
        bool, typer.Option("--settings", help="Also show the recipe settings that differ between the listed runs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list of objects.")] = False,
) -> None:
    """List runs and evaluations with their scores.

    \b
    Examples:
      ftk runs
      ftk runs --sort score --task ner
      ftk runs experiments/ --settings
    """
    if folder is not None and not folder.is_dir():
        raise UsageError(f"{folder}: folder not found")
    entries = sort_runs(find_runs([folder] if folder else [Path("runs"), Path("evaluations")]), sort)
    if task is not None:
        tasks = sorted({entry.task for entry in entries if entry.task})
        entries = [entry for entry in entries if entry.task == task]
        if not entries:
            raise UsageError(f"--task {task}: no runs of this task here; tasks with runs: {one_of(tasks) or 'none'}")
    differences = _differing_settings(entries) if settings else {}
    if as_json:
        records = [asdict(entry) for entry in entries]
        for number, record in enumerate(records if settings else []):
            record["settings"] = {setting: values[number] for setting, values in differences.items()}
        print(json.dumps(records, indent=2, ensure_ascii=False))
        return
    if not entries:
        print(
            f"no runs in {folder or 'runs/ and evaluations/'}; start one with 'ftk run RECIPE', such as 'ftk run demo'"
        )
        return
    print_columns([_HEADS, *map(_cells, entries)])
    if settings:
        _print_settings(entries, differences)


def _differing_settings(entries: Sequence[ListedRun]) -> dict[str, tuple[str, ...]]:
    """Return the settings that differ between the recipes of the runs, each with its value per run."""
    from ft_toolkit.core.run_records import read_recipe
    from ft_toolkit.evaluation.compare.recipe_differences import recipe_differences

    recipes = []
    for entry in entries:
        try:
            recipes.append(read_recipe(Path(entry.folder)))
        except UsageError:  # the run's state already names the damaged file
            recipes.append(None)
    return {difference.setting: difference.values for difference in recipe_differences(recipes)}


def _print_settings(entries: Sequence[ListedRun], differences: dict[str, tuple[str, ...]]) -> None:
    """Print each setting that differs, its values, and the runs with each value."""
    print()
    if not differences:
        print(
            "no setting differs: only one run is listed"
            if len(entries) == 1
            else "no setting differs between these runs"
        )
        return
    for setting, values in differences.items():
        print(setting)
        folders: dict[str, list[str]] = {}
        for entry, value in zip(entries, values, strict=True):
            folders.setdefault(value, []).append(entry.folder)
        print_columns([[f"  {value}", ", ".join(names)] for value, names in folders.items()])


def _cells(entry: ListedRun) -> list[str]:
    """Return the table cells of a run."""
    from ft_toolkit.report.numbers import count, number

    interval = "" if entry.low is None else f"{number(entry.low)} to {number(entry.high)}"
    spread = "" if entry.sd is None else f"+- {number(entry.sd)} (sd)"
    marks = [entry.kind] if entry.kind != "run" else []
    marks += ["smoke run, scores mean nothing"] if entry.smoke else []
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
        interval or spread or "-",
        count(entry.n),
        count(entry.steps),
        count(entry.seconds),
        (entry.date or "-").replace("T", " ").removesuffix("Z"),
        state,
    ]


VERB = Verb(order=60, command=runs)
