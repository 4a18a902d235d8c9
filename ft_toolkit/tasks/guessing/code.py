"""Recognize rows of code generation: the beginnings of Python functions, and their bodies."""

from __future__ import annotations

from ft_toolkit.metrics.code import parses
from ft_toolkit.tasks.base import FirstModel, Guess
from ft_toolkit.tasks.guessing.columns import describe, first_named
from ft_toolkit.tasks.guessing.table import Table

_PROMPTS = ("prompt", "signature", "declaration", "header")
_BODIES = ("body", "completion", "canonical_solution", "solution", "code")
_MODEL = FirstModel("HuggingFaceTB/SmolLM2-135M", "a small causal language model that has seen Python")
_MAX_LENGTH = 512
# Rows that are parsed, and the share that must be Python.
_ROWS, _VALID = 200, 0.9


def guess_functions(table: Table) -> Guess:
    """Return the columns of prompts, bodies and tests, if prompts and bodies together are Python functions."""
    texts = table.of_kind("text")
    prompt = table.named_column("prompt") or first_named(texts, _PROMPTS)
    body = table.named_column("body") or first_named([column for column in texts if column is not prompt], _BODIES)
    if prompt is None or body is None or prompt is body:
        return Guess(0, (f"no column for {'prompt' if prompt is None else 'body'}",))
    rows = table.rows[:: -(-len(table.rows) // _ROWS)]
    pairs = [(str(row.get(prompt.name) or ""), str(row.get(body.name) or "")) for row in rows]
    valid = sum("def " in first and parses(f"{first.rstrip()}\n{second}") for first, second in pairs) / len(pairs)
    if valid < _VALID:
        return Guess(
            0, (f"'{prompt.name}' and '{body.name}' together are Python functions in {valid:.0%} of the rows",)
        )
    columns = {"prompt": prompt.name, "body": body.name}
    tests = table.named_column("tests") or next((column for column in texts if column.name == "tests"), None)
    if tests is not None:
        columns["tests"] = tests.name
    reasons = (f"'{prompt.name}' has {describe(prompt)}", f"together with '{body.name}' they are Python functions")
    return Guess(0.95, reasons, columns, model=_MODEL, max_length=_MAX_LENGTH)
