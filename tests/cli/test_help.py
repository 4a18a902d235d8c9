"""Help, version and verbosity: every verb documents itself, and its examples are valid."""

import re
import shlex

import pytest
from typer.testing import CliRunner

import ft_toolkit
from ft_toolkit.cli.app import app
from ft_toolkit.cli.arguments import verbosity_of
from ft_toolkit.cli.recipe_names import find_recipe
from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.verbosity import Verbosity
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.tasks import find_tasks

VERBS = [command.name or command.callback.__name__ for command in app.registered_commands]


def help_of(*words: str) -> str:
    shown = CliRunner().invoke(app, [*words, "-h"])
    assert shown.exit_code == 0, shown.output
    return shown.output


def examples_of(text: str) -> list[list[str]]:
    """Return the words after `ftk` of each example in a help text."""
    lines = text.split("Examples:")[1].split("\n\n")[0].splitlines()
    return [shlex.split(line.partition("ftk ")[2].partition(" > ")[0]) for line in lines if "ftk " in line]


def test_the_overview_lists_every_verb_with_an_uncut_summary() -> None:
    text = help_of()
    for verb in VERBS:
        summary = re.search(rf"^  {verb} +(.+)$", text, re.M)
        assert summary is not None and not summary[1].endswith("...")
    assert "--version" in text and "--install-completion" in text


@pytest.mark.parametrize("words", [*([verb] for verb in VERBS), ["ci", "init"], ["data", "audit"]], ids=" ".join)
def test_every_verb_has_examples_with_existing_options(words: list[str]) -> None:
    text = help_of(*words)
    assert text == CliRunner().invoke(app, [*words, "--help"]).output
    examples = examples_of(text)
    assert examples
    for example in examples:
        assert example[: len(words)] == words
        assert all(option in text for option in example if option.startswith("--"))
        if settings := [word for word in example[2:] if re.match(r"\w+\.\w+=|method=", word)]:
            if words == ["sweep"]:  # ranges and lists: the first value
                settings = [re.sub(r"=([^.,]+)(\.\.|,).*", r"=\1", setting) for setting in settings]
            load_recipe(find_recipe("demo"), settings, find_tasks())


@pytest.mark.parametrize(
    ("words", "choices"),
    [
        (["evaluate"], "<test|validation>"),
        (["compare"], "<test|validation>"),
        (["gate"], "<test|validation>"),
        (["scale"], "<test|validation>"),
        (["runs"], "<name|task|model|method|metric|score|n|steps|seconds|date|state|folder>"),
    ],
)
def test_choices_are_in_the_help(words: list[str], choices: str) -> None:
    assert choices in help_of(*words)


def test_a_value_outside_the_choices_is_refused() -> None:
    refused = CliRunner().invoke(app, ["runs", "--sort", "size"])
    assert refused.exit_code == 2
    assert "'size' is not one of 'name', 'task'" in refused.output


def test_the_version_is_that_of_the_package() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"ft_toolkit {ft_toolkit.__version__}\n"


def test_verbosity() -> None:
    assert verbosity_of(verbose=False, quiet=False) is Verbosity.NORMAL
    assert verbosity_of(verbose=True, quiet=False) is Verbosity.VERBOSE
    assert verbosity_of(verbose=False, quiet=True) is Verbosity.QUIET
    with pytest.raises(UsageError, match="exclude each other"):
        verbosity_of(verbose=True, quiet=True)
