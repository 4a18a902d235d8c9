"""Every setting of a recipe, section by section. The settings of a task are in its file under `tasks/`.

`None` as a default is written `null` in a recipe.
"""

import hashlib
import json
import re
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, Field

from ft_toolkit.core import hub_names
from ft_toolkit.core.errors import one_of
from ft_toolkit.recipe.methods import Method
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.recipe.schema import Name, PositiveFloat, PositiveInt, Section, Seed, Share
from ft_toolkit.tasks.base import AugmentKind, TaskSettings

# A value that the run chooses from the rows, the method and the model, and prints: ft_toolkit/training/automatic.py.
Auto = Literal["auto"]

# Prefix of model names that refer to an installed Python package: package:NAME/FOLDER.
PACKAGE_PREFIX = "package:"

Pooling = Literal["first", "mean", "max", "last"]
Resampling = Literal["sqrt", "balanced"]


class NewTokenizer(Section):
    """A byte-level BPE tokenizer, trained on the training rows."""

    train_on_text: Literal[True]
    # Tokens, including special tokens and the 256 bytes. Small data may give fewer.
    vocab_size: Annotated[int, Field(ge=300, le=1_000_000)] = 8000


class ModelSection(Section):
    """A pretrained checkpoint (`name`) or a new model with random weights (`config`). Exactly one of the two is required."""

    # Hub id, local folder, or package:NAME/FOLDER for a model inside an installed Python package.
    name: Name | None = None
    # Config of a new model: a mapping such as {model_type: gpt2, n_layer: 4}, or the path of a config.json.
    # Vocabulary size and special tokens come from the tokenizer, initial weights from training.seed.
    config: dict[str, Any] | Name | None = None
    # Tokenizer of a new model: a Hub id, a folder, package:NAME/FOLDER, or {train_on_text: true}.
    tokenizer: NewTokenizer | Name | None = None
    # Branch, tag or commit on the Hub. The run folder records the commit. Default: the main branch.
    revision: str | None = None
    # Expected sha256 of model.safetensors; a file with another hash is refused. Default: no check.
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    # Replaces every dropout probability in the model's config. Default: the config's own values.
    dropout: Share | None = None
    # The vector of a text that a classification head reads: the first token, the mean or the maximum of all tokens, or the last
    # token; null: the default of the model family. auto: the pooling that the checkpoint names (1_Pooling/config.json of
    # sentence-transformers), else null; with a `reference` section, null. Encoder-decoders support auto and null only.
    pooling: Pooling | Literal["auto"] | None = "auto"
    # Add an embedding for each token of the tokenizer that has none. Requires method=full, which trains the new embeddings.
    # false: a tokenizer with more tokens than the model is refused.
    resize_embeddings: bool = False

    @property
    def title(self) -> str:
        """Name of the model in lists and tables: the checkpoint's name, or "TYPE from scratch"."""
        if self.name is not None:
            return self.name
        return f"{self.config if isinstance(self.config, str) else (self.config or {}).get('model_type')} from scratch"

    def conflict(self) -> str | None:
        if self.name is None and self.config is None:
            return "set a checkpoint (model.name=NAME) or the config of a new model (model.config={model_type: gpt2})"
        if self.name is not None and self.config is not None:
            return "name and config exclude each other; remove one, or set it to null"
        if self.name is not None:
            return (
                "tokenizer is only allowed with config; a checkpoint has its own. Remove it" if self.tokenizer else None
            )
        if self.tokenizer is None:
            return "config requires a tokenizer: model.tokenizer=NAME or model.tokenizer={train_on_text: true}"
        if self.revision is not None or self.sha256 is not None or self.resize_embeddings:
            return "revision, sha256 and resize_embeddings are only allowed with a checkpoint (model.name); remove them"
        return None


def _fold(text: str) -> str:
    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
    if match is None or not int(match[2]) >= 2 or int(match[1]) > int(match[2]):
        raise ValueError(f"found {text!r}; a fold is NUMBER/FOLDS with at least two folds, such as 2/5")
    return text


# Settings that cannot be used with data.stream_rows.
_NEED_ALL_ROWS = ("card", "train_fraction", "fold", "group", "time", "patch")


class DataSection(Section):
    """The training, validation and test rows: a data card, local files, both, or a data set on the Hub."""

    # Name of a data card under data_cards/, or the path of a card's folder.
    card: Name | None = None
    # A data set on the Hub, or in the local cache: OWNER/NAME or OWNER/NAME@REVISION. train, validation and test then name its
    # splits; by default train, validation (also valid, val, dev) and test.
    hub: Annotated[str, AfterValidator(hub_names.data_set)] | None = None
    # Config (subset) of the data set on the Hub. Default: the only config.
    hub_config: Name | None = None
    # Local files or folders, relative to the current folder: csv, json, parquet, conll, txt and other formats, also compressed;
    # a pattern such as train-*.parquet reads several files. They replace the card's files.
    train: Name | None = None
    validation: Name | None = None
    test: Name | None = None
    # Share of the training rows to hold out for validation, selected by a hash of each row or group, and stratified where rows
    # have one label. Required without validation rows.
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    # Share of the training rows to hold out for the test, in the same way as validation_fraction and after it. Default: none.
    # Without test rows, the scores come from the validation rows, which also select the best checkpoint.
    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    # Train on this share of the rows, selected by a hash of each row: a larger share contains every smaller one. Default: all.
    # Labels are still collected from all rows, and validation rows are held out first.
    train_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    # One fold of a cross-validation, such as 2/5: the rows of fold 2 of 5 are the test rows, and the others are for training.
    # Folds are selected by a hash of each row or group, and stratified where rows have one label. `ftk folds` sets it.
    # Default: no folds. Test rows of the recipe are not used.
    fold: Annotated[str, AfterValidator(_fold)] | None = None
    # Column that tells which rows belong together, such as a document or customer; id: rows are independent. Held-out rows are
    # whole groups, train_fraction adds whole groups, and intervals resample groups. Default: for question answering the
    # article title, else the context; the document where a CoNLL file marks documents; no groups for other tasks.
    group: Name | None = None
    # Column with the date of a row, in the form of ISO 8601, such as 2024-05-31 or 2024-05-31T09:30:00Z. validation_fraction
    # and test_fraction then hold out the newest rows: validation rows are newer than training rows, and test rows are the
    # newest. Rows with the same date are in one split. Default: rows are held out by a hash.
    time: Name | None = None
    # Read the training rows as a stream, this many at a time, and train on them in random order before the next ones are read:
    # for data that is too large to be read before the first step. Requires training.max_steps, and a task whose model does not
    # depend on all rows. validation_fraction and test_fraction then hold rows out of the first ones. Default: all rows are
    # read before the first step.
    stream_rows: PositiveInt | None = None
    # Rows that cannot be read: error, or skip, which leaves out at most 20% of the rows and lists them in skipped_rows.jsonl.
    on_bad_rows: Literal["error", "skip"] = "error"
    # A file with decisions on rows (keep, relabel, drop), saved by the page of `ftk data audit --output FOLDER`. They are
    # applied after rows are held out, and the report gives the number of changed rows. Default: none.
    patch: Name | None = None
    # Column names of the files, by the task's column names, such as {text: review, label: stars}. Default: the same names.
    # With several labels per row, label may list one 0/1 column per label: {label: [billing, delivery]}.
    columns: dict[str, str | Annotated[list[Name], Field(min_length=2)]] = Field(default_factory=dict)
    # Text between the labels of a cell, for task.problem_type=multi_label_classification. A space separates at any white space.
    label_separator: Annotated[str, Field(min_length=1)] = "|"
    # How to read the files, where their content and names do not say enough: format, encoding, delimiter, quotes, column_names,
    # token_column, tag_column, sheet, label_names (ft_toolkit/recipe/reading.py). Default: detected.
    reading: Reading | None = None
    # Maximum tokens per example, including special tokens. The report counts tokens that are cut off.
    max_length: Annotated[int, Field(ge=8)] = 256

    def conflict(self) -> str | None:
        problems = []
        if self.card is None and self.train is None and self.hub is None:
            problems.append(
                "set a data card (data.card=NAME), training rows (data.train=FILE), or a data set (data.hub=OWNER/NAME)"
            )
        elif self.card is not None and self.hub is not None:
            problems.append("card and hub exclude each other; remove one, or set it to null")
        elif self.hub is None and self.hub_config is not None:
            problems.append("hub_config requires a data set on the Hub; set data.hub=OWNER/NAME, or remove hub_config")
        elif self.hub is None and self.train is None and (self.validation or self.test):
            problems.append("local validation or test rows require local training rows (data.train=FILE)")
        if self.validation is not None and self.validation_fraction is not None:
            problems.append("validation and validation_fraction exclude each other; remove one, or set it to null")
        if self.test is not None and self.test_fraction is not None:
            problems.append("test and test_fraction exclude each other; remove one, or set it to null")
        if self.time is not None and self.validation_fraction is None and self.test_fraction is None:
            problems.append("time requires rows to hold out; set validation_fraction or test_fraction, or remove time")
        for name in ("group", "fold"):
            if self.time is not None and getattr(self, name) is not None:
                problems.append(f"time and {name} exclude each other; remove one, or set it to null")
        if self.stream_rows is not None:
            excluded = [name for name in _NEED_ALL_ROWS if getattr(self, name) is not None]
            problems += [f"stream_rows excludes {name}, which needs all training rows; remove one" for name in excluded]
            if self.on_bad_rows == "skip":
                problems.append("stream_rows excludes on_bad_rows=skip, which needs all training rows; remove one")
        fractions = (self.validation_fraction, self.test_fraction)  # invalid values have a message of their own
        if sum(share for share in fractions if isinstance(share, float) and 0 < share < 1) >= 1:
            problems.append("validation_fraction and test_fraction leave no training rows; their sum must be below 1")
        return "; ".join(problems) or None

    @property
    def has_local_files(self) -> bool:
        """Whether the training rows are in local files."""
        return self.train is not None and self.hub is None


class AugmentationSection(Section):
    """Copies of the training rows with changed texts. Off by default: all shares are 0.

    A copy gets every change whose share is above 0. Held-out rows, baselines and the audit of the data see the original rows.
    """

    # Copies of each training row, in addition to the row. A row that cannot be changed is repeated unchanged.
    copies: Annotated[int, Field(ge=1, le=20)] = 1
    # Share of the entities that another entity of the same type, from another training row, replaces.
    replace_entities: Annotated[float, Field(ge=0, le=1)] = 0.0
    # Share of the words that a synonym replaces, if they have one.
    synonyms: Annotated[float, Field(ge=0, le=1)] = 0.0
    # Share of the words that are left out.
    delete_words: Annotated[float, Field(ge=0, lt=1)] = 0.0
    # Share of the words that change places with the next word.
    swap_words: Annotated[float, Field(ge=0, le=1)] = 0.0
    # Share of the words of more than 3 letters that get a typing error.
    typos: Annotated[float, Field(ge=0, le=1)] = 0.0
    # Text file with the synonyms: a group of words per line, separated by commas. Default: WordNet (English) through nltk.
    word_list: Name | None = None

    @property
    def shares(self) -> dict[AugmentKind, float]:
        """The shares above 0, in the order in which the changes are made."""
        return {kind: share for kind in get_args(AugmentKind) if (share := getattr(self, kind)) > 0}

    def conflict(self) -> str | None:
        kinds = get_args(AugmentKind)
        problems = []
        if self.copies != 1 and not any(getattr(self, kind) for kind in kinds):
            problems.append(f"copies requires a change; set the share of one ({one_of(kinds)}), or remove copies")
        if self.word_list is not None and not self.synonyms:
            problems.append("word_list requires synonyms; set the share of words, such as synonyms=0.1, or remove it")
        return "; ".join(problems) or None


def _distinct(seeds: list[int]) -> list[int]:
    if len(seeds) < 2 or len(set(seeds)) < len(seeds):
        raise ValueError(f"found {seeds}; at least two different seeds are required, each once")
    return seeds


class TrainingSection(Section):
    """The optimizer (AdamW), its schedule and the batches. Names follow transformers.TrainingArguments."""

    # Seed of new weights, shuffling and dropout. A fixed default makes runs repeatable; the value is arbitrary.
    seed: Seed = 13
    # Multi-seed run: the whole run once per seed, each in its own folder, then mean and spread. Replaces seed.
    seeds: Annotated[list[Seed], AfterValidator(_distinct)] | None = None
    # Passes over the training rows. auto: 3, or more until the run has enough optimizer steps.
    num_train_epochs: PositiveInt | Auto = "auto"
    # Optimizer steps in total. Overrides num_train_epochs, also to train longer. 0: only the linear probe of the head
    # (head_start=probe) is fitted.
    max_steps: Annotated[int, Field(ge=0)] | None = None
    # Tokens per device and micro-batch, including padding. It replaces examples_per_batch.
    tokens_per_batch: PositiveInt | None = None
    # Examples per device and micro-batch. Default: chosen from the number of rows, if tokens_per_batch is not set either.
    examples_per_batch: PositiveInt | None = None
    # Micro-batches per device and optimizer step. Larger values give larger batches in the same memory.
    gradient_accumulation_steps: Annotated[int, Field(gt=0, le=10_000)] = 1
    # Peak learning rate. auto: chosen from the method and from the family and width of the model.
    learning_rate: PositiveFloat | Auto = "auto"
    # Factor on the learning rate from each block to the next lower one, and to the embeddings. 1.0: one rate for all.
    layerwise_lr_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    # Peak learning rate of the task's head and of other new modules. Default: learning_rate.
    head_learning_rate: PositiveFloat | None = None
    # Initial weights of a new head: random (none) or a linear probe of the frozen model (probe, Kumar et al. 2022,
    # arXiv:2202.10054). auto: a probe if the head is new, the model is pretrained, and the probe has a lower loss on held-out
    # training rows than random weights and than a constant prediction.
    head_start: Literal["auto", "none", "probe"] = "auto"
    # Contrastive training of the encoder before the head (Tunstall et al. 2022, arXiv:2209.11055): pairs for each training row,
    # half of them with the same label. 40 pairs suit 8 rows per label. For tasks with one label per row. Default: none.
    contrastive_pairs: Annotated[int, Field(gt=0, le=10_000)] | None = None
    # AdamW's weight decay, on weight matrices only. 0.01 is AdamW's usual value.
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    # Maximum gradient norm; null turns clipping off. 1.0 is the default of transformers.
    max_grad_norm: PositiveFloat | None = 1.0
    # Share of the steps in which the learning rate rises to its peak. auto: 0.1.
    warmup_ratio: Share | Auto = "auto"
    # Learning rate after the warmup: falls to 0 in a line or along a cosine, or stays constant.
    lr_scheduler_type: Literal["linear", "cosine", "constant"] = "linear"
    # bf16: forward pass in bfloat16 under autocast, weights and optimizer in float32. no: everything in float32.
    # auto: bf16 if the hardware multiplies bfloat16 natively and the model is wide enough to gain; the run prints its choice.
    mixed_precision: Literal["auto", "no", "bf16"] = "auto"
    # Draw the rows of each epoch by class: balanced gives all classes the same share, sqrt a share proportional to the square
    # root of their rows. Rows of rare classes repeat, an epoch keeps its number of rows. For tasks with one label per row.
    # Default: each row once.
    resample_classes: Resampling | None = None
    # Optimizer steps between two progress records in metrics.jsonl.
    logging_steps: PositiveInt = 10
    # Optimizer steps between two checkpoints. Default: a checkpoint at each evaluation only.
    save_steps: PositiveInt | None = None
    # A step whose loss or gradient is NaN or infinite: stop ends the run before the update; skip leaves the step out, with its
    # rows, and continues with the next one. Weights that are not finite always end the run, as do steps on contrastive pairs.
    on_nonfinite: Literal["stop", "skip"] = "stop"
    # With on_nonfinite=skip: the number of steps of the run that may be skipped. One more step ends the run.
    max_skipped_steps: PositiveInt = 10
    # With several processes: seconds after which a process that does not respond ends the run (it was stopped, or its machine
    # or network failed).
    lost_process_seconds: Annotated[float, Field(ge=5)] = 300.0

    def conflict(self) -> str | None:
        problems = []
        if self.tokens_per_batch is not None and self.examples_per_batch is not None:
            problems.append("tokens_per_batch and examples_per_batch exclude each other; remove one, or set it to null")
        if self.seeds is not None and "seed" in self.model_fields_set:
            problems.append("seed and seeds exclude each other; remove one")
        if self.max_steps == 0 and self.head_start != "probe":
            problems.append(
                "max_steps=0 trains nothing but a linear probe; set head_start=probe, or max_steps to 1 or more"
            )
        return "; ".join(problems) or None


class EvaluationSection(Section):
    """The scores, and the selection of the best checkpoint."""

    # Metric that selects the best checkpoint: one of the task's, or loss. Default: the task's first metric.
    # With loss, a task that generates texts generates only after training, which is faster.
    metric_for_best_model: str | None = None
    # Optimizer steps between two evaluations on the validation rows; null: one evaluation per epoch. auto: one per epoch, at
    # most 10 in a run, and at most one per 5 validation rows.
    eval_steps: PositiveInt | Auto | None = "auto"
    # Stop after this many evaluations without a better score; null: never. auto: half of the evaluations, if the run has more
    # than 10, else never.
    early_stopping_patience: PositiveInt | Auto | None = "auto"
    # Bootstrap resamples for the 95% intervals. With 1000, their ends vary by about a tenth of the standard error.
    bootstrap_samples: Annotated[int, Field(ge=100, le=100_000)] = 1000
    # Baselines to score on the same rows, from the task's list; an empty list computes none. Default: all that apply.
    baselines: list[str] | None = None
    # Columns of the files whose values split the scores, such as a source or a year. The model does not see them.
    slices: list[Name] = Field(default_factory=list)
    # Columns with the group of a row, such as a dialect. The report tests whether a classifier treats the groups equally.
    groups: list[Name] = Field(default_factory=list)
    # Number of most confident errors of a text classifier to explain word by word (requires captum). 0: none.
    attributions: Annotated[int, Field(ge=0, le=20)] = 0


class ReferenceSection(Section):
    """A published result to compare with. Ignored if the command line changes the model or the rows."""

    # Name of the metric, from the task's list.
    metric: str
    # The published score.
    value: float
    # The result counts as reached if the score is at least `value` minus this.
    tolerance: Annotated[float, Field(ge=0)]
    # The split of the published score.
    split: Literal["validation", "test"] = "validation"
    # Where the score was published.
    source: str = Field(min_length=1)


class TrackingSection(Section):
    """Experiment trackers, used through Accelerate."""

    # Trackers that record losses and scores. Default: none; metrics.jsonl always has them.
    trackers: list[Literal["tensorboard", "wandb", "trackio"]] = Field(default_factory=list)
    # Project name at the tracker.
    project: str = Field(default="ft_toolkit", min_length=1)


class HubSection(Section):
    """Metadata for the model card, and the upload to the Hub."""

    # Licence of the model, as a Hub identifier such as apache-2.0. Default: the card names none.
    license: Annotated[str, AfterValidator(hub_names.licence)] | None = None
    # Languages of the model, as ISO 639 codes. Default: the languages of the data card.
    language: Annotated[list[Annotated[str, AfterValidator(hub_names.language)]], Field(min_length=1)] | None = None
    # Push the model after the run. Token, permissions and metadata are checked before training.
    push: bool = False
    # Repository to push to: OWNER/NAME. Required with push.
    repo: Annotated[str, AfterValidator(hub_names.owned_id)] | None = None
    # Visibility of a repository that the push creates. An existing repository keeps its visibility.
    private: bool = True
    # Branch to push to; it is created if necessary. Default: main.
    revision: Annotated[str, AfterValidator(hub_names.revision_name)] | None = None
    # Push the weights with the adapter merged into them. The run folder keeps the adapter.
    merged: bool = False

    def conflict(self) -> str | None:
        return "push requires a repository: hub.repo=OWNER/NAME" if self.push and self.repo is None else None


class Recipe(Section):
    """A complete recipe: valid, with a value for every setting."""

    task: TaskSettings
    model: ModelSection
    data: DataSection
    augmentation: AugmentationSection
    method: Method
    training: TrainingSection
    evaluation: EvaluationSection
    reference: ReferenceSection | None
    tracking: TrackingSection
    hub: HubSection

    def as_dict(self) -> dict[str, Any]:
        """Return plain values by section and key, including defaults, in the order of the schema."""
        values = {name: _plain_values(getattr(self, name)) for name in type(self).model_fields}
        if values["training"]["seeds"] is not None:
            del values["training"]["seed"]  # unused in a multi-seed run
        return values

    def sha256(self) -> str:
        """Return the sha256 of the complete recipe as a hex string."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()


# The sections that `load_recipe` reads with one fixed class each; `task` and `method` depend on their name.
SECTIONS: dict[str, type[Section]] = {
    "model": ModelSection,
    "data": DataSection,
    "augmentation": AugmentationSection,
    "training": TrainingSection,
    "evaluation": EvaluationSection,
    "reference": ReferenceSection,
    "tracking": TrackingSection,
    "hub": HubSection,
}


def _plain_values(section: BaseModel | None) -> Any:
    return None if section is None else section.model_dump(mode="json")
