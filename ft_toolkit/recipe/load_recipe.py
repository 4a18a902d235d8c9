"""Load a recipe: a file and `section.key=value` overrides become one frozen, valid recipe.

`load_recipe` returns a `LoadedRecipe` or raises one `RecipeError` that lists every mistake. This room imports neither torch
nor transformers, so that an invalid recipe fails at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import Mistake, RecipeError, did_you_mean, one_of
from ft_toolkit.core.yaml12 import dump_yaml
from ft_toolkit.recipe import checks
from ft_toolkit.recipe.document import Document, document_of, read_document
from ft_toolkit.recipe.methods import METHODS, FullMethod
from ft_toolkit.recipe.schema import Section
from ft_toolkit.recipe.sections import SECTIONS, Recipe
from ft_toolkit.recipe.suggestions import setting_names, unknown_key
from ft_toolkit.recipe.validate import as_yaml, validate_section
from ft_toolkit.tasks.base import Task, TaskSettings


@dataclass(frozen=True)
class LoadedRecipe:
    """A valid recipe, its task, and the origin of each value: "default", "FILE:LINE" or "command line".

    loaded = ft_toolkit.load_recipe(Path("recipes/demo.yaml"), [], ft_toolkit.find_tasks())
    loaded.recipe.training.learning_rate, loaded.origins["training.learning_rate"]
    """

    name: str
    recipe: Recipe
    task: Task
    origins: Mapping[str, str]

    def to_yaml(self) -> str:
        """Return the complete recipe as YAML. `load_recipe` reads it back to an equal recipe."""
        return dump_yaml(self.recipe.as_dict())


def load_recipe(path: Path, overrides: Sequence[str], tasks: Mapping[str, Task]) -> LoadedRecipe:
    """Read a recipe file, apply `section.key=value` overrides, and return the valid recipe.

    Raises RecipeError with every mistake: syntax, unknown keys and tasks, wrong types and values, settings that exclude
    each other, metrics that the task does not have.

        tasks = ft_toolkit.find_tasks()
        loaded = ft_toolkit.load_recipe(Path("recipes/demo.yaml"), ["training.seed=1"], tasks)
    """
    document = read_document(path)
    mistakes = document.override(list(overrides))
    loader = _Loader(document, tasks)
    loader.mistakes += mistakes
    return loader.load()


def load_values(name: str, values: Mapping[str, Any], tasks: Mapping[str, Task], source: str) -> LoadedRecipe:
    """Return the recipe `name` with the sections in `values`, e.g. {"task": "ner", "training": {"seed": 1}}.

    `source` names the origin of the values in errors. Raises RecipeError with every mistake, as `load_recipe` does.
    """
    document = document_of(name, values, source)
    return _Loader(document, tasks).load()


class _Loader:
    """Turns a document into a recipe and collects the mistakes on the way."""

    def __init__(self, document: Document, tasks: Mapping[str, Task]) -> None:
        self.document = document
        self.tasks = tasks
        self.mistakes: list[Mistake] = []
        name, _ = document.named_section("task")
        task = tasks.get(name) if isinstance(name, str) else None
        self.setting_names = setting_names(tasks.values() if task is None else [task])

    def load(self) -> LoadedRecipe:
        for key in self.document.values:
            if key not in Recipe.model_fields:
                self._add((key,), unknown_key((key,), list(Recipe.model_fields), self.setting_names))
        task, settings = self._load_task()
        method = self._load_method()
        sections: dict[str, Any] = {name: self._load_section(name, kind) for name, kind in SECTIONS.items()}
        if checks.ignores_reference(self.document):
            sections["reference"] = None
        document, model = self.document, sections["model"]
        self.mistakes += checks.check_method(document, method, model)
        if task is not None and settings is not None:
            self.mistakes += checks.check_metrics(document, task, settings)
            self.mistakes += checks.check_classifier_settings(document, task, settings)
            self.mistakes += checks.check_resampling(document, task, settings)
            self.mistakes += checks.check_augmentation(document, task, settings)
            self.mistakes += checks.check_contrastive(document, task, settings, method)
        self.mistakes += checks.check_head_start(document, task, model)
        self.mistakes += checks.check_layer_rates(document, method)
        if task is not None:
            self.mistakes += checks.check_columns(document, task)
            self.mistakes += checks.check_stream(document, task)
            self.mistakes += checks.check_pooling(document, task)
            self.mistakes += checks.check_baselines(document, task, model)
        if self.mistakes:
            raise RecipeError(self.mistakes)
        assert task is not None
        recipe = Recipe.model_construct(task=settings, method=method, **sections)
        return LoadedRecipe(document.path.stem, recipe, task, self._origins(recipe))

    def _load_task(self) -> tuple[Task | None, TaskSettings | None]:
        name, values = self.document.named_section("task")
        if name is None:
            self._add(("task",), f"required; allowed: {one_of(self.tasks)}")
            return None, None
        if not isinstance(name, str) or name not in self.tasks:
            allowed = one_of(self.tasks)
            hint = did_you_mean(str(name), self.tasks)
            self._add(("task",), f"unknown task {as_yaml(name)}; allowed: {allowed}.{hint}")
            return None, None
        task = self.tasks[name]
        return task, self._validate(task.settings, values, "task")

    def _load_method(self) -> Any:
        name, values = self.document.named_section("method")
        if name is None:
            if any(key != "name" for key in values):
                self._add(("method", "name"), f"required; allowed: {one_of(METHODS)}")
            return FullMethod()
        if not isinstance(name, str) or name not in METHODS:
            hint = did_you_mean(str(name), METHODS)
            self._add(("method",), f"unknown method {as_yaml(name)}; allowed: {one_of(METHODS)}.{hint}")
            return None
        return self._validate(METHODS[name], values, "method")

    def _load_section(self, name: str, kind: type[Section]) -> Any:
        values = self.document.values.get(name)
        if values is None and name == "reference":
            return None
        if values is not None and not isinstance(values, dict):
            keys = one_of(kind.model_fields)
            self._add((name,), f"must be a section with the keys {keys}; found {as_yaml(values)}")
            return None
        return self._validate(kind, values or {}, name)

    def _validate(self, kind: type[Any], values: dict[str, Any], section: str) -> Any:
        validated, mistakes = validate_section(kind, values, (section,), self.document, self.setting_names)
        self.mistakes += mistakes
        return validated

    def _add(self, path: tuple[str, ...], problem: str) -> None:
        self.mistakes.append(self.document.mistake(path, problem))

    def _origins(self, recipe: Recipe) -> dict[str, str]:
        """Return the origin of every value of the complete recipe."""
        origins: dict[str, str] = {}
        for section, values in recipe.as_dict().items():
            written = self.document.values.get(section)
            for key in values or {}:
                is_short_form = key == "name" and isinstance(written, str)
                is_written = is_short_form or (isinstance(written, dict) and key in written)
                origins[f"{section}.{key}"] = self.document.source((section, key)) if is_written else "default"
        return origins
