"""`ftk predict`: rows in (a text, a file, standard input), predictions out (jsonl or csv)."""

import csv
import io
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from ft_toolkit.core.errors import UsageError, one_of
from ft_toolkit.core.files import atomic_file, write_file
from ft_toolkit.data.files import read_file
from ft_toolkit.tasks.base import Row

OUTPUT_TYPES = (".jsonl", ".csv")


def read_rows(text: str | None, source: Path | None) -> list[Row | str]:
    """Return the rows to predict: one text, the rows of a file (.txt: a text per line), or standard input, a text per line.

    Raises UsageError when nothing is given or two sources are.
    """
    if text is not None and source is not None:
        raise UsageError("give a text or --input FILE, not both")
    if text is not None:
        return [text]
    if source is not None:
        if source.suffix == ".txt" and source.is_file():
            return _lines(source.read_text(encoding="utf-8-sig"))
        return list(read_file(source))
    if sys.stdin.isatty():
        raise UsageError("nothing to predict: give a text, --input FILE, or pipe texts in, one per line")
    return _lines(sys.stdin.read())


def _lines(text: str) -> list[Row | str]:
    return [line for line in text.splitlines() if line.strip()]


def check_output(output: Path | None) -> None:
    """Raise UsageError when the output's ending is not one we write."""
    if output is not None and output.suffix not in OUTPUT_TYPES:
        raise UsageError(f"{output}: unknown output type '{output.suffix}'; allowed: {one_of(OUTPUT_TYPES)}")


def predict(model: str, rows: list[Row | str], columns: dict[str, str], output: Path | None) -> None:
    """Predict and write one record per row, in order: to `output`, whole or not at all, or as jsonl to standard output.

    Records are written as they are made; until the last one they stand in a file `.NAME.new` beside `output`. `columns`
    maps the task's column names to those of the rows.
    """
    from ft_toolkit.inference.model_folder import load  # torch, once the input is known to be good

    renamed = [row if isinstance(row, str) else _renamed(row, columns) for row in rows]
    chunks = load(model).stream(renamed)
    if output is None:
        _write_jsonl(rows, chunks, sys.stdout)
    elif output.suffix == ".csv":
        write_file(output, _csv(rows, [prediction for chunk in chunks for prediction in chunk]))
    else:
        with atomic_file(output) as file:
            _write_jsonl(rows, chunks, file)


def _renamed(row: Row, columns: dict[str, str]) -> Row:
    return {**row, **{column: row.get(name) for column, name in columns.items()}}


def _write_jsonl(rows: list[Row | str], chunks: Iterable[list[dict[str, Any]]], file: TextIO) -> None:
    remaining = iter(rows)
    for chunk in chunks:
        for prediction in chunk:
            row = next(remaining)
            named = {"id": row["id"]} if not isinstance(row, str) and "id" in row else {}
            file.write(json.dumps({**named, **prediction}, ensure_ascii=False) + "\n")
        file.flush()


def _csv(rows: list[Row | str], records: list[dict[str, Any]]) -> str:
    """Return the rows' own columns, then the prediction's, with lists joined by '|' and probabilities left out."""
    flat = [{key: _cell(value) for key, value in record.items() if key != "probabilities"} for record in records]
    named: list[Row] = [{"text": row} if isinstance(row, str) else row for row in rows]
    own = [{key: _cell(value) for key, value in row.items()} for row in named]
    predicted = [f"predicted_{key}" for key in (flat[0] if flat else {}) if key != "id"]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*(own[0] if own else {}), *predicted], restval="", extrasaction="ignore")
    writer.writeheader()
    for row, record in zip(own, flat, strict=True):
        writer.writerow({**row, **{f"predicted_{key}": value for key, value in record.items() if key != "id"}})
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Return a value for a cell: lists of plain values joined by '|', anything deeper as JSON."""
    if isinstance(value, list) and not any(isinstance(item, (dict, list)) for item in value):
        return "|".join(map(str, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value
