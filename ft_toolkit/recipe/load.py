"""How a recipe file plus `section.key=value` overrides becomes one frozen, valid recipe.

`load_recipe` either returns a `LoadedRecipe` or raises one `RecipeError` that lists every mistake. Nothing here imports
torch or transformers, so a wrong recipe fails at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ft_toolkit.core.errors import Mistake, RecipeError, did_you_mean, one_of
from ft_toolkit.core.yaml12 import KeyPath, YamlError, dump_yaml, parse_value, parse_yaml
from ft_toolkit.recipe.sections import (
    METHODS,
    DataSection,
    EvaluationSection,
    FreezeMethod,
    FullMethod,
    HubSection,
    LoraMethod,
    ModelSection,
    Recipe,
    ReferenceSection,
    Section,
    TrackingSection,
    TrainingSection,
)
from ft_toolkit.tasks.base import Task, TaskSettings


@dataclass(frozen=True)
class LoadedRecipe:
    """A valid recipe with where each of its values comes from ("default", "FILE:LINE" or "command line")."""

    name: str
    recipe: Recipe
    task: Task
    origins: Mapping[str, str]

    def to_yaml(self) -> str:
        """Return the resolved recipe as YAML that `load_recipe` reads back to the same recipe."""
        return dump_yaml(self.recipe.as_dict())


_SECTIONS: dict[str, type[Section]] = {
    "model": ModelSection,
    "data": DataSection,
    "training": TrainingSection,
    "evaluation": EvaluationSection,
    "reference": ReferenceSection,
    "tracking": TrackingSection,
    "hub": HubSection,
}


# The models whose last linear layer gives the logits, so that a probe can stand in for it (training.head_start).
PROBED_CLASSES = {"AutoModelForSequenceClassification", "AutoModelForTokenClassification"}

# Of settings that take each other's place, the one on the command line wins over that in the file.
_RIVALS: dict[KeyPath, KeyPath] = {
    ("training", "seed"): ("training", "seeds"),
    ("training", "seeds"): ("training", "seed"),
}


def load_recipe(path: Path, overrides: Sequence[str], tasks: Mapping[str, Task]) -> LoadedRecipe:
    """Read a recipe file, lay `section.key=value` overrides over it, and return it valid and frozen.

    Raises RecipeError with every mistake: syntax, unknown keys and tasks, wrong types and values, settings that exclude
    each other, metrics that the task does not have.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"not UTF-8 text ({error.reason})"
        raise RecipeError([Mistake(str(path), "", f"cannot be read: {reason}")]) from None
    try:
        document, lines = parse_yaml(text)
    except YamlError as error:
        raise RecipeError([Mistake(f"{path}:{error.line}", "", f"not a valid recipe: {error.problem}")]) from None
    if not isinstance(document, dict):
        allowed = one_of(Recipe.model_fields)
        raise RecipeError([Mistake(f"{path}:1", "", f"a recipe is a mapping of the sections {allowed}")])
    places = {key: f"{path}:{line}" for key, line in lines.items()}
    reader = _Reader(path, document, places, tasks)
    for override in overrides:
        reader.lay_over(override)
    return reader.read()


class _Reader:
    """Collects mistakes while a document becomes a Recipe."""

    def __init__(
        self, path: Path, document: dict[str, Any], places: dict[KeyPath, str], tasks: Mapping[str, Task]
    ) -> None:
        self.path = path
        self.document = document
        self.places = places
        self.tasks = tasks
        self.mistakes: list[Mistake] = []
        self.overridden: list[KeyPath] = []

    def lay_over(self, override: str) -> None:
        """Set one `section.key=value` of the command line."""
        dotted, equals, text = override.partition("=")
        keys = tuple(dotted.strip().split("."))
        if not equals or not all(keys):
            problem = f"'{override}' is not of the form section.key=value"
            self.mistakes.append(Mistake("command line", "", problem))
            return
        try:
            value = parse_value(text)
        except YamlError as error:
            self.mistakes.append(Mistake("command line", dotted, f"'{text}' is not a YAML value: {error.problem}"))
            return
        node = self.document
        for depth, key in enumerate(keys[:-1], 1):
            inner = node.get(key)
            if isinstance(inner, str) and keys[:depth] in (("task",), ("method",)):
                inner = {"name": inner}  # the shorthand `method: lora`
            if inner is not None and not isinstance(inner, dict):
                above = ".".join(keys[:depth])
                problem = f"'{above}' is {inner!r} ({self._place(keys[:depth])}), which has no keys; set {above}=..."
                self.mistakes.append(Mistake("command line", dotted, problem))
                return
            node[key] = node = {} if inner is None else inner
            self.places.setdefault(keys[:depth], "command line")
        node[keys[-1]] = value
        rival = _RIVALS.get(keys)
        if value is not None and rival is not None and rival not in self.overridden:
            node.pop(rival[-1], None)
        self.places = {path: place for path, place in self.places.items() if path[: len(keys)] != keys}
        self.places[keys] = "command line"
        self.overridden.append(keys)

    def read(self) -> LoadedRecipe:
        for key in self.document:
            if key not in Recipe.model_fields:
                self._add((key,), self._unknown_key((key,), list(Recipe.model_fields)))
        task, task_settings = self._read_task()
        method = self._read_method()
        sections: dict[str, Any] = {name: self._read_section(name, kind) for name, kind in _SECTIONS.items()}
        if self._drops_reference():
            sections["reference"] = None
        if method is not None and method.name != "full" and sections["model"] and sections["model"].config is not None:
            self._add(
                ("method",), f"{method.name} adapts a pretrained model, and model.config makes a new one; use full"
            )
        if task is not None and task_settings is not None:
            self._check_metrics(task, task_settings)
            self._check_classifier(task, task_settings)
        self._check_training(task, method, sections["model"])
        if task is not None:
            self._check_columns(task)
            self._check_baselines(task)
        if self.mistakes:
            raise RecipeError(self.mistakes)
        assert task is not None
        recipe = Recipe.model_construct(task=task_settings, method=method, **sections)
        return LoadedRecipe(self.path.stem, recipe, task, self._origins(recipe))

    def _drops_reference(self) -> bool:
        """A published number says nothing about another model or other rows, unless the command line sets it too."""
        if any(key[0] == "reference" for key in self.overridden):
            return False
        rows = {
            ("data", name) for name in ("card", "train", "validation", "test", "validation_fraction", "train_fraction")
        }
        return any(key[0] == "model" or key[:2] in rows for key in self.overridden)

    def _read_task(self) -> tuple[Task | None, TaskSettings | None]:
        name, values = self._named_section("task")
        if name is None:
            self._add(("task",), f"missing; allowed: {one_of(self.tasks)}")
            return None, None
        if not isinstance(name, str) or name not in self.tasks:
            allowed = one_of(self.tasks)
            self._add(("task",), f"unknown task {name!r}; allowed: {allowed}.{did_you_mean(str(name), self.tasks)}")
            return None, None
        task = self.tasks[name]
        settings = self._validate(task.settings, values, ("task",))
        return task, settings if isinstance(settings, TaskSettings) else None

    def _read_method(self) -> Any:
        name, values = self._named_section("method")
        if name is None:
            if any(key != "name" for key in values):
                self._add(("method", "name"), f"missing; allowed: {one_of(METHODS)}")
            return FullMethod()
        if not isinstance(name, str) or name not in METHODS:
            hint = did_you_mean(str(name), METHODS)
            self._add(("method",), f"unknown method {name!r}; allowed: {one_of(METHODS)}.{hint}")
            return None
        return self._validate(METHODS[name], values, ("method",))

    def _named_section(self, section: str) -> tuple[Any, dict[str, Any]]:
        """Return the name and the values of a section that is a mapping with a name, or the name alone."""
        found = self.document.get(section)
        if isinstance(found, dict):
            return found.get("name"), found
        return found, {"name": found}

    def _read_section(self, name: str, kind: type[Section]) -> Any:
        values = self.document.get(name)
        if values is None and name == "reference":
            return None
        if values is not None and not isinstance(values, dict):
            self._add((name,), f"found {values!r}; a section with the keys {one_of(kind.model_fields)} is needed")
            return None
        return self._validate(kind, values or {}, (name,))

    def _validate(self, kind: type[BaseModel], values: dict[str, Any], at: KeyPath) -> Any:
        try:
            return kind.model_validate(values)
        except ValidationError as error:
            errors = error.errors()
        seen: set[KeyPath] = set()
        for item in errors:
            path = at
            for part in item["loc"]:
                # pydantic adds the branch of a union; what the user wrote is the key, the keys under it and list indices
                if path == at or isinstance(part, int) or (*path, part) in self.places:
                    path = (*path, str(part))
            if path not in seen:
                seen.add(path)
                self._add_validation(path, dict(item), kind)
        unknown = {item["loc"][0] for item in errors if item["type"] == "extra_forbidden"}
        if len(unknown) == len(errors):  # the checks across keys run only once the keys are right
            return self._validate(kind, {key: value for key, value in values.items() if key not in unknown}, at)
        if issubclass(kind, Section) and at not in seen and (problem := kind.model_construct(**values).clash()):
            self._add(at, problem)
        return None

    def _add_validation(self, path: KeyPath, item: dict[str, Any], kind: type[BaseModel]) -> None:
        found, context = item["input"], item.get("ctx", {})
        match item["type"]:
            case "extra_forbidden":
                problem = self._unknown_key(path, list(kind.model_fields))
            case "missing":
                problem = "missing; it has no default"
            case "literal_error":
                hint = did_you_mean(
                    str(found), [w.strip("'") for w in context["expected"].replace(" or ", ", ").split(", ")]
                )
                problem = f"found {found!r}; allowed: {context['expected']}.{hint}"
            case "value_error":
                problem = str(context["error"])
            case "string_type" if isinstance(found, (int, float)):
                problem = f"found {found!r}; text is needed: put it in quotes"
            case _:
                problem = f"found {found!r}; {item['msg'][0].lower()}{item['msg'][1:]}"
        self._add(path, problem)

    def _unknown_key(self, path: KeyPath, allowed: list[str]) -> str:
        key, problem = path[-1], "unknown key"
        fields = {name: kind.model_fields for name, kind in _SECTIONS.items()} | {"method": LoraMethod.model_fields}
        if task := self.tasks.get(str(self._named_section("task")[0])):
            fields["task"] = task.settings.model_fields
        for name, known in fields.items():
            if key in known and key != "name" and name != path[0]:  # a name says nothing about where it belongs
                problem += f"; '{key}' belongs to the section '{name}' ({name}.{key})"
                return problem if len(path) == 1 else f"{problem}; allowed here: {one_of(allowed)}"
        if path[0] == "method" and key in LoraMethod.model_fields:
            return f"{problem} for this method; '{key}' belongs to lora (method=full alone replaces the whole section)"
        return f"{problem}; allowed: {one_of(allowed)}.{did_you_mean(key, allowed)}"

    def _check_metrics(self, task: Task, settings: TaskSettings) -> None:
        metrics = task.metrics(settings)
        for section, key in (("evaluation", "metric_for_best_model"), ("reference", "metric")):
            if section == "reference" and self._drops_reference():
                continue
            wanted = self._written(section, key)
            allowed = [*metrics, "loss"] if section == "evaluation" else list(metrics)
            if isinstance(wanted, str) and wanted not in allowed:
                hint = did_you_mean(wanted, allowed)
                self._add((section, key), f"{task.name} has no metric '{wanted}'; allowed: {one_of(allowed)}.{hint}")

    def _check_classifier(self, task: Task, settings: TaskSettings) -> None:
        """Groups are compared by their labels, and words are credited with one."""
        if task.classifies is not None and task.classifies(settings):
            if self._written("evaluation", "attributions") and getattr(settings, "long_texts", "cut") == "windows":
                problem = (
                    "the words of a text in several windows are not credited; remove it, or set task.long_texts=cut"
                )
                self._add(("evaluation", "attributions"), problem)
            return
        for key, what in (("groups", "groups of rows are compared"), ("attributions", "words are credited")):
            if self._written("evaluation", key):
                problem = f"{what} by the labels of a text classifier, and this recipe has none; remove it"
                self._add(("evaluation", key), problem)

    def _check_training(self, task: Task | None, method: Any, model: Any) -> None:
        """A probe needs a new head on a pretrained model; rates per layer need weights below the head."""
        if self._written("training", "head_start") == "probe":
            if task is not None and not PROBED_CLASSES & set(task.auto_class.values()):
                problem = f"a probe starts the head of a classifier or tagger, and {task.name} trains none; remove it"
                self._add(("training", "head_start"), problem)
            elif model is not None and model.config is not None:
                problem = "a probe reads what a pretrained model knows, and model.config makes a new one; remove it"
                self._add(("training", "head_start"), problem)
        if isinstance(method, FreezeMethod) and method.frozen_layers == "all":
            for key, neutral in (("layerwise_lr_decay", 1), ("head_learning_rate", None)):
                if self._written("training", key) not in (None, neutral):
                    problem = "only the head is trained (method=freeze, frozen_layers=all); use learning_rate alone"
                    self._add(("training", key), problem)

    def _check_baselines(self, task: Task) -> None:
        baselines = self._written("evaluation", "baselines")
        for number, name in enumerate(baselines if isinstance(baselines, list) else ()):
            if isinstance(name, str) and name not in task.baselines:
                path, hint = ("evaluation", "baselines", str(number)), did_you_mean(name, task.baselines)
                self._add(path, f"found {name!r}; allowed: {one_of(task.baselines)}.{hint}")

    def _check_columns(self, task: Task) -> None:
        columns = self._written("data", "columns")
        for column in columns if isinstance(columns, dict) else ():
            if column not in task.columns:
                hint = did_you_mean(column, task.columns)
                allowed = one_of(task.columns)
                self._add(
                    ("data", "columns", column), f"{task.name} has no column '{column}'; allowed: {allowed}.{hint}"
                )

    def _written(self, section: str, key: str) -> Any:
        """Return a value as the user wrote it, checked or not, so that one mistake in a section does not hide the next."""
        values = self.document.get(section)
        return values.get(key) if isinstance(values, dict) else None

    def _add(self, path: KeyPath, problem: str) -> None:
        self.mistakes.append(Mistake(self._place(path), ".".join(path), problem))

    def _place(self, path: KeyPath) -> str:
        """Return where the nearest enclosing key that the user wrote stands."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.places:
                return self.places[path[:end]]
        return str(self.path)

    def _origins(self, recipe: Recipe) -> dict[str, str]:
        origins: dict[str, str] = {}
        for section, values in recipe.as_dict().items():
            for key in values or {}:
                found = self.document.get(section)
                shorthand = key == "name" and isinstance(found, str)
                stated = shorthand or (isinstance(found, dict) and key in found)
                origins[f"{section}.{key}"] = self._place((section, key)) if stated else "default"
        return origins
