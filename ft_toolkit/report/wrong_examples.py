"""The examples of a split that a person should look at; which form they take depends on the keys of the records."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from ft_toolkit.report.mistakes.labels import errors_of_numbers, wrong_labels, wrong_sets
from ft_toolkit.report.mistakes.marks import Mistakes
from ft_toolkit.report.mistakes.spans import wrong_answers, wrong_entities
from ft_toolkit.report.mistakes.texts import hardest_documents, texts_beside

# A prediction's key -> what shows such records. The first key that a record has decides.
_FORMS: dict[str, Callable[[Sequence[dict[str, Any]], float], Mistakes]] = {
    "entities": lambda rows, threshold: wrong_entities(rows),
    "answer": lambda rows, threshold: wrong_answers(rows),
    "summary": lambda rows, threshold: texts_beside(rows, "summary"),
    "translation": lambda rows, threshold: texts_beside(rows, "translation"),
    "perplexity": lambda rows, threshold: hardest_documents(rows),
    "labels": wrong_sets,
    "label": lambda rows, threshold: wrong_labels(rows),
    "score": lambda rows, threshold: errors_of_numbers(rows),
}


def find_mistakes(predictions: Sequence[dict[str, Any]], threshold: float) -> Mistakes | None:
    """Return up to LIMIT examples of one split's predictions, the most telling first; None for records of no known form.

    `threshold` is that of a multi-label model.
    """
    rows = [row for row in predictions if "gold" in row or "perplexity" in row]
    form = next((show for key, show in _FORMS.items() if rows and key in rows[0]), None)
    return form(rows, threshold) if form is not None else None


def set_aside(mistakes: Mistakes | None, columns: Collection[str]) -> Mistakes | None:
    """Return the mistakes with the columns that the model never saw in the remark instead of among the texts."""
    if mistakes is None:
        return None
    worst = []
    for one in mistakes.worst:
        aside = [f"{name} {''.join(piece.text for piece in pieces)}" for name, pieces in one.texts if name in columns]
        texts = tuple(text for text in one.texts if text[0] not in columns)
        worst.append(replace(one, texts=texts, remark=" · ".join([one.remark, *aside]) if aside else one.remark))
    return replace(mistakes, worst=worst)


def worst_records(predictions: Sequence[dict[str, Any]], threshold: float, limit: int) -> list[dict[str, Any]]:
    """Return the records of the first `limit` mistakes that `find_mistakes` finds, in their order."""
    found = find_mistakes(predictions, threshold)
    by_id = {str(row.get("id", "")): row for row in predictions}
    return [by_id[mistake.example_id] for mistake in found.worst[:limit]] if found is not None else []
