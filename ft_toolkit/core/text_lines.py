"""Split text into lines in the same way everywhere: in data files, in `ftk predict` and on standard input."""

import re

LINE_END = re.compile("\r\n|\n|\r")


def split_lines(text: str) -> list[str]:
    """Return the lines of a text without their line ends.

    A line ends at LF, CRLF or CR, as in a file opened with universal newlines. `str.splitlines` also splits at U+2028, U+0085,
    form feed and other characters that may occur inside a text.
    """
    lines = LINE_END.split(text)
    return lines[:-1] if lines[-1] == "" else lines
