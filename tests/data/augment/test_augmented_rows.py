"""Changed copies of training rows: the same each time, with answers at their places, for every task."""

from typing import Any

import pytest

from ft_toolkit.core.errors import RecipeError
from ft_toolkit.data.augment.augmented_rows import AugmentedRows, count_changes, make_augmenter
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.recipe.sections import AugmentationSection
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import AugmentKind, Task
from ft_toolkit.tasks.text.words import place_words

TASKS = find_tasks()
SETTINGS: dict[str, dict[str, Any]] = {"translation": {"source_language": "en", "target_language": "de"}}


def settings_of(task: Task) -> Any:
    return task.settings(name=task.name, **SETTINGS.get(task.name, {}))


def augmented(task: Task, rows: Any, seed: int = 1, **shares: Any) -> AugmentedRows:
    augmenter = make_augmenter(AugmentationSection(**shares), task, settings_of(task), rows, seed)
    assert augmenter is not None
    return AugmentedRows(rows, augmenter)


def rows_of(task: Task) -> Any:
    settings = settings_of(task)
    rows, _ = task.read_rows(task.sample_rows(settings), settings, "sample rows")
    return rows


CHANGED = [name for name, task in TASKS.items() if not isinstance(task.augmentation(settings_of(task)), str)]


@pytest.mark.parametrize("name", CHANGED)
def test_a_copy_depends_on_its_row_and_the_seed_only(name: str) -> None:
    task = TASKS[name]
    rows, allowed = rows_of(task), task.augmentation(settings_of(task))
    assert not isinstance(allowed, str)
    shares = {kind: 0.4 for kind in allowed.kinds if kind != "synonyms"}
    first = augmented(task, rows, copies=2, **shares)
    assert len(first) == 3 * len(rows)
    assert list(first) == first[:] == [first[i] for i in range(len(first))]
    assert list(first)[::3] == list(rows)
    # a row alone, and in another order, has the same copies
    assert (
        augmented(task, [rows[4]], copies=2, **{**shares, "replace_entities": 0.0})[1:]
        == augmented(task, list(rows)[::-1], copies=2, **{**shares, "replace_entities": 0.0})[
            3 * (len(rows) - 5) + 1 :
        ][:2]
    )
    texts = {column: [str(row.get(column)) for row in first] for column in allowed.changes}
    answers = [column for column in task.columns if column not in allowed.changes]
    if any(column in rows[0] for column in allowed.changes):
        assert texts != {
            column: [str(row.get(column)) for row in augmented(task, rows, 2, copies=2, **shares)] for column in texts
        }
        assert any(values[0::3] != values[1::3] for values in texts.values())
        assert any(values[1::3] != values[2::3] for values in texts.values())
    if name != "ner":  # tokens and entities move
        for column in set(answers) - {"answers"}:
            assert [row.get(column) for row in first] == [row.get(column) for row in rows for _ in range(3)]


@pytest.mark.parametrize("kind", ["delete_words", "swap_words", "typos", "replace_entities"])
@pytest.mark.parametrize("form", ["text", "tokens"])
def test_entities_stay_at_their_names(kind: AugmentKind, form: str) -> None:
    task, rows = TASKS["ner"], rows_of(TASKS["ner"])
    if form == "tokens":
        rows = [{**row, "text": " ".join(row["text"].split())} for row in rows]
        rows = [{**row, "tokens": row["text"].split()} for row in rows]
        # the entities of the sample rows end before punctuation, which a token contains
        rows = [
            {**row, "entities": [e for e in row["entities"] if row["text"][e["end"] : e["end"] + 1] in ("", " ")]}
            for row in rows
        ]
    names = {
        label: {row["text"][e["start"] : e["end"]] for row in rows for e in row["entities"] if e["label"] == label}
        for label in {e["label"] for row in rows for e in row["entities"]}
    }
    copies = augmented(task, rows, copies=4, **{kind: 0.6})
    n_changed = 0
    for number, copy in enumerate(copies):
        row = rows[number // 5]
        n_changed += copy["text"] != row["text"]
        found = [(copy["text"][e["start"] : e["end"]], e["label"]) for e in copy["entities"]]
        before = [(row["text"][e["start"] : e["end"]], e["label"]) for e in row["entities"]]
        assert [label for _, label in found] == [label for _, label in before]
        assert found == before or (kind == "replace_entities" and all(text in names[label] for text, label in found))
        if form == "tokens":
            assert " ".join(copy["tokens"]) == copy["text"] and place_words(copy["tokens"], copy["text"]) is not None
    assert n_changed > len(copies) / 4


def test_an_entity_is_replaced_by_one_with_another_number_of_tokens() -> None:
    rows, _ = TASKS["ner"].read_rows(
        [
            {
                "id": "1",
                "tokens": ["I", "saw", "New", "York", "City", "."],
                "tags": ["O", "O", "B-X", "I-X", "I-X", "O"],
            },
            {"id": "2", "tokens": ["Rome", "waits"], "tags": ["B-X", "O"]},
        ],
        settings_of(TASKS["ner"]),
        "rows",
    )
    copies = augmented(TASKS["ner"], rows, replace_entities=1.0)
    assert copies[1]["tokens"] == ["I", "saw", "Rome", "."] and copies[3]["tokens"] == ["New", "York", "City", "waits"]
    assert copies[1]["entities"] == [{"start": 6, "end": 10, "label": "X"}]
    assert copies[3]["entities"] == [{"start": 0, "end": 13, "label": "X"}]


def test_the_answer_of_a_question_stays_in_the_context() -> None:
    task, rows = TASKS["question_answering"], rows_of(TASKS["question_answering"])
    copies = augmented(task, rows, copies=5, delete_words=0.5, swap_words=0.3, typos=0.8)
    n_moved = 0
    for number, copy in enumerate(copies):
        row = rows[number // 6]
        answers = copy["answers"]
        assert answers["text"] == row["answers"]["text"]
        for text, start in zip(answers["text"], answers["answer_start"], strict=True):
            assert copy["context"][start : start + len(text)] == text
        n_moved += answers["answer_start"] != row["answers"]["answer_start"]
        assert len(copy["question"].split()) == len(row["question"].split())
    assert n_moved > 20


def test_a_question_whose_context_is_the_answer_stays() -> None:
    row = {"id": "1", "question": "1?", "context": "forty two", "answers": {"text": ["forty two"], "answer_start": [0]}}
    copies = augmented(TASKS["question_answering"], [row], delete_words=0.9, swap_words=1.0, typos=1.0)
    assert copies[1] == row


def test_the_changes_are_counted() -> None:
    rows = [{"id": "1", "text": "remarkable performances", "label": "a"}, {"id": "2", "text": "no", "label": "b"}]
    augmenter = make_augmenter(
        AugmentationSection(copies=3, typos=1.0, swap_words=1.0),
        TASKS["text_classification"],
        settings_of(TASKS["text_classification"]),
        rows,
        1,
    )
    assert augmenter is not None
    facts = count_changes(rows, augmenter)
    assert (facts.rows, facts.changed, facts.by_change) == (6, 3, {"swap_words": 3, "typos": 3})
    assert facts.share == 0.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["task=language_modelling", "augmentation.typos=0.1"],
            r"augmentation\.typos: language_modelling learns to write",
        ),
        (["task=dialogue", "augmentation.typos=0.1"], r"augmentation\.typos: dialogue learns to write the turns"),
        (["augmentation.replace_entities=0.1"], r"augmentation\.replace_entities: not allowed for text_classification"),
        (
            ["task={name: translation, source_language: en, target_language: de}", "augmentation.delete_words=0.1"],
            r"augmentation\.delete_words: not allowed for translation, .*allowed: synonyms, typos",
        ),
        (["augmentation.typos=1.5"], r"augmentation\.typos: .*less than or equal to 1"),
        (["augmentation.copies=0"], r"augmentation\.copies: .*greater than or equal to 1"),
        (["augmentation.copies=2"], "copies requires a change"),
        (["augmentation.word_list=words.txt"], "word_list requires synonyms"),
        (["augmentation.typo=0.1"], "Did you mean 'typos'"),
    ],
)
def test_settings_without_sense_are_refused(words: list[str], message: str, write_recipe: Any) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(write_recipe(), words, TASKS)
