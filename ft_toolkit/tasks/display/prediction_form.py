"""The keys of a prediction: their types for an HTTP interface, and how a page shows them."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict


class PredictionKeys(BaseModel):
    """The keys of a prediction with their types; each task has its own model."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class AnyKeys(PredictionKeys):
    """A prediction of a task that does not describe its keys."""

    model_config = ConfigDict(extra="allow", frozen=True)


class ScoredLabel(PredictionKeys):
    """The most likely label, its probability, and the probabilities of all labels, or of the 20 most likely of many labels."""

    label: str
    score: float
    probabilities: Mapping[str, float]


class ChosenLabels(PredictionKeys):
    """The chosen labels, and the probabilities of all labels."""

    labels: list[str]
    probabilities: Mapping[str, float]


class Number(PredictionKeys):
    """A predicted number."""

    score: float


class Entity(PredictionKeys):
    """An entity of a text: its character positions, its type and its probability."""

    start: int
    end: int
    label: str
    text: str
    score: float


class Entities(PredictionKeys):
    """The entities of a text, and a tag per token for a row with tokens."""

    entities: list[Entity]
    tags: list[str] | None = None


class AnswerSpan(PredictionKeys):
    """A passage of the context and its probability; an empty text without positions for no answer."""

    answer: str
    start: int | None
    end: int | None
    score: float


class AnswerSpans(AnswerSpan):
    """The most likely answer, and further likely answers."""

    n_best: list[AnswerSpan]


class TextScores(PredictionKeys):
    """The likelihood of a text: sums over its predicted tokens, and scores per token and per byte."""

    nll: float | None
    tokens: int
    bytes: int
    correct: int
    perplexity: float | None
    bits_per_byte: float | None


class _ScoredSamples(PredictionKeys):
    """All samples if there are several, and the keys of `TextScores` for a row with a text to score."""

    samples: list[str] | None = None
    nll: float | None = None
    tokens: int | None = None
    bytes: int | None = None
    correct: int | None = None
    perplexity: float | None = None
    bits_per_byte: float | None = None


class Continuation(_ScoredSamples):
    """A generated text, None for a row that is not continued."""

    continuation: str | None


class Reply(_ScoredSamples):
    """The next turn of a dialogue; None in an evaluation without generated texts."""

    reply: str | None


class FunctionBody(_ScoredSamples):
    """A generated body of a function; None in an evaluation without generated texts."""

    code: str | None


class WrittenAnswer(PredictionKeys):
    """A generated answer; an empty text for no answer."""

    answer: str


class Summary(PredictionKeys):
    """A generated summary."""

    summary: str


class Translation(PredictionKeys):
    """A generated translation."""

    translation: str


@dataclass(frozen=True)
class Spans:
    """Predicted spans of an input text.

    `column` is the column of the text. `key` is the key of a list of spans with `start`, `end` and perhaps `label` and `score`;
    None: the prediction itself is the span.
    """

    column: str
    key: str | None = None


@dataclass(frozen=True)
class PredictionForm:
    """The keys of a prediction (`keys`), and the keys that a page shows in a special way.

    probabilities   key of a dict label -> probability, shown as bars
    spans           spans that are highlighted in an input text
    text            key of a generated text
    """

    keys: type[PredictionKeys] = AnyKeys
    probabilities: str | None = None
    spans: Spans | None = None
    text: str | None = None
