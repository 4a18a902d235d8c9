"""spaCy's training tuples in JSON: ["text", {"entities": [[0, 4, "PER"]]}] or ["text", {"cats": {"POS": 1}}].

The tuples form a list, or are under "annotations" beside "classes", as annotation pages for spaCy write them.
"""

from typing import Any

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.formats.base import RawRows
from ft_toolkit.data.layouts.base import Layout, Table, plain_labels, read_spans


def matches(value: Any) -> bool:
    """Return whether the value is a list of pairs of a text and its annotations."""
    pairs = _pairs(value)
    return bool(pairs) and all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], dict)
        for pair in pairs
    )


def _pairs(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = value.get("annotations")
    return [pair for pair in value if pair is not None] if isinstance(value, list) else []


def read(value: Any, name: str, notes: list[str]) -> Table:
    """Return one row per text: `entities` and `label`, where the annotations have them. Raises DataError."""
    rows: RawRows = []
    for number, (text, annotations) in enumerate(_pairs(value), 1):
        row: dict[str, Any] = {"text": text}
        if "entities" in annotations:
            row["entities"] = read_spans(annotations["entities"])
            if row["entities"] is None:
                raise DataError(
                    f"{name}: text {number}: entities must be [start, end, label]; found {annotations['entities']!r}"
                )
        if isinstance(annotations.get("cats"), dict):
            row["label"] = labels_of(annotations["cats"])
        rows.append(row)
    if any("label" in row for row in rows):
        plain_labels(rows, "label")
    return Table(rows)


def labels_of(cats: dict[str, float]) -> list[str]:
    """Return the categories with a value of 0.5 or more."""
    return [label for label, score in cats.items() if score >= 0.5]


LAYOUT = Layout(
    name="spacy_tuples", matches=matches, read=read, title="training tuples of spaCy", is_document=True, order=30
)
