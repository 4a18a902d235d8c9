"""The task that columns without known names suggest: the right one, with its columns, and the reasons."""

import json
from typing import Any

import pytest

from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import Guess
from ft_toolkit.tasks.guessing.table import make_table

Rows = list[dict[str, Any]]
COMPLAINTS = [
    "The lamp is broken and nobody answers.",
    "I love this radio very much.",
    "How long does the delivery take?",
    "The second parcel has not arrived.",
    "What a fine and quiet kettle.",
    "Can you send me a new invoice?",
]


def guesses(rows: Rows, **named: str) -> dict[str, Guess]:
    """Return the guesses with a score above 0, the best one first."""
    table = make_table(rows, named)
    found = {name: task.guess(table) for name, task in find_tasks().items()}
    return dict(sorted(((n, g) for n, g in found.items() if g.score > 0), key=lambda item: -item[1].score))


def best(rows: Rows, **named: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    name, guess = next(iter(guesses(rows, **named).items()))
    return name, dict(guess.columns), dict(guess.settings)


def table(*columns: str, rows: list[tuple[Any, ...]]) -> Rows:
    return [dict(zip(columns, row, strict=True)) for row in rows]


def texts(n: int) -> list[str]:
    return [f"{COMPLAINTS[i % 6]} Order {i}." for i in range(n)]


CASES: dict[str, tuple[Rows, str, dict[str, Any], dict[str, Any]]] = {
    "label by values, not by name": (
        [{"nr": str(i), "Kunde schrieb": text, "x": "abc"[i % 3]} for i, text in enumerate(texts(24))],
        "text_classification",
        {"text": "Kunde schrieb", "label": "x"},
        {},
    ),
    "a rating in a csv file is a class": (
        [{"reviewText": text, "overall stars": str(1 + i % 5)} for i, text in enumerate(texts(24))],
        "text_classification",
        {"text": "reviewText", "label": "overall stars"},
        {},
    ),
    "a number with decimals is an amount": (
        [{"sentence": text, "score": f"{i / 7:.2f}"} for i, text in enumerate(texts(24))],
        "text_classification",
        {"text": "sentence", "label": "score"},
        {"problem_type": "regression"},
    ),
    "decimal commas of an Excel file": (
        [{"Satz": text, "score": f"{i / 7:.2f}".replace(".", ",")} for i, text in enumerate(texts(24))],
        "text_classification",
        {"text": "Satz", "label": "score"},
        {"problem_type": "regression"},
    ),
    "lists of labels": (
        [{"body": text, "topics": ["a", "b"][: 1 + i % 2]} for i, text in enumerate(texts(24))],
        "text_classification",
        {"text": "body", "label": "topics"},
        {"problem_type": "multi_label_classification"},
    ),
    "labels between bars": (
        [{"body": text, "tags": ["a|b", "b", "a"][i % 3]} for i, text in enumerate(texts(24))],
        "text_classification",
        {"text": "body", "label": "tags"},
        {"problem_type": "multi_label_classification"},
    ),
    "labels between commas": (
        [{"body": text, "topics": ["a,b", "b", "a"][i % 3]} for i, text in enumerate(texts(24))],
        "text_classification",
        {"text": "body", "label": "topics"},
        {"problem_type": "multi_label_classification"},
    ),
    "one 0/1 column per label": (
        [{"id": i, "body": text, "billing": i % 2, "delivery": i % 3 % 2} for i, text in enumerate(texts(24))],
        "text_classification",
        {"text": "body", "label": ("billing", "delivery")},
        {"problem_type": "multi_label_classification"},
    ),
    "a pair of texts": (
        [
            {"premise": text, "hypothesis": text[::-1], "gold_label": ["entailment", "neutral"][i % 2]}
            for i, text in enumerate(texts(24))
        ],
        "text_classification",
        {"text": "premise", "text_pair": "hypothesis", "label": "gold_label"},
        {},
    ),
    "tokens and tags": (
        [{"words": ["Ada", "is", "here"], "ner": ["B-PER", "O", "O"]}, {"words": ["Hello"], "ner": ["O"]}],
        "ner",
        {"tokens": "words", "tags": "ner"},
        {},
    ),
    "tokens and tags between spaces": (
        [{"Sentence": "Ada is here", "Tags": "B-PER O O"}, {"Sentence": "Hello", "Tags": "O"}],
        "ner",
        {"tokens": "Sentence", "tags": "Tags"},
        {},
    ),
    "entities with offsets": (
        [{"message": "Ada is here now", "spans": [{"start": 0, "end": 3, "label": "PER"}]}] * 3,
        "ner",
        {"text": "message", "entities": "spans"},
        {},
    ),
    "texts without entities have empty lists": (
        [
            {"text": "Ada is here now", "ents": [{"start": 0, "end": 3, "label": "PER"}] * (i % 3 == 0)}
            for i in range(9)
        ],
        "ner",
        {"text": "text", "entities": "ents"},
        {},
    ),
    "entities as JSON in a csv file": (
        [{"message": "Ada is here now", "spans": json.dumps([{"start": 0, "end": 3, "label": "PER"}])}] * 3,
        "ner",
        {"text": "message", "entities": "spans"},
        {},
    ),
    "question and context": (
        [{"query": "Who came?", "passage": f"On day {i} Ada came.", "answer": "Ada"} for i in range(8)],
        "question_answering",
        {"question": "query", "context": "passage", "answers": "answer"},
        {},
    ),
    "written answers beside a context": (
        [{"query": "Who came?", "passage": f"On day {i} Ada came.", "answer": f"She did, {i}"} for i in range(8)],
        "generative_question_answering",
        {"question": "query", "context": "passage", "answers": "answer"},
        {},
    ),
    "questions with lists of answers": (
        [{"question": f"How many are {i} and 1?", "answers": [str(i + 1), f"it is {i + 1}"]} for i in range(8)],
        "generative_question_answering",
        {"question": "question", "answers": "answers"},
        {},
    ),
    "beginnings and bodies of functions": (
        [{"prompt": f"def f{i}(x):", "completion": f"    return x + {i}"} for i in range(8)],
        "code_generation",
        {"prompt": "prompt", "body": "completion"},
        {},
    ),
    "language codes": (
        [{"en": f"The lamp {i} is red.", "ro": f"Lampa {i} este roșie."} for i in range(8)],
        "translation",
        {"source": "en", "target": "ro"},
        {"source_language": "en", "target_language": "ro"},
    ),
    "an object with a text per language": (
        [{"translation": {"en": f"The lamp {i} is red.", "de": f"Die Lampe {i} ist rot."}} for i in range(8)],
        "translation",
        {"source": "translation", "target": "translation"},
        {"source_language": "en", "target_language": "de"},
    ),
    "source and target by name": (
        [{"source": text, "target": ["Ein Wort.", "Ein Haus am See."][i % 2]} for i, text in enumerate(texts(24))],
        "translation",
        {"source": "source", "target": "target"},
        {"source_language": "en", "target_language": "de"},
    ),
    "summaries in a language without spaces": (
        [{"document": f"灯坏了请尽快回复{i}号。" * 9, "summary": f"灯{i}坏了。"} for i in range(9)],
        "summarization",
        {"document": "document", "summary": "summary"},
        {"max_target_length": 32},
    ),
    "two languages without telling names": (
        [{"a": f"The lamp {i} is red and it is old.", "b": f"Die Lampe {i} ist rot und alt."} for i in range(8)],
        "translation",
        {"source": "a", "target": "b"},
        {"source_language": "en", "target_language": "de"},
    ),
    "document and summary": (
        [
            {"id": i, "article": f"{' '.join(COMPLAINTS)} The number is {i}.", "highlights": f"The lamp {i} is broken."}
            for i in range(8)
        ],
        "summarization",
        {"document": "article", "summary": "highlights"},
        {"max_target_length": 32},
    ),
    "texts alone": ([{"text": text} for text in texts(12)], "language_modelling", {"text": "text"}, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_the_columns_suggest_the_task(name: str) -> None:
    rows, task, columns, settings = CASES[name]
    assert best(rows) == (task, columns, settings)
    assert next(iter(guesses(rows).values())).reasons


def test_a_named_column_wins() -> None:
    rows = [{"text": text, "label": "ab"[i % 2], "topic": "cde"[i % 3]} for i, text in enumerate(texts(24))]
    assert best(rows)[1] == {"text": "text", "label": "label"}
    assert best(rows, label="topic")[1] == {"text": "text", "label": "topic"}
    alternatives = guesses(rows)["text_classification"].alternatives
    assert alternatives == ("'topic' could be the label too: --column label=topic",)


def test_probabilities_of_labels_are_recognized() -> None:
    columns = {"text": "text", "label_probabilities": "label_probabilities"}
    likely = [{"praise": 0.9, "complaint": 0.1}, {"praise": 0.3, "complaint": 0.7}]
    for form in (dict, json.dumps):
        rows = [
            {"text": text, "label": "", "label_probabilities": form(likely[i % 2])} for i, text in enumerate(texts(24))
        ]
        assert best(rows) == ("text_classification", columns, {})
        rows = [{**row, "label": "ab"[i % 2]} for i, row in enumerate(rows)]
        assert best(rows) == ("text_classification", {**columns, "label": "label"}, {})
    several = [{"text": text, "label_probabilities": {"a": 0.9, "b": 0.8}} for text in texts(24)]
    assert best(several) == ("text_classification", columns, {"problem_type": "multi_label_classification"})
    renamed = [{"text": text, "teacher": likely[i % 2]} for i, text in enumerate(texts(24))]
    assert best(renamed, label_probabilities="teacher")[1] == {"text": "text", "label_probabilities": "teacher"}


def test_the_separator_goes_into_the_recipe() -> None:
    rows = [{"body": text, "topics": ["a;b", "b", "a"][i % 3]} for i, text in enumerate(texts(24))]
    assert guesses(rows)["text_classification"].data_settings == {"label_separator": ";"}
    rows = [{"body": text, "topics": ["a|b", "b", "a"][i % 3]} for i, text in enumerate(texts(24))]
    assert guesses(rows)["text_classification"].data_settings == {}


def test_one_of_several_flag_columns_can_be_named() -> None:
    rows = [{"body": text, "billing": i % 2, "delivery": i % 3 % 2} for i, text in enumerate(texts(24))]
    assert best(rows, label="billing") == ("text_classification", {"text": "body", "label": "billing"}, {})
    assert best(rows, label="delivery,billing")[1] == {"text": "body", "label": ("delivery", "billing")}
    with_label = [{**row, "category": "xyz"[i % 3]} for i, row in enumerate(rows)]
    assert best(with_label)[1] == {"text": "body", "label": "category"}


def test_an_identifier_is_no_label_and_references_are_no_labels() -> None:
    rows = [{"text": text, "user_id": "ab"[i % 2], "mood": "cde"[i % 3]} for i, text in enumerate(texts(24))]
    assert best(rows)[1]["label"] == "mood"
    rows = [{"text": text, "references": [text, text.upper()]} for text in texts(24)]
    assert "text_classification" not in guesses(rows)


def test_answers_that_do_not_occur_are_no_question_answering() -> None:
    rows = [{"question": "Who came?", "context": f"On day {i} Ada came.", "answer": "nobody at all"} for i in range(8)]
    assert "question_answering" not in guesses(rows)
    guess = find_tasks()["question_answering"].guess(make_table(rows, {}))
    assert guess.reasons == ("only 0% of the answers in 'answer' occur in 'context'",)


def test_the_model_fits_the_language() -> None:
    def model(rows: Rows) -> str:
        chosen = next(iter(guesses(rows).values())).model
        assert chosen is not None
        return chosen.name

    english = [{"text": text, "label": "ab"[i % 2]} for i, text in enumerate(texts(24))]
    chinese = [{"text": f"灯坏了请尽快回复{i}号。", "label": "ab"[i % 2]} for i in range(24)]
    assert model(english) == "distilbert/distilbert-base-uncased"
    assert model(chinese) == "FacebookAI/xlm-roberta-base"
    pairs = [{"fr": f"La lampe {i} est rouge.", "ja": f"ランプ{i}は赤いです。"} for i in range(8)]
    assert model(pairs) == "facebook/m2m100_418M"


@pytest.mark.parametrize("name", find_tasks())
def test_every_task_recognises_its_sample_rows(name: str) -> None:
    task = find_tasks()[name]
    rows = [dict(row) for row in task.sample_rows(task.settings())] * 2
    found, columns, _ = best(rows)
    assert found == name
    assert {role for role, column in columns.items() if role == column} == set(columns) <= set(task.columns)
