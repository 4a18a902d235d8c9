"""folds.json: the result of a cross-validation (`ftk folds`)."""

from pathlib import Path
from typing import Any

from pydantic import Field

from ft_toolkit.core.json_records import FileRecord, InnerPath, Record, read_record, write_record
from ft_toolkit.core.run_folder import FOLDS
from ft_toolkit.core.run_records import SeedSpread


class FoldRun(Record):
    """The run that was scored on one fold."""

    fold: int
    folder: InnerPath
    rows: int = Field(description="Rows of the fold")
    training_rows: int
    steps: int
    seconds: float


class FoldsResults(FileRecord):
    """folds.json: scores on held-out folds. The keys of `scores.METRIC.values` are the numbers of the folds."""

    name: str
    command: str | None = None
    task: str
    model: str
    method: str
    main_metric: str
    greater_is_better: bool
    lower_is_better: list[str] = Field(default_factory=list)
    folds: int
    rows: int = Field(description="Rows of all folds; predictions.jsonl has each of them once")
    groups: str | None = Field(default=None, description="The column of `data.group` whose values stay in one fold")
    scores: dict[str, SeedSpread] = Field(description="By metric")
    runs: list[FoldRun]
    substitutions: list[str] = Field(default_factory=list)
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return all keys, and the version."""
        return {"schema_version": self.schema_version, **self.model_dump(by_alias=True)}


def read_folds(folder: Path) -> FoldsResults:
    """Return folds.json. Raises RunFolderError."""
    return read_record(folder / FOLDS, FoldsResults)


def write_folds(folder: Path, results: FoldsResults) -> None:
    """Write folds.json."""
    write_record(folder / FOLDS, results)
