"""Recognize rows of language modelling and text generation: texts alone, or prompts with completions."""

from __future__ import annotations

from ft_toolkit.tasks.base import FirstModel, Guess
from ft_toolkit.tasks.guessing.columns import describe, first_named, is_identifier, text_columns
from ft_toolkit.tasks.guessing.languages import language_of
from ft_toolkit.tasks.guessing.table import Table

_GPT2 = FirstModel("distilbert/distilgpt2", "a small causal language model for English texts")
_MASKED = FirstModel("FacebookAI/xlm-roberta-base", "a masked language model for texts in 100 languages")
_MAX_LENGTH = 256
_PROMPTS, _COMPLETIONS = ("prompt", "instruction", "input"), ("completion", "response", "output", "chosen")


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


def guess_completions(table: Table) -> Guess:
    """Return the columns with prompts and completions; of texts alone, the column with the texts, with a low score."""
    texts = table.of_kind("text")
    prompt = table.named_column("prompt") or first_named(texts, _PROMPTS)
    completion = table.named_column("completion") or first_named(texts, _COMPLETIONS)
    if prompt is not None and completion is not None and prompt is not completion:
        return Guess(
            0.85,
            (f"'{prompt.name}' has {describe(prompt)}", f"'{completion.name}' continues it"),
            {"prompt": prompt.name, "completion": completion.name},
            model=_GPT2 if language_of(completion.values) == "en" else None,
            max_length=_MAX_LENGTH,
        )
    text = table.named_column("text") or next(iter(text_columns(table)), None)
    if text is None:
        return Guess(0, ("no column has texts",))
    reason = f"'{text.name}' has {describe(text)}, which a model can learn to continue"
    return Guess(0.1, (reason,), {"text": text.name}, model=_GPT2, max_length=_MAX_LENGTH)
