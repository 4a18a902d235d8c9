"""The result of `ftk data diff`: what changed between two versions of a data set."""

from pydantic import Field

from ft_toolkit.core.json_records import FileRecord, Record


class DriftTest(Record):
    """A permutation test whether two groups of rows have the same distribution of lengths, labels or words."""

    groups: str = Field(description="The two groups, such as 'added rows and rows of the first version'")
    name: str = Field(description="lengths, labels or words")
    statistic: str
    value: float
    p: float = Field(
        description="Share of the permutations, including the observed groups, whose statistic is at least as large"
    )
    adjusted_p: float = Field(description="p adjusted by Holm's method (1979), over all tests of this comparison")
    n: list[int] = Field(description="Rows of both groups that were compared")


class DiffResults(FileRecord):
    """diff.json. A row is the same in both versions if its input texts are equal up to case, white space and Unicode form."""

    first: str
    second: str
    task: str
    rows: list[int] = Field(description="Rows of the first and of the second version")
    same: int = Field(description="Rows with the same texts and answers in both versions")
    relabelled: int = Field(description="Rows with the same texts and another answer")
    added: int
    removed: int
    moved: int = Field(description="Rows with the same texts that are in another split of the second version")
    labels: dict[str, list[int]] = Field(description="Rows of each label in both versions")
    examples: dict[str, list[str]] = Field(description="The first rows that were relabelled, added and removed")
    tests: list[DriftTest]
