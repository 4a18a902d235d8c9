"""`ftk init`: the first recipe for a data file. The columns decide the task; nothing is trained and no model is loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import DataError, UsageError, one_of
from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.load_data import load_data
from ft_toolkit.data.local_files import FileRows, read_table
from ft_toolkit.data.row_checks import check_rows, label_counts
from ft_toolkit.data.selection import EmptySplitError
from ft_toolkit.data.split_files import find_split_files, split_of
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.recipe.load_recipe import load_values
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.recipe.sections import Recipe
from ft_toolkit.runs.draft_recipe import MAX_LENGTHS, DraftRecipe, held_out_shares, suggest_max_length
from ft_toolkit.runs.first_model import choose_model
from ft_toolkit.runs.recipe_text import recipe_text, recipe_values
from ft_toolkit.runs.task_choice import check_columns, find_guesses, without_other_names
from ft_toolkit.tasks.base import FirstModel, Guess, Task
from ft_toolkit.tasks.guessing.table import Table, make_table

# Tasks with at least this score are named as alternatives.
PLAUSIBLE = 0.4


@dataclass(frozen=True)
class InitRequest:
    """The arguments of `ftk init`."""

    files: Sequence[str]
    task: str | None = None
    model: str | None = None
    output: Path | None = None
    # Column of the task -> column of the file.
    columns: Mapping[str, str] = field(default_factory=dict)
    # Settings of the recipe by section and key.
    settings: Mapping[str, Any] = field(default_factory=dict)


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
    recipe: Recipe
    # Other tasks that could read the rows, and their reasons.
    others: Mapping[str, Guess]
    data: LoadedData
    # Label -> split -> count.
    labels: Mapping[str, Mapping[str, int]]
    warnings: Sequence[str]


def plan_first_recipe(request: InitRequest, tasks: Mapping[str, Task]) -> FirstRecipe:
    """Return a recipe that runs, without writing it. Raises UsageError, and DataError for rows that no task can read."""
    files = find_split_files(request.files)
    return plan_for_files(request, files, _recipe_path(request, files["train"]), tasks)


def plan_for_files(
    request: InitRequest, files: Mapping[SplitName, str], path: Path, tasks: Mapping[str, Task]
) -> FirstRecipe:
    """Return a recipe for the files of the splits, with `path` as its path in messages. Raises DataError and UsageError."""
    reading = _reading(request.settings, files["train"], tasks)
    training_file = read_table(Path(files["train"]), reading)
    label_names = reading.label_names if reading is not None else None
    table = make_table(without_other_names(training_file), request.columns, label_names or ())
    check_columns(table, files["train"])
    guesses = find_guesses(table, tasks, request.task, files["train"])
    name = max(guesses, key=lambda name: guesses[name].score)
    task, guess = tasks[name], guesses[name]
    files, dropped = _with_answers(files, task, guess, reading)
    draft = DraftRecipe(path, task, guess, choose_model(guess, request.model), files, request.settings)
    n_rows = len(table.rows)
    draft, data = _load(draft, n_rows, tasks)
    max_length, share = suggest_max_length(data.splits["train"], task, guess)
    sections = draft.sections(max_length)
    recipe = load_values(path.stem, recipe_values(sections), tasks, str(path)).recipe
    warnings = [*dropped, *data.notes, *check_rows(data, task, recipe.task, table, guess.file_columns)]
    if share >= 0.01 and recipe.data.max_length == max_length:
        warnings.append(
            f"about {share:.0%} of the texts are longer than max_length={max_length} (an estimate from their characters; "
            "--dry-run counts tokens)"
        )
    return FirstRecipe(
        path,
        recipe_text(draft.heading, sections),
        files,
        training_file,
        table,
        task,
        guess,
        draft.model,
        recipe,
        {other: g for other, g in guesses.items() if other != name and g.score >= PLAUSIBLE},
        data,
        label_counts(data, task, recipe.task),
        warnings,
    )


def _reading(settings: Mapping[str, Any], train: str, tasks: Mapping[str, Task]) -> Reading | None:
    """Return the settings `data.reading` of the command line. Raises RecipeError for a mistake in them."""
    reading = settings.get("data", {}).get("reading") if isinstance(settings.get("data"), Mapping) else None
    if reading is None:
        return None
    values = {"task": next(iter(tasks)), "model": {"name": "any"}, "data": {"train": train, "reading": reading}}
    return load_values("init", values, tasks, "command line").recipe.data.reading


def _load(draft: DraftRecipe, n_rows: int, tasks: Mapping[str, Task]) -> tuple[DraftRecipe, LoadedData]:
    """Return the draft with a share of held-out rows that leaves rows in every split, and the rows. Raises DataError."""
    for held_out in held_out_shares(n_rows, has_test="test" in draft.files):
        draft = replace(draft, held_out=held_out)
        values = recipe_values(draft.sections(MAX_LENGTHS[-1]))
        recipe = load_values(draft.path.stem, values, tasks, str(draft.path)).recipe
        try:
            return draft, load_data(recipe.data, draft.task, recipe.task)
        except EmptySplitError:
            continue
    raise DataError(
        f"{draft.files['train']}: {n_rows:,} row{'' if n_rows == 1 else 's'}, too few to hold out validation and test rows "
        "(equal rows and rows of a group stay in one split). Collect more rows, or name files for the splits: "
        "ftk init TRAIN VALIDATION TEST"
    )


def _recipe_path(request: InitRequest, train: str) -> Path:
    """Return the path of the new recipe. Raises UsageError if it exists."""
    path = request.output
    if path is None:
        source = Path(request.files[0])
        named_after = source if source.is_dir() or split_of(Path(train)) is None else source.absolute().parent
        stem = named_after.resolve().name.partition(".")[0].replace("*", "") or "recipe"
        path = Path(f"{stem}.yaml")
    if path.suffix not in (".yaml", ".yml"):
        raise UsageError(f"--output {path}: a recipe is a YAML file; choose a name that ends in .yaml")
    if path.exists():
        raise UsageError(f"{path} already exists. Choose another name with --output, or remove the file")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path}: folder {path.parent} not found; create it, or choose another folder")
    return path


def _with_answers(
    files: Mapping[SplitName, str], task: Task, guess: Guess, reading: Reading | None
) -> tuple[dict[SplitName, str], list[str]]:
    """Return the files whose rows have answers, and a sentence on each other file."""
    answers = [name for name, column in guess.file_columns.items() if task.columns[column].is_answer]
    kept, dropped = {}, []
    for split, file in files.items():
        rows = [] if split == "train" or not answers else read_table(Path(file), reading).rows
        if not rows or any(name in row for row in rows for name in answers):
            kept[split] = file
        else:
            dropped.append(f"{file} is not used: it has no column {one_of(answers)}, so it cannot be scored")
    return kept, dropped
