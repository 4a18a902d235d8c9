"""`ftk ci init`: write files that let a CI service run a recipe."""

import json
from pathlib import Path
from typing import Annotated

import typer

import ft_toolkit
from ft_toolkit.cli.completion import complete_recipe
from ft_toolkit.cli.recipe_names import find_recipe
from ft_toolkit.cli.verb import Verb
from ft_toolkit.core.environment import versions
from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.files import write_file

TEMPLATES = Path(__file__).resolve().parent / "ci_templates"
# Template -> its path in a repository.
TARGETS = {"github": Path(".github/workflows/ft_toolkit.yml"), "gitlab": Path(".gitlab-ci.ft_toolkit.yml")}

ci = typer.Typer(help="Set up GitHub Actions or GitLab CI.", no_args_is_help=True, rich_markup_mode=None)


@ci.callback()
def group() -> None:
    """Set up GitHub Actions or GitLab CI."""


@ci.command()
def init(
    github: Annotated[bool, typer.Option("--github", help="Write only the workflow for GitHub Actions.")] = False,
    gitlab: Annotated[bool, typer.Option("--gitlab", help="Write only the template for GitLab CI.")] = False,
    recipe: Annotated[
        str,
        typer.Option(
            help="The recipe to run: a file of the repository, or a shipped recipe.", autocompletion=complete_recipe
        ),
    ] = "demo",
    install: Annotated[
        str, typer.Option(help="The package for pip to install: a name, a git+https address, or a wheel.")
    ] = f"ft-toolkit[demo]=={ft_toolkit.__version__}",
) -> None:
    """Write CI files that run a recipe and check its scores.

    CI runs the recipe in smoke mode on every change, and in full on demand.

    \b
    Examples:
      ftk ci init --github
      ftk ci init --recipe recipes/my_task.yaml --install "ft-toolkit[demo]"
    """
    find_recipe(recipe)
    selected = [name for name, is_selected in (("github", github), ("gitlab", gitlab)) if is_selected] or list(TARGETS)
    for name in selected:
        if TARGETS[name].exists():
            raise UsageError(f"{TARGETS[name]} already exists; move it or edit it. Nothing was written")
    for name in selected:
        text = (TEMPLATES / f"{name}.yml").read_text(encoding="utf-8")
        torch = f"torch=={(versions(('torch',))['torch'] or '').partition('+')[0]}"
        for key, value in (("RECIPE", recipe), ("INSTALL", install), ("TORCH", torch)):
            text = text.replace(f'"@{key}@"', json.dumps(value))  # a JSON string is also a YAML string
        TARGETS[name].parent.mkdir(parents=True, exist_ok=True)
        write_file(TARGETS[name], text)
        print(f"wrote {TARGETS[name]}")
    if "gitlab" in selected:
        print(f"add to .gitlab-ci.yml:  include: [{{local: {TARGETS['gitlab']}}}]")
    print(
        "set the conditions for the scores in the files (--min accuracy=0.80); 'ftk gate --help' lists all conditions"
    )


VERB = Verb(order=140, command=ci)
