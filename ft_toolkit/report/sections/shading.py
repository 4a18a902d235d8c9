"""Words of wrong examples shaded by what they contributed to the label that was predicted."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ft_toolkit.tasks.display.wrong_examples import SHOWN_CHARACTERS, Piece, WrongExample, WrongExamples

# A smaller share of the largest contribution is not shaded.
_FAINT = 0.08
_NAMED = 3


def shade(
    wrong_examples: WrongExamples | None, predictions: Sequence[dict[str, Any]], attributions: Sequence[dict[str, Any]]
) -> WrongExamples | None:
    """Return the wrong examples with the words of those that have attributions shaded."""
    if wrong_examples is None or not attributions:
        return wrong_examples
    rows = {str(row.get("id", "")): row for row in predictions}
    found = {str(one["id"]): one for one in attributions}
    examples = [
        _shaded(example, rows[example.example_id], found[example.example_id])
        if example.example_id in found
        else example
        for example in wrong_examples.examples
    ]
    return replace(wrong_examples, examples=examples, shaded=any(example.example_id in found for example in examples))


def _shaded(example: WrongExample, row: Mapping[str, Any], found: Mapping[str, Any]) -> WrongExample:
    words = [
        (row[name][one["start"] : one["end"]], one["weight"]) for name, some in found["texts"].items() for one in some
    ]
    largest = max((abs(weight) for _, weight in words), default=0.0)
    if not largest:
        return example
    texts = tuple(
        (name, _pieces(row[name], found["texts"][name], largest) if name in found["texts"] else pieces)
        for name, pieces in example.texts
    )
    parts = [example.remark]
    for said, sign in (("for", 1), ("against", -1)):
        top = sorted((word for word in words if sign * word[1] > _FAINT * largest), key=lambda word: -sign * word[1])
        if top:
            parts.append(f"most {said} {found['label']}: " + ", ".join(word for word, _ in top[:_NAMED]))
    return replace(example, texts=texts, remark=" · ".join(parts))


def _pieces(text: str, words: Sequence[Mapping[str, Any]], largest: float) -> tuple[Piece, ...]:
    pieces, at = [], 0
    for word in words:
        share = word["weight"] / largest
        if abs(share) < _FAINT or word["end"] > SHOWN_CHARACTERS:
            continue
        pieces += [Piece(text[at : word["start"]]), Piece(text[word["start"] : word["end"]], share=share)]
        at = word["end"]
    rest = text[at:SHOWN_CHARACTERS] if len(text) > SHOWN_CHARACTERS else text[at:]
    left = len(text) - SHOWN_CHARACTERS
    return (*pieces, Piece(rest + (f"… ({left:,} more characters)" if left > 0 else "")))
