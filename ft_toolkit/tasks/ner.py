"""Named entity recognition: typed spans of a text, predicted as one IOB2 tag per word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ft_toolkit.core.errors import DataError, ModelError, did_you_mean, one_of
from ft_toolkit.metrics import spans
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.base import (
    EVERY_CHANGE,
    WORD_CHANGES,
    Augmentation,
    Averaging,
    Baseline,
    Batch,
    Column,
    DefinedLabels,
    Features,
    Graph,
    LabelSource,
    Member,
    PipelineCode,
    PipelineRequest,
    Pretrained,
    Robustness,
    Row,
    Rows,
    TaggedSpans,
    Task,
)
from ft_toolkit.tasks.display.entities import wrong_entities
from ft_toolkit.tasks.display.pipeline_code import pipeline_code
from ft_toolkit.tasks.display.prediction_form import Entities, PredictionForm, Spans
from ft_toolkit.tasks.guessing.entities import guess_entities
from ft_toolkit.tasks.text import class_loss
from ft_toolkit.tasks.text.averaging import mean_of_words, words_of_rows
from ft_toolkit.tasks.text.edits import Edit, EditsByColumn, Moves
from ft_toolkit.tasks.text.entities import entity_spans, read_entity_rows, words_of
from ft_toolkit.tasks.text.labels import EARLIER_ORDER, check_lengths, label_name
from ft_toolkit.tasks.text.lexicon import learn_lexicon, look_up
from ft_toolkit.tasks.text.missing_labels import mark_missing_answers
from ft_toolkit.tasks.text.tag_cells import has_tags, read_tag_column, types_of_tags
from ft_toolkit.tasks.text.tagged_words import Tagging, WindowWord, tag_text
from ft_toolkit.tasks.text.token_targets import IGNORED, pad_targets
from ft_toolkit.tasks.text.windows import content_span, cut_window
from ft_toolkit.tasks.text.words import spans_that_cut, words_inside

if TYPE_CHECKING:
    import torch


class Settings(class_loss.ClassLossSettings):
    """The `task:` section of a recipe."""

    name: Literal["ner"] = "ner"
    # Entity types in the order of the model's outputs. Default: the order of a checkpoint whose head has the same types, else
    # the types of the data card, else the sorted types of the training rows.
    labels: Annotated[list[str], Field(min_length=1)] | None = None
    # Tokens shared by two neighbouring windows of a text longer than data.max_length, at most half a window.
    stride: Annotated[int, Field(ge=0)] = 64


@dataclass(frozen=True)
class Schema:
    """Facts that the model needs. `labels` are the entity types."""

    labels: tuple[str, ...]
    stride: int
    # The token of a word that carries its tag. A decoder sees the whole word only at its last token.
    tagged_token: Literal["first", "last"]
    # The source of the order of the types, such as "task.labels"; None for the sorted types of the training rows.
    label_order: str | None = None
    # The loss; see `class_loss.ClassLoss`. `class_weights` has a weight per tag, in the order of `tags`.
    class_weights: tuple[float, ...] | None = None
    absent_weights: None = None
    focal_gamma: float = 0.0
    label_smoothing: float = 0.0

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of the model's outputs: O, then B- and I- of each type."""
        return ("O", *(f"{prefix}-{label}" for label in self.labels for prefix in "BI"))


def load_schema(values: Mapping[str, Any]) -> Schema:
    """Rebuild a schema from its JSON form."""
    weights = values.get("class_weights")
    return Schema(
        tuple(values["labels"]),
        values["stride"],
        values["tagged_token"],
        values.get("label_order", EARLIER_ORDER),
        tuple(weights) if weights else None,
        focal_gamma=values.get("focal_gamma", 0.0),
        label_smoothing=values.get("label_smoothing", 0.0),
    )


def read_rows(rows: Rows, settings: Settings | None, where: str) -> tuple[Rows, list[str]]:
    """Convert tokens with tags, or texts with entities, to one form; see `read_entity_rows`."""
    return read_entity_rows(rows, where)


def read_labels(rows: Rows, settings: Settings, source: LabelSource) -> tuple[Rows, list[str]]:
    """Convert the tags of each row to a list of names; see `read_tag_column`."""
    types = chosen_types(settings, source.defined)
    tags = source.numbers
    if tags is None and types is not None:
        tags = DefinedLabels(Schema(types.names, 0, "first").tags, types.by)
    return read_tag_column(rows, tags, source)


def chosen_types(settings: Settings, defined: DefinedLabels | None) -> DefinedLabels | None:
    """Return the entity types of the recipe, else of the data, in NFC. Raises DataError for tags."""
    if settings.labels is not None:
        defined = DefinedLabels(tuple(settings.labels), "task.labels")
        if types_of_tags(defined.names) != defined.names:
            raise DataError(
                f"task.labels must list entity types, not tags: task.labels=[{one_of(types_of_tags(defined.names))}]"
            )
    return None if defined is None else replace(defined, names=tuple(map(label_name, types_of_tags(defined.names))))


def defined_labels(schema: Schema) -> DefinedLabels | None:
    """Return the entity types of a model, if their order was defined."""
    if schema.label_order is None:
        return None
    return DefinedLabels(schema.labels, f"the training run ({schema.label_order})")


def find_schema(settings: Settings, rows: Rows, defined: DefinedLabels | None, pretrained: Pretrained | None) -> Schema:
    """Find the entity types: of the recipe, else of the data, else the sorted types of the rows.

    If the checkpoint's head has the same types, their order is used, so that the head is kept. Raises DataError.
    """
    types = sorted({entity["label"] for row in rows for entity in row["entities"]})
    chosen = chosen_types(settings, defined)
    labels, order = (chosen.names, chosen.by) if chosen is not None else (tuple(types), None)
    check_lengths(labels)
    head_labels = _types_of_head(pretrained)
    if settings.labels is None and labels and sorted(head_labels) == sorted(labels):
        labels, order = head_labels, order if head_labels == labels and order else "id2label of the checkpoint"
    if not labels:
        raise DataError("the training rows contain no entities; at least one is required")
    if len(set(labels)) < len(labels):
        raise DataError(f"task.labels contains a type twice: {one_of(labels)}")
    is_decoder = pretrained is not None and pretrained.kind == "decoder"
    schema = Schema(labels, settings.stride, "last" if is_decoder else "first", order)
    _check_types(rows, schema)
    weights = None if settings.class_weights is None else _tag_weights(rows, labels, settings.class_weights)
    return replace(
        schema, class_weights=weights, focal_gamma=settings.focal_gamma, label_smoothing=settings.label_smoothing
    )


def _tag_weights(rows: Rows, labels: tuple[str, ...], rule: class_loss.WeightRule) -> tuple[float, ...]:
    """Return the weight of each tag. The classes are the words of each type, with one weight for B and I, and other words."""
    counts: Counter[str] = Counter()
    n_words = 0
    for row in rows:
        words = words_of(row)
        spans_of_row = entity_spans(row["entities"])
        n_words += len(words)
        for (_, _, label), inside in zip(spans_of_row, words_inside(words, [s[:2] for s in spans_of_row]), strict=True):
            counts[label] += len(inside)
    outside = max(n_words - counts.total(), 1)
    of_classes = class_loss.weights_of(
        rule, [outside, *(counts[label] for label in labels)], ["O", *labels], "a word of an entity of type"
    )
    return (of_classes[0], *(weight for weight in of_classes[1:] for _ in "BI"))


def _types_of_head(pretrained: Pretrained | None) -> tuple[str, ...]:
    """Return the entity types of a checkpoint's head; empty if its outputs are not O, B-X, I-X, B-Y, I-Y ..."""
    id2label = dict(pretrained.config.id2label or {}) if pretrained is not None else {}
    tags = tuple(str(id2label[index]) for index in sorted(id2label))
    labels = tuple(tag[2:] for tag in tags[1::2])
    return labels if tags == Schema(labels, 0, "first").tags else ()


def _check_types(rows: Rows, schema: Schema) -> None:
    for number, row in enumerate(rows, 1):
        for entity in row.get("entities", ()):
            if (label := entity["label"]) not in schema.labels:
                raise DataError(
                    f"row {row.get('id', number)}: unknown entity type {label!r}; known: {one_of(schema.labels)}."
                    f"{did_you_mean(label, schema.labels)} Add it to task.labels to count its entities "
                    "as missed, or correct the row"
                )


def encode(rows: Rows, tokenizer: Any, schema: Schema, max_length: int) -> Features:
    """Tokenize each row into windows of at most max_length tokens that share `stride` tokens.

    Words are the row's tokens, otherwise those of `find_words`; words that share a token are one word. When predicting, a word
    gets one tag. Entities with a boundary inside a word, or with a word without a token, therefore cannot be predicted:
    `answers_cut` counts them, and they score as missed. `notes[i]` lists the words of window i as (start, end, token in the
    feature or None). Raises ModelError for a tokenizer without offsets, DataError for an unknown entity type.
    """
    if not tokenizer.is_fast:
        raise ModelError("ner requires a fast tokenizer (tokenizer.json), which gives the characters of each token")
    _check_types(rows, schema)
    if not rows:
        return Features({"input_ids": []}, [], [], [])
    encoded = tokenizer(
        [row["text"] for row in rows],
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        return_attention_mask=False,
        verbose=False,
    )
    offsets, special = encoded.pop("offset_mapping"), encoded.pop("special_tokens_mask")
    inputs: dict[str, list[list[int]]] = {name: [] for name in encoded}
    targets: list[list[int] | None] = []
    example_ids: list[int] = []
    notes: list[list[WindowWord]] = []
    n_unreachable: list[int] = []
    tagging = Tagging(schema.labels, schema.tagged_token, schema.stride)
    is_labelled = "entities" in rows[0]
    for i, row in enumerate(rows):
        content = start, stop = content_span(special[i])
        n_special = len(special[i]) - (stop - start)
        tagged = tag_text(row, offsets[i][start:stop], max_length - n_special, tagging)
        n_unreachable.append(tagged.n_unreachable)
        for window in tagged.windows:
            for name, ids in encoded.items():
                # without special tokens, an empty text has no token at all
                inputs[name].append(cut_window(ids[i], content, window.span) or [tokenizer.pad_token_id])
            targets.append([IGNORED] * start + window.targets if is_labelled else None)
            example_ids.append(i)
            notes.append([(a, b, None if token is None else start + token) for a, b, token in window.words])
    cut = {"entities": n_unreachable} if is_labelled else {}
    return Features(inputs, targets, example_ids, [0] * len(rows), cut, notes)


def model_kwargs(schema: Schema) -> dict[str, Any]:
    """Return the number of tags and their names for the checkpoint's config."""
    return {
        "num_labels": len(schema.tags),
        "id2label": dict(enumerate(schema.tags)),
        "label2id": {tag: index for index, tag in enumerate(schema.tags)},
    }


def loss_sum(outputs: Any, batch: Batch, schema: Schema) -> torch.Tensor:
    """Return the sum of the cross entropy over the tagged words (see `class_loss`), in float32."""
    logits = outputs.logits.float()
    return class_loss.single_label_loss_sum(logits.reshape(-1, logits.shape[-1]), batch.targets.reshape(-1), schema)


def count_targets(batch: Batch, schema: Schema) -> float:
    """Return the number of tagged words; with class weights, the sum of their weights."""
    return class_loss.count_single_label(batch.targets, schema)


def values(
    outputs: Mapping[str, np.ndarray], lengths: Sequence[int], schema: Schema
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return, per feature, the most likely tag of each token and its probability, each of shape (tokens,)."""
    logits = outputs["logits"]
    largest = logits.max(-1)
    probabilities = 1 / np.exp(logits - largest[..., None]).sum(-1)
    tags = logits.argmax(-1).astype(np.int16)
    # copies, because a view would keep the whole padded batch in memory
    return [(tags[i, :n].copy(), probabilities[i, :n].copy()) for i, n in enumerate(lengths)]


GRAPH = Graph(("logits",), values, per_token=True)


def decode(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> list[dict[str, Any]]:
    """Return {"entities": [{start, end, label, text, score}]} per row, and IOB2 "tags" for rows with tokens.

    `score` is the mean probability of the tags of an entity. I-X that does not follow an X starts an entity, as in conlleval
    and seqeval; the returned tags have B-X there. A word without a token is O.
    """
    tags: list[list[str]] = [[] for _ in rows]
    scores: list[list[float]] = [[] for _ in rows]
    words: list[list[tuple[int, int]]] = [[] for _ in rows]
    for (predicted, probabilities), number, note in zip(values, features.example_ids, features.notes, strict=True):
        for start, end, token in note:
            words[number].append((start, end))
            tags[number].append("O" if token is None else schema.tags[predicted[token]])
            scores[number].append(0.0 if token is None else float(probabilities[token]))
    decoded = []
    for i, row in enumerate(rows):
        entities = [
            {
                **_entity(words[i][first][0], words[i][stop - 1][1], label, row),
                "score": round(float(np.mean(scores[i][first:stop])), 6),
            }
            for first, stop, label in spans.read_tags(tags[i])[0]
        ]
        decoded.append(_prediction(entities, row))
    return decoded


def predict_distributions(outputs: Any, batch: Batch, schema: Schema) -> list[np.ndarray]:
    """Return, per feature, the probabilities of all tags of each token, shape (tokens, tags)."""
    probabilities = outputs.logits.float().softmax(-1).cpu().numpy()
    lengths = batch.inputs["attention_mask"].sum(1).tolist()
    return [probabilities[i, :n].copy() for i, n in enumerate(lengths)]


def average(members: Sequence[Member], rows: Rows) -> tuple[list[tuple[np.ndarray, np.ndarray]], Features]:
    """Return the most likely tag of each word by the mean of the members' probabilities, and one feature per row."""
    n = len(rows)
    words = mean_of_words(
        [words_of_rows(member.values, member.features.example_ids, member.features.notes, n) for member in members]
    )
    values, notes = [], []
    for row in words:
        distributions = [distribution for *_, distribution in row if distribution is not None]
        table = np.array(distributions).reshape(len(distributions), -1)
        values.append((table.argmax(1), table.max(1)) if distributions else (np.empty(0), np.empty(0)))
        tokens = iter(range(len(distributions)))
        notes.append([(start, end, None if each is None else next(tokens)) for start, end, each in row])
    return values, Features({"input_ids": [[0]] * n}, [None] * n, list(range(n)), [0] * n, notes=notes)


def _entity(start: int, end: int, label: str, row: Row) -> dict[str, Any]:
    return {"start": start, "end": end, "label": label, "text": row["text"][start:end]}


def _prediction(entities: list[dict[str, Any]], row: Row) -> dict[str, Any]:
    """Return the entities of a row and, for a row with tokens, the tags."""
    if row.get("tokens") is None:
        return {"entities": entities}
    words = words_of(row)
    labelled = entity_spans(entities)
    by_word = [
        (inside.start, inside.stop, label)
        for (_, _, label), inside in zip(labelled, words_inside(words, [span[:2] for span in labelled]), strict=True)
        if inside
    ]
    return {"entities": entities, "tags": spans.write_tags(by_word, len(words))}


def reference_answer(row: Row, schema: Schema) -> list[dict[str, Any]]:
    """Return the true entities."""
    return [_entity(start, end, label, row) for start, end, label in entity_spans(row["entities"])]


def to_arrays(decoded: Sequence[Mapping[str, Any]], rows: Rows, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Return the counts of `spans.count_spans` for predictions and perfect predictions, shape (n, 3 * labels + 1)."""
    true = [entity_spans(row["entities"]) for row in rows]
    predicted = [entity_spans(prediction["entities"]) for prediction in decoded]
    predictions = [spans.count_spans(p, t, schema.labels) for p, t in zip(predicted, true, strict=True)]
    references = [spans.count_spans(t, t, schema.labels) for t in true]
    shape = (len(rows), 3 * len(schema.labels) + 1)
    return np.array(predictions, np.int64).reshape(shape), np.array(references, np.int64).reshape(shape)


def metrics(settings: Settings) -> dict[str, Metric]:
    """Return the metrics. An entity is right when its boundaries and its type are; f1_boundary ignores the type."""
    return {
        **{name: Metric(spans.micro(name), is_share=True) for name in ("f1", "precision", "recall")},
        "f1_macro": Metric(
            spans.f1_macro, is_share=True, is_macro=True, hub_name="f1", hub_arguments={"average": "macro"}
        ),
        "f1_boundary": Metric(spans.f1_boundary, is_share=True),
    }


def details(predictions: np.ndarray, references: np.ndarray, schema: Schema) -> dict[str, Any]:
    """Return the scores per entity type."""
    return {"per_class": spans.per_class(predictions, schema.labels)}


def lexicon_baseline(train: Rows, rows: Rows, schema: Schema, seed: int) -> list[dict[str, Any]]:
    """Mark every occurrence of a training entity with its most frequent type; longer entities win."""
    lexicon = learn_lexicon(train)
    return [_prediction([_entity(*span, row) for span in look_up(row, lexicon)], row) for row in rows]


def answer_texts(entities: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return each entity as "text (label)"."""
    return [f"{entity['text']} ({entity['label']})" for entity in entities]


def move_entities(row: Row, texts: Mapping[str, str], edits: EditsByColumn) -> dict[str, Any] | None:
    """Return tokens and entities at their new positions; None when an edit crosses the boundary of one."""
    changed: dict[str, Any] = {}
    moved = Moves(edits["text"])
    if row.get("tokens") is not None:
        tokens = _move_tokens(words_of(row), texts["text"], edits["text"])
        if not tokens:
            return None
        changed["tokens"] = tokens
    changed["entities"] = [
        {**entity, **{side: moved(entity[side]) for side in ("start", "end")}} for entity in row["entities"]
    ]
    for entity in changed["entities"]:
        if entity["start"] is None or entity["end"] is None or entity["start"] == entity["end"]:
            return None
    return changed


def _move_tokens(words: Sequence[tuple[int, int]], text: str, edits: Sequence[Edit]) -> list[str] | None:
    """Return the tokens of the changed text; None when an edit crosses the boundary of a token.

    An edit that covers whole tokens replaces them by the words of its replacement.
    """
    moved = Moves(edits)
    tokens: list[str] = []
    position = 0  # of the first edit that does not end before the token
    replaced = -1
    for start, end in words:
        while position < len(edits) and edits[position][1] <= start:
            position += 1
        if position < len(edits) and edits[position][0] <= start < end <= edits[position][1]:
            if replaced != position:
                tokens += edits[position][2].split()
            replaced = position
            continue
        new_start, new_end = moved(start), moved(end)
        if new_start is None or new_end is None:
            return None
        tokens.append(text[new_start:new_end])
    return tokens


def same_entities(before: Any, after: Any, edits: EditsByColumn) -> bool:
    """Return whether the entities have the same labels and moved with their texts."""
    moved = Moves(edits["text"])
    expected = {(moved(e["start"]), moved(e["end"]), e["label"]) for e in before}
    return expected == {(e["start"], e["end"], e["label"]) for e in after}


ROBUSTNESS = Robustness(("text",), EVERY_CHANGE, move_entities, same_entities)
# Words of entities change only as a whole, so that every entity stays a name of its type.
AUGMENTATION = Augmentation(
    {"text": ("replace_entities", *WORD_CHANGES)},
    protected=lambda row, column: [span[:2] for span in entity_spans(row["entities"])],
    entities=lambda row, column: entity_spans(row["entities"]),
    move_answers=move_entities,
)


def pipeline(schema: Schema, request: PipelineRequest) -> PipelineCode:
    """Return the code of the token-classification pipeline."""
    code = pipeline_code(
        request,
        tag="token-classification",
        auto_class="AutoModelForTokenClassification",
        variable="find",
        call=f"find({request.example})",
        options='aggregation_strategy="simple"',
    )
    return PipelineCode(code)


# Entities are in brackets, after their type.
_TYPES = ["company", "date", "person", "place"]
_SAMPLES = [
    "[person:Anna Berg] moved to [place:Oslo] in [date:March 2019].",
    "The parcel that [company:Ferrow Tools] sent on [date:4 May] never came to [place:Porto].",
    "Did [person:Luis Amado] sign for [company:Kestrel Bank] or for himself?",
    "[place:Lake Como] was empty when we arrived on [date:Monday].",
    "[company:Northlight] hired [person:Mei Tanaka] away from [company:Dovetail Press].",
    "Nobody wrote back until [date:10 June 2021].",
    "Ask [person:Omar Haddad] in [place:Tunis], he knows the road.",
    "We closed the shop in [place:Graz] and opened one in [place:Lyon].",
    "[person:Ingrid] will play on [date:12 August] if the hall is free.",
    "[company:Blue Anchor] pays late and [company:Kestrel Bank] does not pay at all.",
    "There is nothing to report today.",
    "The letter is from [person:Pavel Novak], [place:Brno], dated [date:1 April].",
]


def sample_rows(settings: Settings) -> list[dict[str, Any]]:
    """Return twelve rows, with the types of the recipe if it has any."""
    labels = settings.labels or _TYPES
    rows: list[dict[str, Any]] = []
    for number, marked in enumerate(_SAMPLES, 1):
        text, entities = "", []
        for part in marked.replace("]", "[").split("["):
            kind, colon, inner = part.partition(":")
            if colon and kind in _TYPES:
                label = labels[_TYPES.index(kind) % len(labels)]
                entities.append({"start": len(text), "end": len(text) + len(inner), "label": label})
            text += inner if colon else part
        rows.append({"id": str(number), "text": text, "entities": entities})
    return rows


def cut_answers(row: Row) -> list[str]:
    """Return the texts of the entities that begin or end inside a word; see `words_of`."""
    spans_of_row = [span[:2] for span in entity_spans(row["entities"])]
    return spans_that_cut(row["text"], spans_of_row, lambda: words_of(row))


TASK = Task(
    name="ner",
    settings=Settings,
    columns={
        "text": Column("the text; not required with tokens", required=False, example="A text."),
        "tokens": Column(
            "the words of the text, a list (in text files separated by spaces)", required=False, is_list=True
        ),
        "tags": Column("the tag of each token, such as B-PER", required=False, is_answer=True),
        "entities": Column("a list of {start, end, label} in characters of the text", required=False, is_answer=True),
    },
    mark_missing=lambda rows, settings: mark_missing_answers(rows, ("tags", "entities")),
    read_labels=read_labels,
    answer_form=lambda row, settings: None if has_tags(row.get("tags")) else "",
    cut_answers=cut_answers,
    read_rows=read_rows,
    guess=guess_entities,
    labels_of=lambda row, settings: [entity["label"] for entity in row["entities"]],
    augmentation=lambda settings: AUGMENTATION,
    tagged_spans=TaggedSpans(lambda row: entity_spans(row["entities"]), lambda features: features.notes),
    group_columns=("document",),
    defined_labels=defined_labels,
    find_schema=find_schema,
    load_schema=load_schema,
    encode=encode,
    auto_class={"encoder": "AutoModelForTokenClassification", "decoder": "AutoModelForTokenClassification"},
    model_kwargs=model_kwargs,
    pad_targets=pad_targets,
    loss_sum=loss_sum,
    count_targets=count_targets,
    predict=GRAPH.predict,
    graph=GRAPH,
    decode=decode,
    averaging=Averaging(average, ("labels",), predict=predict_distributions),
    reference_answer=reference_answer,
    answer=lambda prediction, schema: prediction["entities"],
    prediction_form=lambda schema: PredictionForm(Entities, spans=Spans("text", "entities")),
    answer_texts=answer_texts,
    to_arrays=to_arrays,
    metrics=metrics,
    details=details,
    baselines={"lexicon": Baseline(lexicon_baseline, "every entity of the training rows, with its most frequent type")},
    robustness=lambda settings: ROBUSTNESS,
    titles={"support": "entities"},
    wrong_examples=lambda records, schema: wrong_entities(records),
    pipeline_tag="token-classification",
    sample_rows=sample_rows,
    text_column="text",
    labels=lambda schema: schema.labels,
    pipeline=pipeline,
    prediction_text=lambda schema: (
        "A prediction lists the entities of a text: label, text, start and end (characters), and score."
    ),
    reads_windows=lambda schema: True,
)
