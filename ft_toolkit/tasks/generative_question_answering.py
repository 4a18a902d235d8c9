"""Generative question answering: write the answer to a question, with or without a context, or abstain.

    encoder-decoder    question: QUESTION context: CONTEXT           -> ANSWER <end>     (the format of T5)
    decoder            CONTEXT, "Question: QUESTION", "Answer:"      -> ANSWER <end>     (one line each)
    no answer          the same                                      -> <end>

The loss covers the answer and its end token. The model abstains by writing the end token first: the answer is an empty text. A
context that is too long loses its end; a question is never cut. Without contexts in the training rows, the format has none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ft_toolkit.core.counted_notes import CountedNote
from ft_toolkit.core.errors import DataError, UsageError
from ft_toolkit.metrics import rouge, squad
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.base import (
    Augmentation,
    Baseline,
    CheckpointBaseline,
    Column,
    Comparability,
    DefinedLabels,
    Features,
    Pretrained,
    Row,
    Rows,
    ScoredRun,
    Task,
    row_name,
)
from ft_toolkit.tasks.display.answers import random_answers
from ft_toolkit.tasks.display.prediction_form import PredictionForm, WrittenAnswer
from ft_toolkit.tasks.guessing.answers import guess_written_answers
from ft_toolkit.tasks.text import answer_scores, generation, source_target
from ft_toolkit.tasks.text.answers import check_is_impossible, read_texts
from ft_toolkit.tasks.text.cells import Printed, form_notes
from ft_toolkit.tasks.text.language_tokens import has_language_tokens
from ft_toolkit.tasks.text.overlap import overlapping_sentence
from ft_toolkit.tasks.text.text_notes import target_notes
from ft_toolkit.tasks.text.token_targets import count_targets, pad_targets

_QUESTION, _CONTEXT = "{question}", "{context}"
# The format of T5 for SQuAD (Raffel et al. 2020, arXiv:1910.10683, appendix D.15), for everything but decoders.
_BEFORE = {True: f"question: {_QUESTION} context: ", False: f"question: {_QUESTION}"}
PROMPT = f"{_CONTEXT}\nQuestion: {_QUESTION}\nAnswer:\n"
PROMPT_WITHOUT_CONTEXT = f"Question: {_QUESTION}\nAnswer:\n"
# The columns of the arrays after the columns of `answer_scores`: whether the model rightly abstained or answered, and ROUGE.
_ABSTENTION = answer_scores.N_COLUMNS
_ROUGE = slice(_ABSTENTION + 1, None)
# The seed of the examples on the report page.
_SEED = 13


class Settings(generation.GenerationSettings):
    """The `task:` section of a recipe. {question} and {context} in the prompt are replaced by the texts of the row."""

    name: Literal["generative_question_answering"] = "generative_question_answering"
    # Maximum number of tokens of an answer, including the end token. Longer answers are cut (without end token).
    max_target_length: Annotated[int, Field(ge=2, le=100_000)] = 32


@dataclass(frozen=True)
class Schema(generation.Schema):
    """The schema of generated texts, whose `before` and `after` contain {question}.

    With `reads_context`, the training rows have contexts. With `has_no_answer`, some of their questions have no answer.
    """

    reads_context: bool = True
    has_no_answer: bool = False


def load_schema(values: Mapping[str, Any]) -> Schema:
    """Rebuild a schema from its JSON form."""
    return Schema(**values)


def read_rows(rows: Rows, settings: Settings | None, where: str) -> tuple[Rows, list[str]]:
    """Check texts, and convert answers to a list of texts, which is empty for a question without an answer.

    A missing context becomes an empty text. Raises DataError.
    """
    read: list[Row] = []
    printed: list[Printed] = []
    for number, row in enumerate(rows, 1):
        name = f"{where}: {row_name(row, number)}"
        if not isinstance(row["question"], str) or not row["question"].strip():
            raise DataError(f"{name}: column 'question' must be text; found {row['question']!r}")
        changed: dict[str, Any] = {}
        if "context" in row:
            context = row["context"]
            changed["context"] = "" if context is None or context != context else context
            if not isinstance(changed["context"], str):
                raise DataError(f"{name}: column 'context' must be text, or empty; found {context!r}")
        if "answers" in row:
            changed["answers"] = read_texts(row["answers"], name, printed)
            check_is_impossible(row.get("is_impossible"), len(changed["answers"]), name)
        read.append({**{key: value for key, value in row.items() if key != "is_impossible"}, **changed})
    notes = form_notes("answers", printed)
    if n_without := sum("answers" in row and not row["answers"] for row in read):
        notes.append(CountedNote("no answer", {"without": n_without}, _unanswered_text, len(read)))
    return read, notes


def _unanswered_text(counts: Mapping[str, int], n_rows: int) -> str:
    return f"{counts['without']} of {n_rows} questions have no answer; the right answer to them is an empty text"


def find_schema(settings: Settings, rows: Rows, defined: DefinedLabels | None, pretrained: Pretrained) -> Schema:
    """Find the special tokens, the format, and whether there are contexts and questions without an answer.

    Raises UsageError for a checkpoint with language tokens, for a prompt without {question}, and for a prompt whose {context}
    does not fit the rows.
    """
    if has_language_tokens(pretrained.tokenizer):
        raise UsageError(
            "generative_question_answering cannot use a checkpoint with language tokens (mBART, NLLB, M2M-100); use T5, BART "
            "or a decoder"
        )
    reads_context = any(row.get("context", "").strip() for row in rows)
    has_no_answer = any(not row["answers"] for row in rows)
    if has_no_answer and settings.min_new_tokens:
        raise UsageError(
            "task.min_new_tokens excludes the empty answer, but some training questions have no answer; remove it"
        )
    default_prompt = PROMPT if reads_context else PROMPT_WITHOUT_CONTEXT
    prompt = settings.prompt
    if prompt is not None and prompt.count(_CONTEXT) != int(reads_context):
        rule = (
            "contain {context} once"
            if reads_context
            else "not contain {context}, because no training row has a context"
        )
        raise UsageError(f"task.prompt must {rule}; found {prompt!r}")
    if prompt is not None and _QUESTION not in prompt:
        raise UsageError(f"task.prompt must contain {{question}}; found {prompt!r}")
    placeholder = _CONTEXT if reads_context else _QUESTION
    base = generation.find_schema(settings, pretrained, prefix="", prompt=default_prompt, placeholder=placeholder)
    before, after = base.before, base.after
    if pretrained.kind != "decoder":
        before += _BEFORE[reads_context]
    elif not reads_context:
        before, after = before + _QUESTION + after, ""
    values = {**asdict(base), "before": before, "after": after}
    return Schema(**values, reads_context=reads_context, has_no_answer=has_no_answer)


def _source(row: Row, schema: Schema) -> source_target.Source:
    """Return the context, which can be cut, with the question and the format around it."""
    question, context = str(row["question"]).strip(), str(row.get("context", "")).strip()
    before, after = (text.replace(_QUESTION, question) for text in (schema.before, schema.after))
    return source_target.Source(context if schema.reads_context else "", before, after)


def _learned(row: Row) -> str:
    """Return the answer that the model learns: the first reference; empty for no answer."""
    return next(iter(row["answers"]), "")


def encode(rows: Rows, tokenizer: Any, schema: Schema, max_length: int) -> Features:
    """Tokenize each row into one feature of at most max_length tokens before the answer; only the context is cut."""
    answers = [_learned(row) for row in rows] if rows and "answers" in rows[0] else None
    sources = [_source(row, schema) for row in rows]
    return source_target.encode(sources, answers, tokenizer, schema, max_length, "answer tokens")


def notes(rows: Rows, features: Features | None, tokenizer: Any, schema: Schema) -> list[str]:
    """Return notes on contexts that the model does not read, and on answers that the tokenizer changes."""
    texts = []
    n_contexts = sum(bool(str(row.get("context", "")).strip()) for row in rows)
    if n_contexts and not schema.reads_context:
        texts.append(
            f"{n_contexts} of {len(rows)} rows have a context, which this model does not read: its training rows had none"
        )
    if features is not None:
        texts += target_notes([_learned(row) for row in rows], tokenizer, schema)
    return texts


def decode(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> list[dict[str, Any]]:
    """Return {"answer"} per row; an empty text if the model abstains."""
    return [{"answer": text} for text in values]


def reference_answer(row: Row, schema: Schema) -> list[str]:
    """Return the reference answers, an empty list for no answer."""
    return list(row["answers"])


def to_arrays(decoded: Sequence[Mapping[str, Any]], rows: Rows, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Return two arrays (n, 11): the columns of `answer_scores`, whether it was right to abstain or answer, and the columns of
    `rouge`.

    Questions without an answer have a ROUGE of 100 for an abstention, else 0.
    """
    answers = [str(prediction["answer"]) for prediction in decoded]
    references = [row["answers"] for row in rows]
    scored, best = answer_scores.to_arrays(answers, references, rows)
    overlap, best_overlap = rouge.statistics(answers, [texts or [""] for texts in references])
    by_character = answer_scores.compares_characters(scored).tolist()
    abstained = np.array(list(map(_has_no_words, answers, by_character)), bool)
    should_abstain = np.array(
        [
            all(_has_no_words(text, each) for text in texts)
            for texts, each in zip(references, by_character, strict=True)
        ],
        bool,
    )
    n_scores = len(rouge.NAMES)
    overlap[should_abstain, :n_scores] = 100.0 * abstained[should_abstain, None]
    best_overlap[should_abstain, :n_scores] = 100.0
    right = (abstained == should_abstain).astype(float)
    return (
        np.column_stack([scored, right, overlap]),
        np.column_stack([best, np.ones(len(best)), best_overlap]),
    )


def _has_no_words(text: str, by_character: bool) -> bool:
    return not squad.words(text, by_character=by_character)


def _mean_rouge(predictions: np.ndarray, references: np.ndarray) -> float:
    return rouge.mean_of("rougeL")(predictions[:, _ROUGE], references[:, _ROUGE])


def _mean_abstention(predictions: np.ndarray, references: np.ndarray) -> float:
    return float(predictions[:, _ABSTENTION].mean())


_METRICS: Mapping[str, Metric] = {
    **answer_scores.METRICS,
    "rougeL": Metric(_mean_rouge, best=100.0, is_mean=True, hub_name="rouge", short_names=("rouge",)),
    "abstention": Metric(_mean_abstention, is_mean=True),
}


def metrics(settings: Settings) -> dict[str, Metric]:
    """Return SQuAD's two metrics, ROUGE-L, and `abstention`.

    `abstention` is the share of questions that get an answer (any answer) if they have one, and none if they have none.
    """
    return dict(_METRICS)


def details(predictions: np.ndarray, references: np.ndarray, schema: Schema) -> dict[str, Any]:
    """Return how answers are compared, their mean lengths, and the scores of questions with and without an answer."""
    tables: dict[str, Any] = {
        "scoring": answer_scores.scoring(predictions),
        "signatures": {"rouge": rouge.signature(predictions[:, _ROUGE])},
        "mean_words": {
            "predicted": rouge.mean_words(predictions[:, _ROUGE]),
            "reference": rouge.mean_words(references[:, _ROUGE]),
        },
    }
    if schema.has_no_answer or not answer_scores.has_answer(references).all():
        tables["by_answer"] = answer_scores.by_answer(predictions, references, _METRICS)
    return tables


def comparability(first: ScoredRun, other: ScoredRun) -> Comparability:
    """Leave out ROUGE if it has different definitions in two runs."""
    signatures = [rouge.signature(run.predictions[:, _ROUGE]) for run in (first, other)]
    if signatures[0] == signatures[1]:
        return Comparability()
    return Comparability(None, ("rougeL",), f"The runs differ in the words of ROUGE ({'; '.join(signatures)}).")


def overlap_baseline(train: Rows, rows: Rows, schema: Schema, seed: int) -> list[dict[str, Any]]:
    """Answer with the sentence of the context that shares the most words with the question, as question_answering does."""
    answers = []
    for row in rows:
        context = str(row.get("context", ""))
        span = overlapping_sentence(row["question"], context, allow_none=schema.has_no_answer)
        answers.append({"answer": "" if span is None else context[span[0] : span[1]]})
    return answers


def frequent_baseline(train: Rows, rows: Rows, schema: Schema, seed: int) -> list[dict[str, Any]]:
    """Answer every question with the most frequent answer of the training rows; of equal ones, the first."""
    counts = Counter(_learned(row) for row in train if row["answers"])
    answer = max(counts, key=lambda text: counts[text], default="")
    return [{"answer": answer} for _ in rows]


def no_answer_baseline(train: Rows, rows: Rows, schema: Schema, seed: int) -> list[dict[str, Any]]:
    """Answer no question."""
    return [{"answer": ""} for _ in rows]


_NOTE = "Ada feeds the cat. The cat is called Pixel."
_SHOP = "The shop on Mill Street opens at nine."
_SAMPLES: tuple[tuple[str, str, list[str]], ...] = (
    (_NOTE, "Who feeds it?", ["Ada"]),
    (_NOTE, "Its name?", ["Pixel", "The cat is called Pixel."]),
    (_NOTE, "How old is it?", []),
    (_NOTE, "Which animal?", ["a cat", "cat"]),
    (_SHOP, "When?", ["at nine", "nine o'clock"]),
    (_SHOP, "Which street?", ["Mill Street"]),
    (_SHOP, "Who owns it?", []),
    (_SHOP, "What opens?", ["the shop"]),
    ("Soak the beans.", "Soak what?", ["the beans", "beans"]),
    ("Soak the beans.", "How long?", []),
    ("The lamp is red.", "Which colour?", ["red"]),
    ("The lamp is red.", "What is red?", ["the lamp"]),
)


def sample_rows(settings: Settings) -> list[dict[str, Any]]:
    """Return twelve questions, three of them without an answer."""
    return [
        {"id": str(number), "question": question, "context": context, "answers": answers}
        for number, (context, question, answers) in enumerate(_SAMPLES, 1)
    ]


TASK = Task(
    name="generative_question_answering",
    settings=Settings,
    columns={
        "question": Column("the question", example="Who wrote the notes?"),
        "context": Column(
            "a text that helps to answer",
            required=False,
            may_be_empty=True,
            example="The notes were written by Ada in 1843.",
        ),
        "answers": Column(
            "the reference answer, or a list of them; an empty text or list means no answer", is_answer=True
        ),
        "is_impossible": Column("true for a question without an answer (SQuAD v2)", required=False, is_answer=True),
    },
    read_rows=read_rows,
    # the answer may copy words of the context, which therefore stays
    augmentation=lambda settings: Augmentation({"question": ("synonyms", "typos")}),
    answer_form=lambda row, settings: None,
    guess=guess_written_answers,
    group_columns=("title", "context"),
    find_schema=find_schema,
    load_schema=load_schema,
    encode=encode,
    notes=notes,
    auto_class=generation.AUTO_CLASS,
    model_kwargs=generation.model_kwargs,
    configure=generation.configure,
    pad_targets=pad_targets,
    loss_sum=generation.loss_sum,
    logit_positions=generation.logit_positions,
    count_targets=count_targets,
    generate=generation.generate,
    stream=generation.stream,
    exported_texts=generation.EXPORTED_TEXTS,
    decode=decode,
    reference_answer=reference_answer,
    answer=lambda prediction, schema: prediction["answer"],
    prediction_form=lambda schema: PredictionForm(WrittenAnswer, text="answer"),
    to_arrays=to_arrays,
    metrics=metrics,
    details=details,
    comparability=comparability,
    baselines={
        "overlap": Baseline(
            overlap_baseline,
            "the sentence of the context that shares the most words with the question",
            is_default=lambda schema: bool(schema.reads_context),
        ),
        "frequent_answer": Baseline(frequent_baseline, "the most frequent answer"),
        "no_answer": Baseline(
            no_answer_baseline, "no answer to any question", is_default=lambda schema: bool(schema.has_no_answer)
        ),
        "untuned": CheckpointBaseline("the checkpoint before training"),
    },
    robustness=lambda settings: answer_scores.ROBUSTNESS,
    wrong_examples=lambda records, schema: random_answers(records, _SEED),
    effect_of_cut_answers="the model does not learn from them",
    pipeline_tag="question-answering",
    prediction_text=lambda schema: "A prediction has a written answer, which is empty if the model abstains.",
    sample_rows=sample_rows,
    text_column="question",
)
