"""Reduce a recipe and its rows to a smoke run: seconds instead of hours, and no network."""

from dataclasses import replace
from pathlib import Path

from ft_toolkit.core.run_folder import TINY_MODEL_FOLDER
from ft_toolkit.data.cards import SplitName, load_card
from ft_toolkit.data.selection import SELECTION
from ft_toolkit.data.splits import LoadedData, fingerprint
from ft_toolkit.models.tiny import MAX_TOKENS, architecture_of, make_tiny_model
from ft_toolkit.recipe.load_recipe import LoadedRecipe
from ft_toolkit.recipe.methods import LoraMethod
from ft_toolkit.recipe.sections import PACKAGE_PREFIX, NewTokenizer, Recipe
from ft_toolkit.tasks.base import Rows, Task, input_texts
from ft_toolkit.training.prepare import Prepared, RunInput, check_packages, prepare_input, read_input

# Rows of each split, optimizer steps and bootstrap samples of a smoke run.
ROWS = {"train": 32, "validation": 16, "test": 16}
STEPS = 4
BOOTSTRAP_SAMPLES = 100
# Vocabulary size of the tokenizer that replaces one on the Hub.
VOCABULARY_SIZE = 400


def prepare_smoke(
    loaded: LoadedRecipe, *, work_folder: Path, selection: int = SELECTION, n_processes: int = 1
) -> Prepared:
    """Prepare a run of a few steps on a few rows. Raises UsageError for rows or models that do not fit the recipe.

    Rows on the Hub are replaced by the task's sample rows. A model that is neither a folder nor part of a package is
    replaced by a tiny one with random weights, written to `work_folder`.
    """
    check_packages(loaded.recipe)
    return prepare_input(smoke_input(loaded, work_folder, selection), work_folder, n_processes)


def smoke_input(loaded: LoadedRecipe, work_folder: Path, selection: int = SELECTION) -> RunInput:
    """Return the reduced recipe and rows, with a line per replacement in `substitutions`."""
    recipe, task = loaded.recipe, loaded.task
    recipe, substitutions = _reduce_recipe(recipe)
    if _has_hub_rows(recipe):
        data = _sample_rows(task, recipe)
        full = RunInput(recipe, task, data, data.splits["train"], [])
        substitutions.append(
            f"rows: {len(data.splits['train'])} sample rows of the task instead of the rows on the Hub"
        )
    else:
        full = read_input(recipe, task, selection)
    data = _select_rows(full.data)
    name = recipe.model.name
    if name is not None and not _is_local(name):
        architecture = architecture_of(name)
        texts = [text for rows in data.splits.values() for row in rows for text in input_texts(row, task)]
        folder = make_tiny_model(work_folder / TINY_MODEL_FOLDER, texts, architecture)
        substitutions.append(f"model: a tiny {architecture} with random weights instead of {name}")
        tiny = {"name": str(folder), "revision": None, "sha256": None}
        recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update=tiny)})
        if recipe.data.max_length > MAX_TOKENS:
            recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"max_length": MAX_TOKENS})})
            substitutions.append(f"data.max_length: {MAX_TOKENS}, the maximum of the tiny model")
    return replace(full, recipe=recipe, data=data, substitutions=substitutions)


def _reduce_recipe(recipe: Recipe) -> tuple[Recipe, list[str]]:
    """Return the recipe of a few steps without settings that need the Hub, and a line per change."""
    training = recipe.training.model_copy(update={"max_steps": STEPS, "logging_steps": 1})
    evaluation = recipe.evaluation.model_copy(update={"bootstrap_samples": BOOTSTRAP_SAMPLES, "eval_steps": None})
    changes = [f"smoke run: {STEPS} steps, at most {ROWS['train']} training rows; the scores mean nothing"]
    method, model = recipe.method, recipe.model
    names_modules = isinstance(method, LoraMethod) and isinstance(method.target_modules, list)
    if names_modules and not _is_local(model.name):
        method = method.model_copy(update={"target_modules": "attention"})
        changes.append("method.target_modules: attention, because the tiny model has other module names")
    if isinstance(model.tokenizer, str) and not _is_local(model.tokenizer):
        changes.append(f"model.tokenizer: a small one, trained on the rows, instead of {model.tokenizer}")
        small = NewTokenizer(train_on_text=True, vocab_size=VOCABULARY_SIZE)
        model = model.model_copy(update={"tokenizer": small})
    sections = {"training": training, "evaluation": evaluation, "method": method, "model": model, "reference": None}
    return recipe.model_copy(update=sections), changes


def _is_local(name: str | None) -> bool:
    """Return whether a model or tokenizer is available without the Hub."""
    return name is None or name.startswith(PACKAGE_PREFIX) or Path(name).is_dir()


def _has_hub_rows(recipe: Recipe) -> bool:
    if recipe.data.card is None:
        return recipe.data.hub is not None
    return not recipe.data.has_local_files and load_card(recipe.data.card).block.source.hub is not None


def _sample_rows(task: Task, recipe: Recipe) -> LoadedData:
    """Return the task's sample rows: all of them for training, a third each for validation and test."""
    rows, _ = task.read_rows(task.sample_rows(recipe.task), recipe.task, "sample rows")
    third = len(rows) // 3
    splits: dict[SplitName, Rows] = {"train": rows, "validation": rows[:third], "test": rows[third : 2 * third]}
    return LoadedData(splits, dict.fromkeys(splits, "sample rows"), None, None, [])


def _select_rows(data: LoadedData) -> LoadedData:
    """Return a few rows of each split, chosen by a hash of their content."""
    selected: dict[SplitName, Rows] = {}
    for name, rows in data.splits.items():
        order = sorted(range(len(rows)), key=[fingerprint([row]) for row in rows].__getitem__)
        selected[name] = [rows[i] for i in order[: ROWS[name]]]
    return replace(data, splits=selected)
