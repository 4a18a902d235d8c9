"""Apply a patch (`data.patch`): drop and relabel the rows that somebody decided on in the page of `ftk data audit`.

The patch is applied after rows are held out, so a run with a patch holds out the same rows as a run without it.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ft_toolkit.core.errors import DataError, RunFolderError, one_of
from ft_toolkit.core.json_records import REMEDY, read_record
from ft_toolkit.core.patch_records import Patch, PatchFacts, RowDecision
from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.seen_rows import hash_text, input_hash
from ft_toolkit.data.stored_rows import change_rows
from ft_toolkit.tasks.base import Row, Rows, Task, TaskSettings, answer_columns

# Mismatches that an error shows.
_SHOWN = 3
_EXPORT_AGAIN = "Audit the files again with 'ftk data audit', and save the decisions again"


@dataclass(frozen=True)
class PatchedRows:
    """The rows of all splits with a patch, and the rows that it changed."""

    splits: dict[SplitName, Rows]
    facts: PatchFacts
    notes: list[str]


def read_patch(path: Path) -> Patch:
    """Return the decisions of a patch file. Raises DataError for another file, and for two decisions on one row."""
    try:
        patch = read_record(path, Patch)
    except RunFolderError as error:
        raise DataError(
            f"data.patch: {str(error).removesuffix(f'. {REMEDY}')}. A patch is the file that the page of 'ftk data audit "
            "--output FOLDER' saves"
        ) from None
    seen: set[tuple[str, str]] = set()
    for decision in patch.decisions:
        key = (decision.split, decision.row)
        if key in seen:
            raise DataError(f"data.patch: {path}: two decisions on {_name(decision)}; remove one")
        if (decision.decision == "relabel") != (decision.label is not None):
            raise DataError(
                f"data.patch: {path}: {_name(decision)}: a label is required with relabel, and only with relabel"
            )
        seen.add(key)
    return patch


def apply_patch(
    path: Path,
    splits: Mapping[SplitName, Rows],
    held_out: Collection[SplitName],
    task: Task,
    settings: TaskSettings,
) -> PatchedRows:
    """Return the rows with the decisions of the patch file `path`.

    The splits in `held_out` consist of rows of the training file. Raises DataError for a decision on a row that does not exist
    or has changed, a label that no row has, and a patch that leaves no row in a split.
    """
    patch = read_patch(path)
    column = task.stratify_by(settings)
    answers = answer_columns(task)
    decided, labels = _find_rows(patch, splits, held_out, lambda row: task.labels_of(row, settings))
    changed: dict[SplitName, dict[int, Row | None]] = {split: {} for split in splits}
    problems = []
    for decision in patch.decisions:
        if (decision.split, decision.row) not in decided:
            problems.append(f"{_name(decision)}: no such row")
            continue
        split, index, row = decided[decision.split, decision.row]
        if (problem := _mismatch(decision, row, task, settings, labels)) is not None:
            problems.append(f"{_name(decision)}: {problem}")
        elif decision.decision == "drop":
            changed[split][index] = None
        elif decision.decision == "relabel":
            # other answers, such as soft targets, belong to the old label
            kept = {name: None if name in answers else value for name, value in row.items()}
            changed[split][index] = {**kept, str(column): decision.label}
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise DataError(
            f"data.patch: {path}: {len(problems)} of {len(patch.decisions)} decisions do not fit the rows: "
            f"{'; '.join(problems[:_SHOWN])}{more}. {_EXPORT_AGAIN}"
        )
    patched = {split: change_rows(rows, changed[split]) for split, rows in splits.items()}
    if empty := [split for split, rows in patched.items() if not rows]:
        raise DataError(f"data.patch: {path}: drops all {one_of(empty)} rows; keep some of them")
    facts = PatchFacts(
        file=str(path),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        kept=sum(decision.decision == "keep" for decision in patch.decisions),
        relabelled={
            split: n for split, rows in changed.items() if (n := sum(row is not None for row in rows.values()))
        },
        dropped={split: n for split, rows in changed.items() if (n := sum(row is None for row in rows.values()))},
    )
    return PatchedRows(patched, facts, _notes(facts))


def _find_rows(
    patch: Patch,
    splits: Mapping[SplitName, Rows],
    held_out: Collection[SplitName],
    labels_of: Callable[[Row], Sequence[str]],
) -> tuple[dict[tuple[str, str], tuple[SplitName, int, Row]], set[str]]:
    """Return the split, the position and the row of each decision that has a row, and the labels of all rows."""
    keys = {(decision.split, decision.row) for decision in patch.decisions}
    decided: dict[tuple[str, str], tuple[SplitName, int, Row]] = {}
    labels: set[str] = set()
    for split, rows in splits.items():
        source = "train" if split in held_out else split
        for index, row in enumerate(rows):
            labels.update(labels_of(row))
            if (key := (source, str(row["id"]))) in keys:
                decided[key] = (split, index, row)
    return decided, labels


def _mismatch(
    decision: RowDecision, row: Row, task: Task, settings: TaskSettings, labels: Collection[str]
) -> str | None:
    """Return the reason why a decision does not fit a row; None if it does."""
    if hash_text(input_hash(row, task)) != decision.hash:
        return "its text has changed since the audit"
    given = task.labels_of(row, settings)
    if decision.old_label is not None and list(given) != [decision.old_label]:
        return f"its label is {one_of(given)}, in the audit it was {decision.old_label!r}"
    if decision.label is None:
        return None
    if task.stratify_by(settings) is None:
        return f"{task.name} with these settings has no single label per row, so no row can be relabelled"
    if decision.label not in labels:
        return f"no row has the label {decision.label!r} (allowed: {one_of(sorted(labels))})"
    return None


def _notes(facts: PatchFacts) -> list[str]:
    """Return a sentence on the changes in each split."""
    notes = []
    for split in dict.fromkeys([*facts.dropped, *facts.relabelled]):
        counts = {"dropped": facts.dropped.get(split, 0), "relabelled": facts.relabelled.get(split, 0)}
        changes = " and ".join(f"{change} {n:,} row{'' if n == 1 else 's'}" for change, n in counts.items() if n)
        evaluated = ", so scores are not comparable with scores on the original rows" if split != "train" else ""
        notes.append(f"{split}: data.patch={facts.file} {changes}{evaluated}")
    return notes


def _name(decision: RowDecision) -> str:
    return f"{decision.split} row {decision.row}"
