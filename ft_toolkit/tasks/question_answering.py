"""Extractive question answering: a question and a context; the answer is a stretch of the context, or there is none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ft_toolkit.core.errors import DataError, ModelError
from ft_toolkit.metrics import squad
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.base import (
    Baseline,
    Batch,
    Column,
    Features,
    Pretrained,
    Robustness,
    Row,
    Rows,
    Task,
    TaskSettings,
)
from ft_toolkit.tasks.display.answers import wrong_answers
from ft_toolkit.tasks.text.answer_windows import (
    Candidates,
    Window,
    answer_tokens,
    best_spans,
    build_inputs,
    find_frame,
    share_room,
)
from ft_toolkit.tasks.text.answers import FORMS, find_answers
from ft_toolkit.tasks.text.edits import EditsByColumn
from ft_toolkit.tasks.text.windows import windows

if TYPE_CHECKING:
    import torch


class Settings(TaskSettings):
    """What stands under `task:`. Whether questions may have no answer is found from the training rows."""

    name: Literal["question_answering"] = "question_answering"
    # Tokens of the context that two neighbouring windows share, at most half a window.
    stride: Annotated[int, Field(ge=0)] = 128
    # Longest answer in tokens.
    max_answer_tokens: Annotated[int, Field(ge=1)] = 30
    # How many answers a prediction lists, best first.
    n_best: Annotated[int, Field(ge=1)] = 3


@dataclass(frozen=True)
class Schema:
    """What the model must know of the data.

    `has_no_answer`: a training row had no answer, so "" is an answer too; it is given where no answer outscores the best
    span by more than `threshold`, which is chosen on validation. `causal`: a token of the checkpoint sees only those
    before it, so the last one points to no answer.
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
    """Check texts, and bring the answers to {"text": [...], "answer_start": [...]}, both empty where there is none."""
    read: list[Row] = []
    repaired: list[str] = []
    n_repaired = 0
    for number, row in enumerate(rows, 1):
        named = f"{where}: row {number}" + (f" (id {row['id']})" if str(row.get("id", number)) != str(number) else "")
        for column in ("question", "context"):
            if not isinstance(row[column], str) or not row[column].strip():
                raise DataError(f"{named}: column '{column}' holds {row[column]!r}; a text is needed")
        if "answers" not in row:
            read.append(row)
            continue
        found = find_answers(row["answers"], row["context"], named)
        if (claim := _is_impossible(row.get("is_impossible"), named)) is not None and claim == bool(found.answers):
            raise DataError(
                f"{named}: is_impossible is {str(claim).lower()}, but the row has {len(found.answers)} answers; correct "
                "one of the two"
            )
        n_repaired += bool(found.repaired)
        repaired += found.repaired
        answers = {"text": [one.text for one in found.answers], "answer_start": [one.start for one in found.answers]}
        read.append({**{key: value for key, value in row.items() if key != "is_impossible"}, "answers": answers})
    if not repaired:
        return read, []
    return read, [
        f"{n_repaired} of {len(read)} rows had a wrong answer_start, which was repaired; the first: {repaired[0]}"
    ]


def _is_impossible(value: Any, where: str) -> bool | None:
    """Return what the column says, text of csv files included; None where it says nothing."""
    if value is None or value == "" or value != value:
        return None
    known = {"true": True, "false": False, "1": True, "0": False}
    if (found := known.get(str(value).lower())) is None:
        raise DataError(f"{where}: column 'is_impossible' holds {value!r}; true or false is needed")
    return found


def find_schema(
    settings: Settings, rows: Rows, card_labels: Sequence[str] | None, pretrained: Pretrained | None
) -> Schema:
    """Find whether there are questions without an answer. Raises ModelError for a tokenizer that knows no offsets."""
    if pretrained is not None and not getattr(pretrained.tokenizer, "is_fast", False):
        raise ModelError(
            f"question_answering needs to know which characters a token stands for; {type(pretrained.tokenizer).__name__} "
            "cannot say. Take a checkpoint with a tokenizer.json"
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
    """Cut each (question, context) into windows of at most max_length tokens, one feature each.

    A long question keeps the tokens that fit into half of the room; the context's tokens are all in some window. The target
    of a window is the first answer, (first token, last token), where it holds it whole, else its place of no answer.
    """
    frame = find_frame(tokenizer, causal=schema.causal)
    contexts, questions = (
        _tokenize([row["context"] for row in rows], tokenizer),
        _tokenize([row["question"] for row in rows], tokenizer),
    )
    inputs: dict[str, list[list[int]]] = {"input_ids": [], **({"token_type_ids": []} if frame.has_types else {})}
    targets: list[Any] = []
    example_ids: list[int] = []
    notes: list[Window] = []
    cut: list[int] = []
    unseen: list[int] = []
    for number, row in enumerate(rows):
        (context, spans), (question, _) = contexts[row["context"]], questions[row["question"]]
        kept, room = share_room(len(question), frame, max_length)
        cut.append(len(question) - kept)
        places = _answer_places(row, spans)
        seen = not places
        for first, stop in windows(len(context), room, schema.stride):
            ids, types, at, null = build_inputs(frame, question[:kept], context[first:stop])
            window = Window(first, stop - first, at, null, spans)
            inputs["input_ids"].append(ids)
            if frame.has_types:
                inputs["token_type_ids"].append(types)
            targets.append(window.place(places[0] if places else None) if "answers" in row else None)
            seen = seen or any(window.place(place) != (null, null) for place in places)
            example_ids.append(number)
            notes.append(window)
        unseen.append(int(not seen))
    return Features(inputs, targets, example_ids, cut, {"answers": unseen}, notes)


def _tokenize(texts: Sequence[str], tokenizer: Any) -> dict[str, tuple[list[int], np.ndarray]]:
    """Return the ids and the characters of each token, shape (tokens, 2), of each different text."""
    different = list(dict.fromkeys(texts))
    if not different:
        return {}
    found = tokenizer(
        different,
        add_special_tokens=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        return_offsets_mapping=True,
        verbose=False,
    )
    spans = [np.array(pairs, np.int32).reshape(-1, 2) for pairs in found["offset_mapping"]]
    return dict(zip(different, zip(found["input_ids"], spans, strict=True), strict=True))


def _answer_places(row: Row, spans: np.ndarray) -> list[tuple[int, int] | None]:
    """Return the first and last token of each answer of a row, None for an answer that no token stands for."""
    answers = row.get("answers", {"text": [], "answer_start": []})
    places = []
    for text, start in zip(answers["text"], answers["answer_start"], strict=True):
        start += len(text) - len(text.lstrip())
        places.append(answer_tokens(start, start + len(text.strip()), spans))
    return places


def model_kwargs(schema: Schema) -> dict[str, Any]:
    """Return what the checkpoint's config needs: two outputs per token, start and end."""
    return {"num_labels": 2}


def pad_targets(targets: Sequence[Any], width: int, schema: Schema) -> torch.Tensor:
    """Return the places of the first and last token of the answer, shape (features, 2)."""
    import torch

    return torch.tensor(targets, dtype=torch.long)


def loss_sum(outputs: Any, batch: Batch, schema: Schema) -> torch.Tensor:
    """Return the cross entropy of the start plus that of the end, summed over windows, in float32.

    The softmax goes over all tokens of a window, question and special ones included as in BERT (Devlin et al. 2019), but
    not over padding: else the loss would depend on what else is in the batch.
    """
    import torch
    from torch.nn import functional

    total = torch.zeros((), device=batch.targets.device)
    for logits, target in zip((outputs.start_logits, outputs.end_logits), batch.targets.unbind(1), strict=True):
        real = logits.float().masked_fill(batch.inputs["attention_mask"] == 0, -torch.inf)
        total = total + functional.cross_entropy(real, target, reduction="sum")
    return total


def count_targets(batch: Batch, schema: Schema) -> float:
    """Return two per window, start and end: the mean loss is that of transformers where nothing is padded."""
    return float(batch.targets.numel())


def predict(outputs: Any, batch: Batch, schema: Schema) -> list[np.ndarray]:
    """Return the start and end logits of each window's real tokens, shape (2, tokens)."""
    import torch

    both = torch.stack([outputs.start_logits, outputs.end_logits], dim=1).float().cpu().numpy()
    lengths = batch.inputs["attention_mask"].sum(1).tolist()
    return [logits[:, :length].copy() for logits, length in zip(both, lengths, strict=True)]


def _candidates(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> Iterator[Candidates]:
    """Yield the best spans of each row, over all of its windows."""
    ids = np.array(features.example_ids)
    bounds = np.searchsorted(ids, np.arange(len(rows) + 1))
    for row, first, last in zip(rows, bounds[:-1], bounds[1:], strict=True):
        yield best_spans(
            values[first:last],
            features.notes[first:last],
            row["context"],
            longest=schema.max_answer_tokens,
            limit=schema.n_best,
            with_null=schema.has_no_answer,
        )


def decode(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> list[dict[str, Any]]:
    """Return one dict per example: answer, start and end (characters; None without an answer), score, and n_best.

    The score is the answer's probability among everything that the model could have answered.
    """
    decoded = []
    for row, found in zip(rows, _candidates(values, features, rows, schema), strict=True):
        listed = [
            _answer(row["context"][one.start : one.end], one.start, one.end, one.probability) for one in found.spans
        ]
        silent = _answer("", None, None, found.null_probability)
        if schema.has_no_answer:
            best = silent if not listed or found.lack > schema.threshold else listed[0]
            listed = sorted([*listed, silent], key=lambda one: -one["score"])[: schema.n_best]
        else:
            best = listed[0] if listed else silent
        decoded.append({**best, "n_best": listed})
    return decoded


def _answer(text: str, start: int | None, end: int | None, probability: float) -> dict[str, Any]:
    return {"answer": text, "start": start, "end": end, "score": round(probability, 6)}


def tune(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> Schema:
    """Choose the threshold of no answer that gives the highest F1."""
    if not schema.has_no_answer:
        return schema
    found = list(_candidates(values, features, rows, schema))
    texts = [
        row["context"][one.spans[0].start : one.spans[0].end] if one.spans else ""
        for row, one in zip(rows, found, strict=True)
    ]
    answered = [_scores(text, row)[1] for text, row in zip(texts, rows, strict=True)]
    silent = [_scores("", row)[1] for row in rows]
    lacks = np.array([one.lack for one in found])
    return replace(schema, threshold=squad.best_threshold(lacks, np.array(answered), np.array(silent)))


def reference_answer(row: Row, schema: Schema) -> list[str]:
    """Return the different true answers, an empty list where there is none."""
    return list(dict.fromkeys(row["answers"]["text"]))


def to_arrays(decoded: Sequence[Mapping[str, Any]], rows: Rows, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Return two arrays of shape (n, 4): exact match, F1, whether there is an answer, whether characters are compared."""
    predictions = [_scores(one["answer"], row) for one, row in zip(decoded, rows, strict=True)]
    scored = np.array(predictions, np.float64).reshape(-1, 4)
    return scored, np.concatenate([np.ones_like(scored[:, :2]), scored[:, 2:]], axis=1)


def _scores(answer: str, row: Row) -> tuple[float, float, bool, bool]:
    """Return exact match, F1, whether there is an answer, and whether characters are compared: in the context's script."""
    truths, by_character = row["answers"]["text"], squad.is_unspaced(row["context"])
    return *squad.answer_scores(answer, truths, by_character=by_character), bool(truths), by_character


def metrics(settings: Settings) -> dict[str, Metric]:
    """Return SQuAD's two metrics; F1 picks the best checkpoint."""
    return {
        "f1": Metric(squad.f1, is_mean=True),
        "exact_match": Metric(squad.exact_match, is_mean=True, short_names=("em",)),
    }


def details(predictions: np.ndarray, references: np.ndarray, schema: Schema) -> dict[str, Any]:
    """Return how answers were compared and, where some questions have no answer, the scores of either kind."""
    by_character = int(predictions[:, 3].sum())
    scoring = "SQuAD: words, without case, punctuation and articles"
    if by_character:
        scoring += (
            f"; {by_character} of {len(predictions)} examples by character as MLQA, on texts in scripts without spaces"
        )
    found: dict[str, Any] = {"scoring": scoring}
    has_answer = references[:, 2] == 1
    if schema.has_no_answer or not has_answer.all():
        found["by_answer"] = [
            {
                "rows": name,
                "exact_match": squad.exact_match(predictions[chosen], references[chosen]),
                "f1": squad.f1(predictions[chosen], references[chosen]),
                "support": int(chosen.sum()),
            }
            for name, chosen in (("with an answer", has_answer), ("without an answer", ~has_answer))
            if chosen.any()
        ]
        found["no_answer_threshold"] = schema.threshold
    return found


def overlap_baseline(train: Rows, rows: Rows, schema: Schema, seed: int) -> list[dict[str, Any]]:
    """Answer with the sentence that shares most different words with the question, the shortest of equal ones.

    Where questions may have no answer, a question that shares no word with its context gets none.
    """
    return [_overlapping_sentence(row["question"], row["context"], schema) for row in rows]


def _overlapping_sentence(question: str, context: str, schema: Schema) -> dict[str, Any]:
    by_character = squad.is_unspaced(context)
    asked = set(squad.words(question, by_character=by_character))
    best, best_score = None, (-1, 0)
    for found in _SENTENCE.finditer(context):
        shared = len(asked & set(squad.words(found.group(), by_character=by_character)))
        if (score := (shared, -len(found.group()))) > best_score:
            best, best_score = found, score
    if best is None or (schema.has_no_answer and best_score[0] == 0):
        return {"answer": "", "start": None, "end": None}
    return {"answer": best.group().rstrip(), "start": best.start(), "end": best.start() + len(best.group().rstrip())}


def no_answer_baseline(train: Rows, rows: Rows, schema: Schema, seed: int) -> list[dict[str, Any]]:
    """Say of every question that it has no answer."""
    return [{"answer": "", "start": None, "end": None} for _ in rows]


# A sentence ends with a mark and white space, with a mark of scripts without spaces, or with its line.
_SENTENCE = re.compile(r"\S[^\n]*?(?:[.!?]+(?=\s|$)|[。！？]|(?=\n)|$)")  # noqa: RUF001


def _same_words(before: str, after: str, edits: EditsByColumn) -> bool:
    return squad.words(before) == squad.words(after)


# Only the question is changed, and its names stay: the context does not know other names.
ROBUSTNESS = Robustness(("question",), ("typos", "lowercase", "uppercase"), same_answer=_same_words)


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


def sample_rows(settings: Settings) -> list[dict[str, Any]]:
    """Return twelve questions on three texts, three of them without an answer."""
    return [
        {"id": str(number), "question": question, "context": context, "answers": {"text": answer, "start": None}}
        for number, (context, question, answer) in enumerate(_SAMPLES, 1)
    ]


TASK = Task(
    name="question_answering",
    settings=Settings,
    columns={
        "question": Column("the question", example="Who wrote the notes?"),
        "context": Column("the text with the answer", example="The notes were written by Ada in 1843."),
        "answers": Column(f"the true answers: {FORMS}", is_answer=True),
        "is_impossible": Column("true where there is no answer (SQuAD v2)", required=False, is_answer=True),
    },
    read_rows=read_rows,
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
    predict=predict,
    decode=decode,
    reference_answer=reference_answer,
    answer=lambda prediction, schema: prediction["answer"],
    to_arrays=to_arrays,
    metrics=metrics,
    details=details,
    baselines={"overlap": Baseline(overlap_baseline), "no_answer": Baseline(no_answer_baseline)},
    robustness=lambda settings: ROBUSTNESS,
    wrong_examples=lambda records, schema: wrong_answers(records),
    pipeline_tag="question-answering",
    sample_rows=sample_rows,
    tune=tune,
    prediction_text=lambda schema: (
        "A prediction has a passage of the context (empty when it finds no answer), its position and its score."
    ),
    reads_windows=lambda schema: True,
)
