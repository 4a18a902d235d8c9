"""ftk ci: files that let a CI service run a recipe."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ft_toolkit.cli.arguments import find_recipe
from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.files import write_file

TEMPLATES = Path(__file__).resolve().parent / "ci_templates"
# Template -> where it goes in a repository.
TARGETS = {"github": Path(".github/workflows/ft_toolkit.yml"), "gitlab": Path(".gitlab-ci.ft_toolkit.yml")}

ci = typer.Typer(help="Let GitHub Actions or GitLab CI run a recipe.", no_args_is_help=True)


@ci.callback()
def group() -> None:
    """Let GitHub Actions or GitLab CI run a recipe."""


@ci.command()
def init(
    github: Annotated[bool, typer.Option("--github", help="Only the workflow for GitHub Actions.")] = False,
    gitlab: Annotated[bool, typer.Option("--gitlab", help="Only the template for GitLab.")] = False,
    recipe: Annotated[str, typer.Option(help="The recipe to run: a file of the repository or a shipped one.")] = "demo",
    install: Annotated[
        str, typer.Option(help="What pip is to install: a name, a git+https address, a wheel's path or address.")
    ] = "ft-toolkit[demo]",
) -> None:
    """Write CI files into this folder: a recipe in smoke mode on every change, in full on demand."""
    find_recipe(recipe)
    chosen = [name for name, wanted in (("github", github), ("gitlab", gitlab)) if wanted] or list(TARGETS)
    for name in chosen:
        if TARGETS[name].exists():
            raise UsageError(f"{TARGETS[name]} exists already; move it away, or change it by hand. Nothing was written")
    for name in chosen:
        text = (TEMPLATES / f"{name}.yml").read_text(encoding="utf-8")
        for key, value in (("RECIPE", recipe), ("INSTALL", install)):
            text = text.replace(f'"@{key}@"', json.dumps(value))  # JSON's strings are YAML's, too
        TARGETS[name].parent.mkdir(parents=True, exist_ok=True)
        write_file(TARGETS[name], text)
        print(TARGETS[name])
    if "gitlab" in chosen:
        print(f"in .gitlab-ci.yml:  include: [{{local: {TARGETS['gitlab']}}}]")
