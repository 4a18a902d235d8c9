"""Recognize rows of language modelling: texts alone."""

from __future__ import annotations

from ft_toolkit.tasks.base import FirstModel, Guess
from ft_toolkit.tasks.guessing.columns import describe, is_identifier, text_columns
from ft_toolkit.tasks.guessing.languages import language_of
from ft_toolkit.tasks.guessing.table import Table

_GPT2 = FirstModel("distilbert/distilgpt2", "a small causal language model for English texts")
_MASKED = FirstModel("FacebookAI/xlm-roberta-base", "a masked language model for texts in 100 languages")
_MAX_LENGTH = 256


def guess_texts(table: Table) -> Guess:
    """Return the column with the texts; likely only if the file has nothing else."""
    text = table.named_column("text") or next(iter(text_columns(table)), None)
    if text is None:
        return Guess(0, ("no column has texts",))
    others = [column for column in table.columns if column is not text and not is_identifier(column)]
    reason = "no other column has a label or an answer" if not others else "the other columns are not used"
    return Guess(
        0.2 if others else 0.6,
        (f"'{text.name}' has {describe(text)}", reason),
        {"text": text.name},
        model=_GPT2 if language_of(text.values) == "en" else _MASKED,
        max_length=_MAX_LENGTH,
    )
