"""A JSON document: a list of objects, or an object with such a list under "data".

A document in the format of SQuAD (articles of paragraphs of questions; Rajpurkar et al. 2016, arXiv:1606.05250) gives one
row per question.
"""

import json
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import DataError, one_of
from ft_toolkit.data.formats.base import Format, RawRows


def read(path: Path) -> RawRows:
    """Return the objects of the list, or the questions of a SQuAD file. Raises DataError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not valid JSON: {error.msg}") from None
    rows = document.get("data") if isinstance(document, dict) else document
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path}: the file must hold a list of objects, or an object with such a list under 'data'")
    return _squad_questions(rows, path) if rows and all("paragraphs" in row for row in rows) else rows


def _squad_questions(articles: RawRows, path: Path) -> RawRows:
    """Return one row per question of a SQuAD v1.1 or v2 document; `answers` is None where a question has no such key."""
    rows: RawRows = []
    for a, article in enumerate(articles):
        for p, paragraph in enumerate(_objects(article["paragraphs"], f"{path}: data[{a}].paragraphs")):
            where = f"{path}: data[{a}].paragraphs[{p}]"
            if "context" not in paragraph or "qas" not in paragraph:
                raise DataError(f"{where}: a paragraph needs 'context' and 'qas'; found {one_of(paragraph)}")
            for q, question in enumerate(_objects(paragraph["qas"], f"{where}.qas")):
                if "question" not in question:
                    raise DataError(f"{where}.qas[{q}]: 'question' is missing; found {one_of(question)}")
                answers = question.get("answers")
                rows.append(
                    {
                        "id": question.get("id", str(len(rows) + 1)),
                        "title": article.get("title"),
                        "context": paragraph["context"],
                        "question": question["question"],
                        "answers": answers,
                        "is_impossible": question.get("is_impossible", None if answers is None else not answers),
                    }
                )
    return rows


def _objects(value: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise DataError(f"{where}: must be a list of objects")
    return value


FORMAT = Format(name="json", suffixes=(".json",), read=read)
