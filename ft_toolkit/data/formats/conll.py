"""CoNLL columns: one word per line with its tag in the last column; a blank line ends a sentence.

    Anna   B-PER
    lives  O

Columns are separated by tabs or, in a line without a tab, by spaces. A line that begins with -DOCSTART- or "# newdoc" starts
a document.
"""

import re
from bisect import bisect_right
from pathlib import Path

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.formats.base import Format, RawRows


def read(path: Path) -> RawRows:
    """Return one row per sentence: `tokens` (first column) and `tags` (last column; absent if all lines have one column).

    In a file that marks documents, a row also has the number of its `document`. Lines that begin with -DOCSTART-, and comment
    lines ("# " without a tag at the end), are skipped. Raises DataError.
    """
    sentences: list[list[list[str]]] = [[]]
    starts: list[int] = []  # the number of the first sentence of each document
    lines: dict[int, int] = {}  # number of columns (1, or 2 for two and more) -> first line that has it
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            # not str.strip() or str.split(): a no-break space may be a word
            line = line.strip(" \t\r\n")
            columns = [part.strip(" ") for part in line.split("\t")] if "\t" in line else line.split(" ")
            columns = [part for part in columns if part]
            is_comment = line.startswith("# ") and not re.fullmatch("O|[A-Z]-.+", columns[-1])
            if not columns:
                sentences.append([])
            elif line.startswith("-DOCSTART-") or (is_comment and re.match(r"# newdoc\b", line)):
                if sentences[-1]:
                    sentences.append([])
                starts.append(len(sentences) - 1)
            elif not is_comment:
                sentences[-1].append(columns)
                lines.setdefault(min(len(columns), 2), number)
    if len(lines) == 2:
        raise DataError(f"{path}:{lines[1]}: only one column; each line needs a word and, in the last column, its tag")
    rows: RawRows = []
    for number, words in enumerate(sentences):
        if words:
            tags = {} if 1 in lines else {"tags": [columns[-1] for columns in words]}
            document = {"document": bisect_right(starts, number)} if starts else {}
            rows.append({"tokens": [columns[0] for columns in words], **tags, **document})
    return rows


FORMAT = Format(name="conll", suffixes=(".conll",), read=read)
