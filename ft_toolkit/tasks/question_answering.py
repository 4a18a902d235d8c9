"""Extractive question answering: the answer to a question is a passage of its context, or there is no answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ft_toolkit.core.counted_notes import CountedNote
from ft_toolkit.core.errors import DataError, ModelError, one_of
from ft_toolkit.core.words import find_words
from ft_toolkit.metrics import squad
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.base import (
    WORD_CHANGES,
    Augmentation,
    Averaging,
    Baseline,
    Batch,
    Column,
    DefinedLabels,
    Features,
    Graph,
    Member,
    Pretrained,
    Row,
    Rows,
    Task,
    TaskSettings,
)
from ft_toolkit.tasks.display.answers import wrong_answers
from ft_toolkit.tasks.display.prediction_form import AnswerSpans, PredictionForm, Spans
from ft_toolkit.tasks.guessing.answers import guess_answers
from ft_toolkit.tasks.text import answer_scores
from ft_toolkit.tasks.text.answer_windows import (
    Candidates,
    Window,
    WindowNote,
    answer_tokens,
    best_spans,
    build_inputs,
    find_frame,
    share_room,
)
from ft_toolkit.tasks.text.answers import FORMS, Repair, check_is_impossible, find_answers
from ft_toolkit.tasks.text.averaging import mean_of_windows
from ft_toolkit.tasks.text.cells import Printed, form_notes
from ft_toolkit.tasks.text.edits import EditsByColumn, Moves
from ft_toolkit.tasks.text.overlap import overlapping_sentence
from ft_toolkit.tasks.text.windows import windows
from ft_toolkit.tasks.text.words import spans_that_cut

if TYPE_CHECKING:
    import torch


class Settings(TaskSettings):
    """The `task:` section of a recipe. The training rows determine whether questions may have no answer."""

    name: Literal["question_answering"] = "question_answering"
    # Context tokens shared by two neighbouring windows, at most half a window.
    stride: Annotated[int, Field(ge=0)] = 128
    # Maximum length of an answer in tokens.
    max_answer_tokens: Annotated[int, Field(ge=1, le=100_000)] = 30
    # Number of answers in `n_best` of a prediction, best first.
    n_best: Annotated[int, Field(ge=1, le=1_000)] = 3


@dataclass(frozen=True)
class Schema:
    """Facts that the model needs.

    With `has_no_answer`, some training questions have no answer. The model then predicts "" when the score of no answer exceeds
    the score of the best span by more than `threshold`, which is chosen on the validation rows. With `causal`, tokens see only
    previous tokens, so the last token represents no answer.
    """

    stride: int
    max_answer_tokens: int
    n_best: int
    has_no_answer: bool
    threshold: float
    causal: bool


def load_schema(values: Mapping[str, Any]) -> Schema:
    """Rebuild a schema from its JSON form."""
    return Schema(**values)


def read_rows(rows: Rows, settings: Settings | None, where: str) -> tuple[Rows, list[str]]:
    """Check texts, and convert answers to {"text": [...], "answer_start": [...]}; empty lists mean no answer."""
    read: list[Row] = []
    repaired: list[Repair] = []
    cells: list[Printed] = []
    n_repaired = 0
    for number, row in enumerate(rows, 1):
        row_name = f"{where}: row {number}" + (
            f" (id {row['id']})" if str(row.get("id", number)) != str(number) else ""
        )
        for column in ("question", "context"):
            if not isinstance(row[column], str) or not row[column].strip():
                raise DataError(f"{row_name}: column '{column}' must be text; found {row[column]!r}")
        if "answers" not in row:
            read.append(row)
            continue
        located = find_answers(row["answers"], row["context"], row_name)
        check_is_impossible(row.get("is_impossible"), len(located.answers), row_name)
        n_repaired += bool(located.repaired)
        repaired += located.repaired
        cells += [] if located.cell is None else [located.cell]
        answers = {
            "text": [answer.text for answer in located.answers],
            "answer_start": [answer.start for answer in located.answers],
        }
        read.append({**{key: value for key, value in row.items() if key != "is_impossible"}, "answers": answers})
    notes = form_notes("answers", cells)
    if repaired:
        notes.append(_repair_note(n_repaired, repaired, len(read)))
    return read, notes


def _repair_note(n_repaired: int, repaired: Sequence[Repair], n_rows: int) -> CountedNote:
    def write(counts: Mapping[str, int], n_rows: int) -> str:
        causes = Counter({cause: n for cause, n in counts.items() if cause != "rows"})
        counted = one_of(f"{n} {cause}" for cause, n in causes.most_common())
        return (
            f"{counts['rows']} of {n_rows} rows had a wrong answer_start, which was corrected ({counted}); the first: "
            f"{repaired[0].text}"
        )

    causes = Counter(repair.cause for repair in repaired)
    return CountedNote("repaired answers", {"rows": n_repaired, **causes}, write, n_rows)


def find_schema(settings: Settings, rows: Rows, defined: DefinedLabels | None, pretrained: Pretrained | None) -> Schema:
    """Find whether some questions have no answer. Raises ModelError for a tokenizer without offsets."""
    if pretrained is not None and not getattr(pretrained.tokenizer, "is_fast", False):
        raise ModelError(
            f"question_answering requires a fast tokenizer, which gives the characters of each token; found "
            f"{type(pretrained.tokenizer).__name__}. Use a checkpoint with a tokenizer.json"
        )
    return Schema(
        settings.stride,
        settings.max_answer_tokens,
        settings.n_best,
        has_no_answer=any(not row["answers"]["text"] for row in rows),
        threshold=0.0,
        causal=pretrained is not None and pretrained.kind == "decoder",
    )


def encode(rows: Rows, tokenizer: Any, schema: Schema, max_length: int) -> Features:
    """Encode each question and context as windows of at most max_length tokens, one feature per window.

    A long question is cut to half of the available tokens; every token of the context is in some window. The target of a window
    is (first token, last token) of the first answer if the window contains all of it, otherwise the position of no answer.
    """
    frame = find_frame(tokenizer, causal=schema.causal)
    contexts, questions = (
        _tokenize([row["context"] for row in rows], tokenizer),
        _tokenize([row["question"] for row in rows], tokenizer),
    )
    inputs: dict[str, list[list[int]]] = {"input_ids": [], **({"token_type_ids": []} if frame.has_types else {})}
    targets: list[Any] = []
    example_ids: list[int] = []
    notes: list[WindowNote] = []
    n_cut: list[int] = []
    n_unseen: list[int] = []
    for number, row in enumerate(rows):
        (context, spans), (question, _) = contexts[row["context"]], questions[row["question"]]
        kept, room = share_room(len(question), frame, max_length)
        n_cut.append(len(question) - kept)
        answers = _answer_tokens(row, spans)
        is_seen = not answers
        for first, stop in windows(len(context), room, schema.stride):
            ids, types, start, null = build_inputs(frame, question[:kept], context[first:stop])
            window = Window(first, stop - first, start, null, spans[first:stop])
            inputs["input_ids"].append(ids)
            if frame.has_types:
                inputs["token_type_ids"].append(types)
            targets.append(window.position(answers[0] if answers else None) if "answers" in row else None)
            is_seen = is_seen or any(window.position(answer) != (null, null) for answer in answers)
            example_ids.append(number)
            notes.append(window.note())
        n_unseen.append(int(not is_seen))
    return Features(inputs, targets, example_ids, n_cut, {"answers": n_unseen}, notes)


def _tokenize(texts: Sequence[str], tokenizer: Any) -> dict[str, tuple[list[int], np.ndarray]]:
    """Return, for each different text, its token ids and the characters of each token, shape (tokens, 2)."""
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return {}
    encoded = tokenizer(
        distinct,
        add_special_tokens=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        return_offsets_mapping=True,
        verbose=False,
    )
    spans = [np.array(pairs, np.int32).reshape(-1, 2) for pairs in encoded["offset_mapping"]]
    return dict(zip(distinct, zip(encoded["input_ids"], spans, strict=True), strict=True))


def _answer_tokens(row: Row, spans: np.ndarray) -> list[tuple[int, int] | None]:
    """Return the first and last token of each answer of a row, None for an answer without tokens."""
    answers = row.get("answers", {"text": [], "answer_start": []})
    tokens = []
    for text, start in zip(answers["text"], answers["answer_start"], strict=True):
        start += len(text) - len(text.lstrip())
        tokens.append(answer_tokens(start, start + len(text.strip()), spans))
    return tokens


def model_kwargs(schema: Schema) -> dict[str, Any]:
    """Return two outputs per token, start and end, for the checkpoint's config."""
    return {"num_labels": 2}


def pad_targets(targets: Sequence[Any], width: int, schema: Schema) -> torch.Tensor:
    """Return the positions of the first and last token of the answer, shape (features, 2)."""
    import torch

    return torch.tensor(targets, dtype=torch.long)


def loss_sum(outputs: Any, batch: Batch, schema: Schema) -> torch.Tensor:
    """Return the sum of the cross entropies of start and end over all windows, in float32.

    The softmax is over all tokens of a window, including the question and special tokens as in BERT (Devlin et al. 2019), but
    without padding, so that the loss does not depend on the other features of the batch.
    """
    import torch
    from torch.nn import functional

    total = torch.zeros((), device=batch.targets.device)
    for logits, target in zip((outputs.start_logits, outputs.end_logits), batch.targets.unbind(1), strict=True):
        real = logits.float().masked_fill(batch.inputs["attention_mask"] == 0, -torch.inf)
        total = total + functional.cross_entropy(real, target, reduction="sum")
    return total


def count_targets(batch: Batch, schema: Schema) -> float:
    """Return two targets per window, start and end. Without padding, the mean loss equals the loss of transformers."""
    return float(batch.targets.numel())


def values(outputs: Mapping[str, np.ndarray], lengths: Sequence[int], schema: Schema) -> list[np.ndarray]:
    """Return the start and end logits of each window's real tokens, shape (2, tokens)."""
    both = np.stack([outputs["start_logits"], outputs["end_logits"]], axis=1)
    return [logits[:, :length].copy() for logits, length in zip(both, lengths, strict=True)]


GRAPH = Graph(("start_logits", "end_logits"), values, per_token=True)


def _candidates(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> Iterator[Candidates]:
    """Yield the best spans of each row over all its windows."""
    ids = np.array(features.example_ids)
    bounds = np.searchsorted(ids, np.arange(len(rows) + 1))
    for row, first, last in zip(rows, bounds[:-1], bounds[1:], strict=True):
        yield best_spans(
            values[first:last],
            [Window.from_note(note) for note in features.notes[first:last]],
            row["context"],
            longest=schema.max_answer_tokens,
            limit=schema.n_best,
            with_null=schema.has_no_answer,
        )


def decode(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> list[dict[str, Any]]:
    """Return per row: answer, start and end (characters; None without an answer), score, and n_best.

    The score is the probability of the answer among all possible answers.
    """
    decoded = []
    for row, candidates in zip(rows, _candidates(values, features, rows, schema), strict=True):
        n_best = [
            _answer(row["context"][span.start : span.end], span.start, span.end, span.probability)
            for span in candidates.spans
        ]
        no_answer = _answer("", None, None, candidates.null_probability)
        if schema.has_no_answer:
            best = no_answer if not n_best or candidates.null_margin > schema.threshold else n_best[0]
            n_best = sorted([*n_best, no_answer], key=lambda answer: -answer["score"])[: schema.n_best]
        else:
            best = n_best[0] if n_best else no_answer
        decoded.append({**best, "n_best": n_best})
    return decoded


def average(members: Sequence[Member], rows: Rows) -> tuple[list[np.ndarray], Features]:
    """Return the mean of the members' start and end logits per window, and the features of the first member.

    A softmax over spans follows, so the mean of logits is the geometric mean of probabilities. Raises ModelError if the
    windows differ.
    """
    features = members[0].features
    inputs = [member.features.inputs["input_ids"] for member in members]
    return mean_of_windows([member.values for member in members], inputs), features


def _answer(text: str, start: int | None, end: int | None, probability: float) -> dict[str, Any]:
    return {"answer": text, "start": start, "end": end, "score": round(probability, 6)}


def tune(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> Schema:
    """Choose the threshold of no answer with the highest F1 on the validation rows."""
    if not schema.has_no_answer:
        return schema
    candidates = list(_candidates(values, features, rows, schema))
    texts = [
        row["context"][each.spans[0].start : each.spans[0].end] if each.spans else ""
        for row, each in zip(rows, candidates, strict=True)
    ]
    f1_answer = np.array(
        [answer_scores.scores(text, row["answers"]["text"], row)[1] for text, row in zip(texts, rows, strict=True)]
    )
    f1_no_answer = np.array([answer_scores.scores("", row["answers"]["text"], row)[1] for row in rows])
    margins = np.array([each.null_margin for each in candidates])
    return replace(schema, threshold=squad.best_threshold(margins, f1_answer, f1_no_answer))


def reference_answer(row: Row, schema: Schema) -> list[str]:
    """Return the distinct reference answers, an empty list for no answer."""
    return list(dict.fromkeys(row["answers"]["text"]))


def to_arrays(decoded: Sequence[Mapping[str, Any]], rows: Rows, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Return two arrays (n, 4) with the columns of `answer_scores`."""
    answers = [prediction["answer"] for prediction in decoded]
    return answer_scores.to_arrays(answers, [row["answers"]["text"] for row in rows], rows)


def metrics(settings: Settings) -> dict[str, Metric]:
    """Return SQuAD's two metrics."""
    return dict(answer_scores.METRICS)


def details(predictions: np.ndarray, references: np.ndarray, schema: Schema) -> dict[str, Any]:
    """Return how answers are compared and, if some questions have no answer, the scores of both kinds of questions."""
    tables: dict[str, Any] = {"scoring": answer_scores.scoring(predictions)}
    if schema.has_no_answer or not answer_scores.has_answer(references).all():
        tables["by_answer"] = answer_scores.by_answer(predictions, references, answer_scores.METRICS)
        tables["no_answer_threshold"] = schema.threshold
    return tables


def overlap_baseline(train: Rows, rows: Rows, schema: Schema, seed: int) -> list[dict[str, Any]]:
    """Answer with the sentence that shares the most words with the question; see `overlapping_sentence`."""
    spans = [overlapping_sentence(row["question"], row["context"], allow_none=schema.has_no_answer) for row in rows]
    return [_baseline_prediction(row["context"], span) for row, span in zip(rows, spans, strict=True)]


def no_answer_baseline(train: Rows, rows: Rows, schema: Schema, seed: int) -> list[dict[str, Any]]:
    """Predict that no question has an answer."""
    return [_baseline_prediction(row["context"], None) for row in rows]


def _baseline_prediction(context: str, span: tuple[int, int] | None) -> dict[str, Any]:
    if span is None:
        return {"answer": "", "start": None, "end": None}
    return {"answer": context[span[0] : span[1]], "start": span[0], "end": span[1]}


_NOTICE = (
    "The library on Mill Street opens at nine. It closes at six, on Fridays at four. Membership is free for children."
)
_LETTER = (
    "Dear Nora, the piano arrived on Tuesday. Two keys stick and the stool is missing, but it sounds beautiful. Ivo"
)
_RECIPE = "Soak 200 grams of beans overnight. Boil them for an hour with a bay leaf, then add salt. Serves four."
_SAMPLES = [
    (_NOTICE, "When does the library open?", "at nine"),
    (_NOTICE, "Who pays nothing for membership?", "children"),
    (_NOTICE, "How many books does it have?", ""),
    (_NOTICE, "Where is the library?", "on Mill Street"),
    (_LETTER, "What was delivered?", "the piano"),
    (_LETTER, "Who wrote the letter?", "Ivo"),
    (_LETTER, "How much did the delivery cost?", ""),
    (_LETTER, "What is not there?", "the stool"),
    (_RECIPE, "How many beans are needed?", "200 grams"),
    (_RECIPE, "How long are the beans boiled?", "an hour"),
    (_RECIPE, "Which wine goes with it?", ""),
    (_RECIPE, "For how many people is it?", "four"),
]


def answer_spans(row: Row) -> list[tuple[int, int]]:
    """Return the positions of the answers in the context."""
    answers = row["answers"]
    return [(start, start + len(text)) for text, start in zip(answers["text"], answers["answer_start"], strict=True)]


def move_answers(row: Row, texts: Mapping[str, str], edits: EditsByColumn) -> dict[str, Any] | None:
    """Return the answers at their positions in the changed context; None when an edit changes the text of an answer."""
    moved = Moves(edits["context"])
    starts = [moved(start) for start, _ in answer_spans(row)]
    for start, text in zip(starts, row["answers"]["text"], strict=True):
        if start is None or texts["context"][start : start + len(text)] != text:
            return None
    return {"answers": {**row["answers"], "answer_start": starts}}


# A question keeps all its words in their order, which carry its meaning.
AUGMENTATION = Augmentation(
    {"question": ("synonyms", "typos"), "context": WORD_CHANGES},
    protected=lambda row, column: answer_spans(row) if column == "context" else (),
    move_answers=move_answers,
)


def sample_rows(settings: Settings) -> list[dict[str, Any]]:
    """Return twelve questions on three texts, three of them without an answer."""
    return [
        {"id": str(number), "question": question, "context": context, "answers": {"text": answer, "start": None}}
        for number, (context, question, answer) in enumerate(_SAMPLES, 1)
    ]


def cut_answers(row: Row) -> list[str]:
    """Return the answers that begin or end inside a word of the context."""
    return spans_that_cut(row["context"], answer_spans(row), lambda: find_words(row["context"]))


TASK = Task(
    name="question_answering",
    settings=Settings,
    columns={
        "question": Column("the question", example="Who wrote the notes?"),
        "context": Column("the text with the answer", example="The notes were written by Ada in 1843."),
        "answers": Column(f"the reference answers: {FORMS}", is_answer=True),
        "is_impossible": Column("true for a question without an answer (SQuAD v2)", required=False, is_answer=True),
    },
    cut_answers=cut_answers,
    augmentation=lambda settings: AUGMENTATION,
    read_rows=read_rows,
    answer_form=lambda row, settings: None,
    guess=guess_answers,
    group_columns=("title", "context"),
    find_schema=find_schema,
    load_schema=load_schema,
    encode=encode,
    auto_class={
        "encoder": "AutoModelForQuestionAnswering",
        "decoder": "AutoModelForQuestionAnswering",
        "encoder-decoder": "AutoModelForQuestionAnswering",
    },
    model_kwargs=model_kwargs,
    pad_targets=pad_targets,
    loss_sum=loss_sum,
    count_targets=count_targets,
    predict=GRAPH.predict,
    graph=GRAPH,
    decode=decode,
    averaging=Averaging(average, ("has_no_answer", "causal")),
    reference_answer=reference_answer,
    answer=lambda prediction, schema: prediction["answer"],
    prediction_form=lambda schema: PredictionForm(AnswerSpans, spans=Spans("context")),
    to_arrays=to_arrays,
    metrics=metrics,
    details=details,
    baselines={
        "overlap": Baseline(overlap_baseline, "the sentence that shares the most words with the question"),
        "no_answer": Baseline(
            no_answer_baseline, "no answer to any question", is_default=lambda schema: bool(schema.has_no_answer)
        ),
    },
    robustness=lambda settings: answer_scores.ROBUSTNESS,
    wrong_examples=lambda records, schema: wrong_answers(records),
    pipeline_tag="question-answering",
    sample_rows=sample_rows,
    tune=tune,
    prediction_text=lambda schema: (
        "A prediction has a passage of the context (empty when it finds no answer), its position and its score."
    ),
    reads_windows=lambda schema: True,
)
