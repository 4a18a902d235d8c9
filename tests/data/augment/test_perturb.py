"""Changes of a text that keep its answer: what they do, that they are the same each time, and where entities go."""

import random

import pytest

from ft_toolkit.data.augment import perturb as p
from ft_toolkit.data.augment.word_lists import FEMALE_NAMES, GENDERED, MALE_NAMES
from ft_toolkit.tasks import ner, text_classification
from ft_toolkit.tasks.text import answer_scores
from ft_toolkit.tasks.text.edits import Moves, apply_edits

CLASSIFICATION = text_classification.robustness(text_classification.Settings())
TEXT = "Maria gave her book to him. Her father, Mr. Smith, saw her and said the book is his."


def changed(kind: str, text: str = TEXT, seed: int = 1) -> str:
    found = p.perturb(kind, {"id": "7", "text": text}, CLASSIFICATION, seed)
    return text if found is None else str(found.row["text"])


def test_gender_words_are_swapped_both_ways() -> None:
    assert changed("gender") == "Maria gave his book to her. His mother, Ms. Smith, saw him and said the book is hers."
    assert changed("gender", "HE LEFT") == "SHE LEFT"
    assert changed("gender", "the heater") == "the heater"
    assert {word for word in GENDERED.values() if word not in GENDERED} == {"her", "his"}  # which one, the text decides


def test_names_stay_names_of_the_same_gender_and_the_same_wherever_they_stand() -> None:
    assert not set(FEMALE_NAMES) & set(MALE_NAMES)
    row = {"id": "7", "text": "Maria met MARIA and Marianne.", "text_pair": "Is Maria there? James is."}
    found = p.perturb("names", row, CLASSIFICATION, 1)
    assert found is not None
    new = found.row["text"].split()[0]
    assert new.lower() in FEMALE_NAMES and new != "Maria"
    assert found.row["text"] == f"{new} met {new.upper()} and Marianne."
    pair = found.row["text_pair"]
    assert pair.startswith(f"Is {new} there? ") and pair.split()[3].lower() in set(MALE_NAMES) - {"james"}
    # in a text without capitals a name is found too; where there are capitals, a small letter says it is none
    assert changed("names", "maria left").split()[0] in set(FEMALE_NAMES) - {"maria"}
    assert changed("names", "Who is maria") == "Who is maria"


def test_case() -> None:
    assert changed("lowercase") == TEXT.lower()
    assert changed("uppercase", "Straße İ") == "STRAßE İ"  # what would become two characters stays


def test_typos_come_one_to_a_word_and_leave_short_words_and_first_letters() -> None:
    text = "the remarkable performances of everybody concerned " * 20
    new = changed("typos", text)
    pairs = [(old, now) for old, now in zip(text.split(), new.split(), strict=True) if old != now]
    letters = sum(len(word) for word in text.split() if len(word) > p.SHORT_WORD)
    assert 0.6 < len(pairs) / (letters / p.LETTERS_PER_TYPO) < 1.4
    for old, now in pairs:
        assert len(old) > p.SHORT_WORD and old[0] == now[0] and abs(len(old) - len(now)) <= 1
    assert {len(now) - len(old) for old, now in pairs} == {-1, 0, 1}


@pytest.mark.parametrize("kind", p.CHANGES)
def test_a_change_depends_on_seed_and_id_alone(kind: str) -> None:
    assert changed(kind) == changed(kind)
    assert p.perturb(kind, {"id": "7", "text": "1 2 3"}, CLASSIFICATION, 1) is None
    if kind in ("typos", "names"):
        assert len({changed(kind, TEXT * 3, seed) for seed in range(5)}) > 1


@pytest.mark.parametrize("kind", p.CHANGES)
def test_entities_and_tokens_move_with_their_text(kind: str) -> None:
    tokens = ["Maria", "asked", "Ahmed", "and", "his", "Grandmother", "about", "Amsterdam"]
    text, places, at = " ".join(tokens), [], 0
    for token in tokens:
        places.append((at, at + len(token)))
        at += len(token) + 1
    entities = [{"start": places[i][0], "end": places[i][1], "label": "X"} for i in (0, 2, 7)]
    row = {"id": "3", "text": text, "tokens": tokens, "entities": entities}
    found = next(one for seed in range(9) if (one := p.perturb(kind, row, ner.ROBUSTNESS, seed)) is not None)
    assert " ".join(found.row["tokens"]) == found.row["text"] != text
    assert [found.row["text"][one["start"] : one["end"]] for one in found.row["entities"]] == [
        found.row["tokens"][i] for i in (0, 2, 7)
    ]


def test_a_border_inside_an_edit_has_no_place() -> None:
    edits = [(2, 4, "xyz")]
    assert apply_edits("abcdef", edits) == "abxyzef"
    assert [Moves(edits)(place) for place in (0, 2, 3, 4, 6)] == [0, 2, None, 5, 7]
    random.seed(0)  # the module has its own random numbers
    state = random.getstate()
    changed("typos")
    assert random.getstate() == state


def test_only_the_question_changes() -> None:
    row = {"id": "1", "question": "When did Maria arrive?", "context": "Maria arrived on Monday."}
    found = p.perturb("uppercase", row, answer_scores.ROBUSTNESS, 1)
    assert found is not None and found.row["context"] == row["context"]
    assert found.row["question"] == "WHEN DID MARIA ARRIVE?"
    assert "names" not in answer_scores.ROBUSTNESS.changes
