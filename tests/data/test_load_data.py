"""Rows of every split: mapped, checked against the card, held out and fingerprinted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.load_data import check_sources, load_data
from ft_toolkit.data.local_files import read_file
from ft_toolkit.data.splits import fingerprint
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks import find_tasks

TASK = find_tasks()["text_classification"]
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"

CARD = """\
---
ft_toolkit:
  source:
    files: {train: train.jsonl, validation: validation.jsonl}
  splits:
    train: {rows: 3, fingerprint: FINGERPRINT}
    validation: {rows: 1}
  tasks:
    text_classification:
      columns: {text: sentence, label: mood}
---
"""


def rows_of(n, **more):
    return [{"text": f"text {i}", "label": "ab"[i % 2], **more} for i in range(n)]


@pytest.fixture
def write(tmp_path):
    def write(name, rows):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def load(write):
    """Load given rows as the training rows, with two validation rows beside them."""

    def load(rows, settings=None, **section):
        section = {"validation": write("validation.jsonl", rows_of(2)), **section}
        return load_data(DataSection(train=write("train.jsonl", rows), **section), TASK, settings)

    return load


@pytest.fixture
def card(tmp_path, write):
    """Return a function that writes a card with its rows and gives its folder."""

    def card(*, rows=None, replace=("", "")):
        rows = rows or [{"sentence": f"s{i}", "mood": "x"} for i in range(3)]
        write("train.jsonl", rows)
        write("validation.jsonl", rows[:1])
        text = CARD.replace(*replace).replace("FINGERPRINT", fingerprint(rows))
        (tmp_path / "README.md").write_text(text, encoding="utf-8")
        return str(tmp_path)

    return card


def test_rows_get_the_task_columns_and_an_id(load, tmp_path):
    data = load([{"id": "k7", "text": "x", "label": "a", "extra": 1}, {"text": "y", "label": "b"}])
    assert data.splits["train"] == [{"id": "k7", "text": "x", "label": "a"}, {"id": "2", "text": "y", "label": "b"}]
    assert list(data.splits) == ["train", "validation"]
    assert data.origin["train"] == str(tmp_path / "train.jsonl")
    assert (data.commit, data.card, data.notes) == (None, None, [])


def test_columns_may_have_other_names(write):
    path = write("rows.jsonl", [{"review": "x", "stars": "5", "title": "t", "label": "not this"}])
    columns = {"text": "review", "label": "stars", "text_pair": "title"}
    data = load_data(DataSection(train=path, validation=path, columns=columns), TASK)
    assert data.splits["train"] == [{"id": "1", "text": "x", "label": "5", "text_pair": "t"}]


@pytest.mark.parametrize("problem", ["text", "label"])
def test_a_missing_column_is_named_with_what_there_is_and_a_suggestion(load, problem, tmp_path):
    rows = [{"text": "x", "label": "a"}]
    rows[0][f"{problem}x"] = rows[0].pop(problem)
    with pytest.raises(DataError) as caught:
        load(rows)
    message = str(caught.value)
    assert message.startswith(
        f"{tmp_path / 'train.jsonl'}: no column '{problem}' for text_classification's '{problem}' ("
    )
    assert f"Did you mean '{problem}x'? Set its name: data.columns.{problem}=NAME" in message


def test_a_column_named_in_the_recipe_must_be_there_even_if_the_task_can_do_without(load):
    with pytest.raises(
        DataError, match=r"no column 'titel' .*columns found: text, label, title\. Did you mean 'title'\?"
    ):
        load(rows_of(2, title="t"), columns={"text_pair": "titel"})


def test_columns_that_only_later_rows_have_are_found(load):
    data = load([{"text": "x"}, {"text": "y", "label": "a"}])
    assert [row["text"] for row in data.splits["train"]] == ["y"]


@pytest.mark.parametrize("value", [5, None, ["x"], {"a": 1}, True])
@pytest.mark.parametrize("column", ["text", "text_pair"])
def test_a_text_that_is_none_is_refused_with_its_row(load, column, value):
    rows = rows_of(3, text_pair="p")
    rows[1][column] = value
    with pytest.raises(DataError) as caught:
        load(rows)
    assert f"train.jsonl: row 2: column '{column}' must be text; found {value!r}" in str(caught.value)


@pytest.mark.parametrize("label", [["a", "b"], [], 3, 2.5, "x", False])
def test_labels_of_every_type_pass_unchanged(load, label):
    assert load([{"text": "x", "label": label}]).splits["train"][0]["label"] == label


def test_rows_without_a_label_are_left_out_and_counted(load):
    rows = rows_of(5)
    rows[0]["label"], rows[3]["label"] = None, float("nan")
    data = load(rows)
    assert [row["text"] for row in data.splits["train"]] == ["text 1", "text 2", "text 4"]
    assert [row["id"] for row in data.splits["train"]] == ["2", "3", "5"]
    assert data.notes == ["train: 2 of 5 rows have no label and were dropped"]


def test_a_split_without_any_label_is_dropped_and_training_cannot_be(load, write):
    unlabelled = write("test.jsonl", [{"text": "x", "label": None}])
    data = load(rows_of(4), test=unlabelled)
    assert "test" not in data.splits
    assert data.notes == ["test: 1 of 1 rows have no label and were dropped"]
    with pytest.raises(DataError, match=r"train\.jsonl: no labelled rows to train on"):
        load([{"text": "x", "label": None}])


# Held-out rows


def test_held_out_rows_are_a_share_chosen_by_content_alone(load):
    rows = rows_of(1000)
    data = load(rows, validation=None, validation_fraction=0.2)
    train, validation = ({row["text"] for row in data.splits[name]} for name in ("train", "validation"))
    assert not train & validation
    assert train | validation == {row["text"] for row in rows}
    assert 150 < len(validation) < 250
    assert data.notes == [f"validation: {len(validation)} of 1000 training rows held out, by a hash of their content"]
    assert data.origin["validation"] == f"held out of {data.origin['train']}"
    shuffled = load(
        [{"id": f"other {i}", **row} for i, row in enumerate(reversed(rows))], validation=None, validation_fraction=0.2
    )
    assert {row["text"] for row in shuffled.splits["validation"]} == validation
    larger = load(rows, validation=None, validation_fraction=0.3)
    assert validation < {row["text"] for row in larger.splits["validation"]}


def test_equal_rows_stay_on_one_side(load):
    rows = [{"id": str(i), **row} for i, row in enumerate(rows_of(50) * 4)]
    data = load(rows, validation=None, validation_fraction=0.3)
    train, validation = ({row["text"] for row in data.splits[name]} for name in ("train", "validation"))
    assert not train & validation
    assert len(data.splits["validation"]) == 4 * len(validation) > 0


def test_there_must_be_validation_rows_from_one_place_and_some_on_each_side(load):
    with pytest.raises(
        DataError, match=r"no validation rows.*data\.validation=FILE, or data\.validation_fraction=0\.1"
    ):
        load(rows_of(9), validation=None)
    with pytest.raises(DataError, match=r"validation_fraction=0\.5 leaves \d training and \d validation rows"):
        load(rows_of(1), validation=None, validation_fraction=0.5)


def test_a_fraction_beside_the_validation_rows_of_a_card_is_refused(card):
    with pytest.raises(DataError, match="there are validation rows; remove it"):
        load_data(DataSection(card=card(), validation_fraction=0.1), TASK)


# Fingerprints


def test_the_fingerprint_is_the_same_on_every_machine_and_day():
    """The value is written down here: another one would make old runs refuse to resume."""
    rows = [{"id": "1", "text": "é\n", "label": ["a"]}, {"id": "2", "text": "", "label": 0.1}]
    assert fingerprint(rows) == "2d96272f482b8579e049b88123d0336ff467bdfb469c5852cf3e3296c096ec17"
    assert fingerprint([dict(reversed(row.items())) for row in rows]) == fingerprint(rows)


def test_the_fingerprint_changes_with_every_value_and_with_the_order(load):
    rows = rows_of(4)
    first = load(rows).fingerprint
    assert load(rows).fingerprint == first
    others = [
        [*rows[:3], {**rows[3], "text": "text 3 "}],
        [*rows[:3], {**rows[3], "label": "a"}],
        [*rows[:3], {**rows[3], "id": "k"}],
        [rows[1], rows[0], *rows[2:]],
        rows[:3],
    ]
    assert len({first, *(load(other).fingerprint for other in others)}) == 6


def test_the_fingerprint_tells_splits_apart(load, write):
    rows = rows_of(4)
    one = load(rows, test=write("t.jsonl", rows[:1])).fingerprint
    assert one != load(rows).fingerprint


# Cards


def test_a_card_gives_rows_columns_and_origin(card, tmp_path):
    data = load_data(DataSection(card=card()), TASK)
    assert data.splits["train"][0] == {"id": "1", "text": "s0", "label": "x"}
    assert data.origin == {"train": f"{tmp_path.name}/train.jsonl", "validation": f"{tmp_path.name}/validation.jsonl"}
    assert data.card is not None


@pytest.mark.parametrize(
    ("replace", "message"),
    [
        (("rows: 3", "rows: 4"), "train has 3 rows, but the card says 4"),
        (("FINGERPRINT", "f" * 64), "the rows of train differ from those that the card describes (fingerprint "),
        (("label: mood", "label: moods"), "no column 'label' or 'moods' for text_classification's 'label'"),
        (("text_classification:", "ner:"), "does not support the task text_classification; supported: ner"),
        (("{train: train.jsonl", "{train: tran.jsonl"), "file not found"),
    ],
)
def test_rows_that_are_not_those_of_the_card_are_refused(card, replace, message):
    with pytest.raises(DataError) as caught:
        load_data(DataSection(card=card(replace=replace)), TASK)
    assert message in str(caught.value)


def test_an_unlabelled_split_of_a_card_is_not_read(card):
    folder = card(replace=("validation: {rows: 1}", "validation: {rows: 999, labelled: false}"))
    data = load_data(DataSection(card=folder, validation_fraction=0.5), TASK)
    assert "held out" in data.notes[0]


def test_local_rows_replace_those_of_the_card_and_keep_its_columns(card, write):
    folder = card()
    mine = write("mine.jsonl", [{"sentence": "m", "mood": "y"}])
    data = load_data(DataSection(card=folder, train=mine, validation=mine), TASK)
    assert data.splits["train"] == [{"id": "1", "text": "m", "label": "y"}]
    same_name = write("same.jsonl", [{"text": "canonical", "sentence": "not this", "label": "y"}])
    data = load_data(DataSection(card=folder, train=same_name, validation=mine), TASK)
    assert data.splits["train"][0]["text"] == "canonical"
    assert data.origin["train"] == same_name
    data = load_data(
        DataSection(card=folder, train=same_name, validation=same_name, columns={"text": "sentence"}), TASK
    )
    assert data.splits["train"][0]["text"] == "not this"


def test_sources_are_checked_without_reading_rows(card, write, tmp_path):
    train = write("broken.jsonl", [])
    check_sources(DataSection(card=card()), TASK)
    check_sources(DataSection(train=train, validation=train), TASK)
    for section, message in [
        (DataSection(card="nope"), "no data card 'nope'"),
        (DataSection(train=str(tmp_path / "none.csv")), "file not found"),
        (DataSection(train=train, test=write("x.doc", [])), "unknown file type '.doc'"),
    ]:
        with pytest.raises(DataError, match=message):
            check_sources(section, TASK)


def test_the_support_inbox_loads_as_its_card_says():
    data = load_data(DataSection(card="support_inbox"), TASK)
    assert {name: len(rows) for name, rows in data.splits.items()} == {"train": 200, "validation": 50, "test": 50}
    assert data.notes == []
    schema = TASK.find_schema(TASK.settings(), data.splits["train"], data.labels, None)
    assert len(schema.labels) == 6


# Real files


@pytest.mark.skipif(not (SHARED / "sst2").is_dir(), reason="../shared/data is not here")
def test_sst2_as_it_circulates():
    folder = SHARED / "sst2"
    files = {name: str(folder / f"{name}.tsv") for name in ("train", "validation", "test")}
    data = load_data(DataSection(card="sst2", **files), TASK)
    assert {name: len(rows) for name, rows in data.splits.items()} == {"train": 6920, "validation": 872, "test": 1821}
    schema = TASK.find_schema(TASK.settings(), data.splits["train"], data.labels, None)
    assert schema.labels == ("negative", "positive")
    lines = (folder / "train.tsv").read_text(encoding="utf-8").splitlines()[1:]
    assert [row["text"] for row in data.splits["train"]] == [line.split("\t")[0] for line in lines]


@pytest.mark.skipif(not (SHARED / "banking77").is_dir(), reason="../shared/data is not here")
def test_banking77_as_its_authors_wrote_it():
    folder = SHARED / "banking77"
    section = DataSection(
        card="banking77",
        train=str(folder / "train.csv"),
        test=str(folder / "test.csv"),
        validation_fraction=0.1,
        columns={"label": "category"},
    )
    data = load_data(section, TASK)
    assert len(read_file(folder / "train.csv")) == 10003
    assert len(data.splits["train"]) + len(data.splits["validation"]) == 10003
    assert 900 < len(data.splits["validation"]) < 1100
    assert len(data.splits["test"]) == 3080
    assert any("\n" in row["text"] for row in data.splits["train"])
    schema = TASK.find_schema(TASK.settings(), data.splits["train"], None, None)
    assert len(schema.labels) == 77


def test_loading_rows_needs_no_torch(tmp_path, write):
    path = write("rows.jsonl", rows_of(20))
    code = (
        "import sys\n"
        "from ft_toolkit.recipe.sections import DataSection\n"
        "from ft_toolkit.data.load_data import load_data\n"
        "from ft_toolkit.tasks import find_tasks\n"
        "load_data(DataSection(train=sys.argv[1], validation=sys.argv[1]), find_tasks()['text_classification'])\n"
        "print(sorted({'torch', 'transformers', 'datasets'} & set(sys.modules)))\n"
    )
    command = [sys.executable, "-c", code, path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_ids_that_repeat_are_replaced_by_row_numbers(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("id,text,label\nu1,a,x\nu1,b,y\n", encoding="utf-8")
    data = load_data(DataSection(train=str(path), validation=str(path)), TASK)
    assert [row["id"] for row in data.splits["train"]] == ["1", "2"]


def test_columns_that_are_kept_stand_in_the_rows_and_leave_the_fingerprints_alone(write):
    section = DataSection(
        train=write("train.jsonl", rows_of(4, source="web")), validation=write("v.jsonl", rows_of(2, source="mail"))
    )
    plain, kept = load_data(section, TASK), load_data(section, TASK, keep=["source"])
    assert [row["source"] for row in kept.splits["validation"]] == ["mail", "mail"] and "source" not in plain.splits[
        "train"
    ][0]
    assert plain.split_fingerprints == kept.split_fingerprints and plain.fingerprint == kept.fingerprint
    with pytest.raises(
        DataError,
        match=r"no column 'sorce' to group the scores by; columns found: .*Did you mean 'source'",
    ):
        load_data(section, TASK, keep=["sorce"])


def test_data_reading_says_how_to_read_a_file_and_the_notes_say_how_it_was_read(tmp_path):
    (tmp_path / "a.csv").write_bytes("text;label\ncaf\u00e9;a\nx;b\n".encode("cp1252"))
    path = str(tmp_path / "a.csv")
    data = load_data(DataSection(train=path, validation=path), TASK)
    assert data.splits["train"][0]["text"] == "caf\u00e9"
    assert data.notes[0].startswith("train, validation: not UTF-8; read as Windows-1252 (such as caf\u00e9)")
    assert "train, validation: columns are separated by semicolons" in data.notes
    reading = {"encoding": "latin-1", "delimiter": ";", "column_names": ["text", "label"]}
    chosen = load_data(DataSection(train=path, validation=path, reading=reading), TASK)
    assert [row["label"] for row in chosen.splits["train"]] == ["a", "b"]
    assert chosen.notes == ["train, validation: 1 repeated header line was left out"]


def test_line_separators_inside_a_text_do_not_split_it(tmp_path):
    (tmp_path / "a.txt").write_text(
        "first line\u2028still the first\nsecond\x0cstill\x85the second\r\n", encoding="utf-8"
    )
    assert len(read_file(tmp_path / "a.txt")) == 2


def test_a_first_line_that_looks_like_a_row_gets_the_remedy(tmp_path):
    (tmp_path / "a.csv").write_text("a good cup of warm tea,pos\nbad,neg\nfine,pos\n", encoding="utf-8")
    path = str(tmp_path / "a.csv")
    with pytest.raises(
        DataError, match=r"The first line of the file looks like a row.*column_names=\[NAME_1, NAME_2\]"
    ):
        load_data(DataSection(train=path, validation=path), TASK)


def test_integer_tags_get_given_names(tmp_path, write):
    path = write("a.jsonl", [{"tokens": ["Anna", "left"], "tags": [1, 0]}])
    section = DataSection(train=path, validation=path, reading={"label_names": ["O", "B-PER"]})
    assert load_data(section, find_tasks()["ner"]).splits["train"][0]["entities"] == [
        {"start": 0, "end": 4, "label": "PER"}
    ]


def test_an_error_about_columns_says_how_the_file_was_read(tmp_path):
    (tmp_path / "a.txt").write_text("x\ta\ny\tb\n", encoding="utf-8")
    path = str(tmp_path / "a.txt")
    with pytest.raises(DataError, match=r"no column .label..* Note on the file: every line is read as one text"):
        load_data(DataSection(train=path, validation=path), TASK)
    (tmp_path / "b.csv").write_text("a;b\nx;y\n", encoding="utf-8")
    path = str(tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"no column 'text'.* Note on the file: columns are separated by semicolons"):
        load_data(DataSection(train=path, validation=path), TASK)
