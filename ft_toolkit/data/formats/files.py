"""Read rows from csv, tsv, json, jsonl, parquet, conll and txt files, and from the Hub. Errors name file and line."""

import csv
import difflib
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import DataError, one_of

RawRows = list[dict[str, Any]]


def check_file(path: Path) -> None:
    """Raise DataError when a file is not there or its ending is not one we read."""
    if path.suffix.lower() not in READERS:
        raise DataError(f"{path}: unknown file type '{path.suffix}'; allowed: {one_of(READERS)}")
    if not path.is_file():
        near = (
            difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*")], n=1)
            if path.parent.is_dir()
            else []
        )
        hint = f" Did you mean '{path.with_name(near[0])}'?" if near else ""
        raise DataError(f"{path}: no such file (looked in {path.parent.resolve()}).{hint}")


def read_file(path: Path) -> RawRows:
    """Return the rows of a local file as dicts; the ending of its name decides the format.

    csv and tsv need a header line; tsv has no quoting (IANA text/tab-separated-values), so a quotation mark is a
    character like any other. json holds a list of objects, or one object with a list under "data"; in SQuAD's form, articles
    of paragraphs of questions, each question becomes a row. jsonl has one object per line. conll holds a word per line, its
    tag in the last column, and gives a row with `tokens` and `tags` per sentence. txt holds a text per line, which becomes
    the column `text`, empty lines left out. Raises DataError.
    """
    check_file(path)
    try:
        rows = READERS[path.suffix.lower()](path)
    except UnicodeDecodeError:
        raise DataError(f"{path}:{_line_not_utf8(path)}: not UTF-8 text; save the file as UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not rows:
        raise DataError(f"{path}: no rows")
    return rows


def _line_not_utf8(path: Path) -> int:
    """Return the first line that does not decode; the error of a buffered read only knows its place in the buffer."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1


def _read_csv(path: Path) -> RawRows:
    return list(_delimited(path, ",", csv.QUOTE_MINIMAL))


def _read_tsv(path: Path) -> RawRows:
    return list(_delimited(path, "\t", csv.QUOTE_NONE))


def _delimited(path: Path, delimiter: str, quoting: int) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, quoting=quoting, strict=True)  # type: ignore[arg-type]
        try:
            header = next(reader, None)
            if not header:
                raise DataError(f"{path}: empty; a header line with column names is needed")
            if len(set(header)) < len(header):
                raise DataError(f"{path}:1: a column name stands twice: {one_of(header)}")
            start = reader.line_num + 1
            for fields in reader:
                if fields and len(fields) != len(header):
                    raise DataError(
                        f"{path}:{start}: {len(fields)} fields where the header has {len(header)} ({one_of(header)}); "
                        + ("quote texts that hold a comma" if delimiter == "," else "a text may not hold a tab")
                    )
                if fields:
                    yield dict(zip(header, fields, strict=True))
                start = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{path}:{reader.line_num}: {error}") from None


def _read_json(path: Path) -> RawRows:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not valid JSON: {error.msg}") from None
    rows = document.get("data") if isinstance(document, dict) else document
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path}: a list of objects is needed, or an object with such a list under 'data'")
    return _questions(rows, path) if rows and all("paragraphs" in row for row in rows) else rows


def _questions(articles: RawRows, path: Path) -> RawRows:
    """Return a row per question of a file in the form of SQuAD v1.1 or v2; without answers where the file has none."""
    rows: RawRows = []
    for a, article in enumerate(articles):
        for p, paragraph in enumerate(_objects(article["paragraphs"], f"{path}: data[{a}].paragraphs")):
            where = f"{path}: data[{a}].paragraphs[{p}]"
            if "context" not in paragraph or "qas" not in paragraph:
                raise DataError(f"{where}: a paragraph needs 'context' and 'qas'; found {one_of(paragraph)}")
            for q, asked in enumerate(_objects(paragraph["qas"], f"{where}.qas")):
                if "question" not in asked:
                    raise DataError(f"{where}.qas[{q}]: no 'question'; found {one_of(asked)}")
                answers = asked.get("answers")
                rows.append(
                    {
                        "id": asked.get("id", str(len(rows) + 1)),
                        "title": article.get("title"),
                        "context": paragraph["context"],
                        "question": asked["question"],
                        "answers": answers,
                        "is_impossible": asked.get("is_impossible", None if answers is None else not answers),
                    }
                )
    return rows


def _objects(value: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise DataError(f"{where}: a list of objects is needed")
    return value


def _read_jsonl(path: Path) -> RawRows:
    rows: RawRows = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}:{number}: not valid JSON: {error.msg}") from None
            if not isinstance(row, dict):
                raise DataError(f"{path}:{number}: found {type(row).__name__}; one JSON object per line is needed")
            rows.append(row)
    return rows


def _read_parquet(path: Path) -> RawRows:
    import pyarrow
    import pyarrow.parquet

    try:
        rows: RawRows = pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:  # a broken footer is an OSError
        raise DataError(f"{path}: not a readable parquet file: {error}") from None
    return rows


def _read_conll(path: Path) -> RawRows:
    """Return a row per sentence: `tokens` (first column) and `tags` (last column; none where all lines have one column).

    Columns stand between tabs or, in a line without one, spaces; sentences between blank lines. Lines that begin with
    -DOCSTART-, and those that begin with "# " and do not end in a tag, are skipped.
    """
    sentences: list[list[list[str]]] = [[]]
    lines: dict[int, int] = {}  # number of columns -> first line that has it
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            # not str.strip or split alone: a no-break space may be a word
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
        raise DataError(f"{path}:{lines[1]}: one column; a word and, in the last column, its tag are needed")
    rows = [{"tokens": [c[0] for c in words], "tags": [c[-1] for c in words]} for words in sentences if words]
    return rows if 1 not in lines else [{"tokens": row["tokens"]} for row in rows]


def _read_txt(path: Path) -> RawRows:
    with path.open(encoding="utf-8-sig") as file:
        return [{"text": line.removesuffix("\n")} for line in file if line.strip()]


READERS: dict[str, Callable[[Path], RawRows]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
    ".conll": _read_conll,
    ".txt": _read_txt,
}


@dataclass(frozen=True)
class HubRows:
    """The rows of one split of a Hub data set, and the commit they came from (None where nothing tells)."""

    rows: RawRows
    commit: str | None


def read_hub(repo: str, config: str | None, revision: str | None, split: str) -> HubRows:
    """Return one split of a data set on the Hub, or from the cache when offline. Class labels, and lists of them, become names.

    Raises DataError when the data set or the split cannot be had.
    """
    import datasets
    from huggingface_hub import HfApi

    from ft_toolkit.core.hub_errors import FAILURES, reason

    try:
        commit = HfApi().dataset_info(repo, revision=revision, timeout=20).sha
    except FAILURES:
        commit = None  # the cache may still have it
    try:
        table = datasets.load_dataset(repo, config, split=split, revision=commit or revision)
    except FAILURES as error:
        raise DataError(
            f"data set '{repo}' (split {split}, revision {revision or 'main'}) cannot be loaded from the Hub or the cache: "
            f"{reason(error)}. Offline, give local files: data.train=FILE data.validation=FILE"
        ) from None
    rows = [{column: named(value, table.features[column]) for column, value in row.items()} for row in table]
    return HubRows(rows, commit or _commit_in(table.info.download_checksums or {}))


def _commit_in(downloads: Iterable[str]) -> str | None:
    """Return the commit in the addresses of a cached data set's files: hf://datasets/OWNER/NAME@COMMIT/FILE."""
    found = {match[1] for match in map(re.compile(r"^hf://datasets/[^@]+@([0-9a-f]{40})/").match, downloads) if match}
    return found.pop() if len(found) == 1 else None


def named(value: Any, feature: Any) -> Any:
    """Return a class label's name, or the names of a list of them; the Hub marks hidden labels with -1, which become None."""
    if isinstance(value, list):
        inner = getattr(feature, "feature", None)
        return [named(item, inner) for item in value] if hasattr(inner, "names") else value
    if not hasattr(feature, "names"):
        return value
    return feature.names[value] if value is not None and value >= 0 else None
