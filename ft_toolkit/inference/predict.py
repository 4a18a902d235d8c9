"""Read rows (a text, a file or standard input), predict, and write the predictions as jsonl or csv.

rows --(parts of CHUNK rows)--> predictions --> .OUTPUT.new, with the number of finished rows in .OUTPUT.progress
    --(complete)--> OUTPUT
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import Interrupted, UsageError, one_of
from ft_toolkit.core.files import atomic_binary_file, file_sha256, unfinished_file, write_json
from ft_toolkit.core.signals import StopSignal
from ft_toolkit.core.standard_input import standard_input
from ft_toolkit.core.text_lines import split_lines
from ft_toolkit.data.encoding import decode
from ft_toolkit.data.inputs import Inputs
from ft_toolkit.data.local_files import files_of, read_table
from ft_toolkit.data.row_streams import RowStream, open_stream
from ft_toolkit.data.unpacking import split_member
from ft_toolkit.inference.open_finished import open_finished
from ft_toolkit.inference.prediction_text import CsvTable, jsonl_lines
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.runtime.exported_model import CHUNK
from ft_toolkit.runtime.finished_model import FinishedModel
from ft_toolkit.tasks.base import Row

OUTPUT_TYPES = (".jsonl", ".csv")
_RESUME = "repeat the command with --resume"

PredictedRows = list[Row | str] | RowStream


@dataclass(frozen=True)
class Target:
    """Where predictions are written: a file, or standard output (None). `resume` continues an interrupted command.

    `source` is the input file, None for other rows, and `reading` how it was read. `with_inputs` writes the columns of the rows
    beside all keys of the predictions, so that the file can be training data.
    """

    output: Path | None
    source: Path | None = None
    resume: bool = False
    reading: Reading | None = None
    with_inputs: bool = False


def read_rows(text: str | None, source: Path | None, reading: Reading | None = None) -> PredictedRows:
    """Return the rows to predict: one text, the rows of a file, or the lines of standard input.

    A .txt file and standard input hold one text per line. A long file is a stream. Notes on how the file was read go to
    standard error. Raises UsageError for no source and for two sources.
    """
    if text is not None and source is not None:
        raise UsageError("a text and --input FILE exclude each other; use one")
    if text is not None:
        return [text]
    if source is not None:
        stream = open_stream(source, reading)
        table = read_table(source, reading) if stream is None else stream
        for note in table.notes:
            sys.stderr.write(f"note: {source}: {note}\n")
        if isinstance(table, RowStream):
            return table
        return [row["text"] for row in table.rows] if table.format == "txt" else list(table.rows)
    piped = standard_input()
    if piped is None or piped.isatty():
        raise UsageError("no input; pass a text, --input FILE, or one text per line on standard input")
    text = decode(piped.buffer.read(), "standard input", None if reading is None else reading.encoding).text
    return [line for line in split_lines(text) if line.strip()]


def check_output(output: Path | None) -> None:
    """Raise UsageError if the suffix of the output file is not supported."""
    if output is not None and output.suffix not in OUTPUT_TYPES:
        raise UsageError(f"{output}: unknown output type '{output.suffix}'; allowed: {one_of(OUTPUT_TYPES)}")


def predict(
    model: str | FinishedModel,
    rows: PredictedRows,
    columns: dict[str, str],
    target: Target,
    base: str | None = None,
) -> None:
    """Predict and write one record per row, in order.

    Records are written as they are computed; until the last one they are in the file `.NAME.new` beside the output, and
    `.NAME.progress` has the number of finished rows, with which `target.resume` continues. The predictions do not depend on
    interruptions. `columns` maps columns of the task to columns of the rows; see `LoadedModel.__call__`. `base` is the folder
    of an adapter's base model, if it was moved. Raises UsageError, and Interrupted with the finished rows kept.
    """
    loaded = open_finished(model, base) if isinstance(model, str) else model
    parts = _StreamParts(loaded, rows, columns) if isinstance(rows, RowStream) else _ListParts(loaded, rows, columns)
    if target.output is None:
        for inputs, predictions in _predicted(loaded, parts.after(0)):
            sys.stdout.write(jsonl_lines(inputs, predictions, _text_column(loaded, target)))
            sys.stdout.flush()
        return
    n_rows = _write(target, loaded, parts, _Progress(target, loaded, columns))
    sys.stderr.write(f"wrote {target.output} ({n_rows:,} row{'' if n_rows == 1 else 's'})\n")


def _text_column(model: FinishedModel, target: Target) -> str | None:
    """Return the name of the column of a text, if lines have the columns of the rows."""
    return model.task.text_column or "" if target.with_inputs else None


@dataclass(frozen=True)
class _Part:
    """Rows as the user gave them, and with the columns of the task."""

    rows: Sequence[Row | str]
    inputs: Inputs


class _ListParts:
    """Rows in memory as one part."""

    def __init__(self, model: FinishedModel, rows: list[Row | str], columns: dict[str, str]) -> None:
        self._rows, self._inputs, self.n_rows = rows, model.read(rows, columns), len(rows)
        _print_notes(self._inputs)

    def after(self, n_rows: int) -> Iterator[_Part]:
        """Return the rows after the first `n_rows`."""
        yield _Part(self._rows[n_rows:], Inputs(self._inputs.rows[n_rows:], []))


class _StreamParts:
    """The rows of a long file in parts of CHUNK rows."""

    def __init__(self, model: FinishedModel, rows: RowStream, columns: dict[str, str]) -> None:
        """Check all rows, so that an error is not found after hours of prediction. Raises UsageError."""
        self._model, self._rows, self._columns = model, rows, columns
        first: Inputs | None = None
        remarks: dict[str, None] = {}
        self.n_rows = 0
        for part in self.after(0):
            first = first or part.inputs
            if list(part.inputs.rows[0]) != list(first.rows[0]):
                raise UsageError(
                    f"rows from {self.n_rows + 1:,} on have the columns {one_of(part.inputs.rows[0])}, but the first rows have "
                    f"{one_of(first.rows[0])}; all rows must have the same input columns"
                )
            remarks |= dict.fromkeys(part.inputs.remarks)
            self.n_rows += len(part.rows)
        _print_notes(Inputs([], [] if first is None else first.notes, list(remarks)))

    def after(self, n_rows: int) -> Iterator[_Part]:
        """Return the rows after the first `n_rows`, in parts. Raises UsageError."""
        remaining = islice(iter(self._rows), n_rows, None)
        is_text = self._rows.format.name == "txt"
        while rows := list(islice(remaining, CHUNK)):
            given: list[Row | str] = [row["text"] if is_text else row for row in rows]
            yield _Part(given, self._model.read(given, self._columns, n_rows + 1))
            n_rows += len(rows)


def _print_notes(inputs: Inputs) -> None:
    for note in inputs.notes:
        sys.stderr.write(f"note: {note}; use --column to choose another\n")
    for remark in inputs.remarks:
        sys.stderr.write(f"note: {remark}\n")


def print_stream(model: str, rows: PredictedRows, columns: dict[str, str], base: str | None = None) -> None:
    """Print the generated text of the only row as it is written, then a line break. Raises UsageError."""
    if isinstance(rows, RowStream) or len(rows) != 1:
        given = "a long file" if isinstance(rows, RowStream) else f"{len(rows)} rows"
        raise UsageError(f"--stream prints the text of one row; found {given}")
    loaded = open_finished(model, base)
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


def _predicted(model: FinishedModel, parts: Iterable[_Part]) -> Iterator[tuple[list[Row | str], list[dict[str, Any]]]]:
    """Yield rows with their predictions, as they are computed."""
    for part in parts:
        remaining = iter(part.rows)
        for predictions in model.stream(part.inputs):
            yield list(islice(remaining, len(predictions))), predictions


class _Progress:
    """The file with the number of finished rows of an interrupted command, and the facts that must not change."""

    def __init__(self, target: Target, model: FinishedModel, columns: dict[str, str]) -> None:
        """Read the progress of an interrupted command, if it is to be resumed. Raises UsageError if the command differs."""
        assert target.output is not None, "only files are resumed"
        self._target, self._model, self._columns = target, model, columns
        self._facts: dict[str, Any] | None = None
        self._path = target.output.with_name(f".{target.output.name}.progress")
        self._unfinished = unfinished_file(target.output)
        self.rows = self.bytes = 0
        self.names: list[str] = []
        if not self._path.is_file() or not self._unfinished.is_file():
            if target.resume:
                sys.stderr.write("note: nothing to resume; starting with row 1\n")
        elif target.resume:
            self._read()
        else:
            sys.stderr.write(f"note: the predictions of an interrupted command are replaced; to continue, {_RESUME}\n")
            self._path.unlink()  # it would not fit to the new predictions

    def _read(self) -> None:
        saved = json.loads(self._path.read_text(encoding="utf-8"))
        facts = self._current_facts()
        if changed := [name for name, value in facts.items() if saved["facts"].get(name) != value]:
            raise UsageError(
                f"--resume: {one_of(changed)} changed since {self._target.output} was interrupted; repeat the same command, "
                "or start again without --resume"
            )
        if self._unfinished.stat().st_size < saved["bytes"]:
            raise UsageError(
                f"--resume: {self._unfinished} is shorter than the predictions that were written to it; start again without "
                "--resume"
            )
        self.rows, self.bytes, self.names = saved["rows"], saved["bytes"], saved["names"]
        sys.stderr.write(f"note: {self.rows:,} rows are already predicted; continuing with row {self.rows + 1:,}\n")

    def _current_facts(self) -> dict[str, Any]:
        """Return what must not change: the content of the input and of the model, and how the input is read."""
        if self._facts is None:
            source, reading = self._target.source, self._target.reading
            self._facts = {
                "the input": None
                if source is None
                else _content_of([split_member(file)[0] for file in files_of(source)]),
                "the model": _content_of([self._model.folder]),
                "--column": self._columns,
                "--reading": None if reading is None else reading.model_dump(mode="json"),
                "--with-inputs": self._target.with_inputs or None,  # files of earlier versions do not have it
            }
        return self._facts

    def save(self, n_rows: int, n_bytes: int, names: list[str]) -> None:
        """Record that the predictions of the first rows are on the disk."""
        self.rows, self.bytes, self.names = n_rows, n_bytes, names
        write_json(self._path, {"facts": self._current_facts(), "rows": n_rows, "bytes": n_bytes, "names": names})

    def finish(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)


def _content_of(paths: Sequence[Path]) -> str:
    """Return a sha256 of files, and of all files in folders."""
    inner = [path for start in paths for path in ([start] if start.is_file() else sorted(start.rglob("*")))]
    contents = [[path.name, file_sha256(path)] for path in inner if path.is_file()]
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest()


def _write(target: Target, model: FinishedModel, parts: _ListParts | _StreamParts, progress: _Progress) -> int:
    """Write the predictions that are missing, and return the number of rows. Raises Interrupted with the rows kept."""
    output, text_column = target.output, _text_column(model, target)
    assert output is not None, "predictions without a file go to standard output"
    is_csv = output.suffix == ".csv"
    table = CsvTable(model.task, progress.names, with_all_keys=target.with_inputs) if is_csv else None
    n_rows = progress.rows
    try:
        with atomic_binary_file(output, progress.bytes) as file:
            for rows, predictions in _predicted(model, parts.after(n_rows)):
                lines = jsonl_lines(rows, predictions, text_column) if table is None else table.lines(rows, predictions)
                file.write(lines.encode())
                n_rows += len(rows)
                if n_rows < parts.n_rows:
                    file.flush()
                    os.fsync(file.fileno())
                    progress.save(n_rows, file.tell(), [] if table is None else table.names)
    except StopSignal as stopped:
        kept = f"the predictions of {progress.rows:,} rows are kept. To continue, {_RESUME}"
        raise Interrupted(stopped.signum, f"stopped by {stopped}; {kept}") from None
    progress.finish()
    return n_rows
