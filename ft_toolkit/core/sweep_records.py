"""sweep.json: the trials of a hyperparameter search (`ftk sweep`)."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ft_toolkit.core.json_records import FileRecord, InnerPath, Record, read_record, write_record
from ft_toolkit.core.run_folder import SWEEP
from ft_toolkit.core.run_scores import MetricScore


class SweptSetting(Record):
    """A setting that the search varies: a range, or a list of values."""

    key: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    integer: bool = False
    values: list[Any] | None = None


class SweepTrial(Record):
    """A trial. `value` is its best validation score so far."""

    number: int
    state: Literal["finished", "pruned", "failed", "unfinished"]
    folder: InnerPath
    settings: dict[str, Any]
    value: float | None
    evaluations: int
    reason: str | None = Field(default=None, description="Reason for a failure")
    seconds: float | None = None


class SweepBest(Record):
    """The finished trial with the best validation score."""

    trial: int
    folder: InnerPath
    value: float
    selection_bias: float | None = Field(
        default=None,
        description="Expected excess of the best of equally good trials over its true score; null if unknown",
    )
    test: MetricScore | None = Field(
        default=None, description="The score on the test rows, computed once for this trial"
    )
    test_rows: int | None = None


class SweepResults(FileRecord):
    """sweep.json of `ftk sweep`."""

    name: str
    command: str | None = None
    task: str
    model: str
    metric: str
    greater_is_better: bool
    planned_trials: int
    pruner: str
    space: list[SweptSetting]
    trials: list[SweepTrial]
    validation_rows: int | None = None
    best: SweepBest | None = None
    importance: dict[str, float] = Field(default_factory=dict, description="By setting; empty with too few trials")
    complete: bool = Field(description="Whether all trials have ended")

    def as_json(self) -> dict[str, Any]:
        """Return all keys, and the version."""
        return {"schema_version": self.schema_version, **self.model_dump(by_alias=True)}


def read_sweep(folder: Path) -> SweepResults:
    """Return sweep.json. Raises RunFolderError."""
    return read_record(folder / SWEEP, SweepResults)


def write_sweep(folder: Path, results: SweepResults) -> None:
    """Write sweep.json."""
    write_record(folder / SWEEP, results)
