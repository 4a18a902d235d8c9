"""Label columns as files hold them, converted to the label values that `labels.target_of` reads.

For one label per row, the names are cleaned. For several labels per row, a cell is

    a list of names       ["a", "b"], ['a', 'b'], ['a' 'b'], or names with data.label_separator between them
    a 0/1 list            [1, 0, 1], [True, False, True], [1. 0. 1.], "1,0,1": one value per label, in a defined order
    an object             {"a": 1, "b": 0, "c": 1}; also the 0/1 columns that data.columns.label=[a, b, c] names

Anything that can be read in two ways is refused. A value is replaced only where its plain reading has other names, so that
the fingerprint of rows that need no conversion is that of the file.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ft_toolkit.core.counted_notes import CountedNote
from ft_toolkit.core.errors import DataError, one_of
from ft_toolkit.tasks.base import DefinedLabels, LabelSource, Rows, row_name
from ft_toolkit.tasks.text.cells import Printed, form_notes, looks_printed, read_printed
from ft_toolkit.tasks.text.labels import ProblemType, case_note, label_key, label_name, names_of, whole_number
from ft_toolkit.tasks.text.missing_labels import nan_note

_MULTI = "multi_label_classification"
_FLAGS = {"1": True, "0": False, "true": True, "false": False}
_FLAG_TEXT = re.compile(r"[01](?:(?:\s*[,;|]\s*|\s+)[01])+")
# Separators that a column may use instead of data.label_separator.
_SEPARATORS = (",", ";", "#", "|", "/", "\n", "\t", " ")


@dataclass(frozen=True)
class _Cell:
    """A label cell: its value (of text: the list or dict that it prints, if any) and the row for messages."""

    value: Any
    where: str


def read_label_column(rows: Rows, problem_type: ProblemType, source: LabelSource) -> tuple[Rows, list[str]]:
    """Return rows whose `label` is one name, a list of names or a number, and notes on the changes. Raises DataError."""
    labelled = [i for i, row in enumerate(rows) if row.get("label") is not None]
    wheres = [f"{source.where}: {row_name(rows[i], i + 1)}" for i in labelled]
    if source.separator != "|" and problem_type != _MULTI:
        raise DataError(
            f"data.label_separator={source.separator!r} requires task.problem_type={_MULTI}; remove one of them"
        )
    if problem_type == "regression":
        return rows, []
    values = [rows[i]["label"] for i in labelled]
    printed = [read_printed(value) if isinstance(value, str) else None for value in values]
    if problem_type == _MULTI:
        names, notes = _several_names(values, printed, wheres, source)
        new = [
            value if isinstance(value, (str, list, tuple)) and names_of(value, problem_type) == each else each
            for value, each in zip(values, names, strict=True)
        ]
        notes = [*form_notes("label", [each for each in printed if each]), *notes]
    else:
        new, notes = _one_name(values, printed, wheres, source.defined)
        names = [names_of(value, problem_type) for value in new]
    distinct = {name for each in names for name in each}
    notes += [
        note for note in (case_note(distinct), nan_note(distinct), _position_note(distinct, source.defined)) if note
    ]
    changed = dict(zip(labelled, new, strict=True))
    return [{**row, "label": changed[i]} if i in changed else row for i, row in enumerate(rows)], notes


def _one_name(
    values: Sequence[Any], printed: Sequence[Printed | None], wheres: Sequence[str], defined: DefinedLabels | None
) -> tuple[list[Any], list[str]]:
    """Return one label per row: text without white space around it, in NFC, and 1 for 1.0 if all are whole numbers."""
    for value, each, where in zip(values, printed, wheres, strict=True):
        if each is not None or isinstance(value, (list, tuple, Mapping)):
            raise DataError(
                f"{where}: label {value!r} holds several values; set task.problem_type={_MULTI}, or write one label per row"
            )
        if isinstance(value, float) and math.isinf(value):
            raise DataError(f"{where}: label {value!r} is not a finite number; correct it, or leave the cell empty")
    new = [label_name(value) if isinstance(value, str) else value for value in values]
    notes: list[str] = []
    if n := sum(isinstance(value, str) and value != name for value, name in zip(values, new, strict=True)):
        notes.append(CountedNote("trimmed labels", {"labels": n}, _trimmed_text, len(values)))
    texts = {name: None for name in new if isinstance(name, str)}
    if len(texts) > 2 and (joined := find_separator(texts, defined)):
        text, separator = joined
        notes.append(
            f"column 'label': label {_short(text)} seems to be several labels with {separator!r} between them, but is read "
            f"as one; for several labels per row set task.problem_type={_MULTI} and data.label_separator={separator!r}"
        )
    numbers = [whole_number(label_name(value)) for value in new]
    if all(number is not None for number in numbers):
        written = [label_name(value) for value in new]
        if different := [name for name, number in zip(written, numbers, strict=True) if name != number]:
            notes.append(
                f"column 'label': whole numbers such as {different[0]} are read as {whole_number(different[0])}"
            )
            new = [
                number if name != number else value for name, number, value in zip(written, numbers, new, strict=True)
            ]
    return new, notes


def _trimmed_text(counts: Mapping[str, int], n_rows: int) -> str:
    n = counts["labels"]
    return f"column 'label': {n:,} labels had white space around them or another Unicode form than NFC; both ignored"


def _several_names(
    values: Sequence[Any], printed: Sequence[Printed | None], wheres: Sequence[str], source: LabelSource
) -> tuple[list[list[str]], list[str]]:
    """Return the label names of each row, and notes on how the cells were read."""
    cells = [
        _Cell(_checked(value, each, where), where) for value, each, where in zip(values, printed, wheres, strict=True)
    ]
    if all(_FLAG_TEXT.fullmatch(cell.value.strip()) for cell in cells if isinstance(cell.value, str) and cell.value):
        split = [
            _Cell(re.findall("[01]", cell.value), cell.where) if isinstance(cell.value, str) else cell for cell in cells
        ]
        if (flags := _flag_lists(split, source)) is not None:
            return _named(flags, source)
    elif (flags := _flag_lists(cells, source)) is not None:
        return _named(flags, source)
    texts = {cell.value.strip(): cell.where for cell in cells if isinstance(cell.value, str)}
    if not any(source.separator in text for text in texts) and (joined := find_separator(texts, source.defined)):
        text, separator = joined
        raise DataError(
            f"{texts[text]}: label {_short(text)} seems to be several labels with {separator!r} between them; set "
            f"data.label_separator={separator!r} (ftk evaluate: --label-separator), or, if it is one label, list all labels in "
            "task.labels"
        )
    names = [_names(cell, source.separator) for cell in cells]
    distinct = {name for each in names for name in each}
    if distinct and distinct <= {"0", "1"} and source.defined is None:
        raise DataError(
            f"{source.where}: the labels are only {one_of(sorted(distinct))}. For one 0/1 column per label, name all of them: "
            "data.columns.label=[NAME, NAME] in a recipe, --column label=NAME,NAME for 'ftk evaluate'"
        )
    return names, []


def _checked(value: Any, printed: Printed | None, where: str) -> Any:
    """Return the value of a cell, of text the list or dict that it prints. Raises DataError for other types."""
    if printed is not None:
        value = printed.value
    elif isinstance(value, str) and looks_printed(value) and not value.startswith("("):
        raise DataError(
            f'{where}: label {_short(value)} looks like a list but cannot be read; write JSON such as ["a", "b"], or names '
            "with data.label_separator between them"
        )
    if isinstance(value, (list, tuple)):
        for item in value:
            if item is None or isinstance(item, (list, tuple, Mapping)) or item != item:
                raise DataError(f"{where}: label {value!r} must be a list of names or of 0 and 1; found {item!r} in it")
    elif not isinstance(value, (str, Mapping)):
        raise DataError(
            f"{where}: label {value!r} is not a list of labels (in text files: names separated by data.label_separator)"
        )
    return value


def _names(cell: _Cell, separator: str) -> list[str]:
    """Return the names in a cell, each once."""
    value = cell.value
    if isinstance(value, Mapping):
        parts: Sequence[Any] = [name for name, item in value.items() if _flag(item, str(name), cell.where)]
    elif isinstance(value, str):
        parts = _parts(value, separator)
    else:
        parts = value
    return list(dict.fromkeys(name for part in parts if (name := label_name(part))))


def _parts(text: str, separator: str) -> list[str]:
    """Return the parts of a text between separators; a space separates at any white space."""
    return [label_name(part) for part in (text.split() if separator == " " else text.split(separator))]


def _flag(value: Any, name: str, where: str) -> bool:
    """Return whether a value of an object or of a 0/1 column is 1. Raises DataError for another value."""
    flag = _FLAGS.get(label_key(label_name(value)))
    if flag is None:
        cell = "an empty cell" if value in (None, "") else repr(value)
        raise DataError(f"{where}: label '{name}' must be 0 or 1 (or true or false); found {cell}")
    return flag


def _flag_lists(cells: Sequence[_Cell], source: LabelSource) -> list[list[bool]] | None:
    """Return the cells as 0/1 lists with one value per label; None if they are lists of names.

    Cells without any value are rows without labels. Raises DataError where 0/1 lists do not fit the labels.
    """
    lists = [cell for cell in cells if isinstance(cell.value, (list, tuple)) and cell.value]
    flags = [[_FLAGS.get(label_key(label_name(item))) for item in cell.value] for cell in lists]
    is_flags = [None not in each for each in flags]
    is_repeated = [fits and len(each) > len(set(each)) for each, fits in zip(flags, is_flags, strict=True)]
    other = next((cell for cell in cells if cell.value and not isinstance(cell.value, (list, tuple))), None)
    other = other or next((cell for cell, fits in zip(lists, is_flags, strict=True) if not fits), None)
    lengths = Counter(len(each) for each in flags)
    if not lists or (other is not None and not any(is_repeated)):
        return None
    length, _ = lengths.most_common(1)[0]
    defined = source.defined
    if not any(is_repeated) and (len(lengths) > 1 or length != (len(defined.names) if defined else 2)):
        return None  # lists of the labels 0 and 1
    first = next(cell for cell, each in zip(lists, is_flags, strict=True) if each)
    if other is not None:
        raise DataError(
            f"{other.where}: label {_short(other.value)} is not a 0/1 list, but {first.where.rpartition(': ')[2]} has "
            f"{_short(first.value)}; write all rows in one form"
        )
    if defined is None:
        raise DataError(
            f"{first.where}: label {_short(first.value)} is a 0/1 list, and nothing says which value belongs to which label; "
            f"set task.labels=[...] with {length} names in this order, or write the names"
        )
    if odd := next((cell for cell in lists if len(cell.value) != len(defined.names)), None):
        raise DataError(
            f"{odd.where}: label {_short(odd.value)} is a 0/1 list of {len(odd.value)} values, but {defined.by} has "
            f"{len(defined.names)} labels ({one_of(defined.names)}); both need the same number"
        )
    return [[bool(_FLAGS[label_key(label_name(item))]) for item in cell.value] for cell in cells]


def _named(flags: Sequence[Sequence[bool]], source: LabelSource) -> tuple[list[list[str]], list[str]]:
    """Return the names of the labels that are set, and a note on their order."""
    defined = source.defined
    assert defined is not None  # _flag_lists refused it
    names = [[name for name, is_set in zip(defined.names, each, strict=False) if is_set] for each in flags]
    return names, [f"column 'label': 0/1 lists, read in the order of {defined.by}: {one_of(defined.names)}"]


def find_separator(texts: Collection[str], defined: DefinedLabels | None) -> tuple[str, str] | None:
    """Return a label that seems to be several labels, and the separator in it; None if there is none.

    Labels have a separator between them if its parts are labels of other cells in at least half of the labels that contain it.
    Names that something defines, such as "art, music" in task.labels, are no sign of a separator.
    """
    known = set(defined.names) if defined else set()
    names = [text for text in texts if text not in known]
    for separator in _SEPARATORS:
        parts = {text: _parts(text, separator) for text in names if separator in text}
        uses = Counter(part for each in parts.values() for part in set(each))
        alone = {label_name(text) for text in names if separator not in text} | known
        several = [
            text
            for text, each in parts.items()
            if all(part in alone or (separator != " " and uses[part] > 1) for part in each)
        ]
        if several and len(several) * 2 >= len(parts):
            return several[0], separator
    return None


def _position_note(names: set[str], defined: DefinedLabels | None) -> str | None:
    """Return a note if labels are numbers that mean positions in the defined names."""
    if defined is None or not any(whole_number(name) for name in names):
        return None
    if any(whole_number(name) for name in defined.names):
        return None
    shown = one_of(f"{position} = {name}" for position, name in enumerate(defined.names))
    return f"column 'label': numbers are positions in {defined.by}: {shown}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
