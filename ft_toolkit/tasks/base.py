"""The task contract: a task is data plus functions.

A file `tasks/<name>.py` ends with `TASK = Task(name="<name>", ...)`. Every command finds tasks by their file names; there
is no base class and no registry. Fields without a default are required. Nothing outside `tasks/` knows the names of tasks, of
the keys of their predictions, or of their settings: other modules read the fields of `Task`.

    rows of a file --read_rows--> rows --encode--> Features --(padding)--> Batch --model, predict--> one value per feature
        --decode--> one prediction per row --to_arrays--> two arrays --metrics--> scores

In the comments below, `settings` is the recipe's `task:` section, `schema` is what `find_schema` returned, a `prediction` is a
dict that `decode` returned, and a `record` is a line of predictions.jsonl: split, id, input columns, "gold" (the reference
answer) and the keys of the prediction.

A task file must not import torch or transformers at module level, so that recipes are checked without them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict

from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.display.prediction_form import PredictionForm
from ft_toolkit.tasks.display.wrong_examples import WrongExamples
from ft_toolkit.tasks.text.edits import EditsByColumn

if TYPE_CHECKING:
    import torch

    from ft_toolkit.tasks.guessing.table import Table

Kind = Literal["encoder", "decoder", "encoder-decoder"]
# The changes of a text that the robustness check knows (data/augment/perturb.py).
ChangeKind = Literal["typos", "lowercase", "uppercase", "names", "gender"]
EVERY_CHANGE: tuple[ChangeKind, ...] = get_args(ChangeKind)
# The tokens that a language model scores: each one from the tokens before it, or the masked ones from both sides.
ScoredTokens = Literal["next", "masked"]
# The changes of training rows (data/augment/augmented_rows.py); the keys of the recipe's `augmentation` section.
AugmentKind = Literal["replace_entities", "synonyms", "delete_words", "swap_words", "typos"]
WORD_CHANGES: tuple[AugmentKind, ...] = ("synonyms", "delete_words", "swap_words", "typos")
Row = Mapping[str, Any]
Rows = Sequence[Row]
Prediction = Mapping[str, Any]
# Takes the next piece of a generated text. Returns whether to continue: False ends the generation.
OnText = Callable[[str], bool]


class TaskSettings(BaseModel):
    """The `task:` section of a recipe; each task adds its own fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    name: str


@dataclass(frozen=True)
class Column:
    """A column of the task's rows.

    A row whose answer columns are all missing is not labelled: the model can predict it but not learn from it.
    """

    # A phrase for error messages: "the text to translate".
    meaning: str
    required: bool = True
    is_answer: bool = False
    # Whether the column only adds scores to a prediction, such as the true completion of a prompt. `ftk serve` refuses it.
    only_scores: bool = False
    # The setting whose value is another name of the column (translation: source_language names the column en).
    named_by: str | None = None
    # Whether a file may have one column per label instead: data.columns.NAME is then a list, and a value a dict by column.
    several: bool = False
    # Another column that can replace a required one.
    alternative: str | None = None
    # Whether validation and test files may lack the column even if `data.columns` names it.
    only_training: bool = False
    # Whether `ftk serve` takes a list of texts (words, turns) for the column rather than a text.
    is_list: bool = False
    # Whether some rows may lack the column although others have it; `read_rows` then gets None.
    may_be_empty: bool = False
    # A short value for the usage examples of the model card; None leaves an optional column out of them.
    example: str | None = None


@dataclass(frozen=True)
class Pretrained:
    """The checkpoint as `find_schema` sees it: its kind and the transformers config and tokenizer."""

    kind: Kind
    config: Any
    tokenizer: Any


@dataclass(frozen=True)
class FirstModel:
    """The checkpoint of a first recipe. `reason` says for which texts it is a common choice."""

    name: str
    reason: str


@dataclass(frozen=True)
class Guess:
    """How a task reads the rows of an unknown file (`ftk init`)."""

    # From 0 (not rows of this task) to 1 (rows of no other task).
    score: float
    # Short sentences: why the rows fit or, with a score of 0, why they do not.
    reasons: tuple[str, ...]
    # Columns of the task -> columns of the file, as in `data.columns`.
    columns: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    # Values for the `task:` section that differ from its defaults.
    settings: Mapping[str, Any] = field(default_factory=dict)
    # Values for the `data:` section, such as label_separator.
    data_settings: Mapping[str, Any] = field(default_factory=dict)
    model: FirstModel | None = None
    # Tokens per example; None: long enough for nearly all texts.
    max_length: int | None = None
    # Sentences on other interpretations of the same columns, and how to choose them.
    alternatives: tuple[str, ...] = ()

    @property
    def file_columns(self) -> dict[str, str]:
        """Return each used column of the file -> the column of the task."""
        pairs = ((names, role) for role, names in self.columns.items())
        return {name: role for names, role in pairs for name in ([names] if isinstance(names, str) else names)}


@dataclass(frozen=True)
class DefinedLabels:
    """Label names in a defined order, so that numbers and 0/1 lists in files can refer to them.

    `by` names the source of the order for messages: "task.labels", "data card 'x'" ...
    """

    names: tuple[str, ...]
    by: str


@dataclass(frozen=True)
class LabelSource:
    """Where label cells come from, and how they are read.

    where       file for messages
    defined     the label names, if their order is defined
    separator   the text between the labels of a cell (data.label_separator)
    numbers     the names for the numbers of these files (data.reading.label_names), which override task.labels
    """

    where: str
    defined: DefinedLabels | None = None
    separator: str = "|"
    numbers: DefinedLabels | None = None


@dataclass(frozen=True)
class Features:
    """The input of the model. A feature is a row, a window of a long row, or a packed block with parts of several rows."""

    # Token-level integers: inputs[name][i] has one value per token of feature i. Inputs whose names begin with `decoder_` are
    # padded to their own width. With `position_ids` a feature is a packed block and gets no attention mask.
    inputs: Mapping[str, Sequence[list[int]]]
    # targets[i] is passed to `pad_targets`; None without an answer.
    targets: Sequence[Any]
    # The row number of each feature, ascending; of a packed block, the first row.
    example_ids: list[int]
    # Per row: the number of tokens that no feature contains.
    n_tokens_cut: list[int]
    # Per row and name ("entities", "summary tokens" ...): the number of parts of the answer that the model cannot see.
    answers_cut: dict[str, list[int]] = field(default_factory=dict)
    # notes[i] is passed to `decode`, `corrupt` and, in the batch, to `generate`: offsets, the tokens of each row ...
    notes: Sequence[Any] = field(default_factory=list)

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens per feature, including the decoder's input."""
        lengths, decoder = lengths_of(self.inputs["input_ids"]), self.decoder_lengths
        return lengths if decoder is None else [n + m for n, m in zip(lengths, decoder, strict=True)]

    @cached_property
    def decoder_lengths(self) -> list[int] | None:
        """Tokens of the decoder's input per feature, which is padded separately; None without one."""
        decoder = self.inputs.get("decoder_input_ids")
        return None if decoder is None else lengths_of(decoder)


def lengths_of(lists: Sequence[list[int]]) -> list[int]:
    """Return the length of each list, without reading lists that are stored in a file (`data/stored_features.py`)."""
    stored: list[int] | None = getattr(lists, "lengths", None)
    return [len(ids) for ids in lists] if stored is None else stored


@dataclass(frozen=True)
class Batch:
    """One padded micro-batch: `inputs` for the model, shape (features, tokens), and `targets` for the loss.

    `n_tokens` counts the tokens without padding, `n_padded` all of them. `weight` is 0 for a filler batch, which keeps
    processes in step. `notes` are the notes of the features, if they have any.
    """

    inputs: dict[str, torch.Tensor]
    targets: torch.Tensor
    feature_ids: tuple[int, ...]
    n_tokens: int
    n_padded: int
    weight: float = 1.0
    notes: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Graph:
    """The part of a model that an exported graph computes, and how its outputs become values for `Task.decode`."""

    # The names of the outputs of the transformers model, such as "logits".
    outputs: tuple[str, ...]
    # (outputs by name, float32, shape (features, ...); tokens of each feature; schema) -> one value per feature. Numpy only:
    # an exported model is used without torch.
    values: Callable[[Mapping[str, np.ndarray], Sequence[int], Any], list[Any]]
    # Whether the second axis of the outputs is the tokens.
    per_token: bool = False

    def predict(self, outputs: Any, batch: Batch, schema: Any) -> list[Any]:
        """Return one value per feature from the outputs of the torch model, for `Task.predict`."""
        arrays = {name: getattr(outputs, name).float().cpu().numpy() for name in self.outputs}
        return self.values(arrays, batch.inputs["attention_mask"].sum(1).tolist(), schema)


@dataclass(frozen=True)
class ExportedTexts:
    """How an exported model, used without torch, generates the texts of `Task.generate`."""

    # (features, schema) -> the token ids that the model reads before it generates, without the answer: one list per text.
    prompts: Callable[[Features, Any], Sequence[Sequence[int]]]
    # (prompts, generated token ids, tokenizer, schema) -> the text of the generated tokens of each prompt.
    texts: Callable[[Sequence[Sequence[int]], Sequence[Sequence[int]], Any, Any], list[str]]
    # (texts of all prompts, features, schema) -> the values of `Task.generate`; by default, a feature has one prompt.
    values: Callable[[list[str], Features, Any], list[Any]] = lambda texts, features, schema: list(texts)
    # (prompt, token ids so far, tokenizer, schema) -> the text to show while it is generated, with the stop string at its end.
    # None uses `texts`.
    growing_text: Callable[[Sequence[int], Sequence[int], Any, Any], str] | None = None
    # schema -> the fields of `ExportedGeneration` for sampling and for stop strings; empty for a task that never samples.
    settings: Callable[[Any], dict[str, Any]] = lambda schema: {}

    def show(self, prompt: Sequence[int], tokens: Sequence[int], tokenizer: Any, schema: Any) -> str:
        """Return the text to show of one prompt while it is generated."""
        if self.growing_text is not None:
            return self.growing_text(prompt, tokens, tokenizer, schema)
        return self.texts([prompt], [tokens], tokenizer, schema)[0]


@dataclass(frozen=True)
class Baseline:
    """A simple model to compare with.

    `predict` maps (training rows, evaluated rows, schema, seed) to one prediction per row, or to an empty list where the
    comparison has no meaning. The evaluated rows of all splits are passed together, so a prediction depends on its own row and
    on the training rows only. `description` is a phrase for the report: "the most frequent label".
    """

    predict: Callable[[Rows, Rows, Any, int], list[dict[str, Any]]]
    description: str
    # Maximum number of characters of the training rows. If there are more, a random part of the rows is used, and the
    # report states this. None: all rows.
    max_characters: int | None = None
    # schema -> whether a recipe that does not choose its baselines gets this one.
    is_default: Callable[[Any], bool] = lambda schema: True


@dataclass(frozen=True)
class EmbeddingBaseline:
    """A simple model of the embeddings of the run's checkpoint before training, one vector of length 1 per row.

    `predict` maps (training rows, their embeddings, the embeddings of the evaluated rows, schema, seed) to one prediction per
    evaluated row. A model from scratch has no such baseline.
    """

    predict: Callable[[Rows, np.ndarray, np.ndarray, Any, int], list[dict[str, Any]]]
    description: str


@dataclass(frozen=True)
class CheckpointBaseline:
    """The run's checkpoint before training, which predicts in the same way as the model.

    A model from scratch has no such baseline.
    """

    description: str


@dataclass(frozen=True)
class Classifier:
    """Functions for calibration, group gaps and attributions of predictions that are labels with probabilities."""

    # (predictions, schema) -> probabilities, shape (n, labels), in the order of `Task.labels`.
    probabilities: Callable[[Sequence[Prediction], Any], np.ndarray]
    # schema -> the temperature that the logits are divided by.
    temperature: Callable[[Any], float]
    # (schema, temperature) -> the schema with another temperature, such as 1 where the weights contain it.
    with_temperature: Callable[[Any, float], Any]
    # record -> the label whose logit attributions explain. None when attributions do not work with these settings.
    explained_label: Callable[[Mapping[str, Any]], str] | None


@dataclass(frozen=True)
class Member:
    """The output of one model of an ensemble for some rows: one value per feature, the features, and its schema."""

    values: Sequence[Any]
    features: Features
    schema: Any


@dataclass(frozen=True)
class Averaging:
    """How an ensemble averages the outputs of its models."""

    # (members, rows) -> values and features for `Task.decode` and `Task.tune`, with the schema that `schema` returns. Raises
    # ModelError for members that do not fit each other.
    combine: Callable[[Sequence[Member], Rows], tuple[list[Any], Features]]
    # The fields of the schema that must be equal in all members.
    must_agree: tuple[str, ...]
    # schema of the first member -> the schema before `Task.tune`.
    schema: Callable[[Any], Any] = lambda schema: schema
    # (model outputs, batch, schema) -> one value per feature, where `Task.predict` keeps less than `combine` needs.
    predict: Callable[[Any, Batch, Any], Sequence[Any]] | None = None


# (row, changed texts by column, edits) -> further columns that the changed row needs (moved spans ...); None when the edits
# destroy an answer.
MoveAnswers = Callable[[Row, Mapping[str, str], EditsByColumn], dict[str, Any] | None]


@dataclass(frozen=True)
class Augmentation:
    """The texts of a training row that a changed copy may change, and how its answers change."""

    # Text columns -> the kinds of change that the answer allows.
    changes: Mapping[str, tuple[AugmentKind, ...]]
    # (row, column) -> (start, end) of the parts that only replace_entities changes, such as the answers in a context.
    protected: Callable[[Row, str], Sequence[tuple[int, int]]] = lambda row, column: ()
    # (row, column) -> (start, end, type) of the entities that others of the same type can replace.
    entities: Callable[[Row, str], Sequence[tuple[int, int, str]]] = lambda row, column: ()
    # None leaves the row unchanged.
    move_answers: MoveAnswers = lambda row, texts, edits: {}

    @property
    def kinds(self) -> list[AugmentKind]:
        """The kinds of change that at least one column allows."""
        return list(dict.fromkeys(kind for kinds in self.changes.values() for kind in kinds))


@dataclass(frozen=True)
class TaggedSpans:
    """The labels of words, for the search for wrong ones (`ftk data audit --label-errors`)."""

    # row -> (start, end, type) of its spans, in order.
    spans: Callable[[Row], Sequence[tuple[int, int, str]]]
    # features -> the words that get a label in each feature, as (start, end, position of the token or None).
    words: Callable[[Features], Sequence[Sequence[tuple[int, int, int | None]]]]


@dataclass(frozen=True)
class Robustness:
    """The small changes of the input that keep the reference answer, and the test whether an answer changed."""

    # The text columns that are changed, and the kinds of change.
    columns: tuple[str, ...]
    changes: tuple[ChangeKind, ...]
    # None skips the row.
    move_answers: MoveAnswers = lambda row, texts, edits: {}
    # (answer before, answer after, edits) -> whether both are the same answer. `Task.answer` gives the answers.
    same_answer: Callable[[Any, Any, EditsByColumn], bool] = lambda before, after, edits: bool(before == after)


@dataclass(frozen=True)
class ScoredRun:
    """A finished run for `Task.comparability`. `predictions` is the first array of `to_arrays`."""

    settings: Any
    schema: Any
    predictions: np.ndarray


@dataclass(frozen=True)
class Comparability:
    """Whether the scores of two runs on the same rows can be compared."""

    # The reason why no score can be compared, such as "they differ in task.problem_type (...)". None if scores can be compared.
    refusal: str | None = None
    # The metrics that cannot be compared, and a sentence with the reason.
    incomparable: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class PipelineRequest:
    """Arguments for the code of a transformers pipeline: name of the model, example input, length limit in tokens.

    `example` is Python code: a string, or a dict of columns. `is_adapter` says that the model is an adapter, which needs peft.
    `pooling` is the pooling that transformers alone does not compute (models/pooled_model.py); None for none.
    """

    model: str
    example: str
    max_length: int | None
    is_adapter: bool = False
    pooling: str | None = None


@dataclass(frozen=True)
class PipelineCode:
    """Python code that runs the saved model in a transformers pipeline, and a remark on how its output differs from ours."""

    code: str
    remark: str = ""


def plain_answer_texts(answer: Any) -> list[str]:
    """Return the items of a list as texts, any other answer as one text, and nothing for None and ""."""
    if isinstance(answer, (list, tuple)):
        return [str(item) for item in answer]
    return [] if answer is None or answer == "" else [str(answer)]


@dataclass(frozen=True, kw_only=True)
class Task:
    """Everything that the toolkit knows about one task."""

    # ---- Identity --------------------------------------------------------------------------------------------------------
    # The name in recipes; equal to the file name.
    name: str
    # The pydantic model of the `task:` section.
    settings: type[TaskSettings]

    # ---- Rows ------------------------------------------------------------------------------------------------------------
    # The columns of a row by name.
    columns: Mapping[str, Column]
    # (rows with these columns, settings or None when predicting, file and split for messages) -> (rows in the form that all
    # functions below expect, notes on changes). Raises DataError for the first invalid row, with a message that begins with
    # "{where}: row {number}"; the caller reads each row alone to find the others.
    read_rows: Callable[[Rows, Any, str], tuple[Rows, list[str]]]
    # (rows with these columns, settings) -> the rows with None for each answer that is missing. Called before rows without an
    # answer are left out. The default is for tasks whose empty texts are answers, or errors of `read_rows`.
    mark_missing: Callable[[Rows, Any], Rows] = lambda rows, settings: rows
    # (labelled rows, settings, source of the cells) -> (rows with labels in the form that `read_rows` expects, notes). Called
    # before `read_rows`; None for a task without labels. Raises DataError for a label that can be read in two ways.
    read_labels: Callable[[Rows, Any, LabelSource], tuple[Rows, list[str]]] | None = None
    # (labelled row with these columns, settings) -> the form of its answer. Large files are read in parts, and each part is
    # preceded by one row of each form, up to the first row of the form None: `mark_missing`, `read_labels` and `read_rows` must
    # then return the same rows as for the whole file, and notes that depend on several rows must be instances of `CountedNote`.
    # Without this function, all rows are read together.
    answer_form: Callable[[Row, Any], Hashable] | None = None
    # settings -> a few rows for `--smoke`, the contract test and the documentation.
    sample_rows: Callable[[Any], Rows]
    # The column that a plain text fills (`ftk predict MODEL "a text"`); None when a text alone is not a row.
    text_column: str | None = None
    # The columns of an unknown file -> how this task reads them. The default never suggests the task.
    guess: Callable[[Table], Guess] = lambda table: Guess(0, ("it cannot be recognized; write its recipe by hand",))
    # (row of `read_rows`, settings) -> the names of its labels, for tables that count them; empty for a task without labels.
    labels_of: Callable[[Row, Any], Sequence[str]] = lambda row, settings: ()
    # settings -> whether each row has a set of labels, which `labels_of` returns.
    has_label_sets: Callable[[Any], bool] = lambda settings: False
    # How words are labelled; None for a task without spans.
    tagged_spans: TaggedSpans | None = None
    # row of `read_rows` -> the texts of its answers that begin or end inside a word of the input; for the audit of a data set.
    cut_answers: Callable[[Row], Sequence[str]] = lambda row: ()
    # settings -> the texts that a changed copy of a training row may change (section `augmentation` of the recipe), or the
    # reason for which the task allows no changes: a clause that follows "NAME ".
    augmentation: Callable[[Any], Augmentation | str] = lambda settings: "does not say which texts may be changed"
    # settings -> the column whose values keep their proportions in a share of the training rows; None draws without strata.
    stratify_by: Callable[[Any], str | None] = lambda settings: None
    # The columns of a file that say which rows belong together (an article, a document), best first. A column is used if every
    # row has a value and there are several values. `data.group` overrides them.
    group_columns: tuple[str, ...] = ()

    # ---- Schema: facts from the training rows and the checkpoint that the model needs ------------------------------------
    # (settings, training rows, label names that the data defines or None, checkpoint) -> a frozen dataclass of plain values. It
    # is saved in inference.json.
    find_schema: Callable[[Any, Rows, DefinedLabels | None, Pretrained], Any]
    # The inverse of dataclasses.asdict for the schema, after a round trip through JSON.
    load_schema: Callable[[Mapping[str, Any]], Any]
    # Whether `find_schema` gives the same schema for the first training rows as for all, so that the others can be read while
    # the run trains (data.stream_rows).
    streams_rows: bool = False
    # schema -> label names; empty for a task without labels.
    labels: Callable[[Any], tuple[str, ...]] = lambda schema: ()
    # schema -> the label names, if their order was defined; None for sorted names.
    defined_labels: Callable[[Any], DefinedLabels | None] = lambda schema: None

    # ---- Model -----------------------------------------------------------------------------------------------------------
    # The transformers Auto class per kind of checkpoint. Other kinds are refused.
    auto_class: Mapping[Kind, str]
    # schema -> keyword arguments for the model's config (num_labels, id2label ...).
    model_kwargs: Callable[[Any], dict[str, Any]]
    # (model, schema): changes the model before it is saved, such as its generation settings.
    configure: Callable[[Any, Any], None] | None = None

    # ---- Features --------------------------------------------------------------------------------------------------------
    # (rows, tokenizer, schema, max_length in tokens) -> features. When predicting, rows have no answers.
    encode: Callable[[Rows, Any, Any, int], Features]
    # schema -> whether a feature can have parts of several rows, so that all rows must be encoded together.
    joins_rows: Callable[[Any], bool] = lambda schema: False
    # (inputs of one feature, its note, schema, random generator of this feature and epoch) -> (inputs, target). Called in every
    # epoch, for masked language modelling; an evaluation always gets the same generator. None uses the features unchanged.
    corrupt: (
        Callable[[dict[str, list[int]], Any, Any, np.random.Generator], tuple[dict[str, list[int]], Any]] | None
    ) = None

    # (training rows, their features, schema) -> a phrase on the training targets ("15.0% of the tokens are masked"), for the
    # line on the data at the start of a run; or "".
    describe_features: Callable[[Rows, Features, Any], str] = lambda rows, features, schema: ""
    # (rows, their features or None when predicting, tokenizer, schema) -> sentences on facts that a user may not expect, such
    # as a change of the texts before the model reads them.
    notes: Callable[[Rows, Features | None, Any, Any], list[str]] = lambda rows, features, tokenizer, schema: []

    # ---- Loss ------------------------------------------------------------------------------------------------------------
    # (targets of a batch, padded width of the inputs or of the decoder's inputs, schema) -> tensor, (features, ...).
    pad_targets: Callable[[Sequence[Any], int, Any], torch.Tensor]
    # (model outputs, batch, schema) -> the SUM of the loss over targets, a scalar tensor. The toolkit divides it by the number
    # of targets over all processes and micro-batches.
    loss_sum: Callable[[Any, Batch, Any], torch.Tensor]
    # (batch, schema) -> the number of targets, or the sum of their weights.
    count_targets: Callable[[Batch, Any], float]
    # (batch, schema) -> a bool tensor (features, tokens): the positions at which loss and predictions use logits over a
    # vocabulary. The model may then return logits of shape (1, positions, vocabulary). None: all positions.
    logit_positions: Callable[[Batch, Any], torch.Tensor | None] | None = None

    # ---- Predictions -----------------------------------------------------------------------------------------------------
    # (model outputs, batch, schema) -> one small value per feature. Values of a whole split are kept in memory, so never return
    # logits over a vocabulary. Either `predict` or `generate` is required. With both, the value of a feature is a pair: that of
    # `predict` (None in a batch without targets) and that of `generate` (None in evaluations that need no generated texts).
    predict: Callable[[Any, Batch, Any], Sequence[Any]] | None = None
    # The graph that `ftk export` writes; None for a task whose models cannot be exported as a graph. `predict` is then usually
    # `Graph.predict`, so that both give the same values.
    graph: Graph | None = None
    # (model, batch, schema, tokenizer) -> the generated text of each feature, or its texts.
    generate: Callable[[Any, Batch, Any, Any], list[Any]] | None = None
    # (model, batch of one feature, schema, tokenizer, on_text) -> the list that `generate` returns. The pieces of the text are
    # passed to `on_text` while it is generated; of several texts, the pieces of the first. None: the text is sent as a whole.
    stream: Callable[[Any, Batch, Any, Any, OnText], list[Any]] | None = None
    # How an exported model does the same; None for a task whose models cannot be exported as graphs.
    exported_texts: ExportedTexts | None = None
    # schema -> the tokens that `predict` scores, for a task whose `predict` is `token_scores.predict`; an exported model then
    # gives the same scores. The targets are those of the features or of `corrupt`.
    scored_tokens: Callable[[Any], ScoredTokens] | None = None
    # (schema, texts of a chat, which the user begins; the sides alternate) -> the row whose answer is the next text. None: no
    # chat (`ftk chat`).
    chat_row: Callable[[Any, Sequence[str]], dict[str, Any]] | None = None
    # (values of all features, features, rows, schema) -> one prediction per row: the dict of plain values that users get.
    decode: Callable[[Sequence[Any], Features, Rows, Any], list[dict[str, Any]]]
    # (values of all validation features, features, rows, schema) -> schema, after the best weights are loaded: chooses
    # thresholds and temperatures on the validation rows.
    tune: Callable[[Sequence[Any], Features, Rows, Any], Any] | None = None
    # schema -> sentences on the thresholds that `tune` chose; empty for none.
    tuning_text: Callable[[Any], str] = lambda schema: ""
    # (row, schema) -> the reference answer, plain values. Written as "gold" to predictions.jsonl.
    reference_answer: Callable[[Row, Any], Any]
    # (prediction or record, schema) -> the predicted answer alone, without scores. Also works for baselines.
    answer: Callable[[Prediction, Any], Any]
    # An answer or a reference answer -> the texts that show it, empty for no answer.
    answer_texts: Callable[[Any], list[str]] = plain_answer_texts
    # (prediction or record) -> the confidence in the answer, from 0 to 1; 0 when unknown.
    confidence: Callable[[Prediction], float] = lambda prediction: 0.0
    # schema -> the keys of a prediction with their types, and how the page of `ftk serve` shows them.
    prediction_form: Callable[[Any], PredictionForm] = lambda schema: PredictionForm()
    # The keys of a prediction that `ftk predict` leaves out of csv files.
    not_in_csv: tuple[str, ...] = ()

    # How an ensemble averages the outputs of several models; None for a task whose outputs are texts or not probabilities.
    averaging: Averaging | None = None

    # ---- Scores ----------------------------------------------------------------------------------------------------------
    # (predictions, rows, schema) -> two arrays for the metrics, first axis: examples.
    to_arrays: Callable[[Sequence[Prediction], Rows, Any], tuple[np.ndarray, np.ndarray]]
    # settings -> metrics by name. The first one selects the best checkpoint unless the recipe names another.
    metrics: Callable[[Any], dict[str, Metric]]
    # The metric that tells right examples from wrong ones in comparisons; None uses the main metric.
    example_metric: str | None = None
    # Baselines by name. Recipes and run folders contain these names.
    baselines: Mapping[str, Baseline | EmbeddingBaseline | CheckpointBaseline]
    # settings -> how to treat predictions as labels with probabilities; None for other predictions.
    classifier: Callable[[Any], Classifier | None] = lambda settings: None
    # settings -> the robustness check (`ftk evaluate --robustness`); None refuses it.
    robustness: Callable[[Any], Robustness | None] = lambda settings: None
    # (first run, other run on the same rows) -> whether their scores can be compared.
    comparability: Callable[[ScoredRun, ScoredRun], Comparability] = lambda first, other: Comparability()

    # ---- Report ----------------------------------------------------------------------------------------------------------
    # (predictions array, references array, schema) -> further entries of a split in results.json; the report shows each as a
    # table. Two keys have their own place: "per_class", a list of {label, precision, recall, f1, support} with scores from 0 to
    # 1, and "confusion_matrix", counts (true label, predicted label) in the order of `labels`.
    details: Callable[[np.ndarray, np.ndarray, Any], dict[str, Any]] = lambda predictions, references, schema: {}
    # Titles for keys of `details` and their columns; other keys are shown with spaces for underscores.
    titles: Mapping[str, str] = field(default_factory=dict)
    # (records of a split, schema) -> the examples that a reader should look at. None shows answers that differ from the
    # reference answer.
    wrong_examples: Callable[[Sequence[Mapping[str, Any]], Any], WrongExamples] | None = None
    # The effect of answers that the model cannot see (`Features.answers_cut`), for the warning.
    effect_of_cut_answers: str = "each counts as an error"

    # ---- Model card ------------------------------------------------------------------------------------------------------
    # The Hub's pipeline tag.
    pipeline_tag: str
    # schema -> the pipeline tag, where it depends on the schema.
    pipeline_tag_of: Callable[[Any], str] | None = None
    # (schema, request) -> code for the transformers pipeline of this tag. None: transformers has no such pipeline.
    pipeline: Callable[[Any, PipelineRequest], PipelineCode] | None = None
    # schema -> a sentence on the keys of a prediction.
    prediction_text: Callable[[Any], str] = lambda schema: ""
    # schema -> whether texts longer than max_length are read in windows; otherwise they are cut.
    reads_windows: Callable[[Any], bool] = lambda schema: False


def needs_checkpoint(baseline: Baseline | EmbeddingBaseline | CheckpointBaseline | None) -> bool:
    """Return whether a baseline uses the pretrained checkpoint, which a model from scratch does not have."""
    return isinstance(baseline, (EmbeddingBaseline, CheckpointBaseline))


def row_name(row: Row, number: int) -> str:
    """Return a row's name for messages: its number from 1 and, if it differs, its id."""
    row_id = row.get("id", number)
    return f"row {number}" if str(row_id) == str(number) else f"row {number} (id {row_id})"


def answer_columns(task: Task) -> list[str]:
    """Return the names of the columns with answers."""
    return [name for name, column in task.columns.items() if column.is_answer]


def is_labelled(row: Row, task: Task) -> bool:
    """Return whether a row has an answer. None and NaN (pandas' missing value) are no answers."""
    answers = [row.get(name) for name in answer_columns(task)]
    return not answers or any(value is not None and value == value for value in answers)


def without_answers(row: Row, task: Task) -> dict[str, Any]:
    """Return a row without its answer columns, as rows to predict are."""
    return {key: value for key, value in row.items() if key not in task.columns or not task.columns[key].is_answer}


def input_texts(row: Row, task: Task) -> list[str]:
    """Return the texts of the input columns, lists of words joined by spaces."""
    values = (row.get(name) for name, column in task.columns.items() if not column.is_answer)
    return [" ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value) for value in values if value]


def applicable_metrics(task: Task, settings: Any, schema: Any) -> dict[str, Metric]:
    """Return the metrics without those that need two labels when there are not exactly two."""
    has_two_labels = len(task.labels(schema)) == 2
    return {
        name: metric for name, metric in task.metrics(settings).items() if has_two_labels or not metric.needs_two_labels
    }


def pipeline_tag(task: Task, schema: Any) -> str:
    """Return the Hub's pipeline tag of a model with this schema."""
    return task.pipeline_tag if task.pipeline_tag_of is None else task.pipeline_tag_of(schema)
