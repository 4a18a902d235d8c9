"""The rows: their source, their number, and what the length limit cuts."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ft_toolkit.core.audit_records import FaultCount
from ft_toolkit.core.augmentation_records import AugmentationFacts
from ft_toolkit.core.patch_records import PatchFacts
from ft_toolkit.core.run_records import DataFacts
from ft_toolkit.report.numbers import count
from ft_toolkit.report.run_files import RunFiles
from ft_toolkit.report.section import Section
from ft_toolkit.report.wording import plain_name

_ROW_TITLES = {
    "rows": "rows",
    "tokens": "tokens",
    "longest": "tokens in the longest row",
    "rows_cut": "rows cut to the length limit",
    "tokens_cut": "tokens cut off",
    "empty_texts": "empty texts",
    "repeated_texts": "repeated texts",
    "also_in_training": "rows that are also in the training split",
}


def _build(run: RunFiles) -> dict[str, Any] | None:
    data = run.results.data
    splits = {split: rows.as_json() for split, rows in data.splits.items()}
    facts = {
        "Data set": data.title or data.card,
        "Hub": data.hub,
        "Commit": data.commit,
        "Licence": data.licence or ("unknown" if splits else None),
        "Fingerprint": data.fingerprint,
        "Changed by a patch": _patch(data.patch),
        "Changed copies of the training rows": _augmentation(data.augmentation),
        "Length limit": _length_limit(run, splits),
        **{f"Source of the {split} rows": source for split, source in data.origin.items()},
    }
    facts = {name: str(value) for name, value in facts.items() if value is not None}
    if not facts and not splits:
        return None
    rows = [(title, list(map(count, values))) for title, values in split_facts(splits)]
    return {
        "splits": list(splits),
        "rows": rows,
        "facts": list(facts.items()),
        "faults": fault_rows(data.faults, list(splits)),
        "faults_note": faults_note(data, audit_command(run.results.command)) if splits else "",
    }


def fault_rows(faults: Sequence[FaultCount], splits: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return (title, number of rows per split) for each kind of fault."""
    return [(fault.title, [count(fault.rows.get(split, 0)) for split in splits]) for fault in faults]


def faults_note(data: DataFacts, command: str | None) -> str:
    """Return sentences on the search for faults, and the command that shows more; empty for a folder without a search."""
    if data.searched_texts is None:
        return ""
    total = sum(rows.rows for rows in data.splits.values())
    sentences = [] if data.faults else ["No faults were found in the rows."]
    if data.searched_texts < total:
        sentences.append(
            f"{count(data.searched_texts)} of {count(total)} texts were searched for characters, scripts and personal data."
        )
    sentences.append(
        "Nearly equal texts and texts in other languages are not included; to search for them and to see the rows:"
    )
    return " ".join([*sentences, command or "ftk data audit"])


def audit_command(command: str | None) -> str | None:
    """Return the `ftk data audit` for the rows of a `ftk run`; None for another command."""
    try:
        words = shlex.split(command or "")
    except ValueError:  # results.json may come from a stranger: a quotation without an end
        return None
    if words[:2] != ["ftk", "run"] or len(words) < 3:
        return None
    settings = [word for word in words[3:] if "=" in word and word.startswith(("data", "task"))]
    return shlex.join(["ftk", "data", "audit", words[2], *settings])


def split_facts(splits: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[int | None]]]:
    """Return (title, value per split) for each fact in results.json, with the parts of answers that the model cannot see."""
    keys = dict.fromkeys(key for facts in splits.values() for key in facts)
    titles: dict[str, str] = {}
    for key, title in _ROW_TITLES.items():
        titles[key] = title
        if key == "tokens_cut":
            titles |= {cut: f"{plain_name(cut.removesuffix('_cut'))} cut off" for cut in answer_cuts(keys)}
    return [(title, [facts.get(key) for facts in splits.values()]) for key, title in titles.items() if key in keys]


def answer_cuts(keys: Iterable[str]) -> list[str]:
    """Return the keys that count the parts of answers that the model cannot see: entities_cut, answers_cut ..."""
    return [key for key in dict.fromkeys(keys) if key.endswith("_cut") and key not in _ROW_TITLES]


def _patch(patch: PatchFacts | None) -> str | None:
    """Return the rows that data.patch changed, and the hash of the patch."""
    if patch is None:
        return None
    changes = [
        f"{count(n)} {split} rows {change}"
        for change, counts in (("dropped", patch.dropped), ("relabelled", patch.relabelled))
        for split, n in counts.items()
    ]
    return f"{', '.join(changes) or 'no rows'} ({patch.file}, sha256 {patch.sha256[:12]}...)"


def _augmentation(facts: AugmentationFacts | None) -> str | None:
    """Return the number of changed copies, and the share that differs from the original row."""
    if facts is None:
        return None
    kinds = ", ".join(f"{plain_name(kind)} in {n / facts.rows:.1%}" for kind, n in facts.by_change.items())
    return f"{count(facts.rows)} ({facts.copies} per row); {facts.share:.1%} differ from their row: {kinds}"


def _length_limit(run: RunFiles, splits: Mapping[str, Mapping[str, Any]]) -> str | None:
    length = run.max_length
    if length is None or not splits:
        return None
    is_cut = any(facts.get("rows_cut") for facts in splits.values())
    return f"{count(length)} tokens; " + ("longer texts were cut" if is_cut else "no text was cut")


SECTION = Section(order=85, title="Data", build=_build)
