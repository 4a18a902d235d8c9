"""The sections of a first recipe: the choices of `ftk init`, with the settings of the user on top."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.splits import SPLITS
from ft_toolkit.runs.recipe_text import RecipeSection
from ft_toolkit.tasks.base import FirstModel, Guess, Row, Rows, Task, input_texts

# Values of data.max_length, and the share of the texts that must fit into it (512 tokens are the limit of many models).
MAX_LENGTHS = (32, 64, 128, 256, 512)
_FITTING = 0.98


@dataclass(frozen=True)
class DraftRecipe:
    """The choices behind a recipe. `settings` are the user's values by section and key; they override the choices."""

    path: Path
    task: Task
    guess: Guess
    model: FirstModel
    files: Mapping[SplitName, str]
    settings: Mapping[str, Any]
    # Share of the training rows for each split that has no file.
    held_out: float = 0.1

    def sections(self, max_length: int) -> list[RecipeSection]:
        """Return the sections of the recipe."""
        data = self._data(max_length)
        section = self.settings.get("data")
        has_time = isinstance(section, Mapping) and section.get("time") is not None
        held_out = "Held out of the training rows, by a hash of their content: the same rows in every run."
        if has_time:
            held_out = "Held out of the training rows: the newest rows."
        first_fraction = next((key for key in data if key.endswith("_fraction")), "")
        reasons = "\n".join(map(_sentence, self.guess.reasons))
        drafted = [
            RecipeSection("task", {"name": self.task.name, **self.guess.settings}, reasons),
            RecipeSection("model", {"name": self.model.name}, _sentence(self.model.reason)),
            RecipeSection("data", data, "", {first_fraction: held_out}),
            RecipeSection("method", "full"),
        ]
        names = {section.name for section in drafted}
        added = [RecipeSection(name, value) for name, value in self.settings.items() if name not in names]
        return [_with_settings(section, self.settings.get(section.name)) for section in drafted] + added

    def _data(self, max_length: int) -> dict[str, Any]:
        section = self.settings.get("data")
        named = {split: section[split] for split in SPLITS if split in section} if isinstance(section, Mapping) else {}
        files = {str(split): file for split, file in {**self.files, **named}.items()}
        fractions = {f"{split}_fraction": self.held_out for split in ("validation", "test") if split not in files}
        renamed = {
            column: name if isinstance(name, str) else list(name)
            for column, name in self.guess.columns.items()
            if column != name
        }
        columns = {"columns": renamed} if renamed else {}
        return {**files, **fractions, **columns, **self.guess.data_settings, "max_length": max_length}

    @property
    def heading(self) -> str:
        """The first comment of the recipe, with the command that runs it."""
        name = shlex.quote(str(self.path))
        return (
            f"Recipe for {self.task.name} with {self.files['train']}, written by 'ftk init'.    ftk run {name}\n"
            "The run chooses batch size, learning rate and epochs from the rows and the model, and prints them.\n"
            f"'ftk run {name} --dry-run' checks the rows and measures a step; 'ftk show {name}' lists every setting."
        )


def held_out_shares(n_rows: int, *, has_test: bool) -> tuple[float, ...]:
    """Return shares of the rows to hold out, in order of preference. A small share of a few rows may be 0 rows.

    With a file of test rows, the held-out rows only select the checkpoint, so a small file keeps most rows for training.
    """
    if n_rows >= 500:
        return (0.1,)
    return (0.1, 0.2, 0.3) if has_test else (0.15,) if n_rows >= 100 else (0.2, 0.3, 0.4)


def _with_settings(section: RecipeSection, values: Any) -> RecipeSection:
    """Return a section with the user's values: a mapping replaces single keys, any other value replaces the section."""
    if values is None:
        return section
    if isinstance(values, Mapping):
        drafted = {"name": section.value} if isinstance(section.value, str) else section.value
        return replace(section, value={**drafted, **values})
    return replace(section, value=values)


def suggest_max_length(rows: Rows, task: Task, guess: Guess) -> tuple[int, float]:
    """Return `data.max_length`, and the estimated share of the texts that are longer; 0 if the guess has a fixed length."""
    if guess.max_length is not None:
        return guess.max_length, 0.0
    lengths = sorted(_estimated_tokens(row, task) for row in rows)
    needed = lengths[int(_FITTING * (len(lengths) - 1))]
    limit = next((length for length in MAX_LENGTHS if length >= needed), MAX_LENGTHS[-1])
    return limit, sum(length > limit for length in lengths) / len(lengths)


def _estimated_tokens(row: Row, task: Task) -> float:
    """Return the tokens of a row, estimated: 3.5 characters each, and one for each character from Thai to Hangul."""
    texts = input_texts(row, task)
    n_characters = sum(map(len, texts))
    n_wide = sum(character >= "\u0e00" for text in texts for character in text)
    return n_wide + (n_characters - n_wide) / 3.5 + 3


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
