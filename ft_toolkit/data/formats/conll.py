"""CoNLL columns: one word per line with its tag in the last column; a blank line ends a sentence.

    Anna   B-PER
    lives  O

Columns are separated by tabs or, in a line without a tab, by spaces.
"""

import re
from pathlib import Path

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.formats.base import Format, RawRows


def read(path: Path) -> RawRows:
    """Return one row per sentence: `tokens` (first column) and `tags` (last column; absent if all lines have one column).

    Lines that begin with -DOCSTART-, and comment lines ("# " without a tag at the end), are skipped. Raises DataError.
    """
    sentences: list[list[list[str]]] = [[]]
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
            elif not is_comment and not line.startswith("-DOCSTART-"):
                sentences[-1].append(columns)
                lines.setdefault(min(len(columns), 2), number)
    if len(lines) == 2:
        raise DataError(f"{path}:{lines[1]}: only one column; each line needs a word and, in the last column, its tag")
    rows = [{"tokens": [c[0] for c in words], "tags": [c[-1] for c in words]} for words in sentences if words]
    return rows if 1 not in lines else [{"tokens": row["tokens"]} for row in rows]


FORMAT = Format(name="conll", suffixes=(".conll",), read=read)
