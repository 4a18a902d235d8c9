"""The rows: their source, their number, and what the length limit cuts."""

from collections.abc import Iterable, Mapping
from typing import Any

from ft_toolkit.core.patch_records import PatchFacts
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
        "Length limit": _length_limit(run, splits),
        **{f"Source of the {split} rows": source for split, source in data.origin.items()},
    }
    facts = {name: str(value) for name, value in facts.items() if value is not None}
    if not facts and not splits:
        return None
    rows = [(title, list(map(count, values))) for title, values in split_facts(splits)]
    return {"splits": list(splits), "rows": rows, "facts": list(facts.items())}


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


def _length_limit(run: RunFiles, splits: Mapping[str, Mapping[str, Any]]) -> str | None:
    length = run.max_length
    if length is None or not splits:
        return None
    is_cut = any(facts.get("rows_cut") for facts in splits.values())
    return f"{count(length)} tokens; " + ("longer texts were cut" if is_cut else "no text was cut")


SECTION = Section(order=85, title="Data", build=_build)
