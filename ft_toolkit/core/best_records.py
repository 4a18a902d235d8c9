"""best.json: the candidates of a search for the best model in a limited time (`ftk best`)."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ft_toolkit.core.json_records import FileRecord, InnerPath, Record, read_record, write_record
from ft_toolkit.core.run_folder import BEST
from ft_toolkit.core.run_scores import MetricScore


class BestCandidate(Record):
    """A candidate: a run with other settings, or the average of finished candidates."""

    title: str
    folder: InnerPath
    settings: list[str] = Field(default_factory=list, description="Settings that differ from the recipe")
    state: Literal["finished", "pruned", "failed"]
    value: float | None = Field(description="Validation score; of a pruned candidate, its best one so far")
    loss: float | None = None
    evaluations: list[float | None] = Field(default_factory=list, description="The score of each evaluation")
    seconds: float
    ended: float = Field(description="Seconds from the start of the search to the end of the candidate")
    reason: str | None = None
    members: list[InnerPath] = Field(default_factory=list, description="The folders of the averaged candidates")


class BestChoice(Record):
    """The chosen candidate, and its score on the test rows."""

    title: str
    folder: InnerPath
    value: float
    selection_bias: float | None = Field(
        default=None,
        description="Expected excess of the best of equally good candidates over its true score; null if unknown",
    )
    test: MetricScore | None = Field(default=None, description="Computed once, for this candidate only")
    test_rows: int | None = None


class BestResults(FileRecord):
    """best.json of `ftk best`."""

    name: str
    command: str | None = None
    recipe_sha256: str
    fingerprint: str = Field(description="Fingerprint of the rows")
    task: str
    model: str
    metric: str
    greater_is_better: bool
    minutes: float
    seconds: float = Field(description="Time of the search so far, without the scores on the test rows")
    candidates: list[BestCandidate] = Field(default_factory=list)
    left_out: list[str] = Field(default_factory=list, description="Candidates for which the time was too short")
    validation_rows: int
    default_value: float | None = None
    best: BestChoice | None = None
    complete: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return all keys, and the version."""
        return {"schema_version": self.schema_version, **self.model_dump(by_alias=True)}

    @property
    def finished(self) -> list[BestCandidate]:
        """The finished candidates with a score, from the best to the worst; the lower loss decides between equal scores."""
        scored = [each for each in self.candidates if each.state == "finished" and each.value is not None]

        def key(candidate: BestCandidate) -> tuple[float, float]:
            value = candidate.value or 0.0
            loss = float("inf") if candidate.loss is None else candidate.loss
            return (-value if self.greater_is_better else value), loss

        return sorted(scored, key=key)


def read_best(folder: Path) -> BestResults:
    """Return best.json. Raises RunFolderError."""
    return read_record(folder / BEST, BestResults)


def write_best(folder: Path, results: BestResults) -> None:
    """Write best.json."""
    write_record(folder / BEST, results)
