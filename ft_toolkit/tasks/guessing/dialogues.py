"""Recognize rows of dialogues: lists of turns with a speaker and a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ft_toolkit.tasks.base import FirstModel, Guess
from ft_toolkit.tasks.guessing.table import Table
from ft_toolkit.tasks.text.chat_format import turn_keys

_NAMES = ("turns", "messages", "conversation", "conversations", "dialogue", "dialog", "chat")
_MODEL = FirstModel("HuggingFaceTB/SmolLM2-135M-Instruct", "a small model for dialogues in English")
_MAX_LENGTH = 512
# Rows whose turns are read.
_ROWS = 100


def guess_dialogue(table: Table) -> Guess:
    """Return the column with the turns."""
    named = table.named_column("turns")
    columns = [named] if named is not None else table.of_kind("lists of objects")
    for column in columns:
        if all(map(_has_turns, column.values[:_ROWS])):
            is_known = named is not None or column.match(_NAMES) > 0
            return Guess(
                0.95 if is_known else 0.8,
                (f"'{column.name}' has lists of turns with a speaker and a text",),
                {"turns": column.name},
                model=_MODEL,
                max_length=_MAX_LENGTH,
            )
    return Guess(0, ("no column has lists of turns with a speaker and a text",))


def _has_turns(value: Any) -> bool:
    return len(value) > 0 and all(isinstance(turn, Mapping) and turn_keys(turn) is not None for turn in value)
