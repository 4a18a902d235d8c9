"""ftk run, reproduce, recipes, show and copy: what is done with a recipe."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ft_toolkit.cli.shared import Overrides, RecipeArgument, find_recipe, load_libraries, print_columns
from ft_toolkit.errors import GateError, UsageError, one_of
from ft_toolkit.fresh_process import start_early
from ft_toolkit.launch import check_launcher, is_launched, own_command, start
from ft_toolkit.shipped import shipped

if TYPE_CHECKING:
    from ft_toolkit.recipe_file import LoadedRecipe

Processes = Annotated[
    int | None, typer.Option(min=1, help="Train in so many processes on this machine, each with the whole model.")
]


def run(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    output: Annotated[
        Path | None, typer.Option(help="The run folder. Default: runs/NAME, with the next free number.")
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="A few steps on a few rows, without the network: for CI.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check all and show rows, steps, weights, memory and time; train nothing.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the interrupted run in --output.")] = False,
    processes: Processes = None,
) -> None:
    """Train, evaluate, prove and document one recipe."""
    from ft_toolkit.data.load import check_sources
    from ft_toolkit.recipe_file import load_recipe
    from ft_toolkit.run_folder import check_folder
    from ft_toolkit.tasks import find_tasks

    path = find_recipe(recipe)
    loaded = load_recipe(path, overrides or [], find_tasks())
    # one of several processes finds missing rows together with the others, who would wait for it in vain
    if not is_launched(os.environ) and (not smoke or loaded.recipe.data.train is not None):
        check_sources(loaded.recipe.data, loaded.task)
    _check_launcher(loaded, processes)
    if not dry_run:
        check_folder(output, resume=resume)
        _start_processes(processes)
        start_early()
    load_libraries()
    if dry_run:
        from ft_toolkit.dry_run import dry_run as show_plan

        show_plan(loaded, Console())
        if loaded.recipe.hub.push:
            from ft_toolkit.hub_access import check_recipe

            check_recipe(loaded, print, make=False)
        return
    from ft_toolkit.seeds import run_recipe

    command = own_command(sys.argv[1:], os.environ)
    run_recipe(loaded, output=output, resume=resume, smoke=smoke, command=command, console=Console())


def _check_launcher(loaded: "LoadedRecipe", processes: int | None) -> None:
    training = loaded.recipe.training
    check_launcher(
        os.environ,
        processes=processes,
        mixed_precision=training.mixed_precision,
        max_grad_norm=training.max_grad_norm,
    )


def _start_processes(processes: int | None) -> None:
    """Leave this process to start `processes` others that do the same as this was to do, if several are wanted."""
    if processes is not None and processes > 1 and not is_launched(os.environ):
        sys.exit(start(processes, sys.argv[1:]))


def reproduce(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    output: Annotated[
        Path | None, typer.Option(help="The run folder. Default: runs/NAME, with the next free number.")
    ] = None,
    smoke: Annotated[bool, typer.Option("--smoke", hidden=True)] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the interrupted run in --output.")] = False,
    processes: Processes = None,
) -> None:
    """Run a recipe and say whether it reaches its published reference. Exit code 3 where it does not."""
    from ft_toolkit.data.load import check_sources
    from ft_toolkit.recipe_file import load_recipe
    from ft_toolkit.run_folder import check_folder
    from ft_toolkit.tasks import find_tasks

    if smoke:
        raise UsageError(
            f"--smoke: a few steps on a few rows prove nothing about a published result; 'ftk run {recipe} --smoke' "
            "tries the recipe"
        )
    path, tasks = find_recipe(recipe), find_tasks()
    loaded, published = load_recipe(path, overrides or [], tasks), load_recipe(path, [], tasks).recipe.reference
    if published is None:
        raise UsageError(f"{path} has no 'reference:' to reproduce; recipes that have one: {one_of(_with_reference())}")
    if loaded.recipe.reference != published:
        raise UsageError(
            f"the published result belongs to the recipe's own model and rows; with {one_of(overrides or [])} nothing is "
            "reproduced. Leave out what changes model, data or reference, or use 'ftk run'"
        )
    check_sources(loaded.recipe.data, loaded.task)
    _check_launcher(loaded, processes)
    check_folder(output, resume=resume)
    _start_processes(processes)
    start_early()
    load_libraries()
    from ft_toolkit.evidence.reference import judge_reference
    from ft_toolkit.report.console import print_results
    from ft_toolkit.seeds import run_recipe

    command = own_command(sys.argv[1:], os.environ)
    results = run_recipe(loaded, output=output, resume=resume, smoke=False, command=command, console=Console())
    if not results:
        return
    print_results(results, Console())
    better = loaded.task.metrics(loaded.recipe.task)[published.metric].greater_is_better
    verdict = judge_reference(published.model_dump(), results, greater_is_better=better)
    if not verdict.reached:
        raise GateError(verdict.words)
    print(verdict.words)


def _with_reference() -> list[str]:
    """Return the shipped recipes that name a published result."""
    from ft_toolkit.recipe_file import load_recipe
    from ft_toolkit.tasks import find_tasks

    tasks, folder = find_tasks(), shipped("recipes")
    paths = sorted(folder.rglob("*.yaml"))
    return [
        path.relative_to(folder).with_suffix("").as_posix()
        for path in paths
        if load_recipe(path, [], tasks).recipe.reference is not None
    ]


def recipes() -> None:
    """List the shipped recipes with task, model, method and data."""
    from ft_toolkit.recipe_file import load_recipe
    from ft_toolkit.tasks import find_tasks

    tasks, folder = find_tasks(), shipped("recipes")
    lines = [("recipe", "task", "model", "method", "data")]
    for path in sorted(folder.rglob("*.yaml")):
        found = load_recipe(path, [], tasks).recipe
        data = found.data.card or found.data.train or ""
        name = path.relative_to(folder).with_suffix("").as_posix()
        lines.append((name, found.task.name, found.model.title, found.method.name, data))
    print_columns(lines)


def show(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Print a recipe resolved to the last default, each value with where it comes from."""
    from ft_toolkit.recipe_file import load_recipe
    from ft_toolkit.tasks import find_tasks

    loaded = load_recipe(find_recipe(recipe), overrides or [], find_tasks())
    section, pad = "", 0
    lines = loaded.to_yaml().splitlines()
    pad = max(len(line) for line in lines) + 2
    for line in lines:
        key = line.strip().partition(":")[0]
        if not line.startswith((" ", "-")):
            section = key
        origin = (
            loaded.origins.get(f"{section}.{key}") if line.startswith("  ") and not line.startswith("   ") else None
        )
        print(f"{line:<{pad}}# {origin}" if origin else line)


def copy(
    recipe: RecipeArgument, path: Annotated[Path, typer.Argument(help="The new file, or a folder to put it in.")]
) -> None:
    """Copy a shipped recipe, to change it."""
    source = find_recipe(recipe)
    target = path / source.name if path.is_dir() else path
    if target.exists():
        raise UsageError(f"{target} exists already; choose another name")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent}: no such folder")
    shutil.copyfile(source, target)
    print(f"{target}    run it with: ftk run {shlex.quote(str(target))}")
