"""`data.group`: which rows belong together, and what a hold-out and a fraction do with them."""

import json
from collections import Counter
from typing import Any

import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.columns import TrainedColumns
from ft_toolkit.data.groups import GroupColumn
from ft_toolkit.data.load_data import SplitColumns, load_data, load_split
from ft_toolkit.data.selection import Selector
from ft_toolkit.data.train_fraction import take_train_fraction
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks import find_tasks

TASKS = find_tasks()


def questions(n_articles: int = 10, per_paragraph: int = 3, **more: Any) -> list[dict[str, Any]]:
    """Return questions on two paragraphs of each article."""
    return [
        {
            "title": f"article {a}",
            "context": f"Paragraph {p} of article {a} was written by Ann.",
            "question": f"Who wrote it, question {q} of {p} of {a}?",
            "answers": {"text": ["Ann"], "answer_start": [None]},
            **more,
        }
        for a in range(n_articles)
        for p in range(2)
        for q in range(per_paragraph)
    ]


def reviews(n_customers: int, per_customer: int) -> list[dict[str, Any]]:
    return [
        {"text": f"review {i} of {c}", "label": ["good", "bad", "bad"][c % 3], "customer": f"c{c}"}
        for c in range(n_customers)
        for i in range(per_customer)
    ]


@pytest.fixture
def load(tmp_path):
    def load(task: str, rows: list[dict[str, Any]], keep: Any = (), **section: Any) -> Any:
        path = tmp_path / "train.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        settings = TASKS[task].settings(name=task)
        return load_data(DataSection(train=str(path), **section), TASKS[task], settings, keep)

    return load


def values(data: Any, split: str, column: str) -> set[Any]:
    return {row[column] for row in data.splits[split]}


@pytest.mark.parametrize(
    ("drop", "column"),
    [((), "title"), (("title",), "context")],
    ids=["article", "paragraph without titles"],
)
def test_questions_on_one_article_or_paragraph_stay_on_one_side(load, drop, column):
    rows = [{key: value for key, value in row.items() if key not in drop} for row in questions()]
    data = load("question_answering", rows, validation_fraction=0.2)
    assert not values(data, "train", "context") & values(data, "validation", "context")
    groups = data.groups["train"]
    assert groups.column == column
    assert not set(groups.of(data.splits["train"])) & set(groups.of(data.splits["validation"]))
    assert len(data.splits["validation"]) == 12
    n_held, n = (2, 10) if column == "title" else (4, 20)
    assert data.notes == [
        f"validation: 12 of 60 training rows held out (20.0%, data.validation_fraction=0.2): {n_held} of {n} groups by "
        f"'{column}'"
    ]


def test_a_title_that_some_rows_lack_or_that_all_rows_share_is_not_the_group(load):
    some = questions()
    some[7]["title"] = None
    for rows in (some, questions(title="my data set")):
        assert load("question_answering", rows, validation_fraction=0.2).groups["train"].column == "context"


def test_renamed_columns_give_the_same_default(load):
    rows = [{"passage": row["context"], **{k: row[k] for k in ("question", "answers")}} for row in questions()]
    data = load("question_answering", rows, columns={"context": "passage"}, validation_fraction=0.2)
    assert not values(data, "train", "context") & values(data, "validation", "context")


def test_id_makes_rows_independent(load):
    data = load("question_answering", questions(), group="id", validation_fraction=0.2)
    assert data.groups == {} and values(data, "train", "context") & values(data, "validation", "context")


def test_documents_of_a_conll_file_stay_on_one_side(tmp_path):
    lines = []
    for document in range(10):
        lines.append("-DOCSTART- -X- O O\n")
        lines += [f"Ann{document} B-PER\nsleeps{i} O\n" for i in range(5)]
    path = tmp_path / "train.conll"
    path.write_text("\n".join(lines) + "\n")
    data = load_data(
        DataSection(train=str(path), validation_fraction=0.2), TASKS["ner"], TASKS["ner"].settings(name="ner")
    )
    first = [{row["tokens"][0] for row in data.splits[name]} for name in ("train", "validation")]
    assert not first[0] & first[1] and len(first[1]) == 2


def test_groups_of_a_classifier_are_whole_and_the_labels_keep_their_proportions(load):
    data = load("text_classification", reviews(60, 5), group="customer", validation_fraction=0.2)
    groups = data.groups["train"]
    assert not set(groups.of(data.splits["train"])) & set(groups.of(data.splits["validation"]))
    assert Counter(row["label"] for row in data.splits["validation"]) == {"good": 20, "bad": 40}
    assert "12 of 60 groups by 'customer', stratified by 'label'" in data.notes[0]
    assert "customer" not in data.splits["train"][0]


def test_without_groups_a_classifier_is_stratified_too(load):
    rows = [{"text": f"t{i}", "label": "rare" if i % 20 == 0 else "usual"} for i in range(400)]
    data = load("text_classification", rows, validation_fraction=0.1)
    assert Counter(row["label"] for row in data.splits["validation"]) == {"usual": 38, "rare": 2}
    assert data.notes == [
        "validation: 40 of 400 training rows held out, by a hash of their content, stratified by 'label'"
    ]


def test_many_small_classes_still_reach_the_share(load):
    rows = [{"text": f"t{i}", "label": f"l{i % 100}"} for i in range(300)]
    data = load("text_classification", rows, validation_fraction=0.1)
    assert len(data.splits["validation"]) == 30
    assert len(values(data, "validation", "label")) == 30 and len(values(data, "train", "label")) == 100


def test_equal_texts_with_different_labels_stay_on_one_side(load):
    rows = [{"text": f"t{i // 2}", "label": "ab"[i % 2]} for i in range(200)]
    data = load("text_classification", rows, validation_fraction=0.3)
    assert not values(data, "train", "text") & values(data, "validation", "text")


@pytest.mark.parametrize(("group", "whole"), [(None, "row"), ("customer", "group")])
def test_a_class_of_one_row_or_group_stays_in_training(load, group, whole):
    rows = [
        *reviews(12, 4),
        *({"text": f"refund {i}", "label": f"refund{i}", "customer": f"r{i}"} for i in range(4)),
        *({"text": f"thanks {i}", "label": "thanks", "customer": "t"} for i in range(4 if group else 1)),
    ]
    data = load("text_classification", rows, group=group, validation_fraction=0.3)
    assert values(data, "validation", "label") == {"good", "bad"}
    assert data.notes[-1] == (
        f"validation: values of 'label' with a single {whole} stay in training, so no validation row has them: refund0, "
        "refund1, refund2, refund3, thanks"
    )


def test_two_large_groups_are_split_one_to_one_and_the_note_says_so(load):
    rows = [{"text": f"t{i}", "label": "ab"[i % 2], "source": "web" if i % 3 else "mail"} for i in range(90)]
    data = load("text_classification", rows, group="source", validation_fraction=0.1)
    assert len(data.splits["validation"]) == 30
    assert "30 of 90 training rows held out (33.3%, data.validation_fraction=0.1): 1 of 2 groups" in data.notes[0]
    same = [{**row, "source": "web"} for row in rows]
    with pytest.raises(DataError, match=r"leaves 90 training and 0 .*in 1 groups by 'source'.*or data\.group=id"):
        load("text_classification", same, group="source", validation_fraction=0.1)


def test_a_column_of_slices_does_not_change_the_held_out_rows(load):
    for task, rows in (
        ("text_classification", reviews(40, 2)),
        ("translation", [{"source": f"s{i}", "target": f"t{i}", "customer": i % 3} for i in range(80)]),
    ):
        plain = load(task, rows, validation_fraction=0.2)
        kept = load(task, rows, keep=["customer"], validation_fraction=0.2)
        assert [row["id"] for row in kept.splits["validation"]] == [row["id"] for row in plain.splits["validation"]]
        assert kept.fingerprint == plain.fingerprint


def test_the_file_of_the_training_rows_must_have_the_column_and_other_files_get_a_note(load, tmp_path):
    with pytest.raises(DataError, match=r"no column 'custmer' for the groups of rows.*Did you mean 'customer'"):
        load("text_classification", reviews(4, 2), group="custmer", validation_fraction=0.5)
    test = tmp_path / "test.jsonl"
    test.write_text('{"text": "a", "label": "good"}\n')
    data = load("text_classification", reviews(8, 2), group="customer", test=str(test), validation_fraction=0.5)
    assert f"{test}: no column 'customer' (data.group), so all rows count as independent" in data.notes
    assert set(data.groups) == {"train", "validation"}


def test_rows_without_a_group_are_groups_of_their_own(load):
    rows = reviews(10, 4)
    for row in rows[:6]:
        row["customer"] = None
    data = load("text_classification", rows, group="customer", validation_fraction=0.3)
    assert data.groups["train"].count([*data.splits["train"], *data.splits["validation"]]) == 6 + 9
    assert "6 of 40 rows have no 'customer'; each is a group of its own" in data.notes[0]


def test_a_rare_entity_type_in_the_held_out_rows_is_still_a_label(load):
    rows = [{"tokens": ["Ann", str(i)], "tags": ["B-PER", "O"]} for i in range(40)]
    rows += [{"tokens": ["X", str(i)], "tags": [f"B-T{i}", "O"]} for i in range(20)]
    data = load("ner", rows, validation_fraction=0.5)
    types = [{e["label"] for row in data.splits[name] for e in row["entities"]} for name in ("train", "validation")]
    assert types[1] - types[0]
    assert {e["label"] for row in data.label_rows for e in row["entities"]} == types[0] | types[1]


def test_a_fraction_of_the_training_rows_adds_whole_groups(load):
    data = load("question_answering", questions(20), validation_fraction=0.2)
    selector = Selector(TASKS["question_answering"], None, data.groups["train"])
    before: set[str] = set()
    for fraction in (0.1, 0.25, 0.5, 1.0):
        taken = take_train_fraction(data, fraction, selector)
        rows = taken.splits["train"]
        assert len(rows) == int(len(data.splits["train"]) * fraction + 0.5)
        assert len({row["context"] for row in rows}) <= len(rows) / 3 + 2
        assert before <= {row["id"] for row in rows}
        before = {row["id"] for row in rows}
    assert any("groups by 'title'" in note for note in take_train_fraction(data, 0.5, selector).notes)


def test_rows_to_score_have_groups_too(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(questions(4)))
    task = TASKS["question_answering"]
    settings = task.settings(name="question_answering")
    for column, n in ((GroupColumn(), 4), (GroupColumn("context"), 8), (GroupColumn("id"), None)):
        data = load_split(str(path), "test", task, settings, SplitColumns({}, TrainedColumns(), group=column))
        assert (data.groups["test"].count(data.splits["test"]) if data.groups else None) == n
    with pytest.raises(DataError, match="no column 'topic' for the groups of rows"):
        load_split(str(path), "test", task, settings, SplitColumns({}, TrainedColumns(), group=GroupColumn("topic")))
