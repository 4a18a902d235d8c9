"""The command line. Nothing here imports torch before the recipe is known to be valid."""

import os
import shlex
import shutil
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ft_toolkit.errors import FtkError, RecipeError, UsageError, did_you_mean, one_of
from ft_toolkit.shipped import shipped

app = typer.Typer(
    help="Fine-tune BERT- and GPT-2-class models from a recipe: exact loss, honest scores, models that reload and agree.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

RecipeArgument = Annotated[
    str, typer.Argument(help="A recipe file, or the name of a shipped recipe (see 'ftk recipes').")
]
Overrides = Annotated[list[str] | None, typer.Argument(help="section.key=value ...; wins over the recipe.")]


@app.command()
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
) -> None:
    """Train, evaluate, prove and document one recipe."""
    from ft_toolkit.data.load import check_sources
    from ft_toolkit.recipe_file import load_recipe
    from ft_toolkit.run_folder import check_folder
    from ft_toolkit.tasks import find_tasks

    path = find_recipe(recipe)
    loaded = load_recipe(path, overrides or [], find_tasks())
    if not smoke or loaded.recipe.data.train is not None:
        check_sources(loaded.recipe.data, loaded.task)
    if not dry_run:
        check_folder(output, resume=resume)
    _quiet_libraries()
    if dry_run:
        from ft_toolkit.dry_run import dry_run as show_plan

        show_plan(loaded, Console())
        return
    from ft_toolkit.report.console import print_results
    from ft_toolkit.seeds import run_recipe

    command = shlex.join(["ftk", *sys.argv[1:]])
    results = run_recipe(loaded, output=output, resume=resume, smoke=smoke, command=command, console=Console())
    if results:
        print_results(results, Console())


@app.command()
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
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


@app.command()
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


@app.command()
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


@app.command()
def doctor() -> None:
    """Say what works here: versions, devices, Hub, cache."""
    from ft_toolkit.doctor import examine

    _quiet_libraries()
    if not examine(Console()):
        raise typer.Exit(1)


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A model folder that 'ftk run' wrote (RUN/model), or the run folder.")],
    text: Annotated[
        str | None, typer.Argument(help="One text. Without it: --input, or standard input, a text per line.")
    ] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input", help="Rows: txt (a text per line), csv, tsv, json, jsonl, parquet.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Where to write: .jsonl or .csv. Default: jsonl to standard output.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="COLUMN=NAME, e.g. text=review: which column of the input is which.")
    ] = None,
) -> None:
    """Run a finished model on texts."""
    from ft_toolkit import predict as prediction

    columns = {}
    for pair in column or []:
        key, equals, name = pair.partition("=")
        if not equals:
            raise UsageError(f"--column {pair}: COLUMN=NAME is needed, e.g. text=review")
        columns[key] = name
    prediction.check_output(output)
    if not model.is_dir():
        raise UsageError(f"{model}: no such model folder")
    rows = prediction.read_rows(text, input_file)
    _quiet_libraries()
    prediction.predict(model, rows, columns, output)


def find_recipe(name: str) -> Path:
    """Return the file of a recipe given by path or by the name of a shipped one. Raises RecipeError."""
    if Path(name).is_file():
        return Path(name)
    folder = shipped("recipes")
    known = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}
    wanted = name.removeprefix("recipes/").removesuffix(".yaml")
    matches = [key for key in known if wanted in (key, key.rpartition("/")[2])]
    if len(matches) == 1:
        return known[matches[0]]
    if matches:
        raise UsageError(f"more than one recipe is called '{name}'; say which: {one_of(matches)}")
    hint = did_you_mean(wanted, [*known, *(key.rpartition("/")[2] for key in known)])
    raise UsageError(f"no recipe '{name}': neither a file here nor one of {one_of(known)}.{hint}")


def _quiet_libraries() -> None:
    """Keep the libraries' bars and advice out of the output; their errors still show."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    # peft 0.21 asks transformers 5.23 for an attribute under its old name; nobody who runs a recipe can act on that
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
    import datasets
    from transformers.utils import logging

    logging.disable_progress_bar()
    datasets.disable_progress_bars()


def main() -> None:
    """Run the command line; print a user's error in words and leave with its exit code."""
    try:
        app()
    except FtkError as error:
        heading = "" if isinstance(error, RecipeError) else "error: "
        print(f"{heading}{error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted; a run with a checkpoint goes on with --output FOLDER --resume", file=sys.stderr)
        sys.exit(130)
