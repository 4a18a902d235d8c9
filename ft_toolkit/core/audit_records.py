"""audit.json: the result of `ftk data audit`."""

from pathlib import Path

from pydantic import Field

from ft_toolkit.core.json_records import FileRecord, Record, write_record
from ft_toolkit.core.run_folder import AUDIT


class FaultCount(Record):
    """One kind of fault."""

    name: str
    title: str
    action: str
    cases: int = Field(description="Occurrences; several rows with equal texts are one case")
    rows: dict[str, int] = Field(description="Rows with this fault by split")


class AuditResults(FileRecord):
    """audit.json: the faults of a data set. review.csv has their rows."""

    source: str
    command: str | None = None
    task: str
    rows: dict[str, int] = Field(description="By split")
    fingerprint: str | None = Field(default=None, description="sha256 of all rows")
    labels: dict[str, dict[str, int]] = Field(
        description="Rows of each label by split; empty for a task without labels"
    )
    words: dict[str, int] = Field(description="Words per text: minimum, median, 95%, maximum")
    faults: list[FaultCount] = Field(description="Only kinds of fault with cases")
    notes: list[str] = Field(description="Sentences on the reading of the rows, and on their labels")


def write_audit(folder: Path, results: AuditResults) -> None:
    """Write audit.json."""
    write_record(folder / AUDIT, results)
