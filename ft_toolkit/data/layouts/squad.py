"""SQuAD: articles of paragraphs of questions (Rajpurkar et al. 2016, arXiv:1606.05250), one row per question.

The articles are under "data", or are a list without it. A bare list of paragraphs, as simpletransformers writes it, is read
in the same way.
"""

from typing import Any

from ft_toolkit.core.errors import DataError, one_of
from ft_toolkit.data.formats.base import RawRows
from ft_toolkit.data.layouts.base import Layout, Table, records_of


def matches(value: Any) -> bool:
    """Return whether every object has the key `paragraphs`, or the keys of a paragraph."""
    records = _articles(value)
    return bool(records) and (
        all("paragraphs" in record for record in records)
        or all({"context", "qas"} <= record.keys() for record in records)
    )


def _articles(value: Any) -> RawRows:
    return records_of(value.get("data") if isinstance(value, dict) and "data" in value else value)


def read(value: Any, name: str, notes: list[str]) -> Table:
    """Return one row per question of a SQuAD v1.1 or v2 document; `answers` is None for a question without this key."""
    articles = _articles(value)
    if "paragraphs" not in articles[0]:
        return Table(_questions([{"paragraphs": articles}], name, of_paragraph="[{p}]"))
    return Table(_questions(articles, name, of_paragraph="data[{a}].paragraphs[{p}]"))


def _questions(articles: RawRows, name: str, *, of_paragraph: str) -> RawRows:
    rows: RawRows = []
    for a, article in enumerate(articles):
        for p, paragraph in enumerate(_objects(article["paragraphs"], f"{name}: data[{a}].paragraphs")):
            where = f"{name}: {of_paragraph.format(a=a, p=p)}"
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


LAYOUT = Layout(name="squad", matches=matches, read=read, title=None, is_document=True, order=10)
