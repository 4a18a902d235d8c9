"""Data cards: `data_cards/<name>/README.md`, a Hub dataset card whose front matter has an `ft_toolkit` block."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ft_toolkit.core import hub_names
from ft_toolkit.core.errors import DataError, did_you_mean, one_of
from ft_toolkit.core.shipped import shipped
from ft_toolkit.core.yaml12 import YamlError, parse_yaml

SplitName = Literal["train", "validation", "test"]


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Block):
    """Where the rows are: a Hub data set, or files beside the card."""

    hub: Annotated[str, AfterValidator(hub_names.hub_id)] | None = None
    config: str | None = None
    # A commit that is known to exist; null follows the main branch.
    revision: str | None = None
    files: dict[SplitName, str] | None = None

    @model_validator(mode="after")
    def _one_place(self) -> "Source":
        if (self.hub is None) == (self.files is None):
            raise ValueError("exactly one of hub and files is needed")
        return self


class SplitFacts(_Block):
    """What is known of a split: its name at the source, its size, and a hash of its rows."""

    name: str | None = None
    rows: int = Field(gt=0)
    # False where the labels are hidden (GLUE test sets); such a split is not read.
    labelled: bool = True
    # sha256 of the rows of the file beside the card; null where nobody has fetched the rows to hash them.
    fingerprint: str | None = None


class TaskFacts(_Block):
    """How a task reads the data set: its columns, and the names of the labels (for ner: of the entity types) in order."""

    columns: dict[str, str]
    labels: list[str] | None = None


class CardBlock(_Block):
    """The `ft_toolkit` block."""

    source: Source
    splits: dict[SplitName, SplitFacts]
    tasks: dict[str, TaskFacts]

    @model_validator(mode="after")
    def _a_file_per_split(self) -> "CardBlock":
        if self.source.files is not None and set(self.source.files) != set(self.splits):
            raise ValueError(
                f"source.files has {one_of(self.source.files)}, but splits has {one_of(self.splits)}; they must agree"
            )
        return self


@dataclass(frozen=True)
class Card:
    """A parsed data card; `metadata` is the whole front matter."""

    name: str
    folder: Path
    metadata: dict[str, Any]
    block: CardBlock

    @property
    def licence(self) -> str:
        """The Hub's identifiers of the licences of the rows, joined by commas."""
        return ", ".join(_listed(self.metadata.get("license"))) or "unknown"

    @property
    def languages(self) -> list[str]:
        """The ISO 639 codes of the languages of the rows; none where the card does not say."""
        return _listed(self.metadata.get("language"))

    @property
    def title(self) -> str:
        """The name for people."""
        return str(self.metadata.get("pretty_name", self.name))

    def for_task(self, task: str) -> TaskFacts:
        """Return how `task` reads this data set. Raises DataError where the card does not serve it."""
        if task not in self.block.tasks:
            raise DataError(
                f"data card '{self.name}' does not serve the task {task}; it serves {one_of(self.block.tasks)}"
            )
        return self.block.tasks[task]


def load_card(name: str) -> Card:
    """Find a card by name under data_cards/, or by the path of its folder, and check it. Raises DataError."""
    folder = Path(name) if (Path(name) / "README.md").is_file() else shipped("data_cards") / name
    path = folder / "README.md"
    if not path.is_file():
        known = sorted(p.parent.name for p in shipped("data_cards").glob("*/README.md"))
        raise DataError(
            f"no data card '{name}'; allowed: {one_of(known)}, or a folder with a README.md.{did_you_mean(name, known)}"
        )
    try:
        parts = path.read_text(encoding="utf-8-sig").split("---\n", 2)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text at byte {error.start}; save the file as UTF-8") from None
    if len(parts) < 3 or parts[0].strip():
        raise DataError(f"{path}:1: a data card begins with front matter between two lines of ---")
    try:
        metadata, lines = parse_yaml(parts[1])
    except YamlError as error:
        raise DataError(f"{path}:{error.line + 1}: {error.problem}") from None
    if not isinstance(metadata, dict) or "ft_toolkit" not in metadata:
        raise DataError(f"{path}: the front matter has no 'ft_toolkit' block; see data_cards/support_inbox/README.md")
    try:
        block = CardBlock.model_validate(metadata["ft_toolkit"])
    except ValidationError as error:
        item = error.errors()[0]
        keys = ("ft_toolkit", *(str(part) for part in item["loc"]))
        line = next((lines[keys[:end]] for end in range(len(keys), 0, -1) if keys[:end] in lines), 1)
        raise DataError(f"{path}:{line + 1}: {'.'.join(keys)}: {item['msg']}") from None
    for key, check in (("license", hub_names.licence), ("language", hub_names.language)):
        for value in _listed(metadata.get(key)):
            try:
                check(value)
            except ValueError as error:
                raise DataError(f"{path}:{lines[(key,)] + 1}: {key}: {error}") from None
    return Card(folder.resolve().name, folder, metadata, block)


def _listed(value: object) -> list[str]:
    """Return what front matter gives as one value or as a list of them."""
    return [str(item) for item in (value if isinstance(value, list) else [value]) if item is not None]
