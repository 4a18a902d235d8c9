"""`ftk best`: find the best model that a limited time allows."""

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ft_toolkit.cli.arguments import Quiet, Verbose, verbosity_of
from ft_toolkit.cli.completion import complete_recipe
from ft_toolkit.cli.launching import announce_recipe
from ft_toolkit.cli.libraries import load_libraries
from ft_toolkit.cli.recipe_names import find_recipe, is_data
from ft_toolkit.cli.verb import Verb
from ft_toolkit.core.errors import UsageError


def best(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE|FILE... [SECTION.KEY=VALUE]...",
            help="A recipe, or data files as for 'ftk init', which then writes the recipe; and settings of the recipe.",
            autocompletion=complete_recipe,
        ),
    ],
    minutes: Annotated[float, typer.Option(min=0.01, help="Time for the search.")] = 30.0,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the search. The folder of an unfinished search is continued. Default: runs/NAME-best, or "
            "NAME-best-2, ... if it exists."
        ),
    ] = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Find the best model that a limited time allows.

    Tries frozen embeddings, the default settings, contrastive training if there are few rows, and several learning rates with
    all weights and with LoRA. The validation score chooses one of them or their average, never a model that is worse on
    validation than the default settings. The chosen model is scored once on the test rows.

    \b
    Examples:
      ftk best demo --minutes 10
      ftk best my_task.yaml --minutes 60 training.seed=1
      ftk best reviews.csv --minutes 30
    """
    from ft_toolkit.core.run_folder import BEST, check_folder
    from ft_toolkit.data.load_data import check_sources

    verbosity = verbosity_of(verbose=verbose, quiet=quiet)
    settings = [word for word in words if "=" in word]
    names = [word for word in words if "=" not in word]
    if not names:
        raise UsageError("name a recipe or a data file: ftk best RECIPE --minutes 30")
    if output is None or not (output / BEST).is_file():
        check_folder(output, resume=False)
    if len(names) > 1 or Path(names[0]).is_dir() or (Path(names[0]).is_file() and is_data(Path(names[0]))):
        path, settings = _write_recipe(names, settings), []
        recipe = str(path)
    else:
        recipe, path = names[0], find_recipe(names[0])
    load_libraries(verbosity)
    from ft_toolkit.runs.best import run_best
    from ft_toolkit.runs.best_request import BestRequest
    from ft_toolkit.runs.options import RunOptions

    request = BestRequest(recipe, path, tuple(settings), minutes)
    loaded = request.load()
    check_sources(loaded.recipe.data, loaded.task)
    announce_recipe(loaded, verbosity)
    folder = [] if output is None else ["--output", str(output)]
    command = shlex.join(["ftk", "best", recipe, *settings, "--minutes", f"{minutes:g}", *folder])
    run_best(request, RunOptions(output, False, False, command, Console(), verbosity))


def _write_recipe(files: list[str], settings: list[str]) -> Path:
    """Write the recipe of `ftk init` for data files, and return its path. Raises UsageError if it exists."""
    from ft_toolkit.core.files import write_file
    from ft_toolkit.recipe.document import settings_of
    from ft_toolkit.runs.first_recipe import InitRequest, plan_first_recipe
    from ft_toolkit.tasks import find_tasks

    path = Path(f"{Path(files[0]).resolve().name.partition('.')[0] or 'recipe'}.yaml")
    if path.exists():
        raise UsageError(
            f"{path} already exists. To use this recipe: ftk best {shlex.quote(str(path))}. Otherwise remove it"
        )
    first = plan_first_recipe(InitRequest(files, output=path, settings=settings_of(settings)), find_tasks())
    write_file(path, first.text)
    print(f"wrote {path}: {first.task.name} with {first.model.name}")
    for line in [*first.guess.reasons, *(f"note: {warning}" for warning in first.warnings)]:
        print(f"  {line}")
    return path


VERB = Verb(order=12, command=best, takes_settings=True)
