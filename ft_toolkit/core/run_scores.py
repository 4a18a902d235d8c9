"""The scores of one split in results.json: metrics with intervals, baselines, and the tables of each report section."""

from typing import Any

from pydantic import Field

from ft_toolkit.core.json_records import Record


class Interval(Record):
    """A 95% interval; null where resampling gives none."""

    low: float | None
    high: float | None


class Score(Interval):
    """A score with its 95% interval; null where it is undefined."""

    value: float | None


def says_nothing(score: float | None, *, greater_is_better: bool) -> bool:
    """Return whether a validation score cannot select a checkpoint: it is undefined, or 0 where a higher score is better.

    BLEU and ROUGE are 0 as long as no word is right, and the correlation with a constant prediction is undefined.
    """
    return score is None or (score == 0 and greater_is_better)


class MetricScore(Score):
    """A metric on all examples of a split."""

    detectable: float | None = Field(
        default=None, description="Smallest detectable difference to another model (5% level, 80% power)"
    )


class Lead(Interval):
    """The interval of the model's score minus the score of a baseline, paired by example."""

    level: float = Field(
        default=0.95, description="Confidence level; higher for the main metric with several baselines"
    )
    detectable: float | None = Field(
        default=None, description="Smallest detectable difference of this comparison (80% power)"
    )


class BaselineScore(MetricScore):
    """A metric of a baseline on the same examples."""

    lead: Lead


class ClassScores(Record):
    """One row of the table per class. A metric that a task does not define is absent."""

    label: str
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    support: int | None = None


class LeftOut(Record):
    """The rarer values of a column that a table does not show."""

    values: int
    rows: int


class SliceValue(Interval):
    """The main metric on the rows with one value of a column."""

    value: str
    n: int
    score: float | None
    difference: Interval = Field(
        description="95% interval of this score minus the score of the other rows of the split"
    )


class SliceTable(Record):
    """The main metric per value of a column, or per band of input lengths."""

    column: str
    metric: str
    values: list[SliceValue]
    left_out: LeftOut
    correlation: float | None = Field(
        default=None, description="Intraclass correlation, if rows with one value are not independent"
    )


class ExpectedCalibrationError(Score):
    """An expected calibration error. `chance`: its 95% quantile for a calibrated model on as many examples."""

    chance: float


class CalibrationErrorChange(Record):
    """The expected calibration error before and after temperature scaling."""

    before: ExpectedCalibrationError
    after: ExpectedCalibrationError
    change: Interval


class ScoreChange(Record):
    """A score before and after temperature scaling; `change` is the 95% interval of the difference."""

    before: Score
    after: Score
    change: Interval


class ReliabilityBin(Record):
    """The predictions of one confidence bin: mean confidence, accuracy, and the 95% interval of the accuracy."""

    n: int
    confidence: float
    accuracy: float
    low: float
    high: float


class ReliabilityBins(Record):
    """The confidence bins before and after temperature scaling."""

    before: list[ReliabilityBin]
    after: list[ReliabilityBin]


class RiskCoverageArea(Score):
    """The area under the risk-coverage curve; also for an uninformative and for a perfect confidence."""

    unordered: float
    perfect: float


class Abstention(Record):
    """The accuracy on the other examples when the model abstains on the least confident share."""

    share: float
    accuracy: Score
    of_all: float
    gain: Score


class Calibration(Record):
    """Calibration of a classifier's probabilities and the value of its confidence."""

    temperature: float
    temperature_low: float | None = Field(
        default=None, description="Lower end of the temperature's 95% interval; only for the rows that chose it"
    )
    temperature_high: float | None = Field(default=None, description="Upper end of this interval")
    fitted_here: bool = Field(description="Whether the temperature was chosen on these rows")
    claims: str
    ece: CalibrationErrorChange
    brier: ScoreChange
    nll: ScoreChange
    bins: ReliabilityBins
    aurc: RiskCoverageArea
    risk_coverage: list[list[float]] = Field(description="Pairs of coverage and error rate")
    abstaining: list[Abstention]


class GroupSize(Record):
    """A group of rows; `compared` is false for a group with too few rows."""

    group: str
    n: int
    compared: bool


class LabelGap(Interval):
    """The largest difference of a rate between two groups for one label."""

    label: str
    gap: float
    highest: str
    lowest: str
    rates: dict[str, float]


class GroupGaps(Record):
    """The gaps per label, and the permutation test of the largest one."""

    p_value: float
    corrected: float | None = Field(
        default=None, description="p_value, corrected for all columns and kinds of gap of the split (Holm)"
    )
    tests: int | None = Field(default=None, description="The number of these tests")
    shown: bool = Field(description="Whether the gap is significant")
    labels: list[LabelGap]


class GroupTable(Record):
    """Group fairness by one column; a gap is null where fewer than two groups have enough rows."""

    column: str
    groups: list[GroupSize]
    left_out: LeftOut
    labels: list[str]
    demographic_parity: GroupGaps | None
    equal_opportunity: GroupGaps | None


class PerturbedScore(Score):
    """The main metric on the changed rows: `plain` before the change, `value` after it."""

    plain: float | None = None
    difference: Interval


class ChangedAnswer(Record):
    """An example whose answer changed. The form of the answers depends on the task."""

    id: Any
    before: str
    after: str
    gold: Any = None
    answer_before: Any
    answer_after: Any


class RobustnessCheck(Record):
    """One kind of change to the inputs, and how many answers changed with it."""

    kind: str
    rewritten: int = Field(default=0, description="Rows whose text changes")
    changed: int = Field(description="Rows whose tokens change, so that the model sees the change")
    flipped: int
    flip_rate: Score
    metric: PerturbedScore
    examples: list[ChangedAnswer]


class ClusterFacts(Record):
    """The groups of rows that the intervals resample: the column of `data.group` and the number of groups."""

    column: str
    n: int


class SplitScores(Record):
    """The scores of a run or of an evaluation on one split. Other keys are tables of the task."""

    n: int
    resamples: int | None = Field(default=None, description="Bootstrap resamples that were drawn")
    clusters: ClusterFacts | None = Field(default=None, description="What was resampled, null for single rows")
    metrics: dict[str, MetricScore]
    baselines: dict[str, dict[str, BaselineScore]] = Field(default_factory=dict)
    per_class: list[ClassScores] | None = None
    confusion_matrix: list[list[int]] | None = Field(default=None, description="Rows: true labels, columns: predicted")
    slices: list[SliceTable] = Field(default_factory=list)
    calibration: Calibration | None = None
    groups: list[GroupTable] = Field(default_factory=list)
    robustness: list[RobustnessCheck] = Field(default_factory=list)

    @property
    def task_tables(self) -> dict[str, Any]:
        """The keys that the task added."""
        return dict(self.model_extra or {})
