"""The recipe: what may stand in it. `recipe_file.load_recipe` reads one."""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ft_toolkit.core import hub_names
from ft_toolkit.tasks.base import TaskSettings

# What the name of a model begins with that an installed Python package carries: package:NAME/FOLDER.
PACKAGE_PREFIX = "package:"

PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Name = Annotated[str, Field(min_length=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


def _different(seeds: list[int]) -> list[int]:
    if len(seeds) < 2 or len(set(seeds)) < len(seeds):
        raise ValueError(f"found {seeds}; at least two seeds are needed, each a different one")
    return seeds


class Section(BaseModel):
    """One section of a recipe. Unknown keys are mistakes; a text is never taken for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    def clash(self) -> str | None:
        """Return what is wrong between keys, in words. Looks only at which keys are set, so that any values will do."""
        return None

    @model_validator(mode="after")
    def _no_clash(self) -> Self:
        if problem := self.clash():
            raise ValueError(problem)
        return self


class NewTokenizer(Section):
    """A byte-level BPE tokenizer that is learned from the training rows."""

    train_on_text: Literal[True]
    # Tokens, special ones and the 256 bytes included; few rows may give fewer.
    vocab_size: Annotated[int, Field(ge=300)] = 8000


class ModelSection(Section):
    """The pretrained checkpoint, or a new model with random weights. Exactly one of `name` and `config` is set."""

    # Hub id, folder on disk, or package:NAME/FOLDER for a model that an installed Python package carries.
    name: Name | None = None
    # A new model: values of its transformers config, such as {model_type: gpt2, n_layer: 4}, or the path of a config.json.
    # The size of the vocabulary and the special tokens come from the tokenizer, the weights from training.seed.
    config: dict[str, Any] | Name | None = None
    # The new model's tokenizer: that of a model (Hub id, folder, package:NAME/FOLDER), or {train_on_text: true}.
    tokenizer: NewTokenizer | Name | None = None
    # Hub branch, tag or commit. The commit it resolved to is recorded in the run folder.
    revision: str | None = None
    # Expected sha256 of model.safetensors; another file is refused.
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    # Replaces every dropout probability of the config; null keeps them.
    dropout: Share | None = None

    @property
    def title(self) -> str:
        """What people call the model: its name, or its type when it is new."""
        if self.name is not None:
            return self.name
        return f"{self.config if isinstance(self.config, str) else (self.config or {}).get('model_type')} from scratch"

    def clash(self) -> str | None:
        if self.name is None and self.config is None:
            return (
                "needs a checkpoint (model.name=NAME), or the config of a new model (model.config={model_type: gpt2})"
            )
        if self.name is not None and self.config is not None:
            return "name and config exclude each other; keep one (null unsets the other)"
        if self.name is not None:
            return "tokenizer goes with config; a checkpoint has its own. Remove it." if self.tokenizer else None
        if self.tokenizer is None:
            return "config needs a tokenizer: model.tokenizer=NAME, or model.tokenizer={train_on_text: true}"
        if self.revision is not None or self.sha256 is not None:
            return "revision and sha256 belong to a checkpoint (model.name), not to a new model; remove them"
        return None


class DataSection(Section):
    """Where the rows come from."""

    # A data card: a name under data_cards/, or the path of a card's folder.
    card: Name | None = None
    # Local files (csv, tsv, json, jsonl, parquet, txt), relative to the current folder. They replace the card's own.
    train: Name | None = None
    validation: Name | None = None
    test: Name | None = None
    # Without validation rows: this share of the training rows is held out, chosen by a hash of each row.
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    # Train on this share of the training rows, chosen by a hash of each row: a smaller share is part of a larger one. The label
    # names are still those of all rows, and validation rows are held out before. null: all rows.
    train_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    # The task's column -> the column's name in the files, e.g. {text: review, label: stars}.
    columns: dict[str, str] = {}
    # Tokens per example, special tokens included; the rest is cut off and counted in the report.
    max_length: Annotated[int, Field(ge=8)] = 256

    def clash(self) -> str | None:
        problems = []
        if self.card is None and self.train is None:
            problems.append("needs a card (data.card=NAME) or training rows (data.train=FILE)")
        elif self.train is None and (self.validation or self.test):
            problems.append("local validation or test rows need local training rows too (data.train=FILE)")
        if self.validation is not None and self.validation_fraction is not None:
            problems.append("validation and validation_fraction exclude each other; keep one (null unsets the other)")
        return "; ".join(problems) or None


class FullMethod(Section):
    """Every weight is trained."""

    name: Literal["full"] = "full"


class LoraMethod(Section):
    """Low-rank adapters; the task's head is trained in full.

    lora: Hu et al. 2021, arXiv:2106.09685. dora splits the update into size and direction: Liu et al. 2024, arXiv:2402.09353.
    """

    name: Literal["lora", "dora"]
    # Rank of the update.
    r: PositiveInt = 8
    # The update is scaled by alpha / r.
    alpha: PositiveFloat = 16.0
    # Dropout on the adapter's input.
    dropout: Share = 0.0
    # Which weight matrices get an adapter: the attention's, all of the blocks', or module name endings.
    target_modules: Literal["attention", "all-linear"] | Annotated[list[str], Field(min_length=1)] = "attention"
    # Fold the adapter into the weights when saving, so that the model folder needs no peft and no base model.
    merge: bool = False


class Ia3Method(Section):
    """A learned scale on keys, values and the feed-forward's inner activations (Liu et al. 2022, arXiv:2205.05638).

    The task's head is trained in full.
    """

    name: Literal["ia3"]
    # Fold the scales into the weights when saving, so that the model folder needs no peft and no base model.
    merge: bool = False


class FreezeMethod(Section):
    """Part of the weights is trained, as they are; the model is saved whole."""

    name: Literal["freeze"]
    # all: only the task's head is trained. A number: the embeddings and that many of the lowest blocks are not trained.
    frozen_layers: Literal["all"] | Annotated[int, Field(ge=0)] = "all"


Method = FullMethod | LoraMethod | Ia3Method | FreezeMethod


def saves_adapter(method: Method) -> bool:
    """Say whether the model folder will hold an adapter, which needs its base model."""
    return isinstance(method, (LoraMethod, Ia3Method)) and not method.merge


METHODS: dict[str, type[Section]] = {
    "full": FullMethod,
    "lora": LoraMethod,
    "dora": LoraMethod,
    "ia3": Ia3Method,
    "freeze": FreezeMethod,
}


class TrainingSection(Section):
    """The optimizer (AdamW), the schedule and the batches. Names are those of transformers.TrainingArguments."""

    seed: Seed = 13
    # Takes the place of seed: the whole run once per seed, each in a folder of its own, then mean and spread of them all.
    seeds: Annotated[list[Seed], AfterValidator(_different)] | None = None
    # Passes over the training rows; max_steps, where given, ends the run earlier or later than that.
    num_train_epochs: PositiveInt = 3
    max_steps: PositiveInt | None = None
    # Padded tokens per device and micro-batch; or examples, for published recipes that fix them. Exactly one.
    tokens_per_batch: PositiveInt | None = None
    examples_per_batch: PositiveInt | None = None
    # Micro-batches per device and optimizer step.
    gradient_accumulation_steps: PositiveInt = 1
    # Peak learning rate.
    learning_rate: PositiveFloat = 5e-5
    # Each block learns at this factor of the rate of the block above it, the embeddings at one factor below the lowest block.
    layerwise_lr_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    # Peak learning rate of the task's head and of other new modules; null takes learning_rate.
    head_learning_rate: PositiveFloat | None = None
    # A new head starts at random (none), or from a linear probe of the frozen model's features (Kumar et al. 2022,
    # arXiv:2202.10054). auto probes a new head on a pretrained model where it has few steps per label.
    head_start: Literal["auto", "none", "probe"] = "auto"
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    # Largest gradient norm; null does not clip.
    max_grad_norm: PositiveFloat | None = 1.0
    # Share of the steps in which the learning rate rises from 0.
    warmup_ratio: Share = 0.06
    lr_scheduler_type: Literal["linear", "cosine", "constant"] = "linear"
    # bf16 computes the forward pass in bfloat16 under autocast; weights and optimizer stay float32. auto takes it where the
    # hardware multiplies bfloat16 itself and the model is wide enough to gain by it; the run says which, and records that.
    mixed_precision: Literal["auto", "no", "bf16"] = "auto"
    # Steps between two progress records in metrics.jsonl.
    logging_steps: PositiveInt = 10
    # Steps between two checkpoints; one is also written at each evaluation.
    save_steps: PositiveInt | None = None

    def clash(self) -> str | None:
        problems = []
        if (self.tokens_per_batch is None) == (self.examples_per_batch is None):
            problems.append("exactly one of tokens_per_batch and examples_per_batch must be set (null unsets one)")
        if self.seeds is not None and "seed" in self.model_fields_set:
            problems.append("seed and seeds exclude each other; keep one")
        return "; ".join(problems) or None


class EvaluationSection(Section):
    """How the model is scored, and which checkpoint is kept."""

    # The task's metric that picks the best checkpoint, or loss; null takes the task's first. With loss, a task that
    # generates texts does so only at the end.
    metric_for_best_model: str | None = None
    # Optimizer steps between two evaluations on the validation rows; null evaluates after each epoch.
    eval_steps: PositiveInt | None = None
    # Stop after this many evaluations in a row without a better score.
    early_stopping_patience: PositiveInt | None = None
    # Resamples for the 95% intervals.
    bootstrap_samples: Annotated[int, Field(ge=100)] = 1000
    # What the score is held against, by the task's names (tfidf needs scikit-learn); null takes the task's first.
    baselines: list[str] | None = None
    # Columns of the files by whose values the scores are also shown, such as a source or a year; the model never sees them.
    slices: list[Name] = []
    # Columns that say which group a row belongs to, such as a dialect: classifiers are tested for treating all alike.
    groups: list[Name] = []
    # Of so many of the surest mistakes of a text classifier, the words are shaded by what they contributed (needs captum).
    attributions: Annotated[int, Field(ge=0, le=20)] = 0


class ReferenceSection(Section):
    """A published result that the report compares with; left out when the command line takes another model or other rows."""

    metric: str
    value: float
    # How far below `value` still counts as reached.
    tolerance: Annotated[float, Field(ge=0)]
    # The split the published number was measured on.
    split: Literal["validation", "test"] = "validation"
    # Where the number was published.
    source: str = Field(min_length=1)


class TrackingSection(Section):
    """Experiment trackers, through Accelerate."""

    trackers: list[Literal["tensorboard", "wandb", "trackio"]] = []
    # The project's name at the tracker.
    project: str = Field(default="ft_toolkit", min_length=1)


class HubSection(Section):
    """What the model card says that no file knows, and pushing the finished model to the Hub."""

    # The model's licence, by the Hub's identifier; null leaves it out of the card.
    license: Annotated[str, AfterValidator(hub_names.licence)] | None = None
    # The languages that the model reads, as ISO 639 codes; null takes those of the data card.
    language: Annotated[list[Annotated[str, AfterValidator(hub_names.language)]], Field(min_length=1)] | None = None
    # Push the model when the run is finished. Token, rights and metadata are checked before training.
    push: bool = False
    # Where to: owner/name.
    repo: Annotated[str, AfterValidator(hub_names.owned_id)] | None = None
    # Whether only its owner sees a repository that the push makes; one that exists stays as it is.
    private: bool = True
    # The branch, made if it is not there; null takes main.
    revision: Annotated[str, AfterValidator(hub_names.revision_name)] | None = None
    # Push whole weights with the adapter folded in, which need neither peft nor the base model; the run keeps the adapter.
    merged: bool = False

    def clash(self) -> str | None:
        return "push needs a repository: hub.repo=OWNER/NAME" if self.push and self.repo is None else None


class Recipe(Section):
    """A whole recipe, valid and resolved to the last default."""

    task: TaskSettings
    model: ModelSection
    data: DataSection
    method: Method
    training: TrainingSection
    evaluation: EvaluationSection
    reference: ReferenceSection | None
    tracking: TrackingSection
    hub: HubSection

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, every default included, in the order of the sections."""
        values = {name: _plain(getattr(self, name)) for name in type(self).model_fields}
        if values["training"]["seeds"] is not None:
            del values["training"]["seed"]  # not in force
        return values

    def sha256(self) -> str:
        """Return the hash of the resolved recipe."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()


def _plain(section: BaseModel | None) -> Any:
    return None if section is None else section.model_dump(mode="json")
