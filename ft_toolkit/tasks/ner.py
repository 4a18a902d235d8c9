"""Named entity recognition: spans of a text, each with a type, marked by one IOB2 tag per word."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ft_toolkit.core.errors import DataError, ModelError, did_you_mean, one_of
from ft_toolkit.metrics import spans
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.base import (
    EVERY_CHANGE,
    Baseline,
    Batch,
    Column,
    Features,
    PipelineCode,
    PipelineRequest,
    Pretrained,
    Robustness,
    Row,
    Rows,
    Task,
    TaskSettings,
)
from ft_toolkit.tasks.display.entities import wrong_entities
from ft_toolkit.tasks.text.edits import EditsByColumn, moved
from ft_toolkit.tasks.text.entities import entity_spans, read_entity_rows, words_of
from ft_toolkit.tasks.text.token_targets import IGNORED, count_targets, pad_targets
from ft_toolkit.tasks.text.windows import Span, best_windows, content_span, windows
from ft_toolkit.tasks.text.words import Unit, align, cut_words, find_words

if TYPE_CHECKING:
    import torch


class Settings(TaskSettings):
    """What stands under `task:`."""

    name: Literal["ner"] = "ner"
    # Entity types in the order of the model's outputs; null takes those of a checkpoint whose head marks these very types,
    # else the card's, else the sorted types of the training rows.
    labels: Annotated[list[str], Field(min_length=1)] | None = None
    # Tokens that the windows of a text longer than data.max_length share, at most half a window.
    stride: Annotated[int, Field(ge=0)] = 64


@dataclass(frozen=True)
class Schema:
    """What the model must know of the data. `labels` are the entity types."""

    labels: tuple[str, ...]
    stride: int
    # The token of a word that carries its tag. A decoder has read a word only at the last one.
    tagged_token: Literal["first", "last"]

    @property
    def tags(self) -> tuple[str, ...]:
        """The model's outputs: O, then B- and I- of each type."""
        return ("O", *(f"{prefix}-{label}" for label in self.labels for prefix in "BI"))


def load_schema(values: Mapping[str, Any]) -> Schema:
    """Rebuild a schema from its JSON form."""
    return Schema(tuple(values["labels"]), values["stride"], values["tagged_token"])


def read_rows(rows: Rows, settings: Settings | None, where: str) -> tuple[Rows, list[str]]:
    """Bring tokens with tags, or texts with entities, into one form; see `read_entity_rows`."""
    return read_entity_rows(rows, where)


def find_schema(
    settings: Settings, rows: Rows, card_labels: Sequence[str] | None, pretrained: Pretrained | None
) -> Schema:
    """Find the entity types: recipe, else card, else the sorted types of the rows. Raises DataError.

    Where the checkpoint's head was trained for these very types, its order is taken, so that the head can be kept.
    """
    types = sorted({entity["label"] for row in rows for entity in row["entities"]})
    labels = tuple(settings.labels or card_labels or types)
    of_head = _types_of_head(pretrained)
    if settings.labels is None and sorted(of_head) == sorted(labels):
        labels = of_head
    if not labels:
        raise DataError("the training rows have no entity at all; there is nothing to learn")
    if len(set(labels)) < len(labels):
        raise DataError(f"task.labels names a type twice: {one_of(labels)}")
    decoder = pretrained is not None and pretrained.kind == "decoder"
    schema = Schema(labels, settings.stride, "last" if decoder else "first")
    _check_types(rows, schema, "training row")
    return schema


def _types_of_head(pretrained: Pretrained | None) -> tuple[str, ...]:
    """Return the entity types of a checkpoint's head; none where its outputs are not O, B-X, I-X, B-Y, I-Y ..."""
    named = dict(pretrained.config.id2label or {}) if pretrained is not None else {}
    tags = tuple(str(named[index]) for index in sorted(named))
    labels = tuple(tag[2:] for tag in tags[1::2])
    return labels if tags == Schema(labels, 0, "first").tags else ()


def _check_types(rows: Rows, schema: Schema, what: str) -> None:
    for number, row in enumerate(rows, 1):
        for entity in row.get("entities", ()):
            if (label := entity["label"]) not in schema.labels:
                raise DataError(
                    f"{what} {row.get('id', number)}: entity type {label!r} is not among the types {one_of(schema.labels)}."
                    f"{did_you_mean(label, schema.labels)} To count it, if only as missed, name it in task.labels too"
                )


def encode(rows: Rows, tokenizer: Any, schema: Schema, max_length: int) -> Features:
    """Tokenize each row into windows of at most max_length tokens that share `stride` of them.

    A word is tagged at its first token (a decoder: its last), in the one window where that has most context: each word is
    learned from once and predicted once. Words are the row's tokens, else those of `find_words`; words that share a token
    are one. For training, a word that an entity begins or ends inside is cut there, so that both parts are learned from.
    Predicting never looks at the answers, so it gives such a word one tag: entities with a border inside a word, or with a
    word for which the tokenizer has no token, cannot be found; `answers_cut` counts them and they score as missed.

    `notes[i]` lists the words of window i as (start, end, place of the token in the window or None).
    """
    if not tokenizer.is_fast:
        raise ModelError(
            "this tokenizer does not say which characters its tokens stand for; ner needs a fast tokenizer"
        )
    _check_types(rows, schema, "row")
    features = Features({}, [], [], [0] * len(rows), {"entities": []}, [])
    if not rows:
        features.inputs["input_ids"] = []
        return features
    whole = tokenizer(
        [row["text"] for row in rows],
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        return_attention_mask=False,
        verbose=False,
    )
    all_offsets, all_special = whole.pop("offset_mapping"), whole.pop("special_tokens_mask")
    features.inputs.update({name: [] for name in whole})
    for i, row in enumerate(rows):
        start, stop = content_span(all_special[i])
        offsets = all_offsets[i][start:stop]
        words = words_of(row)
        units = align(words, offsets, last=schema.tagged_token == "last")
        targets = np.full(len(offsets), IGNORED)
        if "entities" in row:
            targets = _targets(row, words, offsets, schema)
            features.answers_cut["entities"].append(_out_of_reach(row, units))
        around = len(all_special[i]) - len(offsets)
        parts = windows(len(offsets), max_length - around, schema.stride)
        owner = best_windows(len(offsets), parts)
        for number, (first, end) in enumerate(parts):
            for name, ids in whole.items():
                one = [*ids[i][:start], *ids[i][start + first : start + end], *ids[i][stop:]]
                features.inputs[name].append(one or [tokenizer.pad_token_id])  # an empty text without special tokens
            own = np.where(owner[first:end] == number, targets[first:end], IGNORED).tolist()
            features.targets.append([IGNORED] * start + own if "entities" in row else None)
            features.example_ids.append(i)
            features.notes.append([])
        _note_units(units, parts, owner, start, features.notes[len(features.notes) - len(parts) :])
    if "entities" not in rows[0]:
        features.answers_cut.clear()
    return features


def _targets(row: Row, words: Sequence[Span], offsets: Sequence[Span], schema: Schema) -> np.ndarray:
    """Return the tag index of each token, IGNORED where it carries none."""
    entities = row["entities"]
    borders = [entity[side] for entity in entities for side in ("start", "end")]
    pieces = list(cut_words(words, borders))
    tags = dict.fromkeys(pieces, 0)
    at = 0
    for entity in entities:
        index = 1 + 2 * schema.labels.index(entity["label"])
        while at < len(pieces) and pieces[at][0] < entity["start"]:
            at += 1
        while at < len(pieces) and pieces[at][0] < entity["end"]:
            tags[pieces[at]] = index
            index += index % 2  # B has odd places, the I of its type comes after it
            at += 1
    targets = np.full(len(offsets), IGNORED)
    by_start = {piece[0]: tag for piece, tag in tags.items()}
    for unit in align(pieces, offsets, last=schema.tagged_token == "last"):
        if unit.token is not None:
            targets[unit.token] = by_start[unit.start]
    return targets


def _out_of_reach(row: Row, units: Sequence[Unit]) -> int:
    """Return how many entities no row of tags could give: a border inside a unit, or a word without a token."""
    starts, ends = {unit.start for unit in units}, {unit.end for unit in units}
    blind = [unit for unit in units if unit.token is None]
    return sum(
        start not in starts or end not in ends or any(start <= unit.start < max(end, start + 1) for unit in blind)
        for start, end, _ in entity_spans(row["entities"])
    )


def _note_units(
    units: Sequence[Unit],
    parts: Sequence[Span],
    owner: np.ndarray,
    shift: int,
    notes: Sequence[list[tuple[int, int, int | None]]],
) -> None:
    """Enter each unit into the note of its window; one without a token goes where the one before it went."""
    number = 0
    for unit in units:
        place = None
        if unit.token is not None:
            number = int(owner[unit.token])
            place = shift + unit.token - parts[number][0]
        notes[number].append((unit.start, unit.end, place))


def model_kwargs(schema: Schema) -> dict[str, Any]:
    """Return what the checkpoint's config needs: the tags in both directions."""
    return {
        "num_labels": len(schema.tags),
        "id2label": dict(enumerate(schema.tags)),
        "label2id": {tag: index for index, tag in enumerate(schema.tags)},
    }


def loss_sum(outputs: Any, batch: Batch, schema: Schema) -> torch.Tensor:
    """Return the cross entropy summed over the tagged words, computed in float32."""
    from torch.nn import functional

    logits = outputs.logits.float()
    return functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), batch.targets.reshape(-1), ignore_index=IGNORED, reduction="sum"
    )


def predict(outputs: Any, batch: Batch, schema: Schema) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return, per feature, the likeliest tag of each token and its probability, each of shape (tokens,)."""
    best, tags = outputs.logits.float().softmax(-1).max(-1)
    lengths = batch.inputs["attention_mask"].sum(1).tolist()
    some_tags, some_best = tags.short().cpu().numpy(), best.cpu().numpy()
    # copies, since a view would keep the whole padded batch
    return [(some_tags[i, :n].copy(), some_best[i, :n].copy()) for i, n in enumerate(lengths)]


def decode(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> list[dict[str, Any]]:
    """Return {"entities": [{start, end, label, text, score}]} per example, and IOB2 "tags" where it has tokens.

    `score` is the mean probability of the tags of the entity's words. I-X without an X before it begins an entity, as
    conlleval and seqeval read it; the tags that are returned have B-X there. A word without a token is O.
    """
    tags: list[list[str]] = [[] for _ in rows]
    scores: list[list[float]] = [[] for _ in rows]
    places: list[list[tuple[int, int]]] = [[] for _ in rows]
    for (predicted, probabilities), example, note in zip(values, features.example_ids, features.notes, strict=True):
        for start, end, place in note:
            places[example].append((start, end))
            tags[example].append("O" if place is None else schema.tags[predicted[place]])
            scores[example].append(0.0 if place is None else float(probabilities[place]))
    decoded = []
    for i, row in enumerate(rows):
        found = [
            {
                **_entity(places[i][a][0], places[i][b - 1][1], label, row),
                "score": round(float(np.mean(scores[i][a:b])), 6),
            }
            for a, b, label in spans.read_tags(tags[i])[0]
        ]
        decoded.append(_answer(found, row))
    return decoded


def _entity(start: int, end: int, label: str, row: Row) -> dict[str, Any]:
    return {"start": start, "end": end, "label": label, "text": row["text"][start:end]}


def _answer(entities: list[dict[str, Any]], row: Row) -> dict[str, Any]:
    """Return what a user gets for a row."""
    if row.get("tokens") is None:
        return {"entities": entities}
    words = words_of(row)
    by_word = [
        (inside[0], inside[-1] + 1, label)
        for start, end, label in entity_spans(entities)
        if (inside := [i for i, word in enumerate(words) if start <= word[0] and word[1] <= end])
    ]
    return {"entities": entities, "tags": spans.write_tags(by_word, len(words))}


def reference_answer(row: Row, schema: Schema) -> list[dict[str, Any]]:
    """Return the true entities."""
    return [_entity(start, end, label, row) for start, end, label in entity_spans(row["entities"])]


def to_arrays(decoded: Sequence[Mapping[str, Any]], rows: Rows, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Return the counts of `spans.count_spans`, shape (n, 3 * labels + 1): those of the predictions, and of perfect ones."""
    true = [entity_spans(row["entities"]) for row in rows]
    predictions = [
        spans.count_spans(entity_spans(one["entities"]), t, schema.labels) for one, t in zip(decoded, true, strict=True)
    ]
    references = [spans.count_spans(t, t, schema.labels) for t in true]
    shape = (len(rows), 3 * len(schema.labels) + 1)
    return np.array(predictions, np.int64).reshape(shape), np.array(references, np.int64).reshape(shape)


def metrics(settings: Settings) -> dict[str, Metric]:
    """Return the metrics: an entity counts when its borders and its type are right; f1_boundary forgives the type."""
    return {
        **{name: Metric(spans.micro(name), is_share=True) for name in ("f1", "precision", "recall")},
        "f1_macro": Metric(spans.f1_macro, is_share=True, hub_name="f1", hub_arguments={"average": "macro"}),
        "f1_boundary": Metric(spans.f1_boundary, is_share=True),
    }


def details(predictions: np.ndarray, references: np.ndarray, schema: Schema) -> dict[str, Any]:
    """Return the table per entity type."""
    return {"per_class": spans.per_class(predictions, schema.labels)}


def lexicon_baseline(train: Rows, rows: Rows, schema: Schema, seed: int) -> list[dict[str, Any]]:
    """Mark every occurrence of an entity of the training rows with its most frequent type; the longest match wins."""
    seen: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for row in train:
        words = words_of(row)
        for start, end, label in entity_spans(row["entities"]):
            inside = [word for word in words if start <= word[0] and word[1] <= end]
            if not inside or (inside[0][0], inside[-1][1]) != (start, end):  # a border inside a word
                inside = [(start + a, start + b) for a, b in find_words(row["text"][start:end])]
            seen[tuple(row["text"][a:b] for a, b in inside)][label] += 1
    lexicon = {key: min(counts, key=lambda label: (-counts[label], label)) for key, counts in seen.items() if key}
    longest = max(map(len, lexicon), default=0)
    return [_answer(_look_up(row, lexicon, longest), row) for row in rows]


def _look_up(row: Row, lexicon: Mapping[tuple[str, ...], str], longest: int) -> list[dict[str, Any]]:
    words = words_of(row)
    texts = [row["text"][start:end] for start, end in words]
    found, at = [], 0
    while at < len(words):
        sizes = range(min(longest, len(words) - at), 0, -1)
        size = next((size for size in sizes if tuple(texts[at : at + size]) in lexicon), 0)
        if size:
            label = lexicon[tuple(texts[at : at + size])]
            found.append(_entity(words[at][0], words[at + size - 1][1], label, row))
        at += size or 1
    return found


def answer_texts(entities: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return each entity as "text (label)"."""
    return [f"{entity['text']} ({entity['label']})" for entity in entities]


def move_entities(row: Row, texts: Mapping[str, str], edits: EditsByColumn) -> dict[str, Any] | None:
    """Return tokens and entities at their new positions; None when an edit crosses the boundary of one."""
    changed: dict[str, Any] = {}
    if row.get("tokens") is not None:
        words = [tuple(moved(position, edits["text"]) for position in word) for word in words_of(row)]
        if any(None in word for word in words):
            return None
        changed["tokens"] = [texts["text"][start:end] for start, end in words]
    changed["entities"] = [
        {**entity, **{side: moved(entity[side], edits["text"]) for side in ("start", "end")}}
        for entity in row["entities"]
    ]
    if any(entity["start"] is None or entity["end"] is None for entity in changed["entities"]):
        return None
    return changed


def same_entities(before: Any, after: Any, edits: EditsByColumn) -> bool:
    """Return whether the entities have the same labels and moved with their texts."""
    expected = {(moved(e["start"], edits["text"]), moved(e["end"], edits["text"]), e["label"]) for e in before}
    return expected == {(e["start"], e["end"], e["label"]) for e in after}


ROBUSTNESS = Robustness(("text",), EVERY_CHANGE, move_entities, same_entities)


def pipeline(schema: Schema, request: PipelineRequest) -> PipelineCode:
    """Return the code of the token-classification pipeline."""
    return PipelineCode(
        "from transformers import pipeline\n\n"
        f'find = pipeline("token-classification", model="{request.model}", aggregation_strategy="simple")\n'
        f"find({request.example})"
    )


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
    """Return twelve rows; where the recipe names types, with those in turn."""
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


TASK = Task(
    name="ner",
    settings=Settings,
    columns={
        "text": Column("the text, unless there are tokens", required=False, example="A text."),
        "tokens": Column("the words of the text, a list (in text files separated by spaces)", required=False),
        "tags": Column("the tag of each token, such as B-PER", required=False, is_answer=True),
        "entities": Column("a list of {start, end, label} in characters of the text", required=False, is_answer=True),
    },
    read_rows=read_rows,
    find_schema=find_schema,
    load_schema=load_schema,
    encode=encode,
    auto_class={"encoder": "AutoModelForTokenClassification", "decoder": "AutoModelForTokenClassification"},
    model_kwargs=model_kwargs,
    pad_targets=pad_targets,
    loss_sum=loss_sum,
    count_targets=count_targets,
    predict=predict,
    decode=decode,
    reference_answer=reference_answer,
    answer=lambda prediction, schema: prediction["entities"],
    answer_texts=answer_texts,
    to_arrays=to_arrays,
    metrics=metrics,
    details=details,
    baselines={"lexicon": Baseline(lexicon_baseline)},
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
