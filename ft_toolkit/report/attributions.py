"""Attributions: words of wrong examples shaded by their contribution to the predicted label."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ft_toolkit.tasks.display.wrong_examples import SHOWN_CHARACTERS, Piece, WrongExample, WrongExamples

# A word is shaded when its contribution is at least this share of the largest one in the text.
_MIN_SHARE = 0.08
# Words named in the remark, for and against the label.
_MAX_NAMED = 3

Records = Sequence[Mapping[str, Any]]


def shade(wrong_examples: WrongExamples, records: Records, attributions: Records) -> WrongExamples:
    """Return the wrong examples with shaded words, for those that have attributions.

    `records` are lines of predictions.jsonl, `attributions` lines of attributions.jsonl, of the same split.
    """
    if not attributions:
        return wrong_examples
    records_by_id = {str(record.get("id", "")): record for record in records}
    lines_by_id = {str(line["id"]): line for line in attributions}
    examples = [
        _shaded(example, records_by_id[example.example_id], lines_by_id[example.example_id])
        if example.example_id in lines_by_id
        else example
        for example in wrong_examples.examples
    ]
    is_shaded = any(example.example_id in lines_by_id for example in examples)
    return replace(wrong_examples, examples=examples, shaded=is_shaded)


def _shaded(example: WrongExample, record: Mapping[str, Any], line: Mapping[str, Any]) -> WrongExample:
    words = [
        (record[column][span["start"] : span["end"]], span["weight"])
        for column, spans in line["texts"].items()
        for span in spans
    ]
    largest = max((abs(weight) for _, weight in words), default=0.0)
    if not largest:
        return example
    texts = tuple(
        (column, _pieces(record[column], line["texts"][column], largest) if column in line["texts"] else pieces)
        for column, pieces in example.texts
    )
    remarks = [example.remark]
    for direction, sign in (("for", 1), ("against", -1)):
        strong = [word for word in words if sign * word[1] > _MIN_SHARE * largest]
        strong.sort(key=lambda word: -sign * word[1])
        if strong:
            remarks.append(
                f"strongest {direction} {line['label']}: " + ", ".join(word for word, _ in strong[:_MAX_NAMED])
            )
    return replace(example, texts=texts, remark=" · ".join(remarks))


def _pieces(text: str, spans: Sequence[Mapping[str, Any]], largest: float) -> tuple[Piece, ...]:
    pieces, position = [], 0
    for span in spans:
        share = span["weight"] / largest
        if abs(share) < _MIN_SHARE or span["end"] > SHOWN_CHARACTERS:
            continue
        pieces += [Piece(text[position : span["start"]]), Piece(text[span["start"] : span["end"]], share=share)]
        position = span["end"]
    n_left_out = len(text) - SHOWN_CHARACTERS
    if n_left_out <= 0:
        return (*pieces, Piece(text[position:]))
    return (*pieces, Piece(f"{text[position:SHOWN_CHARACTERS]}… ({n_left_out:,} more characters)"))
