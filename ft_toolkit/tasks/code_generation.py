"""Code generation: a decoder writes the body of a Python function from its signature and docstring.

    [start] PROMPT BODY [end]      PROMPT: signature and docstring, with a line break at its end; the loss covers body and end

The body ends at the end token, or before the first line that begins at the left margin (generation stops there), or that is
indented less than the first line of the body (the rest is cut off).

Rows may have tests: a program that fails if the function is wrong. Tests run generated code, so they need two consents:
`task.run_tests` in the recipe, and the environment variable FT_TOOLKIT_RUN_GENERATED_CODE on the machine. The limits and
their gaps: `core/limited_program.py`.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ft_toolkit.core import limited_program
from ft_toolkit.core.counted_notes import CountedNote, shown
from ft_toolkit.core.errors import DataError, UsageError
from ft_toolkit.metrics import code
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks import text_generation
from ft_toolkit.tasks.base import (
    Baseline,
    CheckpointBaseline,
    Column,
    DefinedLabels,
    Features,
    Pretrained,
    Row,
    Rows,
    Task,
    row_name,
)
from ft_toolkit.tasks.display.prediction_form import FunctionBody, PredictionForm
from ft_toolkit.tasks.display.texts import random_texts
from ft_toolkit.tasks.display.wrong_examples import WrongExamples
from ft_toolkit.tasks.guessing.code import guess_functions
from ft_toolkit.tasks.text import sample_scores, token_scores
from ft_toolkit.tasks.text.decoding import DecodingSettings, find_decoding, load_decoding
from ft_toolkit.tasks.text.missing_labels import drop_partial
from ft_toolkit.tasks.text.nearest import nearest_rows
from ft_toolkit.tasks.text.positions import input_positions
from ft_toolkit.tasks.text.start_token import find_start_token
from ft_toolkit.tasks.text.token_targets import count_targets, pad_targets

# The environment variable with the consent to run generated code on this machine, with the value 1.
RUN_GENERATED_CODE = "FT_TOOLKIT_RUN_GENERATED_CODE"
# The definition or a call of HumanEval's function `check`.
_CHECK = re.compile(r"\bcheck\(")
# The stop strings: a line that begins at the left margin is not part of the body.
_LINE_STARTS = tuple(f"\n{chr(number)}" for number in range(33, 127))
# Programs that run at the same time.
_PROCESSES = 4
# The columns of the arrays after the four of `token_scores`: scores of the first sample, then the numbers of samples that were
# tested, that passed, and that took too long. NaN for a row without a sample, or without a test that ran.
_EXACT, _SIMILARITY, _PARSES, _TESTED, _PASSED, _TIMED_OUT = range(4, 10)


class Settings(DecodingSettings):
    """The `task:` section of a recipe."""

    name: Literal["code_generation"] = "code_generation"
    # Maximum number of generated tokens, including the end token.
    max_new_tokens: Annotated[int, Field(ge=1, le=100_000)] = 192
    # CAUTION: RUNS CODE THAT THE MODEL WROTE, in processes with limits, to test it with the column `tests` (pass@k). It also
    # needs the environment variable FT_TOOLKIT_RUN_GENERATED_CODE=1. The limits do not stop an attack; see the guide.
    run_tests: bool = False


@dataclass(frozen=True)
class Schema(text_generation.Schema):
    """The schema of text generation, and whether generated code is tested where the environment allows it."""

    run_tests: bool = False


def load_schema(values: Mapping[str, Any]) -> Schema:
    """Rebuild a schema from its JSON form."""
    return Schema(**{**values, "decoding": load_decoding(values["decoding"])})


def read_rows(rows: Rows, settings: Settings | None, where: str) -> tuple[Rows, list[str]]:
    """Check texts; line ends become line feeds, and blank lines around a body are removed. Raises DataError.

    A body must be indented, because its indentation tells where it ends. When predicting, a prompt is enough; bodies are used
    if all rows have one.
    """
    read = [_read_row(row, f"{where}: {row_name(row, number)}") for number, row in enumerate(rows, 1)]
    if settings is None:
        return drop_partial(read, "body")
    for number, row in enumerate(read, 1):
        if "body" not in row:
            raise DataError(f"{where}: {row_name(row, number)}: column 'body' is missing")
    # 0.2 ms per function of 700 characters
    n_wrong = sum(not code.parses(_program(row, row["body"])) for row in read)
    notes = [
        _row_note(
            sum(_body_of(row["body"]) != row["body"] for row in read),
            len(read),
            "bodies have a line that is indented less than their first line; a generated body ends there, so the model cannot "
            "write them",
        ),
        _row_note(n_wrong, len(read), "prompts with their bodies are not valid Python"),
        _row_note(
            sum(len(_CHECK.findall(row.get("tests", ""))) == 1 for row in read),
            len(read),
            "tests define a function check and do not call it, so every body passes them; add check(NAME) to them",
        ),
    ]
    return read, shown(notes)


def _row_note(n: int, n_rows: int, problem: str) -> CountedNote:
    """Return the note that `n` rows have a problem; an empty note for none."""

    def write(counts: Mapping[str, int], n_rows: int) -> str:
        return f"{counts['rows']} of {n_rows} {problem}" if counts["rows"] else ""

    return CountedNote(problem, {"rows": n}, write, n_rows)


def _read_row(row: Row, where: str) -> Row:
    """Return a row without missing columns. Raises DataError."""
    texts: dict[str, str] = {}
    for column in ("prompt", "body", "tests"):
        value = row.get(column)
        if value is None and column != "prompt":
            continue
        if not isinstance(value, str) or (column != "tests" and not value.strip()):
            raise DataError(f"{where}: column '{column}' must be text; found {value!r}")
        texts[column] = value.replace("\r\n", "\n")
    if "body" in texts:
        texts["body"] = _stripped(texts["body"])
        if not texts["body"][:1].isspace():
            raise DataError(
                f"{where}: column 'body' must be indented as in the file, below its signature; its first line is "
                f"{texts['body'].splitlines()[0][:60]!r}"
            )
    if "tests" in row:
        texts.setdefault("tests", "")
    return {**{name: value for name, value in row.items() if name not in ("prompt", "body", "tests")}, **texts}


def _stripped(body: str) -> str:
    """Return a body without blank lines around it and without white space at its end."""
    lines = body.rstrip().split("\n")
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    return "\n".join(lines[first:])


def _body_of(text: str) -> str:
    """Return the body at the beginning of a generated text."""
    return _stripped(code.before_dedent(text))


def find_schema(settings: Settings, rows: Rows, defined: DefinedLabels | None, pretrained: Pretrained) -> Schema:
    """Find the tokens and limits of the checkpoint. Raises UsageError if tests cannot run here, ModelError."""
    if settings.run_tests:
        _check_consent()
    tokenizer, config = pretrained.tokenizer, pretrained.config
    decoding = find_decoding(settings, tokenizer)
    if decoding.num_beams == 1:  # beam search knows no stop strings
        decoding = replace(decoding, stop_strings=(*decoding.stop_strings, *_LINE_STARTS))
    return Schema(
        find_start_token(tokenizer),
        tokenizer.eos_token_id,
        config.model_type in token_scores.PACKS,
        input_positions(config),
        prompt_words=0,
        continued_share=1.0,
        decoding=decoding,
        run_tests=settings.run_tests,
    )


def _check_consent() -> None:
    if os.environ.get(RUN_GENERATED_CODE) != "1":
        raise UsageError(
            "task.run_tests=true runs, on this machine, code that the model wrote. If you accept that, set "
            f"{RUN_GENERATED_CODE}=1; docs/guides/code_generation.md says what the limits do not prevent"
        )
    if (reason := limited_program.refusal()) is not None:
        raise UsageError(f"task.run_tests cannot be used here: {reason}")


def _completions(rows: Rows) -> list[dict[str, Any]]:
    """Return the rows in the form of text generation: a prompt that ends with a line break, and the body as its completion."""
    return [{"prompt": _opened(row), **({"completion": row["body"]} if "body" in row else {})} for row in rows]


def _opened(row: Row) -> str:
    return str(row["prompt"]).rstrip() + "\n"


def _program(row: Row, body: str) -> str:
    return f"{_opened(row)}{body}\n"


def encode(rows: Rows, tokenizer: Any, schema: Schema, max_length: int) -> Features:
    """Return blocks of prompts and bodies with targets, or only prompts; see `text_generation.encode`."""
    return text_generation.encode(_completions(rows), tokenizer, schema, max_length)


def decode(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> list[dict[str, Any]]:
    """Return per row the body, all samples if there are several, and the scores of the true body if there is one."""
    decoded = []
    for prediction in text_generation.decode(values, features, _completions(rows), schema):
        written = prediction.pop("continuation")
        samples = prediction.pop("samples", None)
        bodies: dict[str, Any] = {"code": None if written is None else _body_of(written)}
        if schema.decoding.num_return_sequences > 1:
            bodies["samples"] = None if samples is None else [_body_of(text) for text in samples]
        decoded.append({**bodies, **prediction})
    return decoded


def reference_answer(row: Row, schema: Schema) -> str:
    """Return the true body."""
    return str(row["body"])


def to_arrays(decoded: Sequence[Mapping[str, Any]], rows: Rows, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Return two arrays (n, 10): of the predictions, and of perfect ones. The columns are those above.

    Runs the tests of the rows on the samples if the schema and the environment allow it.
    """
    scores, best_scores = token_scores.to_arrays(decoded)
    samples = [sample_scores.samples_of(prediction, "code") for prediction in decoded]
    body_scores = np.full((len(rows), 6), np.nan)
    for row, texts, values in zip(rows, samples, body_scores, strict=True):
        if texts:
            written, true = code.plain_lines(texts[0]), code.plain_lines(row["body"])
            parses = bool(written.strip()) and code.parses(_program(row, texts[0]))
            values[:3] = written == true, code.edit_similarity(written, true), parses
    if schema.run_tests and os.environ.get(RUN_GENERATED_CODE) == "1":
        body_scores[:, 3:] = _test_counts(samples, rows)
    best_body_scores = body_scores.copy()
    best_body_scores[:, :3] = np.where(np.isnan(body_scores[:, :3]), np.nan, 1)
    best_body_scores[:, 4], best_body_scores[:, 5] = body_scores[:, 3], np.where(np.isnan(body_scores[:, 3]), np.nan, 0)
    return np.hstack([scores, body_scores]), np.hstack([best_scores, best_body_scores])


def _test_counts(samples: Sequence[Sequence[str]], rows: Rows) -> np.ndarray:
    """Return the numbers of samples that were tested, that passed and that took too long, shape (n, 3); NaN without tests."""
    counts = np.full((len(rows), 3), np.nan)
    programs = [
        (i, f"{_program(rows[i], text)}\n{rows[i]['tests']}\n")
        for i, texts in enumerate(samples)
        for text in texts
        if str(rows[i].get("tests", "")).strip()
    ]
    counts[sorted({i for i, _ in programs})] = 0
    n_threads = min(_PROCESSES, os.cpu_count() or 1)
    with ThreadPoolExecutor(n_threads) as pool:
        outcomes = pool.map(limited_program.run_limited, [program for _, program in programs])
        for (i, _), outcome in zip(programs, outcomes, strict=True):
            counts[i] += (1, outcome == "passed", outcome == "timed out")
    return counts


def _pass_at(k: int) -> Any:
    def passes(predictions: np.ndarray, references: np.ndarray) -> float:
        tested = predictions[~np.isnan(predictions[:, _TESTED])]
        return code.pass_at_k(tested[:, _TESTED], tested[:, _PASSED], k)

    return passes


def metrics(settings: Settings) -> dict[str, Metric]:
    """Return the scores of the true bodies' tokens, then those of the first sample, then pass@k if tests run."""
    tokens = {name: sample_scores.METRICS[name] for name in token_scores.METRICS}
    bodies = {
        "exact_match": Metric(sample_scores.mean_of(_EXACT), is_share=True, short_names=("em",)),
        "edit_similarity": Metric(sample_scores.mean_of(_SIMILARITY), is_share=True),
        "parses": Metric(sample_scores.mean_of(_PARSES), is_share=True),
    }
    if settings.run_tests:
        bodies |= {
            f"pass_at_{k}": Metric(_pass_at(k), is_share=True)
            for k in code.sample_counts(settings.num_return_sequences)
        }
    return {**tokens, **bodies}


def details(predictions: np.ndarray, references: np.ndarray, schema: Schema) -> dict[str, Any]:
    """Return the number of generated bodies, and the outcomes of their tests."""
    written = int((~np.isnan(predictions[:, _EXACT])).sum())
    tables: dict[str, Any] = {
        "code": {"bodies": written, "not valid Python": written - int(np.nansum(predictions[:, _PARSES]))}
    }
    tested = predictions[~np.isnan(predictions[:, _TESTED])]
    if len(tested):
        n, passed, late = (int(tested[:, column].sum()) for column in (_TESTED, _PASSED, _TIMED_OUT))
        counts = {"rows with tests": len(tested), "programs": n, "passed": passed, "timed out": late}
        tables["tests"] = {**counts, "failed": n - passed - late}
    elif schema.run_tests:
        tables["tests"] = f"not run: {RUN_GENERATED_CODE} is not 1, or no row has tests"
    return tables


def nearest_baseline(train: Rows, rows: Rows, schema: Schema, seed: int) -> list[dict[str, Any]]:
    """Return the body of the training row with the most similar prompt (TF-IDF of words and parts of names)."""
    nearest = nearest_rows([row["prompt"] for row in train], [row["prompt"] for row in rows], pattern=r"[A-Za-z]+|\d+")
    return [{"code": train[i]["body"], **token_scores.NOT_SCORED} for i in nearest]


def frequent_baseline(train: Rows, rows: Rows, schema: Schema, seed: int) -> list[dict[str, Any]]:
    """Return the most frequent body of the training rows; of equal ones, the shortest, then the first."""
    counts = Counter(str(row["body"]) for row in train)
    body = min(counts, key=lambda text: (-counts[text], len(text)))
    return [{"code": body, **token_scores.NOT_SCORED} for _ in rows]


def samples_beside_truth(records: Sequence[Mapping[str, Any]], schema: Schema) -> WrongExamples:
    """Return random bodies beside the true ones."""
    return random_texts(records, "code", lambda record: str(record["prompt"]), schema.decoding.sampling_seed)


_SAMPLES = (
    ("def double(x):\n    \"\"\"Return 2 x.\"\"\"", "    return 2 * x", "assert double(3) == 6"),
    ("def first(items):\n    \"\"\"Return the first.\"\"\"", "    return items[0]", "assert first([4, 5]) == 4"),
    ("def last(items):\n    \"\"\"Return the last.\"\"\"", "    return items[-1]", "assert last([4, 5]) == 5"),
    ("def is_even(n):\n    \"\"\"Is n even?\"\"\"", "    return n % 2 == 0", "assert is_even(4) and not is_even(3)"),
    ("def negate(x):\n    \"\"\"Return -x.\"\"\"", "    return -x", "assert negate(2) == -2"),
    ("def size(text):\n    \"\"\"Count letters.\"\"\"", "    return len(text)", "assert size('abc') == 3"),
    ("def upper(text):\n    \"\"\"In capitals.\"\"\"", "    return text.upper()", "assert upper('a') == 'A'"),
    ("def add(a, b):\n    \"\"\"Return a + b.\"\"\"", "    return a + b", "assert add(1, 2) == 3"),
    ("def larger(a, b):\n    \"\"\"Larger.\"\"\"", "    if a > b:\n        return a\n    return b", "assert larger(1, 2) == 2"),
    ("def count(items):\n    \"\"\"Count items.\"\"\"", "    n = 0\n    for _ in items:\n        n += 1\n    return n", ""),
    ("def nothing():\n    \"\"\"Do nothing.\"\"\"", "    pass", "assert nothing() is None"),
    ("def square(x):\n    \"\"\"Return x x.\"\"\"", "    return x * x", "assert square(3) == 9"),
)  # fmt: skip


def sample_rows(settings: Settings) -> list[dict[str, Any]]:
    """Return twelve small functions; all but one have tests."""
    return [
        {"id": str(number), "prompt": prompt, "body": body, "tests": tests}
        for number, (prompt, body, tests) in enumerate(_SAMPLES, 1)
    ]


TASK = Task(
    name="code_generation",
    settings=Settings,
    columns={
        "prompt": Column(
            "the signature and the docstring of a function", example='def double(x):\n    """Return 2 x."""'
        ),
        "body": Column(
            "the body of the function, indented as in a file", required=False, may_be_empty=True, only_scores=True
        ),
        "tests": Column(
            "Python code that fails if the function is wrong", required=False, may_be_empty=True, only_scores=True
        ),
    },
    read_rows=read_rows,
    answer_form=lambda row, settings: None,
    guess=guess_functions,
    find_schema=find_schema,
    load_schema=load_schema,
    encode=encode,
    joins_rows=lambda schema: True,
    auto_class={"decoder": "AutoModelForCausalLM"},
    model_kwargs=text_generation.model_kwargs,
    configure=text_generation.configure,
    pad_targets=pad_targets,
    loss_sum=token_scores.next_token_loss_sum,
    logit_positions=token_scores.next_token_positions,
    count_targets=count_targets,
    predict=token_scores.next_token_scores,
    generate=text_generation.generate,
    stream=text_generation.stream,
    exported_texts=text_generation.TASK.exported_texts,
    scored_tokens=text_generation.TASK.scored_tokens,
    decode=decode,
    reference_answer=reference_answer,
    answer=lambda prediction, schema: prediction["code"],
    prediction_form=lambda schema: PredictionForm(FunctionBody, text="code"),
    to_arrays=to_arrays,
    metrics=metrics,
    details=details,
    comparability=token_scores.comparability,
    baselines={
        "nearest": Baseline(
            nearest_baseline, "the body of the training function with the most similar signature and docstring"
        ),
        "frequent_body": Baseline(frequent_baseline, "the most frequent body"),
        "untuned": CheckpointBaseline("the checkpoint before training"),
    },
    wrong_examples=samples_beside_truth,
    effect_of_cut_answers="the model does not learn from them",
    pipeline_tag="text-generation",
    prediction_text=lambda schema: (
        "A prediction has the body of the function; with the true body also its perplexity, nll, tokens and bytes."
    ),
    sample_rows=sample_rows,
    text_column="prompt",
)
