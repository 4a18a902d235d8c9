"""How to use a finished model, for the model card: examples that fit the task, and a pipeline if one exists."""

import json
from dataclasses import dataclass
from typing import Any

from ft_toolkit.report.run_files import RunFiles

_PLACEHOLDERS = {
    "text": "A text.",
    "text_pair": "Its partner.",
    "question": "Who wrote the notes?",
    "context": "The notes were written by Ada in 1843.",
}
# What a row needs, where it is not just a text.
_INPUTS = {
    "question_answering": ("question", "context"),
    "summarization": ("document",),
    "translation": ("source",),
}
_ANSWERS = {
    "ner": "It answers with the entities of each text: label, text, start and end in characters, and score.",
    "question_answering": "It answers with a stretch of the context (empty where it finds no answer), its place and score.",
    "summarization": "It answers with a summary.",
    "translation": "It answers with a translation.",
    "language_modelling": "It answers with the perplexity of each text and what goes into it: nll, tokens and bytes.",
}
# Longer texts than max_length are cut by the other tasks.
_WINDOWS = ("ner", "question_answering", "language_modelling")
_PIPELINES = ("text-classification", "token-classification", "fill-mask", "text-generation")
# What transformers 5 took away, so that nobody looks for it.
_NO_PIPELINE = ("question-answering", "summarization", "translation")


@dataclass(frozen=True)
class Usage:
    """Examples for the card; what does not apply is None."""

    # a row with several columns, else None: then one text is enough
    row: dict[str, str] | None
    columns: list[str]
    answer: str | None
    limit: str | None
    pipeline: str | None
    no_pipeline: bool

    @property
    def python(self) -> str:
        """The argument of the loaded model in Python."""
        return '["A text.", "Another text."]' if self.row is None else f"[{_literal(self.row)}]"


def usage(run: RunFiles, pipeline_tag: str, max_length: int | None, *, model: str, needs_peft: bool) -> Usage:
    """Return the examples for a run's model, which readers find as `model`."""
    task = run.results["task"]
    columns = list(_INPUTS.get(task, ()))
    if not columns:
        columns = ["text", "text_pair"] if any("text_pair" in row for row in run.predictions[:1]) else ["text"]
    row = {name: _PLACEHOLDERS[name] for name in columns} if len(columns) > 1 else None
    return Usage(
        row=row,
        columns=columns,
        answer=_ANSWERS.get(task),
        limit=_limit(task, max_length),
        pipeline=None if needs_peft else _pipeline(run, pipeline_tag, row, max_length, model),
        no_pipeline=pipeline_tag in _NO_PIPELINE,
    )


def _limit(task: str, max_length: int | None) -> str | None:
    if not max_length:
        return None
    if task in _WINDOWS:
        return f"It sees at most {max_length:,} tokens at a time; longer texts are read in windows of that size."
    return f"It reads at most {max_length:,} tokens of a text; the rest is cut off."


def _pipeline(run: RunFiles, tag: str, row: dict[str, Any] | None, max_length: int | None, model: str) -> str | None:
    """Return Python code that uses plain transformers, where it has a pipeline for the task."""
    if tag not in _PIPELINES:
        return None
    problem = run.task_schema.get("problem_type")
    load = f'from transformers import pipeline\n\n{{}} = pipeline("{tag}", model="{model}"{{}})\n'
    if tag == "token-classification":
        return load.format("find", ', aggregation_strategy="simple"') + 'find("A text.")'
    if tag == "fill-mask":
        return load.format("fill", "") + 'fill(f"A text with a {fill.tokenizer.mask_token}.")'
    if tag == "text-generation":
        return load.format("write", "") + 'write("A text that begins", max_new_tokens=40)'
    arguments = [_literal(row) if row else '"A text."']
    if max_length:
        arguments.append(f"truncation=True, max_length={max_length}")
    if problem == "multi_label_classification":
        arguments.append("top_k=None")
    elif problem == "regression":
        arguments.append('function_to_apply="none"')
    return load.format("classify", "") + f"classify({', '.join(arguments)})"


def _literal(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False)
