"""A folder with one subfolder of text files per class: pos/1.txt, pos/2.txt, neg/1.txt."""

from pathlib import Path

from ft_toolkit.data.encoding import decode
from ft_toolkit.data.formats.base import FolderFormat, FolderSource, RawRows


def read(source: FolderSource) -> RawRows:
    """Return one row per file: `text`, `label` (the name of its folder) and `id` (its path). Raises DataError."""
    rows: RawRows = []
    encodings: set[str] = set()
    for folder in _class_folders(source.path):
        for path in sorted(folder.rglob("*.txt")):
            decoded = decode(path.read_bytes(), str(path), source.reading.encoding)
            if decoded.note is not None and decoded.encoding not in encodings:
                encodings.add(decoded.encoding)
                source.notes.append(f"{path.relative_to(source.path)}: {decoded.note}")
            name = path.relative_to(source.path).as_posix()
            rows.append({"id": name, "text": decoded.text.strip(), "label": folder.name})
    names = ", ".join(sorted({row["label"] for row in rows}))
    source.notes.append(
        f"each of {len(rows):,} text files is a row; the names of their folders are the labels: {names}"
    )
    return rows


def _class_folders(path: Path) -> list[Path]:
    return sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))


def fits(path: Path) -> bool:
    """Return whether the folder has two or more subfolders, and all their files are .txt files."""
    folders = _class_folders(path)
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file() and file.name[0] != "."]
    return len(folders) > 1 and bool(files) and all(file.suffix.lower() == ".txt" for file in files)


FORMAT = FolderFormat(name="text_folders", fits=fits, read=read)
