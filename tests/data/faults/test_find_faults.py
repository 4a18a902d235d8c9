"""Faults that were planted in clean rows are found, and nothing else."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.data.faults.fault import AuditedRows, Fault
from ft_toolkit.data.faults.find_faults import find_faults
from ft_toolkit.data.faults.personal_data import matches
from ft_toolkit.data.load_data import load_data
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks import find_tasks

TASKS = find_tasks()
Row = dict[str, Any]
WORDS = [
    f"{a}{b}" for a in ("har", "mol", "tiv", "quen", "sab", "lor") for b in ("ist", "eda", "ump", "orin", "ack", "ule")
]


def clean(n: int, seed: int = 0) -> list[Row]:
    """Return rows with different texts of 14 words and two labels."""
    draw = random.Random(seed)
    return [{"text": " ".join(draw.choices(WORDS, k=14)), "label": "ab"[i % 2]} for i in range(n)]


def audit(folder: Path, task: str = "text_classification", **splits: list[Row]) -> tuple[AuditedRows, dict[str, Fault]]:
    files = {}
    for name, rows in splits.items():
        files[name] = str(folder / f"{name}.jsonl")
        Path(files[name]).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    settings = TASKS[task].settings()
    rows = AuditedRows(load_data(DataSection(**files), TASKS[task], settings), TASKS[task], settings)
    return rows, {fault.name: fault for fault in find_faults(rows)}


def places(rows: AuditedRows, fault: Fault) -> list[set[str]]:
    """Return the rows of each case, such as {"train 3", "test 1"}."""
    return [{f"{rows.splits[row]} {rows.row_id(row)}" for row in case.rows} for case in fault.cases]


def test_clean_rows_have_no_fault(tmp_path: Path) -> None:
    _, faults = audit(tmp_path, train=clean(300), validation=clean(60, seed=1), test=clean(60, seed=2))
    assert faults == {}


def test_equal_texts(tmp_path: Path) -> None:
    train, test = clean(40), clean(10, seed=1)
    train.append({"text": train[0]["text"].upper(), "label": "a"})  # a duplicate
    test.append({"text": f"  {train[1]['text']}", "label": "b"})  # a leak
    test.append({"text": train[2]["text"], "label": "b"})  # a leak with another label
    rows, faults = audit(tmp_path, train=train, validation=clean(5, seed=2), test=test)
    assert set(faults) == {"leaks", "contradictions", "duplicates"}
    assert places(rows, faults["duplicates"]) == [{"train 1", "train 41"}]
    assert sorted(places(rows, faults["leaks"]), key=sorted) == [{"test 11", "train 2"}, {"test 12", "train 3"}]
    assert places(rows, faults["contradictions"]) == [{"test 12", "train 3"}]
    assert faults["contradictions"].cases[0].detail == "a / b"


def test_one_changed_word_is_found_and_half_of_the_words_are_not(tmp_path: Path) -> None:
    train, test = clean(200), []
    for row in train[:50]:
        words = row["text"].split()
        test.append({"text": " ".join([*words[:6], "zzz", *words[7:]]), "label": row["label"]})
    for row in train[50:100]:
        words = row["text"].split()
        test.append(
            {"text": " ".join([*words[:7], *clean(1, seed=len(test))[0]["text"].split()[:7]]), "label": row["label"]}
        )
    rows, faults = audit(tmp_path, train=train, validation=clean(5, seed=9), test=test)
    found = places(rows, faults["near_leaks"])
    assert set(faults) == {"near_leaks"}
    assert len(found) >= 48  # a pair with a similarity of 0.8 is missed with a probability of 0.0004
    assert all({f"train {i}", f"test {i}"} in found or i > 50 for i in range(1, 49))
    assert all(int(place.split()[1]) <= 50 for case in found for place in case)


def test_questions_on_one_article_are_not_nearly_equal(tmp_path: Path) -> None:
    context = clean(1)[0]["text"] * 5
    rows = [
        {"question": question, "context": context, "answers": {"text": [context[:7]], "answer_start": [0]}}
        for question in ("Who was it that came first?", "In which year did the war end?", "How many people live there?")
    ]
    _, faults = audit(tmp_path, "question_answering", train=rows[:2], validation=rows[2:])
    assert faults == {}


def test_copies_of_a_form_letter_are_one_case(tmp_path: Path) -> None:
    text = clean(1)[0]["text"]
    train = [{"text": f"{text} {text} {i}", "label": "ab"[i % 2]} for i in range(1000)]
    _, faults = audit(tmp_path, train=train, validation=clean(5, seed=1))
    assert [len(case.rows) for case in faults["near_duplicates"].cases] == [1000]


@pytest.mark.parametrize(
    ("text", "fault", "detail"),
    [
        (" \u00a0 ", "empty", ""),
        ("the cafÃ© was closed", "wrong_encoding", ""),
        ("a broken \ufffd character", "wrong_encoding", ""),
        ("a bell \x07 rings", "control_characters", "U+0007"),
        ("Это очень хорошая вещь", "other_script", "cyrillic"),
        ("本当にいい本ですね", "other_script", "east asian"),
        ("write to jane.doe@example.org please", "personal_data", "1 mail"),
    ],
)
def test_texts_with_wrong_characters_and_personal_data(tmp_path: Path, text: str, fault: str, detail: str) -> None:
    rows, faults = audit(tmp_path, train=[*clean(40), {"text": text, "label": "a"}], validation=clean(5, seed=1))
    assert set(faults) == {fault}
    assert places(rows, faults[fault]) == [{"train 41"}]
    assert faults[fault].cases[0].detail == detail


@pytest.mark.parametrize(
    "text",
    [
        "naïve café, Ångström, 5 €",
        "\uff46\uff55\uff4c\uff4c \uff57\uff49\uff44\uff54\uff48",
        "emoji 😀 👩‍👩‍👧",
        "tab\there\r\nnew line",
    ],
)
def test_texts_without_a_fault(tmp_path: Path, text: str) -> None:
    _, faults = audit(tmp_path, train=[*clean(40), {"text": text, "label": "a"}], validation=clean(5, seed=1))
    assert faults == {}


def test_a_japanese_text_is_in_one_script(tmp_path: Path) -> None:
    texts = [f"これは本です、番号は{word}" for word in "一二三四五六七八九十"] + ["カタカナダケノブン", "漢字許有"]
    train = [{"text": text, "label": "ab"[i % 2]} for i, text in enumerate(texts)]
    _, faults = audit(tmp_path, train=train, validation=train[:1])
    assert "other_script" not in faults


def test_spellings_of_a_label(tmp_path: Path) -> None:
    train = clean(40)
    for row in train[:3]:
        row["label"] = row["label"].upper()
    rows, faults = audit(tmp_path, train=train, validation=[{**clean(1, seed=1)[0], "label": "a"}])
    assert set(faults) == {"label_variants"}
    assert places(rows, faults["label_variants"]) == [{"train 2"}, {"train 1", "train 3"}]
    assert faults["label_variants"].cases[1].detail == "'A', but more rows have 'a'"


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("jane_doe+x@mail.example.co.uk.", ["mail"]),
        ("DE89 3704 0044 0532 0130 00", ["iban"]),
        ("GB82WEST12345698765432", ["iban"]),
        ("DE89 3704 0044 0532 0130 01", []),  # wrong check digits
        ("4111 1111 1111 1111 and 5500-0000-0000-0004", ["card", "card"]),
        ("4111 1111 1111 1112", []),  # wrong check digit
        ("+44 20 7946 0958, (555) 123-4567, 555-123-4567, 0171 1234567", ["phone"] * 4),
        ("2024-11-30 10:15, 1999-2003, 3.14159265358, 10.0.0.1, order 123456789012, 1,234,567,890", []),
        ("@user at 5@home", []),
    ],
)
def test_personal_data(text: str, kinds: list[str]) -> None:
    assert [kind for kind, _, _ in matches(text)] == kinds


def test_texts_in_another_language(tmp_path: Path) -> None:
    english = (
        "The weather was lovely and we walked along the river until the evening",
        "He did not understand why the meeting had been moved to another week",
        "They bought a small house near the station because it was cheap",
        "Nobody told me that the library would be closed during the summer",
    )
    train = [{"text": f"{text} in {1900 + i}", "label": "ab"[i % 2]} for i, text in enumerate(english * 3)]
    train.append({"text": "Das Wetter war schön und wir gingen am Fluss spazieren", "label": "a"})
    rows, faults = audit(tmp_path, train=train, validation=train[:1])
    assert places(rows, faults["other_language"]) == [{"train 13"}]
    assert faults["other_language"].cases[0].detail == "de"
    _, faults = audit(tmp_path, train=[*train, *train[-1:] * 5], validation=train[:1])
    assert "other_language" not in faults  # several languages


def test_answers_that_cut_words(tmp_path: Path) -> None:
    text = "Anna Braun lives in Upper Ulm"
    spans = [[(0, 10)], [(0, 9), (20, 29)], [(6, 10)], [(20, 25)]]
    rows = [
        {"text": f"{text} {i}", "entities": [{"start": start, "end": end, "label": "X"} for start, end in pairs]}
        for i, pairs in enumerate(spans)
    ]
    audited, faults = audit(tmp_path, "ner", train=rows, validation=[{"text": "Eva", "entities": []}])
    assert places(audited, faults["cut_words"]) == [{"train 2"}, {"train 3"}]
    assert faults["cut_words"].cases[0].detail == "'Anna Brau'"
    questions = [
        {"question": f"Who {i}?", "context": text, "answers": {"text": [text[start:end]], "answer_start": [start]}}
        for i, ((start, end), *_) in enumerate(spans)
    ]
    audited, faults = audit(tmp_path, "question_answering", train=questions, validation=questions[:1])
    assert places(audited, faults["cut_words"]) == [{"train 2"}, {"train 3"}]


def test_a_script_without_spaces_has_no_cut_words(tmp_path: Path) -> None:
    row = {"question": "谁?", "context": "安娜住在乌尔姆", "answers": {"text": ["乌尔姆"], "answer_start": [4]}}
    _, faults = audit(tmp_path, "question_answering", train=[row], validation=[row])
    assert "cut_words" not in faults
