"""Read rows (a text, a file or standard input), predict, and write the predictions as jsonl or csv."""

import csv
import io
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from ft_toolkit.core.errors import UsageError, one_of
from ft_toolkit.core.files import atomic_file, write_file
from ft_toolkit.core.standard_input import standard_input
from ft_toolkit.core.text_lines import split_lines
from ft_toolkit.data.encoding import decode
from ft_toolkit.data.json_values import json_value
from ft_toolkit.data.local_files import read_table
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.runtime.exported_model import ExportedModel, is_exported_graph
from ft_toolkit.runtime.finished_model import FinishedModel
from ft_toolkit.tasks.base import Row, Task

OUTPUT_TYPES = (".jsonl", ".csv")
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r]")
_NUMBER = re.compile(r"[+-]?[0-9]*[.,]?[0-9]+(?:[eE][+-]?[0-9]+)?%?")


def read_rows(text: str | None, source: Path | None, reading: Reading | None = None) -> list[Row | str]:
    """Return the rows to predict: one text, the rows of a file, or the lines of standard input.

    A .txt file and standard input hold one text per line. Notes on how the file was read go to standard error. Raises
    UsageError for no source and for two sources.
    """
    if text is not None and source is not None:
        raise UsageError("a text and --input FILE exclude each other; use one")
    if text is not None:
        return [text]
    if source is not None:
        table = read_table(source, reading)
        for note in table.notes:
            sys.stderr.write(f"note: {source}: {note}\n")
        return [row["text"] for row in table.rows] if table.format == "txt" else list(table.rows)
    stream = standard_input()
    if stream is None or stream.isatty():
        raise UsageError("no input; pass a text, --input FILE, or one text per line on standard input")
    text = decode(stream.buffer.read(), "standard input", None if reading is None else reading.encoding).text
    return [line for line in split_lines(text) if line.strip()]


def check_output(output: Path | None) -> None:
    """Raise UsageError if the suffix of the output file is not supported."""
    if output is not None and output.suffix not in OUTPUT_TYPES:
        raise UsageError(f"{output}: unknown output type '{output.suffix}'; allowed: {one_of(OUTPUT_TYPES)}")


def predict(
    model: str, rows: list[Row | str], columns: dict[str, str], output: Path | None, base: str | None = None
) -> None:
    """Predict and write one record per row, in order: to `output` atomically, or as jsonl to standard output.

    Records are written as they are computed; until the last one they are in the file `.NAME.new` beside `output`. `columns`
    maps columns of the task to columns of the rows; see `LoadedModel.__call__`. `base` is the folder of an adapter's base
    model, if it was moved. Raises UsageError.
    """
    loaded: FinishedModel
    if is_exported_graph(model):
        if base is not None:
            raise UsageError(f"{model} is an exported model, which has no base model; remove --base")
        loaded = ExportedModel(model)
    else:
        from ft_toolkit.inference.model_folder import open_model  # imports torch, so only after the input is checked

        loaded = open_model(model, base)
    inputs = loaded.read(rows, columns)
    for note in inputs.notes:
        sys.stderr.write(f"note: {note}; use --column to choose another\n")
    for remark in inputs.remarks:
        sys.stderr.write(f"note: {remark}\n")
    chunks = loaded.stream(inputs)
    if output is None:
        _write_jsonl(rows, chunks, sys.stdout)
        return
    if output.suffix == ".csv":
        write_file(output, _csv(rows, [prediction for chunk in chunks for prediction in chunk], loaded.task))
    else:
        with atomic_file(output) as file:
            _write_jsonl(rows, chunks, file)
    sys.stderr.write(f"wrote {output} ({len(rows):,} row{'' if len(rows) == 1 else 's'})\n")


def print_stream(model: str, rows: list[Row | str], columns: dict[str, str], base: str | None = None) -> None:
    """Print the generated text of the only row as it is written, then a line break. Raises UsageError."""
    if len(rows) != 1:
        raise UsageError(f"--stream prints the text of one row; found {len(rows)} rows")
    if is_exported_graph(model):
        raise UsageError(f"{model} is an exported graph, which generates no text; remove --stream")
    from ft_toolkit.inference.model_folder import LoadedModel  # imports torch, so only after the input is checked

    loaded = LoadedModel(model, base)
    if loaded.task.stream is None:
        raise UsageError(f"{loaded.task.name} generates no text; remove --stream")
    inputs = loaded.read(rows, columns)
    pieces: list[str] = []

    def show(piece: str) -> bool:
        pieces.append(piece)
        sys.stdout.write(piece)
        sys.stdout.flush()
        return True

    answer = loaded.task.answer(loaded.predict_row(inputs.rows[0], show), loaded.schema)
    rest = answer.removeprefix("".join(pieces))  # the whole text of a beam search
    sys.stdout.write(f"{rest}\n")


def _write_jsonl(rows: list[Row | str], chunks: Iterable[list[dict[str, Any]]], file: TextIO) -> None:
    remaining = iter(rows)
    for chunk in chunks:
        for prediction in chunk:
            row = next(remaining)
            row_id = {} if isinstance(row, str) or "id" not in row else {"id": _plain(row["id"])}
            file.write(json.dumps({**row_id, **prediction}, ensure_ascii=False) + "\n")
        file.flush()


def _csv(rows: list[Row | str], records: list[dict[str, Any]], task: Task) -> str:
    """Return a csv table: the columns of the rows, then predicted_* columns without the keys in `not_in_csv`.

    Lists are joined by '|'. A text that a spreadsheet would take for a formula gets a "'" before it.
    """
    flat = [{key: _cell(value) for key, value in record.items() if key not in task.not_in_csv} for record in records]
    records_in: list[Row] = [{task.text_column or "": row} if isinstance(row, str) else row for row in rows]
    cells = [{key: _cell(value) for key, value in row.items()} for row in records_in]
    predicted = [f"predicted_{key}" for key in (flat[0] if flat else {}) if key != "id"]
    text = io.StringIO()
    names = [*(cells[0] if cells else {}), *predicted]
    writer = csv.writer(text)
    writer.writerow(map(_no_formula, names))
    for row, record in zip(cells, flat, strict=True):
        values = {**row, **{f"predicted_{key}": value for key, value in record.items() if key != "id"}}
        writer.writerow([_no_formula(values.get(name, "")) for name in names])
    return text.getvalue()


def _no_formula(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula: a text that begins as one gets a "'" before it.

    The text of a stranger could otherwise send the other cells to a server (=HYPERLINK, =WEBSERVICE). Numbers stay.
    """
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value) else value


def _cell(value: Any) -> Any:
    """Return the text of a cell: a list of plain values joined by '|', nested values and values with '|' as JSON."""
    value = _plain(value)
    if isinstance(value, list) and not any(isinstance(item, (dict, list)) or "|" in str(item) for item in value):
        return "|".join(map(str, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value


def _plain(value: Any) -> Any:
    """Return a value of a row that JSON can hold: a date as text."""
    return value if isinstance(value, float) else json_value(value, "input", is_kept=True)
