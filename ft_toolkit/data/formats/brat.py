"""A folder of BRAT: for each text NAME.txt, its annotations NAME.ann, such as `T1<tab>PER 0 4<tab>Anna`."""

import re
from pathlib import Path

from ft_toolkit.core.errors import DataError
from ft_toolkit.core.text_lines import split_lines
from ft_toolkit.data.encoding import decode
from ft_toolkit.data.formats.base import FolderFormat, FolderSource, RawRows

_ENTITY = re.compile(r"T\d+\t(\S+) (\d+ \d+(?:;\d+ \d+)*)\t?(.*)")


def read(source: FolderSource) -> RawRows:
    """Return one row per text: its `id` (the name of the file), `text` and `entities`. Raises DataError.

    An entity with several parts is read from its first to its last character. Events, relations and attributes are not read.
    """
    rows: RawRows = []
    n_parts = 0
    encoding = source.reading.encoding
    for path in sorted(source.path.rglob("*.ann")):
        text_path = path.with_suffix(".txt")
        if not text_path.is_file():
            raise DataError(f"{path}: the text {text_path.name} is missing; add it, or remove the annotations")
        text = decode(text_path.read_bytes(), str(text_path), encoding).text
        entities = []
        for number, line in enumerate(split_lines(decode(path.read_bytes(), str(path), encoding).text), 1):
            if not line.startswith("T"):
                continue
            match = _ENTITY.fullmatch(line)
            if match is None:
                raise DataError(f"{path}:{number}: must be T1<tab>TYPE START END<tab>TEXT; found {line!r}")
            offsets = [int(offset) for offset in re.split("[ ;]", match[2])]
            n_parts += len(offsets) > 2
            start, end = offsets[0], offsets[-1]
            is_wrong = len(offsets) == 2 and match[3] and text[start:end].split() != match[3].split()
            if is_wrong:
                raise DataError(
                    f"{path}:{number}: the text from {start} to {end} is {text[start:end]!r}, not {match[3]!r}; check whether "
                    f"{text_path.name} or its line ends were changed after the annotation"
                )
            entities.append({"start": start, "end": end, "label": match[1]})
        name = path.relative_to(source.path).with_suffix("").as_posix()
        rows.append({"id": name, "text": text, "entities": entities})
    if n_parts:
        source.notes.append(f"{n_parts} entities have several parts; each is read from its first to its last character")
    return rows


def fits(path: Path) -> bool:
    """Return whether the folder, or a folder in it, holds .ann files."""
    return next(path.rglob("*.ann"), None) is not None


FORMAT = FolderFormat(name="brat", fits=fits, read=read)
