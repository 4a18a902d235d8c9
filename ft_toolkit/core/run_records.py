"""The typed JSON files of a run folder: results.json, scale.json, environment.json and model/inference.json.

`docs/schemas/` holds a JSON Schema of each. Keys may be added; see `json_records.SCHEMA_VERSION` for other changes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ft_toolkit.core.audit_records import FaultCount
from ft_toolkit.core.augmentation_records import AugmentationFacts
from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.export_records import ExportedGraph, ExportFacts
from ft_toolkit.core.json_records import (
    FileRecord,
    InnerPath,
    Record,
    damaged,
    parse_record,
    read_object,
    read_record,
    read_text,
    write_record,
)
from ft_toolkit.core.patch_records import PatchFacts
from ft_toolkit.core.run_folder import ENSEMBLE, ENVIRONMENT, INFERENCE, LEARNING_CURVE, RECIPE, RESULTS
from ft_toolkit.core.run_scores import MetricScore, Score, SplitScores, says_nothing
from ft_toolkit.core.yaml12 import YamlError, parse_yaml

# --- results.json


class SplitRows(Record):
    """Facts about the rows of a split. Other keys (`entities_cut` ...) count the answers that truncation removes."""

    rows: int
    empty_texts: int | None = None
    repeated_texts: int | None = None
    also_in_training: int | None = Field(default=None, description="null where the training rows are not known")
    tokens: int | None = None
    longest: int | None = Field(default=None, description="Tokens of the longest row")
    rows_cut: int | None = None
    tokens_cut: int | None = None


class DataFacts(Record):
    """The rows of a run, and the data card that they came from (null without one)."""

    card: str | None = None
    title: str | None = None
    licence: str | None = None
    languages: list[str] = Field(default_factory=list)
    hub: str | None = None
    config: str | None = None
    commit: str | None = None
    origin: dict[str, str] = Field(default_factory=dict)
    fingerprint: str | None = Field(default=None, description="sha256 of all rows")
    split_fingerprints: dict[str, str] = Field(default_factory=dict)
    splits: dict[str, SplitRows] = Field(default_factory=dict)
    warnings: list[str] = Field(default_factory=list)
    faults: list[FaultCount] = Field(
        default_factory=list, description="Only kinds with cases; without nearly equal texts and other languages"
    )
    searched_texts: int | None = Field(
        default=None, description="Texts that were searched for faults; null in old folders"
    )
    patch: PatchFacts | None = Field(default=None, description="The rows that data.patch changed")
    augmentation: AugmentationFacts | None = Field(
        default=None, description="The changed copies of the training rows; the other facts are about the original rows"
    )


class ValidationRecord(Record):
    """An evaluation during training. Further keys are the validation scores: `validation_accuracy` ..."""

    step: int
    epoch: int
    validation_loss: float | None = None
    seconds: float | None = None

    def score(self, name: str) -> float | None:
        """Return the validation score of a metric, or of `loss`; None where it is undefined."""
        key = f"validation_{name}"
        value = self.validation_loss if name == "loss" else (self.model_extra or {}).get(key)
        return None if value is None else float(value)


class LinearProbe(Record):
    """The linear probe that initialized a new head: mean loss with random weights, after the fit, and on held-out rows."""

    layer: str
    features: int
    penalty: float
    random_loss: float
    loss: float
    seconds: float
    held_out_loss: float | None = None
    constant_loss: float | None = None


class ContrastiveFacts(Record):
    """The contrastive training on pairs of rows before the head: the loss of its first and of its last step."""

    pairs: int
    steps: int
    first_loss: float
    loss: float
    seconds: float


class StreamFacts(Record):
    """Training rows that were read as a stream (data.stream_rows): rows and tokens until the last step."""

    rows_per_buffer: int
    buffers: int
    rows: int
    tokens: int


class TrainingFacts(Record):
    """Training: steps, evaluations, parameters, time and memory."""

    steps: int
    planned_steps: int | None = None
    skipped_steps: int = Field(default=0, description="Steps without an update: their loss or gradient was not finite")
    best_step: int | None = None
    evaluations: list[ValidationRecord] = Field(default_factory=list)
    selection_bias: float | None = Field(
        default=None,
        description="Expected excess of the best of equally good checkpoints over its true score",
    )
    constant_loss: float | None = Field(
        default=None,
        description="Training loss of the best constant prediction, such as the shares of the classes",
    )
    trainable_parameters: int | None = None
    total_parameters: int | None = None
    new_modules: list[str] = Field(default_factory=list)
    head_start: LinearProbe | None = None
    contrastive: ContrastiveFacts | None = None
    stream: StreamFacts | None = None
    seconds: float
    startup_seconds: float | None = None
    step_seconds: float | None = None
    tokens_per_second: float | None = None
    padding_share: float | None = None
    peak_memory_mib: int | None = None
    batch: str | None = None
    chosen: dict[str, Any] = Field(default_factory=dict, description="Settings that the run chose, and their values")


class Reference(Record):
    """A published result beside the score of this run (`found`); `reached` is null where it was not measured."""

    metric: str
    value: float
    tolerance: float
    split: str
    source: str
    found: float | None
    reached: bool | None


class ReloadCheck(Record):
    """The comparison with the predictions of a fresh process that loaded the saved model."""

    split: str
    rows: int
    largest_difference: float
    other_answers: int | None = None
    tolerance: float
    seconds: float | None = None


class BaselineFacts(Record):
    """The number of training rows that a baseline was fitted to, and the time for fit and predictions."""

    training_rows: int
    seconds: float


class EvaluationCost(Record):
    """Time and memory of an evaluation."""

    finished: str | None = Field(default=None, description="UTC time")
    seconds: float | None = None
    rows_per_second: float | None = None
    peak_memory_mib: int | None = None


class Verdict(Record):
    """The comparison with the best baseline, and suggestions if the model is not significantly better."""

    text: str
    split: str
    baseline: str | None = Field(description="Name of the baseline with the best score; null without baselines")
    outcome: Literal["better", "worse", "no significant difference", "unknown"] = Field(
        description="Significant exactly when the interval of the difference excludes 0"
    )
    suggestions: list[str] = Field(default_factory=list)


class Results(FileRecord):
    """The keys that every results.json has."""

    kind: str
    verdict: Verdict | None = Field(default=None, description="Only in results of a single run")
    name: str
    task: str
    pipeline_tag: str | None = None
    command: str | None = None
    substitutions: list[str] = Field(description="What a smoke run replaced; empty for any other run")
    model: str
    main_metric: str
    greater_is_better: bool = True
    lower_is_better: list[str] = Field(
        default_factory=list, description="The metrics for which a lower value is better"
    )
    data: DataFacts = DataFacts()

    def as_json(self) -> dict[str, Any]:
        """Return the keys that were read or set, with version and kind."""
        return {"schema_version": self.schema_version, "kind": self.kind, **super().as_json()}

    def prefers_higher(self, metric: str) -> bool:
        """Return whether a higher value of a metric, or of `loss`, is better."""
        if metric == self.main_metric:
            return self.greater_is_better
        return metric != "loss" and metric not in self.lower_is_better

    @property
    def is_smoke(self) -> bool:
        """Whether this is a smoke run, whose scores mean nothing."""
        return bool(self.substitutions)


class ScoredResults(Results):
    """The keys that a run and an evaluation share."""

    task_settings: dict[str, Any] = Field(default_factory=dict)
    task_schema: dict[str, Any] = Field(
        default_factory=dict, alias="schema", description="The task's labels and thresholds"
    )
    labels: list[str] = Field(default_factory=list)
    bootstrap_samples: int | None = None
    scores: dict[str, SplitScores] = Field(min_length=1, description="By split")

    @model_validator(mode="after")
    def _has_main_metric(self) -> Self:
        _check_main_metric(self.main_metric, self.scores)
        return self


class RunResults(ScoredResults):
    """results.json of a run."""

    kind: Literal["run"] = "run"
    method: str
    training: TrainingFacts
    baselines: dict[str, BaselineFacts] = Field(default_factory=dict, description="By name")
    reference: Reference | None = None
    reload_proof: ReloadCheck | None = None

    def selected_by(self, selection: str | None) -> str:
        """Return the name of the score that selected the checkpoint.

        `selection` is the recipe's metric_for_best_model; None is the main metric. While that metric is 0 or undefined, the
        loss selects. Earlier versions kept the first checkpoint then; its loss is not the lowest.
        """
        metric = selection or self.main_metric
        silent = [
            record
            for record in self.training.evaluations
            if says_nothing(record.score(metric), greater_is_better=self.prefers_higher(metric))
        ]
        losses = {record.step: record.validation_loss for record in silent if record.validation_loss is not None}
        best_loss = losses.get(self.training.best_step or 0)
        return "loss" if best_loss is not None and best_loss == min(losses.values()) else metric


class EnsembleMember(Record):
    """A run whose model is a member of an ensemble, and its score of the main metric by split."""

    run: str = Field(description="The run folder")
    folder: InnerPath = Field(description="The copy of its model, relative to the model folder of the ensemble")
    model: str
    method: str
    command: str | None = None
    scores: dict[str, MetricScore]


class EvaluationResults(ScoredResults):
    """results.json of a finished model without a training of its own.

    `ftk evaluate` scores a model on other rows, `ftk ensemble` writes `members`, and `ftk export` writes `export`.
    """

    kind: Literal["evaluation", "ensemble", "export"]
    evaluation: EvaluationCost = EvaluationCost()
    members: list[EnsembleMember] = Field(default_factory=list)
    export: ExportFacts | None = None


class BestSeed(Record):
    """The seed with the best validation score."""

    seed: int
    folder: InnerPath
    model: InnerPath = Field(description="The model folder, relative to the run folder")
    chosen_by: str
    value: float | None


class SeedSpread(Record):
    """A metric over the runs of several seeds or folds; `n` counts the runs where it is defined."""

    mean: float | None
    mean_low: float | None = Field(default=None, description="Lower end of the 95% interval of the mean (Student's t)")
    mean_high: float | None = Field(default=None, description="Upper end of this interval")
    sd: float | None
    min: float | None
    max: float | None
    n: int
    values: dict[str, MetricScore] = Field(default_factory=dict, description="By seed, or by number of the fold")


class SeedScores(Record):
    """The scores of a multi-seed run on one split."""

    n: int
    metrics: dict[str, SeedSpread]


class SeedRun(Record):
    """The run of one seed. A further key, named by `best.chosen_by`, is the validation score that selects the best seed."""

    seed: int
    folder: InnerPath
    steps: int
    best_step: int | None = None
    seconds: float
    process_peak_memory_mib: int | None = None

    def selection_score(self, chosen_by: str) -> float | None:
        """Return the validation score that selects the best seed."""
        value = (self.model_extra or {}).get(chosen_by)
        return None if value is None else float(value)


class SeedsResults(Results):
    """results.json of a multi-seed run; `seed_N/` are the folders of its runs."""

    kind: Literal["seeds"] = "seeds"
    method: str
    seeds: list[int]
    best: BestSeed
    scores: dict[str, SeedScores] = Field(min_length=1, description="By split")
    runs: list[SeedRun]
    seconds: float

    @model_validator(mode="after")
    def _has_main_metric(self) -> Self:
        _check_main_metric(self.main_metric, self.scores)
        return self


def _check_main_metric(name: str, scores: Mapping[str, SplitScores | SeedScores]) -> None:
    for split, split_scores in scores.items():
        if name not in split_scores.metrics:
            raise ValueError(f"the main metric '{name}' has no score on split '{split}'")


AnyResults = RunResults | EvaluationResults | SeedsResults


def read_results(folder: Path) -> AnyResults:
    """Return results.json of a finished run, evaluation or multi-seed run.

    Raises UsageError when there is none, RunFolderError (a UsageError) when it is damaged or foreign.
    """
    path = folder / RESULTS
    if not path.is_file():
        if not folder.is_dir():
            raise UsageError(f"{folder}: run folder not found")
        if (folder / RECIPE).is_file():
            raise UsageError(f"{folder}: the run is not finished (no {RESULTS}). Resume it with --resume")
        raise UsageError(f"{folder}: not a run folder (no {RESULTS})")
    value = read_object(path)
    if value.get("kind") in ("evaluation", "ensemble", "export"):
        return parse_record(path, value, EvaluationResults)
    if "seeds" in value:
        return parse_record(path, value, SeedsResults)
    return parse_record(path, value, RunResults)


def read_run_results(folder: Path) -> RunResults:
    """Return results.json of the folder of a single run. Raises UsageError."""
    results = read_results(folder)
    if not isinstance(results, RunResults):
        raise damaged(folder / RESULTS, f"expected the results of a single run, found kind '{results.kind}'")
    return results


def write_results(folder: Path, results: AnyResults) -> None:
    """Write results.json."""
    write_record(folder / RESULTS, results)


# --- recipe.yaml


def read_recipe(folder: Path) -> dict[str, Any] | None:
    """Return the resolved recipe of a run folder, None when it has none, such as an evaluation. Raises RunFolderError."""
    path = folder / RECIPE
    if not path.is_file():
        return None
    try:
        recipe = parse_yaml(read_text(path))[0]
    except YamlError as error:
        raise damaged(path, f"not valid YAML at line {error.line} ({error.problem})") from None
    if not isinstance(recipe, dict):
        raise damaged(path, "expected a mapping of sections")
    return recipe


# --- scale.json


class CurvePoint(Score):
    """The mean score of the runs on one share of the training rows."""

    share: float
    rows: int
    standard_error: float | None
    values: list[float | None] = Field(description="One score per seed")
    steps: int
    seconds: float
    folders: list[InnerPath]


class FittedValue(Score):
    """A value of a fitted curve with its 95% interval. Unlike a measured score, it is always defined."""

    value: float
    low: float
    high: float


class CurveValue(FittedValue):
    """The fitted curve at a number of rows."""

    rows: float


class TwiceTheRows(CurveValue):
    """The predicted score at twice the rows, and the change from all rows."""

    rows: int
    change: FittedValue


class CurveFit(Record):
    """The fitted law `error = a * rows^-b + c`."""

    error: str
    law: str
    a: FittedValue
    b: FittedValue
    c: FittedValue
    floor_shown: bool
    widened: float
    rows: int
    twice: TwiceTheRows
    curve: list[CurveValue]


class ModelCurve(Record):
    """The learning curve of one model; `fit` is null where no curve can be fitted."""

    model: str
    points: list[CurvePoint]
    fit: CurveFit | None


class LearningCurve(FileRecord):
    """scale.json of `ftk scale`."""

    name: str
    command: str | None = None
    task: str
    metric: str
    greater_is_better: bool
    best: float
    split: str
    n: int
    fingerprint: str
    training_rows: int
    epochs: int | None
    minimum_steps: int
    seeds: int
    models: list[ModelCurve]
    seconds: float


def read_learning_curve(folder: Path) -> LearningCurve:
    """Return scale.json. Raises RunFolderError."""
    return read_record(folder / LEARNING_CURVE, LearningCurve)


def write_learning_curve(folder: Path, curve: LearningCurve) -> None:
    """Write scale.json."""
    write_record(folder / LEARNING_CURVE, curve)


# --- environment.json


class Machine(Record):
    """The machine that a run used."""

    system: str | None = None
    processor: str | None = None
    cores: int | None = None
    memory_gib: float | None = None
    python: str | None = None


class DataSource(Record):
    """The rows that a run read."""

    fingerprint: str | None = None
    origin: dict[str, str] = Field(default_factory=dict)
    commit: str | None = None


class ModelSource(Record):
    """The checkpoint that a run started from."""

    name: str | None = None
    revision: str | None = None
    commit: str | None = None
    sha256: str | None = None


class RunEnvironment(FileRecord):
    """environment.json: versions, hardware, data fingerprint and model hash."""

    started: str | None = Field(default=None, description="UTC time")
    versions: dict[str, str | None] = Field(default_factory=dict)
    machine: Machine = Machine()
    device: str | None = None
    devices: list[str] = Field(default_factory=list)
    processes: int = 1
    mixed_precision: str | None = None
    recipe_sha256: str | None = None
    data: DataSource = DataSource()
    model: ModelSource = ModelSource()


def read_environment(folder: Path) -> RunEnvironment:
    """Return environment.json, all defaults when the folder has none. Raises RunFolderError."""
    path = folder / ENVIRONMENT
    return read_record(path, RunEnvironment) if path.is_file() else RunEnvironment()


def write_environment(folder: Path, environment: RunEnvironment) -> None:
    """Write environment.json."""
    write_record(folder / ENVIRONMENT, environment)


# --- model/inference.json


class EvaluationDefaults(Record):
    """How the run named its columns and scored itself: the defaults of `ftk evaluate`."""

    columns: dict[str, str | list[str]] = Field(default_factory=dict)
    label_separator: str = "|"
    card_columns: dict[str, str] = Field(default_factory=dict)
    group: str | None = Field(default=None, description="The column of `data.group`")
    main_metric: str | None = None
    bootstrap_samples: int | None = None
    seed: int | None = None


class BaseModelReference(Record):
    """The base model that an adapter needs."""

    name: str
    revision: str | None = None
    sha256: str | None = None
    weights_sha256: str | None = Field(
        default=None, description="sha256 of the base model's model.safetensors, to recognize it after a move"
    )


class InferenceContract(FileRecord):
    """inference.json of a model folder: everything that inference needs besides weights and tokenizer."""

    ft_toolkit: str | None = Field(default=None, description="The version that wrote the folder")
    task: str
    settings: dict[str, Any]
    task_schema: dict[str, Any] = Field(alias="schema", description="The task's labels and thresholds")
    evaluation: EvaluationDefaults = EvaluationDefaults()
    max_length: int
    mixed_precision: str
    tokens_per_batch: int
    base_model: BaseModelReference | None = None
    folded_temperature: float | None = Field(
        default=None,
        description="The temperature that the last layer of the weights contains; schema.temperature is then 1",
    )
    graph: ExportedGraph | None = Field(default=None, description="The graph of an exported model; null for weights")


class Ensemble(FileRecord):
    """ensemble.json of the model folder of an ensemble: the folders of its members, relative to this folder."""

    members: list[InnerPath] = Field(min_length=2)


def read_members(model_folder: Path) -> list[Path]:
    """Return the model folders of the members of an ensemble; the folder itself for any other model. Raises RunFolderError."""
    path = model_folder / ENSEMBLE
    if not path.is_file():
        return [model_folder]
    return [model_folder / name for name in read_record(path, Ensemble).members]


def write_members(model_folder: Path, members: list[str]) -> None:
    """Write ensemble.json."""
    write_record(model_folder / ENSEMBLE, Ensemble(members=members))


def read_contract(model_folder: Path) -> InferenceContract:
    """Return inference.json of a model folder. Raises RunFolderError."""
    return read_record(model_folder / INFERENCE, InferenceContract)


def write_contract(model_folder: Path, contract: InferenceContract) -> None:
    """Write inference.json."""
    write_record(model_folder / INFERENCE, contract)
