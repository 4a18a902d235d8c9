"""The section `data.augmentation` of results.json: the changed copies of the training rows."""

from pydantic import Field

from ft_toolkit.core.json_records import Record


class AugmentationFacts(Record):
    """How many copies of the training rows were made, and how many of them differ from their row."""

    copies: int = Field(description="Copies of each training row")
    rows: int = Field(description="Copies of all training rows")
    changed: int = Field(description="Copies that differ from their row; the others have the same text")
    by_change: dict[str, int] = Field(description="Copies that each kind of change affects")
    fingerprint: str = Field(description="sha256 of the copies")

    @property
    def share(self) -> float:
        """The share of the copies that differ from their row."""
        return self.changed / self.rows
