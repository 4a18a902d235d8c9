"""Usage examples for the model card, from the columns and texts of the task."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ft_toolkit.report.run_files import RunFiles
from ft_toolkit.tasks.base import PipelineCode, PipelineRequest


@dataclass(frozen=True)
class Usage:
    """Usage examples. `columns` maps the input columns of a row to example values."""

    columns: Mapping[str, str]
    prediction_text: str
    # How texts longer than the limit are treated; None without a limit.
    limit: str | None
    # Code for the transformers pipeline; None where there is none, or where it cannot find the base model of an adapter.
    pipeline: PipelineCode | None
    # Whether transformers has no pipeline for the task at all.
    has_no_pipeline: bool

    @property
    def takes_plain_texts(self) -> bool:
        """Whether a text alone is a row."""
        return len(self.columns) == 1

    @property
    def python(self) -> str:
        """The argument of the loaded model in Python."""
        return '["A text.", "Another text."]' if self.takes_plain_texts else f"[{self.row}]"

    @property
    def row(self) -> str:
        """The example row as a Python dict."""
        return json.dumps(dict(self.columns), ensure_ascii=False)


def usage(run: RunFiles, max_length: int | None, *, model: str, is_adapter: bool, has_base: bool) -> Usage:
    """Return the usage examples for a run's model; `model` is its folder or its Hub id.

    `has_base` says that transformers finds the base model of an adapter.
    """
    task, schema, columns = run.task, run.schema, _example_row(run)
    example = json.dumps(next(iter(columns.values()))) if len(columns) == 1 else json.dumps(columns, ensure_ascii=False)
    pipeline = None
    if task.pipeline is not None and schema is not None and (has_base or not is_adapter):
        pipeline = task.pipeline(schema, PipelineRequest(model, example, max_length, is_adapter, run.pooling))
    reads_windows = schema is not None and task.reads_windows(schema)
    if pipeline is not None and reads_windows and not pipeline.remark:
        pipeline = PipelineCode(pipeline.code, "it cuts or refuses texts longer than the limit of the model")
    return Usage(
        columns=columns,
        prediction_text="" if schema is None else task.prediction_text(schema),
        limit=_limit(max_length, reads_windows=reads_windows),
        pipeline=pipeline,
        has_no_pipeline=task.pipeline is None,
    )


def _example_row(run: RunFiles) -> dict[str, str]:
    """Return example values of the input columns: the required ones, and optional ones that the run's rows have."""
    record = run.predictions[0] if run.predictions else {}
    columns = {
        name: column.example or "A text."
        for name, column in run.task.columns.items()
        if not column.is_answer and (column.required or (column.example is not None and name in record))
    }
    return columns or {run.task.text_column or "text": "A text."}


def _limit(max_length: int | None, *, reads_windows: bool) -> str | None:
    if not max_length:
        return None
    if reads_windows:
        return f"It reads texts longer than {max_length:,} tokens in overlapping windows."
    return f"It reads at most {max_length:,} tokens of a text; the rest is cut off."
