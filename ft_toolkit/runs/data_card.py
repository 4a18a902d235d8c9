"""README.md of a data set: a data card with the Hub's metadata, and with the `ft_toolkit` block that recipes read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import UsageError, one_of
from ft_toolkit.core.files import write_file
from ft_toolkit.core.yaml12 import dump_yaml
from ft_toolkit.data.cards import load_card
from ft_toolkit.data.faults.fault import AuditedRows, fault_counts
from ft_toolkit.data.faults.find_faults import find_quick_faults
from ft_toolkit.data.local_files import read_file
from ft_toolkit.data.row_checks import label_counts
from ft_toolkit.data.source_rows import read_card
from ft_toolkit.data.splits import fingerprint
from ft_toolkit.report.card import code, escape
from ft_toolkit.report.templating import load_template
from ft_toolkit.runs.data_audit import AuditSource, words_of_texts
from ft_toolkit.tasks.guessing.table import make_table

# The limits of the Hub's size categories.
_SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M", 10_000_000: "1M<n<10M"}
# Questions that only a person can answer.
QUESTIONS = {
    "origin": "Where do the texts come from, and how were they selected?",
    "annotation": "Who labelled the rows, and by which rules?",
    "personal_data": "Do the rows contain personal data, and may they be published?",
    "limits": "For which purposes are the rows not suitable?",
}


@dataclass(frozen=True)
class CardFacts:
    """The facts that a person gives: the title, the licence, the languages, and the answers to QUESTIONS."""

    title: str
    licence: str | None
    languages: tuple[str, ...]
    answers: Mapping[str, str]


def check_no_card(folder: Path) -> Path:
    """Return the path of the card of a folder. Raises UsageError if it exists."""
    path = folder / "README.md"
    if path.exists():
        raise UsageError(f"{path} exists; remove or rename it first")
    return path


def write_data_card(source: AuditSource, facts: CardFacts) -> Path:
    """Write the card into the folder of the data files; return its path. Raises UsageError and DataError."""
    section = source.recipe.data
    files = {split: Path(path) for split in ("train", "validation", "test") if (path := getattr(section, split))}
    folders = {file.resolve().parent for file in files.values()}
    if not files or len(folders) > 1:
        raise UsageError(f"{source.name}: a data card is for files in one folder; found {one_of(map(str, folders))}")
    path = check_no_card(next(iter(files.values())).parent)
    if section.reading is not None:
        raise UsageError(
            f"{source.name}: a data card has no data.reading; write the files as JSON lines: 'ftk convert'"
        )
    if any(not isinstance(name, str) for name in section.columns.values()):
        raise UsageError(f"{source.name}: a data card has no label columns; write one column of lists of labels")
    tables = {split: read_file(file) for split, file in files.items()}
    labels = label_counts(source.data, source.task, source.recipe.task)
    present = {name for rows in tables.values() for name in rows[0]}
    columns = {name: str(section.columns.get(name, name)) for name in source.task.columns}
    task_facts: dict[str, Any] = {"columns": {name: column for name, column in columns.items() if column in present}}
    if labels:
        task_facts["labels"] = sorted(labels)
    n = sum(map(len, tables.values()))
    metadata: dict[str, Any] = {
        "pretty_name": facts.title,
        **({"license": facts.licence} if facts.licence else {}),
        **({"language": list(facts.languages)} if facts.languages else {}),
        "task_categories": [source.task.pipeline_tag],
        "size_categories": [next((name for limit, name in _SIZES.items() if n < limit), "n>10M")],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": file.name} for split, file in files.items()],
            }
        ],
        "ft_toolkit": {
            "source": {"files": {split: file.name for split, file in files.items()}},
            "splits": {split: {"rows": len(rows), "fingerprint": fingerprint(rows)} for split, rows in tables.items()},
            "tasks": {source.task.name: task_facts},
        },
    }
    audited = AuditedRows(source.data, source.task, source.recipe.task)
    body = load_template("data_card.md.j2", autoescape=False, md=escape, code=code).render(
        facts=facts,
        questions=QUESTIONS,
        tables={split: len(rows) for split, rows in tables.items()},
        columns=make_table([row for rows in tables.values() for row in rows], {}).columns,
        labels={name: sum(counts.values()) for name, counts in labels.items()},
        words=words_of_texts(audited),
        faults=fault_counts(find_quick_faults(audited), audited),
    )
    write_file(path, f"---\n{dump_yaml(metadata)}---\n\n{body.strip()}\n")
    read_card(load_card(str(path.parent)))  # a card that cannot be read is a bug
    return path
