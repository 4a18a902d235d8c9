"""patch.json: the decisions on rows that the page of `ftk data audit` saves and `data.patch` applies."""

from typing import Literal

from pydantic import Field

from ft_toolkit.core.json_records import FileRecord, Record


class RowDecision(Record):
    """The decision on one row. A row is found by its split, its id and the hash of its input texts."""

    split: Literal["train", "validation", "test"] = Field(
        description="The split of the file; of a row that is held out of the training rows, train"
    )
    row: str = Field(description="The number of the row in the file, from 1, or its id if all ids of the file differ")
    hash: str = Field(
        pattern="^[0-9a-f]{16}$", description="Of the input texts, without regard to case and white space"
    )
    decision: Literal["keep", "relabel", "drop"]
    old_label: str | None = Field(default=None, description="The label that the row had in the audit")
    label: str | None = Field(default=None, description="The new label; only with relabel")


class Patch(FileRecord):
    """A patch file."""

    source: str | None = Field(default=None, description="The data set of the audit")
    decisions: list[RowDecision]


class PatchFacts(Record):
    """The rows that a patch changed, by split of the run."""

    file: str
    sha256: str
    kept: int
    relabelled: dict[str, int]
    dropped: dict[str, int]
