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
    """The source of the rows: a Hub data set, or files in the folder of the card."""

    hub: Annotated[str, AfterValidator(hub_names.hub_id)] | None = None
    config: str | None = None
    # A commit, tag or branch; null is the main branch.
    revision: str | None = None
    files: dict[SplitName, str] | None = None

    @model_validator(mode="after")
    def _exactly_one_source(self) -> "Source":
        if (self.hub is None) == (self.files is None):
            raise ValueError("exactly one of 'hub' and 'files' must be set")
        return self


class SplitFacts(_Block):
    """One split: its name at the source, its number of rows, and a hash of its rows."""

    name: str | None = None
    rows: int = Field(gt=0)
    # False if the labels are hidden (GLUE test sets); such a split is not read.
    labelled: bool = True
    # sha256 of the rows as `fingerprint` computes it; null if it was never computed.
    fingerprint: str | None = None


class TaskFacts(_Block):
    """The columns of the data set for one task, and its label names (ner: entity types) in order."""

    columns: dict[str, str]
    labels: list[str] | None = None


class CardBlock(_Block):
    """The `ft_toolkit` block of the front matter."""

    source: Source
    splits: dict[SplitName, SplitFacts]
    tasks: dict[str, TaskFacts]

    @model_validator(mode="after")
    def _a_file_per_split(self) -> "CardBlock":
        if self.source.files is not None and set(self.source.files) != set(self.splits):
            raise ValueError(
                f"source.files has {one_of(self.source.files)}, but splits has {one_of(self.splits)}; they must be the same"
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
        """Return the licences of the rows as Hub identifiers, joined by commas; "unknown" if the card has none."""
        return ", ".join(_listed(self.metadata.get("license"))) or "unknown"

    @property
    def languages(self) -> list[str]:
        """Return the ISO 639 codes of the languages of the rows; empty if the card has none."""
        return _listed(self.metadata.get("language"))

    @property
    def title(self) -> str:
        """Return the display name."""
        return str(self.metadata.get("pretty_name", self.name))

    def for_task(self, task: str) -> TaskFacts:
        """Return the columns and labels for `task`. Raises DataError if the card does not support the task."""
        if task not in self.block.tasks:
            raise DataError(
                f"data card '{self.name}' does not support the task {task}; supported: {one_of(self.block.tasks)}"
            )
        return self.block.tasks[task]

    def columns_of(self, task: str) -> dict[str, str]:
        """Return the names of the rows' columns by the names of `task`; empty if the card does not support the task."""
        return self.block.tasks[task].columns if task in self.block.tasks else {}


def is_card(name: str) -> bool:
    """Return whether a name belongs to a shipped data card, or to a folder whose README.md has an `ft_toolkit` block."""
    if Path(name).exists():
        path = _local_folder(name) / "README.md"
        return (
            path.is_file()
            and "\nft_toolkit:" in path.read_text(encoding="utf-8", errors="replace").split("\n---", 1)[0]
        )
    return (shipped("data_cards") / name / "README.md").is_file()


def _local_folder(name: str) -> Path:
    """Return the folder of a card that is named by its folder or by its README.md."""
    path = Path(name)
    return path.parent if path.name == "README.md" and path.is_file() else path


def load_card(name: str) -> Card:
    """Return the data card with this name under data_cards/, in this folder, or in this README.md. Raises DataError."""
    local = _local_folder(name)
    folder = local if (local / "README.md").is_file() else shipped("data_cards") / name
    path = folder / "README.md"
    if not path.is_file():
        names = sorted(p.parent.name for p in shipped("data_cards").glob("*/README.md"))
        raise DataError(
            f"no data card '{name}'; allowed: {one_of(names)}, or a folder with a README.md.{did_you_mean(name, names)}"
        )
    try:
        parts = path.read_text(encoding="utf-8-sig").split("---\n", 2)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not valid UTF-8 at byte {error.start}; save the file as UTF-8") from None
    if len(parts) < 3 or parts[0].strip():
        raise DataError(f"{path}:1: a data card must begin with front matter between two lines of ---")
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
    """Return the items of a front matter value, which is one value or a list."""
    return [str(item) for item in (value if isinstance(value, list) else [value]) if item is not None]
