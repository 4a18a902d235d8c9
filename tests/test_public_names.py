"""The public surface: its names, and for each a docstring, annotations, errors and an example."""

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ft_toolkit

pytestmark = pytest.mark.trains  # the public names import torch
NAMES = [
    "DataError",
    "Evaluation",
    "FineTunedRun",
    "FtkError",
    "HubError",
    "LoadedModel",
    "LoadedRecipe",
    "ModelError",
    "NotFiniteError",
    "RecipeError",
    "UsageError",
    "__version__",
    "find_tasks",
    "fine_tune",
    "load",
    "load_recipe",
    "run_recipe",
]
FUNCTIONS = ["find_tasks", "fine_tune", "load", "load_recipe", "run_recipe"]
CLASSES = ["Evaluation", "FineTunedRun", "LoadedModel", "LoadedRecipe"]


def test_the_public_names_are_these_and_each_exists() -> None:
    assert ft_toolkit.__all__ == NAMES == dir(ft_toolkit)
    for name in NAMES:
        assert getattr(ft_toolkit, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        ft_toolkit.nothing  # noqa: B018


def test_no_public_name_is_the_name_of_a_module() -> None:
    modules = {path.stem for path in Path(ft_toolkit.__file__).parent.iterdir()}
    assert not modules & set(NAMES)
    assert {"api", "py"} <= modules  # py.typed: the types reach the user


def functions_of(name: str) -> Iterator[Callable[..., Any]]:
    """Yield a public function, or the public methods and properties of a public class."""
    documented = getattr(ft_toolkit, name)
    if not inspect.isclass(documented):
        yield documented
        return
    for method, value in vars(documented).items():
        function = getattr(value, "fget", None) or getattr(value, "func", None) or value
        is_public = not method.startswith("_") or method == "__call__" or (method == "__init__" and function.__doc__)
        if inspect.isfunction(function) and is_public:
            yield function


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_every_public_function_is_annotated_and_documented(name: str) -> None:
    functions = list(functions_of(name))
    assert functions
    for function in functions:
        signature = inspect.signature(function)
        assert signature.return_annotation is not inspect.Signature.empty, function
        for parameter in signature.parameters.values():
            assert parameter.name == "self" or parameter.annotation is not inspect.Parameter.empty, parameter
        assert re.match(r"[A-Z][^\n]+[.:](\n|$)|[A-Z][^\n]+\n    \S", function.__doc__ or ""), function


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_every_public_name_has_an_example(name: str) -> None:
    text = getattr(ft_toolkit, name).__doc__ or ""
    assert re.search(r"^ {4,}\S*.*\b(ft_toolkit|run)\.\w+\(", text, re.M), text


@pytest.mark.parametrize("name", ["fine_tune", "load", "load_recipe", "run_recipe"])
def test_every_function_that_can_fail_names_its_errors(name: str) -> None:
    assert "Raises" in (getattr(ft_toolkit, name).__doc__ or "")
